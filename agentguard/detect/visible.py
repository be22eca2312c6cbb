"""Taking dishonest invisible characters out of a stream: those that ``dishonest_spans`` finds in the whole text.

Whether a joiner or a directional mark is honest depends on what stands round it, at most ``REACH`` characters away, so
an undecided one waits for those, and the last ones that went on are kept in mind.
"""

from __future__ import annotations

import re

from agentguard.text.invisible import INVISIBLE, dishonest_spans, without_invisible_ascii

__all__ = ["REACH", "Unveiler"]

# How far ``dishonest_spans`` looks to either side of a run; more marks than may pile up, too.
REACH = 48
_RUN = re.compile(f"[{INVISIBLE}]+")


class Unveiler:
    """Feed pieces of one text, take what of it is decided, without what a reader could not see. Not thread-safe."""

    def __init__(self) -> None:
        self._before = ""
        self._waiting = ""
        # Whether something was taken out.
        self.found = False

    @property
    def waiting(self) -> int:
        """How many characters wait."""
        return len(self._waiting)

    def feed(self, piece: str) -> str:
        """Take the next piece; return what is decided."""
        if not self._waiting and without_invisible_ascii(piece):
            self._before = (self._before + piece)[-REACH:]
            return piece
        self._waiting += piece
        return self._taken(self._decided())

    def flush(self) -> str:
        """The end of the text: everything is decided."""
        return self._taken(len(self._waiting))

    def _decided(self) -> int:
        text = self._waiting
        low = len(text) - REACH
        return next((run.start() for run in _RUN.finditer(text) if run.end() >= low), len(text))

    def _taken(self, size: int) -> str:
        known = self._before + self._waiting
        low, high = len(self._before), len(self._before) + size
        parts: list[str] = []
        at = low
        for start, end in dishonest_spans(known):
            if low < end and start < high:
                parts.append(known[at : max(start, low)])
                at = min(end, high)
                self.found = True
        parts.append(known[at:high])
        self._waiting = known[high:]
        self._before = known[:high][-REACH:]
        return "".join(parts)
