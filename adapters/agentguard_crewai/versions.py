"""Which CrewAI releases the seams exist in."""

from __future__ import annotations

from functools import lru_cache

from agentguard.adapter import require_supported, untested_versions

__all__ = ["require_crewai", "warn_untested"]

# ``HookAborted``, the one exception that CrewAI neither swallows nor retries, came with 1.15.3.
FLOORS = {"crewai": (1, 15, 3)}
UNTESTED = {"crewai": (1, 16, 0)}


def require_crewai() -> None:
    """Refuse to go on without a CrewAI that stops when told to.

    Raises:
        AdapterError: it is absent or below its floor.
    """
    require_supported("crewai", FLOORS)


@lru_cache(maxsize=1)
def warn_untested() -> None:
    """Warn, once per process, about a version newer than the conformance suite has run on."""
    untested_versions("agentguard_crewai", UNTESTED)
