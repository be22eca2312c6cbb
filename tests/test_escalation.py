"""Approvals through a real guard: waiting, resuming, and what a yes is worth when something changed meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agentguard import AuditLog, Decision, Effect, Guard, Home, Policy, Principal, ToolCall, Verdict
from agentguard.access import ApprovalQueue, ApprovalRequest
from agentguard.accounts import rotate_kek
from agentguard.assembly import approval_queue
from agentguard.testing import ScriptedStage

POLICY = """
version: 1
roles:
  clerk: {{permissions: [execute_agent], tools: [pay]}}
  manager: {{permissions: [read_data]}}
  chief: {{inherits: [manager]}}
agents: {{bot: {{roles: [clerk]}}}}
tools:
  pay:
    side_effect: money
    approval: always
    rate: 2/hour
    {tool}
    args: {{amount: {{sink: amount, max: 100}}, to: {{sink: recipient}}}}
approval: {{approver: queue, wait: {wait}, expires: 600{approval}}}
"""
PROMPT = "Pay 50 euros to bob@example.com."
CALL = ToolCall("pay", {"amount": 50, "to": "bob@example.com"}, "c1")
ANN = Principal("ann", kind="user")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh project folder."""
    return Home.create(tmp_path / ".agentguard")


def policy(*, wait: int = 0, tool: str = "", approval: str = "") -> Policy:
    """Every payment needs a yes."""
    return Policy.parse(POLICY.format(wait=wait, tool=tool, approval=approval))


@contextmanager
def desk(home: Home, rules: Policy) -> Iterator[ApprovalQueue]:
    """The queue as another process sees it."""
    with AuditLog.open(home) as log, closing(approval_queue(rules, home, log)) as queue:
        yield queue


def decide(home: Home, rules: Policy, *, by: Principal = ANN, approved: bool = True) -> str | None:
    """Somebody answers the only open question."""
    with desk(home, rules) as queue:
        (question,), _ = queue.questions()
        return queue.answer(question.digest, by=by, approved=approved, record=lambda *_: None)


def pay(guard: Guard, call: ToolCall = CALL, *, run: str = "run-1", by: str = "bot") -> Decision:
    with guard.conversation(by, PROMPT, id=run):
        return guard.check(call)


def test_a_call_is_refused_for_now_and_runs_once_after_the_yes(home: Home) -> None:
    """Resume later, in another process: the guard is opened anew in between."""
    rules = policy()
    with Guard.from_policy(rules, home=home.path) as guard:
        first = pay(guard)
    answered = decide(home, rules)
    with Guard.from_policy(rules, home=home.path) as guard:
        second = pay(guard)
        third = pay(guard, run="run-1")

    assert (first.effect, first.allowed, first.reason) == (Effect.REQUIRE_APPROVAL, False, "approval-pending")
    assert answered is None
    assert (second.effect, second.reason) == (Effect.ALLOW, "approved")
    # The yes is used up; two an hour were spent as well.
    assert third.effect is not Effect.ALLOW


def test_an_open_question_outlives_a_new_key_encryption_key(home: Home) -> None:
    """It is sealed under a data key of the home, which is wrapped anew."""
    rules = policy()
    with Guard.from_policy(rules, home=home.path) as guard:
        pay(guard)
    rotate_kek(home)
    decide(home, rules)

    with Guard.from_policy(rules, home=home.path) as guard:
        assert pay(guard).reason == "approved"


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_call_waits_for_its_answer(home: Home, mode: str) -> None:
    """The async wait leaves the loop to others meanwhile; both end with the answer, not with the time."""
    rules = policy(wait=60)
    ticks = 0

    def answer() -> None:
        while True:
            with desk(home, rules) as queue:
                if queue.questions()[0]:
                    break
            time.sleep(0.05)
        decide(home, rules)

    async def waiting(guard: Guard) -> Decision:
        nonlocal ticks
        with guard.conversation("bot", PROMPT, id="run-1"):
            asked = asyncio.create_task(guard.acheck(CALL))
            while not asked.done():
                ticks += 1
                await asyncio.sleep(0.01)
            return await asked

    with Guard.from_policy(rules, home=home.path) as guard:
        person = threading.Thread(target=answer)
        person.start()
        decision = pay(guard) if mode == "sync" else asyncio.run(waiting(guard))
        person.join()

    assert (decision.effect, decision.reason) == (Effect.ALLOW, "approved")
    assert decision.rules
    assert [each.rule for each in decision.findings if each.type == "access.answered"] == ["approver.ann"]
    if mode == "async":
        assert ticks > 5


def test_nobody_answers_in_time(home: Home) -> None:
    """The call is refused for now, and the question stays."""
    rules = policy(wait=1)
    with Guard.from_policy(rules, home=home.path) as guard:
        decision = pay(guard)

    with desk(home, rules) as queue:
        assert len(queue.questions()[0]) == 1
    assert decision.reason == "approval-pending"


def test_a_no_is_a_no_for_the_same_call_again(home: Home) -> None:
    rules = policy()
    with Guard.from_policy(rules, home=home.path) as guard:
        pay(guard)
        decide(home, rules, approved=False)
        decision = pay(guard)

    assert (decision.effect, decision.reason) == (Effect.DENY, "approval-refused")


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(lambda guard: pay(guard, ToolCall("pay", {**CALL.args, "x": 1})), id="argument-more"),
        pytest.param(lambda guard: pay(guard, ToolCall("pay", {**CALL.args, "amount": 50.5})), id="other-amount"),
        pytest.param(lambda guard: pay(guard, run="run-2"), id="other-conversation"),
    ],
)
def test_a_yes_is_no_yes_to_another_call(home: Home, later: Callable[[Guard], Decision]) -> None:
    rules = policy()
    with Guard.from_policy(rules, home=home.path) as guard:
        pay(guard)
        decide(home, rules)

        assert not later(guard).allowed


def test_another_policy_asks_anew(home: Home) -> None:
    """The yes was given under other rules."""
    rules = policy()
    with Guard.from_policy(rules, home=home.path) as guard:
        pay(guard)
    decide(home, rules)

    with Guard.from_policy(policy(tool="repeat: allow"), home=home.path) as guard:
        assert pay(guard).reason == "approval-pending"


def test_a_deny_of_today_wins_over_the_yes(home: Home) -> None:
    """The rules decide again once the answer is there; the yes is not used up by it."""
    rules = policy(wait=60)
    verdicts = iter([Verdict(), Verdict(Effect.DENY, reason="suspended", message="Suspended.")])
    with Guard.from_policy(rules, home=home.path) as real:
        stages = [*real.stages, ScriptedStage(lambda _: next(verdicts))]
        guard = Guard(
            stages=stages,
            audit=real._audit,
            approver=real._escalations._approver,
            policy_digest=rules.digest,
        )

        def answer() -> None:
            while True:
                with desk(home, rules) as queue:
                    if queue.questions()[0]:
                        break
                time.sleep(0.05)
            decide(home, rules)

        person = threading.Thread(target=answer)
        person.start()
        decision = pay(guard)
        person.join()

    with desk(home, rules) as queue:
        (question,), _ = queue.questions()
    assert (decision.effect, decision.reason) == (Effect.DENY, "suspended")
    assert question.used_at is None


def test_waiting_spends_the_rate_once(home: Home) -> None:
    """Deciding again after the answer is no second attempt: with one an hour, an approved call still runs."""
    rules = Policy.parse(POLICY.format(wait=60, tool="", approval="").replace("2/hour", "1/hour"))
    with Guard.from_policy(rules, home=home.path) as guard:
        person = threading.Timer(0.3, lambda: _answered_soon(home, rules))
        person.start()
        decision = pay(guard)
        person.join()

    assert decision.reason == "approved"


def _answered_soon(home: Home, rules: Policy) -> None:
    for _ in range(200):
        with desk(home, rules) as queue:
            if queue.questions()[0]:
                break
        time.sleep(0.05)
    decide(home, rules)


@pytest.mark.parametrize(
    ("tool", "approval", "role", "refusal"),
    [
        pytest.param("", "", None, None, id="no-role-asked"),
        pytest.param("approver: manager", "", None, "approval-role", id="asked-by-the-tool"),
        pytest.param("", ", role: manager", None, "approval-role", id="asked-by-the-policy"),
        pytest.param("approver: manager", "", "manager", None, id="held"),
        pytest.param("approver: manager", "", "chief", None, id="inherited"),
        pytest.param("approver: manager", ", role: chief", "manager", None, id="the-tools-own-counts"),
    ],
)
def test_the_role_that_the_rule_asks_for(
    home: Home, tool: str, approval: str, role: str | None, refusal: str | None
) -> None:
    """Assigned in the home, looked up when the answer comes."""
    from agentguard.assembly import roles_of

    rules = policy(tool=tool, approval=approval)
    if role is not None:
        with AuditLog.open(home) as log, closing(roles_of(rules, home=home, log=log)) as rbac:
            rbac.assign_role("ann", role)
    with Guard.from_policy(rules, home=home.path) as guard:
        pay(guard)

        assert decide(home, rules) == refusal


def test_the_agent_cannot_approve_itself_and_its_user_can(home: Home) -> None:
    rules = policy()
    with Guard.from_policy(rules, home=home.path) as guard:
        pay(guard, by=Principal("bot", on_behalf_of=Principal("alice", kind="user", roles=("clerk",))))  # type: ignore[arg-type]

        assert decide(home, rules, by=Principal("bot", kind="user")) == "approval-own"
        assert decide(home, rules, by=Principal("alice", kind="user")) is None


def test_a_queue_that_cannot_be_used_approves_nothing(home: Home) -> None:
    """The database is gone: the call is refused, and that is recorded."""
    rules = policy()
    with Guard.from_policy(rules, home=home.path) as guard:
        pay(guard)
        decide(home, rules)
        home.state_path.unlink()

        decision = pay(guard)

    assert decision.effect is Effect.DENY


def test_an_own_approver_is_asked_in_place_of_the_queue(home: Home) -> None:
    asked: list[ApprovalRequest] = []

    def approver(request: ApprovalRequest) -> bool:
        asked.append(request)
        return True

    with Guard.from_policy(policy(), home=home.path, approver=approver) as guard:
        decision = pay(guard)

    assert len(asked) == 1
    assert decision.reason == "approved"


def test_the_decision_record_says_who_approved(home: Home) -> None:
    rules = policy()
    with Guard.from_policy(rules, home=home.path) as guard:
        pay(guard)
        decide(home, rules)
        pay(guard)
    with AuditLog.open(home) as log:
        (record,) = [found.data for found in log.query(where={"reason": "approved"})]
        pending = list(log.query(where={"reason": "approval-pending"}))

    assert "approver.ann" in str(record["findings"])
    assert len(pending) == 1
