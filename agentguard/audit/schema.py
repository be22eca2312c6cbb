"""The tables of ``audit.db``. No row is ever updated; only shredding and retention delete.

``generation`` counts logs begun anew after a proven loss; each has its own tree, keys and origin.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "checkpoints", "frames", "keys", "logs", "metadata", "nodes", "tokens"]

# "AGal" in ASCII.
APPLICATION_ID = 0x4147616C
SCHEMA_VERSION = 1

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

tokens = Table(
    "token",
    metadata,
    Column("token", LargeBinary, primary_key=True),
    _generation(),
    Column("frame", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
