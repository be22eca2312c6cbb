"""One commit: the next frame, its index rows, tree nodes and signed checkpoint, in one transaction.

Every commit reads the head under the write lock, so any number of processes extend one chain. A head that is not the
signed continuation of what this process knows is refused: nothing is built on a history that was cut or replaced.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, insert, select

from agentguard.audit import schema
from agentguard.audit.checkpoint import ZERO_HASH, Checkpoint
from agentguard.audit.frame import PREFIX_BYTES, Frame, tokens_digest
from agentguard.audit.keyring import KeyRing
from agentguard.audit.merkle import Frontier
from agentguard.audit.record import INDEXED_FIELDS, decode, encode, stamp
from agentguard.errors import ConfigError, TamperError
from agentguard.event import Json
from agentguard.store import begin_immediate

__all__ = ["MAX_RECORD_BYTES", "Entry", "Head", "Writer", "entry", "first_checkpoint", "index_terms", "read_head"]

MAX_RECORD_BYTES = 4 * 1024 * 1024

# Thousands of rows per frame: built by hand, these statements cost half of what the toolkit makes of them.
_INSERT_TOKENS = {
    "sqlite": "INSERT INTO token (segment, token, generation, frame) VALUES (?, ?, ?, ?)",
    "postgresql": "INSERT INTO token (segment, token, generation, frame) VALUES (%s, %s, %s, %s)",
}

_JSON_TYPES = frozenset({str, int, float, bool, dict, type(None)})
_RESERVED = ("time", "monotonic_ns", "event_id")


@dataclass(frozen=True, slots=True)
class Entry:
    """A record ready to be framed. ``terms`` are what the index finds it by: plain texts, which no collector visits."""

    record: bytes = field(repr=False)
    time: int
    terms: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Head:
    """The newest checkpoint with the tree it signs."""

    checkpoint: Checkpoint
    frontier: Frontier
    note: bytes


def entry(record: Mapping[str, Json], now: int, monotonic: int) -> Entry:
    """Encode a record, with time, counter and id added.

    Raises:
        ConfigError: no ``type``, a reserved field, a value without JSON form, or a record over 4 MiB.
    """
    if not isinstance(record.get("type"), str):
        raise ConfigError("an audit record needs a text field `type`")
    for name in _RESERVED:
        if name in record:
            raise ConfigError(f"the field {name} of an audit record is set by the log; rename yours")
    randomness = os.urandom(2 * PREFIX_BYTES)
    body = {"time": stamp(now), "monotonic_ns": monotonic, "event_id": randomness[PREFIX_BYTES:].hex(), **record}
    data = randomness[:PREFIX_BYTES] + encode(body)
    if len(data) > MAX_RECORD_BYTES:
        raise ConfigError(f"an audit record has at most {MAX_RECORD_BYTES} bytes, got {len(data)}; record a digest")
    return Entry(data, now, index_terms(record))


def index_terms(record: Mapping[str, Json]) -> tuple[str, ...]:
    """The terms (field, NUL, value) under which a record can be found."""
    get = record.get
    # One pass by hand: this runs for every record in its caller's time.
    terms: list[str] = []
    for name in INDEXED_FIELDS:
        value = get(name)
        kind = value.__class__
        if kind is str:
            terms.append(f"{name}\x00{value}")
        elif kind is list and all(item.__class__ in _JSON_TYPES for item in value):  # type: ignore[union-attr]
            terms += [f"{name}\x00{item}" for item in value if item.__class__ is str]  # type: ignore[union-attr]
        elif kind not in _JSON_TYPES:
            # A tuple, an enumeration, a date: what counts is how it stands in the record.
            return index_terms(decode(encode(record)))
    return tuple(terms)


class Writer:
    """Commits frames. One thread at a time; holds no connection between commits."""

    def __init__(self, engine: Engine, ring: KeyRing) -> None:
        self._engine = engine
        self._ring = ring
        self._head: Head | None = None
        self._doubt: tuple[Head, dict[int, int], Sequence[Entry]] | None = None

    def commit(
        self,
        entries: Sequence[Entry],
        *,
        now: int,
        closed: bool | None = False,
        also: Callable[[Connection, int], None] | None = None,
    ) -> int:
        """Append a frame of ``entries`` (none: a heartbeat) and return the index of its first record.

        Args:
            closed: whether silence is intended from now on; None leaves it as it was.
            also: what else belongs into the same transaction; gets that index.

        Raises:
            SQLAlchemyError: nothing was written.
            TamperError: the log on disk contradicts itself; nothing was written.
        """
        self._doubt = None
        with begin_immediate(self._engine) as connection:
            head = self._current(connection)
            state = head.checkpoint.closed if closed is None else closed
            following = self._append(connection, head, entries, now, state)
            if also is not None:
                also(connection, head.checkpoint.size)
            # What follows is the commit. Whether one that fails was carried out, only the log can tell.
            places = {id(item): index for index, item in enumerate(entries, head.checkpoint.size)}
            self._doubt = (following, places, entries)
        # Only after the commit: a failed one must leave us where the disk is.
        self._head, self._doubt = following, None
        return head.checkpoint.size

    def stored_after_all(self) -> dict[int, int]:
        """Index by ``id`` of the entries whose commit failed and was carried out all the same.

        A connection can be lost between the commit and its acknowledgement. To be asked after a failure, before
        anything of it is handed in again.

        Raises:
            SQLAlchemyError: it cannot be known yet.
        """
        if self._doubt is None:
            return {}
        following, places, _alive = self._doubt
        columns = schema.checkpoints.c
        query = select(columns.note).where(
            columns.generation == self._ring.identity.generation, columns.number == following.checkpoint.number
        )
        # Under the lock: a lost connection's commit may be under way on the server.
        with begin_immediate(self._engine) as connection:
            note = connection.execute(query).scalar()
        self._doubt = None
        return places if note == following.note else {}

    def forget(self) -> None:
        """Read the head afresh next time; after a fork."""
        self._head = self._doubt = None

    def _current(self, connection: Connection) -> Head:
        columns = schema.checkpoints.c
        query = select(schema.checkpoints).where(columns.generation == self._ring.identity.generation)
        row = connection.execute(query.order_by(columns.number.desc()).limit(1)).mappings().first()
        if row is None:
            raise TamperError("the log has no checkpoint left; run `agentguard audit verify`")
        known = self._head
        if known is not None and known.checkpoint.number == row["number"] and known.note == row["note"]:
            return known
        head = read_head(self._ring, row["number"], row["frontier"], row["note"])
        if known is not None and head.checkpoint.number <= known.checkpoint.number:
            raise TamperError("the log went back to an older state while open; run `agentguard audit verify`")
        self._check_last_frame(connection, head.checkpoint)
        return head

    def _check_last_frame(self, connection: Connection, checkpoint: Checkpoint) -> None:
        columns = schema.frames.c
        query = select(columns.number, columns.chain).where(columns.generation == self._ring.identity.generation)
        last = connection.execute(query.order_by(columns.number.desc()).limit(1)).first()
        expected = (checkpoint.frames - 1, checkpoint.chain) if checkpoint.frames else None
        if (tuple(last) if last else None) != expected:
            raise TamperError("the last frame is not the one the checkpoint signs; run `agentguard audit verify`")

    def _append(self, connection: Connection, head: Head, entries: Sequence[Entry], now: int, closed: bool) -> Head:
        before = head.checkpoint
        frontier = head.frontier.copy()
        chain, frames = before.chain, before.frames
        if entries:
            frame = self._add_frame(connection, before, entries, now)
            self._add_nodes(connection, frontier.extend(frame.leaf_hashes()))
            chain, frames = frame.chain, frames + 1
        checkpoint = Checkpoint(
            origin=before.origin,
            size=frontier.size,
            root=frontier.root(),
            chain=chain,
            frames=frames,
            number=before.number + 1,
            time=now,
            closed=closed,
        )
        return add_checkpoint(connection, self._ring, checkpoint, frontier)

    def _add_frame(self, connection: Connection, before: Checkpoint, entries: Sequence[Entry], now: int) -> Frame:
        identity = self._ring.identity
        # Users, tools and rules repeat within a frame: each is hashed once.
        terms = {term for entry in entries for term in entry.terms}
        tokens = sorted({self._ring.token(term) for term in terms})
        times = [entry.time for entry in entries]
        frame = Frame.seal(
            [entry.record for entry in entries],
            key=self._ring.record_key(connection, now=now, frame=before.frames),
            log_id=identity.log_id,
            generation=identity.generation,
            number=before.frames,
            first_index=before.size,
            times=(min(times), max(times)),
            previous=before.chain,
            tokens_hash=tokens_digest(tokens),
        )
        connection.execute(insert(schema.frames).values({name: getattr(frame, name) for name in Frame.__slots__}))
        if tokens:
            segment, generation = schema.segment(frame.first_index), identity.generation
            rows = [(segment, token, generation, frame.number) for token in tokens]
            connection.exec_driver_sql(_INSERT_TOKENS[connection.dialect.name], rows)
        return frame

    def _add_nodes(self, connection: Connection, stored: list[tuple[int, int, bytes]]) -> None:
        generation = self._ring.identity.generation
        rows = [{"generation": generation, "level": lv, "position": at, "hash": digest} for lv, at, digest in stored]
        if rows:
            connection.execute(insert(schema.nodes), rows)


def first_checkpoint(connection: Connection, ring: KeyRing, now: int) -> Head:
    """Sign the empty tree: from here on the log's absence shows."""
    empty = Frontier()
    checkpoint = Checkpoint(
        origin=ring.identity.origin,
        size=0,
        root=empty.root(),
        chain=ZERO_HASH,
        frames=0,
        number=0,
        time=now,
        closed=True,
    )
    return add_checkpoint(connection, ring, checkpoint, empty)


def add_checkpoint(connection: Connection, ring: KeyRing, checkpoint: Checkpoint, frontier: Frontier) -> Head:
    """Sign and store."""
    note = ring.signer.sign(checkpoint.body())
    connection.execute(
        insert(schema.checkpoints).values(
            generation=ring.identity.generation, number=checkpoint.number, frontier=frontier.encode(), note=note
        )
    )
    return Head(checkpoint, frontier, note)


def read_head(ring: KeyRing, number: object, frontier: bytes, note: bytes) -> Head:
    """Check a checkpoint row.

    Raises:
        TamperError: signature, number or tree do not fit together.
    """
    checkpoint = Checkpoint.parse(ring.identity.verifier.open(note))
    try:
        tree = Frontier.decode(checkpoint.size, frontier)
    except ValueError as error:
        raise TamperError("a checkpoint's tree does not fit its size") from error
    if checkpoint.number != number or checkpoint.origin != ring.identity.origin or tree.root() != checkpoint.root:
        raise TamperError("a checkpoint row does not fit what its signature covers")
    return Head(checkpoint, tree, note)
