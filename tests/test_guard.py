"""The pipeline: order, fail closed, obligations, approval, shadow, no record no action; sync and async alike."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

import pytest

from agentguard import (
    ApprovalRequest,
    ConfigError,
    Conversation,
    Decision,
    Effect,
    Event,
    Finding,
    Guard,
    Letter,
    Origin,
    Principal,
    Rewrite,
    StageError,
    ToolCall,
    Verdict,
    WriteError,
    current_conversation,
)
from agentguard.testing import RecordingSink, ScriptedStage, recording_guard

DENY = Verdict(Effect.DENY, (Finding("test.no", "rule-1"),), reason="no", message="No.", rules=("rule-1",))
ASK = Verdict(Effect.REQUIRE_APPROVAL, reason="ask", message="Ask first.")
CALL = ToolCall("send", {"to": "bob", "body": "hi"})

Check = Callable[[Guard, Event], Decision]


def _sync(guard: Guard, event: Event) -> Decision:
    return guard.check(event)


def _async(guard: Guard, event: Event) -> Decision:
    return asyncio.run(_acheck(guard, event))


async def _acheck(guard: Guard, event: Event) -> Decision:
    return await guard.acheck(event)


@pytest.fixture(params=[pytest.param(_sync, id="sync"), pytest.param(_async, id="async")])
def check(request: pytest.FixtureRequest) -> Check:
    chosen: Check = request.param
    return chosen


def _rewrite(text: str) -> Callable[[Event], Verdict]:
    return lambda _event: Verdict(obligations=(Rewrite(("args", "body"), text),))


def test_stages_run_in_order_and_each_sees_what_the_one_before_left(check: Check) -> None:
    first, second = ScriptedStage(_rewrite("one")), ScriptedStage(_rewrite("two"))

    decision = check(recording_guard(first, second), CALL)

    assert first.seen == [CALL]
    assert [leaf.text for event in second.seen for leaf in event.leaves() if leaf.path == ("args", "body")] == ["one"]
    assert decision.event == ToolCall("send", {"to": "bob", "body": "two"})
    assert decision.rewritten


def test_the_first_deny_ends_the_list_and_names_its_stage(check: Check) -> None:
    after = ScriptedStage()

    decision = check(recording_guard(ScriptedStage(lambda _: DENY, name="gate"), after), CALL)

    assert (decision.effect, decision.reason, decision.stage) == (Effect.DENY, "no", "gate")
    assert not decision.allowed
    assert after.seen == []


def test_a_later_deny_beats_an_earlier_question(check: Check) -> None:
    decision = check(recording_guard(ScriptedStage(lambda _: ASK), ScriptedStage(lambda _: DENY)), CALL)

    assert decision.effect is Effect.DENY


def _explode(error: BaseException) -> Callable[[Event], Verdict]:
    def answer(_event: Event) -> Verdict:
        raise error

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_explode(ValueError("boom")), id="raises"),
        pytest.param(_explode(NotImplementedError()), id="raises-not-implemented"),
        pytest.param(_explode(RecursionError()), id="raises-recursion"),
        pytest.param(lambda _: "yes", id="answers-a-text"),
        pytest.param(lambda _: True, id="answers-true"),
        pytest.param(lambda _: Verdict(obligations=("log",)), id="obligation-nobody-can-fulfil"),  # type: ignore[arg-type]
        pytest.param(lambda _: Verdict(obligations=(Rewrite(("args", "zzz"), "x"),)), id="rewrite-of-nothing"),
    ],
)
def test_a_stage_that_fails_is_a_deny_and_is_recorded(check: Check, answer: Callable[[Event], Verdict | None]) -> None:
    sink = RecordingSink()

    decision = check(recording_guard(ScriptedStage(answer, name="odd"), sink=sink), CALL)

    assert (decision.effect, decision.reason, decision.stage) == (Effect.DENY, "stage-failed", "odd")
    assert [finding.type for finding in decision.findings] == ["stage-failed"]
    assert isinstance(decision.cause, StageError)
    assert "boom" not in decision.message
    assert [record.decision for record in sink.records] == [decision]


def test_a_stage_that_overruns_its_time_is_a_deny() -> None:
    guard = Guard(stages=[ScriptedStage(lambda _: time.sleep(0.02))], audit=RecordingSink(), stage_budget_s=0.001)

    assert guard.check(CALL).reason == "stage-failed"


def test_a_keyboard_interrupt_is_not_swallowed_and_the_event_does_not_go_on(check: Check) -> None:
    with pytest.raises(KeyboardInterrupt):
        check(recording_guard(ScriptedStage(_explode(KeyboardInterrupt()))), CALL)


@pytest.mark.parametrize("effect", [None, DENY, ASK], ids=["allow", "deny", "ask"])
def test_no_record_no_action(check: Check, effect: Verdict | None) -> None:
    sink = RecordingSink()
    sink.broken = True

    decision = check(recording_guard(ScriptedStage(lambda _: effect), sink=sink), CALL)

    assert (decision.effect, decision.reason) == (Effect.DENY, "audit-failed")


class _LateFailure(RecordingSink):
    """Takes the record, then fails to make it durable, as a failed sync does."""

    def record(self, decision: Decision, event: Event, run: Conversation, /, *, durable: bool) -> Future[int]:
        receipt: Future[int] = Future()
        receipt.set_exception(WriteError("sync failed"))
        return receipt


def test_a_durable_record_that_never_becomes_durable_is_a_deny(check: Check) -> None:
    guard = Guard(stages=[ScriptedStage()], audit=_LateFailure())

    assert check(guard, CALL).reason == "audit-failed"


@pytest.mark.parametrize(
    ("event", "verdict", "durable"),
    [
        pytest.param(ToolCall("send", {}), None, True, id="side-effect-waits-for-its-record"),
        pytest.param(ToolCall("look", {}), None, False, id="read-does-not-wait"),
        pytest.param(ToolCall("unheard-of", {}), None, True, id="unknown-tool-counts-as-side-effect"),
        pytest.param(ToolCall("look", {}), DENY, True, id="denial-waits"),
        pytest.param(ToolCall("look", {}), ASK, True, id="question-waits"),
    ],
)
def test_durability_follows_effect_and_side_effect(
    check: Check, event: Event, verdict: Verdict | None, durable: bool
) -> None:
    sink = RecordingSink()
    guard = Guard(stages=[ScriptedStage(lambda _: verdict)], audit=sink, side_effects={"look": "read", "send": "send"})

    check(guard, event)

    assert [record.durable for record in sink.records] == [durable]


def test_shadow_records_everything_and_changes_nothing(check: Check) -> None:
    sink = RecordingSink()
    after = ScriptedStage(_rewrite("changed"))
    guard = Guard(stages=[ScriptedStage(lambda _: DENY), after], audit=sink, mode="shadow")

    decision = check(guard, CALL)

    assert decision.allowed
    assert decision.event == CALL
    assert decision.effect is Effect.DENY
    assert decision.rewritten
    assert len(after.seen) == 1
    assert sink.records[0].decision == decision


def test_one_shadowed_verdict_is_recorded_and_not_enforced(check: Check) -> None:
    shadowed = Verdict(Effect.DENY, (Finding("test.no", "r"),), (Rewrite(("args", "body"), "x"),), shadow=True)

    decision = check(recording_guard(ScriptedStage(lambda _: shadowed)), CALL)

    assert decision.effect is Effect.ALLOW
    assert decision.event == CALL
    assert [finding.type for finding in decision.findings] == ["test.no"]


def test_policy_can_put_one_event_in_shadow(check: Check) -> None:
    guard = Guard(
        stages=[ScriptedStage(lambda _: DENY)],
        audit=RecordingSink(),
        shadowed=lambda event, _run: isinstance(event, ToolCall) and event.tool == "trial",
    )

    assert check(guard, ToolCall("trial", {})).allowed
    assert not check(guard, ToolCall("send", {})).allowed


async def _yes(_request: ApprovalRequest) -> bool:
    await asyncio.sleep(0)
    return True


def _broken(_request: ApprovalRequest) -> bool:
    raise OSError("nobody there")


def _truthy(_request: ApprovalRequest) -> bool:
    return "yes"  # type: ignore[return-value]  # an approver that answers loosely


@pytest.mark.parametrize(
    ("approver", "effect", "reason"),
    [
        pytest.param(None, Effect.REQUIRE_APPROVAL, "ask", id="nobody-to-ask-stays-refused"),
        pytest.param(lambda *_: True, Effect.ALLOW, "approved", id="approved"),
        pytest.param(lambda *_: False, Effect.DENY, "approval-refused", id="refused"),
        pytest.param(_yes, Effect.ALLOW, "approved", id="async-approver"),
        pytest.param(_broken, Effect.DENY, "approval-refused", id="broken-approver-approves-nothing"),
        pytest.param(_truthy, Effect.DENY, "approval-refused", id="only-true-is-yes"),
    ],
)
def test_an_escalated_call_waits_for_a_person(
    check: Check,
    approver: Callable[[ApprovalRequest], bool | Awaitable[bool]] | None,
    effect: Effect,
    reason: str,
) -> None:
    sink = RecordingSink()
    guard = Guard(stages=[ScriptedStage(lambda _: ASK)], audit=sink, approver=approver, side_effects={"send": "read"})

    decision = check(guard, CALL)

    assert (decision.effect, decision.reason) == (effect, reason)
    assert decision.allowed is (effect is Effect.ALLOW)
    assert sink.records[0].durable


def test_the_approver_sees_the_call_as_it_would_run(check: Check) -> None:
    shown: list[ApprovalRequest] = []

    def approver(request: ApprovalRequest) -> bool:
        shown.append(request)
        return True

    guard = Guard(
        stages=[ScriptedStage(_rewrite("redacted")), ScriptedStage(lambda _: ASK)],
        audit=RecordingSink(),
        approver=approver,
    )

    decision = check(guard, CALL)

    assert decision.event == ToolCall("send", {"to": "bob", "body": "redacted"})
    assert [(request.tool, request.args) for request in shown] == [("send", {"to": "bob", "body": "redacted"})]


def test_decision_and_question_carry_the_origin_table(check: Check) -> None:
    origin = Origin("to", ("args", "to"), Letter.N, Effect.REQUIRE_APPROVAL, "bob")
    shown: list[ApprovalRequest] = []

    def approver(request: ApprovalRequest) -> bool:
        shown.append(request)
        return True

    stage = ScriptedStage(lambda _: Verdict(Effect.REQUIRE_APPROVAL, reason="ask", origins=(origin,)))

    decision = check(Guard(stages=[stage], audit=RecordingSink(), approver=approver), CALL)

    assert (decision.reason, decision.origins) == ("approved", (origin,))
    assert shown[0].origins == (origin,)


def test_blocking_stages_leave_the_event_loop() -> None:
    threads: list[threading.Thread] = []

    def note(_event: Event) -> None:
        threads.append(threading.current_thread())

    _async(recording_guard(ScriptedStage(note, blocking=True)), CALL)
    _async(recording_guard(ScriptedStage(note)), ToolCall("send", {"body": "x" * 100_000}))
    _async(recording_guard(ScriptedStage(note)), CALL)

    main = threading.main_thread()
    assert [thread is main for thread in threads] == [False, False, True]


class _SlowSink(RecordingSink):
    """Notes which thread it was called from."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[threading.Thread] = []

    def record(self, decision: Decision, event: Event, run: Conversation, /, *, durable: bool) -> Future[int]:
        self.threads.append(threading.current_thread())
        return super().record(decision, event, run, durable=durable)


@pytest.mark.parametrize("congested", [False, True], ids=["room", "congested"])
def test_a_congested_log_is_written_to_off_the_event_loop(congested: bool) -> None:
    sink = _SlowSink()
    sink.congested = congested

    _async(recording_guard(ScriptedStage(), sink=sink), CALL)

    assert [thread is threading.main_thread() for thread in sink.threads] == [not congested]


def test_the_active_conversation_is_found_and_children_know_their_parent() -> None:
    sink = RecordingSink()
    guard = recording_guard(ScriptedStage(), sink=sink)

    with guard.conversation("researcher", "find it") as outer:
        guard.check(CALL)
        with guard.conversation(Principal("helper"), "part of it") as inner:
            guard.check(CALL)
    guard.check(CALL)

    assert [record.run.principal.id for record in sink.records] == ["researcher", "helper", "anonymous"]
    assert inner.parent is outer
    assert outer.requests == ("find it",)
    assert current_conversation() is None


def test_a_failure_around_the_guard_is_a_recorded_deny() -> None:
    sink = RecordingSink()
    guard = recording_guard(ScriptedStage(), sink=sink)

    decision = guard.failed(CALL, ValueError("adapter broke"))
    again = asyncio.run(guard.afailed(CALL, ConfigError("odd value")))

    assert (decision.effect, decision.reason) == (Effect.DENY, "stage-failed")
    assert again.reason == "config-invalid"
    assert [record.decision for record in sink.records] == [decision, again]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"stages": []}, "without stages", id="no-stages"),
        pytest.param({"mode": "off"}, "mode is 'off'", id="unknown-mode"),
    ],
)
def test_a_guard_that_could_not_guard_is_refused(settings: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"stages": [ScriptedStage()], "audit": RecordingSink(), **settings}

    with pytest.raises(ConfigError, match=message):
        Guard(**arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_closing_the_guard_closes_the_log() -> None:
    sink = RecordingSink()

    with recording_guard(ScriptedStage(), sink=sink):
        pass

    assert sink.closed
