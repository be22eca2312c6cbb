"""Where the logs of a trial are made, files in a folder or schemas of one fresh database on a real server; its time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from agentguard.store import Home

__all__ = ["Clock", "Ground"]


@dataclass(frozen=True, slots=True)
class Ground:
    """A folder for homes, and the database for their logs; None for SQLite files in the homes."""

    folder: Path
    url: str | None = None
    made: itertools.count[int] = field(default_factory=itertools.count, repr=False)

    def home(self, name: str) -> Home:
        """A fresh home."""
        if self.url is None:
            return Home.create(self.folder / name)
        return Home.create(self.folder / name, audit_url=f"{self.url}&schema=log_{next(self.made)}")


class Clock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * 10**9

    def time_ns(self) -> int:
        """Nanoseconds since 1970."""
        return self.now

    monotonic_ns = time_ns
