"""The log's own keys: one to sign, one for index tokens, and a fresh record key per day or 2^24 frames.

All are wrapped under the KEK, bound to the log they belong to and to every other column of their row.
"""

from __future__ import annotations

import hmac
import os
import struct
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, insert, select

from agentguard.audit import schema
from agentguard.audit.checkpoint import Signer, VerifierKey
from agentguard.errors import DecryptError, KeySourceError, TamperError
from agentguard.keys import DataKey, KeySource, RotatingKeySource, unwrap, wrap

__all__ = ["INDEX", "RECORD", "SIGNING", "KeyRing", "LogIdentity"]

SIGNING = "signing"
INDEX = "index"
RECORD = "record"

LOG_ID_BYTES = 16
TOKEN_BYTES = 16
KEY_LIFE_NS = 24 * 3600 * 1_000_000_000
KEY_LIFE_FRAMES = 2**24
# Token cache: users, tools and rules repeat, run ids do not. Past this many it starts afresh.
MAX_CACHED_TOKENS = 65_536


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """Which log this is: one row of the log table."""

    generation: int
    log_id: bytes
    created: int
    public_key: bytes

    @classmethod
    def from_row(cls, row: RowMapping) -> LogIdentity:
        """Take a database row.

        Raises:
            ValueError: a column has a type, length or range that no log has.
        """
        found = cls(row["generation"], row["log_id"], row["created"], row["public_key"])
        if type(found.generation) is not int or type(found.created) is not int or not 0 < found.generation < 2**32:
            raise ValueError("a number is out of range")
        for value, length in ((found.log_id, LOG_ID_BYTES), (found.public_key, 32)):
            if type(value) is not bytes or len(value) != length:
                raise ValueError("log id or public key has a wrong length")
        return found

    @property
    def origin(self) -> str:
        """The name of the log in its checkpoints."""
        return f"agentguard.audit/{self.log_id.hex()}/{self.generation}"

    @property
    def verifier(self) -> VerifierKey:
        """What outsiders check signatures with."""
        return VerifierKey(self.origin, self.public_key)


class KeyRing:
    """Opens and makes the keys of one log. Not thread-safe for making; opened keys are cached."""

    def __init__(self, identity: LogIdentity, source: KeySource) -> None:
        self.identity = identity
        self._source = source
        self._kek_id = bytes.fromhex(source.id)
        self._keks = {self._kek_id: source.kek()}
        self._opened: dict[bytes, DataKey] = {}
        self._tokens: dict[str, bytes] = {}
        self._index: bytes | None = None
        self._signer: Signer | None = None

    @classmethod
    def create(cls, connection: Connection, source: KeySource, *, now: int, generation: int = 1) -> KeyRing:
        """Begin a new log: its identity, signing key and index key."""
        seed = DataKey.generate()
        public = Signer("new", seed.key).verifier.public
        identity = LogIdentity(generation, os.urandom(LOG_ID_BYTES), now, public)
        connection.execute(
            insert(schema.logs).values(
                generation=identity.generation, log_id=identity.log_id, created=now, public_key=public
            )
        )
        ring = cls(identity, source)
        ring._store(connection, seed, SIGNING, now, 0)
        ring._store(connection, DataKey.generate(), INDEX, now, 0)
        ring.load(connection)
        return ring

    @property
    def signer(self) -> Signer:
        """Signs checkpoints; after ``load``."""
        if self._signer is None:
            raise KeySourceError("the log's signing key is not open; restore the key row from a backup")
        return self._signer

    def load(self, connection: Connection) -> None:
        """Open the signing and the index key.

        Raises:
            KeySourceError: a row is missing or wrapped under another KEK.
            TamperError: a row contradicts the log.
        """
        seed = self._only(connection, SIGNING)
        signer = Signer(self.identity.origin, seed.key)
        if not hmac.compare_digest(signer.verifier.public, self.identity.public_key):
            raise TamperError("the log's public key is not the one its signing key has")
        self._index = self._only(connection, INDEX).key
        self._signer = signer

    def record_key(self, connection: Connection, *, now: int, frame: int) -> DataKey:
        """The key for the next frame; a fresh one, stored in this transaction, when the last is worn out."""
        columns = schema.keys.c
        query = select(schema.keys).where(columns.generation == self.identity.generation, columns.purpose == RECORD)
        row = connection.execute(query.order_by(columns.first_frame.desc()).limit(1)).mappings().first()
        if row is not None and 0 <= now - row["created"] < KEY_LIFE_NS and frame - row["first_frame"] < KEY_LIFE_FRAMES:
            return self.opened(row)
        # Another process may have rotated the key encryption key: a row under the old one would never open again.
        self._adopt(connection)
        key = DataKey.generate()
        self._store(connection, key, RECORD, now, frame)
        return key

    def rewrapped(self, row: RowMapping, new: KeySource) -> bytes:
        """The key of a row, wrapped under another key encryption key."""
        new_id = bytes.fromhex(new.id)
        bound = self._bound(row["purpose"], row["created"], row["first_frame"], new_id)
        return wrap(self.unwrapped(row), kek=new.kek(), associated_data=bound)

    def opened(self, row: RowMapping) -> DataKey:
        """Unwrap a key row.

        Raises:
            KeySourceError: wrapped under another KEK than ours.
            TamperError: the row was changed.
        """
        cached = self._opened.get(row["key_id"])
        if cached is None:
            cached = self._opened[row["key_id"]] = self.unwrapped(row)
        return cached

    def known(self, key_id: bytes) -> DataKey | None:
        """A key already open, without asking the database."""
        return self._opened.get(key_id)

    def unwrapped(self, row: RowMapping) -> DataKey:
        """As ``opened``, without the cache: verification looks at the row itself."""
        kek = self._kek(row["kek_id"])
        bound = self._bound(row["purpose"], row["created"], row["first_frame"], row["kek_id"])
        try:
            return unwrap(row["wrapped"], kek=kek, key_id=row["key_id"], associated_data=bound)
        except DecryptError as error:
            raise TamperError("a key row of the log was changed") from error

    def token(self, term: str) -> bytes:
        """HMAC-SHA256 of a term (field, NUL, value) under the index key, 16 bytes; the disk shows no names."""
        found = self._tokens.get(term)
        if found is None:
            if self._index is None:
                raise KeySourceError("the log's index key is not open; restore the key row from a backup")
            text = term.encode("utf-8", "surrogatepass")
            found = hmac.digest(self._index, text, "sha256")[:TOKEN_BYTES]
            if len(self._tokens) >= MAX_CACHED_TOKENS:
                self._tokens.clear()
            self._tokens[term] = found
        return found

    def _kek(self, kek_id: bytes) -> bytes:
        """A key encryption key by its id: ours, or one that a rotation put beside it or in its place."""
        found = self._keks.get(kek_id)
        if found is None:
            if not isinstance(self._source, RotatingKeySource):
                raise KeySourceError("a key of the log is wrapped under another key encryption key; give that one")
            found = self._keks[kek_id] = self._source.kek_of(kek_id.hex())
        return found

    def _adopt(self, connection: Connection) -> None:
        columns = schema.keys.c
        query = select(columns.kek_id).where(columns.generation == self.identity.generation, columns.purpose == SIGNING)
        kek_id = connection.execute(query).scalar()
        if kek_id is not None and kek_id != self._kek_id:
            self._kek(kek_id)
            self._kek_id = kek_id

    def _only(self, connection: Connection, purpose: str) -> DataKey:
        columns = schema.keys.c
        query = select(schema.keys).where(columns.generation == self.identity.generation, columns.purpose == purpose)
        rows = connection.execute(query).mappings().all()
        if not rows:
            raise KeySourceError(f"the log's {purpose} key is missing; restore the database from a backup")
        if len(rows) > 1:
            raise TamperError(f"the log has {len(rows)} {purpose} keys, it was made with one")
        return self.opened(rows[0])

    def _store(self, connection: Connection, key: DataKey, purpose: str, created: int, first_frame: int) -> None:
        bound = self._bound(purpose, created, first_frame, self._kek_id)
        wrapped = wrap(key, kek=self._keks[self._kek_id], associated_data=bound)
        connection.execute(
            insert(schema.keys).values(
                key_id=key.id,
                generation=self.identity.generation,
                purpose=purpose,
                created=created,
                first_frame=first_frame,
                kek_id=self._kek_id,
                wrapped=wrapped,
            )
        )
        self._opened[key.id] = key

    def _bound(self, purpose: str, created: int, first_frame: int, kek_id: bytes) -> bytes:
        log = self.identity
        numbers = struct.pack(">Iqqq", log.generation, log.created, created, first_frame)
        return b"agentguard audit key 1\x00" + log.log_id + log.public_key + numbers + kek_id + purpose.encode()
