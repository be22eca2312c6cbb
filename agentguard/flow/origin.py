"""Whose value is this? One row per value of a call's arguments, with the evidence and the verdict.

===  =========================================================  =======
P    stands in the user's request                               pass
T    returned by a tool that the policy trusts                  pass
M    made by a call of our own                                  pass
S    field of a record that the request points at               pass
s    field of some other record                                 ask
N    found nowhere: perhaps the model transformed it            ask
U    stands only in untrusted text                              deny
===  =========================================================  =======

A pass needs the policy's ``sources`` too: without ``user`` P asks, without the tool's name T and S ask.
M passes for sinks of kind ``id``, or when the tool is listed. What asks is denied where nobody can be asked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from agentguard.conversation import Conversation
from agentguard.decision import Effect, Letter, Origin, Span
from agentguard.event import KEY, Json, Path, ToolCall
from agentguard.flow.forms import elements, looks_like_field
from agentguard.flow.labels import USER, ToolLabels
from agentguard.flow.ledger import Ledger, UntrustedText, Value
from agentguard.flow.request import find

__all__ = ["trace"]

# Values of one call that are traced. Each is looked for in all that was read, so their number must be bounded.
MAX_VALUES = 500

# How much of the evidence's sentence a person is shown, in characters on each side of the value.
EXCERPT_CHARS = 80

# Who sent a mail or shared a file is chosen by the sender, so a record alone never settles these.
_GUARDED_EFFECTS = frozenset({"money", "access"})
_GUARDED_SINKS = frozenset({"secret"})


@dataclass(frozen=True, slots=True)
class _Sink:
    """What is being set, and by whom it may be."""

    argument: str
    path: Path
    kind: str | None
    sources: tuple[str, ...]
    guarded: bool


def trace(run: Conversation, labels: ToolLabels, call: ToolCall) -> tuple[Origin, ...]:
    """The origin of every value among the arguments of ``call``; past ``MAX_VALUES`` the rest is one denied row."""
    rows = list(islice(_rows(_Tracer(run), labels, call), MAX_VALUES + 1))
    if len(rows) > MAX_VALUES:
        rows[-1] = dataclasses.replace(rows[-1], letter=Letter.N, effect=Effect.DENY, reason="origin-unknown")
    return tuple(rows)


def _rows(tracer: _Tracer, labels: ToolLabels, call: ToolCall) -> Iterator[Origin]:
    for argument, node in call.args.items():
        sources = labels.sources_for(argument)
        kind = labels.sink_of(argument)
        if sources is None:
            value = node if isinstance(node, str) else ""
            yield Origin(argument, ("args", argument), Letter.FREE, Effect.ALLOW, value, kind=kind or "content")
            continue
        guarded = labels.side_effect in _GUARDED_EFFECTS or kind in _GUARDED_SINKS
        for path, text, is_flag in _values(("args", argument), node, kind):
            sink = _Sink(argument, path, kind, sources, guarded)
            for element in elements(text, kind) if text.strip() or kind == "path" else ():
                yield tracer.judge(sink, element, is_flag=is_flag)


def _values(path: Path, node: Json, kind: str | None) -> Iterator[tuple[Path, str, bool]]:
    """Every value at any depth, dictionary keys and numbers included; True in third place marks a yes-or-no."""
    if isinstance(node, dict):
        for name, item in node.items():
            # A key shaped like a field name is structure; any other may be an address. People are named like fields.
            if kind == "person" or not looks_like_field(name):
                yield (*path, name, KEY), name, False
            yield from _values((*path, name), item, kind)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from _values((*path, index), item, kind)
    elif isinstance(node, bool):
        yield path, str(node).lower(), True
    elif node is not None:
        yield path, node if isinstance(node, str) else repr(node), False


class _Tracer:
    """Finds the evidence for single values in one run."""

    def __init__(self, run: Conversation) -> None:
        self._ledger = run.slot(Ledger, Ledger)
        self._request = self._ledger.request(run)
        self._distrusting = [self._ledger, *_ancestors(run)]

    def judge(self, sink: _Sink, value: str, *, is_flag: bool) -> Origin:
        known = list(self._known(sink, value))
        if known:
            deciding = next((origin for origin in known if origin.effect is Effect.ALLOW), known[0])
            stood = dict.fromkeys((origin.letter, origin.source) for origin in known)
            return dataclasses.replace(deciding, stood=tuple(stood))
        # "true" stands in every longer text: where a yes-or-no came from cannot be told by reading.
        found = None if is_flag else self._untrusted(value)
        if found is not None:
            return _row(sink, Letter.U, Effect.DENY, value, found)
        return _row(sink, Letter.N, Effect.REQUIRE_APPROVAL, value, None)

    def _known(self, sink: _Sink, value: str) -> Iterator[Origin]:
        """What speaks for the value, the user's word first."""
        if self._request.holds(value) or self._names_person(sink, value):
            text, _ = self._request.locate(value)
            effect = _pass_if(USER in sink.sources)
            yield _origin(sink, Letter.P, effect, value, (USER, text))
        for vouched in self._ledger.values(value):
            letter = self._letter(vouched)
            effect = _pass_if(_may_set(sink, letter, vouched.tool))
            yield _row(sink, letter, effect, value, vouched)
            if vouched.created:
                effect = _pass_if(sink.kind == "id" or vouched.tool in sink.sources)
                yield _row(sink, Letter.M, effect, value, vouched)

    def _letter(self, vouched: Value) -> Letter:
        if vouched.record is None:
            return Letter.T
        return Letter.S if vouched.record.chosen_by(self._request) else Letter.s

    def _names_person(self, sink: _Sink, value: str) -> bool:
        """A name counts when most of its words stand in the request, and no other word in untrusted text."""
        if sink.kind != "person":
            return False
        missing = self._request.unnamed_words(value)
        return missing is not None and not any(map(self._untrusted, missing))

    def _untrusted(self, value: str) -> UntrustedText | None:
        return next((found for ledger in self._distrusting if (found := ledger.untrusted(value))), None)


def _ancestors(run: Conversation) -> Iterator[Ledger]:
    """The ledgers of the runs that started this one: what they read may have reached it in any wording."""
    parent = run.parent
    while parent is not None:
        ledger = parent.slot(Ledger, Ledger)
        ledger.request(parent)
        yield ledger
        parent = parent.parent


def _may_set(sink: _Sink, letter: Letter, tool: str) -> bool:
    if tool not in sink.sources:
        return False
    return letter is Letter.T or (letter is Letter.S and not sink.guarded)


def _pass_if(permitted: bool) -> Effect:
    return Effect.ALLOW if permitted else Effect.REQUIRE_APPROVAL


def _row(sink: _Sink, letter: Letter, effect: Effect, value: str, evidence: Value | UntrustedText | None) -> Origin:
    if evidence is None:
        return _origin(sink, letter, effect, value, ("", ""))
    return _origin(sink, letter, effect, value, (evidence.source, evidence.text))


def _origin(sink: _Sink, letter: Letter, effect: Effect, value: str, evidence: tuple[str, str]) -> Origin:
    source, text = evidence
    span = find(value, text) if text else None
    reason = "" if effect is Effect.ALLOW else "origin-untrusted" if letter is Letter.U else "origin-unknown"
    return Origin(
        sink.argument,
        sink.path,
        letter,
        effect,
        value,
        source,
        span,
        _excerpt(text, span),
        kind=sink.kind,
        stood=((letter, source),),
        reason=reason,
    )


def _excerpt(text: str, span: Span | None) -> str:
    if span is None:
        return text[: 2 * EXCERPT_CHARS]
    return text[max(0, span.start - EXCERPT_CHARS) : span.end + EXCERPT_CHARS]
