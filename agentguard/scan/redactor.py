"""Writing a stream without what was found in it, to another stream or in the file's own place."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from agentguard.errors import ScanError
from agentguard.scan.examiner import Stretch
from agentguard.scan.piece import Piece

__all__ = ["Redactor", "Replacement"]


class Redactor:
    """Write one stream's pieces without the stretches found in them. Bytes that are no UTF-8 stay as they were."""

    def __init__(self) -> None:
        self._at = 0
        self.count = 0

    def redacted(self, piece: Piece, stretches: Sequence[Stretch], carried: int = 0) -> bytes:
        """The piece's own part as it may be shown; ``carried`` is where a value of the piece before ends."""
        at, high = max(self._at, carried, piece.start), piece.start + piece.high - piece.low
        shift = piece.low - piece.start
        parts: list[str] = []
        for stretch in stretches:
            if stretch.start >= at:
                parts += (piece.text[at + shift : stretch.start + shift], stretch.text)
                self.count += 1
            at = max(at, stretch.end)
        if at < high:
            parts.append(piece.text[at + shift : high + shift])
        self._at = max(at, high)
        return "".join(parts).encode("utf-8", "surrogateescape")


class Replacement:
    """A file's next content, put in its place whole or not at all.

    The new file has the old one's mode, owner and, where the system has them, extended attributes; its time of change
    is now, because it was changed. A file with nothing to redact is not written at all.

    Raises:
        ScanError: the path is a symbolic link or no plain file, or other names share the file (hard links); in
            ``commit``, the file was changed meanwhile, or its folder cannot be written.
    """

    def __init__(self, path: Path, source: BinaryIO) -> None:
        self._path = path
        self._source = source
        self._before = os.fstat(source.fileno())
        self._file: BinaryIO | None = None
        self._name = ""
        self._unchanged = 0
        if path.is_symlink():
            raise ScanError(f"{path} is a symbolic link; name the file it leads to")
        if not path.is_file():
            raise ScanError(f"{path} is no plain file; --redact without --in-place writes to stdout")
        if self._before.st_nlink > 1:
            raise ScanError(
                f"{path} has {self._before.st_nlink} hard links; the other names would keep the old content"
            )

    def keep(self, size: int) -> None:
        """The next ``size`` bytes stay as they are."""
        if self._file is not None:
            raise ScanError(f"{self._path}: bytes cannot be kept behind changed ones")
        self._unchanged += size

    @property
    def begun(self) -> bool:
        """Whether anything was changed so far."""
        return self._file is not None

    def write(self, data: bytes) -> None:
        """Append to the new content."""
        try:
            if self._file is None:
                self._begin()
            if self._file is not None:
                self._file.write(data)
        except OSError as error:
            raise ScanError(f"{self._path} cannot be replaced ({error.strerror}); it is as it was") from error

    def commit(self) -> bool:
        """Put the new content in place; False when there was nothing to change."""
        if self._file is None:
            return False
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            now = os.lstat(self._path)
            if _identity(now) != _identity(self._before):
                raise ScanError(f"{self._path} was changed while it was read; it is as its last writer left it")
            Path(self._name).replace(self._path)
            self._name = ""
            _sync_folder(self._path.parent)
        except OSError as error:
            raise ScanError(f"{self._path} cannot be replaced ({error.strerror}); it is as it was") from error
        finally:
            self.close()
        return True

    def close(self) -> None:
        """Forget what was not committed."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._name:
            Path(self._name).unlink(missing_ok=True)
            self._name = ""

    def _begin(self) -> None:
        handle, self._name = tempfile.mkstemp(prefix=f".{self._path.name[:64]}.", suffix=".new", dir=self._path.parent)
        self._file = os.fdopen(handle, "wb")
        shutil.copystat(self._path, self._name, follow_symlinks=False)
        os.utime(self._name)
        if (os.geteuid(), os.getegid()) != (self._before.st_uid, self._before.st_gid):
            # Somebody else's file stays theirs, or is not replaced: a new owner could lock them out of it.
            os.chown(self._name, self._before.st_uid, self._before.st_gid)
            Path(self._name).chmod(self._before.st_mode & 0o7777)
        with self._path.open("rb") as original:
            left = self._unchanged
            while left and (block := original.read(min(left, 1 << 20))):
                self._file.write(block)
                left -= len(block)


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_nlink


def _sync_folder(folder: Path) -> None:
    """Make the new name durable; some file systems cannot, which loses the redaction at worst, never the file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
