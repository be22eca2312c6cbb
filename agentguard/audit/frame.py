"""Frames: up to 1,024 records encrypted together and chained.

AES-256-GCM (NIST SP 800-38D). Frame key and nonce come from HKDF(DEK, random salt) over log id, frame number and the
frame's leaf hashes: even a cloned machine that repeats its random numbers cannot reuse a nonce for other records.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import RowMapping

from agentguard.audit.merkle import HASH_BYTES, leaf_hash
from agentguard.errors import DecryptError
from agentguard.keys.envelope import KEY_BYTES, NONCE_BYTES, SALT_BYTES, DataKey, derive

__all__ = ["MAX_RECORDS", "PREFIX_BYTES", "Frame", "join", "split", "tokens_digest"]

MAX_RECORDS = 1024
# Random bytes before each record: without them a published leaf hash could be guessed from a likely event.
PREFIX_BYTES = 16
TAG_BYTES = 16

_AAD_LABEL = b"agentguard audit frame 1\x00"
_CHAIN_LABEL = b"agentguard audit chain 1\x00"
_KEY_LABEL = b"agentguard audit frame key 1\x00"
_HEADER = struct.Struct(">16sIQQIqq32s32s32s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One row of the frame table, checked for shape."""

    generation: int
    number: int
    first_index: int
    count: int
    t_min: int
    t_max: int
    key_id: bytes
    previous: bytes
    tokens_hash: bytes
    leaves: bytes = field(repr=False)
    salt: bytes
    ciphertext: bytes = field(repr=False)
    chain: bytes

    @classmethod
    def from_row(cls, row: RowMapping) -> Frame:
        """Take a database row.

        Raises:
            ValueError: a column has a type, length or range that no frame has.
        """
        frame = cls(**{name: row[name] for name in cls.__slots__})
        for name in ("generation", "number", "first_index", "count", "t_min", "t_max"):
            if type(getattr(frame, name)) is not int:
                raise ValueError(f"{name} is no integer")
        for name in ("key_id", "previous", "tokens_hash", "salt", "chain"):
            if type(getattr(frame, name)) is not bytes or len(getattr(frame, name)) != HASH_BYTES:
                raise ValueError(f"{name} does not have {HASH_BYTES} bytes")
        if type(frame.leaves) is not bytes or len(frame.leaves) != frame.count * HASH_BYTES:
            raise ValueError("leaves do not fit the count")
        if type(frame.ciphertext) is not bytes or not 1 <= frame.count <= MAX_RECORDS:
            raise ValueError("ciphertext or count out of range")
        if not (0 <= frame.generation < 2**32 and frame.number >= 0 and frame.first_index >= 0):
            raise ValueError("a number is negative")
        return frame

    @classmethod
    def seal(
        cls,
        records: Sequence[bytes],
        *,
        key: DataKey,
        log_id: bytes,
        generation: int,
        number: int,
        first_index: int,
        times: tuple[int, int],
        previous: bytes,
        tokens_hash: bytes,
    ) -> Frame:
        """Encrypt records; ``times`` are the first and last of them in nanoseconds since the epoch."""
        fields: dict[str, Any] = {
            "generation": generation,
            "number": number,
            "first_index": first_index,
            "count": len(records),
            "t_min": times[0],
            "t_max": times[1],
            "key_id": key.id,
            "previous": previous,
            "tokens_hash": tokens_hash,
            "leaves": b"".join(map(leaf_hash, records)),
            "salt": os.urandom(SALT_BYTES),
        }
        draft = cls(**fields, ciphertext=b"", chain=b"")
        cipher, nonce = draft._cipher(key.key, log_id)
        fields["ciphertext"] = cipher.encrypt(nonce, join(records), draft.associated_data(log_id))
        return cls(**fields, chain=cls(**fields, chain=b"").chain_hash(log_id))

    def associated_data(self, log_id: bytes) -> bytes:
        """What the ciphertext is bound to."""
        return _AAD_LABEL + _HEADER.pack(
            log_id,
            self.generation,
            self.number,
            self.first_index,
            self.count,
            self.t_min,
            self.t_max,
            self.previous,
            self.key_id,
            self.tokens_hash,
        )

    def chain_hash(self, log_id: bytes) -> bytes:
        """Hash over the whole row and, through ``previous``, over every row before it."""
        digest = hashlib.sha256(_CHAIN_LABEL + self.associated_data(log_id) + self.salt)
        digest.update(hashlib.sha256(self.leaves).digest())
        digest.update(hashlib.sha256(self.ciphertext).digest())
        return digest.digest()

    def leaf_hashes(self) -> list[bytes]:
        """The leaves, in order."""
        return [self.leaves[at : at + HASH_BYTES] for at in range(0, len(self.leaves), HASH_BYTES)]

    def open(self, key: DataKey, log_id: bytes) -> list[bytes]:
        """Decrypt the records.

        Raises:
            DecryptError: changed bytes, or records that are not the ones the leaves commit to.
        """
        cipher, nonce = self._cipher(key.key, log_id)
        try:
            plain = cipher.decrypt(nonce, self.ciphertext, self.associated_data(log_id))
        except (InvalidTag, ValueError) as error:
            raise DecryptError(f"frame {self.number} does not open: changed bytes") from error
        records = split(plain)
        if [leaf_hash(record) for record in records] != self.leaf_hashes():
            raise DecryptError(f"frame {self.number} holds other records than its leaves commit to")
        return records

    def _cipher(self, key: bytes, log_id: bytes) -> tuple[AESGCM, bytes]:
        number = struct.pack(">IQ", self.generation, self.number)
        info = _KEY_LABEL + log_id + number + hashlib.sha256(self.leaves).digest()
        both = derive(key, salt=self.salt, info=info, length=KEY_BYTES + NONCE_BYTES)
        return AESGCM(both[:KEY_BYTES]), both[KEY_BYTES:]


def join(records: Iterable[bytes]) -> bytes:
    """Records, each behind its length (32 bits, big-endian)."""
    return b"".join(part for record in records for part in (struct.pack(">I", len(record)), record))


def split(plain: bytes) -> list[bytes]:
    """Undo ``join``.

    Raises:
        DecryptError: the lengths do not add up.
    """
    records = []
    at = 0
    while at < len(plain):
        end = at + 4 + int.from_bytes(plain[at : at + 4], "big")
        if end > len(plain):
            raise DecryptError("a record's length points past its frame")
        records.append(plain[at + 4 : end])
        at = end
    return records


def tokens_digest(tokens: Iterable[bytes]) -> bytes:
    """Hash that binds a frame to its index rows, whatever their order."""
    return hashlib.sha256(b"".join(sorted(set(tokens)))).digest()
