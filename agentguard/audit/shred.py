"""Crypto-shredding: what is older than a moment becomes unreadable, and everything else stays provable.

A record key covers a day. Its wrapped form and the index rows of its frames are deleted, overwritten
(``secure_delete``) and the write-ahead log is emptied; leaf hashes, chain and ciphertext stay, so every proof still
holds. The deletion is a record of the log and a statement signed by it, both written in the same transaction: a key
that is gone without such a statement is ``key-missing``. Backups of the database or of the key encryption key are out
of reach, and a process that has the key open reads on until it ends.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, func, insert, select

from agentguard.audit import schema
from agentguard.audit.checkpoint import VerifierKey
from agentguard.audit.clock import Clock
from agentguard.audit.database import open_database, read_errors, truncate_wal
from agentguard.audit.keyring import KEY_LIFE_NS, RECORD, KeyRing
from agentguard.audit.record import stamp, to_ns
from agentguard.audit.writer import Entry, Writer, entry
from agentguard.errors import TamperError
from agentguard.event import Json
from agentguard.keys import KeySource
from agentguard.store import Home

__all__ = ["Shred", "ShredReport", "shred_before"]

EVENT = "audit-shred"

_BODY = re.compile(
    r"agentguard audit shred 1\n(?P<origin>\S+)\nkey (?P<key>[0-9a-f]{64})\n"
    r"frames (?P<first>0|[1-9][0-9]{0,18}) (?P<last>0|[1-9][0-9]{0,18})\n"
    r"record (?P<record>0|[1-9][0-9]{0,18})\ntime (?P<time>0|[1-9][0-9]{0,18})\n"
)


@dataclass(frozen=True, slots=True)
class Shred:
    """The signed statement that one key was deleted on purpose. ``record`` is the index of the event that says so."""

    origin: str
    key_id: bytes
    first_frame: int
    last_frame: int
    record: int
    time: int

    def body(self) -> str:
        """The signed text."""
        return (
            f"agentguard audit shred 1\n{self.origin}\nkey {self.key_id.hex()}\n"
            f"frames {self.first_frame} {self.last_frame}\nrecord {self.record}\ntime {self.time}\n"
        )

    @classmethod
    def open(cls, note: bytes, verifier: VerifierKey) -> Shred:
        """Check and read a statement.

        Raises:
            TamperError: unsigned, signed by another log, or not in the form this log writes.
        """
        found = _BODY.fullmatch(verifier.open(note))
        if found is None or found["origin"] != verifier.name:
            raise TamperError("a statement of shredding is not in the form this log writes")
        numbers = (int(found[name]) for name in ("first", "last", "record", "time"))
        return cls(found["origin"], bytes.fromhex(found["key"]), *numbers)

    @classmethod
    def of_key(cls, connection: Connection, key_id: bytes, verifier: VerifierKey) -> Shred | None:
        """The statement about a key, None when there is none."""
        query = select(schema.shreds.c.note).where(schema.shreds.c.key_id == key_id)
        note = connection.execute(query).scalar()
        found = None if note is None else cls.open(note, verifier)
        if found is not None and found.key_id != key_id:
            raise TamperError("a statement of shredding stands under another key than it names")
        return found


@dataclass(frozen=True, slots=True)
class ShredReport:
    """What became unreadable; ``wal_emptied`` is False while another process still reads the old pages."""

    keys: int
    frames: int
    records: int
    wal_emptied: bool


@dataclass(frozen=True, slots=True)
class _Doomed:
    key_id: bytes
    first_frame: int
    last_frame: int
    frames: int
    records: int


def shred_before(
    home: Home, moment: datetime, *, keys: KeySource | None = None, clock: Clock = time, by: str | None = None
) -> ShredReport:
    """Delete the keys whose records are all older than ``moment``; never the one in use.

    Args:
        by: who asked for it; stands in the record.

    Raises:
        ConfigError: the moment has no time zone.
        KeySourceError, StoreError, TamperError: as ``AuditLog.open``.
    """
    cutoff, now = to_ns(moment), clock.time_ns()
    engine, ring = open_database(home, keys, now=now, create=False)
    try:
        with read_errors(home.audit):
            doomed = _doomed(engine, ring, cutoff, now)
            if doomed:
                Writer(engine, ring).commit(
                    [_event(doomed, cutoff, clock, by)],
                    now=now,
                    closed=None,
                    also=lambda connection, index: _destroy(connection, ring, doomed, index, now),
                )
            emptied = truncate_wal(engine)
    finally:
        engine.dispose()
    return ShredReport(
        len(doomed), sum(item.frames for item in doomed), sum(item.records for item in doomed), wal_emptied=emptied
    )


def _doomed(engine: Engine, ring: KeyRing, cutoff: int, now: int) -> list[_Doomed]:
    frame, key = schema.frames.c, schema.keys.c
    mine = ring.identity.generation
    with engine.begin() as connection:
        query = select(key.key_id, key.created).where(key.generation == mine, key.purpose == RECORD)
        rows = connection.execute(query.order_by(key.first_frame)).all()
        # The newest key takes the next frames, unless its day is over.
        if rows and 0 <= now - rows[-1].created < KEY_LIFE_NS:
            rows = rows[:-1]
        found = []
        for row in rows:
            spans = select(
                func.min(frame.number), func.max(frame.number), func.max(frame.t_max), func.sum(frame["count"])
            ).where(frame.generation == mine, frame.key_id == row.key_id)
            first, last, newest, records = connection.execute(spans).one()
            if first is not None and newest < cutoff:
                found.append(_Doomed(row.key_id, first, last, last - first + 1, records))
    return found


def _event(doomed: Sequence[_Doomed], cutoff: int, clock: Clock, by: str | None) -> Entry:
    record: dict[str, Json] = {
        "type": EVENT,
        "older_than": stamp(cutoff),
        "keys": [item.key_id.hex() for item in doomed],
        "frames": [[item.first_frame, item.last_frame] for item in doomed],
        "records": sum(item.records for item in doomed),
        "user.id": by,
    }
    return entry(record, clock.time_ns(), clock.monotonic_ns())


def _destroy(connection: Connection, ring: KeyRing, doomed: Sequence[_Doomed], index: int, now: int) -> None:
    identity = ring.identity
    frame, token = schema.frames.c, schema.tokens.c
    for item in doomed:
        newest = select(func.max(frame.number)).where(
            frame.generation == identity.generation, frame.key_id == item.key_id
        )
        if connection.execute(newest).scalar() != item.last_frame:
            raise TamperError("a key that was no longer in use took another frame; nothing was shredded")
        connection.execute(delete(schema.keys).where(schema.keys.c.key_id == item.key_id))
        span = token.frame.between(item.first_frame, item.last_frame)
        connection.execute(delete(schema.tokens).where(token.generation == identity.generation, span))
        shred = Shred(identity.origin, item.key_id, item.first_frame, item.last_frame, index, now)
        note = ring.signer.sign(shred.body())
        row = {"key_id": item.key_id, "generation": identity.generation, "note": note}
        connection.execute(insert(schema.shreds).values(row))
