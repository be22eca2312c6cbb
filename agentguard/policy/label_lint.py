"""Labels that look wrong beside names, descriptions, types and what was really returned.

Information flow is as good as its labels: one tool called trusted that returns strangers' words lets them choose where
an action goes. A remark is no proof; it names the word or the figure it rests on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentguard.event import Label
from agentguard.policy.check import Remark, place_of
from agentguard.policy.compiled import ToolRule
from agentguard.policy.document import Document, Step, read
from agentguard.policy.guess import (
    effect_of,
    is_body,
    is_identifier,
    leaves_machine,
    reads_inbox,
    returns_prose,
    sink_of,
)
from agentguard.policy.policy import Policy
from agentguard.policy.schema import ArgRow, PolicyFile, ToolRow
from agentguard.policy.toolspec import Parameter, ToolSpec
from agentguard.policy.validation import validated

__all__ = ["LABEL_CODES", "Sizes", "lint_labels"]

LABEL_CODES = {
    "trusted-prose": "a trusted tool seems to return long or free text",
    "free-text-missing": "a field of a mixed result looks like free text and is not listed",
    "inbound-missing": "a tool that reads an inbox does not say inbound: true",
    "effect-doubtful": "the tool seems to do more than its side_effect says",
    "egress-missing": "a reading tool takes an address and does not say egress: true",
    "sink-missing": "an argument of an acting tool looks like a sink and has none",
    "content-on-identifier": "an argument that selects something is called a body of text",
    "send-without-recipient": "a sending tool has no argument that says to whom",
    "source-inbound": "outsiders choose the fields of a source for money, access or a secret",
}

# A result longer than this, in bytes of JSON, is hardly a single value or a short record.
LONG_RESULT = 2_000

# Kinds of sink that can say to whom or where something is sent.
_TARGETS = frozenset({"recipient", "channel", "url", "account", "person", "id", "path"})
_STRENGTH = {"read": 0, "write": 1, "send": 1, "destructive": 1, "money": 2, "access": 2}


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long a tool's recorded results were, in bytes of JSON."""

    count: int
    median: int
    largest: int


def lint_labels(
    text: str,
    *,
    path: str | None = None,
    tools: Sequence[ToolSpec] | None = None,
    sizes: Mapping[str, Sizes] | None = None,
) -> list[Remark]:
    """Remarks on a policy's labels, in the order of its lines.

    Args:
        tools: the application's own definitions; without them only names speak.
        sizes: what the audit log recorded of each tool's results.

    Raises:
        PolicyError: the policy does not load.
    """
    policy = Policy.parse(text, path=path)
    document = read(text, path=path)
    file = validated(document, PolicyFile, noun="a policy")
    specs = {spec.name: spec for spec in tools or ()}
    linter = _Linter(policy, file, document)
    found = [
        remark
        for name, rule in policy.tools.items()
        for remark in linter.tool(rule, file.tools[name], specs.get(name) or _named(rule), (sizes or {}).get(name))
    ]
    return sorted(found, key=lambda remark: (remark.line or 0, remark.column or 0, remark.code))


def _named(rule: ToolRule) -> ToolSpec:
    """What the policy itself tells of a tool."""
    return ToolSpec(rule.name, parameters=tuple(Parameter(name) for name in rule.args))


class _Linter:
    """Looks at one tool after another."""

    def __init__(self, policy: Policy, file: PolicyFile, document: Document) -> None:
        self._policy = policy
        self._file = file
        self._document = document

    def tool(self, rule: ToolRule, row: ToolRow, spec: ToolSpec, sizes: Sizes | None) -> Iterator[Remark]:
        """Every remark on one tool and its arguments."""
        yield from self._output(rule, spec, sizes)
        yield from self._effect(rule, spec)
        for name in rule.args:
            yield from self._argument(rule, name, row.args[name], spec)
        acts = rule.side_effect != "read" or rule.egress
        for parameter in spec.parameters:
            found = sink_of(parameter)
            if acts and parameter.name not in rule.args and found and rule.extra_args == "allow":
                message = (
                    f"argument {ascii(parameter.name)[:60]} looks like a {found.value} ({found.by}) and has no row"
                )
                yield self._remark("sink-missing", rule, (), message)

    def _output(self, rule: ToolRule, spec: ToolSpec, sizes: Sizes | None) -> Iterator[Remark]:
        prose = returns_prose(spec)
        if rule.output is Label.TRUSTED and (reason := _prose(rule, spec, prose, sizes)):
            yield self._remark("trusted-prose", rule, ("output",), f"output is trusted, but {reason}")
        if rule.output is Label.MIXED:
            known = {name.rpartition(".")[2].casefold() for name in rule.free_text}
            for name in prose:
                if name.casefold() not in known:
                    message = f"the field {ascii(name)[:60]} may hold free text and is not in free_text"
                    yield self._remark("free-text-missing", rule, ("free_text",), message)
            word = reads_inbox(rule.name)
            if word and not rule.inbound and rule.side_effect == "read":
                message = f"it seems to return what outsiders sent ({word}); if so, write inbound: true"
                yield self._remark("inbound-missing", rule, ("output",), message)

    def _effect(self, rule: ToolRule, spec: ToolSpec) -> Iterator[Remark]:
        guess = effect_of(spec)
        if guess.sure and _STRENGTH[guess.value] > _STRENGTH[rule.side_effect]:
            message = f"side_effect is {rule.side_effect}, but it looks like {guess.value} ({guess.by})"
            yield self._remark("effect-doubtful", rule, ("side_effect",), message)
        if rule.side_effect == "read" and not rule.egress:
            word = leaves_machine(rule.name, spec.description, [parameter.name for parameter in spec.parameters])
            if word:
                message = f"its arguments seem to leave the machine ({ascii(word)[:60]}); if so, write egress: true"
                yield self._remark("egress-missing", rule, ("side_effect",), message)
        if rule.side_effect == "send" and not any(arg.sink in _TARGETS for arg in rule.args.values()):
            message = "it sends, but no argument is a recipient, channel or other target"
            yield self._remark("send-without-recipient", rule, (), message)

    def _argument(self, rule: ToolRule, name: str, row: ArgRow, spec: ToolSpec) -> Iterator[Remark]:
        parameter = next((each for each in spec.parameters if each.name == name), Parameter(name))
        found = sink_of(parameter)
        steps = ("args", name)
        if row.content and found and not is_body(parameter) and (is_identifier(name) or parameter.type != "string"):
            message = (
                f"argument {name} is content, but looks like a {found.value} ({found.by}): its origin is not judged"
            )
            yield self._remark("content-on-identifier", rule, (*steps, "content"), message)
        acts = rule.side_effect != "read" or rule.egress
        if acts and found and row.sink is None and not row.content and row.one_of is None:
            message = f"argument {name} looks like a {found.value} ({found.by}); write sink: {found.value}"
            yield self._remark("sink-missing", rule, steps, message)
        if rule.side_effect in ("money", "access") or row.sink == "secret":
            for index, source in enumerate(row.sources or ()):
                if source != "user" and self._policy.tools[source].inbound:
                    message = f"argument {name} may be set from {source}, whose fields outsiders choose"
                    yield self._remark("source-inbound", rule, (*steps, "sources", index), message)

    def _remark(self, code: str, rule: ToolRule, steps: tuple[Step, ...], message: str) -> Remark:
        place = place_of(self._document, ("tools", rule.name, *steps))
        return Remark(code, f"tool {rule.name}: {message}", *place)


def _prose(rule: ToolRule, spec: ToolSpec, prose: list[str], sizes: Sizes | None) -> str | None:
    """Why the result of a trusted tool looks like text that others wrote."""
    if sizes is not None and sizes.median > LONG_RESULT:
        return f"its {sizes.count} recorded results are long (half of them over {sizes.median} bytes)"
    if prose:
        return f"its fields {', '.join(ascii(name)[:60] for name in prose[:5])} may hold free text"
    if rule.egress or leaves_machine(rule.name, spec.description, [each.name for each in spec.parameters]):
        return "it reads from outside this machine"
    if word := reads_inbox(rule.name):
        return f"it seems to return what outsiders sent ({word})"
    if spec.returns_type in (None, "string") and (word := _text_word(spec.description)):
        return f"its description speaks of {word}"
    return None


def _text_word(description: str) -> str | None:
    words = {word.strip(".,;:()").lower() for word in description.split()}
    told = ("text", "contents", "content", "page", "document", "article", "body", "message", "transcript", "reviews")
    return next((word for word in told if word in words), None)
