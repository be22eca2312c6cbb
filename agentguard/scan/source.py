"""Which files to examine, and their text as pieces."""

from __future__ import annotations

import codecs
import fnmatch
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agentguard.errors import ScanError
from agentguard.scan.piece import WINDOW, Cutter, Piece

__all__ = ["SKIPPED", "Selection", "Source", "is_binary", "read_pieces"]

# Folders that hold other people's code, caches or a version control's own data.
SKIPPED = frozenset(
    (
        *(".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache"),
        *(".ruff_cache", ".pytest_cache", ".hypothesis", ".idea", ".agentguard", "site-packages"),
    )
)
CHUNK = 1 << 20
# A NUL byte among the first so many tells binary from text, as git does.
HEAD = 8192
_JSON = (".json", ".jsonl", ".ndjson")
_RECORDS = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Source:
    """One file: where it is, how it is called in reports, its size in bytes. ``named``: the user named it."""

    path: Path
    name: str
    size: int
    named: bool = False

    def open(self) -> BinaryIO:
        """Open it for reading. A file that was found, not named, is not opened through a link.

        Raises:
            ScanError: it cannot be opened.
        """
        flags = os.O_RDONLY | (0 if self.named else os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return os.fdopen(os.open(self.path, flags), "rb")
        except OSError as error:
            raise ScanError(f"{self.name} cannot be read ({error.strerror})") from error

    @property
    def json(self) -> bool:
        """Whether strings in it are JSON's."""
        return self.path.suffix.lower() in _JSON

    @property
    def records(self) -> bool:
        """Whether each line is a value of its own (JSON Lines)."""
        return self.path.suffix.lower() in _RECORDS


class Selection:
    """The files below the given paths, in order of their names.

    Symbolic links are not followed, unless a link was itself named. ``skipped`` counts what was left out, by kind;
    ``problems`` tells what could not be looked at.

    Args:
        paths: files and folders.
        exclude: globs. One without a slash is compared with every name on the way, one with a slash with the path below
            the named folder; ``*`` also stands for slashes. A named file is never excluded.
    """

    def __init__(self, paths: Iterable[Path], exclude: Iterable[str] = ()) -> None:
        self._paths = tuple(paths)
        self._exclude = tuple(pattern.rstrip("/") for pattern in exclude)
        self.skipped: Counter[str] = Counter()
        self.problems: list[str] = []

    def __iter__(self) -> Iterator[Source]:
        for path in self._paths:
            try:
                found = path.stat()
            except OSError as error:
                self.problems.append(f"{path} cannot be read ({error.strerror})")
                continue
            if stat.S_ISDIR(found.st_mode):
                yield from self._below(path, "")
            else:
                yield Source(path, str(path), found.st_size, named=True)

    def _below(self, folder: Path, inside: str) -> Iterator[Source]:
        try:
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            self.problems.append(f"{folder} cannot be read ({error.strerror})")
            return
        for entry in entries:
            path, below = folder / entry.name, f"{inside}{entry.name}"
            try:
                if entry.is_symlink():
                    self.skipped["symbolic links"] += 1
                elif self._excluded(entry.name, below):
                    self.skipped["excluded"] += 1
                elif entry.is_dir(follow_symlinks=False):
                    if entry.name in SKIPPED:
                        self.skipped["folders"] += 1
                    else:
                        yield from self._below(path, f"{below}/")
                elif not entry.is_file(follow_symlinks=False):
                    self.skipped["special files"] += 1
                else:
                    yield Source(path, str(path), entry.stat(follow_symlinks=False).st_size)
            except OSError as error:
                self.problems.append(f"{path} cannot be read ({error.strerror})")

    def _excluded(self, name: str, below: str) -> bool:
        return any(
            fnmatch.fnmatchcase(below if "/" in pattern else name, pattern.removeprefix("/"))
            for pattern in self._exclude
        )


def is_binary(head: bytes) -> bool:
    """Whether the first bytes of a file are no text."""
    return b"\0" in head[:HEAD]


def read_pieces(
    stream: BinaryIO, *, head: bytes = b"", json: bool = False, records: bool = False, window: int = WINDOW
) -> Iterator[Piece]:
    """The pieces of a stream of UTF-8, in bounded memory. ``head``: what was read of it already.

    Bytes that are no UTF-8 become lone surrogates U+DC80 to U+DCFF, one each (PEP 383), and go back the same way.

    Raises:
        ScanError: reading fails.
    """
    cutter = Cutter(window, json=json, records=records)
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    chunk = head
    try:
        while chunk or (chunk := stream.read(CHUNK)):
            yield from cutter.feed(decoder.decode(chunk))
            chunk = b""
    except OSError as error:
        raise ScanError(f"reading stopped ({error.strerror})") from error
    yield from cutter.feed(decoder.decode(b"", final=True))
    yield from cutter.finish()
