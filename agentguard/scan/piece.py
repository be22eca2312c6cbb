"""Cutting a stream of text into pieces that can be examined one by one, with the findings of the whole.

Two rules make that true. Text is judged for injection in *passages*, and where a passage ends depends on the text from
its start alone: at a blank line, else at a line end, a space, or its greatest length. And no recognizer of secrets or
personal data matches across a line feed, except private-key blocks (``agentguard.detect.stream`` rests on the same),
so a piece of whole passages ends at a line end outside of such a block. Only a line longer than a piece is cut inside;
both sides then see ``MARGIN`` characters beyond the cut, and a match counts where it starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from agentguard.detect.openings import open_block
from agentguard.errors import ConfigError

__all__ = ["MARGIN", "Cutter", "Passage", "Piece"]

# Code points of a piece. Small enough that a machine's worth of them in flight is a few megabytes.
WINDOW = 128 * 1024
# What a piece of a longer line sees beyond its ends: no key, token or quoted value in use is longer.
MARGIN = 16 * 1024
# A passage ends at the first blank line behind MIN, and everywhere at MAX. Both count from its own start. Multiples of
# eight: a cut through an unbroken run of base64, base32 or hexadecimal then falls between its groups.
PASSAGE_MIN = 2048
PASSAGE_MAX = 8192
# What a passage that did not begin behind a blank line sees of the text before it.
OVERLAP = 400
# A private-key block may enlarge its piece this many times; behind that it is followed piece by piece.
MAX_GROWTH = 8

_BLANK_LINE = re.compile(r"\n\r?\n")


@dataclass(frozen=True, slots=True)
class Passage:
    """``[start, end)`` of a piece's text, judged together with the ``overlap`` characters before it."""

    start: int
    end: int
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """``text[low:high]`` is the piece's own; what stands around it is there to be seen, not to be reported.

    ``start`` is the offset of ``text[low]`` in the stream, in code points. ``line_start``, ``line_end``: whether the
    own part begins and ends at a line's edge. ``seen`` is how far into the own part the piece before could see.
    ``in_string``: the own part begins inside a JSON string.
    """

    text: str
    low: int
    high: int
    start: int
    passages: tuple[Passage, ...]
    line_start: bool = True
    line_end: bool = True
    seen: int = 0
    json: bool = False
    in_string: bool = False


class Cutter:
    """Cut one stream. Not thread-safe.

    Args:
        window: code points of a piece; what is found does not depend on it (see the module's text for longer lines).
        json: JSON, one or several values: no cut inside an escape. ``records``: every line is a passage of its own.

    Raises:
        ConfigError: a window smaller than two margins.
    """

    def __init__(self, window: int = WINDOW, *, json: bool = False, records: bool = False) -> None:
        if window < 2 * MARGIN:
            raise ConfigError(f"window {window}: use at least {2 * MARGIN}")
        self._window = window
        self._json = json
        self._records = records
        self._text = ""
        self._low = self._at = self._start = 0
        self._next = window
        self._seen = 0
        self._passages: list[Passage] = []
        self._line_start = True
        self._in_string = False
        self._after_blank = True

    def feed(self, chunk: str) -> Iterator[Piece]:
        """Take the next text; yield the pieces that are complete."""
        self._text += chunk
        yield from self._pieces(final=False)

    def finish(self) -> Iterator[Piece]:
        """The end of the stream: yield what is left."""
        yield from self._pieces(final=True)
        if self._at > self._low:
            yield self._piece()

    def _pieces(self, *, final: bool) -> Iterator[Piece]:
        while True:
            if self._at - self._low >= self._next:
                if len(self._text) - self._at < MARGIN and not final:
                    return
                if self._complete():
                    yield self._piece()
            end = self._passage_end(final=final)
            if end <= self._at:
                return
            overlap = 0 if self._after_blank else min(OVERLAP, self._at)
            self._passages.append(Passage(self._at, end, overlap))
            tail = self._text[max(0, end - 3) : end]
            self._after_blank = tail.endswith(("\n\n", "\n\r\n")) or (self._records and tail.endswith("\n"))
            self._at = end

    def _complete(self) -> bool:
        """Whether the piece may end here; inside a private-key block it grows, within its bound."""
        size = self._at - self._low
        if size < self._window * MAX_GROWTH and open_block(self._text[self._low : self._at]) is not None:
            self._next = size + self._window // 2
            return False
        return True

    def _passage_end(self, *, final: bool) -> int:
        """Where the passage that starts at ``_at`` ends; ``_at`` when more text is needed to know."""
        text, at = self._text, self._at
        limit = at + PASSAGE_MAX
        if self._records:
            newline = text.find("\n", at, limit)
            if newline >= 0:
                return newline + 1
        # One character more tells whether a line feed at the limit is followed by another.
        if len(text) <= limit and not final:
            return at
        limit = min(limit, len(text))
        blank = _BLANK_LINE.search(text, at + PASSAGE_MIN, limit)
        if blank:
            return blank.end()
        if limit == len(text):
            return limit
        for mark in ("\n", " ", "\t"):
            found = text.rfind(mark, at + PASSAGE_MIN, limit)
            if found >= 0:
                return found + 1
        return self._outside_escape(limit) if self._json else limit

    def _outside_escape(self, cut: int) -> int:
        slash = self._text.rfind("\\", cut - 5, cut)
        if slash < 0:
            return cut
        run = slash - len(self._text[:slash].rstrip("\\")) if self._text[slash - 1] == "\\" else 0
        length = 6 if self._text[slash + 1 : slash + 2] == "u" else 2
        return slash if run % 2 == 0 and slash + length > cut else cut

    def _piece(self) -> Piece:
        low, high = self._low, self._at
        line_end = self._text[high - 1] == "\n" or high == len(self._text)
        shown = min(len(self._text), high + MARGIN)
        piece = Piece(
            self._text[:shown],
            low,
            high,
            self._start,
            tuple(self._passages),
            self._line_start,
            line_end,
            self._seen,
            self._json,
            self._in_string,
        )
        self._in_string = self._json and not line_end and _ends_in_string(self._text[low:high], self._in_string)
        self._line_start = line_end
        self._seen = 0 if line_end else shown - high
        self._start += high - low
        keep = max(0, high - MARGIN)
        self._text = self._text[keep:]
        self._low = self._at = high - keep
        self._passages = []
        self._next = self._window
        return piece


_QUOTE = re.compile(r'\\.|"', re.DOTALL)


def _ends_in_string(text: str, inside: bool) -> bool:
    line = text.rpartition("\n")
    if line[1]:
        inside = False
    return inside ^ bool(sum(m[0] == '"' for m in _QUOTE.finditer(line[2])) % 2)
