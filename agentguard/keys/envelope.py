"""Envelope encryption: a KEK wraps data encryption keys.

A key's id is a commitment to it (HKDF-SHA256 with its own label), compared before first use: AES-GCM alone does not
commit to its key, and one ciphertext could be crafted to open under two (CVE-2020-8897).
Every wrap derives a fresh key from a random 256-bit salt, so no nonce can repeat under one key.
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agentguard.errors import ConfigError, DecryptError, WeakKeyError

__all__ = ["DataKey", "commitment", "derive", "unwrap", "wrap"]

KEY_BYTES = 32
SALT_BYTES = 32
NONCE_BYTES = 12
# 32 random bytes with fewer different values than this: less than once in 2^128 keys.
MIN_DISTINCT = 8


def derive(key: bytes, *, salt: bytes | None, info: bytes, length: int = KEY_BYTES) -> bytes:
    """HKDF-SHA256 (RFC 5869). ``info`` starts with a label of its own for every use."""
    return HKDF(SHA256(), length, salt, info).derive(key)


def commitment(key: bytes) -> bytes:
    """32 bytes that identify ``key``, bind to it and reveal nothing of it.

    Raises:
        ConfigError: the key is not 32 bytes.
    """
    if len(key) != KEY_BYTES:
        raise ConfigError(f"a key has {KEY_BYTES} bytes, got {len(key)}; generate one with secrets.token_bytes(32)")
    return derive(key, salt=None, info=b"agentguard key commitment 1")


@dataclass(frozen=True, slots=True)
class DataKey:
    """A data encryption key with its commitment as ``id``."""

    key: bytes = field(repr=False)
    id: bytes

    @classmethod
    def generate(cls) -> DataKey:
        """A fresh random key."""
        return cls.of(os.urandom(KEY_BYTES))

    @classmethod
    def of(cls, key: bytes) -> DataKey:
        """An existing key.

        Raises:
            ConfigError: the key is not 32 bytes.
        """
        return cls(key, commitment(key))

    @classmethod
    def drawn(cls, key: bytes) -> DataKey:
        """A key from outside, which must look as if it was drawn at random.

        Raises:
            ConfigError: it is not 32 bytes.
            WeakKeyError: it repeats a few byte values.
        """
        made = cls.of(key)
        if len(set(key)) < MIN_DISTINCT:
            raise WeakKeyError("the key repeats a few byte values; generate one with secrets.token_bytes(32)")
        return made


def wrap(key: DataKey, *, kek: bytes, associated_data: bytes) -> bytes:
    """Encrypt ``key`` under ``kek``, bound to its id and to ``associated_data``."""
    salt = os.urandom(SALT_BYTES)
    cipher, nonce = _cipher(kek, salt)
    return salt + cipher.encrypt(nonce, key.key, key.id + associated_data)


def unwrap(wrapped: bytes, *, kek: bytes, key_id: bytes, associated_data: bytes) -> DataKey:
    """Open what ``wrap`` made.

    Raises:
        DecryptError: wrong KEK, wrong associated data, changed bytes, or a key that is not the one ``key_id`` names.
    """
    if len(wrapped) < SALT_BYTES:
        raise DecryptError(f"a wrapped key has more than {SALT_BYTES} bytes, got {len(wrapped)}")
    cipher, nonce = _cipher(kek, wrapped[:SALT_BYTES])
    try:
        key = cipher.decrypt(nonce, wrapped[SALT_BYTES:], key_id + associated_data)
    except InvalidTag as error:
        raise DecryptError("a wrapped key does not open: wrong key encryption key, or changed bytes") from error
    if len(key) != KEY_BYTES or not hmac.compare_digest(commitment(key), key_id):
        raise DecryptError("a wrapped key opens to another key than its id names")
    return DataKey(key, key_id)


def _cipher(kek: bytes, salt: bytes) -> tuple[AESGCM, bytes]:
    both = derive(kek, salt=salt, info=b"agentguard key wrap 1", length=KEY_BYTES + NONCE_BYTES)
    return AESGCM(both[:KEY_BYTES]), both[KEY_BYTES:]
