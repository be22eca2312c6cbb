"""Repeated denials: one durable record and an exact count."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agentguard import Conversation, Guard, Principal, ToolCall
from agentguard.audit import AuditLog, verify
from agentguard.errors import WriteError
from agentguard.event import Json
from agentguard.store import Home
from tests.audit.damage import rows


class Clock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * 10**9

    def time_ns(self) -> int:
        return self.now

    monotonic_ns = time_ns


def denial(principal: str = "mallory", **more: Json) -> dict[str, Json]:
    return {"type": "decision", "decision": "deny", "mode": "enforce", "principal.id": principal, **more}


def summaries(log: AuditLog) -> list[dict[str, Json]]:
    return [entry.data for entry in log.query(where={"type": "decision-repeats"})]


def test_a_flood_is_one_record_and_an_exact_count(home: Home) -> None:
    clock = Clock()
    with AuditLog.open(home, clock=clock) as log:
        futures = [
            log.append(denial(**{"gen_ai.tool.name": f"t{n % 3}"}), durable=True, repeats=("m", "t"))
            for n in range(500)
        ]
        assert {future.result(10) for future in futures} == {0}
        log.flush()

        (found,) = summaries(log)

    assert found["count"] == 499
    assert found["principal.id"] == "mallory"
    assert sorted(map(str, found["gen_ai.tool.name"] or ())) == ["t0", "t1", "t2"]  # type: ignore[arg-type]
    assert verify(home, clock=clock).records == 2


def test_kinds_are_counted_apart_and_a_second_later_anew(home: Home) -> None:
    clock = Clock()
    with AuditLog.open(home, clock=clock) as log:
        for _ in range(2):
            for principal in ("a", "b"):
                for _ in range(4):
                    log.append(denial(principal), durable=True, repeats=(principal, "t"))
            clock.now += 1_000_000_000
        log.flush()
        counts = sorted((str(found["principal.id"]), found["count"]) for found in summaries(log))

    assert counts == [("a", 3), ("a", 3), ("b", 3), ("b", 3)]
    assert verify(home, clock=clock).records == 8


def test_the_count_is_written_without_anybody_asking(home: Home) -> None:
    """The writer wakes at the window's end."""
    written = threading.Event()
    with AuditLog.open(home) as log:
        for _ in range(3):
            log.append(denial(), durable=True, repeats=("m", "t"))
        for _ in range(100):
            if len(rows(home, "frame")) >= 2:
                break
            written.wait(0.1)
        assert [found["count"] for found in summaries(log)] == [2]


def test_single_denials_leave_no_summary_and_no_heartbeats(home: Home) -> None:
    with AuditLog.open(home) as log:
        log.append(denial(), durable=True, repeats=("m", "t")).result()
        threading.Event().wait(1.3)
        log.append(denial(), durable=True, repeats=("m", "t")).result()
        checkpoints = len(rows(home, "checkpoint"))

    assert checkpoints == 3
    assert verify(home).records == 2


def test_repeats_of_a_denial_that_was_not_stored_are_refused_and_counted(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog.open(home, retry_s=0.05)
    gate, commit = threading.Event(), log._writer.commit
    broken = [True]

    def failing(*args: object, **more: object) -> int:
        gate.wait(10)
        if broken[0]:
            raise OSError(5, "Input/output error")
        return commit(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(log._writer, "commit", failing)
    futures = [log.append(denial(), durable=True, repeats=("m", "t")) for _ in range(10)]
    gate.set()
    for future in futures:
        with pytest.raises(WriteError):
            future.result(10)

    broken[0] = False
    log.close()

    with AuditLog.open(home) as reopened:
        assert sum(int(str(entry.data["refused"])) for entry in reopened.query(where={"type": "audit-gap"})) == 10
        assert summaries(reopened) == []


def test_a_cancelled_caller_does_not_cancel_the_others(home: Home) -> None:
    with AuditLog.open(home) as log:
        first = log.append(denial(), durable=True, repeats=("m", "t"))
        second = log.append(denial(), durable=True, repeats=("m", "t"))
        first.cancel()
        log.flush()

        assert second.result(10) == 0


def test_a_guard_under_flood_counts_every_refusal(tmp_path: Path) -> None:
    """A hundred refusals of the empty policy, over names made up as it goes: a few in full, the rest counted."""
    home = Home.create(tmp_path / "h")
    (tmp_path / "p.yaml").write_text("version: 1\n")
    run = Conversation(principal=Principal("mallory"), request="x")
    with Guard.from_file(tmp_path / "p.yaml", home=home.path) as guard:
        for n in range(100):
            assert not guard.check(ToolCall(f"t{n}", {}), run=run).allowed

    with AuditLog.open(home) as log:
        denied = list(log.query(where={"type": "decision", "decision": "deny"}))
        counted = [int(str(found["count"])) for found in summaries(log)]
    assert len(denied) + sum(counted) == 100
    assert len(denied) < 100
