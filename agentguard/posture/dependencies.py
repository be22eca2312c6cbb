"""Known vulnerabilities of the installed packages, by pip-audit, where it is installed and reaches its database."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess  # pip-audit is a program
import sys
import sysconfig
from collections.abc import Sequence
from typing import Any

from agentguard.posture.item import Item
from agentguard.posture.project import Project, listed

__all__ = ["DependencyAudit"]

TIMEOUT_S = 180.0


class DependencyAudit:
    """Runs pip-audit over the packages of this Python.

    Args:
        command: the program and its first arguments; found beside this Python or on PATH when absent.
    """

    def __init__(self, command: Sequence[str] | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        self._command = list(command) if command is not None else _found()
        self._timeout_s = timeout_s

    def __call__(self, project: Project) -> Item:
        """What pip-audit knows; unknown packages and failures are no all-clear."""
        if not self._command:
            return Item.unchecked("pip-audit is not installed", "pip install pip-audit, where CI runs this")
        folders = sorted({sysconfig.get_path(kind) for kind in ("purelib", "platlib")})
        paths = [word for folder in folders for word in ("--path", folder)]
        try:
            done = subprocess.run(  # noqa: S603  # fixed words
                [*self._command, "--format", "json", "--progress-spinner", "off", *paths],
                capture_output=True,
                text=True,
                check=False,
                timeout=self._timeout_s,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Item.unchecked(f"pip-audit did not run ({type(error).__name__})", "run pip-audit by hand")
        return _judged(done.stdout, done.stderr)


def _judged(output: str, talk: str) -> Item:
    try:
        packages = _packages(json.loads(output))
    except (ValueError, TypeError, KeyError, AttributeError):
        last = next((line for line in reversed(talk.splitlines()) if line.strip()), "no output")
        return Item.unchecked(
            f"pip-audit gave no result: {ascii(last)[1:-1][:120]}", "let it reach its database, or run it where it can"
        )
    vulnerable = {name: ids for name, ids, _ in packages if ids}
    skipped = [name for name, _, skip in packages if skip]
    checked = len(packages) - len(skipped)
    if vulnerable:
        named = [f"{name} ({', '.join(ids[:3])})" for name, ids in vulnerable.items()]
        return Item.failed(f"known vulnerabilities in {listed(named)}", "update these packages")
    # A mirror that answers for few packages must not vouch for all of them.
    if checked <= len(skipped):
        return Item.unchecked(
            f"pip-audit knew {checked} of {len(packages)} packages", "let it reach its database, or run it where it can"
        )
    left = f"; not known to it: {listed(skipped)}" if skipped else ""
    return Item.ok(f"no known vulnerability in {checked} packages{left}")


def _packages(report: Any) -> list[tuple[str, list[str], bool]]:
    rows = report["dependencies"]
    return [(row["name"], [one["id"] for one in row.get("vulns", ())], "skip_reason" in row) for row in rows]


def _found() -> list[str]:
    if importlib.util.find_spec("pip_audit") is not None:
        return [sys.executable, "-m", "pip_audit"]
    program = shutil.which("pip-audit")
    return [program] if program else []
