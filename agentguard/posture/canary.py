"""One adapter's self-test in a process of its own: ``python -m agentguard.posture.canary PACKAGE``."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version

from agentguard.posture.hooks import ABSENT

__all__ = ["run"]


def run(package: str) -> int:
    """0: every hook fired, with effect. ABSENT: the framework is not installed. 1: no, and stderr says why."""
    try:
        canary = importlib.import_module(f"{package}.canary")
        canary.prove_hooks()
    except Exception as error:  # noqa: BLE001  # whatever stops the canary is the answer
        if _framework_is_absent(package):
            return ABSENT
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _framework_is_absent(package: str) -> bool:
    """Whether a distribution that the adapter needs is missing; one that is only too old is there."""
    # An adapter whose import was refused leaves the module behind that refused it.
    floors = getattr(sys.modules.get(f"{package}.versions"), "FLOORS", {})
    return any(_absent(name) for name in floors)


def _absent(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
