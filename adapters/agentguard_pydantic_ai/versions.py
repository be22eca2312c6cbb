"""Which Pydantic AI versions the hooks exist in."""

from __future__ import annotations

from functools import lru_cache

from agentguard.adapter import require_supported, untested_versions

__all__ = ["require_pydantic_ai", "warn_untested"]

# ``get_wrapper_model`` came with 2.62.0: earlier releases take a capability that has it and never call it.
FLOORS = {"pydantic-ai-slim": (2, 62, 0)}
UNTESTED = {"pydantic-ai-slim": (2, 69, 0)}


def require_pydantic_ai() -> None:
    """Refuse to go on without a Pydantic AI that calls our hooks.

    Raises:
        AdapterError: it is absent or below its floor.
    """
    require_supported("pydantic-ai", FLOORS)


@lru_cache(maxsize=1)
def warn_untested() -> None:
    """Warn, once per process, about a version newer than the conformance suite has run on."""
    untested_versions("agentguard_pydantic_ai", UNTESTED)
