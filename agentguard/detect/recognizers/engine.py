"""One scan for many patterns: RE2 sets tell which occur, then each of those is located and validated.

RE2 searches take linear time; finding *all* matches does not for every pattern, so matches are counted and a text
with more than ``MAX_MATCHES`` of one kind, or of more than ``MAX_SCANNED`` code points, is reported as ``limit.find-all``,
which callers treat as a deny.
No pattern matches a line feed, except private-key blocks and values on the line behind a label that ends in ``>`` or
``:``, which end their line and do not end like a label themselves; ``agentguard.detect.stream`` relies on it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import numpy.typing as npt
import re2

from agentguard.errors import ConfigError, StageError
from agentguard.text.view import View
from agentguard.text.views import clean_view, scannable

__all__ = ["LIMIT", "Match", "Recognizer", "RecognizerSet", "reading"]

# More hits of one recognizer than any honest text holds; find-all over crafted text is the super-linear part.
MAX_MATCHES = 10_000
# The same for all recognizers together: one text cannot be crowded for each of them in turn.
MAX_CANDIDATES = 30_000
# Code points of one text that are read at all. A longer one is not examined; files are cut into pieces before.
MAX_SCANNED = 10_000_000
# A longer value behind a word that announces one is taken for one: judging a megabyte would cost what reading all did.
MAX_JUDGED = 16_384
# Bytes for the set's automaton. Too little makes RE2 answer "no match" without an error, hence a sentinel that has to
# match at load and behind every text scanned.
SET_MEMORY = 64 << 20
PATTERN_MEMORY = 16 << 20
LIMIT = "limit.find-all"

_WIDTH = {code: unicodedata.normalize("NFKC", chr(code)) for code in range(0xFF01, 0xFF5F)}
_SENTINEL = "agentguard-recognizer-set-sentinel"


@dataclass(frozen=True, slots=True)
class Match:
    """One thing found: its dotted type, the rule that found it, and its range in the original text."""

    type: str
    rule: str
    start: int
    end: int
    score: float = 1.0


@dataclass(frozen=True, slots=True)
class Recognizer:
    """One format, as data.

    ``pattern`` is RE2 syntax; a named group, when there is one, is the value to report. ``validator`` gets the value
    and its line up to the value, and returns the value's true length (0: not one): a checksum can trim a greedy match.
    ``trigger``, when given, is a cheaper pattern that occurs wherever ``pattern`` does; only it enters the shared set.
    ``examples`` builds positives at run time: nothing that looks like a credential stands in the source.
    ``keywords`` says which words have to stand with the value. ``one_line``: the pattern never matches a line feed,
    whatever it says. ``most``: candidates of one text that are judged. ``rank`` decides between overlapping matches, the higher one names the finding.
    """

    type: str
    rule: str
    pattern: str
    provider: str = ""
    trigger: str = ""
    validator: Callable[[str, str], int] | None = None
    examples: Callable[[], tuple[str, ...]] = tuple
    negatives: Callable[[], tuple[str, ...]] = tuple
    score: float = 1.0
    rank: int = 1
    keywords: tuple[str, ...] = ()
    one_line: bool = False
    most: int = MAX_MATCHES


class RecognizerSet:
    """Recognizers compiled together. Immutable and thread-safe.

    Raises:
        ConfigError: a pattern does not compile, or the compiled set fails to find its sentinel.
    """

    def __init__(self, recognizers: Iterable[Recognizer]) -> None:
        self.recognizers = tuple(recognizers)
        groups: dict[tuple[object, ...], list[int]] = {}
        for index, r in enumerate(self.recognizers):
            groups.setdefault((r.type.partition(".")[0], bool(r.keywords), r.rank == 0), []).append(index)
        # One automaton for all would have the product of their states: random text cost ten times as much to read.
        self._sets = [
            (_compiled_set([self.recognizers[i].trigger or self.recognizers[i].pattern for i in group]), tuple(group))
            for group in groups.values()
        ]
        self._patterns: dict[int, re2._Regexp] = {}

    def scan(self, text: str) -> tuple[Match, ...]:
        """Everything found, ordered by position, without overlaps: the higher rank, then the longer match wins.

        A match of type ``limit.find-all`` over the whole text means that the rest was not examined.
        """
        if len(text) > MAX_SCANNED:
            return (Match(LIMIT, "max-scanned", 0, len(text)),)
        view = reading(text)
        body = _Body(view.text)
        found: list[Match] = []
        candidates = 0
        for index in self._occurring(f"{view.text}\n{_SENTINEL}"):
            spans = self._candidates(index, body)
            candidates += len(spans)
            if len(spans) > min(self.recognizers[index].most, MAX_MATCHES) or candidates > MAX_CANDIDATES:
                # Before any of them is judged: a crowd costs no more than finding it.
                return (Match(LIMIT, self.recognizers[index].rule, 0, len(text)),)
            found.extend(self._judged(self.recognizers[index], spans, view))
        if not found:
            return ()
        return _without_overlaps(found, {r.rule: r.rank for r in self.recognizers})

    def _occurring(self, text: str) -> Iterable[int]:
        """Which recognizers may match somewhere; ``text`` ends with the sentinel, which proves that all was read."""
        for compiled, indexes in self._sets:
            hits = compiled.Match(text) or ()
            if len(indexes) not in hits:
                raise StageError("a recognizer set ran out of memory on this text, so nothing is known about it")
            # In a fixed order: which of two equal matches gives its name must not depend on the rest of the text.
            yield from (indexes[hit] for hit in sorted(hits) if hit < len(indexes))

    def _candidates(self, index: int, body: _Body) -> list[tuple[int, int]]:
        """Where the pattern's value stands, one more than are judged at most."""
        pattern, most = self._pattern(index), min(self.recognizers[index].most, MAX_MATCHES)
        groups = tuple(pattern.groupindex.values()) or (0,)
        spans = [
            next((span for group in groups if (span := hit.span(group))[0] >= 0), (-1, -1))
            for hit in islice(pattern.finditer(body.raw), most + 1)
        ]
        return body.characters([span for span in spans if span[0] >= 0])

    def _judged(self, recognizer: Recognizer, spans: list[tuple[int, int]], view: View) -> Iterator[Match]:
        text = view.text
        for start, end in spans:
            if recognizer.validator is not None and end - start <= MAX_JUDGED:
                before = text[max(0, start - CONTEXT) : start].rpartition("\n")[2]
                end = start + recognizer.validator(text[start:end], before)  # noqa: PLW2901 - the value's true end
            if end > start:
                yield Match(recognizer.type, recognizer.rule, *view.span(start, end), recognizer.score)

    def _pattern(self, index: int) -> re2._Regexp:
        # Compiled on first hit: most texts hit none, and compiling all would cost the first call.
        pattern = self._patterns.get(index)
        if pattern is None:
            options = re2.Options()
            options.max_mem = PATTERN_MEMORY
            options.log_errors = False
            options.never_nl = self.recognizers[index].one_line
            pattern = self._patterns[index] = re2.compile(self.recognizers[index].pattern, options)
        return pattern


class _Body:
    """A text as the bytes that RE2 searches, and where its characters stand among them."""

    def __init__(self, text: str) -> None:
        self.raw = text.encode()
        self._single = len(self.raw) == len(text)

    def characters(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Byte ranges as ranges of code points; all at once, since counting from the start takes the text's length."""
        if self._single or not spans:
            return spans
        places = self._starts.searchsorted(np.array(spans, dtype=np.int64))
        return [(int(start), int(end)) for start, end in places]

    @cached_property
    def _starts(self) -> npt.NDArray[np.intp]:
        raw = np.frombuffer(self.raw, dtype=np.uint8)
        # Every byte but 10xxxxxx begins a character.
        return np.flatnonzero((raw & 0xC0) != 0x80)


# Code points of the same line that a validator sees before a value, to look for context words.
CONTEXT = 60


def reading(text: str) -> View:
    """The text as a reader sees it: no invisible characters, full-width forms as ASCII."""
    view = clean_view(scannable(View(text)))
    return view if view.text.isascii() else View.same_length(view, "width", view.text.translate(_WIDTH))


def _compiled_set(patterns: list[str]) -> re2.Set:
    options = re2.Options()
    options.max_mem = SET_MEMORY
    options.log_errors = False
    compiled = re2.Set.SearchSet(options)
    try:
        for pattern in patterns:
            compiled.Add(pattern)
        sentinel = compiled.Add(_SENTINEL)
        compiled.Compile()
    except re2.error as error:
        raise ConfigError(f"a recognizer's pattern does not compile: {error}") from error
    if sentinel not in (compiled.Match(f"x {_SENTINEL} x") or ()):
        raise ConfigError("the recognizer set ran out of memory while compiling; raise SET_MEMORY")
    return compiled


def _without_overlaps(found: list[Match], ranks: dict[str, int]) -> tuple[Match, ...]:
    kept: list[Match] = []
    for match in sorted(found, key=lambda m: (m.start, -m.end, -ranks[m.rule])):
        if not kept or match.start >= kept[-1].end:
            kept.append(match)
            continue
        # Overlapping matches become one, so that no tail of either value stays behind.
        last = kept[-1]
        name = max(last, match, key=lambda m: ranks[m.rule])
        kept[-1] = Match(name.type, name.rule, last.start, max(last.end, match.end), name.score)
    return tuple(kept)
