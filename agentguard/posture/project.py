"""What is examined: one project's home and policy, read once for all checks. Nothing of it is changed."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from agentguard.audit import VerifyReport, verify
from agentguard.policy import Policy
from agentguard.policy.document import read_file
from agentguard.store import Home

if TYPE_CHECKING:
    from agentguard.policy.toolspec import ToolSpec

__all__ = ["Limits", "Project", "StandingClock", "listed"]

# Names told in one piece of evidence; the rest is counted.
MAX_NAMED = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """From what age on something is called weak.

    ``key``: an API key's value. ``session``: a live session nobody used. ``review``: a role's assignment. ``anchor``:
    the checkpoint remembered outside. ``certificate``: what a CA's certificate must still have before its end.
    """

    key: timedelta = timedelta(days=90)
    session: timedelta = timedelta(days=7)
    review: timedelta = timedelta(days=90)
    anchor: timedelta = timedelta(days=7)
    certificate: timedelta = timedelta(days=30)


class StandingClock:
    """One moment, seconds since 1970, for a verification."""

    def __init__(self, moment: float) -> None:
        self._ns = int(moment * 1e9)

    def time_ns(self) -> int:
        """The moment."""
        return self._ns

    def monotonic_ns(self) -> int:
        """No time goes by."""
        return self._ns


class Project:
    """One project. What cannot be read raises its own error at each check that needs it.

    Args:
        home: the project's folder.
        policy: the policy file.
        anchor: the file outside the log that remembers its last verified state.
        tools: the application's own definitions.
        limits: ages.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        home: Path,
        policy: Path,
        *,
        anchor: Path | None = None,
        tools: Sequence[ToolSpec] | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.home_path = home
        self.policy_path = policy
        self.anchor = anchor
        self.tools = tools
        self.limits = limits or Limits()
        self.clock = clock

    @cached_property
    def home(self) -> Home:
        """The opened home; raises ``StoreError``."""
        return Home.open(self.home_path)

    @cached_property
    def policy_text(self) -> str:
        """The policy as written; raises ``PolicyError``."""
        return read_file(str(self.policy_path), missing="no such policy file; `agentguard init` writes one")

    @cached_property
    def policy(self) -> Policy:
        """The policy as it is loaded; raises ``PolicyError``."""
        return Policy.parse(self.policy_text, path=str(self.policy_path))

    @property
    def log_begun(self) -> bool:
        """Whether there ever was a record: an emptied log is no new one."""
        if self.home.verifier_path.exists() or self.home.audit_server is not None:
            return True
        return self.home.audit_path.stat().st_size > 0

    @cached_property
    def verified(self) -> VerifyReport:
        """The log, checked from end to end before anything here opens it; raises as ``verify``."""
        with self.scratch() as folder:
            anchor = None
            if self.anchor is not None and self.anchor.exists():
                # Verifying moves an anchor on: that is for `audit verify` to do.
                anchor = folder / "anchor"
                shutil.copyfile(self.anchor, anchor)
            return verify(self.home, anchor=anchor, clock=StandingClock(self.clock()))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private folder for copies and trials, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="agentguard-posture-") as name:
            yield Path(name)


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many there are."""
    shown = ", ".join(ascii(name)[1:-1][:60] for name in names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown} and {len(names) - MAX_NAMED} more"
