"""Who holds which role: in memory, or in the home's state database, where every process sees it.

A change holds at once in the process that made it and within a second in the others, which look at one counter twice a
second; ``strict`` looks at every check. When the database cannot be read nobody holds anything: the check raises.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from agentguard.store import Home, begin_immediate, open_state, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Row, Table

__all__ = ["Assignment", "AssignmentStore", "Kind", "MemoryAssignments", "StoredAssignments"]

Kind: TypeAlias = Literal["user", "agent", "service"]

# Half of the second within which a change must hold elsewhere.
FRESH_S = 0.5
# What is said of blocking must still be true when the check runs a moment later.
MARGIN_S = 0.05
# Principals whose assignments are remembered. A caller may invent ids: beyond this the memory starts anew.
MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role held by a principal.

    ``tenant``: the tenant it holds in; None for principals without one, ``*`` for every one. ``resource``: a glob, when
    it holds on those resources only. ``expires_at``: seconds since 1970, when it ends by itself.
    """

    user_id: str
    role: str
    kind: Kind = "user"
    tenant: str | None = None
    resource: str | None = None
    expires_at: float | None = None

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What makes two assignments the same one: all but the expiry."""
        return (self.kind, self.user_id, self.role, self.tenant or "", self.resource or "")

    def holds_in(self, tenant: str | None) -> bool:
        """Whether it counts for a principal of ``tenant``."""
        return self.tenant in ("*", tenant)


class AssignmentStore(Protocol):
    """Keeps assignments. ``record`` is called inside each change: when it raises, nothing is changed."""

    @property
    def blocking(self) -> bool:
        """Whether the next look may wait for a disk or a network."""
        ...

    def version(self) -> int:
        """Another number whenever an assignment may have changed."""
        ...

    def of(self, kind: str, user_id: str) -> tuple[Assignment, ...]:
        """The principal's assignments, expired ones perhaps included."""
        ...

    def all(self) -> tuple[Assignment, ...]:
        """Every assignment, sorted, expired ones perhaps included."""
        ...

    def put(self, assignment: Assignment, record: Callable[[], None]) -> None:
        """Add an assignment, or give an existing one its new expiry."""
        ...

    def remove(self, assignment: Assignment, record: Callable[[], None]) -> bool:
        """Take one away; False when there was none."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class MemoryAssignments:
    """Assignments of this process alone. Thread-safe."""

    blocking = False

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._held: dict[tuple[str, str], dict[tuple[str, ...], Assignment]] = {}
        self._version = 0

    def version(self) -> int:
        """As ``AssignmentStore.version``."""
        return self._version

    def of(self, kind: str, user_id: str) -> tuple[Assignment, ...]:
        """As ``AssignmentStore.of``."""
        with self._lock:
            return tuple(self._held.get((kind, user_id), {}).values())

    def all(self) -> tuple[Assignment, ...]:
        """As ``AssignmentStore.all``."""
        with self._lock:
            return tuple(sorted((a for held in self._held.values() for a in held.values()), key=lambda a: a.key))

    def put(self, assignment: Assignment, record: Callable[[], None]) -> None:
        """As ``AssignmentStore.put``."""
        with self._lock:
            record()
            self._prune()
            self._held.setdefault((assignment.kind, assignment.user_id), {})[assignment.key] = assignment
            self._version += 1

    def remove(self, assignment: Assignment, record: Callable[[], None]) -> bool:
        """As ``AssignmentStore.remove``."""
        with self._lock:
            holder = (assignment.kind, assignment.user_id)
            held = self._held.get(holder, {})
            if assignment.key not in held:
                return False
            record()
            del held[assignment.key]
            if not held:
                del self._held[holder]
            self._version += 1
            return True

    def close(self) -> None:
        """Nothing is open."""

    def _prune(self) -> None:
        now = self._clock()
        for holder, held in list(self._held.items()):
            for key in [k for k, a in held.items() if a.expires_at is not None and a.expires_at <= now]:
                del held[key]
            if not held:
                del self._held[holder]


class StoredAssignments:
    """Assignments in the state database of a home, shared by every process that opens it.

    Args:
        home: the project's folder; its database is opened at the first use.
        strict: read the store at every check.
        clock: seconds since 1970.
        ticks: monotonic seconds, for how old what is remembered may be.
    """

    def __init__(
        self,
        home: Home,
        *,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._fresh_s = 0.0 if strict else FRESH_S
        self._clock = clock
        self._ticks = ticks
        self._lock = threading.RLock()
        self._opened: tuple[Engine, Table, Table] | None = None
        self._due = float("-inf")
        self._version = 0
        self._empty = False
        self._seen: dict[tuple[str, str], tuple[Assignment, ...]] = {}

    @staticmethod
    def define(metadata: MetaData) -> tuple[Table, Table]:
        """Add the tables to the schema of the state database."""
        from sqlalchemy import BigInteger, Column, Float, Integer, String, Table

        assignments = Table(
            "role_assignment",
            metadata,
            Column("kind", String(16), primary_key=True),
            Column("user_id", String(256), primary_key=True),
            Column("role", String(128), primary_key=True),
            Column("tenant", String(256), primary_key=True),
            Column("resource", String(512), primary_key=True),
            Column("expires_at", Float(53)),
        )
        changes = Table(
            "role_change",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("version", BigInteger, nullable=False),
        )
        return assignments, changes

    @property
    def blocking(self) -> bool:
        """As ``AssignmentStore.blocking``: a look at the counter is due, or somebody's rows may have to be read."""
        return not self._empty or self._ticks() >= self._due - MARGIN_S

    def version(self) -> int:
        """As ``AssignmentStore.version``."""
        if self._ticks() >= self._due:
            self._look()
        return self._version

    def of(self, kind: str, user_id: str) -> tuple[Assignment, ...]:
        """As ``AssignmentStore.of``."""
        version = self.version()
        if self._empty:
            return ()
        found = self._seen.get((kind, user_id))
        return self._read(version, kind, user_id) if found is None else found

    def all(self) -> tuple[Assignment, ...]:
        """As ``AssignmentStore.all``."""
        engine, table, _ = self._tables()
        with self._errors(), engine.begin() as connection:
            rows = connection.execute(table.select().order_by(*table.primary_key.columns)).all()
        return tuple(map(_assignment, rows))

    def put(self, assignment: Assignment, record: Callable[[], None]) -> None:
        """As ``AssignmentStore.put``. Expired assignments are deleted."""
        engine, table, changes = self._tables()
        values = {**_key(assignment), "expires_at": assignment.expires_at}
        with self._changing(), begin_immediate(engine) as connection:
            connection.execute(table.delete().where(table.c.expires_at <= self._clock()))
            done = connection.execute(
                table.update().where(*_same(table, assignment)).values(expires_at=assignment.expires_at)
            )
            if done.rowcount == 0:
                connection.execute(table.insert().values(values))
            _count(connection, changes)
            record()

    def remove(self, assignment: Assignment, record: Callable[[], None]) -> bool:
        """As ``AssignmentStore.remove``."""
        engine, table, changes = self._tables()
        with self._changing(), begin_immediate(engine) as connection:
            if connection.execute(table.delete().where(*_same(table, assignment))).rowcount == 0:
                return False
            _count(connection, changes)
            record()
            return True

    def close(self) -> None:
        """Close the database's connections. A later use opens them again."""
        with self._lock:
            if self._opened is not None:
                self._opened[0].dispose()

    def _look(self) -> None:
        engine, table, changes = self._tables()
        with self._lock, self._errors():
            # Taken before the read: what is seen is at least as new as the time it is stamped with.
            due = self._ticks() + self._fresh_s
            self._due = float("-inf")
            with engine.begin() as connection:
                version = connection.execute(changes.select()).first()
                empty = connection.execute(table.select().limit(1)).first() is None
            if version is not None and version.version != self._version:
                self._version, self._seen = version.version, {}
            self._empty = empty
            self._due = due

    def _read(self, version: int, kind: str, user_id: str) -> tuple[Assignment, ...]:
        engine, table, _ = self._tables()
        with self._errors(), engine.begin() as connection:
            rows = connection.execute(table.select().where(table.c.kind == kind, table.c.user_id == user_id)).all()
        found = tuple(map(_assignment, rows))
        with self._lock:
            if version == self._version:
                if len(self._seen) >= MAX_REMEMBERED:
                    self._seen = {}
                self._seen[kind, user_id] = found
        return found

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            with self._errors():
                yield
        finally:
            # Whatever became of the change, the next check looks: a commit may have failed after it was done.
            self._due = float("-inf")

    def _errors(self) -> AbstractContextManager[None]:
        return storage_errors(self._home.state)

    def _tables(self) -> tuple[Engine, Table, Table]:
        with self._lock:
            if self._opened is None:
                from sqlalchemy import MetaData

                metadata = MetaData()
                tables = self.define(metadata)
                # FULL: a role taken back must not come back after a power cut.
                self._opened = (open_state(self._home, metadata), *tables)
            return self._opened


def _key(assignment: Assignment) -> dict[str, Any]:
    names = ("kind", "user_id", "role", "tenant", "resource")
    return dict(zip(names, assignment.key, strict=True))


def _same(table: Table, assignment: Assignment) -> list[Any]:
    return [table.c[name] == value for name, value in _key(assignment).items()]


def _count(connection: Any, changes: Table) -> None:
    done = connection.execute(changes.update().values(version=changes.c.version + 1))
    if done.rowcount == 0:
        connection.execute(changes.insert().values(id=1, version=1))


def _assignment(row: Row[Any]) -> Assignment:
    return Assignment(row.user_id, row.role, row.kind, row.tenant or None, row.resource or None, row.expires_at)
