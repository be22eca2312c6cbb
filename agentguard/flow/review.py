"""One call, reviewed by every rule of information flow. Each doubt says what speaks against it, and how strongly.

Beside the origin of each argument: did the user ask for this action at all, and for one more of it; does a short text
copy what strangers wrote; does a date or an amount differ from the user's; does something confidential leave.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass

from agentguard.decision import Effect, Letter, Origin
from agentguard.event import Leaf, Path, ToolCall
from agentguard.flow.confidential import Carried, cleared
from agentguard.flow.contradiction import AMOUNT, DATE
from agentguard.flow.forms import looks_like_field
from agentguard.flow.intent import Intent
from agentguard.flow.labels import USER, ToolLabels
from agentguard.flow.origin import Tracer
from agentguard.flow.secrets import Secrets
from agentguard.flow.vocabulary import split_name

__all__ = ["Doubt", "Review", "shown"]

# Arguments that hold a title, by the words of their name.
_TITLES = frozenset({
    "title", "subject", "name", "summary", "heading", "headline", "caption", "topic", "label", "betreff",
    "titel", "objet", "sujet", "titre", "asunto", "titulo",
})  # fmt: skip
# A title: at least so many words, or it is a common phrase; at most so many, or it is a text of its own.
MIN_TITLE_WORDS = 3
MAX_TITLE_WORDS = 15
MAX_TITLE_CHARS = 150

# Sinks that say to whom something goes.
_RECEIVERS = frozenset({"recipient", "person", "channel", "account", "url"})
_FIGURES = (AMOUNT, DATE)


@dataclass(frozen=True, slots=True)
class Doubt:
    """One reason not to let a call pass. ``message`` is safe for a model: it never holds a value."""

    effect: Effect
    reason: str
    message: str
    path: Path = ()
    rule: str = ""


class Review:
    """The rules, applied to one call of one run.

    Args:
        call: the call as it would run.
        labels: its tool's row.
        tracer: the run's evidence.
        intent: what the user asked for.
        confidential: what the run has read that must not leave; None when nothing is classified.
    """

    def __init__(
        self,
        call: ToolCall,
        labels: ToolLabels,
        *,
        tracer: Tracer,
        intent: Intent,
        confidential: Secrets | None,
    ) -> None:
        self._call = call
        self._labels = labels
        self._tracer = tracer
        self._intent = intent
        self._confidential = confidential
        self.table: tuple[Origin, ...] = tracer.trace(labels, call)
        self._extra: list[Origin] = []

    def doubts(self) -> list[Doubt]:
        """Everything that speaks against the call, the plainest first."""
        found = [
            *self._unasked(),
            *(self._doubt(row) for row in self.table if row.effect is not Effect.ALLOW),
            *self._of_texts(),
            *self._leaks(),
        ]
        self.table = (*self.table, *self._extra)
        return found

    def _unasked(self) -> Iterator[Doubt]:
        labels, intent = self._labels, self._intent
        if labels.side_effect == "read" or not labels.intent:
            return
        rule = f"tools.{self._call.tool}.intent"
        if intent.asks_for(self._call.tool, labels):
            if intent.asks_first:
                message = "The user wants to be asked before this action."
                yield Doubt(Effect.REQUIRE_APPROVAL, "intent-missing", message, rule=rule)
            return
        # "Yeet the plan over to Ann": with every target the user's own, what the verb means may be asked.
        strange = intent.unclear and all(row.effect is Effect.ALLOW for row in self.table)
        spoken_of = intent.delegated or strange or intent.mentions(self._call.tool, labels)
        deny = not spoken_of and any(ledger.read_untrusted for ledger in self._tracer.ledgers)
        yield Doubt(
            Effect.DENY if deny else Effect.REQUIRE_APPROVAL,
            "intent-missing",
            f"The user's request does not ask for this action ({labels.side_effect}).",
            rule=rule,
        )

    def _of_texts(self) -> Iterator[Doubt]:
        if not self._labels.acts:
            return
        free = {row.argument for row in self.table if row.letter is Letter.FREE}
        if self._tracer.request.figures.empty and not any(map(_is_title, free)):
            return
        for leaf in self._call.leaves():
            argument = str(leaf.path[1])
            if leaf.kind != "text" and argument in free:
                continue
            if argument in free and _is_title(argument):
                yield from self._copied(leaf, argument)
            yield from self._contradicted(leaf, argument)

    def _copied(self, leaf: Leaf, argument: str) -> Iterator[Doubt]:
        """A title taken word for word from untrusted text: it may be what a stranger wants to be read."""
        text = leaf.text.strip()
        count = len(text.split())
        if not MIN_TITLE_WORDS <= count <= MAX_TITLE_WORDS or len(text) > MAX_TITLE_CHARS or "\n" in text:
            return
        if self._tracer.request.says(text):
            return
        row = self._tracer.copied(argument, leaf.path, text)
        if row is not None:
            yield self._add(row, "is copied word for word from untrusted text")

    def _contradicted(self, leaf: Leaf, argument: str) -> Iterator[Doubt]:
        """The user named one figure, the argument holds another one that strangers wrote."""
        if len(leaf.text) > MAX_TITLE_CHARS or not any(map(str.isdigit, leaf.text)):
            return
        kind = self._labels.sink_of(argument)
        for figure in _FIGURES if kind is None else [kind] if kind in _FIGURES else []:
            row = self._tracer.contradicted(argument, leaf.path, leaf.text, figure)
            if row is not None:
                yield self._add(row, f"holds another {figure} than the request, one that untrusted text names")

    def _leaks(self) -> Iterator[Doubt]:
        """Confidential values on their way out."""
        confidential, labels = self._confidential, self._labels
        if confidential is None or not (labels.side_effect == "send" or labels.egress):
            return
        # A target inside a body is what is sent, not whom it is sent to.
        receivers = [row.value for row in self.table if row.kind in _RECEIVERS and labels.sources_for(row.argument)]
        if confidential.full and not labels.clears:
            message = "More confidential data was read than can be told apart, so a person must confirm this call."
            yield Doubt(Effect.REQUIRE_APPROVAL, "confidential", message)
        for leaf in self._call.leaves():
            for carried in confidential.carried(leaf.text, lambda value: self._tracer.public(value, receivers)):
                if not cleared(labels.clears, carried.kind, receivers):
                    yield self._leak(leaf, carried)

    def _leak(self, leaf: Leaf, carried: Carried) -> Doubt:
        argument = str(leaf.path[1])
        row = self._tracer.confidential(argument, leaf.path, carried.value)
        self._extra.append(dataclasses.replace(row, effect=Effect.DENY, reason="confidential"))
        message = f"Argument '{shown(argument)}' carries confidential data ({carried.kind}, read by {carried.source})"
        return Doubt(
            Effect.DENY,
            "confidential",
            f"{message} that the policy does not clear for this tool and recipient.",
            leaf.path,
            f"tools.{self._call.tool}.clears",
        )

    def _add(self, row: Origin, said: str) -> Doubt:
        self._extra.append(row)
        where = f" ({row.source})" if row.source else ""
        message = f"Argument '{shown(row.argument)}' {said}{where}."
        return Doubt(row.effect, row.reason, message, row.path, self._rule(row.argument))

    def _doubt(self, row: Origin) -> Doubt:
        return Doubt(row.effect, row.reason, self._sentence(row), row.path, self._rule(row.argument))

    def _rule(self, argument: str) -> str:
        return f"tools.{self._call.tool}.args.{shown(argument)}"

    def _sentence(self, row: Origin) -> str:
        """Names argument, origin and who may set it; never the value, which may be an attacker's words."""
        where = f" ({row.source})" if row.source else ""
        if row.reason.startswith("embedded"):
            return f"Argument '{shown(row.argument)}' holds a link, address or number that {_stands(row)}{where}."
        sources = self._labels.sources_for(row.argument) or ()
        entitled = ", ".join("the user" if source == USER else source for source in sources) or "nobody"
        if row.argument not in self._labels.args:
            # Most often a parameter nobody thought of, or its default: say what is missing, not only what was refused.
            entitled += ", since it has no row in the policy (content: true or one_of: [...] would label it)"
        return f"Argument '{shown(row.argument)}': its value {_stands(row)}{where}; it may be set by {entitled}."


@functools.lru_cache(maxsize=1_000)
def _is_title(argument: str) -> bool:
    return not _TITLES.isdisjoint(split_name(argument))


def shown(argument: str) -> str:
    """An argument's name as a message may show it: a model chooses names too."""
    return argument if looks_like_field(argument) else "?"


def _stands(row: Origin) -> str:
    if row.letter is Letter.N:
        return "was found nowhere"
    if row.letter is Letter.P and row.source == USER:
        return "stands in the request only as one that must not be used, or that the policy does not let the user set"
    if row.letter in (Letter.U, Letter.P):
        return row.meaning
    return f"is {'a ' if row.letter in (Letter.S, Letter.s) else ''}{row.meaning}"
