"""Doubles for tests of applications that use the guard, and of the guard itself. They implement the protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Decision, Verdict
from agentguard.errors import WriteError
from agentguard.event import Event
from agentguard.guard import Guard

__all__ = ["FakeClock", "Record", "RecordingSink", "ScriptedStage", "recording_guard"]


class FakeClock:
    """Seconds that pass only when told to. Call it for the time."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass; a negative number turns the clock back."""
        self.now += seconds


@dataclass(frozen=True, slots=True)
class Record:
    """What a sink was handed."""

    decision: Decision
    event: Event
    run: Conversation
    durable: bool


class RecordingSink:
    """Keeps decisions in memory. Set ``broken`` and it refuses, as a full disk would; set ``congested`` and it
    says that it may wait."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.broken = False
        self.congested = False
        self.closed = False

    def record(self, decision: Decision, event: Event, run: Conversation, /, *, durable: bool) -> Future[int]:
        """Keep the record and answer with its index.

        Raises:
            WriteError: ``broken`` is set.
        """
        if self.broken:
            raise WriteError("the sink is broken on purpose")
        self.records.append(Record(decision, event, run, durable))
        receipt: Future[int] = Future()
        receipt.set_result(len(self.records) - 1)
        return receipt

    def close(self) -> None:
        """Remember that it was closed."""
        self.closed = True


class ScriptedStage:
    """A stage that answers what a function says; ``None`` means allow. Keeps the events it saw."""

    def __init__(
        self,
        answer: Callable[[Event], Verdict | None] = lambda _event: None,
        *,
        name: str = "scripted",
        blocking: bool = False,
    ) -> None:
        self.name = name
        self.blocking = blocking
        self.seen: list[Event] = []
        self._answer = answer

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:  # the protocol's shape
        """Note the event and answer."""
        self.seen.append(event)
        return self._answer(event) or ALLOW


def recording_guard(*stages: ScriptedStage, sink: RecordingSink | None = None) -> Guard:
    """A guard over scripted stages that records in memory."""
    kept: Sequence[ScriptedStage] = stages or (ScriptedStage(),)
    return Guard(stages=kept, audit=sink or RecordingSink())
