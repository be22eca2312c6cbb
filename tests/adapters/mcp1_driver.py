"""Runs the conformance cells with real servers of ``mcp`` 1.x."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from mcp.shared.memory import create_connected_server_and_client_session

from agentguard.guard import Guard
from agentguard_mcp import protect
from tests.adapters.mcp_cells import CallTool, Cells, Look


class MCP1Driver(Cells):
    """``protect`` over the ``FastMCP`` of this generation."""

    framework = "mcp1"
    failure = ToolError

    @asynccontextmanager
    async def served(self, look: Look, guard: Guard, *, times: int) -> AsyncIterator[CallTool]:
        """As ``Cells.served``."""
        server = FastMCP("look", log_level="CRITICAL")
        server.tool()(look)
        for _ in range(times):
            protect(server, guard)

        async with create_connected_server_and_client_session(server._mcp_server) as client:

            async def call(arguments: dict[str, Any]) -> Any:
                return await client.call_tool("look", arguments)

            yield call
