"""Runs the conformance cells with real servers of ``mcp`` 2.x."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from agentguard.guard import Guard
from agentguard_mcp import protect
from tests.adapters.mcp_cells import CallTool, Cells, Look


class MCPDriver(Cells):
    """``protect`` over an ``MCPServer``."""

    framework = "mcp"
    failure = ToolError

    @asynccontextmanager
    async def served(self, look: Look, guard: Guard, *, times: int) -> AsyncIterator[CallTool]:
        """As ``Cells.served``."""
        server = MCPServer("look", log_level="CRITICAL")
        server.tool()(look)
        for _ in range(times):
            protect(server, guard)

        async with Client(server) as client:

            async def call(arguments: dict[str, Any]) -> Any:
                return await client.call_tool("look", arguments)

            yield call
