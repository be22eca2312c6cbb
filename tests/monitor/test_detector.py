"""``SecurityAnomalyDetector`` as its contract says: each thing a naive version gets wrong is a test."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard import SecurityAnomalyDetector
from agentguard.detect.recognizers.registry import CLASSES
from agentguard.errors import ConfigError
from agentguard.monitor.detector import MAX_ALERTS, MAX_SAMPLES
from tests.monitor.secret_values import EXAMPLES

USUAL = {"api_calls": 10, "tokens": 1_000, "errors": 0, "total": 20, "ip_address": "192.0.2.1"}


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_767_600_000.0

    def __call__(self) -> float:
        return self.now


def detector(**options: object) -> SecurityAnomalyDetector:
    return SecurityAnomalyDetector(clock=Clock(), interval_s=3600.0, **options)  # type: ignore[arg-type]


def taught(samples: int = 40, **changes: object) -> SecurityAnomalyDetector:
    made = detector()
    for _ in range(samples):
        made.record_activity("ada", {**USUAL, **changes})
    return made


def anomalies(watched: SecurityAnomalyDetector, activity: Mapping[str, object]) -> list[object]:
    before = len(watched.alerts)
    watched.record_activity("ada", activity)
    return [text for alert in watched.alerts[before:] for text in alert["anomalies"]]  # type: ignore[union-attr]


def test_an_alert_has_the_four_keys_of_the_contract() -> None:
    watched = taught()

    watched.record_activity("ada", {**USUAL, "api_calls": 500})

    (alert,) = watched.alerts
    assert set(alert) == {"timestamp", "user_id", "anomalies", "severity"}
    assert alert["user_id"] == "ada"
    assert alert["severity"] in ("medium", "high", "critical")
    assert alert["timestamp"] == "2026-01-05T08:00:00.000+00:00"
    json.dumps(alert)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"api_calls": 200}, "api_calls", id="calls"),
        pytest.param({"tokens": 50_000}, "tokens", id="tokens"),
        pytest.param({"errors": 15}, "errors", id="errors"),
        pytest.param({"ip_address": "203.0.113.9"}, "new address", id="a-new-address"),
    ],
)
def test_each_kind_of_anomaly_is_told(changes: dict[str, object], told: str) -> None:
    found = anomalies(taught(), {**USUAL, **changes})

    assert any(str(text).startswith(told) for text in found)


def test_usual_activity_alerts_nothing() -> None:
    watched = detector()
    for number in range(500):
        watched.record_activity("ada", {**USUAL, "api_calls": 8 + number % 5, "tokens": 900 + 37 * (number % 7)})

    assert watched.alerts == []


def test_a_spike_does_not_hide_the_next() -> None:
    """The naive mean and deviation contain the first spike, and miss an equal second one."""
    watched = taught()

    first = anomalies(watched, {**USUAL, "api_calls": 500})
    second = [anomalies(watched, {**USUAL, "api_calls": 500}) for _ in range(30)]

    assert first
    assert all(second)


def test_a_slow_climb_is_told_before_it_is_usual() -> None:
    """Three percent more each time: a baseline that follows would never alert."""
    watched = taught(60)
    level, grown = 10.0, 0
    while not watched.alerts and grown < 200:
        level *= 1.03
        grown += 1
        watched.record_activity("ada", {**USUAL, "api_calls": level})

    assert level < 100


@pytest.mark.parametrize(
    ("calls", "alerts"),
    [pytest.param(10.0001, False, id="a-hair-more"), pytest.param(15, False, id="half-more"),
     pytest.param(60, True, id="sixfold")],
)  # fmt: skip
def test_a_user_that_never_varied_may_vary_a_little(calls: float, alerts: bool) -> None:
    """Zero variance alerts neither always nor never."""
    assert bool(anomalies(taught(), {**USUAL, "api_calls": calls})) is alerts


@pytest.mark.parametrize(
    ("errors", "total"), [(1, 1), (2, 2), (2, 20), (0, 0)], ids=["one-of-one", "two-of-two", "two-of-20", "none"]
)
def test_a_few_errors_are_no_rate(errors: int, total: int) -> None:
    assert anomalies(taught(), {**USUAL, "errors": errors, "total": total}) == []


def test_a_young_user_is_unknown_and_nothing_is_said() -> None:
    watched = taught(5)

    found = anomalies(watched, {**USUAL, "api_calls": 5_000, "ip_address": "203.0.113.9"})

    assert found == []
    assert watched.standing("ada") == "unknown"


def test_a_known_user_is_known_and_a_stranger_unknown() -> None:
    watched = taught()

    assert watched.standing("ada") == "known"
    assert watched.standing("stranger") == "unknown"


def test_severity_comes_from_surprise_not_from_words() -> None:
    """A user id that holds the words of a naive rule changes nothing."""
    grades = []
    for user in ("ada", "token-api-critical"):
        watched = detector()
        for _ in range(40):
            watched.record_activity(user, USUAL)
        watched.record_activity(user, {**USUAL, "api_calls": 60})
        grades.append(watched.alerts[-1]["severity"])
    watched = taught()
    watched.record_activity("ada", {**USUAL, "api_calls": 100_000})

    assert grades[0] == grades[1]
    assert watched.alerts[-1]["severity"] == "critical"


def test_invented_users_evict_invented_users() -> None:
    """Memory is bounded, and a flood of names forgets no user with history."""
    watched = detector(capacity=64)
    for _ in range(40):
        watched.record_activity("ada", USUAL)
    for number in range(1_000):
        watched.record_activity(f"invented-{number}", USUAL)

    assert watched.standing("ada") == "known"
    assert anomalies(watched, {**USUAL, "api_calls": 500})


def test_one_who_was_evicted_is_unknown_never_normal() -> None:
    watched = detector(capacity=16)
    for number in range(40):
        for _ in range(12):
            watched.record_activity(f"user-{number}", USUAL)

    assert watched.standing("user-0") == "unknown"


def test_the_queue_is_bounded_and_what_it_refuses_is_counted_exactly() -> None:
    watched = detector()
    watched._ensure_thread = lambda: None  # type: ignore[method-assign]  # nobody drains the queue meanwhile
    for _ in range(MAX_SAMPLES + 17):
        watched.record_activity("ada", {})

    assert watched._dropped == 17


def test_alerts_in_memory_are_bounded() -> None:
    watched = taught()
    for _ in range(MAX_ALERTS + 50):
        watched.record_activity("ada", {**USUAL, "api_calls": 5_000})

    assert len(watched.alerts) == MAX_ALERTS


@pytest.mark.parametrize(
    "activity",
    [{"api_calls": -1}, {"tokens": float("nan")}, {"tokens": float("inf")}, {"errors": "3"}, {"total": True},
     {"ip_address": 7}],
    ids=["negative", "nan", "infinite", "text", "boolean", "address-no-text"],
)  # fmt: skip
def test_what_is_no_activity_is_refused(activity: dict[str, object]) -> None:
    watched = detector()

    with pytest.raises(ConfigError):
        watched.record_activity("ada", activity)


@pytest.mark.parametrize("user", ["", None, 7])
def test_a_user_has_an_id(user: object) -> None:
    with pytest.raises(ConfigError, match="user"):
        detector().record_activity(user, USUAL)  # type: ignore[arg-type]


def test_the_callers_mapping_is_not_touched() -> None:
    activity = dict(USUAL)

    taught().record_activity("ada", activity)

    assert activity == USUAL


def test_threads_record_without_loss() -> None:
    watched = detector()

    def record() -> None:
        for _ in range(500):
            watched.record_activity("ada", USUAL)

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watched.flush()

    row = watched._samples.baselines.find("ada")
    assert row is not None
    assert watched._samples.baselines.rows["windows"][row] == 4_000


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e12), st.floats(0, 1e12), st.integers(0, 100), st.integers(0, 100), st.text(max_size=20)
        ),
        max_size=60,
    )
)
def test_no_activity_breaks_it(samples: list[tuple[float, float, int, int, str]]) -> None:
    watched = detector()
    for calls, tokens, errors, total, address in samples:
        watched.record_activity(
            "ada",
            {"api_calls": calls, "tokens": tokens, "errors": errors, "total": total, "ip_address": address},
        )

    for alert in watched.alerts:
        assert alert["severity"] in ("medium", "high", "critical")


def test_every_recognizer_class_has_an_example() -> None:
    assert {name.partition(".")[0] for name in EXAMPLES} == set(CLASSES)


@pytest.mark.parametrize(("text", "values"), EXAMPLES.values(), ids=list(EXAMPLES))
def test_no_secret_stands_in_an_alert(text: str, values: tuple[str, ...]) -> None:
    """As a user's id and as an address: both are texts that a stranger may choose."""
    watched = detector()
    for _ in range(40):
        watched.record_activity(text, USUAL)
    watched.record_activity(text, {**USUAL, "api_calls": 500, "ip_address": text})

    (alert,) = watched.alerts

    assert len(alert["anomalies"]) == 2  # type: ignore[arg-type]
    shown = json.dumps(alert, ensure_ascii=False)
    assert not [value for value in values if value in shown]


def test_a_redactor_that_fails_shows_nothing() -> None:
    def broken(_text: str) -> str:
        raise RuntimeError("no")

    watched = detector(redact=broken)
    for _ in range(40):
        watched.record_activity("ada", USUAL)
    watched.record_activity("ada", {**USUAL, "api_calls": 500})

    assert watched.alerts[0]["user_id"] == "[not shown]"


def test_addresses_used_in_turn_are_all_known() -> None:
    watched = detector()
    addresses = itertools.cycle(f"192.0.2.{n}" for n in range(5))
    for _ in range(100):
        watched.record_activity("ada", {**USUAL, "ip_address": next(addresses)})

    assert watched.alerts == []
