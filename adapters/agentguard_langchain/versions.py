"""Which LangChain versions the hooks exist in, checked when something is attached and never silently."""

from __future__ import annotations

from functools import lru_cache

from agentguard.adapter import require_supported, untested_versions

__all__ = ["require_langchain", "warn_untested"]

# First versions with every hook in use here: ``ExtendedModelResponse``, which lets a rewrite reach the agent's state,
# came with langchain 1.2.10, and 1.2.11 is the first that installs with langgraph 1.1. Then the first minor versions
# that the conformance suite has not run on.
FLOORS = {"langchain": (1, 2, 11), "langgraph": (1, 1, 0)}
UNTESTED = {"langchain": (1, 6, 0), "langchain-core": (1, 9, 0), "langgraph": (1, 3, 0)}


def require_langchain() -> None:
    """Refuse to go on without a LangChain that calls our hooks.

    Raises:
        AdapterError: a package is absent or below its floor.
    """
    require_supported("langchain", FLOORS)


@lru_cache(maxsize=1)
def warn_untested() -> None:
    """Warn, once per process, about versions newer than the conformance suite has run on."""
    untested_versions("agentguard_langchain", UNTESTED)
