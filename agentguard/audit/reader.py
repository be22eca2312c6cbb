"""Reading records back: time range, equality on fields, a free predicate, a cursor.

Only frames that can match are decrypted; ``full`` ignores the index. Every frame read is checked against its leaves
and its key; an unreadable one raises, it is never skipped.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, Select, func, select

from agentguard.audit import schema
from agentguard.audit.frame import PREFIX_BYTES, Frame
from agentguard.audit.keyring import KeyRing
from agentguard.audit.record import FIELD_ALIASES, INDEXED_FIELDS, decode, field_values, stamp, to_ns
from agentguard.audit.shred import Shred
from agentguard.errors import ConfigError, DecryptError, KeySourceError, TamperError
from agentguard.event import Json

__all__ = ["LogRecord", "Query", "Reader"]

# Frames fetched per transaction: a slow consumer must not hold a read lock open.
PAGE_FRAMES = 32
# Stretches of the index asked for in one statement.
PROBED_SEGMENTS = 500


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record with its place in the log; ``index`` is also the cursor to continue after it."""

    index: int
    frame: int
    data: dict[str, Json]

    @property
    def time(self) -> str:
        """When it was handed in: RFC 3339, UTC, nanoseconds."""
        return str(self.data.get("time"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for; all conditions must hold. Times are half-open, ``start`` included."""

    start: datetime.datetime | None = None
    end: datetime.datetime | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    predicate: Callable[[dict[str, Json]], bool] | None = None
    cursor: int | None = None
    full: bool = False

    def terms(self) -> list[tuple[str, str]]:
        """Field and value pairs, short names spelt out."""
        return [(FIELD_ALIASES.get(name, name), value) for name, value in self.where.items()]

    def matcher(self) -> Callable[[int, dict[str, Json]], bool]:
        """A test of one record. A condition on an absent field does not match."""
        start = stamp(to_ns(self.start)) if self.start else None
        end = stamp(to_ns(self.end)) if self.end else None
        terms = self.terms()

        def matches(index: int, data: dict[str, Json]) -> bool:
            time = str(data.get("time"))
            return (
                (self.cursor is None or index > self.cursor)
                and (start is None or time >= start)
                and (end is None or time < end)
                and all(value in field_values(data, name) for name, value in terms)
                and (self.predicate is None or self.predicate(data))
            )

        return matches


class _ShreddedError(KeySourceError):
    """The frame's key was deleted on purpose."""


class Reader:
    """Reads one generation of a log."""

    def __init__(self, engine: Engine, ring: KeyRing) -> None:
        self._engine = engine
        self._ring = ring

    def records(self, query: Query) -> Iterator[LogRecord]:
        """Matching records in log order.

        Raises:
            TamperError: a frame does not open or holds other records than it commits to.
            KeySourceError: the key of a frame is missing.
        """
        matches = query.matcher()
        candidates = None if query.full else self._candidates(query.terms(), query.cursor or 0)
        needles = [needle for _name, value in query.terms() if (needle := _needle(value))]
        for frame in self._frames(query, candidates):
            for record in self.opened(frame, needles):
                if matches(record.index, record.data):
                    yield record

    def tail(self, count: int) -> list[LogRecord]:
        """The last ``count`` records, oldest first."""
        found: list[LogRecord] = []
        bound: int | None = None
        while len(found) < count:
            frame = self._last_frame(bound)
            if frame is None:
                break
            found = self.opened(frame) + found
            bound = frame.number
        return found[-count:] if count > 0 else []

    def raw(self, index: int) -> bytes:
        """One record as it stands in the tree.

        Raises:
            ConfigError: no such record.
        """
        columns = schema.frames.c
        statement = select(schema.frames).where(columns.generation == self._ring.identity.generation)
        statement = statement.where(columns.first_index <= index).order_by(columns.first_index.desc()).limit(1)
        page = self._fetch(statement)
        if not page or not 0 <= index - page[0].first_index < page[0].count:
            raise ConfigError(f"the log has no record {index}; `agentguard audit tail` shows the last ones")
        return self._records(page[0])[index - page[0].first_index]

    def opened(self, frame: Frame, needles: Sequence[bytes] = ()) -> list[LogRecord]:
        """Decrypt a frame and read its records, or only those whose bytes hold every needle.

        A frame that was shredded on purpose, as the log's own signature says, holds nothing more.
        """
        try:
            data = [
                (at, decode(record[PREFIX_BYTES:]))
                for at, record in enumerate(self._records(frame))
                if all(needle in record for needle in needles)
            ]
        except _ShreddedError:
            return []
        except DecryptError as error:
            raise TamperError(f"{error}; run `agentguard audit verify`", index=frame.first_index) from error
        return [LogRecord(frame.first_index + at, frame.number, item) for at, item in data]

    def _records(self, frame: Frame) -> list[bytes]:
        key = self._ring.known(frame.key_id)
        if key is None:
            with self._engine.begin() as connection:
                query = select(schema.keys).where(schema.keys.c.key_id == frame.key_id)
                row = connection.execute(query).mappings().first()
                shred = None if row else Shred.of_key(connection, frame.key_id, self._ring.identity.verifier)
            if shred is not None and shred.first_frame <= frame.number <= shred.last_frame:
                raise _ShreddedError(f"frame {frame.number} was shredded: its records cannot be read again")
            if row is None:
                raise KeySourceError(f"the key of frame {frame.number} is missing; restore it from a backup")
            key = self._ring.opened(row)
        try:
            return frame.open(key, self._ring.identity.log_id)
        except DecryptError as error:
            raise TamperError(f"{error}; run `agentguard audit verify`", index=frame.first_index) from error

    def _candidates(self, terms: list[tuple[str, str]], first: int) -> list[int] | None:
        """Numbers of the frames that hold every indexed term, from record ``first`` on; None when none is indexed."""
        tokens = [self._ring.token(f"{name}\x00{value}") for name, value in terms if name in INDEXED_FIELDS]
        if not tokens:
            return None
        with self._engine.begin() as connection:
            last = connection.execute(select(func.max(schema.tokens.c.segment))).scalar()
            segments = range(schema.segment(first), (-1 if last is None else last) + 1)
            return sorted(set.intersection(*(self._holders(connection, token, segments) for token in tokens)))

    def _holders(self, connection: Connection, token: bytes, segments: range) -> set[int]:
        columns = schema.tokens.c
        found: set[int] = set()
        for at in range(0, len(segments), PROBED_SEGMENTS):
            query = select(columns.frame).where(
                columns.segment.in_(segments[at : at + PROBED_SEGMENTS]),
                columns.token == token,
                columns.generation == self._ring.identity.generation,
            )
            found.update(connection.execute(query).scalars())
        return found

    def _frames(self, query: Query, candidates: list[int] | None) -> Iterator[Frame]:
        statement = self._in_range(query)
        number = schema.frames.c.number
        if candidates is not None:
            for at in range(0, len(candidates), PAGE_FRAMES):
                yield from self._fetch(statement.where(number.in_(candidates[at : at + PAGE_FRAMES])))
            return
        last = -1
        while page := self._fetch(statement.where(number > last).limit(PAGE_FRAMES)):
            yield from page
            last = page[-1].number

    def _in_range(self, query: Query) -> Select[tuple[object, ...]]:
        columns = schema.frames.c
        statement = select(schema.frames).where(columns.generation == self._ring.identity.generation)
        if query.start is not None:
            statement = statement.where(columns.t_max >= to_ns(query.start))
        if query.end is not None:
            statement = statement.where(columns.t_min < to_ns(query.end))
        if query.cursor is not None:
            before = select(func.max(columns.first_index)).where(
                columns.generation == self._ring.identity.generation, columns.first_index <= query.cursor + 1
            )
            statement = statement.where(columns.first_index >= before.scalar_subquery())
        return statement.order_by(columns.number)

    def _last_frame(self, below: int | None) -> Frame | None:
        columns = schema.frames.c
        statement = select(schema.frames).where(columns.generation == self._ring.identity.generation)
        if below is not None:
            statement = statement.where(columns.number < below)
        page = self._fetch(statement.order_by(columns.number.desc()).limit(1))
        return page[0] if page else None

    def _fetch(self, statement: Select[tuple[object, ...]]) -> list[Frame]:
        with self._engine.begin() as connection:
            rows = connection.execute(statement).mappings().all()
        try:
            return [Frame.from_row(row) for row in rows]
        except ValueError as error:
            raise TamperError(f"a frame row is damaged ({error}); run `agentguard audit verify`") from error


def _needle(value: str) -> bytes | None:
    """How a text stands in a record's JSON, whatever the codec; None for one that a codec may spell in another way."""
    plain = value.isascii() and value.isprintable() and not set(value) & set('"\\/')
    return f'"{value}"'.encode() if plain else None
