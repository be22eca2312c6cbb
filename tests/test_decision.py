"""Combining: deny overrides, and a stage more never permits more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard import (
    AgentGuardError,
    Decision,
    Denied,
    Effect,
    Finding,
    Letter,
    Origin,
    RateLimited,
    Rewrite,
    ToolCall,
    Verdict,
    combine,
)

VERDICTS = st.builds(
    Verdict,
    effect=st.sampled_from(Effect),
    findings=st.lists(st.builds(Finding, st.sampled_from(["a", "b"]), st.just("r")), max_size=2).map(tuple),
    obligations=st.lists(st.builds(Rewrite, st.just(("args", "x")), st.text(max_size=3)), max_size=2).map(tuple),
    reason=st.sampled_from(["one", "two"]),
    shadow=st.booleans(),
)


@given(verdicts=st.lists(VERDICTS), extra=VERDICTS)
def test_adding_a_stage_never_permits_more(verdicts: list[Verdict], extra: Verdict) -> None:
    assert combine([*verdicts, extra]).effect.rank >= combine(verdicts).effect.rank


@given(verdicts=st.lists(VERDICTS))
def test_the_strongest_effect_wins_and_gives_the_reason(verdicts: list[Verdict]) -> None:
    counted = [verdict for verdict in verdicts if not verdict.shadow]

    combined = combine(verdicts)

    assert combined.effect.rank == max((verdict.effect.rank for verdict in counted), default=0)
    if combined.effect is not Effect.ALLOW:
        assert combined.reason in {verdict.reason for verdict in counted if verdict.effect is combined.effect}


@given(verdicts=st.lists(VERDICTS))
def test_no_finding_is_lost_and_no_obligation_of_a_counted_stage(verdicts: list[Verdict]) -> None:
    combined = combine(verdicts)

    assert list(combined.findings) == [finding for verdict in verdicts for finding in verdict.findings]
    assert list(combined.obligations) == [
        obligation for verdict in verdicts if not verdict.shadow for obligation in verdict.obligations
    ]


def test_origins_of_every_stage_are_kept_and_never_printed() -> None:
    first = Origin("to", ("args", "to"), Letter.P, Effect.ALLOW, "some value")
    second = Origin("to", ("args", "to"), Letter.U, Effect.DENY, "other value")

    combined = combine([Verdict(origins=(first,)), Verdict(Effect.DENY, origins=(second,))])

    assert combined.origins == (first, second)
    assert "value" not in repr(combined)


@pytest.mark.parametrize(
    ("effect", "mode", "allowed"),
    [
        pytest.param(Effect.ALLOW, "enforce", True, id="allow-goes-on"),
        pytest.param(Effect.DENY, "enforce", False, id="deny-stops"),
        pytest.param(Effect.REQUIRE_APPROVAL, "enforce", False, id="unanswered-question-stops"),
        pytest.param(Effect.DENY, "shadow", True, id="shadow-changes-nothing"),
    ],
)
def test_allowed_follows_effect_and_mode(effect: Effect, mode: str, allowed: bool) -> None:
    decision = Decision(effect, ToolCall("t", {}), "id", mode)  # type: ignore[arg-type]  # table of literals

    assert decision.allowed is allowed


def test_a_refusal_raises_with_its_decision_and_a_rate_limit_with_the_wait() -> None:
    refused = Decision(Effect.DENY, ToolCall("t", {}), "id", message="no")
    limited = Decision(Effect.DENY, ToolCall("t", {}), "id", message="slow down", retry_after=2.5)

    with pytest.raises(Denied, match="no") as denied:
        refused.raise_if_denied()
    with pytest.raises(RateLimited) as slowed:
        limited.raise_if_denied()

    assert denied.value.decision is refused
    assert slowed.value.retry_after == 2.5
    assert isinstance(denied.value, PermissionError)
    assert isinstance(denied.value, AgentGuardError)
