"""Notices that the state database's file was deleted or replaced while it is open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from agentguard.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["StateFile"]


class StateFile:
    """The file behind an engine, as it was when this was made. A server, or a database in memory, has none.

    An open connection goes on using a deleted file, which no other process sees: counts would silently be this
    process's own.
    """

    def __init__(self, engine: Engine) -> None:
        name = engine.url.database
        self._path = name if engine.dialect.name == "sqlite" and name and name != ":memory:" else None
        self._identity = _identity(self._path) if self._path else None

    def check(self) -> None:
        """Pass while the file is the one it was.

        Raises:
            StoreError: it is gone, or another one.
        """
        if self._path is not None and _identity(self._path) != self._identity:
            raise StoreError(f"{self._path} was deleted or replaced while in use; restore it and restart")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116  # a microsecond, before every attempt
    except OSError:
        return None
    return found.st_dev, found.st_ino
