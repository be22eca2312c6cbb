"""AgentGuard for the Model Context Protocol: servers, clients, and any existing server behind a proxy.

``protect(server, guard)`` guards a server of ``mcp`` 1.x or 2.x or of FastMCP, ``guarded_session(session, guard)`` a
client's session, and ``agentguard mcp-proxy -- COMMAND`` a server that is not to be touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import guarded_session
    from .server import Protection, protect

__all__ = ["Protection", "guarded_session", "protect"]

_HOME_OF = {"guarded_session": "client", "protect": "server", "Protection": "server"}


def __getattr__(name: str) -> Any:
    # The proxy speaks the protocol itself: only these need the library, of whichever generation.
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    from .versions import require_mcp

    require_mcp()
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
