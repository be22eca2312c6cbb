"""Alerts as groups with history, and the outbox, on both engines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import MetaData

from agentguard.monitor import alert as alerts
from agentguard.monitor.alert import QUIET_S, AlertBook, Message
from agentguard.store import Home, open_state

SPIKE = Message("principal:a", "calls", "medium", "a: 500 calls", {"observed": 500.0})
WORSE = Message("principal:a", "calls", "critical", "a: 50,000 calls", {"observed": 50_000.0})
OTHER = Message("principal:a", "tokens", "medium", "a: tokens", {})


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opened(state_home: Home, clock: Clock) -> Callable[..., AlertBook]:
    def open_book(*channels: str) -> AlertBook:
        metadata = MetaData()
        AlertBook.define(metadata)
        return AlertBook(lambda: open_state(state_home, metadata), channels=channels, clock=clock)

    return open_book


Opened = Callable[..., AlertBook]


def test_what_goes_on_is_one_alert_that_is_told_once(opened: Opened, clock: Clock) -> None:
    book = opened("hook")

    told = [book.note(SPIKE, at=clock.now + minute * 60)[1] for minute in range(20)]

    (alert,) = book.list()
    assert told == [True, *[False] * 19]
    assert alert.count == 20
    assert (alert.first_at, alert.last_at) == (clock.now, clock.now + 19 * 60)
    assert book.waiting() == {"hook": 1}
    book.close()


def test_getting_worse_is_told_again(opened: Opened, clock: Clock) -> None:
    book = opened("hook")
    book.note(SPIKE, at=clock.now)

    alert, told = book.note(WORSE, at=clock.now + 60)

    assert told
    assert (alert.severity, alert.text, alert.count) == ("critical", WORSE.text, 2)
    assert book.note(SPIKE, at=clock.now + 120) == (book.list()[0], False)
    book.close()


def test_another_kind_and_a_later_time_are_other_alerts(opened: Opened, clock: Clock) -> None:
    book = opened()
    book.note(SPIKE, at=clock.now)
    book.note(OTHER, at=clock.now)
    book.note(SPIKE, at=clock.now + QUIET_S + 1)

    assert sorted(alert.kind for alert in book.list()) == ["calls", "calls", "tokens"]
    book.close()


def test_an_acknowledged_alert_stays_as_history_and_is_delivered_no_more(opened: Opened, clock: Clock) -> None:
    book = opened("hook")
    alert, _ = book.note(SPIKE, at=clock.now)

    assert book.acknowledge(alert.id, by="os:ada")

    assert book.list(unacknowledged=True) == []
    (kept,) = book.list()
    assert (kept.acked_at, kept.acked_by) == (clock.now, "os:ada")
    assert book.waiting() == {}
    assert not book.acknowledge("0" * 32, by="os:ada")
    book.close()


def test_worse_than_what_was_acknowledged_is_not_acknowledged(opened: Opened, clock: Clock) -> None:
    book = opened()
    alert, _ = book.note(SPIKE, at=clock.now)
    book.acknowledge(alert.id, by="os:ada")

    book.note(WORSE, at=clock.now + 60)

    assert [found.acked_at for found in book.list()] == [None]
    book.close()


def test_what_a_person_called_normal_is_known(opened: Opened, clock: Clock) -> None:
    book = opened()
    alert, _ = book.note(SPIKE, at=clock.now)
    assert not book.accepted("principal:a", "calls", since=0)

    book.acknowledge(alert.id, by="os:ada", normal=True)

    assert book.accepted("principal:a", "calls", since=0)
    assert not book.accepted("principal:a", "tokens", since=0)
    assert not book.accepted("principal:a", "calls", since=clock.now + 1)
    book.close()


def test_undelivered_alerts_survive_a_restart(opened: Opened, clock: Clock) -> None:
    first = opened("hook", "mail")
    first.note(SPIKE, at=clock.now)
    first.close()

    again = opened("hook", "mail")
    parcel = again.claim("mail", lease_s=60)

    assert parcel is not None
    assert parcel.alert.text == SPIKE.text
    assert again.waiting() == {"hook": 1, "mail": 1}
    again.close()


def test_a_parcel_is_one_process_s_until_its_lease_ends(opened: Opened, clock: Clock) -> None:
    here, there = opened("hook"), opened("hook")
    here.note(SPIKE, at=clock.now)
    parcel = here.claim("hook", lease_s=60)
    assert parcel is not None

    during = there.claim("hook", lease_s=60)
    clock.now += 61
    after = there.claim("hook", lease_s=60)

    assert during is None
    assert after is not None
    assert (after.id, after.attempts) == (parcel.id, 2)
    there.delivered(after)
    assert there.waiting() == {}
    here.close()
    there.close()


def test_the_outbox_is_bounded_and_counts_what_found_no_room(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "MAX_WAITING", 3)
    book = opened("hook")
    for number in range(10):
        book.note(Message(f"principal:{number}", "calls", "medium", "text", {}), at=clock.now)

    assert book.waiting() == {"hook": 3}
    assert book.dropped() == 7
    assert len(book.list()) == 10
    book.close()


def test_history_is_bounded_and_acknowledged_alerts_go_first(
    opened: Opened, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "MAX_HISTORY", 3)
    book = opened("hook")
    for number in range(4):
        found, _ = book.note(Message(f"principal:{number}", "calls", "medium", "text", {}), at=clock.now + number)
        if number == 1:
            book.acknowledge(found.id, by="os:ada")

    assert sorted(alert.subject for alert in book.list()) == ["principal:0", "principal:2", "principal:3"]
    book.close()


def test_machines_get_times_with_zones(opened: Opened, clock: Clock) -> None:
    book = opened()
    alert, _ = book.note(SPIKE, at=0.0)

    shown = alert.as_json()

    assert shown["first"] == "1970-01-01T00:00:00.000+00:00"
    assert shown["acknowledged"] is None
    book.close()
