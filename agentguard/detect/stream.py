"""Redacting a text that arrives in pieces.

The pieces' joined output equals redacting the whole text, however it was cut. It rests on one property of the
recognizers (a test holds it): no match crosses a line feed and none looks at other lines, except private-key blocks and
values on the line behind their label (``<token>``, ``Phone:``). So whole lines can go on at once, a line that opened a
key block waits for its end, one that ends like a label for the next line, and within a line of plain prose everything
but the last words goes on. At most ``hold_back`` code points wait; a longer line cannot be judged piece by
piece, so it is withheld to its end and ``[redacted:unscanned]`` stands for it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

from agentguard.detect.recognizers.engine import reading
from agentguard.detect.recognizers.own import BUILT_IN, Choice
from agentguard.detect.recognizers.registry import CLASSES
from agentguard.detect.recognizers.secrets import PEM_BODY, PEM_FOOTER, PEM_HEADER
from agentguard.detect.redaction import UNSCANNED, Operator, Spans, redact, tag
from agentguard.detect.registered import RegisteredSecrets
from agentguard.errors import ConfigError
from agentguard.text.view import View
from agentguard.text.views import clean_view

__all__ = ["StreamRedactor", "body_end", "open_block"]

MIN_HOLD_BACK = 256
# No recognizer matches across this many gaps between words of plain letters, nor looks this far back for context.
PROSE_GAPS = 8
PROSE_CONTEXT = 128
# What a line ends with that can announce a value on the next one.
LABEL_END = (":", ">")
# The longest "-----BEGIN ... PRIVATE KEY BLOCK-----".
MARK_LENGTH = 128

_HEADER = re.compile(PEM_HEADER)
_FOOTER = re.compile(PEM_FOOTER)
_BODY = re.compile(PEM_BODY)
_PROSE = re.compile(r"(?:[^\W\d_]|[ ,.;!?()]|(?<=[^\W\d_])'(?=[^\W\d_]))*")


class StreamRedactor:
    """Redact chunk by chunk. One per stream; not thread-safe.

    Args:
        classes: ``secret``, ``pii`` or both.
        registered: secret values of the application, removed in any encoding.
        hold_back: most code points to wait with, >= 256.
        operator: what stands in a value's place; it must depend on type and value alone.
        spans: where in a text an operator wrote before; whole words that hold a digit.
        choice: the application's own recognizers and values that may stay.

    Raises:
        ConfigError: an unknown class, or ``hold_back`` out of range.
    """

    def __init__(
        self,
        classes: Iterable[str] = frozenset(CLASSES),
        *,
        registered: Iterable[str] = (),
        hold_back: int = 4096,
        operator: Operator = tag,
        choice: Choice = BUILT_IN,
        spans: Spans | None = None,
    ) -> None:
        self._classes = frozenset(classes)
        if unknown := self._classes - set(CLASSES):
            raise ConfigError(f"redact {sorted(unknown)}: use {', '.join(sorted(CLASSES))}")
        if hold_back < MIN_HOLD_BACK:
            raise ConfigError(f"hold_back {hold_back}: use at least {MIN_HOLD_BACK}")
        self._registered = RegisteredSecrets(registered)
        self._hold_back = hold_back
        self._operator = operator
        self._choice = choice
        self._spans = spans
        # How far these may reach into prose is not known: then only whole lines go on.
        self._by_line = bool(self._registered.values or choice.own)
        self._pending = ""
        self._withholding = False
        self._in_block = False

    def feed(self, chunk: str) -> str:
        """Take the next piece; return what can go on."""
        self._pending += chunk
        if self._withholding and not self._resumed():
            return ""
        cut = self._safe_cut()
        ready, self._pending = self._pending[:cut], self._pending[cut:]
        out = self._redacted(ready) if ready else ""
        if len(self._pending) > self._hold_back:
            out += self._operator(UNSCANNED, self._pending)
            self._withholding = True
            if self._resumed():
                out += self.feed("")
        return out

    def flush(self) -> str:
        """The end of the stream, or an error in it: redact and return what still waits."""
        rest, self._pending = self._pending, ""
        if self._withholding:
            self._withholding = self._in_block = False
            return ""
        return self._redacted(rest)

    def iterate(self, chunks: Iterable[str]) -> Iterator[str]:
        """The redacted stream of ``chunks``; when they end in an error, what still waits comes before it."""
        try:
            for chunk in chunks:
                if out := self.feed(chunk):
                    yield out
        except Exception:
            yield self.flush()
            raise
        yield self.flush()

    async def aiterate(self, chunks: AsyncIterable[str]) -> AsyncIterator[str]:
        """``iterate`` for an asynchronous stream."""
        try:
            async for chunk in chunks:
                if out := self.feed(chunk):
                    yield out
        except Exception:
            yield self.flush()
            raise
        yield self.flush()

    def _redacted(self, text: str) -> str:
        return redact(text, self._classes, self._registered, self._operator, self._choice, spans=self._spans)

    def _resumed(self) -> bool:
        """Leave out the rest of a withheld line and of key blocks it opened; True when a new line has begun."""
        while True:
            view = clean_view(View(self._pending))
            end = self._block_end(view) if self._in_block else self._line_end(view)
            if end is None:
                # What is left out is forgotten, but for the start of a mark that is not complete yet.
                self._pending = self._pending[-MARK_LENGTH:]
                return False
            self._pending = self._pending[end:]
            if not self._withholding:
                return True

    def _line_end(self, view: View) -> int | None:
        newline = self._pending.find("\n")
        header = _HEADER.search(view.text)
        if header and (newline < 0 or view.span(*header.span())[0] < newline):
            self._in_block = True
            return view.span(*header.span())[1]
        if newline < 0:
            return None
        tail = reading(self._pending[:newline]).text.rstrip()
        if tail.endswith(LABEL_END) or (not tail and newline >= MARK_LENGTH):
            # The next line may hold the value that this one announces.
            return newline + 1
        self._withholding = False
        return newline

    def _block_end(self, view: View) -> int | None:
        body = body_end(view.text, 0)
        footer = _FOOTER.match(view.text, body)
        if footer is None and "\n" not in view.text[body:]:
            return None
        self._in_block = False
        return view.span(*footer.span())[1] if footer else view.span(body, body + 1)[0]

    def _safe_cut(self) -> int:
        line = self._pending.rfind("\n") + 1
        block = open_block(self._pending)
        if block is not None:
            return min(line, self._pending.rfind("\n", 0, block) + 1)
        return line + (0 if self._by_line else _prose_cut(self._pending[line:]))


def open_block(text: str) -> int | None:
    """Where something starts that the lines to come may complete: a private-key block, or a label on the last line."""
    label = _open_label(text)
    # A key block that ends on the label's line must not be cut before that line.
    inner = None if label is None else _open_key(text[:label])
    return min((start for start in (_open_key(text), label, inner) if start is not None), default=None)


def _open_label(text: str) -> int | None:
    end = text.rfind("\n")
    if end < 0:
        return None
    start = text.rfind("\n", 0, end) + 1
    return start if reading(text[start:end]).text.rstrip().endswith(LABEL_END) else None


def _open_key(text: str) -> int | None:
    if "PRIVATE" not in (clean := clean_view(View(text))).text:
        return None
    at = first = 0
    while header := _HEADER.search(clean.text, at):
        # Blocks that share a line go on together or not at all.
        if at == 0 or "\n" in clean.text[at : header.start()]:
            first = header.start()
        at = body_end(clean.text, header.end())
        if footer := _FOOTER.match(clean.text, at):
            at = footer.end()
        if "\n" not in clean.text[at:]:
            return clean.span(first, header.end())[0]
    return None


def body_end(text: str, start: int) -> int:
    body = _BODY.match(text, start)
    return start if body is None else body.end()


def _prose_cut(line: str) -> int:
    """How much of an unfinished line of plain words can go on: all but the last words."""
    words = _PROSE.match(line)
    prose = (words.end() if words else 0) - PROSE_CONTEXT
    if prose <= 0:
        return 0
    gaps = [m.start() for m in re.finditer(" +", line[: prose + PROSE_CONTEXT])]
    usable = [gap for gap in gaps[:-PROSE_GAPS] if gap <= prose]
    return usable[-1] if usable else 0
