"""Rate limits as a token bucket, one bucket per principal and action.

The generic cell rate algorithm (GCRA, ITU-T I.371 annex A) keeps one number per key: the time at which the bucket would
be full again. A burst is bounded by ``burst``, the long-run mean by ``count`` per ``seconds``; there is no window edge
at which the allowance doubles at once, as with fixed windows, and no list of times to store, as with sliding ones.
One number also means one conditional statement in the store: exact for any number of processes.

A denied attempt takes nothing, so ``retry_after`` is true when it is given; it is recorded like every other denial.
The clock is monotonic: setting the wall clock neither locks anybody out nor opens a limit.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

from agentguard.access.decorator import guarded, refuse
from agentguard.conversation import current_conversation
from agentguard.errors import ConfigError
from agentguard.event import Principal

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table

__all__ = ["Counter", "ProcessCounter", "RateLimit", "StoreCounter", "principal_key", "rate_limit_security"]

F = TypeVar("F", bound=Callable[..., Any])
Clock = Callable[[], float]

_RATE = re.compile(r"([1-9][0-9]{0,8})/(?:([1-9][0-9]{0,5}) ?)?(s|second|m|minute|h|hour|d|day)s?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# About 20 MB. Past this many keys with an unexpired count, new keys share one bucket: a stranger who mints identities
# can then crowd out other newcomers, but can reset nobody's limit and exhaust no memory.
MAX_KEYS = 100_000
MAX_KEY_CHARS = 200
# How often a full table is searched for buckets that have refilled: bounds the work a flood of new keys can cause.
SWEEP_SECONDS = 1.0
# Comparing sums of floats: a wait of 12 s must be enough when 12 s were named.
EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class RateLimit:
    """``count`` actions per ``seconds``, at most ``burst`` of them at once.

    ``scope`` says whether all processes share the count (``store``) or each has its own (``process``).
    """

    count: int
    seconds: float
    burst: int = 0
    scope: Literal["process", "store"] = "store"

    def __post_init__(self) -> None:
        if self.burst == 0:
            object.__setattr__(self, "burst", self.count)
        if not (self.count >= 1 and 0 < self.seconds < float("inf") and 1 <= self.burst <= self.count):
            raise ConfigError(
                f"got {self.count} per {self.seconds} s with burst {self.burst}; "
                "accepted: a count of 1 or more, a finite time above 0, a burst between 1 and the count"
            )

    @classmethod
    def parse(cls, text: str, *, burst: int = 0, scope: Literal["process", "store"] = "store") -> RateLimit:
        """Read ``5/minute``, ``100/15 minutes``, ``1/second``.

        Raises:
            ConfigError: another form.
        """
        found = _RATE.fullmatch(text)
        if found is None:
            raise ConfigError(f"got the rate {text[:40]!r}; write count/period, as in 5/minute or 100/15 minutes")
        return cls(int(found[1]), float(int(found[2] or 1) * _SECONDS[found[3][0]]), burst, scope)

    @property
    def interval(self) -> float:
        """Seconds in which one action is earned back."""
        return self.seconds / self.count

    @property
    def capacity(self) -> float:
        """Seconds from empty to full."""
        return self.interval * self.burst


class Counter(Protocol):
    """Keeps the buckets. ``blocking`` is True when ``take`` may wait for a disk."""

    blocking: bool

    def take(self, key: str, limit: RateLimit) -> float | None:
        """Spend one action of ``key``: None when admitted, else the seconds until one would be."""
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
        self._full_at: dict[tuple[str, RateLimit], float] = {}
        self._shared: dict[RateLimit, float] = {}
        self._next_sweep = float("-inf")

    def take(self, key: str, limit: RateLimit) -> float | None:
        """As ``Counter.take``."""
        with self._lock:
            # Read inside the lock: a thread that waited must not judge by an older time than its predecessor.
            now = self._clock()
            bucket = (_bounded(key), limit)
            known = self._full_at.get(bucket)
            if known is None and not self._has_room(now):
                full_at, wait = _spend(self._shared.get(limit, now), now, limit)
                self._shared[limit] = full_at
                return wait
            full_at, wait = _spend(known if known is not None else now, now, limit)
            self._full_at[bucket] = full_at
            return wait

    def _has_room(self, now: float) -> bool:
        if len(self._full_at) >= self._max_keys and now >= self._next_sweep:
            self._full_at = {bucket: full_at for bucket, full_at in self._full_at.items() if full_at > now}
            self._next_sweep = now + SWEEP_SECONDS
        return len(self._full_at) < self._max_keys


class StoreCounter:
    """Buckets in the state database: one conditional statement per attempt, exact across processes of one host.

    The clock is the host's monotonic one, which its processes share. After a restart of the host it starts again near
    zero: a stored time far ahead is then taken for an empty bucket, which costs at most one refill.

    Args:
        engine: a database whose schema ``define`` is part of.
        clock: monotonic seconds, the same for all processes that share the database.
    """

    blocking = True

    def __init__(self, engine: Engine, *, clock: Clock = time.monotonic) -> None:
        from sqlalchemy import text

        self._engine = engine
        self._clock = clock
        self._take = text(_TAKE)
        self._read = text(_READ)
        self._restart = text(_RESTART)
        self._purge = text(_PURGE)
        self._next_purge = float("-inf")

    @staticmethod
    def define(metadata: MetaData) -> Table:
        """Add the table to the schema of the state database."""
        from sqlalchemy import Column, Float, String, Table

        return Table(
            "rate",
            metadata,
            Column("key", String(512), primary_key=True),
            Column("full_at", Float, nullable=False),
        )

    def close(self) -> None:
        """Close the database's connections. A later ``take`` opens them again."""
        self._engine.dispose()

    def take(self, key: str, limit: RateLimit) -> float | None:
        """As ``Counter.take``.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database failed; the guard makes that a deny.
        """
        now = self._clock()
        values = {
            # Two limits on one key are two buckets.
            "key": _bounded(f"{limit.count}/{limit.seconds}/{limit.burst}|{key}"),
            "now": now,
            "interval": limit.interval,
            "capacity": limit.capacity,
            "epsilon": EPSILON,
        }
        with self._engine.begin() as connection:
            if now >= self._next_purge:
                connection.execute(self._purge, {"now": now})
                self._next_purge = now + PURGE_SECONDS
            if connection.execute(self._take, values).first() is not None:
                return None
            connection.execute(self._restart, {**values, "slack": RESTART_SECONDS})
            full_at = connection.execute(self._read, values).scalar_one()
        _, wait = _spend(float(full_at), now, limit)
        return wait if wait is not None else limit.interval


# A time this much further ahead than a full refill comes from before a restart of the host, not from another process
# that read its clock later and got the lock earlier: nobody waits that long for the lock.
RESTART_SECONDS = 60.0
# Buckets that have refilled say nothing; they are deleted this often.
PURGE_SECONDS = 60.0

# The row is written only when one action fits; the condition is evaluated on the locked row.
_LEVEL = "(CASE WHEN rate.full_at < :now THEN :now ELSE rate.full_at END + :interval)"
_TAKE = (
    "INSERT INTO rate (key, full_at) VALUES (:key, :now + :interval) "  # noqa: S608  # constant text, bound values
    f"ON CONFLICT (key) DO UPDATE SET full_at = {_LEVEL} "
    f"WHERE {_LEVEL} <= :now + :capacity + :epsilon RETURNING full_at"
)
_READ = "SELECT full_at FROM rate WHERE key = :key"
_RESTART = "UPDATE rate SET full_at = :now + :capacity WHERE key = :key AND full_at > :now + :capacity + :slack"
_PURGE = "DELETE FROM rate WHERE full_at <= :now"


def rate_limit_security(
    max_attempts: int = 5,
    window_seconds: float = 60,
    *,
    counter: Counter | None = None,
) -> Callable[[F], F]:
    """Decorate a function, sync or async: each principal may call it ``max_attempts`` times per ``window_seconds``.

    The key is the verified principal of the current conversation. Without one it is the first argument or the
    argument ``user_id``, with a warning: a caller can choose another one for each attempt.

    Raises:
        RateLimited: when the decorated function is called too often; ``retry_after`` is the wait in seconds.
        ConfigError: the numbers are out of range.
    """
    limit = RateLimit(max_attempts, float(window_seconds))
    buckets = counter if counter is not None else ProcessCounter()

    def decorate(function: F) -> F:
        action = getattr(function, "__qualname__", type(function).__qualname__)
        position = _user_position(function)

        def check(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            wait = buckets.take(f"{action}|{_caller(action, position, args, kwargs)}", limit)
            if wait is not None:
                refuse(
                    action,
                    rule=f"rate.{action}",
                    reason="rate-limited",
                    message=f"Too many attempts; try again in {wait:.0f} seconds.",
                    retry_after=wait,
                )

        return cast("F", guarded(function, check, blocking=buckets.blocking))

    return decorate


def principal_key(principal: Principal) -> str:
    """One text per verified identity and whom it acts for; no two identities share one."""
    own = "/".join(_quoted(part) for part in (principal.tenant or "", principal.kind, principal.id))
    user = principal.on_behalf_of
    return own if user is None else f"{own}>{principal_key(user)}"


def _spend(full_at: float, now: float, limit: RateLimit) -> tuple[float, float | None]:
    """The new state of a bucket, and the wait when one action more does not fit."""
    # A clock that stepped back must not lock anybody out for longer than one refill.
    full_at = min(max(full_at, now), now + limit.capacity)
    wait = full_at + limit.interval - (now + limit.capacity)
    return (full_at + limit.interval, None) if wait <= EPSILON else (full_at, wait)


def _bounded(key: str) -> str:
    """Long keys, and keys a database cannot hold, are hashed: a caller may choose the text."""
    if len(key) <= MAX_KEY_CHARS and key.isprintable():
        return key
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _user_position(function: Callable[..., Any]) -> int:
    """Where ``user_id`` stands among the positional arguments; the first place after ``self`` otherwise."""
    names = list(inspect.signature(function).parameters)
    if "user_id" in names:
        return names.index("user_id")
    return 1 if names[:1] in (["self"], ["cls"]) else 0


def _caller(action: str, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    run = current_conversation()
    if run is not None:
        return "principal:" + principal_key(run.principal)
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
