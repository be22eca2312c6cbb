"""Questions that wait in the state database: who may answer, what an answer counts for, and that it counts once."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData, text

from agentguard.access import ApprovalQueue, ApprovalRequest, QueueApprover, Terms
from agentguard.access.approval import request_json, request_of
from agentguard.access.queue import MAX_OPEN, Answer, Question
from agentguard.conversation import Conversation
from agentguard.decision import Effect, Finding, Letter, Origin
from agentguard.errors import ConfigError, DecryptError, StoreError
from agentguard.event import Principal, ToolCall
from agentguard.keys import DataEncryption, home_keys
from agentguard.store import Home, open_state
from agentguard.testing import FakeClock

ALICE = Principal("alice", kind="user")
BOT = Principal("bot", on_behalf_of=ALICE)
ANN, BOB = Principal("ann", kind="user"), Principal("bob", kind="user")
ROLES = {"ann": ("manager",)}


def held(principal: Principal) -> tuple[str, ...]:
    """Roles by user id."""
    return ROLES.get(principal.id, ())


def opened(home: Home) -> Any:
    """The database and the seal, as the guard opens them."""
    metadata = MetaData()
    ApprovalQueue.define(metadata)
    return open_state(home, metadata), DataEncryption.from_source(home_keys(home))


@pytest.fixture
def clock() -> FakeClock:
    """Seconds since 1970 under control."""
    return FakeClock(1.7e9)


@pytest.fixture
def queue(state_home: Home, clock: FakeClock) -> Iterator[ApprovalQueue]:
    """The questions of one home, on SQLite and on PostgreSQL."""
    found = ApprovalQueue(lambda: opened(state_home), roles=held, clock=clock)
    yield found
    found.close()


def request(clock: FakeClock, *, ttl: float = 60.0, run: str = "c1", policy: str = "p", **args: Any) -> ApprovalRequest:
    """One call about to run."""
    call = ToolCall("pay", args or {"to": "DE1", "amount": 5})
    return ApprovalRequest.of(call, Conversation(principal=BOT, id=run), policy_digest=policy, ttl=ttl, clock=clock)


def nothing(_question: Question, _answer: Answer) -> None:
    """Records nowhere."""


def test_a_yes_runs_the_call_once(queue: ApprovalQueue, clock: FakeClock) -> None:
    """Asked, not yet answered, answered, used, used again."""
    asked = queue.ask(request(clock), Terms())
    clock.advance(1)
    found = [queue.use(request(clock), asked.digest)]
    found.append(queue.answer(asked.digest, by=ANN, approved=True, record=nothing))
    found.extend(queue.use(request(clock), asked.digest) for _ in range(2))

    assert found == ["approval-pending", None, None, "approval-used"]
    kept = queue.find(asked.digest)
    assert kept is not None
    assert kept.answer == Answer(True, ANN, clock.now)
    assert kept.state(clock.now) == "used"


@pytest.mark.parametrize(
    ("about_to_run", "refusal"),
    [
        pytest.param({"to": "DE2", "amount": 5}, "approval-mismatch", id="other-argument"),
        pytest.param({"to": "DE1", "amount": 5.5}, "approval-mismatch", id="other-amount"),
        pytest.param({"run": "c2"}, "approval-mismatch", id="other-conversation"),
        pytest.param({"policy": "q"}, "approval-mismatch", id="other-policy"),
        pytest.param({}, None, id="the-same"),
    ],
)
def test_a_yes_counts_for_exactly_what_was_asked(
    queue: ApprovalQueue, clock: FakeClock, about_to_run: dict[str, Any], refusal: str | None
) -> None:
    asked = queue.ask(request(clock), Terms())
    queue.answer(asked.digest, by=ANN, approved=True, record=nothing)

    assert queue.use(request(clock, **about_to_run), asked.digest) == refusal


def test_a_yes_counts_in_its_time(queue: ApprovalQueue, clock: FakeClock) -> None:
    """Neither an answer nor its use after the expiry."""
    late, unused = queue.ask(request(clock), Terms()), queue.ask(request(clock, ttl=61, x=1), Terms())
    queue.answer(unused.digest, by=ANN, approved=True, record=nothing)
    clock.advance(62)

    assert queue.answer(late.digest, by=ANN, approved=True, record=nothing) == "approval-expired"
    assert queue.use(request(clock, x=1), unused.digest) == "approval-expired"


@pytest.mark.parametrize(
    ("terms", "by", "refusal"),
    [
        pytest.param(Terms(), ANN, None, id="somebody"),
        pytest.param(Terms(), ALICE, None, id="the-user-behind-it-confirms"),
        pytest.param(Terms(), Principal("bot", kind="user"), "approval-own", id="the-agent-itself"),
        pytest.param(Terms(own=True), Principal("bot", kind="user"), None, id="own-where-the-policy-permits"),
        pytest.param(Terms("manager"), ANN, None, id="role-held"),
        pytest.param(Terms("manager"), BOB, "approval-role", id="role-missing"),
        pytest.param(Terms("manager"), ALICE, "approval-own", id="another-role-means-somebody-else"),
        pytest.param(Terms(), Principal("ann", kind="user", tenant="other"), "approval-tenant", id="other-tenant"),
        pytest.param(Terms("manager", own=True), ALICE, "approval-role", id="own-permitted-but-no-role"),
    ],
)
def test_who_may_say_yes(
    queue: ApprovalQueue, clock: FakeClock, terms: Terms, by: Principal, refusal: str | None
) -> None:
    """A refused yes leaves the question open."""
    asked = queue.ask(request(clock), terms)

    assert queue.answer(asked.digest, by=by, approved=True, record=nothing) == refusal
    kept = queue.find(asked.digest)
    assert kept is not None
    assert kept.state(clock.now) == ("open" if refusal else "approved")


def test_a_role_that_is_lost_before_the_call_runs_counts_no_more(
    queue: ApprovalQueue, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = queue.ask(request(clock), Terms("manager"))
    queue.answer(asked.digest, by=ANN, approved=True, record=nothing)
    monkeypatch.setitem(ROLES, "ann", ())

    assert queue.use(request(clock), asked.digest) == "approval-role"


def test_a_no_is_final_and_taken_from_everybody(queue: ApprovalQueue, clock: FakeClock) -> None:
    asked = queue.ask(request(clock), Terms("manager"))

    answers = [queue.answer(asked.digest, by=BOB, approved=False, record=nothing)]
    answers.append(queue.answer(asked.digest, by=ANN, approved=True, record=nothing))

    assert answers == [None, "approval-answered"]
    assert queue.use(request(clock), asked.digest) == "approval-refused"


def test_the_same_call_asks_one_question(queue: ApprovalQueue, clock: FakeClock) -> None:
    """Until its yes is used: then the next one is a question of its own. Other calls have their own."""
    first = queue.ask(request(clock), Terms())
    clock.advance(5)
    again, other = queue.ask(request(clock), Terms()), queue.ask(request(clock, x=1), Terms())
    queue.answer(first.digest, by=ANN, approved=True, record=nothing)
    queue.use(request(clock), first.digest)
    next_one = queue.ask(request(clock), Terms())

    assert again.digest == first.digest
    assert len({first.digest, other.digest, next_one.digest}) == 3
    assert next_one.answer is None


def test_an_answer_that_cannot_be_recorded_is_none(queue: ApprovalQueue, clock: FakeClock) -> None:
    asked = queue.ask(request(clock), Terms())

    def full(_question: Question, _answer: Answer) -> None:
        raise StoreError("disk full")

    with pytest.raises(StoreError):
        queue.answer(asked.digest, by=ANN, approved=True, record=full)
    assert queue.use(request(clock), asked.digest) == "approval-pending"


@pytest.mark.parametrize("digest", ["", "abc", "%" * 64, "_" * 64, "0" * 64, "'; DROP TABLE question; --", "ABCDEF12"])
def test_what_names_no_question_finds_none(queue: ApprovalQueue, clock: FakeClock, digest: str) -> None:
    queue.ask(request(clock), Terms())

    assert queue.find(digest) is None
    assert queue.answer(digest, by=ANN, approved=True, record=nothing) == "approval-unknown"
    assert queue.use(request(clock), digest) == "approval-unknown"


def test_a_question_can_be_named_by_its_beginning(queue: ApprovalQueue, clock: FakeClock) -> None:
    asked = queue.ask(request(clock), Terms())

    found = queue.find(asked.digest[:12])

    assert found is not None
    assert found.digest == asked.digest
    # A yes is bound to the whole of it.
    assert queue.use(request(clock), asked.digest[:12]) == "approval-unknown"


def test_nothing_of_a_call_stands_readable_in_the_database(
    queue: ApprovalQueue, clock: FakeClock, tmp_path: Path
) -> None:
    queue.ask(request(clock, to="somebody-secret@example.com"), Terms())
    engine = queue._parts()[0]

    with engine.begin() as connection:
        (row,) = connection.execute(text("SELECT * FROM question")).mappings()

    assert "somebody-secret" not in repr(dict(row))
    assert b"somebody-secret" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("column", ["sealed", "answer", "digest"])
def test_whoever_can_write_the_database_but_has_no_key_forges_nothing(
    queue: ApprovalQueue, clock: FakeClock, column: str
) -> None:
    """A question put in another's place, an answer of another question, a renamed row: none opens."""
    first, second = queue.ask(request(clock), Terms()), queue.ask(request(clock, x=1), Terms())
    queue.answer(second.digest, by=ANN, approved=True, record=nothing)
    moved = (
        f"UPDATE question SET {column} = (SELECT {column} FROM question WHERE digest = :other) WHERE digest = :digest"
    )
    if column == "digest":
        moved = "UPDATE question SET digest = 'ffffffffffffffff' || substr(digest, 17) WHERE digest = :digest"
    with queue._parts()[0].begin() as connection:
        connection.execute(text(moved), {"digest": first.digest, "other": second.digest})
    named = first.digest if column != "digest" else "f" * 16 + first.digest[16:]

    with pytest.raises(DecryptError):
        queue.use(request(clock), named)
    with pytest.raises(DecryptError):
        queue.answer(named, by=ANN, approved=True, record=nothing)
    found, unreadable = queue.questions()
    assert (len(found), unreadable) == (1, 1)


def test_ended_questions_are_deleted_after_a_day(queue: ApprovalQueue, clock: FakeClock) -> None:
    """Nothing grows for ever; a late answer is told apart from one to no question until then."""
    asked = queue.ask(request(clock), Terms())
    clock.advance(3600)
    queue.ask(request(clock, x=1), Terms())
    kept = queue.find(asked.digest) is not None
    clock.advance(90_000)
    queue.ask(request(clock, x=2), Terms())

    assert kept
    assert queue.find(asked.digest) is None


def test_an_agent_that_asks_in_circles_does_not_bury_the_others(tmp_path: Path, clock: FakeClock) -> None:
    home = Home.create(tmp_path / ".agentguard")
    queue = ApprovalQueue(lambda: opened(home), roles=held, clock=clock)
    queue.ask(request(clock), Terms())
    with queue._parts()[0].begin() as connection:
        connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most) "
                "INSERT INTO question (digest, binding, asked_at, expires_at, sealed) "
                "SELECT 'd' || i, 'b' || i, asked_at, expires_at, sealed FROM n, question"
            ),
            {"most": MAX_OPEN - 1},
        )

    with pytest.raises(StoreError, match="questions wait"):
        queue.ask(request(clock, x=1), Terms())
    queue.close()


def test_a_deleted_database_approves_nothing(tmp_path: Path, clock: FakeClock) -> None:
    home = Home.create(tmp_path / ".agentguard")
    queue = ApprovalQueue(lambda: opened(home), roles=held, clock=clock)
    asked = queue.ask(request(clock), Terms())
    queue.answer(asked.digest, by=ANN, approved=True, record=nothing)
    home.state_path.unlink()

    with pytest.raises(StoreError, match="deleted or replaced"):
        queue.use(request(clock), asked.digest)
    queue.close()


WORKER = """
import sys
from tests.access.test_queue import ANN, ApprovalQueue, FakeClock, Home, Terms, held, nothing, opened, request
home, digest, now, verb = Home.open(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
clock = FakeClock(now)
queue = ApprovalQueue(lambda: opened(home), roles=held, clock=clock)
queue.find(digest)
print("ready", flush=True)
sys.stdin.readline()
if verb == "use":
    print(queue.use(request(clock), digest))
elif verb == "answer":
    print(queue.answer(digest, by=ANN, approved=True, record=nothing))
else:
    print(queue.ask(request(clock), Terms()).digest)
queue.close()
"""


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        pytest.param("use", ["None", "approval-used", "approval-used", "approval-used"], id="exactly-one-run"),
        pytest.param("answer", ["None", *["approval-answered"] * 3], id="exactly-one-answer"),
        pytest.param("ask", None, id="exactly-one-question"),
    ],
)
def test_of_four_processes_at_once_exactly_one(
    state_home: Home, queue: ApprovalQueue, clock: FakeClock, verb: str, expected: list[str] | None
) -> None:
    """On SQLite and on PostgreSQL."""
    digest = "0" * 64
    if verb != "ask":
        digest = queue.ask(request(clock), Terms()).digest
    if verb == "use":
        queue.answer(digest, by=ANN, approved=True, record=nothing)
    command = [sys.executable, "-c", WORKER, str(state_home.path), digest, str(clock.now), verb]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"

    found = sorted(worker.communicate("go\n", timeout=60)[0].strip() for worker in workers)

    if expected is None:
        assert len(set(found)) == 1
        assert len(queue.questions()[0]) == 1
    else:
        assert found == expected


@pytest.mark.parametrize(("wait", "expires"), [(-1, 60), (61, 60), (0, 0), (float("nan"), 60), (0, float("inf"))])
def test_impossible_times_are_refused(wait: float, expires: float, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="seconds"):
        QueueApprover(ApprovalQueue(lambda: opened(Home.open(tmp_path)), roles=held), lambda _: Terms(), wait, expires)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(args=st.dictionaries(st.text(), JSON, max_size=4), excerpt=st.text(), expires=st.floats(1.0, 1e10))
def test_a_question_survives_being_kept(args: dict[str, Any], excerpt: str, expires: float) -> None:
    """Digest, and what a person is shown, are the same after the way through JSON."""
    doubt = Origin("to", ("args", "to"), Letter.N, Effect.REQUIRE_APPROVAL, "v", "tool:mail", None, excerpt)
    findings = (Finding("flow.origin", "r", message="why"),)
    asked = ApprovalRequest("pay", args, BOT, "c1", "p", expires, findings, (doubt,), "s")

    kept = request_of(json.loads(json.dumps(request_json(asked))))

    assert kept.digest == asked.digest
    assert kept.render() == asked.render()
    assert dataclasses.replace(kept, origins=()).args == asked.args
