"""The file that is read and the one that takes its place: only plain files of ours, whole or untouched.

A source is a regular file, reached by no link, and the same when the reading ends as when it began. A target appears
whole under its name, mode 0600, or does not appear. Refused is whatever would leave the plain text somewhere else: a
link, another name of the same file, a device.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from agentguard.errors import FileAbsentError, FileRefusedError
from agentguard.store import atomic_file

__all__ = ["SourceFile", "replacing"]


class SourceFile:
    """An open file that is about to be encrypted or decrypted. Use as a context manager.

    Raises:
        FileAbsentError: there is no such file.
        FileRefusedError: it is no regular file, is a link, or cannot be read.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            # O_NONBLOCK: a named pipe in the file's place must not hang us.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise FileAbsentError(f"{self.path} does not exist") from error
        except OSError as error:
            why = "it is a link; name the file itself" if error.errno == errno.ELOOP else error.strerror
            raise FileRefusedError(f"{self.path} cannot be opened ({why})") from error
        self.info = os.fstat(descriptor)
        if not stat.S_ISREG(self.info.st_mode):
            os.close(descriptor)
            raise FileRefusedError(f"{self.path} is no regular file (a folder, device or pipe)")
        self.file: IO[bytes] = os.fdopen(descriptor, "rb")

    def __enter__(self) -> SourceFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def check_unchanged(self) -> None:
        """Refuse what was written to, cut or replaced while it was read.

        Raises:
            FileRefusedError: it was.
        """
        try:
            now, named = os.fstat(self.file.fileno()), self.path.lstat()
        except OSError as error:
            raise FileRefusedError(f"{self.path} went away while it was read; nothing was written") from error
        if _state(now) != _state(self.info) or not os.path.samestat(now, named):
            raise FileRefusedError(f"{self.path} changed while it was read; nothing was written, try again")


def _state(info: os.stat_result) -> tuple[int, int]:
    return info.st_size, info.st_mtime_ns


@contextmanager
def replacing(target: Path | str, source: SourceFile | None) -> Iterator[IO[bytes]]:
    """Write ``target``, which may be the source itself. It appears only if the source stayed the same to the end.

    Args:
        source: what is read meanwhile; None when that is no file.

    Raises:
        FileRefusedError: the target is a folder, link or device; in place, somebody else's or known by another name.
        StoreError: it cannot be written.
    """
    target = Path(target)
    _check_target(target, source)
    with atomic_file(target) as out:
        yield out
        if source is not None:
            source.check_unchanged()


def _check_target(target: Path, source: SourceFile | None) -> None:
    try:
        found = target.lstat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise FileRefusedError(f"{target} cannot be written ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):
        raise FileRefusedError(f"{target} is a folder, link or device; choose the name of a plain file")
    if source is None or not os.path.samestat(found, source.info):
        return
    if found.st_nlink > 1:
        raise FileRefusedError(f"{target} has {found.st_nlink} names; under the others it would stay as it is")
    if found.st_uid != os.geteuid():
        raise FileRefusedError(
            f"{target} belongs to user id {found.st_uid}, who could not open the new one; run as them"
        )
