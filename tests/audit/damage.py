"""Reading and changing a log's database behind its back, as whoever owns the disk can."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

__all__ = ["TABLES", "change", "flipped", "flips", "identity", "insert", "rows", "where"]

TABLES = {
    "log": ("generation",),
    "key": ("key_id",),
    "frame": ("generation", "number"),
    "node": ("generation", "level", "position"),
    "checkpoint": ("generation", "number"),
    "shred": ("key_id",),
    "token": ("segment", "token", "generation", "frame"),
}


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    """Every row, in the engine's order."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f'SELECT * FROM "{table}"')]


def change(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    """Run statements in one transaction."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for sql, values in statements:
            connection.execute(sql, values)


def insert(path: Path, table: str, row: dict[str, Any]) -> None:
    """Put a row in, in place of one with the same key."""
    names = ", ".join(f'"{name}"' for name in row)
    sql = f'INSERT OR REPLACE INTO "{table}" ({names}) VALUES ({", ".join("?" * len(row))})'
    change(path, (sql, tuple(row.values())))


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


def flips(path: Path, *, every_byte: bool) -> Iterator[tuple[str, dict[str, Any], str, Any]]:
    """(table, row, column, new value): one random flip per cell, or one per byte."""
    chance = random.Random(7)
    for table in TABLES:
        for row in rows(path, table):
            for column, value in row.items():
                length = 1 if isinstance(value, int) else len(value)
                places = range(length) if every_byte else [chance.randrange(length)] if length else []
                for at in places:
                    yield table, row, column, flipped(value, at, chance.randrange(8))
