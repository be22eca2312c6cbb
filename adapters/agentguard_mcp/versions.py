"""Which releases of the protocol's libraries the hooks exist in."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec

from agentguard.adapter import require_supported, untested_versions

__all__ = ["has_fastmcp", "is_second_generation", "require_mcp", "warn_untested"]

# The suites have run on mcp 1.30 and 2.3 and on fastmcp 4.2.
FLOORS = {"mcp": (1, 20, 0)}
UNTESTED = {"mcp": (2, 4, 0), "fastmcp": (4, 3, 0)}


def require_mcp() -> None:
    """Refuse to go on without a release that has our hooks.

    Raises:
        AdapterError: it is absent or below its floor.
    """
    require_supported("mcp", FLOORS)


def is_second_generation() -> bool:
    """Whether the library here is ``mcp`` 2.x."""
    return find_spec("mcp_types") is not None


def has_fastmcp() -> bool:
    """Whether FastMCP is here."""
    return find_spec("fastmcp") is not None


@lru_cache(maxsize=1)
def warn_untested() -> None:
    """Warn, once per process, about a version newer than the conformance suite has run on."""
    untested_versions("agentguard_mcp", UNTESTED)
