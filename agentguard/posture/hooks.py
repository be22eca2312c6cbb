"""The canaries of the installed framework adapters: does this framework really call our hooks?"""

from __future__ import annotations

import pkgutil
import subprocess  # frameworks change the process that imports them
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from agentguard.posture.item import Item
from agentguard.posture.probe import interpreter
from agentguard.posture.project import Project

__all__ = ["adapters", "prove"]

PREFIX = "agentguard_"
TIMEOUT_S = 180.0
# What the canary's process says when the framework is not there.
ABSENT = 4


def adapters(packages: Sequence[str] | None = None) -> list[str]:
    """The adapters found, by package name, that have a canary."""
    names = packages if packages is not None else [found.name for found in pkgutil.iter_modules()]
    return sorted(name for name in names if name.startswith(PREFIX) and _has_canary(name))


def prove(package: str) -> Callable[[Project], Item | None]:
    """A check that runs the package's canary in a process of its own; None when its framework is not installed."""

    def run(_project: Project) -> Item | None:
        worker = interpreter("agentguard.posture.canary", package)
        try:
            _, talk = worker.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.communicate()
            return Item.unchecked(f"the canary did not end within {TIMEOUT_S:.0f} s", "check again")
        if worker.returncode == ABSENT:
            return None
        if worker.returncode == 0:
            return Item.ok(f"the canary of {package} saw every hook fire, with effect")
        last = next((line for line in reversed(talk.splitlines()) if line.strip()), "no reason given")
        return Item.failed(ascii(last)[1:-1][:200], "use a version of the framework that the adapter was tested with")

    return run


def _has_canary(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and any(
        module.name == "canary" for module in pkgutil.iter_modules(spec.submodule_search_locations)
    )
