"""Sessions in the state database of a home: one row each, deleted when its time is over.

What a process remembers of a session is at most half a second old, so that a revocation holds within a second
everywhere, and at once in the process that made it; ``strict`` reads the row at every check.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from agentguard.access.assignment import Kind
from agentguard.store import Home, begin_immediate, open_state, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table

__all__ = ["SessionStore", "StoredSession"]

FRESH_S = 0.5
# Sessions whose rows are remembered; beyond this the memory starts anew.
MAX_REMEMBERED = 10_000
# Ended sessions are deleted this often by a process that opens new ones.
PRUNE_S = 60.0


@dataclass(slots=True)
class StoredSession:
    """A session as it is stored. Times are seconds since 1970.

    ``generation`` counts its refresh tokens; ``sealed`` holds what the application keeps in it, encrypted under the key
    named ``key_id``; ``opened`` is that, once it was decrypted.
    """

    id: str
    user_id: str
    kind: Kind
    tenant: str | None
    created_at: float
    seen_at: float
    expires_at: float
    idle_s: float
    generation: int
    revoked_at: float | None
    key_id: str
    sealed: bytes = field(repr=False)
    opened: tuple[tuple[str, ...], bytes] | None = field(default=None, repr=False, compare=False)

    def problem(self, now: float) -> Literal["revoked", "expired", "idle"] | None:
        """Why it is over; None while it lives."""
        if self.revoked_at is not None:
            return "revoked"
        if now >= self.expires_at:
            return "expired"
        return "idle" if now - self.seen_at >= self.idle_s else None

    def advanced(self, now: float) -> StoredSession:
        """As after one refresh."""
        return replace(self, generation=self.generation + 1, seen_at=now)


class SessionStore:
    """The sessions of one home. Thread-safe.

    Args:
        home: the project's folder; its database is opened at the first use.
        strict: read the row at every check.
        ticks: monotonic seconds, for how old what is remembered may be.
    """

    def __init__(self, home: Home, *, strict: bool = False, ticks: Callable[[], float] = time.monotonic) -> None:
        self._home = home
        self._fresh_s = 0.0 if strict else FRESH_S
        self._ticks = ticks
        self._lock = threading.RLock()
        self._opened: tuple[Engine, Table] | None = None
        self._seen: dict[str, tuple[StoredSession, float]] = {}
        self._era = 0
        self._prune_at = float("-inf")

    @staticmethod
    def define(metadata: MetaData) -> Table:
        """Add the table to the schema of the state database."""
        from sqlalchemy import BigInteger, Column, Float, LargeBinary, String, Table

        return Table(
            "session",
            metadata,
            Column("id", String(32), primary_key=True),
            Column("user_id", String(256), nullable=False, index=True),
            Column("kind", String(16), nullable=False),
            Column("tenant", String(256)),
            Column("created_at", Float(53), nullable=False),
            Column("seen_at", Float(53), nullable=False),
            Column("expires_at", Float(53), nullable=False, index=True),
            Column("idle_s", Float(53), nullable=False),
            Column("generation", BigInteger, nullable=False),
            Column("revoked_at", Float(53)),
            Column("key_id", String(32), nullable=False),
            Column("sealed", LargeBinary, nullable=False),
        )

    def recall(self, session_id: str) -> StoredSession | None:
        """The session as it was at most half a second ago."""
        seen = self._seen.get(session_id)
        if seen is not None and self._ticks() < seen[1]:
            return seen[0]
        return self.read(session_id)

    def read(self, session_id: str) -> StoredSession | None:
        """The session as it is."""
        engine, table = self._table()
        era, until = self._era, self._ticks() + self._fresh_s
        with self._errors(), engine.begin() as connection:
            found = connection.execute(table.select().where(table.c.id == session_id)).first()
        row = None if found is None else _row(found)
        with self._lock:
            before = self._seen.pop(session_id, None)
            # A change made here since must not be forgotten for what was read before it.
            if row is not None and era == self._era:
                if before is not None and before[0].sealed == row.sealed:
                    row.opened = before[0].opened
                if len(self._seen) >= MAX_REMEMBERED:
                    self._seen = {}
                self._seen[session_id] = (row, until)
        return row

    def all(self, user_id: str | None = None) -> tuple[StoredSession, ...]:
        """Every session that is stored, newest first; of one user when given."""
        engine, table = self._table()
        query = table.select().order_by(table.c.created_at.desc(), table.c.id)
        if user_id is not None:
            query = query.where(table.c.user_id == user_id)
        with self._errors(), engine.begin() as connection:
            return tuple(map(_row, connection.execute(query).all()))

    def add(self, row: StoredSession, most: int, record: Callable[[Sequence[str]], None]) -> None:
        """Store a new session. The user's oldest are ended so that at most ``most`` live, this one included.

        ``record`` is called inside with the ids of those; when it raises, nothing is changed.
        """
        engine, table = self._table()
        ended: list[str] = []
        with self._changing(ended), begin_immediate(engine) as connection:
            if row.created_at >= self._prune_at:
                connection.execute(table.delete().where(table.c.expires_at <= row.created_at))
                self._prune_at = row.created_at + PRUNE_S
            ended.extend(self._displaced(connection, table, row, most))
            connection.execute(table.insert().values(_values(row)))
            record(ended)

    def touch(self, session_id: str, now: float) -> bool:
        """Note a use; False when it was revoked, or somebody noted a later one."""
        engine, table = self._table()
        with self._errors(), engine.begin() as connection:
            done = connection.execute(
                table.update()
                .where(table.c.id == session_id, table.c.revoked_at.is_(None), table.c.seen_at < now)
                .values(seen_at=now)
            )
        seen = self._seen.get(session_id)
        if seen is not None:
            seen[0].seen_at = max(seen[0].seen_at, now)
        return done.rowcount == 1

    def advance(self, session_id: str, generation: int, now: float) -> bool:
        """Use up the refresh token of this generation: True for exactly one of all who try."""
        engine, table = self._table()
        with self._changing([session_id]), begin_immediate(engine) as connection:
            done = connection.execute(
                table.update()
                .where(
                    table.c.id == session_id,
                    table.c.generation == generation,
                    table.c.revoked_at.is_(None),
                    table.c.expires_at > now,
                )
                .values(generation=generation + 1, seen_at=now)
            )
            return done.rowcount == 1

    def revoke(
        self,
        now: float,
        record: Callable[[int], None],
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        kind: str | None = None,
        tenant: str | None = None,
    ) -> int:
        """End the living sessions that match, all when nothing is given; how many.

        ``record`` is called inside with the number, unless it is 0; when it raises, nothing is changed.
        """
        engine, table = self._table()
        wanted = {"id": session_id, "user_id": user_id, "kind": kind, "tenant": tenant}
        matching = [table.c[name] == value for name, value in wanted.items() if value is not None]
        with self._changing(None if session_id is None else [session_id]), begin_immediate(engine) as connection:
            living = (table.c.revoked_at.is_(None), table.c.expires_at > now)
            done = connection.execute(table.update().where(*living, *matching).values(revoked_at=now))
            if done.rowcount:
                record(done.rowcount)
            return int(done.rowcount)

    def close(self) -> None:
        """Close the database's connections. A later use opens them again."""
        with self._lock:
            if self._opened is not None:
                self._opened[0].dispose()

    def _displaced(self, connection: Any, table: Table, row: StoredSession, most: int) -> list[str]:
        mine = (table.c.user_id == row.user_id, table.c.kind == row.kind, table.c.revoked_at.is_(None))
        living = connection.execute(
            table.select()
            .with_only_columns(table.c.id)
            .where(*mine, table.c.expires_at > row.created_at)
            .order_by(table.c.created_at.desc(), table.c.id)
        ).scalars()
        ended = list(living)[most - 1 :]
        for session_id in ended:
            connection.execute(table.update().where(table.c.id == session_id).values(revoked_at=row.created_at))
        return ended

    @contextmanager
    def _changing(self, session_ids: Sequence[str] | None) -> Iterator[None]:
        """Forget these sessions afterwards, all when None, whatever became of the change."""
        try:
            with self._errors():
                yield
        finally:
            with self._lock:
                self._era += 1
                if session_ids is None:
                    self._seen = {}
                else:
                    for session_id in session_ids:
                        self._seen.pop(session_id, None)

    def _errors(self) -> AbstractContextManager[None]:
        return storage_errors(self._home.state)

    def _table(self) -> tuple[Engine, Table]:
        with self._lock:
            if self._opened is None:
                from sqlalchemy import MetaData

                metadata = MetaData()
                table = self.define(metadata)
                # FULL: a revoked session must not come back after a power cut.
                self._opened = (open_state(self._home, metadata), table)
            return self._opened


_COLUMNS = (
    "id",
    "user_id",
    "kind",
    "tenant",
    "created_at",
    "seen_at",
    "expires_at",
    "idle_s",
    "generation",
    "revoked_at",
    "key_id",
    "sealed",
)


def _row(found: Any) -> StoredSession:
    values = {name: getattr(found, name) for name in _COLUMNS}
    return StoredSession(**{**values, "sealed": bytes(values["sealed"])})


def _values(row: StoredSession) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _COLUMNS}
