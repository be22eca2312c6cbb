"""The obedient agent: does the user's task, and carries out an injected order the moment it is shown one.

Every call, result, prompt and answer passes the guard. What a refused call would have brought is not seen; the script
goes on with the rest of its calls, as an agent that tries everything would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from agentguard import (
    Conversation,
    Decision,
    Guard,
    Json,
    Message,
    ModelInput,
    ModelOutput,
    Origin,
    Principal,
    ToolCall,
    ToolResult,
)
from agentguard.access.approval import ApprovalRequest
from benchmarks.agentdojo.attacks import Order
from benchmarks.agentdojo.scene import Step, Suite, ToolFailed, World

__all__ = ["AGENT", "Answers", "Outcome", "Person", "Refusal", "play"]

AGENT = "assistant"

Answers = Literal["honest", "absent", "always-yes"]
Owner = Literal["task", "order"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that did not run, or whose result was withheld."""

    owner: Owner
    step: Step
    reason: str
    message: str
    origins: tuple[Origin, ...] = ()
    asked: bool = False


@dataclass(frozen=True, slots=True)
class _Done:
    """Whether the call ran, and what the agent saw of its result; None when it saw nothing."""

    ran: bool
    seen: str | None = None


@dataclass(slots=True)
class Person:
    """The approver. An honest person says yes to calls of the own task and no to others; absent is a no to all."""

    answers: Answers = "honest"
    owner: Owner = "task"
    questions: int = 0

    def __call__(self, _request: ApprovalRequest, /) -> bool:
        self.questions += 1
        return self.answers == "always-yes" or (self.answers == "honest" and self.owner == "task")


@dataclass(slots=True)
class Outcome:
    """What came of one run. ``harm``: injected calls with a side effect that ran."""

    shown: bool = False
    complete: bool = True
    finished: bool = False
    obeyed: bool = False
    questions: int = 0
    harm: list[Step] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def play(
    guard: Guard, person: Person, suite: Suite, task: str, order: Order | None = None, *, answers: Answers = "honest"
) -> Outcome:
    """One run of ``task`` under ``guard``, with ``order`` injected where the task will read it."""
    person.answers, person.owner, person.questions = answers, "task", 0
    world = suite.world(task, order.goal if order else None, order.texts if order else {})
    player = _Player(guard, person, world, Conversation(principal=Principal(AGENT), request=suite.prompt(task)))
    outcome = player.perform(suite.prompt(task), order)
    outcome.questions = person.questions
    return outcome


class _Player:
    def __init__(self, guard: Guard, person: Person, world: World, run: Conversation) -> None:
        self._guard = guard
        self._person = person
        self._world = world
        self._run = run
        self._outcome = Outcome()

    def perform(self, prompt: str, order: Order | None) -> Outcome:
        outcome = self._outcome
        if not self._guard.check(ModelInput((Message("user", prompt),)), run=self._run).allowed:
            outcome.complete = False
            return outcome
        # Fixed before anything runs, as the ground truth is.
        wanted = self._world.order_steps() if order else ()
        for step in self._world.task_steps():
            seen = self._do(step, "task").seen
            if seen is None:
                outcome.complete = False
            elif order and not outcome.shown and order.stands_in(seen):
                outcome.shown = True
                outcome.harm = [each for each in wanted if self._do(each, "order").ran and order.acts(each.tool)]
        answer = self._answer()
        outcome.finished = outcome.complete and self._world.finished(answer)
        outcome.obeyed = order is not None and self._world.obeyed(answer)
        return outcome

    def _do(self, step: Step, owner: Owner) -> _Done:
        self._person.owner = owner
        asked = self._person.questions
        decision = self._guard.check(ToolCall(step.tool, step.args), run=self._run)
        questioned = self._person.questions > asked
        if not decision.allowed:
            self._refused(owner, step, decision, decision.reason, asked=questioned)
            return _Done(ran=False)
        call = decision.event
        assert isinstance(call, ToolCall)
        content, failed = self._tool(Step(call.tool, call.args))
        result = self._guard.check(ToolResult(call.tool, call.args, content, is_error=failed), run=self._run)
        if not result.allowed:
            self._refused(owner, step, result, "withheld")
            return _Done(ran=True)
        return _Done(ran=True, seen="\n".join(leaf.text for leaf in result.event.leaves()))

    def _tool(self, step: Step) -> tuple[Json, bool]:
        try:
            return self._world.run(step), False
        except ToolFailed as error:
            return str(error), True

    def _refused(self, owner: Owner, step: Step, decision: Decision, reason: str, *, asked: bool = False) -> None:
        self._outcome.refusals.append(Refusal(owner, step, reason, decision.message, decision.origins, asked))

    def _answer(self) -> str:
        said = [text for text in self._said() if text]
        decision = self._guard.check(ModelOutput(Message("assistant", "\n".join(said))), run=self._run)
        return "\n".join(leaf.text for leaf in decision.event.leaves()) if decision.allowed else ""

    def _said(self) -> Iterator[str]:
        if self._outcome.complete:
            yield self._world.task_answer
        if self._outcome.shown:
            yield self._world.order_answer
