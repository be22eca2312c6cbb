"""The ``Flow`` stage: judges calls by the origin of their arguments, and reads everything else into the ledger.

The rules hold from the first call of a run on: there is no gate that waits for something suspicious.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping, Sequence

from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Origin, Verdict
from agentguard.event import AgentMessage, Event, Label, Message, ModelInput, ModelOutput, ToolCall, ToolResult
from agentguard.flow.answer import answer_doubts
from agentguard.flow.confidential import Classify
from agentguard.flow.intent import Intent
from agentguard.flow.labels import ToolLabels
from agentguard.flow.ledger import MEMORY, Ledger
from agentguard.flow.origin import Tracer, ledger_of, lineage
from agentguard.flow.review import Doubt, Review
from agentguard.flow.secrets import Secrets
from agentguard.flow.tally import Tally
from agentguard.flow.vocabulary import Vocabulary

__all__ = ["Flow"]

# Which doubt names the refusal when several are equally strong: the one a reader can do most about.
_ORDER = (
    "origin-untrusted",
    "intent-missing",
    "embedded-untrusted",
    "origin-unknown",
    "confidential",
    "contradiction",
    "embedded-unknown",
    "repeated",
)


class Flow:
    """Only somebody entitled to it may choose where an action goes, and that it happens at all.

    Args:
        labels: the policy's rows by tool name. A tool without a row is denied, and its results are untrusted.
        vocabulary: the words in which requests ask for actions; the built-in ones by default.
        memory: characters of results held per run.
        classify: finds confidential values in a text; without it nothing counts as confidential.
        answers: whether links and images in what the model says are judged.
        revealed: an event with the values that pseudonyms in it stand for. Only what is remembered is read so: an
            argument that is not restored stays a pseudonym, which nobody entitled has set.
    """

    name = "flow"
    blocking = False

    def __init__(
        self,
        labels: Mapping[str, ToolLabels],
        *,
        vocabulary: Vocabulary | None = None,
        memory: int = MEMORY,
        classify: Classify | None = None,
        answers: bool = True,
        revealed: Callable[[Event, Conversation], Event] = lambda event, run: event,
    ) -> None:
        self._labels = dict(labels)
        self._vocabulary = vocabulary or Vocabulary()
        self._memory = memory
        self._classify = classify
        self._answers = answers
        self._revealed = revealed

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Judge a call or an answer; remember who wrote the texts of every other event."""
        run.explained_by(self.origins)
        for author, text in run.take_withheld():
            ledger_of(run, self._memory).distrust(author, text)
        self._keep_concealed(run)
        if isinstance(event, ToolCall):
            return self._judge(event, run)
        if isinstance(event, ModelOutput):
            return self._judge_answer(event, run)
        ledger = ledger_of(run, self._memory)
        event = self._revealed(event, run)
        if isinstance(event, ToolResult):
            labels = self._labels.get(event.tool)
            trusted = labels is not None and labels.output is Label.TRUSTED and bool(event.args)
            ledger.take(event, labels, derived=trusted and self._tracer(run)[0].derives(event.args))
            _tally(run).settle(event)
        elif isinstance(event, ModelInput):
            self._read_history(event, ledger)
        elif isinstance(event, AgentMessage):
            self._read_message(event, ledger)
        return ALLOW

    def _keep_concealed(self, run: Conversation) -> None:
        """What was redacted from a result is confidential still, should a model come by it elsewhere."""
        for author, kind, value in run.take_concealed():
            labels = self._labels.get(author.partition(":")[2])
            if self._classify is not None and labels is not None and labels.output is not Label.UNTRUSTED:
                _root(run).slot(Secrets, Secrets).keep(self._classify, author, kind, value)

    def origins(self, run: Conversation, call: ToolCall) -> tuple[Origin, ...]:
        """The origin table of a call, for people: it holds the values. Empty when the tool has no row."""
        labels = self._labels.get(call.tool)
        if labels is None:
            return ()
        review = self._review(call, labels, run, *self._tracer(run))
        review.doubts()
        return review.table

    def _judge(self, call: ToolCall, run: Conversation) -> Verdict:
        labels = self._labels.get(call.tool)
        if labels is None:
            return Verdict(
                Effect.DENY,
                (Finding("flow.tool", "tool-unlabelled", message="the policy does not describe this tool"),),
                reason="tool-unlabelled",
                message="The policy does not describe this tool, so it cannot be used.",
            )
        tracer, words = self._tracer(run)
        review = self._review(call, labels, run, tracer, words)
        doubts = review.doubts() or list(self._repeated(call, labels, run, words))
        if doubts:
            verdict = _verdict(doubts, review.table)
            if verdict.effect is Effect.REQUIRE_APPROVAL:
                _tally(run).asked(call)
            return verdict
        if labels.approval_when_untrusted and any(ledger.read_untrusted for ledger in tracer.ledgers):
            return Verdict(
                Effect.REQUIRE_APPROVAL,
                (Finding("flow.approval", "approval-when-untrusted", message="untrusted text was read in this run"),),
                reason="approval-when-untrusted",
                message="Untrusted text was read in this run, so a person must confirm this call.",
                rules=(f"tools.{call.tool}.approval",),
                origins=review.table,
            )
        return Verdict(origins=review.table)

    def _judge_answer(self, event: ModelOutput, run: Conversation) -> Verdict:
        if not self._answers:
            return ALLOW
        tracer, _ = self._tracer(run)
        doubts, table = answer_doubts(event, tracer, self._confidential(run, tracer))
        return _verdict(doubts, tuple(table)) if doubts else ALLOW

    def shows(self, text: str, run: Conversation) -> bool:
        """Whether ``text``, a part of an answer that no link reaches out of, may be read before the rest was made."""
        answer = ModelOutput(Message("assistant", text))
        return self._judge_answer(answer, run).effect is Effect.ALLOW

    def _review(self, call: ToolCall, labels: ToolLabels, run: Conversation, tracer: Tracer, words: _Words) -> Review:
        leaves = labels.side_effect == "send" or labels.egress
        return Review(
            call,
            labels,
            tracer=tracer,
            intent=words.intent,
            confidential=self._confidential(run, tracer) if leaves else None,
        )

    def _repeated(self, call: ToolCall, labels: ToolLabels, run: Conversation, words: _Words) -> Sequence[Doubt]:
        """One call more than the request asked for. A call that passes counts from here on."""
        if labels.side_effect == "read":
            return ()
        count = words.intent.count(call.tool, labels) if labels.repeat_asks else None
        if _tally(run).take(call, count if count is None else max(1, count)):
            return ()
        message = f"The request asks for {count or 1} call(s) of this tool, and this is one more."
        return [Doubt(Effect.REQUIRE_APPROVAL, "repeated", message, rule=f"tools.{call.tool}.repeat")]

    def _tracer(self, run: Conversation) -> tuple[Tracer, _Words]:
        def delegates(source: str) -> bool:
            kind, _, name = source.partition(":")
            labels = self._labels.get(name)
            if kind != "tool" or labels is None:
                return bool(words.intent.delegated)
            return words.intent.delegates(name, labels)

        words = _Words(lambda: self._intent(tracer))
        tracer = Tracer(run, self._memory, delegates, words)
        return tracer, words

    def _intent(self, tracer: Tracer) -> Intent:
        """What the user asked for: the outermost request, since those further in were written by an agent."""
        return tracer.asking.slot(_Intents, _Intents).of(tracer.request.texts, self._vocabulary)

    def _confidential(self, run: Conversation, tracer: Tracer) -> Secrets | None:
        """What this run and those above it have read that must not leave."""
        if self._classify is None:
            return None
        secrets = _root(run).slot(Secrets, Secrets)
        secrets.update(self._classify, tracer.ledgers)
        return secrets

    def _read_history(self, event: ModelInput, ledger: Ledger) -> None:
        """Texts of others in a prompt: retrieved passages, messages, results that no ``ToolResult`` brought.

        A trusted tool's copy in the history gives no trust and takes none.
        """
        for leaf in event.leaves():
            kind, _, name = leaf.author.partition(":")
            labels = self._labels.get(name)
            if kind == "tool" and labels is not None and labels.output is Label.TRUSTED:
                continue
            if kind in ("tool", "agent", "retriever"):
                ledger.recall(leaf.author, leaf.text)

    def _read_message(self, event: AgentMessage, ledger: Ledger) -> None:
        for leaf in event.leaves():
            ledger.distrust(leaf.author, leaf.text)


class _Intents:
    """The intent of one run, read anew when the user says more, and by each guard in its own words."""

    def __init__(self) -> None:
        self._texts: tuple[str, ...] | None = None
        self._intents: dict[Vocabulary, Intent] = {}
        self._lock = threading.Lock()

    def of(self, texts: tuple[str, ...], vocabulary: Vocabulary) -> Intent:
        with self._lock:
            if self._texts != texts:
                self._texts, self._intents = texts, {}
            if vocabulary not in self._intents:
                self._intents[vocabulary] = Intent(texts, vocabulary)
            return self._intents[vocabulary]


class _Words:
    """The request as the intent reads it, once it is asked for."""

    def __init__(self, read: Callable[[], Intent]) -> None:
        self._read = read

    @functools.cached_property
    def intent(self) -> Intent:
        return self._read()

    def used(self, tool: str, labels: ToolLabels) -> tuple[str, ...] | None:
        return self.intent.used(tool, labels)

    @property
    def forbidden(self) -> tuple[str, ...]:
        return self.intent.forbidden


def _root(run: Conversation) -> Conversation:
    return lineage(run)[-1]


def _tally(run: Conversation) -> Tally:
    """Sub-agents share the count of the run that was asked."""
    return _root(run).slot(Tally, Tally)


def _verdict(doubts: Sequence[Doubt], table: tuple[Origin, ...]) -> Verdict:
    """One finding per doubt; the worst of them decides."""
    ranked = sorted(doubts, key=lambda doubt: (-doubt.effect.rank, _ORDER.index(doubt.reason)))
    findings = {
        (doubt.path, doubt.reason): Finding(
            f"flow.{doubt.reason}", doubt.reason, path=doubt.path, message=doubt.message
        )
        for doubt in doubts
    }
    return Verdict(
        ranked[0].effect,
        tuple(findings.values()),
        reason=ranked[0].reason,
        message=ranked[0].message,
        rules=tuple(dict.fromkeys(doubt.rule for doubt in doubts if doubt.rule)),
        origins=table,
    )
