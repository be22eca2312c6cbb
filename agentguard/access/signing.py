"""Keys that sign session tokens: made and kept in the home, wrapped under its key encryption key; or from a secret.

Each has a random id that tokens name. A rotation adds a key, which signs from then on; the ones before it go on
verifying until every session they signed for has ended. Other processes sign with a new key within a second and know
it at the first token that names it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from agentguard.errors import ConfigError, KeySourceError
from agentguard.keys import DataEncryption, DataKey, KeySource, RotatingKeySource, unwrap, wrap
from agentguard.keys.envelope import derive
from agentguard.store import Home, begin_immediate, open_state, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Row, Table

__all__ = ["FixedKeys", "SigningKeys", "StoredKeys", "rewrap_signing_keys"]

# RFC 7518 section 3.2: a key of HS256 has at least the size of its hash.
MIN_SECRET_BYTES = 32
# "aaaa..." is long and no secret. Fewer different bytes than this do not occur by chance in 32 random ones.
MIN_DIFFERENT_BYTES = 8
# Half of the second within which a change must hold elsewhere.
FRESH_S = 0.5

_WRAPPED_AS = b"agentguard session key 1"


@dataclass(frozen=True, slots=True)
class _Material:
    """One key of the ring, and what is derived from it."""

    id: str
    token: bytes = field(repr=False)
    data: DataEncryption = field(repr=False)

    @classmethod
    def of(cls, key_id: str, root: bytes) -> _Material:
        token = derive(root, salt=None, info=b"agentguard session token 1")
        return cls(key_id, token, DataEncryption(derive(root, salt=None, info=b"agentguard session data 1")))


class SigningKeys(Protocol):
    """Gives keys by their id, and the one that signs."""

    def signing(self) -> tuple[str, bytes]:
        """The id and the 32 bytes of the key that signs now."""
        ...

    def verifying(self, key_id: str) -> bytes | None:
        """The key of that id; None when it is not, or no longer, ours."""
        ...

    def sealing(self, key_id: str) -> DataEncryption | None:
        """What encrypts the data of sessions that began under that key; None as for ``verifying``."""
        ...

    def rotate(self, *, retire: bool = False) -> str:
        """Add a key, which signs from now on, and return its id. ``retire``: the ones before verify no longer."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...


class FixedKeys:
    """Keys from secrets of the application: the first signs, the others verify.

    Raises:
        ConfigError: a secret is shorter than 32 bytes, or hardly any of its bytes differ.
    """

    def __init__(self, secret: str | bytes, previous: Iterable[str | bytes] = ()) -> None:
        ring = [_from_secret(one) for one in (secret, *previous)]
        self._signs = ring[0]
        self._ring = {material.id: material for material in ring}

    def signing(self) -> tuple[str, bytes]:
        """As ``SigningKeys.signing``."""
        return self._signs.id, self._signs.token

    def verifying(self, key_id: str) -> bytes | None:
        """As ``SigningKeys.verifying``."""
        found = self._ring.get(key_id)
        return None if found is None else found.token

    def sealing(self, key_id: str) -> DataEncryption | None:
        """As ``SigningKeys.sealing``."""
        found = self._ring.get(key_id)
        return None if found is None else found.data

    def rotate(self, *, retire: bool = False) -> str:
        """Refused: the application holds these keys."""
        raise ConfigError("these keys come from a secret; start with a new secret_key and the old one in previous_keys")

    def close(self) -> None:
        """Nothing is open."""


class StoredKeys:
    """Keys in the state database, wrapped under the home's key encryption key. Thread-safe.

    Args:
        home: the project's folder.
        source: gives the key encryption key; asked at the first use.
        overlap_s: seconds for which a key verifies after the next one was made: the longest life of a session.
        strict: read the database at each use.
        clock: seconds since 1970.
        ticks: monotonic seconds, for how old what is remembered may be.
    """

    def __init__(
        self,
        home: Home,
        source: KeySource,
        *,
        overlap_s: float,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._source = source
        self._overlap_s = overlap_s
        self._fresh_s = 0.0 if strict else FRESH_S
        self._clock = clock
        self._ticks = ticks
        self._lock = threading.RLock()
        self._opened: tuple[Engine, Table] | None = None
        self._due = float("-inf")
        self._ring: dict[str, _Material] = {}
        self._signs: _Material | None = None

    @staticmethod
    def define(metadata: MetaData) -> Table:
        """Add the table to the schema of the state database."""
        from sqlalchemy import Column, Float, LargeBinary, String, Table

        return Table(
            "session_key",
            metadata,
            Column("kid", String(32), primary_key=True),
            Column("created_at", Float(53), nullable=False),
            Column("kek_id", String(64), nullable=False),
            Column("commitment", LargeBinary(32), nullable=False),
            Column("wrapped", LargeBinary(512), nullable=False),
        )

    def signing(self) -> tuple[str, bytes]:
        """As ``SigningKeys.signing``; the first use makes the first key."""
        if self._ticks() >= self._due:
            self._load()
        signs = self._signs
        if signs is None:
            self._add(first=True, retire=False)
            signs = self._signs
        if signs is None:
            raise KeySourceError("the keys of the sessions were removed while they were made; try again")
        return signs.id, signs.token

    def verifying(self, key_id: str) -> bytes | None:
        """As ``SigningKeys.verifying``."""
        found = self._found(key_id)
        return None if found is None else found.token

    def sealing(self, key_id: str) -> DataEncryption | None:
        """As ``SigningKeys.sealing``."""
        found = self._found(key_id)
        return None if found is None else found.data

    def rotate(self, *, retire: bool = False) -> str:
        """As ``SigningKeys.rotate``. Keys whose overlap is over are deleted.

        Raises:
            StoreError, KeySourceError: the home cannot be used.
        """
        return self._add(first=False, retire=retire)

    def close(self) -> None:
        """Close the database's connections. A later use opens them again."""
        with self._lock:
            if self._opened is not None:
                self._opened[0].dispose()

    def _found(self, key_id: str) -> _Material | None:
        if self._ticks() >= self._due:
            self._load()
        found = self._ring.get(key_id)
        if found is None:
            # Perhaps made by another process since. One indexed read: no dearer than the token's signature.
            self._load()
            found = self._ring.get(key_id)
        return found

    def _load(self) -> None:
        engine, table = self._table()
        with self._lock, self._errors():
            due = self._ticks() + self._fresh_s
            with engine.begin() as connection:
                rows = connection.execute(table.select().order_by(table.c.created_at, table.c.kid)).all()
            known = self._ring
            live = _live(rows, self._clock() - self._overlap_s)
            ring = {row.kid: known.get(row.kid) or self._unwrapped(row) for row in live}
            self._ring = ring
            self._signs = ring[rows[-1].kid] if rows else None
            self._due = due

    def _add(self, *, first: bool, retire: bool) -> str:
        engine, table = self._table()
        key = DataKey.generate()
        kek = self._source.kek()
        values = {
            "kid": secrets.token_hex(16),
            "kek_id": self._source.id,
            "commitment": key.id,
            "wrapped": wrap(key, kek=kek, associated_data=_WRAPPED_AS),
        }
        with self._lock, self._errors(), begin_immediate(engine) as connection:
            rows = connection.execute(table.select().order_by(table.c.created_at, table.c.kid)).all()
            if first and rows:
                key_id = str(rows[-1].kid)
            else:
                now = self._clock()
                # A clock that stepped back must not leave the old key signing.
                created_at = max([now, *(row.created_at + 1e-3 for row in rows[-1:])])
                kept = {row.kid for row in _live(rows, now - self._overlap_s)} if not retire else set()
                for row in rows:
                    if row.kid not in kept:
                        connection.execute(table.delete().where(table.c.kid == row.kid))
                connection.execute(table.insert().values(created_at=created_at, **values))
                key_id = str(values["kid"])
        self._load()
        return key_id

    def _unwrapped(self, row: Row[Any]) -> _Material:
        kek = self._source.kek() if row.kek_id == self._source.id else self._other(row.kek_id)
        key = unwrap(row.wrapped, kek=kek, key_id=row.commitment, associated_data=_WRAPPED_AS)
        return _Material.of(row.kid, key.key)

    def _other(self, kek_id: str) -> bytes:
        if not isinstance(self._source, RotatingKeySource):
            raise KeySourceError("the keys of the sessions are wrapped under another key encryption key; restore it")
        return self._source.kek_of(kek_id)

    def _errors(self) -> AbstractContextManager[None]:
        return storage_errors(self._home.state)

    def _table(self) -> tuple[Engine, Table]:
        with self._lock:
            if self._opened is None:
                self._opened = _opened(self._home)
            return self._opened


def rewrap_signing_keys(home: Home, old: KeySource, new: KeySource) -> int:
    """Wrap the keys of the sessions under another key encryption key; how many there were. Done twice, it does nothing.

    Raises:
        StoreError, KeySourceError, DecryptError: nothing was changed.
    """
    engine, table = _opened(home)
    try:
        with storage_errors(home.state), begin_immediate(engine) as connection:
            rows = connection.execute(table.select().where(table.c.kek_id != new.id)).all()
            for row in rows:
                if row.kek_id != old.id:
                    raise KeySourceError("a key of the sessions is wrapped under neither key; restore the older one")
                key = unwrap(row.wrapped, kek=old.kek(), key_id=row.commitment, associated_data=_WRAPPED_AS)
                wrapped = wrap(key, kek=new.kek(), associated_data=_WRAPPED_AS)
                connection.execute(table.update().where(table.c.kid == row.kid).values(kek_id=new.id, wrapped=wrapped))
    finally:
        engine.dispose()
    return len(rows)


def _opened(home: Home) -> tuple[Engine, Table]:
    from sqlalchemy import MetaData

    metadata = MetaData()
    table = StoredKeys.define(metadata)
    return open_state(home, metadata), table


def _live(rows: Iterable[Row[Any]], oldest: float) -> list[Row[Any]]:
    """The keys that still verify: the newest, and those whose successor is not older than ``oldest``."""
    ordered = list(rows)
    replaced = [row.created_at for row in ordered[1:]]
    return [row for row, until in zip(ordered, [*replaced, float("inf")], strict=False) if until > oldest]


def _from_secret(secret: str | bytes) -> _Material:
    data = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else bytes(secret)
    if len(data) < MIN_SECRET_BYTES or len(set(data)) < MIN_DIFFERENT_BYTES:
        raise ConfigError(
            f"the secret key is too weak: {MIN_SECRET_BYTES} random bytes or more are accepted; "
            "make one with secrets.token_urlsafe(32), or pass none and let the home keep its keys"
        )
    root = derive(data, salt=None, info=b"agentguard session secret 1")
    return _Material.of(derive(root, salt=None, info=b"agentguard session key id 1", length=16).hex(), root)
