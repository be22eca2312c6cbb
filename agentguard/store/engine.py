"""Opening a database with the tables a part needs: version checked or migrated, locked for writing, errors translated.

Engines survive ``fork``: neither a SQLite connection (https://sqlite.org/howtocorrupt.html section 2.6) nor a socket to
a server may cross it.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, MetaData
from sqlalchemy.exc import SQLAlchemyError

from agentguard.errors import StoreError
from agentguard.store.home import Home, Place
from agentguard.store.postgresql import PostgreSQL, ServerUrl, server_error
from agentguard.store.sqlite import IMMEDIATE, SQLite

__all__ = [
    "Migration",
    "begin_immediate",
    "begin_snapshot",
    "open_engine",
    "open_state",
    "storage_errors",
    "store_error",
]

STATE_APPLICATION_ID = 0x41475354  # "AGST"
STATE_SCHEMA_VERSION = 1

# Brings a database from one schema version to the next, inside the transaction that also notes the new version.
Migration = Callable[[Connection], None]
STATE_MIGRATIONS: Mapping[int, Migration] = {}


@dataclass(frozen=True, slots=True)
class _Opened:
    place: Place
    backend: SQLite | PostgreSQL
    schema_version: int


# An idle pooled connection inherited by a child would make SQLite there believe it holds the parent's locks.
_engines: weakref.WeakKeyDictionary[Engine, _Opened] = weakref.WeakKeyDictionary()


def open_engine(
    place: Place,
    *,
    application_id: int,
    schema_version: int,
    metadata: MetaData,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    create: bool = True,
    migrations: Mapping[int, Migration] | None = None,
) -> Engine:
    """Open a database and make the tables of ``metadata`` that it lacks.

    Write through ``begin_immediate``, read through ``engine.begin()``, or ``begin_snapshot`` when several statements
    must see one state. Several parts may open the same database with different ``metadata``, as long as application id
    and version agree. Safe to keep across ``fork``.

    Args:
        place: a SQLite file, or a schema on a PostgreSQL server.
        application_id: 32-bit number that tells our database from another program's.
        schema_version: a newer one in the database is refused, and so is an older one that ``migrations`` do not
            lead away from.
        synchronous: ``FULL`` survives power loss after every commit; ``NORMAL`` may lose the last commits, never tears.
        create: False refuses an empty database instead of filling it.
        migrations: version to the step that leads to the next; all run in one transaction, others wait meanwhile.

    Raises:
        StoreUnavailable: the server cannot be reached, or does not let us in.
        StoreError: the database is unsafe, damaged, foreign, or from another schema version.
    """
    backend = PostgreSQL(place) if isinstance(place, ServerUrl) else SQLite(place, create=create)
    engine = backend.engine(synchronous)
    opened = _Opened(place, backend, schema_version)
    try:
        with storage_errors(place), _write_locked(engine, backend) as connection:
            _prepare(connection, opened, application_id, migrations or {}, create=create)
            if create:
                metadata.create_all(connection)
    except BaseException:
        engine.dispose()
        raise
    _engines[engine] = opened
    return engine


def open_state(home: Home, metadata: MetaData, *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> Engine:
    """Open the home's state database, with the tables of ``metadata`` made when absent.

    Every part that keeps something there (rates, approvals, roles, sessions, keys) defines its own tables and opens
    the database through this; the engines are independent and agree on the database.

    Args:
        synchronous: ``FULL`` for what must not be lost in a power cut, ``NORMAL`` for what may lose its last commits.

    Raises:
        StoreUnavailable, StoreError: see ``open_engine``.
    """
    return open_engine(
        home.state,
        application_id=STATE_APPLICATION_ID,
        schema_version=STATE_SCHEMA_VERSION,
        metadata=metadata,
        synchronous=synchronous,
        migrations=STATE_MIGRATIONS,
    )


@contextmanager
def begin_immediate(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds the write lock from its start: what it reads is still true when it writes.

    Raises:
        StoreError: another process has brought the database to a schema that this one does not know.
    """
    opened = _engines.get(engine)
    with _write_locked(engine, opened.backend if opened else None) as connection:
        if opened is not None:
            found = opened.backend.version(connection)
            if found is None or found[1] != opened.schema_version:
                raise StoreError(f"{opened.place} was given another schema meanwhile; restart with that AgentGuard")
        yield connection


@contextmanager
def begin_snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction for reading in which every statement sees the database as it was at the first."""
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            yield connection
        return
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection, connection.begin():
        yield connection


@contextmanager
def storage_errors(place: Place | Engine) -> Iterator[None]:
    """Turn engine errors into ``StoreError``. The statement and its parameters stay out of the message.

    Args:
        place: the database, or the engine that ``open_engine`` gave for it.
    """
    try:
        yield
    except (SQLAlchemyError, UnicodeError) as error:
        raise store_error(error, place) from error


def store_error(error: Exception, place: Place | Engine) -> StoreError:
    """What an engine's error means: ``StoreUnavailable`` when a server did not let us read or write at all."""
    if isinstance(place, Engine):
        opened = _engines.get(place)
        place = opened.place if opened else Path(place.url.database or "")
    if isinstance(place, ServerUrl):
        return server_error(error, place)
    reason = getattr(error, "orig", None) or type(error).__name__
    return StoreError(f"{place} cannot be used as a database ({reason}); check the disk, or restore a backup")


@contextmanager
def _write_locked(engine: Engine, backend: SQLite | PostgreSQL | None) -> Iterator[Connection]:
    with engine.connect() as plain:
        connection = plain.execution_options(**{IMMEDIATE: True})
        with connection.begin():
            if backend is not None:
                backend.acquire(connection)
            yield connection


def _prepare(
    connection: Connection,
    opened: _Opened,
    application_id: int,
    migrations: Mapping[int, Migration],
    *,
    create: bool,
) -> None:
    place, backend, wanted = opened.place, opened.backend, opened.schema_version
    found = backend.version(connection)
    if found is None:
        if not create:
            raise StoreError(f"{place} is empty; restore a backup")
        backend.begin_schema(connection, application_id, wanted)
        return
    found_id, version = found
    if found_id != application_id:
        raise StoreError(f"{place} belongs to another program (application id {found_id:#x}); choose another place")
    # A trigger or view in the database would run inside our own statements.
    if backend.holds_code(connection):
        raise StoreError(f"{place} holds a trigger or view that AgentGuard did not make; restore a backup")
    steps = range(version, wanted)
    if version > wanted or any(step not in migrations for step in steps):
        remedy = "upgrade AgentGuard" if version > wanted else "use the release that made it"
        raise StoreError(f"{place} has schema {version}, this AgentGuard knows {wanted}; {remedy}")
    for step in steps:
        migrations[step](connection)
    if steps:
        backend.set_version(connection, wanted)


def _before_fork() -> None:
    for engine in list(_engines):
        with contextlib.suppress(SQLAlchemyError):
            engine.dispose()


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        engine.dispose(close=False)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
