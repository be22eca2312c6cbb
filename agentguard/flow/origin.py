"""Whose value is this? One row per value of a call's arguments, with the evidence and the verdict.

===  =========================================================  ============
P    stands in the user's request                               pass
T    returned by a tool that the policy trusts                  pass
M    made by a call of our own                                  pass
S    field of a record that the request points at               pass or ask
s    field of some other record                                 ask
N    found nowhere: perhaps the model transformed it            ask
U    stands only in untrusted text                              deny
===  =========================================================  ============

A pass needs the policy's ``sources`` too: without ``user`` P asks, without the tool's name T and S ask.
M passes for sinks of kind ``id``, or when the tool is listed. S of an ``inbound`` tool asks where money, access or
secrets are at stake, unless the request names what only that record holds: a sender chooses all other fields. Who is
written to it may say only so, or when the request asks for an answer.
An amount to a payee whom the user named passes from a record of the sources that is about the payee or something else
that the request names, and when it follows from such amounts by arithmetic.
A trusted tool that was given words of strangers alone (to decode, to translate) vouches for nothing: s.
U asks where the user told the agent to do what that text says. What asks is denied where nobody can be asked.

Targets inside a body of text (links, addresses, account numbers) are judged too: any field of a record may be written
there, what stands only in untrusted text may not.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from agentguard.conversation import Conversation
from agentguard.decision import Effect, Letter, Origin, Span
from agentguard.event import Json, Path, ToolCall
from agentguard.flow import arguments
from agentguard.flow.contradiction import AMOUNT, DATE, Figures
from agentguard.flow.document import Record, Value, selectors
from agentguard.flow.embedded import EXCESS, Embedded, embedded
from agentguard.flow.forms import elements, is_value, key, probes
from agentguard.flow.labels import USER, ToolLabels
from agentguard.flow.ledger import Evidence, Ledger
from agentguard.flow.request import Request
from agentguard.flow.target import names_target

__all__ = ["Tracer", "ledger_of", "lineage"]

# Values of one call that are traced. Each is looked for in all that was read, so their number must be bounded.
MAX_VALUES = 500
# Targets inside the bodies of one call that are traced.
MAX_TARGETS = 200

# Texts and words of the arguments of a trusted call that are looked for, and how long one must be to say much.
MAX_PIECES = 100
MIN_PIECE = 12

# How much of the evidence's sentence a person is shown, in characters on each side of the value.
EXCERPT_CHARS = 80
_SENTENCE_ENDS = (". ", "! ", "? ", "\n", "。")

# Who sent a mail or shared a file is chosen by the sender, so a record alone never settles these.
_GUARDED_EFFECTS = frozenset({"money", "access"})
_GUARDED_SINKS = frozenset({"secret"})
# What an outsider must not choose by making his record the one that a search finds: who is written to or let in.
# An argument of no stated kind may be that.
_WHO = frozenset({"recipient", "person", "channel", "account", "url", None})
# What may be called by a plain word, which may stand in the request for something else.
_NAMED = frozenset({"recipient", "person", "channel", "account"})
# Sinks that say who gets an amount.
_PAYEES = frozenset({"account", "recipient", "person"})
_GROUPED_SINKS = frozenset({"account", "id", "phone"})

# What a target inside a body would be as an argument.
_SINK_OF = {"link": "url", "email": "recipient", "phone": "phone"}

# A body without any of these holds no target: no scheme, host, address, number, bracket or written-out dot, and
# nothing that a renderer hides or decodes.
_TARGET_MARK = re.compile(r"[@:/\\&\[({<\d]|\.\w|dot|[^\t\n\x20-\x7e]", re.IGNORECASE)

Delegates = Callable[[str], bool]


class Words(Protocol):
    """How the user's request uses the values in it."""

    def used(self, tool: str, labels: ToolLabels) -> tuple[str, ...] | None:
        """Its words without what a tool must not use as a target; None when it may use everything."""

    @property
    def forbidden(self) -> tuple[str, ...]:
        """What the user says must not be used."""


@dataclass(frozen=True, slots=True)
class _Sink:
    """What is being set, and by whom it may be. ``sources`` None: a target inside a body, which any record may set."""

    argument: str
    path: Path
    kind: str | None
    sources: tuple[str, ...] | None
    guarded: bool


class Tracer:
    """Finds the evidence for the values of one run.

    Args:
        run: the conversation that asks.
        bound: characters that its memory holds.
        delegates: says of a source (``tool:<name>``) whether the user told the agent to do what it says.
        words: how the request uses the values in it.
    """

    def __init__(self, run: Conversation, bound: int, delegates: Delegates, words: Words | None = None) -> None:
        self._levels = [_Level(each, bound) for each in lineage(run)]
        # The outermost run with a request holds the user's own words; those further in were written by its agent.
        asking = [depth for depth, level in enumerate(self._levels) if level.request.texts]
        self._asker = asking[-1] if asking else 0
        self._delegates = delegates
        self._words = words
        self._used: Request | None = None
        self._forbidden: Request | None = None

    @property
    def ledgers(self) -> list[Ledger]:
        """The memories of the run and of those that started it, the innermost first."""
        return [level.ledger for level in self._levels]

    @property
    def asking(self) -> Conversation:
        """The run whose request holds the user's own words."""
        return self._levels[self._asker].run

    @property
    def request(self) -> Request:
        """The user's own words."""
        return self._levels[self._asker].request

    def trace(self, labels: ToolLabels, call: ToolCall) -> tuple[Origin, ...]:
        """The origin of every value among the arguments; past the bounds the rest is one denied row."""
        self._read_words(call.tool, labels)
        rows = list(islice(self._rows(labels, call), MAX_VALUES + 1))
        if len(rows) > MAX_VALUES:
            rows[-1] = dataclasses.replace(rows[-1], letter=Letter.N, effect=Effect.DENY, reason="origin-unknown")
            return tuple(rows)
        rows.extend(_empty(labels, name) for name in arguments.unchosen(labels, call, {row.argument for row in rows}))
        payees = [row for row in rows if row.kind in _PAYEES]
        if not payees or any(row.letter is not Letter.P or row.effect is not Effect.ALLOW for row in payees):
            return tuple(rows)
        names = {row.value for row in payees}
        return tuple(self._amount(labels, row, names) if row.kind == AMOUNT else row for row in rows)

    def _read_words(self, tool: str, labels: ToolLabels) -> None:
        used = self._words.used(tool, labels) if self._words is not None else None
        self._used = self._forbidden = None
        if used is not None and self._words is not None:
            self._used = Request(used, ())
            self._forbidden = Request(self._words.forbidden, ()) if self._words.forbidden else None

    def _amount(self, labels: ToolLabels, row: Origin, payees: Collection[str]) -> Origin:
        """To payees whom the user named: an amount of a record about them, or one worked out as asked.

        Who would have to be kept from choosing the amount is the payee, and he was chosen by the user. A record counts
        when it holds a payee or something else that the request names: else any row of any list would do.
        """
        if row.effect is not Effect.REQUIRE_APPROVAL or row.letter not in (Letter.S, Letter.s, Letter.N):
            return row
        sources = [f"tool:{source}" for source in labels.sources_for(row.argument) or ()]
        level, request = self._levels[0], self.request
        if row.source in sources:
            known = level.ledger.look_up(row.value).values
            if any(value.source in sources and _concerns(value, request, payees) for value in known):
                return dataclasses.replace(row, effect=Effect.ALLOW, reason="")
        if len(self._levels) > 1:
            return row
        figures = (value.text for value in level.ledger.figures(sources) if _concerns(value, request, payees))
        formula = request.calculation.explains(row.value, figures)
        if formula is None:
            return row
        settled = dataclasses.replace(row, letter=Letter.S, effect=Effect.ALLOW, reason="", source=USER)
        return dataclasses.replace(settled, excerpt=f"worked out: {formula}", stood=((Letter.S, USER),))

    def targets(self, argument: str, path: Path, text: str, *, guarded: bool = False) -> Iterator[Origin]:
        """The origin of every link, address and number inside a body of text."""
        if not _TARGET_MARK.search(text):
            return
        for target in embedded(text, MAX_TARGETS):
            yield self._target(argument, path, target, guarded=guarded)

    def copied(self, argument: str, path: Path, text: str) -> Origin | None:
        """A question about a text that stands word for word in untrusted text; None when it does not."""
        found = self.found_in_untrusted(text)
        if found is None:
            return None
        row = _origin(_Sink(argument, path, "content", None, False), Letter.U, Effect.REQUIRE_APPROVAL, text, found)
        return dataclasses.replace(row, reason="contradiction")

    def contradicted(self, argument: str, path: Path, text: str, kind: str) -> Origin | None:
        """A question about a date or amount that is not the request's but some untrusted text's; else None."""
        if not self.request.figures.contradicted_by(text, kind):
            return None
        named = [word for word in text.split() if any(map(str.isdigit, word))]
        found = next((found for value in (text, *named) if (found := self.found_in_untrusted(value))), None)
        if found is None:
            return None
        row = _origin(_Sink(argument, path, kind, None, False), Letter.U, Effect.REQUIRE_APPROVAL, text, found)
        return dataclasses.replace(row, reason="contradiction")

    def public(self, value: str, receivers: Sequence[str]) -> bool:
        """Whether a confidential value may be written to these receivers: the user said it, or it is their own."""
        if self.request.holds(value) or key(value) in map(key, receivers):
            return True
        records = [self._records(receiver) for receiver in receivers]
        return bool(records) and all(not own.isdisjoint(self._records(value)) for own in records)

    def confidential(self, argument: str, path: Path, value: str) -> Origin:
        """The row of a confidential value inside an argument."""
        return self._judge(_Sink(argument, path, "content", None, False), value)

    def _records(self, value: str) -> set[Record]:
        values = (vouched for level in self._levels for vouched in level.ledger.look_up(value, grouped=True).values)
        return {vouched.record for vouched in values if vouched.record is not None}

    def derives(self, args: Json) -> bool:
        """Whether a call was given a word or text that strangers wrote, and nobody else.

        What such a call answers may be made of it: decoded, translated, completed.
        """
        return any(map(self._is_strange, islice(_pieces(args), MAX_PIECES)))

    def _is_strange(self, piece: str) -> bool:
        if self.request.holds(piece) or not probes(piece)[0]:
            return False
        found = [level.ledger.look_up(piece) for level in self._levels]
        return any(each.untrusted for each in found) and not any(each.values for each in found)

    @property
    def suspicious(self) -> bool:
        """Whether text that anybody may have written was read in this run or one above it."""
        return any(level.ledger.read_untrusted for level in self._levels)

    def quoted(self, text: str) -> bool:
        """Whether ``text`` as a whole, not only the host of it, was read somewhere."""
        return any(level.ledger.quotes(text) for level in self._levels)

    def found_in_untrusted(self, text: str) -> Evidence | None:
        """Untrusted text of this run or one above it in which ``text`` stands."""
        return next((found for level in self._levels if (found := level.ledger.look_up(text).untrusted)), None)

    def _rows(self, labels: ToolLabels, call: ToolCall) -> Iterator[Origin]:
        for argument, node in call.args.items():
            sources = labels.sources_for(argument)
            kind = labels.sink_of(argument)
            path: Path = ("args", argument)
            if sources is None:
                yield Origin(
                    argument,
                    path,
                    Letter.FREE,
                    Effect.ALLOW,
                    node if isinstance(node, str) else "",
                    kind=kind or "content",
                )
                if labels.acts and not labels.lists(argument):
                    for place, text, _ in arguments.values(path, node, kind):
                        yield from self.targets(argument, place, text)
                continue
            guarded = labels.side_effect in _GUARDED_EFFECTS or kind in _GUARDED_SINKS
            for place, text, is_flag in arguments.values(path, node, kind):
                sink = _Sink(argument, place, kind, sources, guarded)
                for element in elements(text, kind) if text.strip() or kind == "path" else ():
                    yield self._judge(sink, element, is_flag=is_flag)

    def _judge(self, sink: _Sink, value: str, *, is_flag: bool = False) -> Origin:
        known, untrusted = self._trace(sink, value)
        if self._is_forbidden(sink, value) and (known or untrusted is None):
            text, _ = self.request.locate(value)
            return _origin(sink, Letter.P, Effect.REQUIRE_APPROVAL, value, Evidence(USER, text))
        if known:
            if len(known) == 1:
                return known[0]
            deciding = next((row for row in known if row.effect is Effect.ALLOW), known[0])
            stood = dict.fromkeys((row.letter, row.source) for row in known)
            return dataclasses.replace(deciding, stood=tuple(stood))
        if untrusted is None and sink.kind == DATE:
            untrusted = self._foreign_hour(value)
        # "true" stands in every longer text: where a yes-or-no came from cannot be told by reading.
        if untrusted is not None and not is_flag:
            # A short number stands in any long text: as an id it was perhaps transformed.
            vague = sink.kind == "id" and not probes(value)[0]
            asks = vague or self._delegates(untrusted.source)
            effect = Effect.REQUIRE_APPROVAL if asks else Effect.DENY
            return _origin(sink, Letter.U, effect, value, untrusted)
        return _origin(sink, Letter.N, Effect.REQUIRE_APPROVAL, value, None)

    def _is_forbidden(self, sink: _Sink, value: str) -> bool:
        """Whether the user only says that the value must not be used."""
        if self._forbidden is None or self._used is None or sink.kind in (AMOUNT, DATE):
            return False
        forbidden, used = ((_holds(sink, words, value)) for words in (self._forbidden, self._used))
        return forbidden and not used

    def _target(self, argument: str, path: Path, target: Embedded, *, guarded: bool) -> Origin:
        kind = _SINK_OF.get(target.kind, "account")
        sink = _Sink(argument, path, kind, None, guarded)
        if target.kind == EXCESS:
            row = _origin(sink, Letter.N, Effect.DENY, "", None)
        else:
            row = self._judge(sink, target.value)
        if not row.reason:
            return row
        reason = "embedded-untrusted" if row.letter is Letter.U else "embedded-unknown"
        return dataclasses.replace(row, reason=reason)

    def _trace(self, sink: _Sink, value: str) -> tuple[list[Origin], Evidence | None]:
        """What speaks for the value, the user's word first; and untrusted text that holds it.

        The words of a sub-agent's request are the parent's: there they count for what they are to the parent.
        """
        known: list[Origin] = []
        untrusted: Evidence | None = None
        asked = True
        for depth, level in enumerate(self._levels):
            found = level.ledger.look_up(value, grouped=_is_grouped(sink, value))
            untrusted = untrusted or found.untrusted
            if depth > self._asker:
                # A run above the request that asked for nothing: what it read must not have become a request.
                asked = asked and found.untrusted is None and not level.ledger.read_untrusted
                said = asked
            else:
                said = asked and self._says(level, sink, value)
            if said and depth == self._asker and not self._uses(sink, value):
                said = False
            if said and depth == len(self._levels) - 1:
                text, _ = self.request.locate(value)
                known.insert(0, _origin(sink, Letter.P, _pass_if(_user_may(sink)), value, Evidence(USER, text)))
            if asked:
                known.extend(self._vouched(level, sink, value, found.values))
            # What a run above was given counts here only if it was handed down in the request.
            asked = said
        return known, untrusted

    def _vouched(self, level: _Level, sink: _Sink, value: str, values: tuple[Value, ...]) -> Iterator[Origin]:
        for vouched in values:
            if vouched.identity and sink.kind in (AMOUNT, DATE):
                # Some row's number 5 says nothing of an amount of 5.
                continue
            letter = level.letter(vouched)
            evidence = Evidence(vouched.source, vouched.text)
            yield _origin(sink, letter, _pass_if(level.may_set(sink, letter, vouched)), value, evidence)
            if vouched.created:
                effect = _pass_if(sink.sources is None or sink.kind == "id" or vouched.tool in sink.sources)
                yield _origin(sink, Letter.M, effect, value, evidence)

    def _says(self, level: _Level, sink: _Sink, value: str) -> bool:
        """Whether the request says ``value``, in the notations that its kind is written in."""
        request = level.request
        if sink.kind == "id" and request.counts(value):
            return False
        if sink.kind == AMOUNT and request.numbers(value):
            return False
        if sink.kind == "command" and not request.spells(value):
            return False
        if sink.kind in _NAMED and value.isalpha() and not names_target(request.texts, value):
            return False
        if _holds(sink, request, value):
            return True
        if sink.kind in (AMOUNT, DATE):
            return self._names_figure(level, sink.kind, value)
        return sink.kind == "person" and self._names_person(level, value)

    def _uses(self, sink: _Sink, value: str) -> bool:
        """Whether the request says the value as one to be used, not as one that is forbidden or others' wish."""
        if self._used is None or sink.kind in (AMOUNT, DATE, "command"):
            return True
        if _holds(sink, self._used, value):
            return True
        return sink.kind == "person" and self._used.unnamed_words(value) is not None

    def _names_figure(self, level: _Level, kind: str, value: str) -> bool:
        """In whatever notation; a minus sign, and an hour that strangers wrote, must be the user's own."""
        figures = level.request.figures
        if not figures.holds(value, kind) or figures.contradicted_by(value, kind):
            return False
        if kind == AMOUNT:
            return not value.lstrip().startswith("-")
        return bool(figures.times) or self._foreign_hour(value) is None

    def _foreign_hour(self, value: str) -> Evidence | None:
        """Untrusted text that names the time of day of a date."""
        hours = (f"{hour}:{minute:02}" for hour, minute in Figures([value]).times if (hour, minute) != (0, 0))
        return next((found for hour in hours if (found := self.found_in_untrusted(hour))), None)

    def _names_person(self, level: _Level, value: str) -> bool:
        """A name counts when most of its words stand in the request, and no other word in untrusted text."""
        missing = level.request.unnamed_words(value)
        if missing is None or (missing and any(each.ledger.forgot for each in self._levels)):
            return False
        return not any(map(self.found_in_untrusted, missing))


class _Level:
    """One run of the lineage: what it was asked, and what it read."""

    __slots__ = ("ledger", "request", "run")

    def __init__(self, run: Conversation, bound: int) -> None:
        self.run = run
        self.ledger = run.slot(Ledger, lambda: Ledger(bound))
        self.request: Request = self.ledger.request(run)

    def letter(self, vouched: Value) -> Letter:
        if vouched.record is None:
            return Letter.s if vouched.derived else Letter.T
        pointed = vouched.record.chosen_by(self.request) or vouched.record.calls(self.request, vouched.text)
        return Letter.S if pointed else Letter.s

    def may_set(self, sink: _Sink, letter: Letter, vouched: Value) -> bool:
        if sink.sources is None:
            return letter is not Letter.s or not (vouched.inbound or vouched.derived)
        if vouched.tool not in sink.sources or letter is Letter.s:
            return False
        if letter is Letter.T or vouched.record is None or not vouched.inbound:
            return True
        record, request = vouched.record, self.request
        if sink.guarded:
            return record.named_by(request)
        if sink.kind not in _WHO or request.replies:
            return True
        return record.named_by(request) or record.calls(request, vouched.text) or record.filed_under(request)


def lineage(run: Conversation) -> list[Conversation]:
    """The run and those that started it, the innermost first."""
    found = [run]
    while (parent := found[-1].parent) is not None:
        found.append(parent)
    return found


def ledger_of(run: Conversation, bound: int) -> Ledger:
    """The memory of ``run``, with its request read."""
    ledger = run.slot(Ledger, lambda: Ledger(bound))
    ledger.request(run)
    return ledger


def _empty(labels: ToolLabels, name: str) -> Origin:
    sink = _Sink(name, ("args", name), labels.sink_of(name), labels.sources_for(name), True)
    return _origin(sink, Letter.N, Effect.REQUIRE_APPROVAL, "", None)


def _is_grouped(sink: _Sink, value: str) -> bool:
    """Whether the value may be a number that people write in groups: a telephone number receives messages too."""
    return sink.kind in _GROUPED_SINKS or (sink.kind == "recipient" and "@" not in value)


def _pieces(args: Json) -> Iterator[str]:
    """What strangers' words are looked for in: each text of the arguments; of a long one also its lines and words."""
    for text in selectors(args):
        yield text
        if not is_value(text):
            yield from (
                piece for line in text.splitlines() for piece in (line, *line.split()) if len(piece) >= MIN_PIECE
            )


def _concerns(value: Value, request: Request, payees: Collection[str]) -> bool:
    """Whether an amount stands in a trusted result, or in a record about a payee or what the request names."""
    record = value.record
    if value.identity or record is None:
        return not (value.identity or value.derived)
    return record.concerns(payees) or record.named_among(request) or record.told_of(request, payees)


def _holds(sink: _Sink, request: Request, value: str) -> bool:
    return request.holds(value) or (_is_grouped(sink, value) and request.holds_grouped(value))


def _user_may(sink: _Sink) -> bool:
    return sink.sources is None or USER in sink.sources


def _pass_if(permitted: bool) -> Effect:
    return Effect.ALLOW if permitted else Effect.REQUIRE_APPROVAL


def _origin(sink: _Sink, letter: Letter, effect: Effect, value: str, evidence: Evidence | None) -> Origin:
    source, text, span = (evidence.source, evidence.text, evidence.span(value)) if evidence else ("", "", None)
    reason = "" if effect is Effect.ALLOW else "origin-untrusted" if letter is Letter.U else "origin-unknown"
    return Origin(
        sink.argument,
        sink.path,
        letter,
        effect,
        value,
        source,
        span,
        _sentence(text, span),
        kind=sink.kind,
        stood=((letter, source),),
        reason=reason,
    )


def _sentence(text: str, span: Span | None) -> str:
    """The sentence in which the value stands, at most ``EXCERPT_CHARS`` characters to each side."""
    if span is None:
        return text[: 2 * EXCERPT_CHARS]
    start, end = max(0, span.start - EXCERPT_CHARS), span.end + EXCERPT_CHARS
    before, after = text[start : span.start], text[span.end : end]
    first = max(before.rfind(mark) + len(mark) if mark in before else 0 for mark in _SENTENCE_ENDS)
    last = min((after.find(mark) + 1 for mark in _SENTENCE_ENDS if mark in after), default=len(after))
    return before[first:] + text[span.start : span.end] + after[:last]
