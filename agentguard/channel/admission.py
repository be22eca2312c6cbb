"""Who may start a handshake at all: token buckets and counts, asked before a byte of TLS is read.

A handshake costs a core milliseconds, a refusal here microseconds. The bucket of the source is asked first, so that one
source cannot spend everybody's; part of the common bucket is kept for addresses that were authenticated lately.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable

from agentguard.channel.limits import Limits

__all__ = ["Admission", "TokenBucket", "source_of"]

# Sources remembered: a flood from many addresses must not eat the memory. The oldest is forgotten first.
MAX_SOURCES = 4096
# Of the common bucket, for addresses that were authenticated lately.
RESERVED = 0.25
KNOWN_S = 3600.0


class TokenBucket:
    """Admit ``burst`` at once and ``rate`` per second on average (RFC 2697 section 3, with one colour)."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated = now

    def take(self, now: float, cost: float = 1.0, *, keep: float = 0.0) -> bool:
        """Spend ``cost`` unless fewer than ``keep`` tokens would be left."""
        # A clock stepping back must not mint tokens, hence max().
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._updated) * self._rate)
        self._updated = now
        if self._tokens - cost < keep:
            return False
        self._tokens -= cost
        return True

    def wait(self, cost: float) -> float:
        """Seconds until ``cost`` can be spent, as of the last ``take``. More than the burst never can: as for it."""
        return max(0.0, (min(cost, self._burst) - self._tokens) / self._rate)


class Admission:
    """The gate of one listener. ``clock`` gives monotonic seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._all = TokenBucket(limits.accepts_per_s, limits.accepts_per_s, clock())
        self._sources: OrderedDict[str, TokenBucket] = OrderedDict()
        self._known: OrderedDict[str, float] = OrderedDict()
        self._half_open: dict[str, int] = {}
        self._open = 0

    def enter(self, address: str) -> str | None:
        """Count a handshake that begins; or the reason why it must not."""
        source = source_of(address)
        now = self._clock()
        if self._open >= self._limits.handshakes:
            return "too-many-handshakes"
        if self._half_open.get(source, 0) >= self._limits.handshakes_per_source:
            return "too-many-handshakes-from-source"
        if not self._bucket(source, now).take(now):
            return "source-too-fast"
        keep = 0.0 if self._is_known(source, now) else self._limits.accepts_per_s * RESERVED
        if not self._all.take(now, keep=keep):
            return "too-many-connects"
        self._open += 1
        self._half_open[source] = self._half_open.get(source, 0) + 1
        return None

    def leave(self, address: str, *, authenticated: bool) -> None:
        """The handshake is over."""
        source = source_of(address)
        self._open -= 1
        left = self._half_open.get(source, 1) - 1
        if left:
            self._half_open[source] = left
        else:
            self._half_open.pop(source, None)
        if authenticated:
            self._known[source] = self._clock()
            self._known.move_to_end(source)
            if len(self._known) > MAX_SOURCES:
                self._known.popitem(last=False)

    def _bucket(self, source: str, now: float) -> TokenBucket:
        bucket = self._sources.get(source)
        if bucket is None:
            rate = self._limits.accepts_per_source_per_s
            bucket = self._sources[source] = TokenBucket(rate, rate, now)
            if len(self._sources) > MAX_SOURCES:
                self._sources.popitem(last=False)
        self._sources.move_to_end(source)
        return bucket

    def _is_known(self, source: str, now: float) -> bool:
        return now - self._known.get(source, -KNOWN_S) < KNOWN_S


def source_of(address: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 network of an IPv6 one, which one host can own."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
