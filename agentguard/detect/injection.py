"""Prompt injection: instructions where none belong, found in every reading of a text.

Two detectors, one score. The *grammar* (``grammar.py``) knows verb x qualifier x object, forged roles and delimiters,
jailbreak formulas, exfiltration forms, and, in text that tools and other agents wrote, orders addressed to the
assistant; each hit has a weight, and together they make ``1 - product(1 - weight)``. A hit that is talked about rather
than said (quoted or in code, with words of discussion near) counts for less. The *model* (``model.py``) scores windows
of word n-grams; the highest window counts. ``Model.score`` puts both on one scale per channel on which 0.3, 0.5 and
0.8 are the named thresholds; docs/model-card.md says what share of honest text lies above each.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import re2

from agentguard.detect.grammar import RULES, Rule
from agentguard.errors import ConfigError, StageError
from agentguard.text.view import View
from agentguard.text.views import Views, fold_pattern, read

if TYPE_CHECKING:
    from agentguard.detect.model import Model, Window

__all__ = [
    "THRESHOLDS",
    "Channel",
    "Hit",
    "Report",
    "channel_of",
    "discussed",
    "grammar_score",
    "inspect",
    "threshold_value",
]

Channel: TypeAlias = Literal["user", "tool", "agent", "retriever", "system", "assistant"]

THRESHOLDS = {"strict": 0.3, "balanced": 0.5, "permissive": 0.8}
LEARNED = {"explicit": "injection.learned", "request": "injection.request"}
# A mention keeps this share of its weight: below the balanced threshold alone, above it when several come together.
MENTION = 0.4
# Find-all bound per rule and reading; one hit decides, the rest only widen what is removed.
MAX_HITS = 200
SET_MEMORY = 128 << 20
_SENTINEL = "agentguard injection sentinel"
# Words about attacks are looked for in this much of a text.
DISCUSSION_LENGTH = 20_000
# How far around a hit words of discussion count, in code points of the reading.
NEAR = 120


@dataclass(frozen=True, slots=True)
class Hit:
    """One rule matched at ``[start, end)`` of the original; ``view`` names the reading that showed it."""

    type: str
    rule: str
    start: int
    end: int
    weight: float
    view: str
    mention: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All hits and the combined score; ``truncated`` when not every nested decoding could be read."""

    score: float
    hits: tuple[Hit, ...]
    truncated: bool = False


def inspect(text: str, channel: Channel = "user", *, payloads: bool = False) -> Report:
    """Score ``text`` as written by ``channel``. ``payloads`` adds SQL and script forms (type ``payload.*``)."""
    views = read(text)
    if channel == "system":
        return Report(0.0, (), views.truncated)
    hits: list[Hit] = []
    for view in views:
        hits.extend(_hits_in(view, channel, payloads))
    kept = _strongest(hits)
    learned = _learned(views, channel)
    anchored = "user" if channel in ("user", "assistant") else "tool"
    logits = [window.logit for _, window in learned.values()]
    score = _model().score(anchored, _noisy_or(kept), *logits)
    if score >= THRESHOLDS["strict"]:
        score = _model().score(anchored, _noisy_or(kept), *logits, discussed=discussed(text))
    if score >= THRESHOLDS["strict"]:
        kept += tuple(_learned_hits(learned, anchored))
    return Report(round(score, 4), kept, views.truncated)


def _model() -> Model:
    # numpy and the weights are loaded by the first text, not by an import of the package.
    from agentguard.detect.model import load

    return load()


def _learned(views: Views, channel: Channel) -> dict[str, tuple[View, Window]]:
    """The highest window per head over all readings, and the reading it stands in."""
    names = ("explicit",) if channel in ("user", "assistant") else ("explicit", "request")
    best: dict[str, tuple[View, Window]] = {}
    for view in views:
        for name, window in _model().windows(view.text, names).items():
            if name not in best or window.logit > best[name][1].logit:
                best[name] = (view, window)
    return best


def _learned_hits(learned: dict[str, tuple[View, Window]], channel: str) -> Iterable[Hit]:
    """The windows that alone reach the strict threshold, as hits."""
    for name, (view, window) in learned.items():
        weight = _model().alone(channel, name, window.logit)
        if weight >= THRESHOLDS["strict"]:
            core = _model().narrowed(name, view.text, window)
            start, end = view.span(core.start, core.end)
            yield Hit(LEARNED[name], f"model-{name}", start, end, round(weight, 4), view.name)


def grammar_score(text: str, channel: str) -> float:
    """The rules' share of the score alone: ``1 - product(1 - weight)`` over distinct rules."""
    hits: list[Hit] = []
    for view in read(text):
        hits.extend(_hits_in(view, channel, payloads=False))
    return _noisy_or(_strongest(hits))


def discussed(text: str) -> int:
    """How many different words about attacks and defences ``text`` uses: prose about security has several."""
    # A lone surrogate has no UTF-8 form and would stop the search.
    searchable = text[:DISCUSSION_LENGTH].encode("utf-8", "replace").decode()
    return len({m[0].lower() for m in _trade().finditer(searchable)})


def channel_of(author: str) -> Channel:
    """The channel of an event leaf's author; whatever is not known is treated as written by a tool."""
    kind = author.partition(":")[0]
    return kind if kind in ("user", "agent", "retriever", "system", "assistant") else "tool"  # type: ignore[return-value]


def threshold_value(threshold: str | float) -> float:
    """A named or numeric threshold as a number in (0, 1].

    Raises:
        ConfigError: an unknown name or a number out of range.
    """
    value = THRESHOLDS.get(threshold, 0.0) if isinstance(threshold, str) else float(threshold)
    if not 0.0 < value <= 1.0:
        raise ConfigError(f"threshold {threshold!r}: use strict, balanced, permissive or a number in (0, 1]")
    return value


def _hits_in(view: View, channel: str, payloads: bool) -> list[Hit]:
    rules, compiled = _rule_set()
    hits: list[Hit] = []
    which = compiled.Match(f"{view.text}\n{_SENTINEL}") or ()
    if len(rules) not in which:
        raise StageError("the injection rules ran out of memory on this text, so nothing is known about it")
    for index in which:
        if index == len(rules):
            continue
        rule = rules[index]
        weight = rule.weight_in(channel)
        if weight <= 0.0 or (rule.type.startswith("payload.") and not payloads):
            continue
        for count, m in enumerate(_pattern(index).finditer(view.text)):
            if count >= MAX_HITS:
                break
            hits.append(_hit(rule, weight, view, m.start(), m.end()))
    return hits


def _hit(rule: Rule, weight: float, view: View, start: int, end: int) -> Hit:
    mention = _is_mention(view.text, start, end)
    # What was hidden on purpose is meant, not mentioned.
    mention = mention and "hidden" not in view.name and "base64" not in view.name
    low, high = view.span(start, end)
    return Hit(rule.type, rule.name, low, high, weight * (MENTION if mention else 1.0), view.name, mention)


def _is_mention(text: str, start: int, end: int) -> bool:
    before, after = text[max(0, start - NEAR) : start], text[end : end + NEAR]
    quoted = _in_quotes(before, after)
    discussed = _discussion().search(before) is not None or _discussion().search(after[:60]) is not None
    fenced = text.count("```", 0, start) % 2 == 1
    return discussed and (quoted or fenced)


def _in_quotes(before: str, after: str) -> bool:
    for opening, closing in (('"', '"'), ("'", "'"), ("`", "`"), ("«", "»"), ("“", "”"), ("„", "“")):
        at = before.rfind(opening)
        if at >= 0 and "\n" not in before[at:] and closing in after.partition("\n")[0]:
            return True
    return False


@functools.lru_cache(maxsize=1)
def _discussion() -> re2._Regexp:
    return re2.compile(
        r"\b(?:examples?|e\.g|such as|phrases?|strings?|patterns?|attacks?|attackers?|injections?|jailbreaks?|"
        r"detect\w*|test(?:s|ing)?|"
        r"payloads?|malicious|adversarial|says?|like|beispiel|ejemplo|exemple)\b"
    )


def _noisy_or(hits: Iterable[Hit]) -> float:
    rest = 1.0
    for weight in {hit.rule: hit.weight for hit in sorted(hits, key=lambda h: h.weight)}.values():
        rest *= 1.0 - weight
    return 1.0 - rest


@functools.lru_cache(maxsize=1)
def _trade() -> re2._Regexp:
    return re2.compile(
        r"(?i)\b(?:prompt injections?|injections?|jailbreaks?|attackers?|attacks?|adversar\w+|vulnerab\w+|mitigat\w+|"
        r"owasp|detect(?:s|ion|or|ed)|malicious|exploit\w*|scanner|threats?|governance|guardrails?|"
        r"red[- ]team\w*|sanitiz\w+)\b"
    )


def _strongest(hits: list[Hit]) -> tuple[Hit, ...]:
    """One hit per rule and place: several readings show the same words."""
    best: dict[tuple[str, int, int], Hit] = {}
    for hit in hits:
        key = (hit.rule, hit.start, hit.end)
        if key not in best or best[key].weight < hit.weight:
            best[key] = hit
    return tuple(sorted(best.values(), key=lambda h: (h.start, h.end, h.rule)))


@functools.lru_cache(maxsize=1)
def _rule_set() -> tuple[tuple[Rule, ...], re2.Set]:
    options = re2.Options()
    options.max_mem = SET_MEMORY
    compiled = re2.Set.SearchSet(options)
    for rule in RULES:
        compiled.Add(fold_pattern(rule.pattern))
    sentinel = compiled.Add(_SENTINEL)
    compiled.Compile()
    if sentinel not in (compiled.Match(f"- {_SENTINEL} -") or ()):
        raise ConfigError("the injection rules ran out of memory while compiling; raise SET_MEMORY")
    return RULES, compiled


@functools.lru_cache(maxsize=256)
def _pattern(index: int) -> re2._Regexp:
    return re2.compile(fold_pattern(RULES[index].pattern))
