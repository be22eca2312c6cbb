"""Rate limits as a token bucket, one bucket per principal, session, tenant or tool, and action.

The generic cell rate algorithm (GCRA, ITU-T I.371 annex A) keeps one number per key: the time at which the bucket would
be full again. A burst is bounded by ``burst``, the long-run mean by ``count`` per ``seconds``; there is no window edge
at which the allowance doubles at once, as with fixed windows, and no list of times to store, as with sliding ones.
One number also means one conditional statement in a store: exact for any number of processes. Times are whole
microseconds, rounded against the caller, so that a limit of N admits exactly N at once.

A denied attempt takes nothing, so ``retry_after`` is true when it is given; it is recorded like every other denial.
The clock is monotonic: setting the wall clock neither locks anybody out nor opens a limit.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import math
import os
import re
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, cast

from agentguard.access.decorator import guarded, refuse
from agentguard.access.rbac import AccessRecord
from agentguard.conversation import current_conversation
from agentguard.errors import ConfigError
from agentguard.event import Principal

__all__ = [
    "Counter",
    "Per",
    "ProcessCounter",
    "RateLimit",
    "bounded",
    "principal_key",
    "rate_key",
    "rate_limit_security",
    "spend",
]

F = TypeVar("F", bound=Callable[..., Any])
Clock = Callable[[], float]
# Whose count it is: who acts and for whom, their session, their tenant, or everybody who uses the tool.
Per: TypeAlias = Literal["principal", "session", "tenant", "tool"]
Scope: TypeAlias = Literal["process", "store", "redis"]

_log = logging.getLogger("agentguard")

_RATE = re.compile(r"([1-9][0-9]{0,8})/(?:([1-9][0-9]{0,5}) ?)?(s|second|m|minute|h|hour|d|day)s?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# About 20 MB. Past this many keys with an unexpired count, new keys share one bucket: a stranger who mints identities
# can then crowd out other newcomers, but can reset nobody's limit and exhaust no memory.
MAX_KEYS = 100_000
MAX_KEY_CHARS = 200
# How often a full table is searched for buckets that have refilled: bounds the work a flood of new keys can cause.
SWEEP_SECONDS = 1.0
MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """``count`` actions per ``seconds``, at most ``burst`` of them at once.

    ``scope`` says who shares the count: each process has its own (``process``), all processes with one state database
    (``store``), all hosts with one Redis (``redis``). ``per`` says whose count it is.
    """

    count: int
    seconds: float
    burst: int = 0
    scope: Scope = "store"
    per: Per = "principal"

    def __post_init__(self) -> None:
        if self.burst == 0:
            object.__setattr__(self, "burst", self.count)
        if not (self.count >= 1 and 0 < self.seconds < float("inf") and 1 <= self.burst <= self.count):
            raise ConfigError(
                f"got {self.count} per {self.seconds} s with burst {self.burst}; "
                "accepted: a count of 1 or more, a finite time above 0, a burst between 1 and the count"
            )

    @classmethod
    def parse(cls, text: str, *, burst: int = 0, scope: Scope = "store", per: Per = "principal") -> RateLimit:
        """Read ``5/minute``, ``100/15 minutes``, ``1/second``.

        Raises:
            ConfigError: another form.
        """
        found = _RATE.fullmatch(text)
        if found is None:
            raise ConfigError(f"got the rate {text[:40]!r}; write count/period, as in 5/minute or 100/15 minutes")
        return cls(int(found[1]), float(int(found[2] or 1) * _SECONDS[found[3][0]]), burst, scope, per)

    @property
    def interval(self) -> int:
        """Microseconds in which one action is earned back."""
        return math.ceil(self.seconds * MICROSECONDS / self.count)

    @property
    def capacity(self) -> int:
        """Microseconds from empty to full."""
        return self.interval * self.burst

    @property
    def bucket(self) -> str:
        """What tells two limits on one key apart."""
        return f"{self.count}/{self.seconds}/{self.burst}"


class Counter(Protocol):
    """Keeps the buckets. ``blocking`` is True when ``take`` may wait for a disk or a server."""

    blocking: bool

    def take(self, key: str, limit: RateLimit, cost: int = 1) -> float | None:
        """Spend ``cost`` actions of ``key``: None when admitted, else the seconds until they would be.

        Raises:
            ConfigError: ``cost`` is below 1 or above the burst, so that it could never be admitted.
            StoreError: the count cannot be read or written.
        """
        ...


class ProcessCounter:
    """Buckets in this process's memory. Thread-safe; memory is bounded.

    Only a bucket that has refilled is ever forgotten, which changes no answer.
    """

    blocking = False

    def __init__(self, *, clock: Clock = time.monotonic, max_keys: int = MAX_KEYS) -> None:
        if max_keys < 1:
            raise ConfigError(f"got max_keys={max_keys}; at least 1 is accepted")
        self._clock = clock
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._full_at: dict[tuple[str, RateLimit], int] = {}
        self._shared: dict[RateLimit, int] = {}
        self._next_sweep = float("-inf")

    def take(self, key: str, limit: RateLimit, cost: int = 1) -> float | None:
        """As ``Counter.take``."""
        with self._lock:
            # Read inside the lock: a thread that waited must not judge by an older time than its predecessor.
            seconds = self._clock()
            now = round(seconds * MICROSECONDS)
            bucket = (bounded(key), limit)
            known = self._full_at.get(bucket)
            if known is None and not self._has_room(seconds):
                full_at, wait = spend(self._shared.get(limit, now), now, limit, cost)
                self._shared[limit] = full_at
                return wait
            full_at, wait = spend(known if known is not None else now, now, limit, cost)
            self._full_at[bucket] = full_at
            return wait

    def _has_room(self, seconds: float) -> bool:
        if len(self._full_at) >= self._max_keys and seconds >= self._next_sweep:
            now = round(seconds * MICROSECONDS)
            self._full_at = {bucket: full_at for bucket, full_at in self._full_at.items() if full_at > now}
            self._next_sweep = seconds + SWEEP_SECONDS
        return len(self._full_at) < self._max_keys


def rate_limit_security(
    max_attempts: int = 5,
    window_seconds: float = 60,
    *,
    counter: Counter | None = None,
    home: str | os.PathLike[str] = ".agentguard",
    per: Per = "principal",
    cost: int | Callable[..., int] = 1,
    record: Callable[[AccessRecord], None] | None = None,
) -> Callable[[F], F]:
    """Decorate a function, sync or async: each principal may call it ``max_attempts`` times per ``window_seconds``.

    The key is the verified principal of the current conversation. Without one it is the first argument or the
    argument ``user_id``, with a warning: a caller can choose another one for each attempt.

    Args:
        counter: where the count is kept. When absent: the state database of ``home``, exact across processes; and
            where there is no such folder, this process's memory, with a line in the log.
        per: whose count it is.
        cost: attempts that one call spends; a function is given the call's arguments.
        record: is told of every refused attempt, for the audit log. When it raises, that is what the caller sees.

    Raises:
        RateLimited: when the decorated function is called too often; ``retry_after`` is the wait in seconds.
        StoreError: when it is called and the count cannot be kept: the function does not run.
        ConfigError: the numbers are out of range.
    """
    limit = RateLimit(max_attempts, float(window_seconds), per=per)
    if isinstance(cost, int):
        _check_cost(cost, limit)
    buckets: Counter = counter if counter is not None else _HomeCounter(Path(home))

    def decorate(function: F) -> F:
        action = getattr(function, "__qualname__", type(function).__qualname__)
        position = _user_position(function)

        def check(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            caller = _caller(action, position, args, kwargs, per)
            spent = cost if isinstance(cost, int) else cost(*args, **kwargs)
            wait = buckets.take(f"{action}|{caller}", limit, spent)
            if wait is not None:
                _record_refusal(record, action, caller)
                refuse(
                    action,
                    rule=f"rate.{action}",
                    reason="rate-limited",
                    message=f"Too many attempts; try again in {max(1, math.ceil(wait))} seconds.",
                    retry_after=wait,
                )

        return cast("F", guarded(function, check, blocking=buckets.blocking))

    return decorate


class _HomeCounter:
    """The count in a home's state database, opened at the first call; in memory where there is no home."""

    blocking = True

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._counter: Counter | None = None

    def take(self, key: str, limit: RateLimit, cost: int = 1) -> float | None:
        """As ``Counter.take``."""
        with self._lock:
            counter = self._counter = self._counter or self._opened()
        return counter.take(key, limit, cost)

    def _opened(self) -> Counter:
        from agentguard.access.counters import StoreCounter
        from agentguard.store import Home

        if os.path.lexists(self._home):
            return StoreCounter.of(Home.open(self._home))
        _log.warning("rate limits are counted in this process alone: there is no %s (agentguard init)", self._home)
        return ProcessCounter()


def principal_key(principal: Principal) -> str:
    """One text per verified identity and whom it acts for; no two identities share one."""
    own = "/".join(_quoted(part) for part in (principal.tenant or "", principal.kind, principal.id))
    user = principal.on_behalf_of
    return own if user is None else f"{own}>{principal_key(user)}"


def rate_key(principal: Principal, per: Per) -> str:
    """Whose count an action of ``principal`` goes to.

    Without a session it is the principal's own: opening another run must open no other bucket. Whoever has no tenant
    shares one count with all others that have none.
    """
    if per == "tool":
        return "everybody"
    chain = [principal]
    while chain[-1].on_behalf_of is not None and len(chain) <= MAX_LINKS:
        chain.append(chain[-1].on_behalf_of)
    tenant = next((link.tenant for link in chain if link.tenant), "")
    if per == "tenant":
        return f"tenant:{_quoted(tenant)}"
    session = next((link.session for link in chain if link.session), None)
    if per == "session" and session is not None:
        return f"session:{_quoted(tenant)}/{_quoted(session)}"
    return principal_key(principal)


# Longer delegation chains are refused by access control; here they only must not cost more.
MAX_LINKS = 16


def spend(full_at: int, now: int, limit: RateLimit, cost: int = 1) -> tuple[int, float | None]:
    """The new state of a bucket, and the wait in seconds when ``cost`` actions more do not fit.

    Args:
        full_at, now: microseconds of one clock.

    Raises:
        ConfigError: the cost could never fit.
    """
    _check_cost(cost, limit)
    # A clock that stepped back must not lock anybody out for longer than one refill.
    full_at = min(max(full_at, now), now + limit.capacity)
    wait = full_at + cost * limit.interval - (now + limit.capacity)
    return (full_at + cost * limit.interval, None) if wait <= 0 else (full_at, wait / MICROSECONDS)


def bounded(key: str) -> str:
    """Long keys, and keys a database cannot hold, are hashed: a caller may choose the text."""
    if len(key) <= MAX_KEY_CHARS and key.isprintable():
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _check_cost(cost: int, limit: RateLimit) -> None:
    if type(cost) is not int or not 1 <= cost <= limit.burst:
        raise ConfigError(f"got the cost {cost!r}; accepted: a whole number from 1 to the burst, {limit.burst}")


def _record_refusal(record: Callable[[AccessRecord], None] | None, action: str, caller: str) -> None:
    run = current_conversation()
    by = run.principal.id if run is not None else None
    if record is not None:
        record(AccessRecord("rate-limited", by or caller, f"rate.{action}", by))
    else:
        _log.warning("rate limit: a call of %s was refused", action)


def _user_position(function: Callable[..., Any]) -> int:
    """Where ``user_id`` stands among the positional arguments; the first place after ``self`` otherwise."""
    names = list(inspect.signature(function).parameters)
    if "user_id" in names:
        return names.index("user_id")
    return 1 if names[:1] in (["self"], ["cls"]) else 0


def _caller(action: str, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], per: Per) -> str:
    run = current_conversation()
    if per == "tool":
        return "everybody"
    if run is not None:
        return "principal:" + rate_key(run.principal, per)
    warnings.warn(
        f"{action} is rate limited by an argument its caller chooses; call it inside a conversation",
        RuntimeWarning,
        stacklevel=4,
    )
    caller = kwargs.get("user_id", args[position] if position < len(args) else None)
    if not isinstance(caller, str | int):
        # Nothing to tell callers apart by: they share one bucket.
        return "unnamed"
    return f"argument:{caller}"


def _quoted(part: str) -> str:
    return part.replace("%", "%25").replace("/", "%2f").replace(">", "%3e")
