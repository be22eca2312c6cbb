"""Authenticated encryption of values and files with AES-256-GCM.

Files use the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015): every chunk's nonce holds a
counter and a final flag, so truncated, reordered, repeated and spliced files do not open. Memory stays at one chunk.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentguard.errors import DecryptError
from agentguard.keys.envelope import KEY_BYTES, NONCE_BYTES, SALT_BYTES, DataKey, derive
from agentguard.keys.source import KeySource
from agentguard.store import atomic_file

__all__ = ["DataEncryption"]

TAG_BYTES = 16
CHUNK_BYTES = 64 * 1024
# NIST SP 800-38D section 8.3: at most 2^32 random 96-bit nonces under one key.
MAX_RANDOM_NONCES = 2**32

SEAL_MAGIC = b"AGSEAL\x01\n"
FILE_MAGIC = b"AGFILE\x01\n"
# magic and version, key id, salt
HEADER_BYTES = 8 + 32 + SALT_BYTES
_PREFIX_BYTES = NONCE_BYTES - 5


class DataEncryption:
    """Encrypts values and files under one key.

    ``seal`` and ``open`` carry key id and version inside and bind associated data: prefer them to the tuple form.

    Args:
        key: 32 bytes. When absent a fresh one is made: keep ``.key``, or nothing encrypted here opens again.

    Raises:
        ConfigError: the key is not 32 bytes.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = DataKey.generate() if key is None else DataKey.of(bytes(key))
        self._data = AESGCM(derive(self._key.key, salt=None, info=b"agentguard data 1"))
        self._spent = 0

    @classmethod
    def from_source(cls, source: KeySource) -> DataEncryption:
        """Encrypt under a key that outlives this process.

        Raises:
            KeySourceError: the source has no usable key.
        """
        return cls(derive(source.kek(), salt=None, info=b"agentguard data encryption 1"))

    @property
    def key(self) -> bytes:
        """The key itself, to be kept somewhere safe."""
        return self._key.key

    @property
    def key_id(self) -> str:
        """Public name of the key, 64 hex digits."""
        return self._key.id.hex()

    def encrypt_data(self, data: bytes) -> tuple[bytes, bytes, bytes]:
        """Return (ciphertext, 12-byte iv, 16-byte tag)."""
        if self._spent >= MAX_RANDOM_NONCES:
            raise OverflowError("this key encrypted 2^32 values; use seal(), which has no such limit, or a new key")
        self._spent += 1
        iv = os.urandom(NONCE_BYTES)
        sealed = self._data.encrypt(iv, data, None)
        return sealed[:-TAG_BYTES], iv, sealed[-TAG_BYTES:]

    def decrypt_data(self, ciphertext: bytes, iv: bytes, tag: bytes) -> bytes:
        """Open what ``encrypt_data`` returned.

        Raises:
            DecryptError: wrong key, or any byte changed.
        """
        if len(iv) != NONCE_BYTES or len(tag) != TAG_BYTES:
            raise DecryptError(f"need a {NONCE_BYTES}-byte iv and a {TAG_BYTES}-byte tag, got {len(iv)} and {len(tag)}")
        return _decrypt(self._data, iv, ciphertext + tag, b"")

    def seal(self, data: bytes, *, associated_data: bytes = b"") -> bytes:
        """Encrypt into one self-describing value, bound to ``associated_data``, which is not stored."""
        header = SEAL_MAGIC + self._key.id + os.urandom(SALT_BYTES)
        cipher, nonce = self._seal_cipher(header)
        return header + cipher.encrypt(nonce, data, header + associated_data)

    def open(self, sealed: bytes, *, associated_data: bytes = b"") -> bytes:
        """Open what ``seal`` made.

        Raises:
            DecryptError: another key, other associated data, changed bytes, or no sealed value at all.
        """
        header = self._checked(sealed[:HEADER_BYTES], SEAL_MAGIC)
        cipher, nonce = self._seal_cipher(header)
        return _decrypt(cipher, nonce, sealed[HEADER_BYTES:], header + associated_data)

    def encrypt_file(self, source: Path | str, target: Path | str) -> None:
        """Encrypt a file of any size. The target appears whole or not at all, mode 0600, and may be the source.

        Raises:
            FileNotFoundError: no such source.
            StoreError: the target cannot be written.
        """
        header = FILE_MAGIC + self._key.id + os.urandom(SALT_BYTES)
        cipher, prefix = self._file_cipher(header)
        with Path(source).open("rb") as plain, atomic_file(Path(target)) as out:
            out.write(header)
            for counter, (chunk, final) in enumerate(_chunks(plain, CHUNK_BYTES)):
                out.write(cipher.encrypt(_chunk_nonce(prefix, counter, final), chunk, None))

    def decrypt_file(self, source: Path | str, target: Path | str) -> None:
        """Decrypt a file that ``encrypt_file`` made. Nothing is written to the target unless all of it is genuine.

        Raises:
            DecryptError: another key; changed, missing, added or reordered bytes.
            FileNotFoundError: no such source.
            StoreError: the target cannot be written.
        """
        with Path(source).open("rb") as sealed, atomic_file(Path(target)) as out:
            cipher, prefix = self._file_cipher(self._checked(sealed.read(HEADER_BYTES), FILE_MAGIC))
            for counter, (chunk, final) in enumerate(_chunks(sealed, CHUNK_BYTES + TAG_BYTES)):
                out.write(_decrypt(cipher, _chunk_nonce(prefix, counter, final), chunk, b""))

    def _checked(self, header: bytes, magic: bytes) -> bytes:
        if len(header) < HEADER_BYTES or not header.startswith(magic):
            raise DecryptError("not encrypted by AgentGuard, of an unknown version, or cut short")
        if not hmac.compare_digest(header[8:40], self._key.id):
            raise DecryptError(f"encrypted under key {header[8:40].hex()}, this is key {self.key_id}; use that key")
        return header

    def _seal_cipher(self, header: bytes) -> tuple[AESGCM, bytes]:
        both = derive(self.key, salt=header[40:], info=b"agentguard seal 1", length=KEY_BYTES + NONCE_BYTES)
        return AESGCM(both[:KEY_BYTES]), both[KEY_BYTES:]

    def _file_cipher(self, header: bytes) -> tuple[AESGCM, bytes]:
        info = b"agentguard file 1" + header
        both = derive(self.key, salt=header[40:], info=info, length=KEY_BYTES + _PREFIX_BYTES)
        return AESGCM(both[:KEY_BYTES]), both[KEY_BYTES:]


def _decrypt(cipher: AESGCM, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    try:
        return cipher.decrypt(nonce, sealed, associated_data)
    except (InvalidTag, ValueError) as error:
        raise DecryptError("does not open: wrong key, wrong associated data, or changed bytes") from error


def _chunk_nonce(prefix: bytes, counter: int, final: bool) -> bytes:
    return prefix + struct.pack(">IB", counter, final)


def _chunks(file: IO[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """Pieces of ``size`` bytes, the last one marked; an empty file is one empty last piece."""
    piece = file.read(size)
    while True:
        following = file.read(size)
        yield piece, not following
        if not following:
            return
        piece = following
