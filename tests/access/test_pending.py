"""Questions that wait: one yes, one use, whoever comes first."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData
from sqlalchemy.exc import IntegrityError

from agentguard.access import ApprovalRequest, PendingApprovals
from agentguard.conversation import Conversation
from agentguard.event import Principal, ToolCall
from agentguard.store import open_engine
from agentguard.testing import FakeClock


def pending(path: Path, clock: FakeClock | None = None) -> PendingApprovals:
    """A place to wait in ``path``."""
    metadata = MetaData()
    PendingApprovals.define(metadata)
    return PendingApprovals(
        lambda: open_engine(path, application_id=1, schema_version=1, metadata=metadata), clock=clock or FakeClock()
    )


def question(clock: FakeClock, *, amount: int = 5, ttl: float = 60.0) -> ApprovalRequest:
    """One call about to run."""
    run = Conversation(principal=Principal("bot"), id="c1")
    return ApprovalRequest.of(ToolCall("pay", {"amount": amount}), run, policy_digest="p", ttl=ttl, clock=clock)


def test_yes_is_used_once(tmp_path: Path) -> None:
    """The second use is told why; a call that paused itself may use it again."""
    clock = FakeClock()
    waiting, asked = pending(tmp_path / "s.db", clock), question(clock)
    waiting.keep(asked)
    clock.advance(1)
    about_to_run = question(clock)

    found = [waiting.use(about_to_run, asked.digest) for _ in range(2)]
    waiting.give_back(asked.digest)
    again = waiting.use(about_to_run, asked.digest)
    waiting.close()

    assert found == [None, "approval-used"]
    assert again is None


@pytest.mark.parametrize(
    ("amount", "wait", "digest", "refusal"),
    [
        pytest.param(5, 59.0, None, None, id="in-time"),
        pytest.param(6, 1.0, None, "approval-mismatch", id="other-arguments"),
        pytest.param(5, 60.0, None, "approval-expired", id="too-late"),
        pytest.param(5, 1.0, "0" * 64, "approval-unknown", id="never-asked"),
        pytest.param(5, 1.0, "'; DROP TABLE approval; --", "approval-unknown", id="hostile"),
    ],
)
def test_yes_counts_for_its_call_and_its_time(
    tmp_path: Path, amount: int, wait: float, digest: str | None, refusal: str | None
) -> None:
    """A refused attempt uses nothing up."""
    clock = FakeClock()
    waiting, asked = pending(tmp_path / "s.db", clock), question(clock)
    waiting.keep(asked)
    clock.advance(wait)

    found = waiting.use(question(clock, amount=amount), digest or asked.digest)
    clock.now = asked.expires_at - 1
    after = waiting.use(question(clock), asked.digest)
    waiting.close()

    assert found == refusal
    assert after == ("approval-used" if refusal is None else None)


def test_same_question_is_not_kept_twice(tmp_path: Path) -> None:
    """Keeping it again would be a second use."""
    clock = FakeClock()
    waiting, asked = pending(tmp_path / "s.db", clock), question(clock)
    waiting.keep(asked)

    with pytest.raises(IntegrityError):
        waiting.keep(asked)
    waiting.close()


def test_old_questions_are_deleted(tmp_path: Path) -> None:
    """Nothing grows for ever; a late answer is still told apart from an invented one for a day."""
    clock = FakeClock()
    waiting, asked = pending(tmp_path / "s.db", clock), question(clock)
    waiting.keep(asked)
    found = []
    for days in (0.5, 1.0):
        clock.advance(days * 86_400)
        waiting.keep(question(clock))
        found.append(waiting.use(question(clock), asked.digest))
    waiting.close()

    assert found == ["approval-expired", "approval-unknown"]


def _use(path: Path, digest: str, now: float, start: object, results: object) -> None:
    waiting, clock = pending(path, FakeClock(now)), FakeClock(now)
    start.wait()  # type: ignore[attr-defined]
    results.put(waiting.use(question(clock), digest))  # type: ignore[attr-defined]


def test_of_several_processes_one_uses_it(tmp_path: Path) -> None:
    """One conditional UPDATE decides."""
    clock = FakeClock()
    waiting, asked = pending(tmp_path / "s.db", clock), question(clock)
    waiting.keep(asked)
    waiting.close()
    spawn = multiprocessing.get_context("spawn")
    start, results = spawn.Barrier(4), spawn.Queue()
    workers = [
        spawn.Process(target=_use, args=(tmp_path / "s.db", asked.digest, clock.now, start, results)) for _ in range(4)
    ]

    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()

    assert sorted(map(str, found)) == ["None", "approval-used", "approval-used", "approval-used"]


@settings(deadline=None, max_examples=25)
@given(later=st.floats(0.001, 1e6, allow_nan=False))
def test_expiry_survives_the_database(tmp_path_factory: pytest.TempPathFactory, later: float) -> None:
    """The digest covers the expiry, so it must come back to the last bit."""
    clock = FakeClock(1.7e9)
    path = tmp_path_factory.mktemp("p") / "s.db"
    waiting, asked = pending(path, clock), question(clock, ttl=later)
    waiting.keep(asked)

    found = waiting.use(question(clock), asked.digest)
    waiting.close()

    assert found is None
