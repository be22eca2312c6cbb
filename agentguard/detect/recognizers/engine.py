"""Many patterns over one text in linear time: one RE2 ``Set`` scan says which match, single patterns say where.

RE2 never backtracks, but finding *all* matches of a pattern is not linear on its own: a pattern may read far ahead for
every match. Each search therefore sees a window of bounded length, and matches per pattern are capped; a text that
exceeds the cap is reported as ``truncated`` and must be refused.
A ``Set`` that runs out of memory matches nothing: every scanned text carries a sentinel that has to be found.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import re2

from agentguard.errors import ConfigError, StageError

__all__ = ["Engine", "Match", "Recognizer", "Scan"]

# One search reads at most this much ahead, so a match costs at most this however the text was crafted.
WINDOW = 16_384
# No entity but a private key is longer; windows overlap by this much so that none is cut.
OVERLAP = 4_096
# Honest logs of a megabyte hold some thousand addresses. Past this a text is built to be slow.
MAX_MATCHES = 20_000
# Memory for the Set's automaton; it grows on demand, and the sentinel notices when it was not enough.
MAX_MEM = 512 << 20

_SENTINEL = "\nagentguard-sentinel-5f1d"


@dataclass(frozen=True, slots=True)
class Recognizer:
    """One kind of entity.

    Args:
        type: dotted type of its findings, ``secret.github-token``.
        pattern: RE2; the group ``value``, if any, is the entity, else the whole match. It must not match a line end
            (``multiline`` ones apart), so that a text can be read line by line.
        validate: decides about a candidate: checksum, entropy, alphabet. Reads nothing but the candidate.
        score: confidence in 0..1 of a validated match; the higher one wins where two overlap.
        example: how a value looks, for tests: ``<A36>`` stands for 36 characters of the class A (see the tests).
        multiline: matches run over line ends (private keys).
    """

    type: str
    pattern: str
    validate: Callable[[str], bool] | None = None
    score: float = 0.9
    example: str = ""
    multiline: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """An entity at ``[start, end)``, in code points of the scanned text."""

    type: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Scan:
    """All entities in order, none overlapping; ``truncated`` when a pattern hit its cap."""

    matches: tuple[Match, ...]
    truncated: bool = False


class Engine:
    """Compiled recognizers.

    Raises:
        ConfigError: a pattern is not RE2, or the set does not fit its memory.
    """

    def __init__(self, recognizers: Sequence[Recognizer]) -> None:
        self._recognizers = tuple(recognizers)
        options = re2.Options()
        options.max_mem = MAX_MEM
        options.log_errors = False
        self._set = re2.Set.SearchSet(options)
        try:
            for recognizer in self._recognizers:
                self._set.Add(recognizer.pattern)
            self._sentinel = self._set.Add(_SENTINEL)
            self._patterns = [re2.compile(recognizer.pattern) for recognizer in self._recognizers]
        except re2.error as error:
            raise ConfigError(f"a recognizer's pattern is not RE2: {error}") from error
        self._set.Compile()
        self._groups = [pattern.groupindex.get("value", 0) for pattern in self._patterns]
        self.scan("")

    def scan(self, text: str) -> Scan:
        """Find every entity. Lone surrogates must be replaced before.

        Raises:
            StageError: the automaton ran out of memory, so nothing is known about the text.
        """
        which = self._set.Match(text + _SENTINEL) or ()
        if self._sentinel not in which:
            raise StageError("the pattern set ran out of memory on this text; raise MAX_MEM or shorten the text")
        if len(which) == 1:
            return Scan(())
        found: list[Match] = []
        truncated = False
        for index in which:
            if index != self._sentinel:
                complete = self._find(index, text, found)
                truncated = truncated or not complete
        return Scan(_disjoint(found), truncated)

    def _find(self, index: int, text: str, found: list[Match]) -> bool:
        recognizer, group = self._recognizers[index], self._groups[index]
        for count, (start, end) in enumerate(_matches(self._patterns[index], group, text)):
            if count == MAX_MATCHES:
                return False
            if recognizer.validate is None or recognizer.validate(text[start:end]):
                found.append(Match(recognizer.type, start, end, recognizer.score))
        return True


def _matches(pattern: re2._Regexp, group: int, text: str) -> Iterator[tuple[int, int]]:
    """Leftmost matches that do not overlap, searched for window by window."""
    position, length = 0, len(text)
    if length <= WINDOW:
        for match in pattern.finditer(text):
            yield match.span(group)
        return
    while position < length:
        limit = min(position + WINDOW, length)
        resume = limit if limit == length else limit - OVERLAP
        for match in pattern.finditer(text, position, limit):
            start, end = match.span()
            if start >= resume and limit < length:
                resume = start
                break
            if end == limit and limit < length:
                # The window may have cut it: look again from its start, with a whole window ahead.
                resume = start if start > position else limit
                if start > position:
                    break
            yield match.span(group)
            resume = max(resume, end)
        position = resume


def _disjoint(found: list[Match]) -> tuple[Match, ...]:
    """The surest and longest of overlapping matches, in order of position."""
    if len(found) < 2:
        return tuple(found)
    kept: list[Match] = []
    # Best first; a later one is kept when it touches none of those kept before.
    taken = _Intervals()
    for match in sorted(found, key=lambda m: (-m.score, m.start - m.end, m.start, m.type)):
        if taken.add(match.start, match.end):
            kept.append(match)
    return tuple(sorted(kept, key=lambda m: m.start))


class _Intervals:
    """Disjoint ranges, kept sorted; ``add`` refuses one that overlaps."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> bool:
        at = bisect_left(self._starts, start)
        if at > 0 and self._ends[at - 1] > start:
            return False
        if at < len(self._starts) and self._starts[at] < end:
            return False
        self._starts.insert(at, start)
        self._ends.insert(at, end)
        return True
