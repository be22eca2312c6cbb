"""Windows of a guard's events: scored first, learned after, and nothing alerted is ever learned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agentguard.monitor.baseline import ROW, Baselines, value_hash
from agentguard.monitor.learning import KINDS
from agentguard.monitor.scorer import Anomaly, Observation, Scorer

START = 1_767_571_200.0
HOUR, DAY = 3_600.0, 86_400.0
WHO = "principal:t/agent/a"


def event(time: float, **changes: object) -> Observation:
    usual: dict[str, object] = {
        "principal": WHO, "role": "role:t/reader", "tool_subject": "tool:t/search", "tenant": "tenant:t",
        "address": 11, "tool": 21, "recipient": 31, "tokens": 500, "read": 4_000, "sent": 800,
    }  # fmt: skip
    return Observation(time, **{**usual, **changes})  # type: ignore[arg-type]


def run(scorer: Scorer, events: list[Observation], until: float) -> list[Anomaly]:
    """Hand events over in steps of five minutes, as the detector does."""
    found: list[Anomaly] = []
    waiting = sorted(events, key=lambda seen: seen.time)
    now = (waiting[0].time // 300 + 1) * 300 if waiting else until
    found += scorer.advance(now - 300)
    while now <= until:
        batch = [seen for seen in waiting if seen.time < now]
        waiting = waiting[len(batch) :]
        scorer.absorb(batch)
        found += scorer.advance(now)
        now += 300
    return found


def usual_day(day: int, *, random: np.random.Generator, factor: float = 1.0) -> list[Observation]:
    """Ten calls an hour from 8 to 18, of sizes that vary by half."""
    times = [
        START + day * DAY + hour * HOUR + float(random.uniform(0, HOUR))
        for hour in range(8, 18)
        for _ in range(int(random.poisson(10 * factor)))
    ]
    sizes = random.lognormal(0, 0.5, (len(times), 3))
    return [
        event(t, tokens=int(500 * a), read=int(4_000 * b), sent=int(800 * c), recipient=int(random.integers(30, 34)))
        for t, (a, b, c) in zip(times, sizes, strict=True)
    ]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def taught(random: np.random.Generator) -> Scorer:
    """Ten days of one agent."""
    scorer = Scorer(capacity=64)
    run(scorer, [seen for day in range(10) for seen in usual_day(day, random=random)], START + 10 * DAY)
    return scorer


NOON = START + 10 * DAY + 12 * HOUR
Plan = Callable[[float], list[Observation]]


def spread(count: int, **changes: object) -> Plan:
    return lambda start: [event(start + n * 1_500 / count, **changes) for n in range(count)]


@pytest.mark.parametrize(
    ("kind", "plan"),
    [
        pytest.param("calls", spread(300), id="burst"),
        pytest.param("tokens", spread(4, tokens=100_000), id="tokens"),
        pytest.param("read", spread(4, read=2_000_000), id="volume-read"),
        pytest.param("sent", spread(4, sent=400_000), id="exfiltration"),
        pytest.param("denials", spread(8, denials=1), id="denial-storm"),
        pytest.param("errors", spread(20, errors=1), id="error-storm"),
        pytest.param("address", spread(3, address=99), id="new-address"),
        pytest.param("tool", spread(3, tool=99), id="new-tool"),
        pytest.param("recipient", spread(3, recipient=99), id="new-recipient"),
    ],
)
def test_each_kind_is_found_within_half_an_hour(taught: Scorer, kind: str, plan: Plan) -> None:
    found = run(taught, plan(NOON), NOON + 1_800)

    assert kind in {anomaly.kind for anomaly in found if anomaly.subject == WHO}


def test_night_work_scores_high_and_day_work_does_not(taught: Scorer) -> None:
    """How rare that is follows from the fleet: one agent's silent nights alone prove too little for an alert."""
    row = np.array([taught.baselines.find(WHO)])
    taught.absorb(spread(5)(NOON))

    night, noon = (taught._scores(row, hour)[0][0, KINDS.index("hour")] for hour in (2, 12))

    assert night > 5
    assert noon < 0.5


def test_the_usual_is_not_told(taught: Scorer, random: np.random.Generator) -> None:
    found = run(taught, usual_day(10, random=random), START + 11 * DAY)

    assert [anomaly for anomaly in found if anomaly.subject == WHO] == []


def test_a_new_value_is_told_again_until_a_person_calls_it_normal(taught: Scorer) -> None:
    """It was alerted, so it is quarantined: coming back does not make it usual."""
    first = run(taught, spread(3, recipient=99)(NOON), NOON + HOUR)
    again = run(taught, spread(3, recipient=99)(NOON + HOUR), NOON + 2 * HOUR)
    (anomaly,) = (found for found in again if found.kind == "recipient")
    taught.accept(anomaly)
    after = run(taught, spread(3, recipient=99)(NOON + 2 * HOUR), NOON + 3 * HOUR)

    assert "recipient" in {found.kind for found in first}
    assert anomaly.values == (99,)
    assert "recipient" not in {found.kind for found in after}


def test_a_burst_trains_nothing(taught: Scorer) -> None:
    row = taught.baselines.find(WHO)
    names = ("sample", "median", "scale", "profile", "dispersion")
    before = {name: taught.baselines.rows[name][row].copy() for name in names}

    run(taught, spread(3_000)(NOON), NOON + HOUR)
    second = run(taught, spread(3_000)(NOON + HOUR), NOON + 2 * HOUR)

    assert "calls" in {anomaly.kind for anomaly in second}
    after = taught.baselines.rows
    for name in ("sample", "median"):
        assert (after[name][row][0] == before[name][0]).all()
    assert after["profile"][row][12] == before["profile"][12]
    assert after["dispersion"][row] == before["dispersion"]


def test_a_slow_climb_is_seen_as_drift(random: np.random.Generator) -> None:
    """Twelve percent a day: no single hour stands out."""
    scorer = Scorer(capacity=64)
    found: list[Anomaly] = []
    for day in range(26):
        factor = 1.12 ** max(0, day - 12)
        found += run(scorer, usual_day(day, random=random, factor=factor), START + (day + 1) * DAY)

    drift = [anomaly for anomaly in found if anomaly.kind == "drift" and anomaly.subject == WHO]
    assert drift
    assert START + 12 * DAY < drift[0].time <= START + 22 * DAY


def test_a_stranger_is_judged_by_its_role(taught: Scorer) -> None:
    """Cold start: no baseline of its own, unknown, and what no member of its role does is told."""
    stranger = "principal:t/agent/new"

    usual = run(taught, spread(6, principal=stranger)(NOON), NOON + HOUR)
    loud = run(taught, spread(6, principal=stranger, tokens=3_000_000)(NOON + HOUR), NOON + 2 * HOUR)

    assert not taught.known(stranger)
    assert [anomaly for anomaly in usual if anomaly.subject == stranger] == []
    assert "tokens" in {anomaly.kind for anomaly in loud if anomaly.subject == stranger}


def test_nothing_is_said_of_a_stranger_without_a_role(taught: Scorer) -> None:
    found = run(taught, spread(6, principal="principal:x", role="", tokens=3_000_000)(NOON), NOON + HOUR)

    assert [anomaly for anomaly in found if anomaly.subject == "principal:x"] == []


def test_zero_variance_is_a_baseline_too() -> None:
    """The same call every ten minutes: a tenth more is nothing, a hundredfold is told."""
    scorer = Scorer(capacity=64)
    for day in range(6):
        steady = [event(START + day * DAY + n * 600) for n in range(144)]
        assert run(scorer, steady, START + (day + 1) * DAY) == []
    start = START + 6 * DAY

    small = run(scorer, [event(start + n * 600, tokens=550) for n in range(6)], start + HOUR)
    large = run(scorer, [event(start + HOUR + n * 600, tokens=50_000) for n in range(6)], start + 2 * HOUR)

    assert small == []
    assert "tokens" in {anomaly.kind for anomaly in large}


def test_the_same_events_give_the_same_anomalies(random: np.random.Generator) -> None:
    events = [seen for day in range(6) for seen in usual_day(day, random=random)]

    first, second = (run(Scorer(capacity=64, seed=1), events, START + 6 * DAY) for _ in range(2))

    assert first == second


def test_a_scorer_goes_on_where_another_stopped(taught: Scorer) -> None:
    """Rows and frame are all there is to a restart."""
    again = Scorer(capacity=64)
    for key, data in taught.baselines.dump(list(taught.baselines.keys())):
        again.baselines.load(key, data)
    again.restore(taught.frame())

    one = run(taught, spread(4, sent=400_000)(NOON), NOON + HOUR)
    other = run(again, spread(4, sent=400_000)(NOON), NOON + HOUR)

    assert {(a.subject, a.kind) for a in one} == {(a.subject, a.kind) for a in other} != set()


@pytest.mark.parametrize("frame", [b"", b"x" * 7, b"\xff" * 80, np.full(9_999, np.nan).tobytes()])
def test_a_foreign_frame_is_dropped(frame: bytes) -> None:
    scorer = Scorer(capacity=64)
    before = scorer.frame()

    scorer.restore(frame)

    assert scorer.frame() == before


# -- rows -------------------------------------------------------------------------------------------------------------


def test_rows_are_bounded_and_those_with_history_stay() -> None:
    table = Baselines(16)
    table.rows["windows"][table.row("principal:old", 0.0)] = 50
    for number in range(1_000):
        table.row(f"principal:invented-{number}", 1.0 + number)

    assert len(table) <= 16
    assert "principal:old" in table
    assert table.evicted >= 1_000 - 16
    assert len(table.gone) == table.evicted


def test_roles_are_not_evicted() -> None:
    table = Baselines(16)
    table.row("role:t/reader", 0.0)
    for number in range(100):
        table.row(f"principal:{number}", 1.0 + number)

    assert "role:t/reader" in table


def test_a_new_row_in_an_old_place_is_empty() -> None:
    table = Baselines(16)
    for number in range(100):
        row = table.row(f"principal:{number}", float(number))
        assert table.rows["windows"][row] == 0
        table.rows["windows"][row] = 5


@pytest.mark.parametrize("state", [b"", b"x", b"x" * (ROW.itemsize + 1)], ids=["empty", "short", "long"])
def test_a_row_of_another_version_is_unknown(state: bytes) -> None:
    table = Baselines(16)

    table.load("principal:a", state)

    assert "principal:a" not in table


def test_value_hashes_are_keyed_and_never_zero() -> None:
    """Without the key nobody finds a recipient that passes for a known one."""
    texts = [f"{n}@example.com" for n in range(1_000)]

    one, other = ([value_hash(key, text) for text in texts] for key in (b"k" * 32, b"l" * 32))

    assert 0 not in one
    assert len(set(one)) == 1_000
    assert set(one).isdisjoint(other)
