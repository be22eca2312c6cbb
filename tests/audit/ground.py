"""Where the logs of a trial are made: files in a folder, or schemas of one fresh database on a real server."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from agentguard.store import Home

__all__ = ["Ground"]


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
