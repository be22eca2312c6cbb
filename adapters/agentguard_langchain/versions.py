"""Which LangChain versions the hooks exist in, checked when something is attached and never silently."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from agentguard import AdapterError

__all__ = ["require_supported", "warn_untested"]

# First versions with every hook in use here: ``ExtendedModelResponse``, which lets a rewrite reach the agent's state,
# came with langchain 1.2.10, and 1.2.11 is the first that installs with langgraph 1.1. Then the first minor versions
# that the conformance suite has not run on.
FLOORS = {"langchain": (1, 2, 11), "langgraph": (1, 1, 0)}
UNTESTED = {"langchain": (1, 6, 0), "langchain-core": (1, 9, 0), "langgraph": (1, 3, 0)}


def require_supported() -> None:
    """Refuse to go on without a LangChain that calls our hooks.

    Raises:
        AdapterError: a package is absent or below its floor.
    """
    for package, floor in FLOORS.items():
        found = _installed(package)
        if found is None or found < floor:
            wanted = ".".join(map(str, floor))
            raise AdapterError(f"install agentguard[langchain] ({package} >= {wanted} not found)")


@lru_cache(maxsize=1)
def warn_untested() -> None:
    """Warn, once per process, about versions newer than the conformance suite has run on."""
    newer = [name for name, limit in UNTESTED.items() if (found := _installed(name)) is not None and found >= limit]
    if newer:
        warnings.warn(
            f"agentguard_langchain has not been tested with this version of {', '.join(newer)}; "
            "the self-test at attach still runs",
            stacklevel=3,
        )


def _installed(package: str) -> tuple[int, ...] | None:
    try:
        parts = re.findall(r"\d+", version(package))[:3]
    except PackageNotFoundError:
        return None
    return tuple(int(part) for part in [*parts, "0", "0"][:3])
