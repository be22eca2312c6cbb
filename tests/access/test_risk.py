"""Risk states and the stage that reads them: on both engines, across processes, and with no way around."""

from __future__ import annotations

import pytest
from sqlalchemy import MetaData

from agentguard.access.risk import SLOW_S, Response, RiskLevel, RiskStates, risk_key
from agentguard.conversation import Conversation
from agentguard.decision import Effect
from agentguard.errors import ConfigError
from agentguard.event import AgentMessage, Event, Message, ModelInput, Principal, ToolCall
from agentguard.store import Home, open_state

ADA = Principal("ada", kind="user", tenant="t1")
AGENT = Principal("researcher", on_behalf_of=ADA)
CALL = ToolCall("web_search", {"q": "x"})


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def states(home: Home, clock: Clock) -> RiskStates:
    metadata = MetaData()
    RiskStates.define(metadata)
    return RiskStates(lambda: open_state(home, metadata), clock=clock)


@pytest.mark.parametrize(
    ("level", "event", "effect", "reason"),
    [
        pytest.param("suspended", CALL, Effect.DENY, "principal-suspended", id="suspended-tool"),
        pytest.param(
            "suspended", ModelInput((Message("user", "hi"),)), Effect.DENY, "principal-suspended", id="suspended-model"
        ),
        pytest.param(
            "suspended", AgentMessage("researcher", "b", "t", "x"), Effect.DENY, "principal-suspended",
            id="suspended-message",
        ),
        pytest.param("ask", CALL, Effect.REQUIRE_APPROVAL, "principal-watched", id="watched-tool"),
        pytest.param("ask", ModelInput((Message("user", "hi"),)), Effect.ALLOW, "", id="watched-model"),
        pytest.param("slow", CALL, Effect.ALLOW, "", id="slow-first-call"),
    ],
)  # fmt: skip
def test_each_state_has_its_own_answer(
    state_home: Home, level: RiskLevel, event: Event, effect: Effect, reason: str
) -> None:
    known = states(state_home, Clock())
    known.raise_to(risk_key(AGENT), level, seconds=60)

    verdict = Response(known).inspect(event, Conversation(principal=AGENT))

    assert (verdict.effect, verdict.reason) == (effect, reason)
    known.close()


def test_without_a_state_everything_passes(state_home: Home) -> None:
    known = states(state_home, Clock())

    assert Response(known).inspect(CALL, Conversation(principal=AGENT)).effect is Effect.ALLOW
    known.close()


def test_a_suspended_user_is_suspended_through_every_agent(state_home: Home) -> None:
    """Whom an agent acts for counts: another agent is no way around."""
    known = states(state_home, Clock())
    known.raise_to(risk_key(ADA), "suspended", seconds=60)

    verdict = Response(known).inspect(CALL, Conversation(principal=AGENT))

    assert verdict.reason == "principal-suspended"
    known.close()


@pytest.mark.parametrize(
    "other",
    [Principal("ada", kind="agent", tenant="t1"), Principal("ada", kind="user", tenant="t2")],
    ids=["an-agent-of-that-name", "another-tenant"],
)
def test_a_state_belongs_to_one_identity(state_home: Home, other: Principal) -> None:
    known = states(state_home, Clock())
    known.raise_to(risk_key(ADA), "suspended", seconds=60)

    assert Response(known).inspect(CALL, Conversation(principal=other)).effect is Effect.ALLOW
    known.close()


def test_slow_lets_one_call_through_and_says_how_long_to_wait(state_home: Home) -> None:
    clock, known = Clock(), states(state_home, Clock())
    known.raise_to(risk_key(AGENT), "slow", seconds=60)
    stage, run = Response(known, clock=clock), Conversation(principal=AGENT)

    first, second = stage.inspect(CALL, run), stage.inspect(CALL, run)
    clock.now += SLOW_S
    third = stage.inspect(CALL, run)

    assert [first.effect, second.effect, third.effect] == [Effect.ALLOW, Effect.DENY, Effect.ALLOW]
    assert second.reason == "principal-slowed"
    assert second.retry_after == pytest.approx(SLOW_S)
    known.close()


def test_a_state_ends_at_its_expiry(state_home: Home) -> None:
    clock = Clock()
    known = states(state_home, clock)
    known.raise_to("t/agent/a", "suspended", seconds=60)

    clock.now += 61

    assert known.of("t/agent/a") is None
    assert known.all() == []
    known.close()


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [("suspended", "slow", "suspended"), ("slow", "suspended", "suspended"), ("ask", "ask", "ask")],
)
def test_a_weaker_state_never_replaces_a_stronger(
    state_home: Home, first: RiskLevel, second: RiskLevel, left: RiskLevel
) -> None:
    known = states(state_home, Clock())
    known.raise_to("p", first, seconds=60)
    known.raise_to("p", second, seconds=3600)

    risk = known.of("p")

    assert risk is not None
    assert risk.level == left
    known.close()


def test_what_has_expired_is_replaced_by_anything(state_home: Home) -> None:
    clock = Clock()
    known = states(state_home, clock)
    known.raise_to("p", "suspended", seconds=60)
    clock.now += 61
    known.raise_to("p", "slow", seconds=60)

    risk = known.of("p")

    assert risk is not None
    assert risk.level == "slow"
    known.close()


def test_a_lift_elsewhere_holds_here_within_a_second(state_home: Home) -> None:
    clock = Clock()
    here, there = states(state_home, clock), states(state_home, clock)
    here.raise_to("p", "suspended", seconds=600)
    assert here.of("p") is not None

    assert there.lift("p")
    clock.now += 1.1

    assert here.of("p") is None
    assert not there.lift("p")
    here.close()
    there.close()


def test_states_survive_a_restart(state_home: Home) -> None:
    clock = Clock()
    first = states(state_home, clock)
    first.raise_to("p", "suspended", seconds=600, alert="a1")
    first.close()

    again = states(state_home, clock)

    assert [(risk.principal, risk.level, risk.alert) for risk in again.all()] == [("p", "suspended", "a1")]
    again.close()


@pytest.mark.parametrize(("level", "seconds"), [("alert", 60), ("suspended", 0), ("suspended", float("nan"))])
def test_what_is_no_state_is_refused(level: str, seconds: float) -> None:
    known = RiskStates(lambda: pytest.fail("the database was opened"))

    with pytest.raises(ConfigError):
        known.raise_to("p", level, seconds=seconds)  # type: ignore[arg-type]
