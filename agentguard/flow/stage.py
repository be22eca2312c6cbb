"""The ``Flow`` stage: judges calls by the origin of their arguments, and reads everything else into the ledger.

The rules hold from the first call of a run on: there is no gate that waits for something suspicious.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Letter, Origin, Verdict
from agentguard.event import AgentMessage, Event, Label, ModelInput, ToolCall, ToolResult
from agentguard.flow.forms import looks_like_field
from agentguard.flow.labels import USER, ToolLabels
from agentguard.flow.ledger import Ledger
from agentguard.flow.origin import trace

__all__ = ["Flow"]


class Flow:
    """Only somebody entitled to it may choose where an action goes.

    Args:
        labels: the policy's rows by tool name. A tool without a row is denied, and its results are untrusted.
    """

    name = "flow"
    blocking = False

    def __init__(self, labels: Mapping[str, ToolLabels]) -> None:
        self._labels = dict(labels)

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Judge a call; remember who wrote the texts of every other event."""
        run.explained_by(self.origins)
        if isinstance(event, ToolCall):
            return self._judge(event, run)
        ledger = run.slot(Ledger, Ledger)
        if isinstance(event, ToolResult):
            ledger.take(event, self._labels.get(event.tool))
        elif isinstance(event, ModelInput):
            self._read_history(event, ledger)
        elif isinstance(event, AgentMessage):
            for leaf in event.leaves():
                ledger.distrust(leaf.author, leaf.text)
        return ALLOW

    def origins(self, run: Conversation, call: ToolCall) -> tuple[Origin, ...]:
        """The origin table of a call, for people: it holds the values. Empty when the tool has no row."""
        labels = self._labels.get(call.tool)
        return trace(run, labels, call) if labels else ()

    def _judge(self, call: ToolCall, run: Conversation) -> Verdict:
        labels = self._labels.get(call.tool)
        if labels is None:
            return Verdict(
                Effect.DENY,
                (Finding("flow.tool", "tool-unlabelled", message="the policy does not describe this tool"),),
                reason="tool-unlabelled",
                message="The policy does not describe this tool, so it cannot be used.",
            )
        table = trace(run, labels, call)
        doubtful = [origin for origin in table if origin.effect is not Effect.ALLOW]
        if doubtful:
            return _refusal(call, labels, table, doubtful)
        if labels.approval_when_untrusted and _has_read_untrusted(run):
            return Verdict(
                Effect.REQUIRE_APPROVAL,
                (Finding("flow.approval", "approval-when-untrusted", message="untrusted text was read in this run"),),
                reason="approval-when-untrusted",
                message="Untrusted text was read in this run, so a person must confirm this call.",
                rules=(f"tools.{call.tool}.approval",),
                origins=table,
            )
        return Verdict(origins=table)

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


def _has_read_untrusted(run: Conversation | None) -> bool:
    while run is not None:
        ledger = run.slot(Ledger, Ledger)
        ledger.request(run)
        if ledger.read_untrusted:
            return True
        run = run.parent
    return False


def _refusal(call: ToolCall, labels: ToolLabels, table: tuple[Origin, ...], doubtful: list[Origin]) -> Verdict:
    """One finding per value's place; the worst of them decides."""
    worst = max(doubtful, key=lambda origin: origin.effect.rank)
    by_path: dict[tuple[str | int, ...], Origin] = {}
    for origin in sorted(doubtful, key=lambda origin: origin.effect.rank):
        by_path[origin.path] = origin
    findings = tuple(
        Finding(f"flow.{origin.reason}", origin.reason, path=path, message=_sentence(origin, labels))
        for path, origin in by_path.items()
    )
    rules = dict.fromkeys(f"tools.{call.tool}.args.{_shown(origin)}" for origin in by_path.values())
    message = _sentence(worst, labels)
    return Verdict(worst.effect, findings, reason=worst.reason, message=message, rules=tuple(rules), origins=table)


def _sentence(origin: Origin, labels: ToolLabels) -> str:
    """Names argument, origin and who may set it; never the value, which may be an attacker's words."""
    sources = labels.sources_for(origin.argument) or ()
    entitled = ", ".join("the user" if source == USER else source for source in sources) or "nobody"
    where = f" ({origin.source})" if origin.source else ""
    if origin.argument not in labels.args:
        # Most often a parameter nobody thought of, or its default: say what is missing, not only what was refused.
        entitled += ", since it has no row in the policy (content: true or one_of: [...] would label it)"
    return f"Argument '{_shown(origin)}': its value {_meaning(origin)}{where}; it may be set by {entitled}."


def _meaning(origin: Origin) -> str:
    if origin.letter in (Letter.N, Letter.U, Letter.P):
        return origin.meaning if origin.letter is not Letter.N else "was found nowhere"
    return f"is {'a ' if origin.letter in (Letter.S, Letter.s) else ''}{origin.meaning}"


def _shown(origin: Origin) -> str:
    return origin.argument if looks_like_field(origin.argument) else "?"
