"""Runs the conformance cells with real servers of FastMCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError

from agentguard.guard import Guard
from agentguard_mcp import protect
from tests.adapters.mcp_cells import CallTool, Cells, Look


class FastMCPDriver(Cells):
    """``protect`` over a ``FastMCP``."""

    framework = "fastmcp"
    failure = ToolError

    @asynccontextmanager
    async def served(self, look: Look, guard: Guard, *, times: int) -> AsyncIterator[CallTool]:
        """As ``Cells.served``."""
        server: Any = FastMCP("look")
        server.tool(look)
        for _ in range(times):
            protect(server, guard)

        async with Client(server) as client:

            async def call(arguments: dict[str, Any]) -> Any:
                return await client.call_tool("look", arguments, raise_on_error=False)

            yield call
