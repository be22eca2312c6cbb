"""From recorded decisions to a draft of better labels: who really set each argument, with counts.

The draft is the policy's own text with remarks. It is never wider than what was seen: a tool joins ``sources`` only
when its values were seen there under a label that vouches for them, and every such change carries a review mark. What
stood in untrusted text, in a record nobody asked for, or nowhere, is told in marks and changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from agentguard.audit.record import path_step
from agentguard.decision import Effect, Letter
from agentguard.event import Label
from agentguard.policy import Policy
from agentguard.policy.compiled import ToolRule
from agentguard.policy.document import read
from agentguard.policy.patch import Patch
from agentguard.policy.review import REVIEW
from agentguard.policy.yaml_text import comment, listed
from agentguard.recorded import RecordedDecision, RecordedOrigin

__all__ = ["ArgumentEvidence", "Evidence", "ToolEvidence", "suggest"]

# Letters under which a tool vouches for a value once it is listed.
_VOUCHED = frozenset({Letter.T, Letter.M, Letter.S})
# What a call may have been refused for and still tell who sets its arguments.
_SOUND = frozenset({"flow.origin-unknown"})
_ORIGIN_REASONS = frozenset({"", "origin-untrusted", "origin-unknown"})
MAX_NAMED = 5
MAX_SENTENCE = 400


@dataclass(slots=True)
class ArgumentEvidence:
    """Where the values of one argument were seen.

    ``vouched`` counts by tool that the policy trusts or half trusts, ``sound`` those of calls that nothing but an
    unknown origin spoke against; ``other`` values of records nobody asked for; ``untrusted`` values by their source
    that stood in untrusted text alone.
    """

    argument: str
    total: int = 0
    user: int = 0
    nowhere: int = 0
    free: int = 0
    vouched: Counter[str] = field(default_factory=Counter)
    sound: Counter[str] = field(default_factory=Counter)
    other: Counter[str] = field(default_factory=Counter)
    untrusted: Counter[str] = field(default_factory=Counter)

    def add(self, row: RecordedOrigin, *, sound: bool) -> None:
        """Count one recorded value: everything that vouches for it, else the one thing that is known of it."""
        self.total += 1
        tools = {(letter, source.removeprefix("tool:")) for letter, source in row.stood}
        self.user += any(letter is Letter.P for letter, _ in tools)
        vouched = {tool for letter, tool in tools if letter in _VOUCHED}
        self.vouched.update(vouched)
        self.sound.update(vouched if sound else ())
        self.other.update({tool for letter, tool in tools if letter is Letter.s})
        if row.letter is Letter.U:
            self.untrusted[row.source or "an unnamed text"] += 1
        self.nowhere += row.letter is Letter.N
        self.free += row.letter is Letter.FREE

    def sentence(self) -> str:
        """The counts in one line: ``41 of 44 from contacts.lookup, 3 from the user``."""
        counts = [(count, f"from {tool}") for tool, count in self.vouched.most_common(MAX_NAMED)]
        counts += [(self.user, "from the user")] if self.user else []
        counts += [(n, f"from other records of {tool}") for tool, n in self.other.most_common(MAX_NAMED)]
        counts += [(n, f"in untrusted text alone ({source})") for source, n in self.untrusted.most_common(MAX_NAMED)]
        counts += [(self.nowhere, "found nowhere")] if self.nowhere else []
        first, *rest = counts or [(self.free, "free")]
        return ", ".join([f"{first[0]} of {self.total} {first[1]}", *(f"{count} {what}" for count, what in rest)])


@dataclass(slots=True)
class ToolEvidence:
    """What was seen of one tool: calls, reasons of those that did not pass, arguments by the name in records."""

    tool: str
    calls: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    arguments: dict[str, ArgumentEvidence] = field(default_factory=dict)


class Evidence:
    """All that recorded tool calls tell of a policy's labels."""

    def __init__(self) -> None:
        self.tools: dict[str, ToolEvidence] = {}
        self.calls = 0

    @classmethod
    def of(cls, decisions: Iterable[RecordedDecision]) -> Evidence:
        """Count the tool calls among ``decisions``."""
        evidence = cls()
        for decision in decisions:
            if decision.event == "tool_call":
                evidence.add(decision)
        return evidence

    def add(self, decision: RecordedDecision) -> None:
        """Count one call."""
        self.calls += 1
        tool = self.tools.setdefault(decision.tool, ToolEvidence(decision.tool))
        tool.calls += 1
        if decision.reason:
            tool.reasons[decision.reason] += 1
        # A call refused for what it does, or for another argument's author, may be an attack: it widens no label.
        sound = decision.effect is Effect.ALLOW or _SOUND.issuperset(decision.findings)
        for row in decision.origins:
            # Rows of other checks (a link in a body, another figure) say nothing of who set the argument.
            if row.reason in _ORIGIN_REASONS:
                tool.arguments.setdefault(row.argument, ArgumentEvidence(row.argument)).add(row, sound=sound)


def suggest(text: str, evidence: Evidence, *, path: str | None = None) -> str:
    """The policy's text with what the evidence suggests, every change and question under a review mark.

    Raises:
        PolicyError: the policy does not load.
    """
    policy = Policy.parse(text, path=path)
    document = read(text, path=path)
    patch = Patch(text, document)
    for name, rule in policy.tools.items():
        seen = evidence.tools.get(name)
        notes = list(_tool_notes(rule, seen, evidence.calls))
        if seen is not None:
            notes.extend(_unlabelled(rule, seen))
        if notes:
            patch.note(("tools", name), notes)
        for arg in rule.args:
            found = seen.arguments.get(path_step(arg)) if seen else None
            if found is not None and rule.args[arg].sink is not None:
                _argument(patch, policy, rule, arg, found)
    unknown = sorted(set(evidence.tools) - set(policy.tools))
    if unknown and ("tools",) in document.keys:
        named = comment(", ".join(map(repr, unknown)))
        patch.note(("tools",), [f"{REVIEW}: called, but without a row: {named}"])
    drafted = patch.text()
    Policy.parse(drafted, path=path)  # what would not load must not be handed out
    return drafted


def _argument(patch: Patch, policy: Policy, rule: ToolRule, arg: str, found: ArgumentEvidence) -> None:
    steps = ("tools", rule.name, "args", arg)
    sources = rule.args[arg].sources
    added = [tool for tool in sorted(found.sound) if tool not in sources and _may_join(policy, tool)]
    notes = [f"{comment(arg)}: {comment(found.sentence(), MAX_SENTENCE)}"]
    if found.user and "user" not in sources:
        notes.append(f"{REVIEW}: the user named {found.user} of them, and sources does not list user")
    changed = [*sources, *added]
    if added and patch.set_list((*steps, "sources"), changed):
        notes[0] = f"{REVIEW}: {notes[0]}; sources was {listed(sources)}"
    elif added:
        notes.append(f"{REVIEW}: perhaps sources: {comment(listed(changed))}")
    for tool in sorted(found.vouched - found.sound):
        if tool not in sources:
            notes.append(
                f"{REVIEW}: {comment(tool)} set it in calls that were refused for more; an attack looks like this"
            )
    notes.extend(_questions(policy, arg, found))
    unseen = [tool for tool in sources if tool != "user" and not found.vouched[tool]]
    if unseen:
        notes.append(f"never seen to set it: {comment(', '.join(unseen))}; a source nobody needs can go")
    patch.note(steps, notes)


def _may_join(policy: Policy, tool: str) -> bool:
    rule = policy.tools.get(tool)
    if rule is None or rule.output is Label.UNTRUSTED:
        return False
    # Outsiders choose the fields of inbound records: that one was right so far says nothing of the next.
    return not rule.inbound


def _questions(policy: Policy, arg: str, found: ArgumentEvidence) -> Iterator[str]:
    """What was seen and would need another label: a person has to know whether it may have one."""
    for source, count in found.untrusted.most_common(MAX_NAMED):
        tool = source.removeprefix("tool:")
        rule = policy.tools.get(tool) if source.startswith("tool:") else None
        if rule is None:
            yield f"{REVIEW}: {count} stood only in {comment(source)}, where anybody may write: refused, as it must be"
        else:
            yield (
                f"{REVIEW}: {count} stood only in what {comment(tool)} returns, untrusted: refused; if strangers "
                f"cannot write that, label its output and add it to the sources of {comment(arg)}"
            )
    if found.nowhere:
        yield f"{REVIEW}: {found.nowhere} were found nowhere: if the model may choose, list its choices in one_of"
    if found.other:
        yield f"{REVIEW}: some stood in records that the request does not point at: a person is asked"


def _tool_notes(rule: ToolRule, seen: ToolEvidence | None, calls: int) -> Iterator[str]:
    if seen is None:
        yield f"{rule.name}: never called in {calls} recorded calls; a tool nobody needs can go"
        return
    yield f"{rule.name}: called {seen.calls} times" + (f"; {_reasons(seen)}" if seen.reasons else "; all passed")
    if count := seen.reasons["intent-missing"]:
        yield f"{REVIEW}: {count} times no request asked for it: perhaps object: or verbs: lacks the users' own words"


def _reasons(seen: ToolEvidence) -> str:
    return comment(", ".join(f"{count} {reason}" for reason, count in seen.reasons.most_common(MAX_NAMED)))


def _unlabelled(rule: ToolRule, seen: ToolEvidence) -> Iterator[str]:
    """Arguments that were given and have no row."""
    known = {path_step(name) for name in rule.args}
    for name, found in sorted(seen.arguments.items()):
        if name not in known:
            said = comment(found.sentence(), MAX_SENTENCE)
            yield f"{REVIEW}: the argument {comment(name)} was given {found.total} times and has no row: {said}"
