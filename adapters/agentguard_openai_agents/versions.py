"""Which releases of the OpenAI Agents SDK the hooks exist in."""

from __future__ import annotations

from functools import lru_cache

from agentguard.adapter import require_supported, untested_versions

__all__ = ["require_openai_agents", "warn_untested"]

# The suite has run on 0.20.0 and 0.24.0; tool calls are bound to their ids, and models take ``prompt``, since earlier.
FLOORS = {"openai-agents": (0, 20, 0)}
UNTESTED = {"openai-agents": (0, 25, 0)}


def require_openai_agents() -> None:
    """Refuse to go on without a release that calls our hooks.

    Raises:
        AdapterError: it is absent or below its floor.
    """
    require_supported("openai-agents", FLOORS)


@lru_cache(maxsize=1)
def warn_untested() -> None:
    """Warn, once per process, about a version newer than the conformance suite has run on."""
    untested_versions("agentguard_openai_agents", UNTESTED)
