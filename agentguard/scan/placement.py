"""Putting the hits of pieces back into one stream: each thing once, with line, column and range."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from agentguard.detect.openings import body_end
from agentguard.detect.recognizers.secrets import PEM_FOOTER
from agentguard.scan.examiner import Examined, Hit, class_of, size_of
from agentguard.scan.piece import Piece

__all__ = ["Found", "Placement"]

# A value that no window shows whole ends where no value's characters go on.
_RUN = re.compile(r"[^\s\"'`<>]*")
_FOOTER = re.compile(PEM_FOOTER)


@dataclass(frozen=True, slots=True)
class Found:
    """One finding of a file. Never holds the value; ``preview`` masks it.

    ``line`` and ``column`` count from 1; ``column`` counts code points, or bytes (``unit``) where bytes that are no
    UTF-8 stand before it on its line. ``start`` and ``end`` are code points of the file, such a byte counting as one;
    ``byte_start`` and ``byte_end`` are bytes of the file.
    """

    type: str
    rule: str
    score: float
    line: int
    column: int
    unit: Literal["characters", "bytes"]
    start: int
    end: int
    byte_start: int
    byte_end: int
    preview: str = ""

    @property
    def class_(self) -> str:
        """``secret``, ``pii``, ``injection``, ``hidden-text`` or ``markup``."""
        return class_of(self.type)


class Placement:
    """Place one stream's hits. Give it the pieces in order, then ``finish``."""

    def __init__(self) -> None:
        self._bytes = 0
        self._line = 1
        self._column = self._column_bytes = 0
        self._undecodable = False
        self._held: list[Found] = []
        # Where in what is held the last value stands (-1: nowhere), and whether it goes on behind what was seen.
        self._value = -1
        self._open = False
        self.carried = 0

    def add(self, piece: Piece, examined: Examined) -> list[Found]:
        """What is certain after this piece. ``carried`` then says how far a value of the piece before reached."""
        high = piece.start + examined.length
        shown = high if piece.line_end else high + len(piece.text) - piece.high
        self._carry(piece)
        self._open = self._open and self.carried >= shown
        for hit in examined.hits:
            self._take(hit)
        self._advance(examined)
        certain = self._value < 0 or not (self._open or self._held[self._value].end > high)
        at = len(self._held) if certain else self._value
        done, self._held = self._held[:at], self._held[at:]
        self._value = -1 if certain else 0
        return done

    def finish(self) -> list[Found]:
        """What was still open when the stream ended."""
        done, self._held = self._held, []
        return done

    def _carry(self, piece: Piece) -> None:
        """Lengthen the value that went on behind the piece before."""
        if self._value < 0:
            return
        value = self._held[self._value]
        if self._open:
            rest = _rest(piece, value.type)
            self._held[self._value] = value = _ending(value, value.end + len(rest), value.byte_end + size_of(rest))
        self.carried = value.end

    def _take(self, hit: Hit) -> None:
        found = self._found(hit)
        if found.class_ not in ("secret", "pii"):
            self._held.append(found)
            return
        last = self._held[self._value] if self._value >= 0 else None
        if last is None or found.start >= last.end:
            self._value = len(self._held)
            self._held.append(found)
            self._open = hit.open
        elif found.end > last.end:
            self._held[self._value] = _ending(last, found.end, found.byte_end)
            self._open = hit.open

    def _found(self, hit: Hit) -> Found:
        first = hit.lines == 0
        column = hit.column + (self._column if first else 0)
        column_bytes = hit.column_bytes + (self._column_bytes if first else 0)
        undecodable = hit.undecodable or (first and self._undecodable)
        return Found(
            hit.type,
            hit.rule,
            hit.score,
            self._line + hit.lines,
            (column_bytes if undecodable else column) + 1,
            "bytes" if undecodable else "characters",
            hit.start,
            hit.end,
            self._bytes + hit.byte_start,
            self._bytes + hit.byte_end,
            hit.preview,
        )

    def _advance(self, examined: Examined) -> None:
        self._bytes += examined.bytes
        self._line += examined.lines
        if examined.lines:
            self._column = self._column_bytes = 0
            self._undecodable = False
        self._column += examined.column
        self._column_bytes += examined.column_bytes
        self._undecodable = self._undecodable or examined.undecodable


def _ending(found: Found, end: int, byte_end: int) -> Found:
    return replace(found, end=end, byte_end=byte_end)


def _rest(piece: Piece, type_: str) -> str:
    """What of the piece belongs to a value that went on behind the last character the piece before could see."""
    text = piece.text[piece.low + piece.seen : piece.high if piece.line_end else len(piece.text)]
    if type_ != "secret.private-key":
        run = _RUN.match(text)
        return run[0] if run else ""
    body = body_end(text, 0)
    footer = _FOOTER.match(text, body)
    return text[: footer.end() if footer else body]
