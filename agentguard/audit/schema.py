"""The tables of the audit log. No row is ever updated but a key's wrapping; only shredding and retention delete.

``generation`` counts logs begun anew after a proven loss; each has its own tree, keys and origin.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

from agentguard.store import Migration

__all__ = [
    "APPLICATION_ID",
    "MIGRATIONS",
    "SCHEMA_VERSION",
    "checkpoints",
    "frames",
    "keys",
    "logs",
    "metadata",
    "nodes",
    "segment",
    "shreds",
    "tokens",
]

# "AGal" in ASCII.
APPLICATION_ID = 0x4147616C
SCHEMA_VERSION = 2
# Schema 1 was never released.
MIGRATIONS: Mapping[int, Migration] = {}

metadata = MetaData()


def _generation() -> Column[int]:
    return Column("generation", Integer, primary_key=True, autoincrement=False)


logs = Table(
    "log",
    metadata,
    _generation(),
    Column("log_id", LargeBinary, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("public_key", LargeBinary, nullable=False),
)

keys = Table(
    "key",
    metadata,
    Column("key_id", LargeBinary, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("purpose", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("first_frame", BigInteger, nullable=False),
    Column("kek_id", LargeBinary, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)

frames = Table(
    "frame",
    metadata,
    _generation(),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("first_index", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("t_min", BigInteger, nullable=False),
    Column("t_max", BigInteger, nullable=False),
    Column("key_id", LargeBinary, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("previous", LargeBinary, nullable=False),
    Column("tokens_hash", LargeBinary, nullable=False),
    Column("leaves", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
)
# Proofs look for the frame of a record, queries for the frames of a time.
Index("frame_first_index", frames.c.generation, frames.c.first_index)
Index("frame_time", frames.c.generation, frames.c.t_max)

nodes = Table(
    "node",
    metadata,
    _generation(),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

checkpoints = Table(
    "checkpoint",
    metadata,
    _generation(),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", LargeBinary, nullable=False),
)

# Random tokens in one tree would touch a page each, ever more as the log grows. In a tree per stretch of records an
# append touches the same hundred pages whatever the log's size, and a search probes one place per stretch.
SEGMENT_RECORDS = 16_384


def segment(first_index: int) -> int:
    """Which stretch of the index the frame that begins with record ``first_index`` belongs to."""
    return first_index // SEGMENT_RECORDS


tokens = Table(
    "token",
    metadata,
    Column("segment", BigInteger, primary_key=True, autoincrement=False),
    Column("token", LargeBinary, primary_key=True),
    _generation(),
    Column("frame", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# What was made unreadable on purpose: one signed statement per deleted key.
shreds = Table(
    "shred",
    metadata,
    Column("key_id", LargeBinary, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("note", LargeBinary, nullable=False),
)
