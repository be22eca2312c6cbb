"""The keys that values and files are encrypted under: the newest encrypts, every one of them opens.

A home keeps its data keys in the state database, each wrapped under the home's key encryption key. A new one is added
by ``rotate``; what older ones encrypted opens as before, until it is re-encrypted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agentguard.errors import KeySourceError, WrongKeyError
from agentguard.keys.envelope import DataKey, unwrap, wrap
from agentguard.keys.source import KeySource, RotatingKeySource, home_keys
from agentguard.store import Home, begin_immediate, open_state, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData, Table

__all__ = ["DataKeyEntry", "DataKeyring", "DataKeys", "FixedKeys", "rewrap_data_keys"]

# Seconds after which the database is asked whether another process added a newer key.
FRESH_S = 1.0


class DataKeys(Protocol):
    """Keys to encrypt and open with."""

    def newest(self) -> DataKey:
        """The key that encrypts."""
        ...

    def of(self, key_id: bytes, /) -> DataKey:
        """The key with this commitment.

        Raises:
            WrongKeyError: none has it.
        """
        ...

    def all(self) -> Sequence[DataKey]:
        """All of them, the newest first."""
        ...


class FixedKeys:
    """Keys that were handed in, the newest first."""

    def __init__(self, keys: Sequence[DataKey]) -> None:
        self._keys = tuple(keys)

    def newest(self) -> DataKey:
        """As ``DataKeys.newest``."""
        return self._keys[0]

    def of(self, key_id: bytes) -> DataKey:
        """As ``DataKeys.of``."""
        return _found(self._keys, key_id)

    def all(self) -> Sequence[DataKey]:
        """As ``DataKeys.all``."""
        return self._keys


@dataclass(frozen=True, slots=True)
class DataKeyEntry:
    """What may be shown of a data key: its place, its public id in hex, when it was made (seconds since 1970)."""

    number: int
    key_id: str
    created_at: float


class DataKeyring:
    """The data keys of a home. Safe from threads and processes.

    ``open`` makes the first key. The key encryption key is asked for when keys are read, not kept.
    """

    def __init__(
        self, engine: Engine, source: Callable[[], KeySource], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._source = source
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: tuple[DataKey, ...] = ()
        self._read_at = 0.0

    @classmethod
    def open(cls, home: Home | Path | str, *, password: str | None = None) -> DataKeyring:
        """Open the keyring of a home.

        Args:
            password: the master password, for a home that has one; the environment's when absent.

        Raises:
            KeySourceError: the key encryption key is missing or another one.
            StoreError: the home or its database cannot be used.
            DecryptError: a wrapped key was changed.
        """
        found = home if isinstance(home, Home) else Home.open(home)
        ring = cls(_engine(found), lambda: home_keys(found, password=password))
        if not ring._read():
            ring._add(only_first=True)
        return ring

    def newest(self) -> DataKey:
        """As ``DataKeys.newest``; a key that another process added is seen within a second."""
        if time.monotonic() - self._read_at > FRESH_S:
            self._read()
        return self._keys[0]

    def of(self, key_id: bytes) -> DataKey:
        """As ``DataKeys.of``; a key that another process added is found at once."""
        try:
            return _found(self._keys, key_id)
        except WrongKeyError:
            return _found(self._read(), key_id)

    def all(self) -> Sequence[DataKey]:
        """As ``DataKeys.all``."""
        return self._keys

    def rotate(self, *, record: Callable[[str], None] = lambda _key_id: None) -> DataKeyEntry:
        """Add a key that encrypts from now on. Older ones open as before.

        Args:
            record: called with the new key's id before it is committed; when it raises, there is no new key.

        Raises:
            KeySourceError, StoreError, DecryptError: as ``open``.
        """
        return self._add(record=record)

    def entries(self) -> list[DataKeyEntry]:
        """What may be shown of the keys, the newest first."""
        with self._connected(self._engine.begin()) as connection:
            return [DataKeyEntry(row.number, row.key_id, row.created_at) for row in _rows(connection)]

    @contextmanager
    def _connected(self, transaction: AbstractContextManager[Connection]) -> Iterator[Connection]:
        """A transaction on a connection of its own: a ring is asked too seldom to keep one open."""
        try:
            with storage_errors(self._engine), transaction as connection:
                yield connection
        finally:
            self._engine.dispose()

    def _read(self) -> tuple[DataKey, ...]:
        with self._connected(self._engine.begin()) as connection:
            rows = _rows(connection)
        if rows:
            source = self._source()
            known = {key.id.hex(): key for key in self._keys}
            found = tuple(known.get(row.key_id) or _unwrapped(row, source) for row in rows)
            with self._lock:
                self._keys, self._read_at = found, time.monotonic()
        return self._keys

    def _add(self, *, only_first: bool = False, record: Callable[[str], None] = lambda _key_id: None) -> DataKeyEntry:
        with self._connected(begin_immediate(self._engine)) as connection:
            rows = _rows(connection)
            if not (rows and only_first):
                source = self._source()
                # While a rotation of the key encryption key is under way, the rows say which one counts.
                kek_id = rows[0].kek_id if rows else source.id
                record(_insert(connection, rows, kek_id, _kek(source, kek_id), self._clock()))
        self._read()
        return self.entries()[0]


def rewrap_data_keys(home: Home, old: KeySource, new: KeySource) -> int:
    """Wrap every data key of the home under another key encryption key; return how many were.

    A ring without keys gets its first one, so that nobody makes it under the old key meanwhile. Run again, it finds
    nothing to do.

    Raises:
        KeySourceError: a key is wrapped under neither.
        StoreError, DecryptError: as ``DataKeyring.open``.
    """
    from sqlalchemy import update

    engine = _engine(home)
    try:
        with storage_errors(engine), begin_immediate(engine) as connection:
            rows = _rows(connection)
            if not rows:
                _insert(connection, rows, new.id, new.kek(), time.time())
            waiting = [row for row in rows if row.kek_id != new.id]
            table = _table()
            for row in waiting:
                if row.kek_id != old.id:
                    raise KeySourceError("a data key is wrapped under neither the old nor the new key encryption key")
                again = wrap(_unwrapped(row, old), kek=new.kek(), associated_data=_bound(row.number))
                values = {"kek_id": new.id, "wrapped": again}
                connection.execute(update(table).where(table.c.number == row.number).values(values))
            return len(waiting)
    finally:
        engine.dispose()


def _define(metadata: MetaData) -> Table:
    from sqlalchemy import Column, Float, Integer, LargeBinary, String, Table

    return Table(
        "data_key",
        metadata,
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("key_id", String(64), nullable=False, unique=True),
        Column("kek_id", String(64), nullable=False),
        Column("wrapped", LargeBinary, nullable=False),
        Column("created_at", Float, nullable=False),
    )


def _table() -> Table:
    from sqlalchemy import MetaData

    return _define(MetaData())


def _engine(home: Home) -> Engine:
    from sqlalchemy import MetaData

    metadata = MetaData()
    _define(metadata)
    return open_state(home, metadata)


def _rows(connection: Connection) -> Sequence[_Row]:
    from sqlalchemy import select

    table = _table()
    found = connection.execute(select(table).order_by(table.c.number.desc())).all()
    return [_Row(row.number, row.key_id, row.kek_id, row.wrapped, row.created_at) for row in found]


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    key_id: str
    kek_id: str
    wrapped: bytes
    created_at: float


def _insert(connection: Connection, rows: Sequence[_Row], kek_id: str, kek: bytes, now: float) -> str:
    from sqlalchemy import insert

    number, key = (rows[0].number if rows else 0) + 1, DataKey.generate()
    wrapped = wrap(key, kek=kek, associated_data=_bound(number))
    values = {"number": number, "key_id": key.id.hex(), "kek_id": kek_id, "wrapped": wrapped, "created_at": now}
    connection.execute(insert(_table()).values(values))
    return key.id.hex()


def _unwrapped(row: _Row, source: KeySource) -> DataKey:
    kek = _kek(source, row.kek_id)
    return unwrap(row.wrapped, kek=kek, key_id=bytes.fromhex(row.key_id), associated_data=_bound(row.number))


def _kek(source: KeySource, kek_id: str) -> bytes:
    if source.id == kek_id:
        return source.kek()
    if isinstance(source, RotatingKeySource):
        return source.kek_of(kek_id)
    raise KeySourceError(f"the data keys are wrapped under another key ({kek_id[:16]}...); restore that one")


def _bound(number: int) -> bytes:
    return b"agentguard data key 1 " + str(number).encode()


def _found(keys: Sequence[DataKey], key_id: bytes) -> DataKey:
    for key in keys:
        if key.id == key_id:
            return key
    raise WrongKeyError(f"encrypted under key {key_id.hex()}, which is not here; use that key")
