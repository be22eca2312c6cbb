"""An identity that is renewed in time by a thread of its own, and a block list that is kept fresh beside it.

Renewal is due at half of the leaf's life, give or take a tenth, so that agents started together do not renew together;
a failed one is tried again at growing intervals, and recorded as an alert at 80 % of the life. An expired leaf is
never handed out, and with a block list that could not be refreshed for too long every peer counts as unknown.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from agentguard.channel.blocklist import BlockList
from agentguard.channel.certificate import BACKDATED_S, certified_by
from agentguard.channel.identity import Identity, IdentityRecord, parse_certificates
from agentguard.channel.spiffe import SpiffeId
from agentguard.errors import AgentGuardError, IdentityError

__all__ = ["HALF_LIFE", "RotatingIdentity", "Standing", "Subscribers", "moment_of_life"]

_log = logging.getLogger("agentguard")

HALF_LIFE = 0.5
JITTER = 0.1
ALERT_AT = 0.8
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
# A node that cannot learn whom to refuse refuses everybody after this time; half a leaf's life has passed by then.
STALE_S = 1800.0

Record = Callable[[IdentityRecord], None]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a trust domain says at one moment: the bundle of its issuing CAs, and who is blocked."""

    bundle_pem: bytes
    block_list: BlockList


class Subscribers:
    """Callbacks of an identity source. One that raises is logged, and the others are still called."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []

    def add(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Add one; what is returned removes it, and may be called twice."""
        with self._lock:
            self._callbacks.append(changed)

        def remove() -> None:
            with self._lock, contextlib.suppress(ValueError):
                self._callbacks.remove(changed)

        return remove

    def call(self) -> None:
        """Call each, outside the lock: a callback may unsubscribe."""
        with self._lock:
            callbacks = list(self._callbacks)
        for changed in callbacks:
            try:
                changed()
            except Exception:  # noqa: BLE001  # foreign code: the others must still hear of a block
                _log.exception("a listener of an identity source failed")


class RotatingIdentity:
    """An ``IdentitySource`` whose identity is replaced in time. Make it after ``fork``: its thread does not cross one.

    Args:
        obtain: makes or fetches a fresh identity with a fresh key; given the present one, None at the start.
        refresh: the bundle and block list of this moment.
        first: an identity that is there already.
        news: calls when a refresh is worth while at once.
        on_close: called once, when the thread has ended.
        record: told of alerts; what it raises is kept out of the renewing thread.
        poll_s: seconds between two refreshes: a block takes effect within this time.
        stale_s: seconds without a successful refresh after which ``blocked`` raises.
        clock: seconds since 1970.
        jitter: a number from 0 to 1, drawn for each leaf.

    Raises:
        AgentGuardError: there is no first identity.
    """

    def __init__(
        self,
        obtain: Callable[[Identity | None], Identity],
        refresh: Callable[[], Standing],
        *,
        first: Identity | None = None,
        news: Subscribers | None = None,
        on_close: Callable[[], None] | None = None,
        record: Record | None = None,
        poll_s: float = 2.0,
        stale_s: float = STALE_S,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._obtain = obtain
        self._refresh = refresh
        self._on_close = on_close
        self._record = record
        self._poll_s = poll_s
        self._stale_s = stale_s
        self._clock = clock
        self._jitter = jitter
        self._subscribers = Subscribers()
        self._working = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._process = os.getpid()
        self._retry_s = FIRST_RETRY_S
        self._alerted = False
        found = first if first is not None else obtain(None)
        self._standing = refresh()
        self._identity = dataclasses.replace(found, roots_pem=self._standing.bundle_pem)
        self._fresh_at = clock()
        self._due = self._next_due()
        self._forget = news.add(self.refresh) if news is not None else _nothing
        self._thread = threading.Thread(target=self._run, name="agentguard-identity", daemon=True)
        self._thread.start()

    def current(self) -> Identity:
        """As ``IdentitySource.current``."""
        self._check_process()
        identity = self._identity
        if self._closed:
            raise IdentityError(f"the identity {identity.spiffe_id} was closed")
        if not identity.valid_at(datetime.fromtimestamp(self._clock(), UTC)):
            raise IdentityError(
                f"the certificate of {identity.spiffe_id} is valid until {identity.not_after:%Y-%m-%d %H:%M:%S} UTC "
                "and could not be renewed; see the alerts in the audit log"
            )
        return identity

    def blocked(self, spiffe_id: SpiffeId, serial: int, /) -> bool:
        """As ``IdentitySource.blocked``."""
        self._check_process()
        if self._clock() - self._fresh_at > self._stale_s:
            raise IdentityError(f"the block list is older than {self._stale_s:g} seconds; its CA does not answer")
        return self._standing.block_list.blocks(spiffe_id, serial)

    def subscribe(self, changed: Callable[[], None], /) -> Callable[[], None]:
        """As ``IdentitySource.subscribe``."""
        return self._subscribers.add(changed)

    def close(self) -> None:
        """Stop the thread."""
        self._closed = True
        self._forget()
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=10.0)
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    def renew(self) -> Identity:
        """Take a fresh identity now, and return it.

        Raises:
            AgentGuardError: it could not be had; the present one stays.
        """
        with self._working:
            self._identity = self._obtain(self._identity)
            self._retry_s, self._alerted = FIRST_RETRY_S, False
            self._due = self._next_due()
        self._subscribers.call()
        # The CA that signed may be new, and the bundle with it. A failure here is no failed renewal: polling goes on.
        with contextlib.suppress(AgentGuardError):
            self.refresh()
        return self._identity

    def refresh(self) -> None:
        """Look at once whether the bundle or the block list changed.

        Raises:
            AgentGuardError: that cannot be known now.
        """
        with self._working:
            standing = self._refresh()
            self._fresh_at = self._clock()
            changed = standing != self._standing
            self._standing = standing
            self._identity = dataclasses.replace(self._identity, roots_pem=standing.bundle_pem)
            if changed and not _anchored(self._identity):
                # The CA that signed our leaf is gone: no peer takes it any more.
                self._due = self._clock()
                self._wake.set()
        if changed:
            self._subscribers.call()

    def _check_process(self) -> None:
        # Without its thread an identity would be used until it expires, and no block would be heard of.
        if os.getpid() != self._process:
            raise IdentityError("this identity was opened before fork; open one in each process")

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(max(0.01, min(self._poll_s, self._due - self._clock())))
            self._wake.clear()
            if not self._closed:
                self._step()

    def _step(self) -> None:
        """Renew when that is due, else look for news. Nothing ends the thread: it is what keeps the identity alive."""
        renewing = self._clock() >= self._due
        try:
            if renewing:
                self.renew()
            else:
                self.refresh()
        except Exception as error:  # noqa: BLE001  # an unknown failure must not end renewal; it becomes an alert
            self._failed(error, renewing=renewing)

    def _failed(self, error: Exception, *, renewing: bool) -> None:
        if renewing:
            self._due = self._clock() + self._retry_s * (0.5 + self._jitter())
            self._retry_s = min(self._retry_s * 2, LONGEST_RETRY_S)
        if not self._alerted and self._clock() >= self._at(ALERT_AT):
            self._alerted = True
            self._tell(f"the certificate could not be renewed ({_cause(error)})")

    def _tell(self, detail: str) -> None:
        if self._record is None:
            return
        subject = str(self._identity.spiffe_id)
        with contextlib.suppress(AgentGuardError):
            self._record(IdentityRecord("alert", subject, detail, serial=self._identity.serial, success=False))

    def _next_due(self) -> float:
        return self._at(HALF_LIFE + JITTER * (2 * self._jitter() - 1))

    def _at(self, share: float) -> float:
        return moment_of_life(self._identity, share)


def moment_of_life(identity: Identity, share: float) -> float:
    """When this share of a leaf's life is over, in seconds since 1970; the minute it was backdated by is no life."""
    end = identity.not_after.timestamp()
    start = min(identity.not_before.timestamp() + BACKDATED_S, end)
    return start + (end - start) * share


def _anchored(identity: Identity) -> bool:
    """Whether a CA of the bundle stands in the leaf's chain, or signed the last certificate of it."""
    chain = parse_certificates(identity.chain_pem, "the certificate chain")
    anchors = parse_certificates(identity.roots_pem, "the bundle")
    return any(anchor in chain or certified_by(chain[-1], anchor) for anchor in anchors)


def _nothing() -> None:
    return None


def _cause(error: Exception) -> str:
    return str(error) if isinstance(error, AgentGuardError) else type(error).__name__
