"""Counts that several processes share: in the state database, or in Redis for many hosts; and what holds without them.

Every attempt is one atomic step where the count lies (one conditional statement, one script), so that a limit of N
admits exactly N however many processes try. The clock is that of the place: the host's monotonic clock for a file,
the server's for PostgreSQL and Redis. A server's clock that steps back makes nobody wait longer than one refill, and
one that jumps ahead opens at most one burst.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentguard.access.ratelimit import MAX_KEYS, MICROSECONDS, Clock, Counter, RateLimit, bounded, spend
from agentguard.access.statefile import StateFile
from agentguard.errors import ConfigError, StoreError
from agentguard.store import begin_immediate, open_state, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData, Table

    from agentguard.store import Home

__all__ = ["FailoverCounter", "RedisCounter", "StoreCounter"]

_log = logging.getLogger("agentguard")

# The longest an attempt waits for a lock or an answer: agents wait for it, and a stage has ten seconds.
WAIT_SECONDS = 2.0
# After a failure nobody asks again for so long: a server that is down must not cost every call its timeout.
REST_SECONDS = 1.0
# A time this much further ahead than a full refill comes from before the clock was set back, not from another process
# that read its clock later and got the lock earlier: nobody waits that long for the lock.
RESTART_SECONDS = 60.0
# Buckets that have refilled say nothing; they are deleted this often.
PURGE_SECONDS = 60.0


class StoreCounter:
    """Buckets in the state database, exact across the processes that share it.

    Args:
        engine: a database whose schema ``define`` is part of.
        clock: monotonic seconds, the same for all processes that share the database; when absent, this host's for a
            file and the server's own for PostgreSQL.
        max_keys: past this many unexpired counts new keys share one bucket.
    """

    blocking = True

    def __init__(self, engine: Engine, *, clock: Clock | None = None, max_keys: int = MAX_KEYS) -> None:
        from sqlalchemy import text

        self._engine = engine
        self._file = StateFile(engine)
        served = engine.dialect.name == "postgresql" and clock is None
        self._clock = clock or time.monotonic
        self._max_keys = max_keys
        self._statements = {
            name: text(statement.format(now=_SERVER_NOW if served else ":now")) for name, statement in _SQL.items()
        }
        self._next_purge = float("-inf")
        self._until_purge = 0
        self._crowded = False

    @classmethod
    def of(cls, home: Home) -> StoreCounter:
        """The counter of a home.

        Raises:
            StoreError: its state database cannot be used.
        """
        from sqlalchemy import MetaData

        metadata = MetaData()
        cls.define(metadata)
        # A count lost in a power cut costs at most one refill; a sync per call would cost every call.
        engine = open_state(_impatient(home), metadata, synchronous="NORMAL")
        _bound_waits(engine)
        return cls(engine)

    @staticmethod
    def define(metadata: MetaData) -> Table:
        """Add the table to the schema of the state database. ``full_at`` is in microseconds."""
        from sqlalchemy import BigInteger, Column, String, Table

        return Table(
            "rate",
            metadata,
            Column("key", String(512), primary_key=True),
            Column("full_at", BigInteger, nullable=False),
        )

    def close(self) -> None:
        """Close the database's connections. A later ``take`` opens them again."""
        self._engine.dispose()

    def take(self, key: str, limit: RateLimit, cost: int = 1) -> float | None:
        """As ``Counter.take``. A state database that was deleted or replaced meanwhile is not used.

        Raises:
            StoreError: the database failed; the guard makes that a deny.
        """
        spend(0, 0, limit, cost)  # a cost that could never fit is refused before anything is written
        self._file.check()
        seconds = self._clock()
        values: dict[str, Any] = {
            # Two limits on one key are two buckets.
            "key": bounded(f"{limit.bucket}|{key}"),
            "now": round(seconds * MICROSECONDS),
            "interval": cost * limit.interval,
            "capacity": limit.capacity,
        }
        with storage_errors(self._engine):
            self._make_room(seconds, values)
            with self._engine.begin() as connection:
                if self._crowded and self._run(connection, "read", values).first() is None:
                    values["key"] = f"{limit.bucket}|newcomers"
                return self._taken(connection, values, limit, cost)

    def _taken(self, connection: Connection, values: dict[str, Any], limit: RateLimit, cost: int) -> float | None:
        self._until_purge -= 1
        if self._run(connection, "take", values).first() is not None:
            return None
        self._run(connection, "restart", {**values, "slack": round(RESTART_SECONDS * MICROSECONDS)})
        full_at, now = self._run(connection, "read", values).one()
        _, wait = spend(int(full_at), int(now), limit, cost)
        # It has refilled between the two statements: one moment more.
        return wait if wait is not None else 1 / MICROSECONDS

    def _make_room(self, seconds: float, values: dict[str, Any]) -> None:
        """Delete buckets that have refilled. A flood of new keys comes back here sooner than a minute's end."""
        if seconds < self._next_purge and self._until_purge > 0:
            return
        self._next_purge = seconds + PURGE_SECONDS
        self._until_purge = max(1, self._max_keys // 10)
        # One purger at a time: two that delete in another order could wait for each other.
        with begin_immediate(self._engine) as connection:
            self._run(connection, "purge", values)
            held = self._run(connection, "count", values).scalar_one()
        self._crowded = int(held) >= self._max_keys

    def _run(self, connection: Connection, name: str, values: dict[str, Any]) -> Any:
        return connection.execute(self._statements[name], values)


# Evaluated once a statement, in the row that is proposed: ``excluded.full_at`` is now plus the interval.
_SERVER_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
_LEVEL = (
    "(CASE WHEN rate.full_at + :interval < excluded.full_at THEN excluded.full_at ELSE rate.full_at + :interval END)"
)
_SQL = {
    # The row is written only when the cost fits; the condition is evaluated on the locked row.
    "take": (
        "INSERT INTO rate (key, full_at) VALUES (:key, {now} + :interval) "  # noqa: S608  # constant text
        f"ON CONFLICT (key) DO UPDATE SET full_at = {_LEVEL} "
        f"WHERE {_LEVEL} + :interval <= excluded.full_at + :capacity RETURNING full_at"
    ),
    "read": "SELECT full_at, {now} FROM rate WHERE key = :key",
    "restart": (
        "UPDATE rate SET full_at = {now} + :capacity WHERE key = :key AND full_at > {now} + :capacity + :slack"
    ),
    "purge": "DELETE FROM rate WHERE full_at <= {now}",
    "count": "SELECT count(*) FROM rate",
}


class RedisCounter:
    """Buckets in Redis, for many hosts: one Lua script per attempt, by the clock of the server.

    A key expires when its bucket has refilled. Give the server ``maxmemory-policy noeviction``: one that evicts keys
    to make room forgets who was limited, one that refuses to write is down, and that is denied.

    Args:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://``. It stands in no message.
        prefix: keys begin with it.

    Raises:
        ConfigError: the URL is none, or agentguard[redis] is not installed.
    """

    blocking = True

    def __init__(self, url: str, *, prefix: str = "agentguard:rate:") -> None:
        try:
            import redis
        except ImportError as error:
            raise ConfigError("rates in Redis need a package: install agentguard[redis] (redis not found)") from error
        try:
            # Not chained: the cause's text holds the URL, and the URL a password.
            self._client = redis.Redis.from_url(
                url, socket_timeout=WAIT_SECONDS, socket_connect_timeout=WAIT_SECONDS, decode_responses=True
            )
        except ValueError:
            raise ConfigError("the Redis URL cannot be used; write redis://host:6379/0, rediss:// or unix://") from None
        self._errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._script = self._client.register_script(_SCRIPT)
        self._prefix = prefix

    def close(self) -> None:
        """Close the connections. A later ``take`` opens them again."""
        self._client.close()

    def take(self, key: str, limit: RateLimit, cost: int = 1) -> float | None:
        """As ``Counter.take``.

        Raises:
            StoreError: the server did not answer, or would not write.
        """
        spend(0, 0, limit, cost)
        name = self._prefix + bounded(f"{limit.bucket}|{key}")
        try:
            wait = int(self._script(keys=[name], args=[cost * limit.interval, limit.capacity]))
        except self._errors as error:
            raise StoreError(f"Redis does not count rates ({type(error).__name__}); check the server") from None
        return None if wait <= 0 else wait / MICROSECONDS


# Whole microseconds since 1970 stay below 2^53, so Lua's numbers hold them exactly.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local cost, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local full_at = tonumber(redis.call('GET', KEYS[1])) or now
full_at = math.min(math.max(full_at, now), now + capacity) + cost
local wait = full_at - now - capacity
if wait <= 0 then
  redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000) + 1)
end
return wait
"""


class FailoverCounter:
    """A shared count, and what holds while its place is down: each process counts for itself, or nobody is admitted.

    Args:
        shared: the count that holds as a rule.
        local: counts while the other is down; None: every attempt is refused with an error.
        clock: monotonic seconds.
    """

    blocking = True

    def __init__(self, shared: Counter, local: Counter | None, *, clock: Clock = time.monotonic) -> None:
        self._shared = shared
        self._local = local
        self._clock = clock
        self._down_until = float("-inf")

    def close(self) -> None:
        """Close the shared count's connections."""
        close = getattr(self._shared, "close", None)
        if close is not None:
            close()

    def take(self, key: str, limit: RateLimit, cost: int = 1) -> float | None:
        """As ``Counter.take``.

        Raises:
            StoreError: the shared count is down, and nothing counts in its place.
        """
        if self._clock() >= self._down_until:
            try:
                return self._shared.take(key, limit, cost)
            except StoreError as error:
                self._down_until = self._clock() + REST_SECONDS
                if self._local is None:
                    raise
                _log.error("rates are counted in this process alone: %s", error)
        if self._local is None:
            raise StoreError("the count of rates was down a moment ago; nothing is admitted until it answers")
        return self._local.take(key, replace(limit, scope="process"), cost)


def _impatient(home: Home) -> Home:
    """The home, with its server given no longer than ``WAIT_SECONDS`` for an answer."""
    if home.state_server is None:
        return home
    server = home.state_server
    given = {} if "connect_timeout" in server.url.query else {"connect_timeout": f"{WAIT_SECONDS:.0f}"}
    url = server.url.update_query_dict(given)
    return replace(home, state_server=replace(server, url=url, statement_timeout_s=WAIT_SECONDS))


def _bound_waits(engine: Engine) -> None:
    """A locked file must not make an agent wait half a minute."""
    if engine.dialect.name != "sqlite":
        return
    from sqlalchemy import event

    def connect(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout = {round(WAIT_SECONDS * 1000)}")

    engine.dispose()  # connections from before this have the long wait
    event.listen(engine, "connect", connect)
