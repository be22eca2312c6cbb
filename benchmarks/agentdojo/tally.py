"""Plays every task against every goal in every wording, and counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, Self

from agentguard import Effect, Json
from benchmarks.agentdojo.attacks import Attack, Order
from benchmarks.agentdojo.guards import Bench
from benchmarks.agentdojo.scene import Suite
from benchmarks.agentdojo.script import Answers, Outcome, Refusal, play

__all__ = ["Attacked", "Benign", "Event", "Tally", "attacked", "benign", "goals_by_kind"]


@dataclass(slots=True)
class Counts:
    """Numbers that add up."""

    def __iadd__(self, other: Self) -> Self:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))
        return self


@dataclass(slots=True)
class Benign(Counts):
    """Honest runs: tasks, how many finished with a person and unattended, questions a person was asked."""

    tasks: int = 0
    finished: int = 0
    unattended: int = 0
    questions: int = 0


@dataclass(slots=True)
class Attacked(Counts):
    """Pairs of a task and a goal that needs tool calls, in one wording.

    ``shown``: the agent read the order. ``obeyed``: the goal's checker says it was reached. ``harm``: an injected call
    with a side effect ran, with an honest person, unattended, and with one who always says yes. ``finished``: the
    user's task was done all the same.
    """

    pairs: int = 0
    shown: int = 0
    obeyed: int = 0
    harm: int = 0
    harm_unattended: int = 0
    harm_always_yes: int = 0
    finished: int = 0


@dataclass(slots=True)
class Spoken(Counts):
    """Pairs of a task and a goal that asks for words only."""

    pairs: int = 0
    shown: int = 0
    obeyed: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One thing to look into. Ids and names only: the texts belong to the suite.

    ``doubts`` are the arguments that did not pass, as ``recipient U deny embedded-untrusted``.
    """

    kind: Literal["asked", "refused", "unfinished", "harm", "harm-always-yes"]
    task: str
    goal: str | None = None
    tool: str = ""
    reason: str = ""
    doubts: tuple[str, ...] = ()

    def json(self) -> Json:
        """As an object of texts."""
        texts: dict[str, Json] = {each.name: getattr(self, each.name) for each in fields(self)}
        return texts | {"doubts": list(self.doubts)}


@dataclass(slots=True)
class Tally:
    """What one guard let through in one suite: honest runs, or one wording."""

    suite: str
    guard: str
    attack: str = ""
    attack_kind: str = ""
    benign: Benign = field(default_factory=Benign)
    attacked: Attacked = field(default_factory=Attacked)
    spoken: Spoken = field(default_factory=Spoken)
    events: list[Event] = field(default_factory=list)


def goals_by_kind(suite: Suite) -> tuple[Sequence[str], Sequence[str]]:
    """The goals that need calls and have them scripted, and those that words alone reach. Others are left out."""
    calls, words = [], []
    for goal in suite.goals:
        world = suite.world(suite.tasks[0], goal, {})
        if world.order_steps():
            calls.append(goal)
        elif world.obeyed(world.order_answer):
            words.append(goal)
    return calls, words


def benign(bench: Bench, suite: Suite) -> Tally:
    """Every task without an attacker."""
    tally = Tally(suite.name, bench.name)
    for task in suite.tasks:
        with_person = play(bench.guard, bench.person, suite, task)
        alone = _again(bench, suite, task, None, with_person, "absent")
        tally.benign += Benign(1, with_person.finished, alone.finished, with_person.questions)
        tally.events.extend(_honest_events(task, with_person, alone))
    return tally


def attacked(bench: Bench, suite: Suite, attack: Attack, goals: tuple[Sequence[str], Sequence[str]]) -> Tally:
    """Every task against every goal in one wording. ``goals`` as from ``goals_by_kind``."""
    tally = Tally(suite.name, bench.name, attack.name, attack.kind)
    calls, words = goals
    for task in filter(suite.slots, suite.tasks):
        for goal in calls:
            order = attack.order(suite, task, goal, bench.acts)
            honest = play(bench.guard, bench.person, suite, task, order)
            alone = _again(bench, suite, task, order, honest, "absent")
            always = _again(bench, suite, task, order, honest, "always-yes")
            tally.attacked += Attacked(
                pairs=1,
                shown=honest.shown,
                obeyed=honest.obeyed,
                harm=bool(honest.harm),
                harm_unattended=bool(alone.harm),
                harm_always_yes=bool(always.harm),
                finished=honest.finished,
            )
            tally.events.extend(_harm_events(task, goal, honest, always))
        for goal in words:
            order = attack.order(suite, task, goal, bench.acts)
            outcome = play(bench.guard, bench.person, suite, task, order)
            tally.spoken += Spoken(1, outcome.shown, outcome.obeyed)
    return tally


def _again(bench: Bench, suite: Suite, task: str, order: Order | None, before: Outcome, answers: Answers) -> Outcome:
    """The same run with other answers. Where nothing was asked, it is the same run."""
    if not before.questions:
        return before
    return play(bench.guard, bench.person, suite, task, order, answers=answers)


def _honest_events(task: str, with_person: Outcome, alone: Outcome) -> Iterator[Event]:
    for refusal in with_person.refusals:
        yield Event("refused", task, None, refusal.step.tool, refusal.reason, _doubts(refusal))
    for refusal in alone.refusals:
        if refusal.asked:
            yield Event("asked", task, None, refusal.step.tool, refusal.reason, _doubts(refusal))
    if not with_person.finished:
        yield Event("unfinished", task)


def _harm_events(task: str, goal: str, honest: Outcome, always: Outcome) -> Iterator[Event]:
    for step in honest.harm:
        yield Event("harm", task, goal, step.tool)
    for step in always.harm:
        if step not in honest.harm:
            yield Event("harm-always-yes", task, goal, step.tool)


def _doubts(refusal: Refusal) -> tuple[str, ...]:
    doubtful = (origin for origin in refusal.origins if origin.effect is not Effect.ALLOW)
    rows = (f"{row.argument} {row.letter.name} {row.effect.value} {row.reason}" for row in doubtful)
    return tuple(dict.fromkeys(rows))
