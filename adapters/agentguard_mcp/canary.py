"""The self-test behind every attach: do the hooks we define really fire in this installed library?"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from agentguard import Guard, ModelInput, ToolCall, ToolResult
from agentguard.adapter import Canary

from .versions import has_fastmcp, is_second_generation

__all__ = ["prove_hooks"]


def prove_hooks(kind: str | None = None) -> None:
    """List and call the tools of a canary server of this kind, over a transport in memory and in this process.

    Args:
        kind: ``fastmcp``, ``mcp 2`` or ``mcp 1``; every one that is installed when absent.

    Raises:
        AdapterError: a hook did not fire, or fired without effect.
    """
    own = "mcp 2" if is_second_generation() else "mcp 1"
    for each in [kind] if kind is not None else [own, *(["fastmcp"] if has_fastmcp() else [])]:
        _prove(each)


@lru_cache(maxsize=4)
def _prove(kind: str) -> None:
    ways = {"fastmcp": _fastmcp, "mcp 2": _second, "mcp 1": _first}
    Canary().prove_async(kind, ways[kind], expected=(ModelInput, ToolCall, ToolResult))


def canary_tool(text: str) -> str:
    """Echo agentguard-canary."""
    return text + Canary.word


_ARGS = {"text": Canary.word}


async def _fastmcp(guard: Guard) -> Any:
    from fastmcp import Client, FastMCP

    server: Any = FastMCP("canary")
    _attached(server, guard, server.tool)
    async with Client(server) as client:
        listed, called = await client.list_tools(), await client.call_tool("canary_tool", _ARGS)
    return listed, called, await server.call_tool("canary_tool", _ARGS)


async def _second(guard: Guard) -> Any:
    from mcp import Client  # type: ignore[attr-defined]  # a name of 2.x
    from mcp.server.mcpserver import MCPServer

    server = MCPServer("canary")
    _attached(server, guard, server.tool())
    async with Client(server) as client:
        listed, called = await client.list_tools(), await client.call_tool("canary_tool", _ARGS)
    return listed, called, await server.call_tool("canary_tool", dict(_ARGS))


async def _first(guard: Guard) -> Any:
    from mcp.server.fastmcp import FastMCP  # type: ignore[attr-defined]  # a name of 1.x
    from mcp.shared.memory import (  # type: ignore[attr-defined]  # as above
        create_connected_server_and_client_session as connected,
    )

    server = FastMCP("canary", log_level="ERROR")
    _attached(server, guard, server.tool())
    async with connected(server._mcp_server) as client:
        listed, called = await client.list_tools(), await client.call_tool("canary_tool", _ARGS)
    return listed, called, await server.call_tool("canary_tool", dict(_ARGS))


def _attached(server: Any, guard: Guard, tool: Callable[[Any], Any]) -> None:
    from .server import attach

    tool(canary_tool)
    attach(server, guard)
