"""Redacting a text that arrives in chunks: any chunking gives what redacting the whole gives.

Why that holds: no recognizer but the private key's matches a line end (tested), so whole lines can be judged alone;
a private key is held from its first line to its last. A line longer than the hold-back is judged up to a space that
lies further back than any pattern with spaces in it reaches.
Two bounded answers differ from redacting the whole, both by removing more: an unbroken run of characters longer than
the hold-back, and a private key that does not end within it.
"""

from __future__ import annotations

import re
from typing import Literal

from agentguard.detect.recognizers import engine_for
from agentguard.detect.redaction import apply_edits, scan_text, tag
from agentguard.errors import ConfigError, StageError

__all__ = ["StreamRedactor"]

# Patterns with spaces in them are bounded: names, signs and quoted values together stay below this.
REACH = 1_024
# The line that ends a private key is no longer than this.
_KEY_END_REACH = 80
# A name and its sign reach at most this far before the value they announce.
NAME_REACH = 256
_KEY_BEGIN = re.compile("-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END = re.compile("-----END [A-Z0-9 ]{0,60}-----")
_UNBROKEN = re.compile(r"\S+")
_RUN_REDACTED = "[redacted:unbroken-text]"
_KEY_REDACTED = "[redacted:private-key]"


class StreamRedactor:
    """Redacts chunks. One per stream; not thread-safe.

    Args:
        classes: ``secret`` and ``pii``, or one of them.
        hold_back: characters kept at most before something is given out, at least twice ``REACH``.

    Raises:
        ConfigError: ``hold_back`` is too short to redact soundly.
    """

    def __init__(self, classes: frozenset[str], *, hold_back: int = 4_096) -> None:
        if hold_back < 2 * REACH:
            raise ConfigError(f"got hold_back={hold_back}; at least {2 * REACH} is accepted")
        self._classes = classes
        self._hold_back = hold_back
        self._buffer = ""
        # The rest of something too long that was already replaced is thrown away as it comes.
        self._dropping: Literal["", "key", "run"] = ""
        engine_for(classes)

    def feed(self, chunk: str) -> str:
        """Take a chunk; give what may be shown now.

        Raises:
            StageError: the text cannot be scanned within limits; show nothing more.
        """
        self._buffer += chunk
        parts: list[str] = []
        while (piece := self._step()) is not None:
            parts.append(piece)
        return "".join(parts)

    def flush(self) -> str:
        """The rest, at the end or after an error.

        Raises:
            StageError: as ``feed``.
        """
        self._drop(final=True)
        return self._take(len(self._buffer))

    def _step(self) -> str | None:
        """Give out the next part that is judged for good; None when nothing more is."""
        if not self._drop(final=False) or not self._buffer:
            return None
        keys = self._keys()
        limit = next((start for start, end in keys if end is None), len(self._buffer))
        cut = self._buffer.rfind("\n", 0, limit) + 1
        for start, end in keys:
            if end is not None and start < cut < end:
                cut = start
        if cut:
            return self._take(cut)
        if len(self._buffer) <= self._hold_back:
            return None
        return self._long_key(limit) if limit < len(self._buffer) else self._long_line()

    def _drop(self, *, final: bool) -> bool:
        """Throw away what belongs to something already replaced; False while more of it may come."""
        if self._dropping == "run":
            unbroken = _UNBROKEN.match(self._buffer)
            self._buffer = self._buffer[unbroken.end() :] if unbroken else self._buffer
        elif self._dropping == "key":
            dash = self._buffer.find("-")
            self._buffer = self._buffer[dash:] if dash >= 0 else ""
            if not final and len(self._buffer) < _KEY_END_REACH and "\n" not in self._buffer:
                return False
            self._buffer = self._buffer[_key_end(self._buffer, 0) :]
        if self._buffer:
            self._dropping = ""
        return not self._dropping

    def _keys(self) -> list[tuple[int, int | None]]:
        """Private keys in the buffer: where they start, and where they end once that is certain."""
        if "secret" not in self._classes or "-----BEGIN " not in self._buffer:
            return []
        found: list[tuple[int, int | None]] = []
        for begin in _KEY_BEGIN.finditer(self._buffer):
            dash = self._buffer.find("-", begin.end())
            certain = dash >= 0 and ("\n" in self._buffer[dash:] or len(self._buffer) - dash >= _KEY_END_REACH)
            found.append((begin.start(), _key_end(self._buffer, dash) if certain else None))
        return found

    def _long_key(self, start: int) -> str:
        """A key that does not end: give out what stands before it and a tag for whatever it holds."""
        before = self._take(start)
        begin = _KEY_BEGIN.match(self._buffer)
        self._buffer = self._buffer[begin.end() if begin else 0 :]
        self._dropping = "key"
        return before + _KEY_REDACTED

    def _long_line(self) -> str | None:
        """A line that grew past the hold-back: give out up to a space that no pattern reaches across."""
        space = self._space_before(len(self._buffer) - REACH)
        for match in reversed(scan_text(self._buffer, self._classes).matches):
            if match.start - NAME_REACH < space < match.end:
                space = self._space_before(match.start - NAME_REACH)
        if space > 0:
            return self._take(space)
        unbroken = _UNBROKEN.search(self._buffer)
        if unbroken is None or unbroken.end() < len(self._buffer) or len(unbroken[0]) <= self._hold_back - REACH:
            return None
        before = self._take(unbroken.start())
        self._buffer = ""
        self._dropping = "run"
        return before + _RUN_REDACTED

    def _space_before(self, end: int) -> int:
        return max(self._buffer.rfind(" ", 1, max(1, end)), self._buffer.rfind("\t", 1, max(1, end)))

    def _take(self, cut: int) -> str:
        ready, self._buffer = self._buffer[:cut], self._buffer[cut:]
        if not ready:
            return ""
        scan = scan_text(ready, self._classes)
        if scan.truncated:
            raise StageError("the streamed text cannot be scanned within limits")
        return apply_edits(ready, ((m.start, m.end, tag(m.type, ready[m.start : m.end])) for m in scan.matches))


def _key_end(text: str, dash: int) -> int:
    """Where a key whose body ends at ``dash`` ends: behind its end line, if it has one."""
    end = _KEY_END.match(text, dash)
    return end.end() if end else dash
