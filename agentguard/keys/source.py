"""Where the key encryption key comes from: a key file, or a stretched master password.

During a rotation the next key lies beside the present one (``.next``); both are found by their ids.
"""

from __future__ import annotations

import hmac
import json
import os
import stat
from pathlib import Path
from typing import Protocol, runtime_checkable

from agentguard.errors import KeySourceError, StoreError, WrongPasswordError
from agentguard.keys.envelope import KEY_BYTES, commitment
from agentguard.keys.password import PASSWORD_VARIABLES, TODAY, Cost, Stretching, password_from_environment
from agentguard.store import Home, atomic_file, create_key_file, make_private_folder

__all__ = [
    "KeyFile",
    "KeySource",
    "MasterPassword",
    "RotatingKeySource",
    "create_password_key",
    "home_keys",
    "next_path",
    "read_private",
]

# A key or parameter file is one short line; more is not ours.
MAX_FILE_BYTES = 4096


@runtime_checkable
class KeySource(Protocol):
    """Gives the key encryption key. A source may ask a cloud service; its key is fetched once per opening."""

    @property
    def id(self) -> str:
        """Stable name of the key: 64 hex digits, its commitment."""
        ...

    def kek(self) -> bytes:
        """The 32-byte key.

        Raises:
            KeySourceError: the key is missing, malformed or open to others.
        """
        ...


@runtime_checkable
class RotatingKeySource(KeySource, Protocol):
    """A source that also finds the key that a rotation put beside its own, or in its place."""

    def kek_of(self, key_id: str, /) -> bytes:
        """The 32-byte key with this commitment (64 hex digits).

        Raises:
            KeySourceError: it is none of this source's.
        """
        ...


class KeyFile:
    """A key in a file of one line with 64 hex digits, mode 0600, owned by us."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._key: bytes | None = None

    @classmethod
    def create(cls, path: Path | str) -> KeyFile:
        """Write a fresh random key.

        Raises:
            KeySourceError: the file exists (a key is never overwritten) or cannot be made.
        """
        try:
            create_key_file(Path(path))
        except StoreError as error:
            raise KeySourceError(str(error)) from error
        return cls(path)

    @property
    def id(self) -> str:
        """The key's commitment, in hex."""
        return commitment(self.kek()).hex()

    def kek(self) -> bytes:
        """As ``KeySource.kek``; the file is read once."""
        if self._key is None:
            self._key = _key_from(self._path, read_private(self._path, "restore it from your backup"))
        return self._key

    def kek_of(self, key_id: str) -> bytes:
        """As ``RotatingKeySource.kek_of``: the file is read again, then the one a rotation left beside it."""
        for path in (self._path, next_path(self._path)):
            if os.path.lexists(path):
                key = _key_from(path, read_private(path, "restore it from your backup"))
                if hmac.compare_digest(commitment(key).hex(), key_id):
                    return key
        raise KeySourceError(
            f"{self._path} is not the key that the data is wrapped under ({key_id[:16]}...); restore that one"
        )


class MasterPassword:
    """A key stretched from a password (Argon2id; scrypt in files of earlier releases).

    The random salt and the cost are kept in a parameter file beside the data.

    Args:
        password: the secret; never stored.
        path: the parameter file that ``create`` wrote.

    Raises:
        KeySourceError: the file is missing, malformed or open to others.
        WrongPasswordError: it was made for another password.
    """

    def __init__(self, password: str, path: Path | str) -> None:
        if not password:
            raise KeySourceError("the master password is empty; set it")
        path = Path(path)
        stretching, expected = _parameters(path)
        self._key = stretching.key(password)
        self._id = commitment(self._key).hex()
        if not hmac.compare_digest(self._id, expected):
            raise WrongPasswordError(f"the master password is not the one {path} was made for; use that one")

    @classmethod
    def create(cls, password: str, path: Path | str, *, cost: Cost = TODAY) -> MasterPassword:
        """Choose a salt and write the parameter file.

        Raises:
            KeySourceError: the file exists, or the password is empty.
        """
        path = Path(path)
        if not password:
            raise KeySourceError("the master password is empty; set it")
        if os.path.lexists(path):
            raise KeySourceError(f"{path} exists and is never overwritten; remove it if no data needs it")
        stretching = Stretching.fresh(cost)
        text = json.dumps({**stretching.fields(), "id": commitment(stretching.key(password)).hex()})
        try:
            with atomic_file(path) as file:
                file.write(text.encode() + b"\n")
        except StoreError as error:
            raise KeySourceError(str(error)) from error
        return cls(password, path)

    @property
    def id(self) -> str:
        """The key's commitment, in hex."""
        return self._id

    def kek(self) -> bytes:
        """The stretched key."""
        return self._key


def next_path(path: Path) -> Path:
    """Where a rotation keeps the next key until it takes the present one's place."""
    return path.with_name(path.name + ".next")


def create_password_key(folder: Path) -> None:
    """Make a folder whose key comes from the master password in the environment; a folder that has one is kept.

    Raises:
        KeySourceError: no password is set, or the folder has a key file already.
        StoreError: the folder cannot be made.
    """
    home = Home(folder, folder / "audit.db")
    if os.path.lexists(home.key_path):
        raise KeySourceError(f"{home.key_path} exists: this home has a key file; choose another folder")
    if os.path.lexists(home.password_path):
        return
    password = password_from_environment()
    if not password:
        raise KeySourceError(f"no master password; set {PASSWORD_VARIABLES[0]}")
    make_private_folder(folder)
    MasterPassword.create(password, home.password_path)


def home_keys(home: Home, *, password: str | None = None) -> KeySource:
    """The key encryption key of a home: its master password when it was made with one, else its key file.

    Args:
        password: the master password; from ``AGENTGUARD_MASTER_PASSWORD`` or ``MASTER_PASSWORD`` when absent.

    Raises:
        KeySourceError: the password is absent or wrong.
    """
    path = home.password_path
    if not os.path.lexists(path):
        return KeyFile(home.key_path)
    password = password or password_from_environment()
    if not password:
        raise KeySourceError(f"{home.path} opens with a master password; set {PASSWORD_VARIABLES[0]}")
    try:
        return MasterPassword(password, path)
    except KeySourceError:
        # A rotation that was interrupted after the keys were wrapped anew: the new password opens already.
        if not os.path.lexists(next_path(path)):
            raise
        return MasterPassword(password, next_path(path))


def _parameters(path: Path) -> tuple[Stretching, str]:
    raw = read_private(path, "make it with MasterPassword.create, or restore it from your backup")
    try:
        fields = json.loads(raw)
        stretching, key_id = Stretching.parse(fields), fields["id"]
        if type(key_id) is not str or not key_id.isascii():
            raise ValueError("no id")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise KeySourceError(f"{path} is no password parameter file; restore it from your backup") from error
    return stretching, key_id


def _key_from(path: Path, raw: bytes) -> bytes:
    try:
        key = bytes.fromhex(raw.decode("ascii").strip())
    except ValueError:
        # Not chained: the cause's text would show bytes of the key.
        raise KeySourceError(f"{path} is no key file (64 hex digits); restore it from your backup") from None
    if len(key) != KEY_BYTES:
        raise KeySourceError(f"{path} holds {len(key)} bytes, a key has {KEY_BYTES}; restore it from your backup")
    return key


def read_private(path: Path, remedy: str) -> bytes:
    """Read a small file of ours that nobody else can read; checked on the open descriptor, links refused.

    Raises:
        KeySourceError: it is absent, not ours, no plain file, open to others, or longer than any key file.
    """
    try:
        # O_NONBLOCK: a named pipe in the key's place must not hang us.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise KeySourceError(f"{path} does not exist; {remedy}") from error
    except OSError as error:
        raise KeySourceError(f"{path} cannot be opened ({error.strerror}; links are refused); {remedy}") from error
    try:
        _check_private(path, os.fstat(descriptor), remedy)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(raw) > MAX_FILE_BYTES:
        raise KeySourceError(f"{path} is larger than {MAX_FILE_BYTES} bytes, so it is no key file; {remedy}")
    return raw


def _check_private(path: Path, info: os.stat_result, remedy: str) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise KeySourceError(f"{path} is not a regular file; {remedy}")
    if info.st_uid != os.geteuid():
        raise KeySourceError(f"{path} belongs to user id {info.st_uid}, we run as {os.geteuid()}; run as its owner")
    if info.st_mode & 0o077:
        raise KeySourceError(
            f"{path} is open to other users (mode {info.st_mode & 0o777:03o}); run: chmod 600 {path}, "
            "and replace the key if others had access"
        )
