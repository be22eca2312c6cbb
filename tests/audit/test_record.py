"""What the guard records, and what must be durable first."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentguard.audit import AuditLog, decision_record, request_context, verify
from agentguard.audit.record import decode, encode, stamp
from agentguard.conversation import Conversation
from agentguard.decision import Decision, Effect, Finding, Letter, Origin, Span
from agentguard.event import AgentMessage, Event, Message, ModelInput, ModelOutput, Principal, ToolCall, ToolResult
from agentguard.store import Home

SECRET = "made-up-" + "secret-value"
EVENTS: list[Event] = [
    ModelInput((Message("user", SECRET),)),
    ModelOutput(Message("assistant", SECRET)),
    ToolCall("send_email", {"to": SECRET, SECRET: "x"}, "call-1"),
    ToolResult("send_email", {"to": SECRET}, {"text": SECRET}, "call-1"),
    AgentMessage("researcher", "editor", SECRET, SECRET),
]


def decision(event: Event, effect: Effect = Effect.DENY, *, mode: Literal["enforce", "shadow"] = "enforce") -> Decision:
    finding = Finding("secret.token", "rule-1", 0.9, ("args", SECRET), Span(3, 9), message=f"saw {SECRET}")
    return Decision(
        effect,
        event,
        "d-1",
        mode=mode,
        findings=(finding,),
        rules=("r1", "r2"),
        reason="secret-found",
        message=SECRET,
        stage="content",
        elapsed_ns=1200,
    )


def conversation() -> Conversation:
    user = Principal("ann", kind="user", session="s-1", tenant="t-1")
    agent = Principal("researcher", on_behalf_of=user, session="s-2", tenant="t-1")
    return Conversation(
        principal=agent, request=SECRET, framework="langchain", thread="th-1", parent=Conversation(id="p")
    )


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_record_carries_who_what_and_why_but_no_free_text(event: Event) -> None:
    record = decision_record(decision(event), event, conversation(), payloads="digest")

    assert SECRET not in json.dumps(record)
    assert record["type"] == "decision"
    assert (record["decision"], record["disposition"], record["rules"]) == ("deny", "Blocked", ["r1", "r2"])
    assert (record["principal.id"], record["user.id"], record["session.id"]) == ("researcher", "ann", "s-2")
    assert (record["run.parent_id"], record["framework"], record["gen_ai.conversation.id"]) == (
        "p",
        "langchain",
        "th-1",
    )
    assert len(str(record["payload.sha256"])) == 64
    assert "payload.body" not in record


def test_record_names_the_address_of_the_request_it_was_made_in() -> None:
    """Absent is null, never invented."""
    call = ToolCall("t", {})
    decision = Decision(Effect.ALLOW, call, "d")

    outside = decision_record(decision, call, Conversation())
    with request_context(ip_address="192.0.2.7"):
        inside = decision_record(decision, call, Conversation())

    assert (outside["client.address"], inside["client.address"]) == (None, "192.0.2.7")


def test_payload_is_stored_only_when_opted_in() -> None:
    record = decision_record(decision(EVENTS[2]), EVENTS[2], conversation(), payloads="full")

    assert record["payload.body"] == {"tool": "send_email", "args": {"to": SECRET, SECRET: "x"}, "call_id": "call-1"}


def origin(index: int = 0) -> Origin:
    return Origin(
        "to",
        ("args", "to", index),
        Letter.S,
        Effect.DENY,
        SECRET,
        "tool:lookup",
        Span(1, 3),
        f"write to {SECRET}",
        kind="recipient",
        stood=((Letter.S, "tool:lookup"), (Letter.s, "tool:list")),
        reason="origin-unknown",
    )


@pytest.mark.parametrize("payloads", ["digest", "full"])
def test_a_call_is_recorded_with_its_origin_table(payloads: Literal["digest", "full"]) -> None:
    """Enough to judge other sources; the value itself only where payloads are kept."""
    made = dataclasses.replace(decision(EVENTS[2]), origins=(origin(),))

    rows = decision_record(made, EVENTS[2], conversation(), payloads=payloads)["origins"]

    assert rows == [
        {
            "argument": "to",
            "path": ["args", "to", 0],
            "kind": "recipient",
            "origin": "S",
            "effect": "deny",
            "reason": "origin-unknown",
            "source": "tool:lookup",
            "stood": [["S", "tool:lookup"], ["s", "tool:list"]],
            "value.sha256": hashlib.sha256(SECRET.encode()).hexdigest(),
            "value.length": len(SECRET),
            **({"value": SECRET} if payloads == "full" else {}),
        }
    ]


def test_the_recorded_origin_table_is_bounded() -> None:
    made = dataclasses.replace(decision(EVENTS[2]), origins=tuple(map(origin, range(350))))

    record = decision_record(made, EVENTS[2], conversation())

    assert len(list(record["origins"])) == 200  # type: ignore[arg-type]  # a list, as tested above
    assert record["origins.omitted"] == 150


def test_an_argument_name_that_is_no_name_is_recorded_as_digest() -> None:
    made = dataclasses.replace(decision(EVENTS[2]), origins=(dataclasses.replace(origin(), argument=SECRET),))

    assert SECRET not in json.dumps(decision_record(made, EVENTS[2], conversation()))


def test_same_payload_has_the_same_digest_whatever_its_key_order() -> None:
    digests = {
        decision_record(decision(event), event, conversation())["payload.sha256"]
        for event in (ToolCall("t", {"a": 1, "b": 2}), ToolCall("t", {"b": 2, "a": 1}), ToolCall("t", {"a": 1, "b": 3}))
    }

    assert len(digests) == 2


def test_shadow_denial_says_that_it_went_on() -> None:
    record = decision_record(decision(EVENTS[2], mode="shadow"), EVENTS[2], conversation())

    assert (record["decision"], record["disposition"], record["mode"]) == ("deny", "Allowed", "shadow")


def test_guard_records_are_found_by_every_indexed_name(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "h")
    with AuditLog.open(home) as log:
        log.append(decision_record(decision(EVENTS[2]), EVENTS[2], conversation()), durable=True).result()

        for where in ({"tool": "send_email"}, {"rule": "r2"}, {"user": "ann"}, {"thread": "th-1"}, {"call": "call-1"}):
            assert len(list(log.query(where=where))) == 1
            assert list(log.query(where={name: value + "x" for name, value in where.items()})) == []
    assert verify(home).exit_code == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


# The first text drawn on a machine builds tables of Unicode, which takes a second.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_records_survive_their_encoding(record: dict[str, object]) -> None:
    assert decode(encode(record)) == record  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 2**62), min_size=2, max_size=2))
def test_stamps_order_as_times_do(times: list[int]) -> None:
    assert (stamp(times[0]) < stamp(times[1])) is (times[0] < times[1])
