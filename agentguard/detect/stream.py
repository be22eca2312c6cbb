"""An answer that arrives in pieces: what of it may be read before the whole was checked.

The pieces' joined output equals treating the whole text, however it was cut. It rests on properties that tests hold:

* no recognizer's match crosses a line feed or looks at other lines, except private-key blocks and values on the line
  behind their label (``<token>``, ``Phone:``);
* whether an invisible character is honest depends on what stands close by (``visible``);
* what acts as markup begins at a mark and ends where ``openings`` says.

So whole lines go on at once, a line that opened something waits for its end, and within a line of plain prose
everything but the last words goes on. What would be refused in the whole text is never let go: the stream then stops,
and what was not let go waits for whoever checks the whole. At most ``hold_back`` code points wait. A longer line cannot
be judged piece by piece: it is withheld to its end and ``[redacted:unscanned]`` stands for it, or, with
``overflow="wait"``, it waits until it is complete.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Literal

from agentguard.detect.edit import Edit, applied
from agentguard.detect.markup import FENCE, MarkupFinding, brackets_left, inspect_markup
from agentguard.detect.openings import (
    FOOTER,
    HEADER,
    LABEL_END,
    body_end,
    markup_spans,
    open_address,
    open_block,
    prose_cut,
)
from agentguard.detect.recognizers.engine import LIMIT, reading
from agentguard.detect.recognizers.own import BUILT_IN, Choice
from agentguard.detect.recognizers.registry import CLASSES
from agentguard.detect.redaction import UNSCANNED, Operator, Spans, find, tag, visible
from agentguard.detect.registered import RegisteredSecrets
from agentguard.detect.visible import Unveiler
from agentguard.errors import ConfigError
from agentguard.text.view import View
from agentguard.text.views import clean_view, encodable

__all__ = ["HOLD_BACK", "StreamRedactor"]

HOLD_BACK = 4096
MIN_HOLD_BACK = 256
# The longest "-----BEGIN ... PRIVATE KEY BLOCK-----".
MARK_LENGTH = 128
# Text beyond the bound is looked at again when it has grown by this much, so that long lines cost linear time.
GROWTH = 1.25
# Words go on by this many characters at least: looking at each alone would cost more than it gains.
MIN_PROSE = 24
# Places that are tried for one cut; a crowd of openings waits for its end.
MAX_STEPS = 16
_FENCED = "```\n"


class StreamRedactor:
    """Treat a text chunk by chunk. One per stream; not thread-safe.

    Args:
        classes: ``secret``, ``pii`` or both.
        registered: secret values of the application, removed in any encoding.
        hold_back: most code points to wait with, >= 256.
        operator: what stands in a value's place; it must depend on type and value alone.
        choice: the application's own recognizers and values that may stay.
        spans: where in a text an operator wrote before; whole words that hold a digit.
        markup: what to do about active markup: ``off``, ``strip``, or ``block``: let nothing more go.
        hosts: as for ``inspect_markup``.
        unicode: what to do about dishonest invisible characters: as ``markup``.
        overflow: what happens to more than ``hold_back``: ``withhold`` it to the end of its line, or ``wait``.
        shows: asked of every piece of treated text before it goes; when it says no, nothing more goes.

    Raises:
        ConfigError: an unknown class, or ``hold_back`` out of range.
    """

    def __init__(
        self,
        classes: Iterable[str] = frozenset(CLASSES),
        *,
        registered: Iterable[str] = (),
        hold_back: int = HOLD_BACK,
        operator: Operator = tag,
        choice: Choice = BUILT_IN,
        spans: Spans | None = None,
        markup: Literal["block", "strip", "off"] = "off",
        hosts: frozenset[str] | None = None,
        unicode: Literal["block", "strip", "off"] = "off",
        overflow: Literal["withhold", "wait"] = "withhold",
        shows: Callable[[str], bool] = lambda text: True,
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
        self._markup = markup
        self._hosts = hosts
        self._unicode = unicode
        self._waits = overflow == "wait"
        self._shows = shows
        # How far own recognizers may reach into prose is not known: then only whole lines go on.
        self._by_line = bool(choice.own)
        self._unveiler = Unveiler()
        self._pending = ""
        self._retry = 0
        self._withholding = False
        self._in_block = False
        # Whether what goes next stands in a code fence; None when that is not known any more.
        self._fenced: bool | None = False
        # The paragraph that goes on, as far as links need to know, and whether its line does.
        self._brackets = ""
        self._in_line = False
        self.stopped = False

    def feed(self, chunk: str) -> str:
        """Take the next piece; return what can go on. Nothing does once the stream has ``stopped``."""
        if self.stopped:
            return ""
        return self._passed(chunk if self._unicode == "off" else self._unveiled(self._unveiler.feed(chunk)))

    def flush(self) -> str:
        """The end of the stream, or an error in it: treat and return what still waits."""
        if self.stopped:
            return ""
        out = "" if self._unicode == "off" else self._passed(self._unveiled(self._unveiler.flush()))
        rest, self._pending = self._pending, ""
        if self._withholding or self.stopped:
            self._withholding = self._in_block = False
            return out
        return out + self._released(rest)

    def iterate(self, chunks: Iterable[str]) -> Iterator[str]:
        """The treated stream of ``chunks``; when they end in an error, what still waits comes before it."""
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

    def _unveiled(self, text: str) -> str:
        if self._unveiler.found and self._unicode == "block":
            return self._stop()
        return text

    def _stop(self) -> str:
        self.stopped = True
        self._pending = ""
        return ""

    def _passed(self, text: str) -> str:
        """Take the next piece of visible text; return what can go on."""
        self._pending += text
        if self.stopped or (self._withholding and not self._resumed()):
            return ""
        if self._hold_back < len(self._pending) < self._retry:
            return ""
        cut = self._safe_cut()
        ready, self._pending = self._pending[:cut], self._pending[cut:]
        out = self._released(ready) if ready else ""
        if len(self._pending) > self._hold_back and not self.stopped:
            if self._waits:
                self._retry = int(len(self._pending) * GROWTH)
            else:
                out += self._withheld()
        return out

    def _withheld(self) -> str:
        out = self._operator(UNSCANNED, self._pending)
        self._withholding = True
        # The line may have opened or closed a fence.
        self._fenced = None if self._markup != "off" else False
        return out + self._passed("") if self._resumed() else out

    # -- treating ----------------------------------------------------------------------------------------------------

    def _released(self, text: str) -> str:
        """``text`` as it may be read, or nothing when it may not."""
        matches = find(text, self._classes, self._registered, self._choice, self._spans)
        if any(match.type == LIMIT for match in matches):
            return self._stop() if self._waits else self._operator(UNSCANNED, text)
        found = self._active(text)
        if found and self._markup == "block":
            return self._stop()
        edits = [Edit(m.start, m.end, self._operator(m.type, visible(text[m.start : m.end]))) for m in matches]
        edits += (Edit(f.start, f.end, f.replacement) for f in found)
        treated = applied(text, edits)
        if not self._shows(treated):
            return self._stop()
        if self._markup != "off" and text:
            self._brackets = brackets_left(f"{self._lead()}{text}")
            self._fenced, self._in_line = self._fenced_after(text), text[-1] != "\n"
        return treated

    def _lead(self) -> str:
        """What stands for the text before: its brackets, and the fence that is open."""
        brackets = self._brackets and self._brackets + (" " if self._in_line and not self._fenced else "\n")
        return brackets + (_FENCED if self._fenced else "")

    def _active(self, text: str) -> list[MarkupFinding]:
        """Active markup in ``text``, as it stands behind what went before."""
        if self._markup == "off":
            return []
        lead = self._lead()
        found = inspect_markup(lead + text, hosts=self._hosts, exempt_code=self._fenced is not None)
        size = len(lead)
        return [MarkupFinding(f.type, f.rule, f.start - size, f.end - size, f.replacement) for f in found]

    def _fenced_after(self, text: str) -> bool | None:
        if self._fenced is None or self._markup == "off":
            return self._fenced
        return self._fenced ^ (sum(1 for _ in FENCE.finditer(encodable(text))) % 2 == 1)

    # -- where to cut ------------------------------------------------------------------------------------------------

    def _safe_cut(self) -> int:
        text = self._pending
        line = text.rfind("\n") + 1
        block = open_block(text)
        if block is not None:
            cut = min(line, text.rfind("\n", 0, block) + 1)
        else:
            cut = line if self._by_line else line + prose_cut(text[line:])
        if not line and cut < MIN_PROSE:
            return 0
        reaching = [(match.start, match.end) for match in self._registered.scan(text)] if cut else []
        held = self._registered.held_from(text) if cut else len(text)
        if held < len(text):
            reaching.append((held, len(text) + 1))
        if self._markup != "off" and cut:
            reaching += markup_spans(text)
        for _ in range(MAX_STEPS):
            start = self._reaching(cut, reaching) if cut else None
            if start is None:
                return cut
            cut = self._back(start)
        return 0

    def _back(self, limit: int) -> int:
        """The last line's start up to ``limit`` that no key block and no label before it reaches over."""
        text = self._pending
        cut = text.rfind("\n", 0, limit) + 1
        while cut and (block := open_block(text[:cut])) is not None:
            cut = text.rfind("\n", 0, block) + 1
        return cut

    def _reaching(self, cut: int, spans: list[tuple[int, int]]) -> int | None:
        """Where something before ``cut`` starts that reaches over it, or that a fence closed later may excuse."""
        over = [start for start, end in spans if start < cut < end]
        if over:
            return min(over)
        if self._markup == "off":
            return None
        before = self._pending[:cut]
        if (opened := open_address(before)) is not None:
            return opened
        if not self._fenced_after(before):
            return None
        fence = max((m.start() for m in FENCE.finditer(encodable(before))), default=0)
        return next((max(0, found.start) for found in self._active(before) if found.start >= fence), None)

    # -- withholding a line ------------------------------------------------------------------------------------------

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
        header = HEADER.search(view.text)
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
        footer = FOOTER.match(view.text, body)
        if footer is None and "\n" not in view.text[body:]:
            return None
        self._in_block = False
        return view.span(*footer.span())[1] if footer else view.span(body, body + 1)[0]
