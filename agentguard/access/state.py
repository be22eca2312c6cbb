"""The state database of a home, as one part sees it: opened at the first use, with that part's tables."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Generic, TypeVar

from agentguard.store import Home, open_state, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData

__all__ = ["FRESH_S", "StateTables"]

# What a process remembers of the database is at most so old: half of the second within which a change must hold.
FRESH_S = 0.5

Tables = TypeVar("Tables")


class StateTables(Generic[Tables]):
    """The tables of one part. Thread-safe; what is committed survives a power cut.

    Args:
        home: the project's folder.
        define: adds the tables to a schema.
    """

    def __init__(self, home: Home, define: Callable[[MetaData], Tables]) -> None:
        self._home = home
        self._define = define
        self._lock = threading.Lock()
        self._opened: tuple[Engine, Tables] | None = None

    def open(self) -> tuple[Engine, Tables]:
        """The database's engine, and the tables.

        Raises:
            StoreError: the database cannot be used.
        """
        with self._lock:
            if self._opened is None:
                from sqlalchemy import MetaData

                metadata = MetaData()
                tables = self._define(metadata)
                self._opened = (open_state(self._home, metadata), tables)
            return self._opened

    def errors(self) -> AbstractContextManager[None]:
        """Turns the engine's errors into ``StoreError``."""
        return storage_errors(self._home.state)

    def close(self) -> None:
        """Close the connections. A later use opens them again."""
        with self._lock:
            if self._opened is not None:
                self._opened[0].dispose()
