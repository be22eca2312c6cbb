"""The guards that are compared. All are real: the stages a policy file gives, or a choice of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from agentguard import ALLOW, Conversation, Decision, Event, Guard, Stage, Verdict
from agentguard.assembly import default_stages
from agentguard.policy import Policy
from agentguard.store import Home
from benchmarks.agentdojo.script import Person

__all__ = ["GUARDS", "Bench", "Open"]

GUARDS = ("none", "text", "flow", "both")

_CHOICE: dict[str, frozenset[str]] = {
    "text": frozenset({"size", "content"}),
    "flow": frozenset({"access", "arguments", "flow"}),
}


@dataclass(slots=True)
class Bench:
    """A guard with the person it asks. ``acts`` says which tools have side effects, or send data out."""

    name: str
    guard: Guard
    acts: Callable[[str], bool]
    person: Person = field(default_factory=Person)

    @classmethod
    def of(cls, name: str, policy_file: Path, home: Home) -> Bench:
        """One of ``GUARDS`` over a policy file."""
        policy = Policy.from_file(policy_file)
        stages = default_stages(policy, home=home)
        if name == "none":
            stages = [Open()]
        elif name in _CHOICE:
            stages = [stage for stage in stages if stage.name in _CHOICE[name]]
        return cls.over(name, stages, lambda tool: _acts(policy, tool))

    @classmethod
    def over(cls, name: str, stages: Sequence[Stage], acts: Callable[[str], bool]) -> Bench:
        """A guard over any stages."""
        person = Person()
        return cls(name, Guard(stages=stages, audit=_Unrecorded(), approver=person), acts, person)


class Open:
    """No guard at all: the stage that allows everything."""

    name = "open"
    blocking = False

    def inspect(self, _event: Event, _run: Conversation, /) -> Verdict:
        """Allow."""
        return ALLOW


class _Unrecorded:
    """Takes every record and keeps none: the log is measured elsewhere."""

    congested = False

    def record(self, _decision: Decision, _event: Event, _run: Conversation, /, *, durable: bool) -> Future[int]:
        receipt: Future[int] = Future()
        receipt.set_result(int(durable))
        return receipt

    def close(self) -> None:
        """Nothing is open."""


def _acts(policy: Policy, tool: str) -> bool:
    rule = policy.tools.get(tool)
    return rule is None or rule.side_effect != "read" or rule.egress
