"""Approval requests: what they are bound to, and what a person sees."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.access import ApprovalRequest, TerminalApprover, ask_terminal
from agentguard.access.approval import escaped
from agentguard.conversation import Conversation
from agentguard.decision import Effect, Finding, Letter, Origin
from agentguard.errors import ConfigError
from agentguard.event import Principal, ToolCall

USER = Principal("alice", kind="user")
REQUEST = ApprovalRequest(
    "pay", {"to": "DE1", "amount": 5}, Principal("bot", on_behalf_of=USER), "c1", "d" * 64, 1000.0
)


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"tool": "pay2"}, id="tool"),
        pytest.param({"args": {"to": "DE2", "amount": 5}}, id="argument"),
        pytest.param({"args": {"to": "DE1", "amount": "5"}}, id="type-of-an-argument"),
        pytest.param({"args": {"to": "DE1", "amount": 5, "x": None}}, id="further-argument"),
        pytest.param({"principal": Principal("bot2", on_behalf_of=USER)}, id="principal"),
        pytest.param({"principal": Principal("bot", roles=("admin",), on_behalf_of=USER)}, id="roles"),
        pytest.param({"principal": Principal("bot", tenant="t", on_behalf_of=USER)}, id="tenant"),
        pytest.param({"principal": Principal("bot")}, id="on-behalf-of"),
        pytest.param({"conversation": "c2"}, id="conversation"),
        pytest.param({"policy_digest": "e" * 64}, id="policy"),
        pytest.param({"expires_at": 1001.0}, id="expiry"),
    ],
)
def test_digest_changes_with_everything_the_answer_is_bound_to(change: dict[str, Any]) -> None:
    """A yes to one call is no yes to another."""
    assert dataclasses.replace(REQUEST, **change).digest != REQUEST.digest


def test_digest_ignores_the_order_of_arguments() -> None:
    """Canonical JSON."""
    assert dataclasses.replace(REQUEST, args={"amount": 5, "to": "DE1"}).digest == REQUEST.digest


def test_request_keeps_its_own_copy() -> None:
    """What the caller changes later is not what was approved."""
    args: dict[str, Any] = {"to": ["DE1"]}
    request = dataclasses.replace(REQUEST, args=args)
    before = request.digest

    args["to"].append("DE2")

    assert request.digest == before


def test_request_of_a_call_expires() -> None:
    """Seconds from now, by the given clock."""
    run = Conversation(principal=USER, id="c1")
    request = ApprovalRequest.of(ToolCall("pay", {}), run, policy_digest="d", ttl=60, clock=lambda: 100.0)

    assert (request.expires_at, request.conversation, request.principal) == (160.0, "c1", USER)
    assert not request.expired(159.9)
    assert request.expired(160.0)


@pytest.mark.parametrize("ttl", [0.0, -1.0, float("inf"), float("nan")])
def test_endless_request_is_refused(ttl: float) -> None:
    """An approval that never expires is a permission."""
    with pytest.raises(ConfigError):
        ApprovalRequest.of(ToolCall("pay", {}), Conversation(), policy_digest="d", ttl=ttl)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a\u202eb", "a\\u{202E}b", id="bidi"),
        pytest.param("a\u200bb", "a\\u{200B}b", id="zero-width"),
        pytest.param("\x1b[2J", "\\u{001B}[2J", id="terminal-escape"),
        pytest.param("\x9b2J", "\\u{009B}2J", id="terminal-escape-8-bit"),
        pytest.param("a\nb\r\tc", "a\\nb\\r\\tc", id="line-ends"),
        pytest.param("a\U000e0041", "a\\u{E0041}", id="tag"),
        pytest.param("a\ufe0f", "a\\u{FE0F}", id="variation-selector"),
        pytest.param("a\u3164", "a\\u{3164}", id="filler"),
        pytest.param("a\u00a0b", "a\\u{00A0}b", id="no-break-space"),
        pytest.param("\ud800", "\\u{D800}", id="surrogate"),
        pytest.param("\\u{202E}", "\\\\u{202E}", id="backslash-cannot-fake-an-escape"),
        pytest.param('a" b', 'a\\" b', id="quote-cannot-fake-an-end"),
        pytest.param("Grüße 你好", "Grüße 你好", id="letters-stay"),
    ],
)
def test_unseen_characters_are_shown(text: str, shown: str) -> None:
    """What the person reads is what will run."""
    assert escaped(text) == shown


def test_render_shows_all_of_the_call() -> None:
    """Tool, person behind it, every argument, reasons and digest; one line each."""
    request = dataclasses.replace(
        REQUEST,
        args={"to": ["a@x\nto = safe", {"k\x1b": True}], "note": "n" * 5000},
        findings=(Finding("flow.origin", "r", message="to was\x07 found nowhere"),),
    )

    lines = request.render().splitlines()

    assert len(lines) == 6
    assert lines[1] == "  on behalf of alice"
    assert lines[2] == '  to = ["a@x\\nto = safe", {"k\\u{001B}": true}]'
    assert "3000 characters not shown" in lines[3]
    assert "\\u{0007}" in lines[4]
    assert request.digest in lines[5]


def test_render_shows_what_is_in_doubt_and_the_sentence_it_stood_in() -> None:
    """Value, origin and sentence of every value that did not pass; the others would only hide it."""
    doubtful = Origin(
        "to", ("args", "to"), Letter.s, Effect.REQUIRE_APPROVAL, "eve\u200b@x", "tool:list", None, "mail\n eve now"
    )
    passed = Origin("cc", ("args", "cc"), Letter.P, Effect.ALLOW, "bob@x", "user", None, "tell bob@x")
    request = dataclasses.replace(REQUEST, origins=(passed, doubtful))

    lines = request.render().splitlines()

    assert sum("bob@x" in line for line in lines) == 0
    (line,) = [line for line in lines if "eve" in line]
    assert "eve\\u{200B}@x" in line
    assert doubtful.meaning in line
    assert "(tool:list)" in line
    assert 'in: "mail eve now"' in line
    assert request.digest == REQUEST.digest


def test_render_bounds_the_values_in_doubt() -> None:
    origins = tuple(
        Origin("to", ("args", "to", index), Letter.N, Effect.REQUIRE_APPROVAL, f"v{index}") for index in range(30)
    )

    text = dataclasses.replace(REQUEST, origins=origins).render()

    assert "v19" in text
    assert "v20" not in text
    assert "10 more values" in text


@given(text=st.text())
def test_escaped_text_is_printable_and_reversible(text: str) -> None:
    """Nothing unseen is left, and two texts never look alike because of the escaping."""
    shown = escaped(text)

    assert shown.replace(" ", "").isprintable()
    assert escaped(text + "\u200b") != shown


@pytest.mark.parametrize(
    ("typed", "now", "approved"),
    [
        pytest.param("yes\n", 0.0, True, id="yes"),
        pytest.param("YES \n", 0.0, True, id="yes-in-capitals"),
        pytest.param("y\n", 0.0, False, id="y-is-not-enough"),
        pytest.param("\n", 0.0, False, id="enter"),
        pytest.param("", 0.0, False, id="end-of-input"),
        pytest.param("no\n", 0.0, False, id="no"),
        pytest.param("yes\n", 1000.0, False, id="too-late"),
    ],
)
def test_terminal_approver_takes_only_a_full_yes_in_time(typed: str, now: float, approved: bool) -> None:
    """Everything else is a no."""
    sink = Terminal()

    assert TerminalApprover(Terminal(typed), sink, clock=lambda: now)(REQUEST) is approved
    assert REQUEST.digest in sink.getvalue()


@pytest.mark.parametrize(("source", "sink"), [(io.StringIO("yes\n"), Terminal()), (Terminal("yes\n"), io.StringIO())])
def test_no_terminal_is_a_no(source: io.StringIO, sink: io.StringIO) -> None:
    """Piped input approves nothing."""
    assert TerminalApprover(source, sink)(REQUEST) is False


def test_ask_terminal_under_pytest_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input is no terminal here."""
    monkeypatch.setattr("sys.stdin", io.StringIO("yes\n"))

    assert ask_terminal(REQUEST) is False
