"""Monitoring joined to a guard: what is fed, what is shared between processes, and what an anomaly does."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from agentguard import Conversation, Decision, Effect, Guard, Home, Policy, Principal, SecurityAnomalyDetector
from agentguard.access.risk import risk_key
from agentguard.event import AgentMessage, Event, Message, ModelInput, ModelOutput, ToolCall, ToolResult
from agentguard.monitor import Alert, MonitorState, state
from agentguard.monitor.activity import MAX_KEPT, MAX_QUEUED, Measured, Measures, Recorder
from agentguard.store import open_state
from agentguard.watching import alert_book, open_monitor, risk_states

POLICY = """
version: 1
roles: {clerk: {permissions: [execute_agent], tools: [lookup, send_mail]}}
agents: {bot: {roles: [clerk]}}
tools:
  lookup: {side_effect: read}
  send_mail: {side_effect: send, args: {to: {sink: recipient, sources: [user]}, body: {content: true}}}
monitor: {response: RESPONSE, severity: medium, duration: 2h}
"""
BOT = Principal("bot", tenant="t")
RUN = Conversation(principal=BOT)
HOUR = 3_600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_767_571_200.0

    def __call__(self) -> float:
        return self.now


def decided(event: Event, effect: Effect = Effect.ALLOW) -> Decision:
    return Decision(effect, event, "0" * 16)


def mail(body: str = "x" * 500, to: str = "a@example.com") -> ToolCall:
    return ToolCall("send_mail", {"to": to, "body": body})


def work(watched: SecurityAnomalyDetector, clock: Clock, hours: int) -> None:
    """Six mails an hour of somewhat different lengths."""
    for hour in range(hours):
        for number in range(6):
            event = mail("x" * (400 + 40 * ((hour + number) % 6)))
            watched.listener(decided(event), event, RUN)
            clock.now += HOUR / 6
        if hour % 12 == 11:
            watched.flush()
    watched.flush()


def alerts_of(home: Home) -> list[Alert]:
    with contextlib.closing(alert_book(home)) as book:
        return book.list()


def policy(response: str = "alert") -> Policy:
    return Policy.parse(POLICY.replace("RESPONSE", response))


# -- what is fed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(mail("x" * 10), Measured(1, "send_mail", ("a@example.com",), sent=29), id="a-sending-tool"),
        pytest.param(ToolCall("lookup", {"q": "abc"}), Measured(1, "lookup"), id="a-reading-tool-sends-nothing"),
        pytest.param(
            ToolResult("lookup", {}, {"rows": ["abcd", 7, None]}, is_error=True),
            Measured(read=16, error=True), id="a-result-at-any-depth",
        ),
        pytest.param(
            AgentMessage("bot", "peer", "t", "hello"), Measured(1, "", ("agent:peer",), sent=5), id="a-message"
        ),
        pytest.param(ModelInput((Message("user", "x" * 400),)), Measured(1, tokens=100), id="a-model-call"),
        pytest.param(ModelInput((Message("user", "x" * 400),), is_call=False), Measured(), id="no-call"),
        pytest.param(ModelOutput(Message("assistant", "x" * 400)), Measured(tokens=100), id="an-answer"),
    ],
)  # fmt: skip
def test_events_are_measured(event: Event, expected: Measured) -> None:
    assert Measures({"send_mail": ("to",)}, frozenset({"lookup"})).of(event) == expected


def test_the_queue_holds_numbers_when_many_wait_and_counts_what_it_drops() -> None:
    recorder = Recorder()
    event = mail("x" * 10_000)
    for _ in range(MAX_QUEUED + 5):
        recorder(decided(event), event, RUN)

    taken, dropped = recorder.take()

    assert (len(taken), dropped) == (MAX_QUEUED, 5)
    assert sum(not isinstance(entry[4], Measured) for entry in taken) == MAX_KEPT
    assert recorder.take() == ([], 0)


def test_a_guard_feeds_its_monitor_and_decides_as_without(tmp_path: Path) -> None:
    home = Home.create(tmp_path / ".agentguard")
    calls = [ToolCall("lookup", {"q": "x"}), ToolCall("nothing", {})]
    decisions = []
    for text in (POLICY.replace("RESPONSE", "alert"), POLICY.partition("monitor:")[0]):
        with Guard.from_policy(Policy.parse(text), home=home.path) as guard:
            decisions.append([guard.check(call, run=RUN).reason for call in calls])
            if guard.monitor is not None:
                guard.monitor.flush()
                row = guard.monitor._scorer.baselines.find(f"principal:{risk_key(BOT)}")
                hour = guard.monitor._scorer.baselines.rows["hour"][row]
                # Two calls, one of them refused.
                assert (hour[0], hour[5]) == (2, 1)

    assert decisions[0] == decisions[1]
    assert guard.monitor is None


def test_without_a_monitor_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    """No cost when off: neither modules nor a thread."""
    home = Home.create(tmp_path / ".agentguard")
    script = (
        "import sys, threading; from agentguard import Guard, Policy; "
        f"guard = Guard.from_policy(Policy.default(), home={str(home.path)!r}); "
        "print([m for m in sys.modules if m.startswith('agentguard.monitor')], guard.monitor)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[] None"


# -- what an anomaly does ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "level"), [("alert", None), ("slow", "slow"), ("ask", "ask"), ("suspend", "suspended")]
)
def test_the_policy_says_what_an_anomaly_does(state_home: Home, response: str, level: str | None) -> None:
    clock = Clock()
    watched = open_monitor(policy(response), state_home, clock=clock)
    work(watched, clock, hours=100)
    assert watched.alerts == []

    for _ in range(300):
        watched.listener(decided(mail()), mail(), RUN)
    clock.now += 600
    watched.flush()

    states = risk_states(state_home)
    states._clock = clock
    assert "calls" in {alert.kind for alert in alerts_of(state_home)}
    assert [(risk.principal, risk.level) for risk in states.all()] == ([(risk_key(BOT), level)] if level else [])
    states.close()
    watched.close()


def test_a_new_recipient_is_named_without_its_address(state_home: Home) -> None:
    """An address is personal data: the alert says that there is one, and its hash says which."""
    clock = Clock()
    watched = open_monitor(policy(), state_home, clock=clock)
    work(watched, clock, hours=100)

    for _ in range(3):
        event = mail(to="mallory@evil.example")
        watched.listener(decided(event), event, RUN)
    clock.now += 600
    watched.flush()

    (alert,) = [found for found in alerts_of(state_home) if found.kind == "recipient"]
    assert "mallory" not in json.dumps(alert.as_json())
    assert len(alert.details["hashes"]) == 1  # type: ignore[arg-type]
    watched.close()


def test_a_recipient_hidden_among_known_ones_is_seen(tmp_path: Path) -> None:
    clock = Clock()
    watched = open_monitor(policy(), Home.create(tmp_path / ".agentguard"), clock=clock)
    work(watched, clock, hours=100)

    for _ in range(3):
        event = ToolCall("send_mail", {"to": ["a@example.com", "mallory@evil.example"], "body": "x" * 500})
        watched.listener(decided(event), event, RUN)
    clock.now += 600
    watched.flush()

    assert any("new recipient" in str(alert["anomalies"]) for alert in watched.alerts)
    watched.close()


def test_an_alert_called_normal_is_not_told_again(state_home: Home) -> None:
    clock = Clock()
    watched = open_monitor(policy(), state_home, clock=clock)
    work(watched, clock, hours=100)
    book = alert_book(state_home)
    counts = []
    for _ in range(3):
        for _ in range(3):
            event = mail(to="new@example.org")
            watched.listener(decided(event), event, RUN)
        clock.now += HOUR
        watched.flush()
        (alert,) = [found for found in book.list() if found.kind == "recipient"]
        counts.append(alert.count)
        if len(counts) == 1:
            book._clock = clock
            book.acknowledge(alert.id, by="os:ada", normal=True)

    assert counts == [1, 1, 1]
    book.close()
    watched.close()


# -- shared between processes -----------------------------------------------------------------------------------------


def test_two_processes_share_one_set_of_baselines(state_home: Home) -> None:
    clock = Clock()
    one, other = (open_monitor(policy(), state_home, clock=clock) for _ in range(2))
    one.flush()
    for hour in range(12):
        for watched in (one, other):
            watched.listener(decided(mail()), mail(), RUN)
        # Within the lease: the first one to flush goes on scoring for both.
        other.flush()
        one.flush()
        clock.now += 20 if hour % 2 else 5

    row = one._scorer.baselines.find(f"principal:{risk_key(BOT)}")
    assert one._leading
    assert not other._leading
    assert one._scorer.baselines.rows["hour"][row][0] == 24
    one.close()
    other.close()


def test_another_process_takes_over_with_all_that_was_learned(state_home: Home) -> None:
    clock = Clock()
    one = open_monitor(policy(), state_home, clock=clock)
    work(one, clock, hours=100)
    one.close()
    other = open_monitor(policy(), state_home, clock=clock)

    other.flush()

    assert other.standing(risk_key(BOT)) == "known"
    other.close()


def test_what_a_dead_process_left_is_scored_by_the_next(state_home: Home) -> None:
    """Its lease ends by itself, and its batches wait in the database."""
    clock = Clock()
    dead = open_monitor(policy(), state_home, clock=clock)
    work(dead, clock, hours=100)
    left = [event for _ in range(300) for event in dead._observed((clock(), BOT, None, False, mail()))]
    assert dead._state is not None
    dead._state.put(left)
    clock.now += state.LEASE_S + 1
    other = open_monitor(policy(), state_home, clock=clock)

    other.flush()

    assert "calls" in {alert.kind for alert in alerts_of(state_home)}
    assert other._state is not None
    assert other._state.batches() == []
    other.close()
    dead._state.close()


def _state(home: Home) -> MonitorState:
    metadata = MetaData()
    MonitorState.define(metadata)
    return MonitorState(lambda: open_state(home, metadata))


def _lead(home: Home, wins: multiprocessing.Queue[bool]) -> None:
    known = _state(home)
    wins.put(known.lead())
    known.close()


def test_of_several_processes_exactly_one_scores(state_home: Home) -> None:
    context = multiprocessing.get_context("spawn")
    wins = context.Queue()
    processes = [context.Process(target=_lead, args=(state_home, wins)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert sorted(wins.get(timeout=10) for _ in processes) == [False, False, True]


def test_batches_are_bounded_and_what_is_dropped_is_counted(state_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MAX_BATCHES", 2)
    known = _state(state_home)

    taken = [known.put([[1], [2], [3]]) for _ in range(4)]

    assert taken == [True, True, False, False]
    assert known.dropped() == 6
    known.close()


def test_who_lost_the_lease_stores_nothing(state_home: Home) -> None:
    """Else a process that slept through its lease would overwrite what its successor learned."""
    one, other = _state(state_home), _state(state_home)
    assert one.lead()
    one.resign()
    assert other.lead()

    assert not one.commit([], [("principal:a", 1.0, b"old")])

    assert list(other.load()) == []
    one.close()
    other.close()


def test_processes_hash_alike(state_home: Home) -> None:
    one, other = _state(state_home), _state(state_home)

    assert one.key() == other.key()
    assert len(one.key()) == 32
    one.close()
    other.close()


@pytest.mark.parametrize("data", [b"", b"no zlib"], ids=["empty", "foreign"])
def test_a_batch_that_cannot_be_read_is_struck_out(data: bytes) -> None:
    assert state._unpacked(data) == []
