"""What must survive a restart, in the home's state database: messages handled, and messages not yet delivered.

Rows are written in groups: whoever comes while a commit is under way shares the next one. A row is there, or its writer
gets a ``StoreError``.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentguard.channel.envelope import Envelope, Message
from agentguard.channel.limits import CLOCK_SKEW_S
from agentguard.channel.window import KEPT_REPLY_BYTES, WINDOW, Outcome, Taken
from agentguard.store import begin_immediate, storage_errors

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine, MetaData, Table

__all__ = ["Journal", "Stored"]

# Seconds between deletions of what expired.
PURGE_S = 60.0
# Ids whose handler recorded them itself, until they are acknowledged.
MAX_MARKED = 100_000


@dataclass(frozen=True, slots=True)
class Stored:
    """A message in the durable outbox; ``header`` is the envelope as it was encoded."""

    header: bytes
    payload: bytes


class Journal:
    """The channel's part of one state database. Its methods are called on the event loop; the database has a thread.

    Args:
        engine: opens the database whose schema ``define`` is part of; called once, in the thread.
        owner: the endpoint's SPIFFE ID: several agents may share a database.
        path: named in errors.
        clock: seconds since 1970.
    """

    def __init__(
        self, engine: Callable[[], Engine], *, owner: str, path: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._open = engine
        self._owner = owner
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: Engine | None = None
        self._queue: list[tuple[str, dict[str, Any], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._marked: dict[bytes, None] = {}
        self._purged = 0.0

    @staticmethod
    def define(metadata: MetaData) -> tuple[Table, Table]:
        """Add the tables to the schema of the state database. Payloads stand in ``channel_outbox`` until delivered."""
        from sqlalchemy import BigInteger, Column, Float, LargeBinary, String, Table

        handled = Table(
            "channel_handled",
            metadata,
            Column("receiver", String(2048), primary_key=True),
            Column("sender", String(2048), primary_key=True),
            Column("epoch", String(32), primary_key=True),
            Column("sequence", BigInteger, primary_key=True, autoincrement=False),
            Column("id", String(32), nullable=False),
            Column("digest", String(64), nullable=False),
            Column("reply", LargeBinary),
            Column("expires_at", Float, nullable=False, index=True),
        )
        outbox = Table(
            "channel_outbox",
            metadata,
            Column("id", String(32), primary_key=True),
            Column("sender", String(2048), nullable=False),
            Column("receiver", String(2048), nullable=False),
            Column("epoch", String(32), nullable=False),
            Column("sequence", BigInteger, nullable=False),
            Column("created", BigInteger, nullable=False),
            Column("header", LargeBinary, nullable=False),
            Column("payload", LargeBinary, nullable=False),
            Column("expires_at", Float, nullable=False),
        )
        return handled, outbox

    # -- handled -----------------------------------------------------------------------------------------------------

    def record(self, envelope: Envelope, reply: bytes | None) -> asyncio.Future[None]:
        """Remember that the message was handled; the future is done when that is on disk."""
        return self._write("handled", _handled(self._owner, envelope, reply))

    def record_in(self, connection: Connection, message: Message) -> None:
        """Remember it in the handler's own transaction on this database, so that effect and record commit together.

        Raises:
            sqlalchemy.exc.IntegrityError: it was handled before; the transaction must be given up.
        """
        handled, _ = self._tables()
        connection.execute(handled.insert().values(**_handled(self._owner, message.envelope, None)))
        self._marked[message.id] = None
        while len(self._marked) > MAX_MARKED:
            self._marked.pop(next(iter(self._marked)))

    def has_recorded(self, id: bytes) -> bool:
        """Whether ``record_in`` was used for it."""
        return self._marked.pop(id, 0) is None

    async def handled_before(self, sender: str, epoch: bytes) -> list[Taken]:
        """What was handled of one start of a sender, oldest first, as far back as the replay window reaches.

        Raises:
            StoreError: the database cannot be read.
        """
        return await asyncio.to_thread(self._handled_before, sender, epoch.hex())

    def _handled_before(self, sender: str, epoch: str) -> list[Taken]:
        handled, _ = self._tables()
        query = (
            handled.select()
            .where(handled.c.receiver == self._owner, handled.c.sender == sender, handled.c.epoch == epoch)
            .order_by(handled.c.sequence.desc())
            .limit(WINDOW)
        )
        with storage_errors(self._path), self._engine.begin() as connection:
            rows = connection.execute(query).all()
        return [
            Taken(bytes.fromhex(row.id), row.sequence, bytes.fromhex(row.digest), Outcome.HANDLED, row.reply)
            for row in reversed(rows)
        ]

    # -- outbox ------------------------------------------------------------------------------------------------------

    def keep(self, envelope: Envelope, header: bytes, payload: bytes) -> asyncio.Future[None]:
        """Keep a message until ``delivered``; the future is done when it is on disk."""
        row = {
            "id": envelope.id.hex(),
            "sender": self._owner,
            "receiver": envelope.receiver,
            "epoch": envelope.epoch.hex(),
            "sequence": envelope.sequence,
            "created": envelope.created,
            "header": header,
            "payload": payload,
            "expires_at": (envelope.created + envelope.ttl) / 1000,
        }
        return self._write("keep", row)

    def delivered(self, id: bytes) -> asyncio.Future[None]:
        """It was acknowledged, refused for good, or expired."""
        return self._write("delivered", {"id": id.hex()})

    async def undelivered(self, receiver: str) -> list[Stored]:
        """Messages kept for ``receiver`` that can still be sent, in their order.

        Raises:
            StoreError: the database cannot be read.
        """
        return await asyncio.to_thread(self._undelivered, receiver)

    def _undelivered(self, receiver: str) -> list[Stored]:
        _, outbox = self._tables()
        query = (
            outbox.select()
            .where(outbox.c.sender == self._owner, outbox.c.receiver == receiver, outbox.c.expires_at > self._clock())
            .order_by(outbox.c.created, outbox.c.sequence)
        )
        with storage_errors(self._path), self._engine.begin() as connection:
            return [Stored(row.header, row.payload) for row in connection.execute(query).all()]

    # -- writing in groups -------------------------------------------------------------------------------------------

    def _write(self, kind: str, row: dict[str, Any]) -> asyncio.Future[None]:
        done = asyncio.get_running_loop().create_future()
        # Nobody need wait: a failure that nobody asked about is in the log of the endpoint.
        done.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._queue.append((kind, row, done))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._flush())
        return done

    async def _flush(self) -> None:
        try:
            while self._queue:
                batch, self._queue = self._queue, []
                try:
                    await asyncio.to_thread(self._commit, [(kind, row) for kind, row, _ in batch])
                except Exception as error:  # noqa: BLE001  # every writer of the group hears of it
                    for _, _, done in batch:
                        if not done.done():
                            done.set_exception(error)
                else:
                    for _, _, done in batch:
                        if not done.done():
                            done.set_result(None)
        finally:
            self._task = None

    def _commit(self, batch: list[tuple[str, dict[str, Any]]]) -> None:
        handled, outbox = self._tables()
        now = self._clock()
        with storage_errors(self._path), begin_immediate(self._engine) as connection:
            for kind, row in batch:
                if kind == "handled":
                    connection.execute(handled.insert().values(**row))
                elif kind == "keep":
                    connection.execute(outbox.insert().values(**row))
                else:
                    connection.execute(outbox.delete().where(outbox.c.id == row["id"]))
            if now - self._purged >= PURGE_S:
                connection.execute(handled.delete().where(handled.c.expires_at < now))
                connection.execute(outbox.delete().where(outbox.c.expires_at < now - CLOCK_SKEW_S))
                self._purged = now

    async def close(self) -> None:
        """Write what is queued and close the database's connections."""
        while self._task is not None:
            await asyncio.wait({self._task})
        with self._lock:
            if self._opened is not None:
                self._opened.dispose()

    @property
    def _engine(self) -> Engine:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _tables(self) -> tuple[Table, Table]:
        global _schema
        if _schema is None:
            from sqlalchemy import MetaData

            _schema = Journal.define(MetaData())
        return _schema


_schema: tuple[Table, Table] | None = None


def _handled(receiver: str, envelope: Envelope, reply: bytes | None) -> dict[str, Any]:
    return {
        "receiver": receiver,
        "sender": envelope.sender,
        "epoch": envelope.epoch.hex(),
        "sequence": envelope.sequence,
        "id": envelope.id.hex(),
        "digest": envelope.digest.hex(),
        "reply": reply if reply is not None and len(reply) <= KEPT_REPLY_BYTES else None,
        "expires_at": (envelope.created + envelope.ttl) / 1000 + 2 * CLOCK_SKEW_S,
    }
