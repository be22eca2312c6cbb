"""Opening a log's database: which log it is, its keys, and whether it is the one this home began."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from agentguard.audit import schema
from agentguard.audit.checkpoint import VerifierKey
from agentguard.audit.keyring import KeyRing, LogIdentity
from agentguard.audit.writer import first_checkpoint
from agentguard.errors import AgentGuardError, AuditError, StoreUnavailable, TamperError
from agentguard.keys import KeySource, home_keys
from agentguard.store import Home, Place, atomic_file, begin_immediate, open_engine, store_error

__all__ = ["DAMAGE", "open_database", "read_errors", "storage_damage", "truncate_wal", "unavailable"]

# What a damaged file makes the engine and our own decoding raise. AttributeError: a damaged page reads as NULL where
# the schema promises a value.
DAMAGE = (SQLAlchemyError, sqlite3.Error, ValueError, TypeError, AttributeError, OverflowError)


def open_database(
    home: Home, keys: KeySource | None, *, now: int, create: bool = True, generation: int = 1
) -> tuple[Engine, KeyRing]:
    """Open the log of a home with its keys, or begin it as ``generation`` when the home is new.

    Raises:
        KeySourceError: no key, or another one than the log was made with.
        StoreUnavailable: the server cannot be used at present.
        StoreError: the database cannot be used.
        TamperError: the log was replaced, or its keys were changed.
    """
    source = keys if keys is not None else home_keys(home)
    source.kek()  # before anything is made: a home without a key stays untouched
    engine = open_engine(
        home.audit,
        application_id=schema.APPLICATION_ID,
        schema_version=schema.SCHEMA_VERSION,
        metadata=schema.metadata,
        migrations=schema.MIGRATIONS,
        create=create and not home.verifier_path.exists(),
    )
    try:
        with read_errors(home.audit):
            return engine, _open_ring(engine, home, source, now, generation)
    except BaseException:
        engine.dispose()
        raise


def truncate_wal(engine: Engine) -> bool:
    """Move everything into the database and empty the write-ahead log; False while another process reads it.

    PostgreSQL keeps its log, and old pages, for as long as its settings say: False.
    """
    if engine.dialect.name != "sqlite":
        return False
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        row = cursor.fetchone()
        cursor.close()
        return row is not None and row[0] == 0
    finally:
        connection.close()


def storage_damage(connection: Connection, place: Place) -> str | None:
    """What is wrong with the storage itself where no row shows it; None when nothing is, or a server answers for it."""
    if not isinstance(place, Path):
        return None
    # Bytes no row accounts for, index entries without a row.
    if connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one() != "ok":
        return "the database file's own structure is damaged"
    # The engine reads a page that was cut short as if zeros followed, which may be what stood there.
    page = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    return "the database file was cut within a page" if place.stat().st_size % page else None


def unavailable(error: Exception, place: Place) -> StoreUnavailable | None:
    """The error to raise when a server could not be asked, so that nothing is known of the log; None for damage."""
    found = store_error(error, place)
    return found if isinstance(found, StoreUnavailable) else None


@contextmanager
def read_errors(place: Place) -> Iterator[None]:
    """Nothing but our own errors gets out of a damaged database."""
    try:
        yield
    except AgentGuardError:
        raise
    except DAMAGE as error:
        raise unavailable(error, place) or AuditError(
            f"{place} is damaged ({type(error).__name__}); run `agentguard audit verify`"
        ) from error


def _open_ring(engine: Engine, home: Home, source: KeySource, now: int, generation: int) -> KeyRing:
    with begin_immediate(engine) as connection:
        row = connection.execute(select(schema.logs).order_by(schema.logs.c.generation.desc())).mappings().first()
        pinned = home.verifier_path.exists()
        if row is None:
            if pinned:
                raise TamperError(f"{home.audit} was emptied; restore a backup")
            ring = KeyRing.create(connection, source, now=now, generation=generation)
            first_checkpoint(connection, ring, now)
        else:
            ring = KeyRing(LogIdentity.from_row(row), source)
            ring.load(connection)
    _check_pin(home, ring.identity.verifier, pinned=pinned)
    return ring


def _check_pin(home: Home, verifier: VerifierKey, *, pinned: bool) -> None:
    if not pinned:
        with atomic_file(home.verifier_path) as file:
            file.write(f"{verifier}\n".encode())
    elif home.verifier_path.read_text("utf-8").strip() != str(verifier):
        raise TamperError(f"{home.audit} is not the log of this home ({home.verifier_path}); restore a backup")
