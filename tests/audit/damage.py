"""Reading and changing a log's database behind its back, as whoever owns the disk or the server can."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from agentguard.store import Home, ServerUrl

__all__ = [
    "TABLES",
    "Kept",
    "REFUSED",
    "change",
    "clone",
    "connected",
    "flipped",
    "flips",
    "identity",
    "insert",
    "keep",
    "put_back",
    "rows",
    "where",
]

TABLES = {
    "log": ("generation",),
    "key": ("key_id",),
    "frame": ("generation", "number"),
    "node": ("generation", "level", "position"),
    "checkpoint": ("generation", "number"),
    "shred": ("key_id",),
    "token": ("segment", "token", "generation", "frame"),
}

# What the engines themselves say to two rows with one key.
REFUSED = (sqlite3.IntegrityError, psycopg.IntegrityError)

# A whole database as it was: the file's bytes, or the schema that holds the copy.
Kept = bytes | str

_names = itertools.count()


def connected(server: ServerUrl) -> psycopg.Connection[dict[str, Any]]:
    """A connection of our own, in the log's schema."""
    query = server.url.query
    connection = psycopg.connect(
        host=server.url.host or str(query.get("host")),
        port=server.url.port or str(query.get("port", "5432")),
        user=server.url.username,
        password=server.url.password,
        dbname=server.url.database,
        row_factory=dict_row,
        options=f"-c search_path={server.schema}",
    )
    connection.prepare_threshold = None
    return connection


def rows(home: Home, table: str) -> list[dict[str, Any]]:
    """Every row, by its key."""
    order = ", ".join(f'"{name}"' for name in TABLES[table])
    query = f'SELECT * FROM "{table}" ORDER BY {order}'
    if home.audit_server is not None:
        with connected(home.audit_server) as server:
            return list(server.execute(query))
    with closing(sqlite3.connect(home.audit_path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]


def change(home: Home, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Run statements in one transaction."""
    if home.audit_server is not None:
        with connected(home.audit_server) as server:
            for sql, values in statements:
                server.execute(sql.replace("?", "%s"), values)
        return
    with closing(sqlite3.connect(home.audit_path)) as connection, connection:
        for sql, values in statements:
            connection.execute(sql, values)


def insert(home: Home, table: str, row: dict[str, Any]) -> None:
    """Put a row in, in place of one with the same key."""
    names = ", ".join(f'"{name}"' for name in row)
    change(
        home,
        (f'DELETE FROM "{table}" WHERE {where(table)}', identity(table, row)),
        (f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(row))})', tuple(row.values())),
    )


def keep(home: Home) -> Kept:
    """The whole database as it is now, for ``put_back``."""
    if home.audit_server is None:
        return home.audit_path.read_bytes()
    return _copied(home.audit_server)


def put_back(home: Home, kept: Kept) -> None:
    """Make the database what it was."""
    if isinstance(kept, bytes):
        home.audit_path.write_bytes(kept)
        return
    assert home.audit_server is not None
    with connected(home.audit_server) as server:
        for name in _tables(server, kept):
            server.execute(f'DELETE FROM "{name}"')
            server.execute(f'INSERT INTO "{name}" SELECT * FROM "{kept}"."{name}"')


def clone(home: Home, folder: Path) -> Home:
    """A second home with the same key, pin and log, free to be damaged."""
    shutil.copytree(home.path, folder)
    if home.audit_server is not None:
        schema = _copied(home.audit_server)
        url = ServerUrl(home.audit_server.url, schema, home.audit_server.statement_timeout_s).secret_text()
        (folder / "databases.json").write_text(json.dumps({"audit": url}))
    return Home.open(folder)


def _copied(place: ServerUrl) -> str:
    schema = f"{place.schema[:40]}_copy_{next(_names)}"
    with connected(place) as server:
        server.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        server.execute(f'CREATE SCHEMA "{schema}"')
        for name in _tables(server, place.schema):
            server.execute(f'CREATE TABLE "{schema}"."{name}" (LIKE "{name}" INCLUDING ALL)')
            server.execute(f'INSERT INTO "{schema}"."{name}" SELECT * FROM "{name}"')
    return schema


def _tables(server: psycopg.Connection[dict[str, Any]], schema: str) -> list[str]:
    found = server.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,))
    return [str(row["tablename"]) for row in found]


def where(table: str) -> str:
    """The condition that picks one row."""
    return " AND ".join(f'"{name}" = ?' for name in TABLES[table])


def identity(table: str, row: dict[str, Any]) -> tuple[Any, ...]:
    """The values for ``where``."""
    return tuple(row[name] for name in TABLES[table])


def flipped(value: Any, at: int, bit: int) -> Any:
    """The value with one bit changed."""
    if isinstance(value, int):
        return value ^ (1 << bit)
    if isinstance(value, str):
        return value[:at] + chr(ord(value[at]) ^ (1 << (bit % 6))) + value[at + 1 :]
    return value[:at] + bytes([value[at] ^ (1 << bit)]) + value[at + 1 :]


def flips(home: Home, *, every_byte: bool) -> Iterator[tuple[str, dict[str, Any], str, Any]]:
    """(table, row, column, new value): one random flip per cell, or one per byte."""
    chance = random.Random(7)
    for table in TABLES:
        for row in rows(home, table):
            for column, value in row.items():
                length = 1 if isinstance(value, int) else len(value)
                places = range(length) if every_byte else [chance.randrange(length)] if length else []
                for at in places:
                    yield table, row, column, flipped(value, at, chance.randrange(8))
