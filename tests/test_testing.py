"""The doubles that applications test with: they keep the protocols they stand for."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from agentguard import Conversation, Decision, Effect, Event, Finding, Guard, Stage, ToolCall, Verdict, WriteError
from agentguard.guard import DecisionSink
from agentguard.testing import FakeClock, RecordingSink, ScriptedStage, recording_guard

CALL = ToolCall("send", {"to": "ann"})
NO = Verdict(Effect.DENY, (Finding("test.no", "rule-1"),), reason="no", rules=("rule-1",))


def test_a_clock_moves_only_when_told() -> None:
    clock = FakeClock(10.0)

    before = clock()
    clock.advance(2.5)
    after = clock()
    clock.advance(-5)

    assert (before, after, clock()) == (10.0, 12.5, 7.5)


def test_a_scripted_stage_is_a_stage_that_keeps_what_it_saw() -> None:
    def answer(event: Event) -> Verdict | None:
        return NO if isinstance(event, ToolCall) else None

    stage = ScriptedStage(answer, name="mine", blocking=True)

    decision = recording_guard(stage).check(CALL)

    assert isinstance(stage, Stage)
    assert (decision.reason, decision.stage, stage.seen) == ("no", "mine", [CALL])


def test_a_sink_keeps_records_with_their_durability() -> None:
    sink = RecordingSink()
    typed: DecisionSink = sink
    guard = Guard(stages=[ScriptedStage()], audit=typed, side_effects={"look": "read"})

    with guard.conversation("bot", "do it"):
        guard.check(CALL)
        guard.check(ToolCall("look", {}))

    assert [(r.event, r.run.principal.id, r.durable) for r in sink.records] == [
        (CALL, "bot", True),
        (ToolCall("look", {}), "bot", False),
    ]


def test_a_broken_sink_refuses_as_a_full_disk_would() -> None:
    sink = RecordingSink()
    guard = recording_guard(sink=sink)
    sink.broken = True

    decision = guard.check(CALL)

    assert decision.reason == "audit-failed"
    assert isinstance(decision.cause, WriteError)
    assert sink.records == []


@pytest.mark.parametrize("congested", [False, True])
async def test_a_congested_sink_is_written_off_the_loop(congested: bool) -> None:
    threads: list[bool] = []

    class Noting(RecordingSink):
        def record(self, decision: Decision, event: Event, run: Conversation, /, *, durable: bool) -> Future[int]:
            threads.append(threading.current_thread() is threading.main_thread())
            return super().record(decision, event, run, durable=durable)

    sink = Noting()
    sink.congested = congested

    decision = await recording_guard(sink=sink).acheck(CALL)

    assert decision.allowed
    assert threads == [not congested]
