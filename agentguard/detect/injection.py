"""Text that gives orders it has no right to give: one calibrated score, with the reasons and where they stand.

Signals of several families are searched for in every view of the text and combined as independent evidence:
``1 - product(1 - weight)``. Who wrote the text decides which families count: in a user's own prompt only attempts to
override, extract or jailbreak; in a tool result, a document or another agent's message also instructions addressed to
the assistant. Quoting an attack to discuss it weighs less than using it.
Patterns are RE2, written against the folded view (lower case, accents off, look-alikes resolved).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal, TypeAlias

import re2

from agentguard.detect.grammar import GRAMMAR, Pattern
from agentguard.errors import StageError
from agentguard.text.invisible import hidden_payloads
from agentguard.text.view import View
from agentguard.text.views import fold_pattern, read

__all__ = ["Channel", "Injection", "Signal", "assess", "threshold_of"]

Channel: TypeAlias = Literal["user", "tool", "agent"]

# Scores from which a text counts as an attack.
_THRESHOLDS = {"strict": 0.45, "balanced": 0.6, "permissive": 0.85}

# Matches per pattern and view that are looked at; more of the same adds nothing to the score.
MAX_HITS = 20
# A mention is looked for this many characters before the match.
MENTION_REACH = 80
_MENTION_FACTOR = 0.4
_SENTINEL = "\nagentguard-injection-sentinel"


@dataclass(frozen=True, slots=True)
class Signal:
    """One piece of evidence, at ``[start, end)`` of the original text."""

    family: str
    weight: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Injection:
    """The assessment of one text. ``incomplete`` when decoding stopped at its limit: refuse what matters."""

    score: float
    signals: tuple[Signal, ...]
    incomplete: bool = False


def threshold_of(setting: str | float) -> float:
    """The score for a policy's word (``strict``, ``balanced``, ``permissive``) or number."""
    return _THRESHOLDS[setting] if isinstance(setting, str) else setting


def assess(text: str, channel: Channel) -> Injection:
    """Score ``text`` as written by ``channel``. Linear in the text's length.

    Raises:
        StageError: the pattern set ran out of memory.
    """
    views = read(text)
    signals: dict[tuple[str, int, int], Signal] = {}
    for view in views:
        for signal in _search(view, channel):
            key = (signal.family, signal.start, signal.end)
            if key not in signals or signals[key].weight < signal.weight:
                signals[key] = signal
    if channel != "user" or not views.original.text.isascii():
        for start, end, message in hidden_payloads(text):
            if len(message) >= 4:
                signals["hidden", start, end] = Signal("hidden-text", 0.9, start, end)
    found = tuple(sorted(signals.values(), key=lambda s: (s.start, s.end, s.family)))
    return Injection(_combined(found), found, views.truncated)


def _combined(signals: tuple[Signal, ...]) -> float:
    """Independent evidence, each family counted once at its strongest."""
    strongest: dict[str, float] = {}
    for signal in signals:
        strongest[signal.family] = max(strongest.get(signal.family, 0.0), signal.weight)
    doubt = 1.0
    for weight in strongest.values():
        doubt *= 1.0 - weight
    return 1.0 - doubt


def _search(view: View, channel: Channel) -> list[Signal]:
    patterns, scanner, sentinel = _compiled()
    which = scanner.Match(view.text + _SENTINEL) or ()
    if sentinel not in which:
        raise StageError("the injection patterns ran out of memory on this text")
    found: list[Signal] = []
    for index in which:
        if index == sentinel:
            continue
        pattern, compiled = patterns[index]
        if channel == "user" and not pattern.user:
            continue
        for count, match in enumerate(compiled.finditer(view.text)):
            if count == MAX_HITS:
                break
            weight = pattern.weight * (_MENTION_FACTOR if _is_mention(view.text, match.start()) else 1.0)
            found.append(Signal(pattern.family, weight, *view.span(*match.span())))
    return found


def _is_mention(text: str, start: int) -> bool:
    """Whether the words before introduce a quotation about attacks, not a quotation alone: anybody can write quotes."""
    before = text[max(0, start - MENTION_REACH) : start]
    return _mention().search(before) is not None


@functools.lru_cache(maxsize=1)
def _mention() -> re2._Regexp:
    return re2.compile(
        r"(?:such as|e\.g\.|for example|for instance|like|say(?:s|ing)?|phrases?|(?:attack|inject|jailbreak|malicious|"
        r"adversar)[a-z]*|attempts? to|tr(?:y|ies|ying) to|payloads?|detects?|blocks?|refus(?:e|es|ed)|beispielsweise|"
        r"par exemple|por ejemplo)[^.!?\n]{0,30}[\"'`“”«»„(:][^\"'`\n]{0,40}$"
    )


@functools.lru_cache(maxsize=1)
def _compiled() -> tuple[list[tuple[Pattern, re2._Regexp]], re2.Set, int]:
    options = re2.Options()
    options.max_mem = 256 << 20
    options.log_errors = False
    scanner = re2.Set.SearchSet(options)
    compiled = []
    for pattern in GRAMMAR:
        folded = fold_pattern(pattern.pattern)
        scanner.Add(folded)
        compiled.append((pattern, re2.compile(folded)))
    sentinel = scanner.Add(_SENTINEL)
    scanner.Compile()
    return compiled, scanner, sentinel
