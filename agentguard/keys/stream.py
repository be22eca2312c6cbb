"""Authenticated encryption of a stream of any length in constant memory.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015) over AES-256-GCM: every chunk's nonce holds
a counter and a final flag, so truncated, reordered, repeated and spliced streams do not open. A fresh key for every
stream comes from a random 256-bit salt; the header names the key by its commitment and is bound to every chunk.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentguard.errors import DecryptError, ForgedError, OversizedError
from agentguard.keys.envelope import KEY_BYTES, NONCE_BYTES, SALT_BYTES, DataKey, derive

__all__ = ["CHUNK_BYTES", "FILE_MAGIC", "HEADER_BYTES", "TAG_BYTES", "PlainStream", "Progress", "encrypt_stream"]

TAG_BYTES = 16
CHUNK_BYTES = 64 * 1024
# The counter in a nonce has 32 bits: 256 TiB.
MAX_CHUNKS = 2**32
FILE_MAGIC = b"AGFILE\x01\n"
# magic and version, key id, salt
HEADER_BYTES = 8 + 32 + SALT_BYTES
_PREFIX_BYTES = NONCE_BYTES - 5

# Told how many bytes were read since it was last told.
Progress = Callable[[int], None]


class Readable(Protocol):
    """A buffered binary file: ``read`` gives fewer bytes than asked for only at the end."""

    def read(self, size: int, /) -> bytes: ...


class Writable(Protocol):
    """A binary file that takes everything it is given."""

    def write(self, data: bytes, /) -> object: ...


def encrypt_stream(
    key: DataKey, source: Readable, out: Writable, *, associated_data: bytes = b"", progress: Progress | None = None
) -> int:
    """Write header and chunks; return how many bytes were read.

    Raises:
        OversizedError: more than 256 TiB.
    """
    header = FILE_MAGIC + key.id + os.urandom(SALT_BYTES)
    cipher, prefix = _cipher(key, header, associated_data)
    out.write(header)
    total = 0
    for counter, (chunk, final) in enumerate(_chunks(source, CHUNK_BYTES)):
        out.write(cipher.encrypt(_nonce(prefix, counter, final), chunk, None))
        total += len(chunk)
        if progress is not None:
            progress(len(chunk))
    return total


class PlainStream:
    """The plain text of an encrypted stream, chunk by chunk. A ``Readable``.

    What was read before an error is genuine but may be only the beginning: discard it.

    Args:
        keys: gives the key of an id; raises ``WrongKeyError`` when it has none.

    Raises:
        DecryptError: no such stream, or of an unknown version.
        WrongKeyError: encrypted under a key that is not here.
        ForgedError: changed, missing, added or reordered bytes, or other associated data.
    """

    def __init__(
        self,
        keys: Callable[[bytes], DataKey],
        source: Readable,
        *,
        associated_data: bytes = b"",
        progress: Progress | None = None,
    ) -> None:
        header = source.read(HEADER_BYTES)
        key = keys(_key_id(header))
        self._pieces = self._opened(*_cipher(key, header, associated_data), source, progress)

    def read(self, _size: int = CHUNK_BYTES, /) -> bytes:
        """The next chunk, of 64 KiB or, at the end, less; empty when there is none."""
        return next(self._pieces, b"")

    def copy_to(self, out: Writable) -> int:
        """Write all of it; return how many bytes."""
        total = 0
        for piece in self._pieces:
            out.write(piece)
            total += len(piece)
        return total

    @staticmethod
    def _opened(cipher: AESGCM, prefix: bytes, source: Readable, progress: Progress | None) -> Iterator[bytes]:
        for counter, (chunk, final) in enumerate(_chunks(source, CHUNK_BYTES + TAG_BYTES)):
            try:
                plain = cipher.decrypt(_nonce(prefix, counter, final), chunk, None)
            except (InvalidTag, ValueError) as error:
                raise ForgedError(
                    f"chunk {counter} does not open: bytes were changed, moved, added or cut off, "
                    "or other associated data"
                ) from error
            if progress is not None:
                progress(len(chunk))
            yield plain


def _key_id(header: bytes) -> bytes:
    if not header.startswith(FILE_MAGIC[:6]):
        raise DecryptError("not encrypted by AgentGuard: it does not begin as its files do")
    if not header.startswith(FILE_MAGIC):
        raise DecryptError("encrypted in a version that this AgentGuard does not know; upgrade it")
    if len(header) < HEADER_BYTES:
        raise ForgedError("cut short within the first bytes")
    return header[8:40]


def _cipher(key: DataKey, header: bytes, associated_data: bytes) -> tuple[AESGCM, bytes]:
    # The header has a fixed length, so nothing can move between it and the associated data.
    info = b"agentguard file 1" + header + associated_data
    both = derive(key.key, salt=header[40:], info=info, length=KEY_BYTES + _PREFIX_BYTES)
    return AESGCM(both[:KEY_BYTES]), both[KEY_BYTES:]


def _nonce(prefix: bytes, counter: int, final: bool) -> bytes:
    if counter >= MAX_CHUNKS:
        raise OversizedError(f"a stream has at most {MAX_CHUNKS} chunks of {CHUNK_BYTES} bytes")
    return prefix + struct.pack(">IB", counter, final)


def _chunks(source: Readable, size: int) -> Iterator[tuple[bytes, bool]]:
    """Pieces of ``size`` bytes, the last one marked; an empty source is one empty last piece."""
    piece = source.read(size)
    while True:
        following = source.read(size)
        yield piece, not following
        if not following:
            return
        piece = following
