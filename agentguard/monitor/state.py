"""Baselines in the state database, and how several processes keep one set of them.

Every process writes what it saw as batches; one of them, which holds the lease, takes all batches, scores them and
writes the baselines that changed, in the transaction that strikes the batches out: none counts twice or is lost when
a process ends. When the lease holder dies another takes over within ``LEASE_S``, from what is stored.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agentguard.store import begin_immediate, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData

__all__ = ["MonitorState"]

LEASE_S = 30.0
# Batches that wait for the lease holder; past this many the newest are dropped, and counted.
MAX_BATCHES = 5_000
# Batches taken at once: bounds the memory of one step.
STEP = 200
# A batch from a database that somebody wrote to must not unpack to more than this.
MAX_BATCH_BYTES = 64 * 1024 * 1024


class MonitorState:
    """The monitor's tables of one home. Thread-safe.

    Args:
        engine: opens the database whose schema ``define`` is part of; called once.
        clock: seconds since 1970.
    """

    def __init__(self, engine: Callable[[], Engine], *, clock: Callable[[], float] = time.time) -> None:
        self._open = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: Engine | None = None
        self._owner = secrets.token_hex(16)

    @staticmethod
    def define(metadata: MetaData) -> None:
        """Add the tables to the schema of the state database."""
        from sqlalchemy import BigInteger, Column, Float, LargeBinary, String, Table

        Table(
            "monitor_batch",
            metadata,
            Column("id", String(32), primary_key=True),
            Column("at", Float, nullable=False, index=True),
            Column("data", LargeBinary, nullable=False),
        )
        Table(
            "monitor_baseline",
            metadata,
            Column("subject", String(600), primary_key=True),
            Column("seen", Float, nullable=False),
            Column("data", LargeBinary, nullable=False),
        )
        Table(
            "monitor_value",
            metadata,
            Column("name", String(64), primary_key=True),
            Column("data", LargeBinary, nullable=False),
        )
        Table(
            "monitor_lease",
            metadata,
            Column("name", String(16), primary_key=True),
            Column("owner", String(32), nullable=False),
            Column("until", Float, nullable=False),
        )
        Table(
            "monitor_count",
            metadata,
            Column("name", String(32), primary_key=True),
            Column("count", BigInteger, nullable=False),
        )

    def key(self) -> bytes:
        """The key of this home's value hashes, drawn at the first call of all processes.

        Raises:
            StoreError: the database cannot be used.
        """
        from sqlalchemy import text

        with self._changing() as connection:
            connection.execute(
                text("INSERT INTO monitor_value (name, data) VALUES ('key', :data) ON CONFLICT (name) DO NOTHING"),
                {"data": secrets.token_bytes(32)},
            )
            return bytes(connection.execute(text("SELECT data FROM monitor_value WHERE name = 'key'")).scalar_one())

    def put(self, events: Sequence[Sequence[object]]) -> bool:
        """Write a batch; False, and its events counted as dropped, when too many wait.

        Raises:
            StoreError: the database cannot be used.
        """
        from sqlalchemy import text

        data = zlib.compress(json.dumps(events, separators=(",", ":")).encode(), 1)
        with self._changing() as connection:
            if connection.execute(text("SELECT COUNT(*) FROM monitor_batch")).scalar_one() >= MAX_BATCHES:
                _count(connection, "dropped", len(events))
                return False
            connection.execute(
                text("INSERT INTO monitor_batch (id, at, data) VALUES (:id, :at, :data)"),
                {"id": secrets.token_hex(16), "at": self._clock(), "data": data},
            )
        return True

    def lead(self) -> bool:
        """Whether this process scores; takes or renews the lease."""
        from sqlalchemy import text

        now = self._clock()
        with self._changing() as connection:
            done = connection.execute(
                text(
                    "INSERT INTO monitor_lease (name, owner, until) VALUES ('scorer', :owner, :until) "
                    "ON CONFLICT (name) DO UPDATE SET owner = :owner, until = :until "
                    # A lease far ahead is from a clock that was set back since.
                    "WHERE monitor_lease.owner = :owner OR monitor_lease.until < :now "
                    "OR monitor_lease.until > :now + 10 * :lease"
                ),
                {"owner": self._owner, "now": now, "until": now + LEASE_S, "lease": LEASE_S},
            )
        return done.rowcount == 1

    def resign(self) -> None:
        """Let another process take over at once."""
        from sqlalchemy import text

        with self._changing() as connection:
            connection.execute(text("DELETE FROM monitor_lease WHERE owner = :owner"), {"owner": self._owner})

    def batches(self) -> list[tuple[str, list[list[object]]]]:
        """The oldest batches, with their ids. One that cannot be read is empty, and is struck out with the others."""
        from sqlalchemy import text

        with storage_errors(self._engine), self._engine.begin() as connection:
            rows = connection.execute(
                text("SELECT id, data FROM monitor_batch ORDER BY at, id LIMIT :step"), {"step": STEP}
            ).all()
        return [(str(row[0]), _unpacked(bytes(row[1]))) for row in rows]

    def commit(
        self,
        batches: Iterable[str],
        baselines: Iterable[tuple[str, float, bytes]],
        values: Iterable[tuple[str, bytes]] = (),
        gone: Iterable[str] = (),
    ) -> bool:
        """Strike batches out and store what was learned of them, when this process still holds the lease."""
        from sqlalchemy import text

        with self._changing() as connection:
            owner = connection.execute(text("SELECT owner FROM monitor_lease WHERE name = 'scorer'")).scalar()
            if owner != self._owner:
                return False
            _each(connection, "DELETE FROM monitor_batch WHERE id = :id", [{"id": name} for name in batches])
            _each(connection, "DELETE FROM monitor_baseline WHERE subject = :subject", [{"subject": s} for s in gone])
            _each(
                connection,
                "INSERT INTO monitor_baseline (subject, seen, data) VALUES (:subject, :seen, :data) "
                "ON CONFLICT (subject) DO UPDATE SET seen = :seen, data = :data",
                [{"subject": subject, "seen": seen, "data": data} for subject, seen, data in baselines],
            )
            _each(
                connection,
                "INSERT INTO monitor_value (name, data) VALUES (:name, :data) "
                "ON CONFLICT (name) DO UPDATE SET data = :data",
                [{"name": name, "data": data} for name, data in values],
            )
        return True

    def load(self) -> Iterator[tuple[str, bytes]]:
        """Every stored baseline, the longest unseen first."""
        from sqlalchemy import text

        with storage_errors(self._engine), self._engine.begin() as connection:
            for row in connection.execute(text("SELECT subject, data FROM monitor_baseline ORDER BY seen")):
                yield str(row[0]), bytes(row[1])

    def value(self, name: str) -> bytes | None:
        """A stored value."""
        from sqlalchemy import text

        with storage_errors(self._engine), self._engine.begin() as connection:
            found = connection.execute(
                text("SELECT data FROM monitor_value WHERE name = :name"), {"name": name}
            ).scalar_one_or_none()
        return None if found is None else bytes(found)

    def add_dropped(self, events: int) -> None:
        """Count events that no queue took."""
        with self._changing() as connection:
            _count(connection, "dropped", events)

    def dropped(self) -> int:
        """How many events were never scored, of all processes so far."""
        from sqlalchemy import text

        with storage_errors(self._engine), self._engine.begin() as connection:
            found = connection.execute(text("SELECT count FROM monitor_count WHERE name = 'dropped'")).scalar()
        return int(found or 0)

    def close(self) -> None:
        """Close the database's connections."""
        with self._lock:
            if self._opened is not None:
                self._opened.dispose()

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        engine = self._engine
        with storage_errors(engine), begin_immediate(engine) as connection:
            yield connection

    @property
    def _engine(self) -> Engine:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened


def _each(connection: Connection, statement: str, rows: list[dict[str, object]]) -> None:
    from sqlalchemy import text

    if rows:
        connection.execute(text(statement), rows)


def _count(connection: Connection, name: str, by: int) -> None:
    from sqlalchemy import text

    connection.execute(
        text(
            "INSERT INTO monitor_count (name, count) VALUES (:name, :by) "
            "ON CONFLICT (name) DO UPDATE SET count = monitor_count.count + :by"
        ),
        {"name": name, "by": by},
    )


def _unpacked(data: bytes) -> list[list[object]]:
    try:
        unpacker = zlib.decompressobj()
        found = json.loads(unpacker.decompress(data, MAX_BATCH_BYTES))
    except (zlib.error, ValueError):
        return []
    return found if isinstance(found, list) else []
