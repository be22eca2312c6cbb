"""Which PraisonAI releases the seams exist in. Most of them are private, so the versions are bounded above."""

from __future__ import annotations

from functools import lru_cache

from agentguard.adapter import require_supported, untested_versions

__all__ = ["require_praisonai", "warn_untested"]

# The last gate before a tool runs is called by both ways of running one from 1.6.167 on.
FLOORS = {"praisonaiagents": (1, 6, 167)}
UNTESTED = {"praisonaiagents": (1, 8, 0)}


def require_praisonai() -> None:
    """Refuse to go on without a PraisonAI that goes through our seams.

    Raises:
        AdapterError: it is absent or below its floor.
    """
    require_supported("praisonai", FLOORS)


@lru_cache(maxsize=1)
def warn_untested() -> None:
    """Warn, once per process, about a version newer than the conformance suite has run on."""
    untested_versions("agentguard_praisonai", UNTESTED)
