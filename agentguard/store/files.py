"""Private files: the folder is 0700, its files 0600 and ours, or they are refused; writing is atomic and synced."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from agentguard.errors import AgentGuardError, StoreError

__all__ = [
    "atomic_file",
    "check_file",
    "check_folder",
    "create_key_file",
    "create_private",
    "exists",
    "is_ours",
    "make_private_folder",
    "move_file",
    "os_errors",
]

KEY_BYTES = 32


def make_private_folder(path: Path) -> None:
    """Make a folder that only we can enter, with its parents; one that exists must be so.

    Raises:
        StoreError: it cannot be made, or is not safe.
    """
    with os_errors(path, "cannot be made"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(path)


def create_key_file(path: Path) -> None:
    """Write a fresh random 256-bit key as one line of hex, mode 0600.

    Raises:
        StoreError: the file exists (a key is never overwritten) or cannot be made.
    """
    create_private(path, secrets.token_hex(KEY_BYTES).encode() + b"\n")


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file so that readers see the old content or the whole new one; mode 0600; nothing is left on error.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    with os_errors(path, "cannot be written"):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def move_file(source: Path, target: Path) -> None:
    """Put a file in another's place, and wait until the folder is on disk.

    Raises:
        StoreError: it cannot be moved.
    """
    with os_errors(source, "cannot be moved"):
        source.replace(target)
        _sync_folder(target.parent)


def exists(path: Path) -> bool:
    with os_errors(path, "cannot be examined"):
        return os.path.lexists(path)


def is_ours(path: Path) -> bool:
    return path.is_dir() and path.lstat().st_uid == os.geteuid() and os.access(path, os.X_OK)


def check_folder(path: Path) -> None:
    info = _lstat(path, "run `agentguard init`")
    if not stat.S_ISDIR(info.st_mode):
        raise StoreError(f"{path} is not a folder (links are refused); remove it and run `agentguard init`")
    _check_owner(path, info, "chmod 700")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StoreError(f"{path} cannot be written by this user; run: chmod 700 {path}")


def check_file(path: Path) -> None:
    # lstat, not open: closing a second descriptor would drop the locks SQLite holds on the file in this process.
    info = _lstat(path, "restore a backup, or run `agentguard init`")
    if not stat.S_ISREG(info.st_mode):
        raise StoreError(f"{path} is not a regular file (links are refused); move it away and restore the original")
    _check_owner(path, info, "chmod 600")
    if not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"{path} cannot be read and written by this user; run: chmod 600 {path}")


def _check_owner(path: Path, info: os.stat_result, remedy: str) -> None:
    if info.st_uid != os.geteuid():
        raise StoreError(f"{path} belongs to user id {info.st_uid}, we run as {os.geteuid()}; run as its owner")
    if info.st_mode & 0o077:
        raise StoreError(f"{path} is open to other users (mode {info.st_mode & 0o777:03o}); run: {remedy} {path}")


def _lstat(path: Path, remedy: str) -> os.stat_result:
    try:
        return path.lstat()
    except FileNotFoundError as error:
        raise StoreError(f"{path} does not exist; {remedy}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be examined ({error.strerror}); check its permissions") from error


def create_private(path: Path, content: bytes) -> None:
    with os_errors(path, "cannot be made"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def os_errors(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except AgentGuardError:
        raise  # Denied is an OSError too
    except OSError as error:
        raise StoreError(
            f"{path} {what} ({error.strerror or error}); check the path, its permissions and the disk"
        ) from error
