"""A server of the library's own, guarded in place: ``mcp`` 2.x by middleware, ``mcp`` 1.x by its table of handlers.

What a client asks over any transport is guarded, and so is what the application asks of the server in its own process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentguard import AdapterError, Guard
from agentguard.adapter import Gate

from .runs import Caller, Runs
from .versions import has_fastmcp, is_second_generation, warn_untested

__all__ = ["Protection", "attach", "protect"]


class Protection:
    """A server under guard. ``undo`` takes the guard off."""

    def __init__(self, undo: Callable[[], None]) -> None:
        self._undo: Callable[[], None] | None = undo

    def undo(self) -> None:
        """Put back what was there. A second time does nothing."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()


def protect(
    server: Any, guard: Guard, *, agent: str | None = None, prefix: str = "", caller: Caller | None = None
) -> Protection:
    """Guard every tool, resource and prompt of ``server``. Protecting twice with one guard is protecting once.

    Args:
        server: an ``MCPServer`` or ``FastMCP``, or a low-level ``Server``, of ``mcp`` or of ``fastmcp``.
        guard: decides.
        agent: on whose behalf its clients call: an agent of the policy.
        prefix: put before the server's names to make the policy's, as in ``files.``.
        caller: says who calls instead, from what the server's authentication verified.

    Raises:
        AdapterError: it is no server that can be guarded, or this library does not call our hooks.
    """
    from .canary import prove_hooks

    prove_hooks(_kind(server))
    warn_untested()
    return attach(server, guard, agent=agent, prefix=prefix, caller=caller)


def attach(
    server: Any, guard: Guard, *, agent: str | None = None, prefix: str = "", caller: Caller | None = None
) -> Protection:
    """As ``protect``, without the self-test."""
    gate = Gate(guard, agent)
    kind = _kind(server)
    runs = Runs(gate, caller)
    if kind == "fastmcp":
        from .fast import attach_fastmcp

        return Protection(attach_fastmcp(server, gate, prefix, runs))
    if kind == "mcp 2":
        from .second import attach_second

        return Protection(attach_second(server, gate, prefix, runs))
    from .first import attach_first

    return Protection(attach_first(server, gate, prefix, runs))


def _kind(server: Any) -> str:
    """Which library's server this is."""
    if has_fastmcp():
        from fastmcp import FastMCP

        if isinstance(server, FastMCP):
            return "fastmcp"
    if is_second_generation():
        if isinstance(getattr(server, "middleware", None), list) and hasattr(server, "run"):
            return "mcp 2"
    elif isinstance(getattr(getattr(server, "_mcp_server", server), "request_handlers", None), dict):
        return "mcp 1"
    raise AdapterError(f"a {type(server).__name__} is no MCP server that can be protected")
