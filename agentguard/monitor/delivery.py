"""Delivery of alerts: one thread takes them out of the outbox and hands them to the channels.

A channel that fails is tried again with growing waits (five seconds doubling to an hour, randomised, for as long as it
takes): an alert leaves the outbox when its receiver has taken it, or when somebody acknowledges it. No decision waits
for any of this. Several processes may deliver from one outbox: each parcel is leased to one of them. A process that
dies between sending and striking out delivers twice, never not at all.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Mapping
from typing import Protocol

from agentguard.errors import AgentGuardError
from agentguard.monitor.alert import Alert, AlertBook

__all__ = ["Channel", "Deliverer"]

_log = logging.getLogger("agentguard")

# Longer than any channel's own timeout.
LEASE_S = 60.0
FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 3600.0


class Channel(Protocol):
    """Hands one alert to its receiver; returns when the receiver has taken it."""

    def send(self, alert: Alert, /) -> None:
        """Raises any exception when the receiver did not take it."""
        ...


class Deliverer:
    """Delivers what the outbox holds, in a thread of its own.

    Args:
        book: the alerts.
        channels: by the name under which the book posts to them.
        poll_s: seconds between two looks at the outbox when nobody calls ``wake``.
    """

    def __init__(self, book: AlertBook, channels: Mapping[str, Channel], *, poll_s: float = 5.0) -> None:
        self._book = book
        self._channels = dict(channels)
        self._poll_s = poll_s
        self._woken = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin delivering, what an earlier process left included."""
        if self._channels and self._thread is None:
            self._thread = threading.Thread(target=self._work, name="agentguard-alerts", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """There is something new to deliver."""
        self._woken.set()

    def close(self) -> None:
        """Stop after the parcel at hand; what waits is delivered by the next process."""
        self._stopped = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout=LEASE_S)

    def deliver_due(self) -> int:
        """Try every parcel that is due, once; how many were delivered.

        Raises:
            StoreError: the database cannot be used.
        """
        done = 0
        for name, channel in self._channels.items():
            while not self._stopped and (parcel := self._book.claim(name, lease_s=LEASE_S)) is not None:
                try:
                    channel.send(parcel.alert)
                except Exception as error:  # noqa: BLE001  # whatever a receiver does: the alert stays in the outbox
                    _log.warning("alert %s was not delivered: %s", parcel.alert.id, type(error).__name__)
                    self._book.failed(parcel, wait_s=_wait(parcel.attempts), error=type(error).__name__)
                    break
                self._book.delivered(parcel)
                done += 1
        return done

    def _work(self) -> None:
        while not self._stopped:
            with contextlib.suppress(AgentGuardError):
                self.deliver_due()
            self._woken.wait(self._poll_s)
            self._woken.clear()


def _wait(attempts: int) -> float:
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts - 1, 20))
    # Many processes that lost the same receiver must not come back to it at one moment.
    return longest * random.uniform(0.5, 1.0)
