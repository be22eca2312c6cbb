"""When an identity is renewed, what happens when it cannot be, and what an expired one is worth."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.channel import BlockList, Identity, IdentityRecord, RotatingIdentity, SpiffeId
from agentguard.channel.renewal import Standing, Subscribers
from agentguard.errors import IdentityError
from tests.channel.forge import DOMAIN, RESEARCHER, WRITER, Forge

FORGE = Forge.make()


class Office:
    """Where identities come from in these tests; may be shut."""

    def __init__(self) -> None:
        # Whole seconds, as certificates have them.
        self.now = float(int(time.time()))
        self.life = dt.timedelta(hours=1)
        self.open = True
        self.issued = 0
        self.block_list = BlockList(DOMAIN)
        self.records: list[IdentityRecord] = []

    def clock(self) -> float:
        return self.now

    def obtain(self, _present: Identity | None) -> Identity:
        if not self.open:
            raise IdentityError("the office is shut")
        self.issued += 1
        started = dt.timedelta(seconds=self.now - time.time())
        minute = dt.timedelta(minutes=1)
        return FORGE.issuing.leaf(start=started - minute, end=started + self.life).identity(FORGE.issuing)

    def refresh(self) -> Standing:
        if not self.open:
            raise IdentityError("the office is shut")
        return Standing(FORGE.issuing.pem, self.block_list)

    def source(self, *, jitter: Callable[[], float] = lambda: 0.5) -> RotatingIdentity:
        # An hour between two looks of the thread: the tests take its steps.
        return RotatingIdentity(
            self.obtain, self.refresh, record=self.records.append, poll_s=3600, clock=self.clock, jitter=jitter
        )


@pytest.mark.parametrize(
    ("minutes", "issued"),
    [
        pytest.param(29, 1, id="before-half-life"),
        pytest.param(31, 2, id="after-half-life"),
    ],
)
def test_an_identity_is_renewed_at_half_of_its_life(minutes: float, issued: int) -> None:
    office = Office()
    source = office.source()

    office.now += minutes * 60
    source._step()

    assert office.issued == issued
    source.close()


@given(st.floats(0, 1))
def test_agents_that_start_together_do_not_renew_together(draw: float) -> None:
    """A tenth earlier or later: the draw spreads them evenly."""
    office = Office()
    source = office.source(jitter=lambda: draw)

    share = (source._due - office.now) / 3600

    assert share == pytest.approx(0.4 + 0.2 * draw, abs=0.001)
    source.close()


def test_a_short_life_is_not_renewed_without_end() -> None:
    """A leaf of ten seconds is backdated by a minute like any other: half of its life is five seconds from now."""
    office = Office()
    office.life = dt.timedelta(seconds=10)
    source = office.source()

    assert source._due - office.now == pytest.approx(5, abs=1.1)
    source.close()


def test_a_renewal_is_told_to_listeners_with_the_new_identity_in_place() -> None:
    office = Office()
    source = office.source()
    heard: list[int] = []
    source.subscribe(lambda: heard.append(source.current().serial))

    source.renew()

    assert heard == [source.current().serial]
    source.close()


def test_a_failed_renewal_is_tried_again_at_growing_intervals() -> None:
    office = Office()
    source = office.source()
    office.now += 31 * 60
    office.open = False

    waits = []
    for _ in range(9):
        source._step()
        waits.append(round(source._due - office.now))
        office.now = source._due

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    office.open = True
    source._step()
    assert office.issued == 2
    assert source._due > office.now + 60
    source.close()


def test_at_80_percent_of_its_life_the_failure_is_an_alert_once() -> None:
    office = Office()
    source = office.source()
    office.open = False

    for minutes in (31, 40, 47, 49, 55):
        office.now = source.current().not_before.timestamp() + 60 + minutes * 60
        source._step()

    (alert,) = office.records
    assert (alert.action, alert.subject, alert.success) == ("alert", RESEARCHER, False)
    assert "the office is shut" in alert.detail
    source.close()


def test_an_expired_identity_is_never_handed_out() -> None:
    office = Office()
    source = office.source()
    office.open = False

    office.now += 3601
    source._step()

    with pytest.raises(IdentityError, match="could not be renewed"):
        source.current()
    office.open = True
    office.now = source._due
    source._step()
    assert source.current().serial
    source.close()


def test_without_news_for_half_an_hour_every_peer_is_unknown() -> None:
    office = Office()
    source = office.source()
    office.open = False
    writer = SpiffeId.parse(WRITER)

    office.now += 1799
    assert not source.blocked(writer, 1)
    office.now += 2

    with pytest.raises(IdentityError, match="older than 1800 seconds"):
        source.blocked(writer, 1)
    source.close()


def test_an_error_of_any_kind_does_not_end_renewal() -> None:
    office = Office()
    source = office.source()
    office.now += 31 * 60
    broken = office.obtain
    source._obtain = lambda _present: 1 / 0  # type: ignore[assignment,return-value]

    source._step()
    source._obtain = broken
    office.now = source._due
    source._step()

    assert office.issued == 2
    source.close()


def test_without_a_first_identity_there_is_no_source() -> None:
    office = Office()
    office.open = False

    with pytest.raises(IdentityError, match="shut"):
        office.source()


def test_a_closed_source_hands_out_nothing() -> None:
    source = Office().source()

    source.close()
    source.close()

    with pytest.raises(IdentityError, match="closed"):
        source.current()


def test_an_identity_does_not_cross_fork() -> None:
    """In the child no thread renews it or hears of blocks."""
    source = Office().source()

    source._process += 1

    with pytest.raises(IdentityError, match="before fork"):
        source.current()
    with pytest.raises(IdentityError, match="before fork"):
        source.blocked(SpiffeId.parse(WRITER), 1)
    source.close()


def test_the_thread_renews_by_itself() -> None:
    """Real time: the leaf is past half of its life at the start."""
    office = Office()
    office.now -= 31 * 60
    heard = threading.Event()
    source = RotatingIdentity(office.obtain, office.refresh, poll_s=0.02, jitter=lambda: 0.5)
    source.subscribe(heard.set)

    office.now += 31 * 60

    assert heard.wait(10)
    assert office.issued >= 2
    source.close()


def test_a_listener_that_fails_does_not_silence_the_others(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    subscribers = Subscribers()
    subscribers.add(lambda: 1 / 0)  # type: ignore[arg-type]
    leave = subscribers.add(lambda: heard.append("second"))

    subscribers.call()
    leave()
    subscribers.call()

    assert heard == ["second"]
    assert "a listener of an identity source failed" in caplog.text
