"""Attacks on plain functions made tools: what the guard judged must be what runs and what is said."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from agentguard import ApprovalRequest, AuditLog, Denied, Effect, Guard, Home, ToolCall, ToolFailedError, ToolResult
from agentguard.audit.record import path_step

POLICY = """
version: 1
tools:
  send: {side_effect: send, args: {to: {sink: recipient, sources: [user]}, body: {content: true}}, extra_args: allow}
  look_up: {side_effect: read}
  pay: {side_effect: money, approval: always, args: {to: {sink: account, sources: [user]}}}
roles:
  writer: {permissions: [execute_agent], tools: [send, look_up, pay]}
agents:
  a: {roles: [writer]}
"""
TOKEN = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
REQUEST = "mail bob@example.com"


def guard_in(folder: Path, *, policy: str = POLICY, **options: Any) -> Guard:
    """A guard from a real file, with a real home."""
    home = Home.create(folder / "home")
    AuditLog.open(home).close()
    (folder / "agentguard.yaml").write_text(policy)
    return Guard.from_file(folder / "agentguard.yaml", home=home.path, agent="a", **options)


def test_keyword_of_the_same_name_cannot_hide_var_args(tmp_path: Path) -> None:
    """``send(evil, to=good)``: the guard must not judge the one and run the other."""
    ran: list[object] = []

    def send(*to: str, **headers: str) -> None:
        ran.append((to, headers))

    guard = guard_in(tmp_path)
    with guard.conversation("a", REQUEST), pytest.raises(Denied):
        guard.wrap_tool(send)("eve@evil.example", to="bob@example.com")

    assert ran == []


def test_keyword_of_the_same_name_cannot_hide_a_positional_only_argument(tmp_path: Path) -> None:
    """As above, with ``def send(to, /, **headers)``."""
    ran: list[object] = []

    def send(to: object, /, **headers: str) -> None:
        ran.append((to, headers))

    guard = guard_in(tmp_path)
    with guard.conversation("a", REQUEST), pytest.raises(Denied):
        guard.wrap_tool(send)(("eve@evil.example",), to="bob@example.com")

    assert ran == []


def test_two_keys_that_read_alike_cannot_hide_a_value(tmp_path: Path) -> None:
    """``{1: ..., "1": ...}`` has one JSON key, so one of its values would be unseen."""
    guard = guard_in(tmp_path)
    look_up = guard.wrap_tool(lambda: {1: TOKEN, "1": "fine"}, name="look_up")

    with guard.conversation("a", REQUEST), pytest.raises(Denied):
        look_up()


def test_argument_changed_while_a_person_is_asked_does_not_run(tmp_path: Path) -> None:
    """An object that is passed on as it is must still read as it was approved."""

    class Recipients(list[str]):
        pass

    ran: list[object] = []
    recipients = Recipients(["bob@example.com"])

    def change(_: ApprovalRequest) -> bool:
        recipients[0] = "eve@evil.example"
        return True

    policy = POLICY.replace("side_effect: send,", "side_effect: send, approval: always,")
    guard = guard_in(tmp_path, policy=policy, approver=change)
    with guard.conversation("a", REQUEST), pytest.raises(Denied):
        guard.wrap_tool(lambda to: ran.append(to), name="send")(recipients)

    assert ran == []


def test_secret_in_an_exceptions_arguments_does_not_leave(tmp_path: Path) -> None:
    """``str`` of a UnicodeDecodeError is harmless; ``repr``, which frameworks print, holds the whole input."""
    guard = guard_in(tmp_path)

    def look_up() -> str:
        return (TOKEN.encode() + b"\xff").decode()

    with guard.conversation("a", REQUEST), pytest.raises(ToolFailedError) as caught:
        guard.wrap_tool(look_up)()

    assert TOKEN not in repr(caught.value)


def test_secret_in_an_exceptions_notes_does_not_leave(tmp_path: Path) -> None:
    """Notes are part of what a traceback says."""
    guard = guard_in(tmp_path)

    def look_up() -> str:
        error = ValueError("bad")
        error.add_note(TOKEN)
        raise error

    with guard.conversation("a", REQUEST), pytest.raises(ToolFailedError) as caught:
        guard.wrap_tool(look_up)()

    assert TOKEN not in repr(caught.value)
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_yes_of_an_async_approver_after_the_expiry_is_a_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """The answer counts when it is given, not when its coroutine was made."""
    now = time.time()
    clock = [now]

    async def late(request: ApprovalRequest) -> bool:
        clock[0] = request.expires_at + 1
        return True

    guard = guard_in(tmp_path, approver=late)
    monkeypatch.setattr("agentguard.guard.time.time", lambda: clock[0])
    call = ToolCall("pay", {"to": "acme"})
    with guard.conversation("a", "pay acme") as run:
        if mode == "async":
            decision = await guard.acheck(call, run=run)
        else:
            decision = await asyncio.to_thread(guard.check, call, run=run)

    assert (decision.effect, decision.reason) == (Effect.DENY, "approval-refused")


def test_evidence_for_a_crafted_value_is_found_in_linear_time(tmp_path: Path) -> None:
    """``aaaa!`` in a megabyte of ``a``: a backtracking search took 16 s."""
    guard = guard_in(tmp_path)
    with guard.conversation("a", REQUEST) as run:
        guard.check(ToolResult("look_up", {}, "a" * 990_000), run=run)
        started = time.thread_time()
        decision = guard.check(ToolCall("send", {"to": "a" * 5_000 + "!"}), run=run)

    assert time.thread_time() - started < 2
    assert decision.reason == "origin-untrusted"


def test_secret_used_as_a_dictionary_key_is_not_in_the_record(tmp_path: Path) -> None:
    """A token reads like the name of a parameter; a record of findings must not hold it."""
    guard = guard_in(tmp_path)
    with guard.conversation("a", REQUEST) as run:
        decision = guard.check(ToolResult("look_up", {}, {TOKEN: "x"}), run=run)
    guard.close()
    with AuditLog.open(Home.open(tmp_path / "home")) as log:
        records = repr([record.data for record in log.tail(5)])

    assert decision.findings
    assert TOKEN not in records
    assert path_step("recipient") == "recipient"


@pytest.mark.parametrize("mode", ["sync", "async"])
async def test_number_too_long_to_write_is_refused_by_a_decision(tmp_path: Path, mode: str) -> None:
    """Python refuses to spell an integer of 5,000 digits: that is a deny, not an exception out of the guard."""
    guard = guard_in(tmp_path)
    call = ToolCall("send", {"to": 10**5_000})
    with guard.conversation("a", REQUEST) as run:
        decision = await guard.acheck(call, run=run) if mode == "async" else guard.check(call, run=run)

    assert decision.effect is Effect.DENY
    assert not decision.allowed


@pytest.mark.parametrize("sink", ["sink: path, sources: [user], ", ""])
@pytest.mark.parametrize(
    "path", ["docs/../etc/passwd", "docs/..\\x", "docs/%2e%2e/x", "docs/%252e%252e/x", "docs/.. /x", "docs/a/.."]
)
def test_allow_glob_over_paths_does_not_reach_out_of_its_folder(tmp_path: Path, sink: str, path: str) -> None:
    """``allow: ["docs/*"]`` reads like a folder, so a path that climbs out of it must not match."""
    row = "{" + sink + 'allow: ["docs/*"]}'
    policy = POLICY.replace("look_up: {side_effect: read}", "look_up: {side_effect: read, args: {path: " + row + "}}")
    guard = guard_in(tmp_path, policy=policy)
    with guard.conversation("a", f"read {path} and docs/a/b.txt please") as run:
        climbing = guard.check(ToolCall("look_up", {"path": path}), run=run)
        honest = guard.check(ToolCall("look_up", {"path": "docs/a/b.txt"}), run=run)

    assert climbing.reason == "argument-not-permitted"
    assert honest.allowed
