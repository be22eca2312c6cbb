"""Authenticated encryption of values and files with AES-256-GCM.

Whatever is encrypted names its key by a commitment that is compared before use, so that nothing opens under two keys;
it carries a format version, and is bound to the caller's associated data. Every value and file has a key of its own,
derived with a random 256-bit salt: no nonce can repeat.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentguard.errors import ConfigError, DecryptError, ForgedError, OversizedError, ReplayedError
from agentguard.keys.envelope import KEY_BYTES, NONCE_BYTES, SALT_BYTES, DataKey, derive
from agentguard.keys.files import SourceFile, replacing
from agentguard.keys.keyring import DataKeyring, DataKeys, FixedKeys
from agentguard.keys.source import KeySource
from agentguard.keys.stream import TAG_BYTES, PlainStream, Progress, Readable, Writable, encrypt_stream
from agentguard.store import Home

__all__ = ["DataEncryption"]

# NIST SP 800-38D section 8.3: at most 2^32 random 96-bit nonces under one key.
MAX_RANDOM_NONCES = 2**32
# A value is held in memory twice while it is sealed; what is larger belongs in a file.
MAX_VALUE_BYTES = 256 * 1024 * 1024

_MAGIC = b"AGSEAL"
_FIRST = _MAGIC + b"\x01\n"
SEAL_MAGIC = _MAGIC + b"\x02\n"
# magic and format version, key id, salt; since format 2 also the value's version
_FIRST_HEADER_BYTES = 8 + 32 + SALT_BYTES
SEAL_HEADER_BYTES = _FIRST_HEADER_BYTES + 8


class DataEncryption:
    """Encrypts values and files under the newest of its keys, and opens what any of them encrypted. Thread-safe.

    ``seal`` and ``open`` carry key id and version inside and bind associated data: prefer them to the tuple form.

    Args:
        key: 32 random bytes. When absent a fresh one is made: keep ``.key``, or nothing encrypted here opens again.
        older: keys that were used before ``key``; they open, and encrypt nothing.

    Raises:
        ConfigError: a key is not 32 bytes.
        WeakKeyError: nobody drew it at random.
    """

    def __init__(self, key: bytes | None = None, *, older: Iterable[bytes] = ()) -> None:
        newest = DataKey.generate() if key is None else DataKey.drawn(bytes(key))
        self._keys: DataKeys = FixedKeys((newest, *(DataKey.drawn(bytes(old)) for old in older)))
        self._spent = 0

    @classmethod
    def from_source(cls, source: KeySource) -> DataEncryption:
        """Encrypt under a key that outlives this process.

        Raises:
            KeySourceError: the source has no usable key.
            WeakKeyError: nobody drew it at random.
        """
        return cls(derive(DataKey.drawn(source.kek()).key, salt=None, info=b"agentguard data encryption 1"))

    @classmethod
    def from_home(cls, home: Home | Path | str, *, password: str | None = None) -> DataEncryption:
        """Encrypt under the newest key of the home's ``DataKeyring``; a rotation elsewhere is seen within a second.

        Raises:
            KeySourceError: the home's key encryption key is missing or another one.
            StoreError: the home or its database cannot be used.
        """
        made = cls.__new__(cls)
        made._keys = DataKeyring.open(home, password=password)
        made._spent = 0
        return made

    @property
    def key(self) -> bytes:
        """The key that encrypts, to be kept somewhere safe."""
        return self._keys.newest().key

    @property
    def key_id(self) -> str:
        """Public name of the key that encrypts, 64 hex digits."""
        return self._keys.newest().id.hex()

    def encrypt_data(self, data: bytes) -> tuple[bytes, bytes, bytes]:
        """Return (ciphertext, 12-byte iv, 16-byte tag).

        Raises:
            OversizedError: the value is larger than 256 MiB, or the key has encrypted 2^32 values in this form.
        """
        _check_size(data)
        if self._spent >= MAX_RANDOM_NONCES:
            raise OversizedError("this key encrypted 2^32 values; use seal(), which has no such limit, or a new key")
        self._spent += 1
        iv = os.urandom(NONCE_BYTES)
        sealed = _data_cipher(self._keys.newest()).encrypt(iv, data, None)
        return sealed[:-TAG_BYTES], iv, sealed[-TAG_BYTES:]

    def decrypt_data(self, ciphertext: bytes, iv: bytes, tag: bytes) -> bytes:
        """Open what ``encrypt_data`` returned. This form names no key: each key is tried, the newest first.

        Raises:
            DecryptError: wrong key, or any byte changed.
        """
        if len(iv) != NONCE_BYTES or len(tag) != TAG_BYTES:
            raise ForgedError(f"need a {NONCE_BYTES}-byte iv and a {TAG_BYTES}-byte tag, got {len(iv)} and {len(tag)}")
        _check_size(ciphertext)
        for key in self._keys.all():
            try:
                return _data_cipher(key).decrypt(iv, ciphertext + tag, b"")
            except InvalidTag:
                continue
        raise DecryptError("does not open: wrong key, or changed bytes (this form cannot tell which; seal() can)")

    def seal(self, data: bytes, *, associated_data: bytes = b"", version: int = 0) -> bytes:
        """Encrypt into one self-describing value, bound to ``associated_data``, which is not stored.

        Args:
            associated_data: what the value belongs to (a row's id, a user); ``open`` must be given the same.
            version: rises with each new value of the same thing, so that ``open`` can refuse an older one.

        Raises:
            OversizedError: the value is larger than 256 MiB.
            ConfigError: the version is below 0 or above 2^63 - 1.
        """
        _check_size(data)
        if not 0 <= version < 2**63:
            raise ConfigError(f"a version is a number from 0 to 2^63 - 1, got {version}")
        key = self._keys.newest()
        header = SEAL_MAGIC + key.id + os.urandom(SALT_BYTES) + struct.pack(">Q", version)
        cipher, nonce = _seal_cipher(key, header)
        return header + cipher.encrypt(nonce, data, header + associated_data)

    def open(self, sealed: bytes, *, associated_data: bytes = b"", at_least: int = 0) -> bytes:
        """Open what ``seal`` made.

        Args:
            at_least: refuse a value of an older version than this.

        Raises:
            WrongKeyError: encrypted under a key that is not here.
            ForgedError: changed bytes, or other associated data.
            ReplayedError: genuine, but older than ``at_least``.
            DecryptError: no sealed value at all, or of a version that this release does not know.
        """
        plain, version = self._opened(sealed, associated_data)
        if version < at_least:
            raise ReplayedError(f"a value of version {version} stands where version {at_least} or newer belongs")
        return plain

    def reencrypt(self, sealed: bytes, *, associated_data: bytes = b"") -> bytes:
        """The same value and version under the newest key, in today's format.

        Raises:
            DecryptError: as ``open``.
        """
        plain, version = self._opened(sealed, associated_data)
        return self.seal(plain, associated_data=associated_data, version=version)

    def encrypt_file(
        self,
        source: Path | str,
        target: Path | str,
        *,
        associated_data: bytes = b"",
        progress: Progress | None = None,
    ) -> int:
        """Encrypt a file of any size; return its bytes.

        The target appears whole or not at all, mode 0600, and may be the source.

        Args:
            associated_data: what the file belongs to; ``decrypt_file`` must be given the same.
            progress: called with the number of bytes read since the last call.

        Raises:
            FileAbsentError (FileNotFoundError): no such source.
            FileRefusedError: source or target is no plain file, or the source changed meanwhile.
            StoreError: the target cannot be written.
        """
        with SourceFile(source) as plain, replacing(target, plain) as out:
            key = self._keys.newest()
            return encrypt_stream(key, plain.file, out, associated_data=associated_data, progress=progress)

    def decrypt_file(
        self,
        source: Path | str,
        target: Path | str,
        *,
        associated_data: bytes = b"",
        progress: Progress | None = None,
    ) -> int:
        """Decrypt a file that ``encrypt_file`` made; return the bytes written.

        Nothing is written to the target unless all of it is genuine.

        Raises:
            DecryptError: no encrypted file; ``WrongKeyError``; ``ForgedError`` (changed, missing, moved bytes).
            FileAbsentError (FileNotFoundError), FileRefusedError, StoreError: as ``encrypt_file``.
        """
        with SourceFile(source) as sealed, replacing(target, sealed) as out:
            plain = PlainStream(self._keys.of, sealed.file, associated_data=associated_data, progress=progress)
            return plain.copy_to(out)

    def reencrypt_file(
        self, source: Path | str, target: Path | str, *, associated_data: bytes = b"", progress: Progress | None = None
    ) -> int:
        """The same file under the newest key, in one pass; the plain text is never on disk.

        Raises:
            DecryptError, FileAbsentError, FileRefusedError, StoreError: as ``decrypt_file``.
        """
        with SourceFile(source) as sealed, replacing(target, sealed) as out:
            plain = PlainStream(self._keys.of, sealed.file, associated_data=associated_data, progress=progress)
            return encrypt_stream(self._keys.newest(), plain, out, associated_data=associated_data)

    def encrypt_stream(self, source: Readable, out: Writable, *, associated_data: bytes = b"") -> int:
        """Encrypt what ``source`` gives, as ``encrypt_file`` does, and write it; return the bytes read."""
        return encrypt_stream(self._keys.newest(), source, out, associated_data=associated_data)

    def decrypt_stream(self, source: IO[bytes], out: Writable, *, associated_data: bytes = b"") -> int:
        """Decrypt what ``encrypt_stream`` or ``encrypt_file`` wrote; return the bytes written.

        Args:
            source: can be rewound: it is read twice, and nothing is written before all of it was found genuine.

        Raises:
            DecryptError: as ``decrypt_file``.
        """
        start = source.tell()
        PlainStream(self._keys.of, source, associated_data=associated_data).copy_to(_Nowhere())
        source.seek(start)
        return PlainStream(self._keys.of, source, associated_data=associated_data).copy_to(out)

    def _opened(self, sealed: bytes, associated_data: bytes) -> tuple[bytes, int]:
        if not sealed.startswith(_MAGIC):
            raise DecryptError("not encrypted by AgentGuard: it does not begin as its values do")
        _check_size(sealed[SEAL_HEADER_BYTES + TAG_BYTES :])
        size = _FIRST_HEADER_BYTES if sealed.startswith(_FIRST) else SEAL_HEADER_BYTES
        header = sealed[:size]
        if not header.startswith((_FIRST, SEAL_MAGIC)):
            raise DecryptError("encrypted in a version that this AgentGuard does not know; upgrade it")
        if len(sealed) < size + TAG_BYTES:
            raise ForgedError("cut short")
        cipher, nonce = _seal_cipher(self._keys.of(header[8:40]), header)
        try:
            plain = cipher.decrypt(nonce, sealed[size:], header + associated_data)
        except InvalidTag as error:
            raise ForgedError("does not open: bytes were changed, or other associated data") from error
        return plain, struct.unpack(">Q", header[72:])[0] if size == SEAL_HEADER_BYTES else 0


class _Nowhere:
    def write(self, data: bytes, /) -> None:
        pass


def _check_size(data: bytes) -> None:
    if len(data) > MAX_VALUE_BYTES:
        raise OversizedError(f"a value has at most {MAX_VALUE_BYTES} bytes, got {len(data)}; encrypt it as a file")


def _data_cipher(key: DataKey) -> AESGCM:
    return AESGCM(derive(key.key, salt=None, info=b"agentguard data 1"))


def _seal_cipher(key: DataKey, header: bytes) -> tuple[AESGCM, bytes]:
    both = derive(key.key, salt=header[40:72], info=b"agentguard seal 1", length=KEY_BYTES + NONCE_BYTES)
    return AESGCM(both[:KEY_BYTES]), both[KEY_BYTES:]
