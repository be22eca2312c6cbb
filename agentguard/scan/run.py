"""One scan: many files, their findings in order, redacted on the way when asked."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, TypeAlias

from agentguard.errors import ScanError
from agentguard.scan.examiner import Examined, Search
from agentguard.scan.piece import WINDOW, Piece
from agentguard.scan.placement import Found, Placement
from agentguard.scan.redactor import Redactor, Replacement
from agentguard.scan.source import HEAD, Source, is_binary, read_pieces
from agentguard.scan.workers import examined

__all__ = ["Format", "Run"]

Format: TypeAlias = Literal["auto", "text", "json", "jsonl"]


@dataclass
class _File:
    """One file on its way through the scan."""

    source: Source
    stream: BinaryIO
    head: bytes
    placement: Placement = field(default_factory=Placement)
    redactor: Redactor | None = None
    replacement: Replacement | None = None
    problem: str = ""


class Run:
    """Scan sources once; the counts are complete when ``findings`` is exhausted.

    Args:
        search: what to look for.
        jobs: processes.
        format: how to read: by the file's suffix, or all files the same way.
        out: where the redacted text goes. ``in_place``: into the files themselves. Neither: nothing is redacted.
        progress: told of every piece's size in bytes.
        window: see ``Cutter``.
    """

    def __init__(
        self,
        search: Search,
        *,
        jobs: int = 1,
        format: Format = "auto",  # the option's name
        out: BinaryIO | None = None,
        in_place: bool = False,
        progress: Callable[[int], None] = lambda size: None,
        window: int = WINDOW,
    ) -> None:
        self._search = search
        self._jobs = jobs
        self._format = format
        self._out = out
        self._in_place = in_place
        self._progress = progress
        self._window = window
        self.files = self.bytes = self.redactions = self.replaced = 0
        self.binary = 0
        self.types: Counter[str] = Counter()
        self.by_file: Counter[str] = Counter()
        self.problems: list[str] = []
        self._begun: list[_File] = []

    def findings(self, sources: Iterable[Source]) -> Generator[tuple[Source, Found], None, None]:
        """Every finding, by file and position. Left early, or broken off, it leaves no half-written file behind."""
        try:
            for file, piece, seen in examined(self._pieces(sources), self._search, self._jobs):
                found = self._ended(file) if piece is None or seen is None else self._examined(file, piece, seen)
                for item in found:
                    self.types[item.type] += 1
                    self.by_file[file.source.name] += 1
                    yield file.source, item
        finally:
            for file in tuple(self._begun):
                self._close(file)

    def _pieces(self, sources: Iterable[Source]) -> Iterator[tuple[_File, Piece | None]]:
        for source in sources:
            file: _File | None = None
            try:
                file = self._opened(source)
                if file is None:
                    continue
                for piece in self._read(file):
                    yield file, piece
            except ScanError as error:
                if file is None:
                    self.problems.append(str(error))
                    continue
                file.problem = f"{source.name}: {error}"
            yield file, None

    def _opened(self, source: Source) -> _File | None:
        """The file, unless it is binary; a binary file that was named is a problem, since it was not checked."""
        stream = sys.stdin.buffer if source.name == "-" else source.open()
        try:
            head = stream.read(HEAD)
        except OSError as error:
            raise ScanError(f"{source.name} cannot be read ({error.strerror})") from error
        if is_binary(head):
            self.binary += 1
            if source.named:
                self.problems.append(f"{source.name} is binary, no text: it was not checked and is as it was")
            stream.close()
            return None
        file = _File(source, stream, head)
        if self._out is not None or self._in_place:
            file.redactor = Redactor()
        if self._in_place:
            try:
                file.replacement = Replacement(source.path, stream)
            except ScanError:
                stream.close()
                raise
        self._begun.append(file)
        return file

    def _read(self, file: _File) -> Iterator[Piece]:
        source = file.source
        records = source.records if self._format == "auto" else self._format == "jsonl"
        json = source.json if self._format == "auto" else self._format != "text"
        return read_pieces(file.stream, head=file.head, json=json, records=records, window=self._window)

    def _examined(self, file: _File, piece: Piece, seen: Examined) -> list[Found]:
        found = file.placement.add(piece, seen)
        self.bytes += seen.bytes
        self._progress(seen.bytes)
        if file.redactor is not None and not file.problem:
            try:
                self._redact(file, file.redactor, piece, seen)
            except ScanError as error:
                file.problem = str(error)
        return found

    def _redact(self, file: _File, redactor: Redactor, piece: Piece, seen: Examined) -> None:
        before = redactor.count
        data = redactor.redacted(piece, seen.stretches, file.placement.carried)
        if file.replacement is None:
            if self._out is not None:
                self._out.write(data)
        elif file.replacement.begun or redactor.count > before:
            file.replacement.write(data)
        else:
            file.replacement.keep(seen.bytes)

    def _ended(self, file: _File) -> list[Found]:
        self.files += 1
        try:
            if file.replacement is not None and not file.problem:
                self.replaced += file.replacement.commit()
        except ScanError as error:
            file.problem = str(error)
        finally:
            self._close(file)
        if file.problem:
            self.problems.append(file.problem)
        elif file.redactor is not None:
            self.redactions += file.redactor.count
        return file.placement.finish()

    def _close(self, file: _File) -> None:
        self._begun.remove(file)
        if file.replacement is not None:
            file.replacement.close()
        if file.source.name != "-":
            file.stream.close()
