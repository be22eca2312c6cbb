"""Shared counts on real SQLite, PostgreSQL and Redis: exact across processes, and closed when their place is down."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from agentguard import Conversation, Effect, Guard, Policy, Principal, ToolCall
from agentguard.access import Counter, FailoverCounter, ProcessCounter, RateLimit, RedisCounter, StoreCounter
from agentguard.access.ratelimit import MICROSECONDS
from agentguard.errors import ConfigError, PolicyError, StoreError
from agentguard.store import Home
from agentguard.testing import FakeClock, RecordingSink
from tests.servers import PostgresServer, _RedisServer

FIFTY = RateLimit.parse("50/hour")
ONCE = RateLimit.parse("1/hour")


class RedisServer(_RedisServer):
    """A server of one test alone, which can be stopped."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it."""
        os.killpg(self._process.pid, number)


@pytest.fixture
def redis_private() -> Iterator[RedisServer]:
    """It answers, and is gone afterwards."""
    server = RedisServer()
    try:
        server.empty()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the count lies, as one word: a home's folder, or a Redis URL."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    if request.param == "sqlite":
        return str(Home.create(tmp_path / ".agentguard").path)
    url = request.getfixturevalue("postgres_url")
    return str(Home.create(tmp_path / ".agentguard", state_url=url).path)


def counter_of(place: str) -> StoreCounter | RedisCounter:
    """As the guard opens it."""
    return RedisCounter(place) if place.startswith("redis") else StoreCounter.of(Home.open(place))


@pytest.fixture
def counter(place: str) -> Iterator[Counter]:
    """A count in each place."""
    with closing(counter_of(place)) as found:
        yield found


WORKER = """
import sys
from tests.access.test_counters import FIFTY, counter_of
from agentguard.access import RateLimit
counter = counter_of(sys.argv[1])
limit = RateLimit.parse("50/hour")
print("ready", flush=True)
sys.stdin.readline()
admitted = sum(counter.take("k", limit) is None for _ in range(40))
shares = sum(counter.take("shared", limit, cost) is None and cost or 0 for cost in (3, 2, 1) * 10)
counter.close()
print(admitted, shares)
"""


def test_peers_17_four_processes_admit_exactly_the_limit(place: str) -> None:
    """160 attempts at once on a limit of 50; and costs of 1 to 3 that add up to exactly 50."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"

    found = [worker.communicate("go\n", timeout=60)[0].split() for worker in workers]

    assert sum(int(admitted) for admitted, _ in found) == 50
    assert sum(int(shares) for _, shares in found) == 50


def test_the_wait_that_is_named_is_true_on_every_place(counter: Counter) -> None:
    """By the clock of the place itself."""
    quick = RateLimit.parse("2/second")
    assert [counter.take("k", quick, 2)] == [None]

    waits = [counter.take("k", quick, cost) for cost in (1, 2)]

    assert all(wait is not None for wait in waits)
    assert 0 < float(waits[0] or 0) <= 0.5 < float(waits[1] or 0) <= 1.0
    threading.Event().wait(float(waits[0] or 0))
    assert counter.take("k", quick) is None


def test_limits_keys_and_costs_on_every_place(counter: Counter) -> None:
    """Others are not affected, odd keys are counted, a cost that never fits is refused."""
    assert counter.take("k", ONCE) is None
    assert counter.take("k", ONCE) == pytest.approx(3600, abs=30)
    assert counter.take("k", FIFTY) is None
    assert counter.take("other", ONCE) is None
    for key in ("x" * 100_000, "\ud800", "a\x00b", "'; DROP TABLE rate; --"):
        assert counter.take(key, ONCE) is None
        assert counter.take(key, ONCE) is not None
    with pytest.raises(ConfigError, match="cost"):
        counter.take("k", ONCE, 2)


@pytest.mark.parametrize("ahead_s", [1e3, 1e7], ids=["quarter-of-an-hour", "months"])
def test_a_servers_clock_set_back_locks_nobody_out(place: str, ahead_s: float, postgres_server: PostgresServer) -> None:
    """A count written by a clock that ran ahead: the wait is at most one refill (and a minute, for waits on a lock)."""
    minute = RateLimit.parse("1/minute")
    with closing(counter_of(place)) as counter:
        counter.take("k", minute)
        _shift(place, round(ahead_s * MICROSECONDS), postgres_server)

        wait = counter.take("k", minute)

    assert wait is not None
    assert wait <= minute.seconds + 60


def test_a_servers_clock_set_ahead_opens_one_burst(place: str, postgres_server: PostgresServer) -> None:
    with closing(counter_of(place)) as counter:
        for _ in range(50):
            counter.take("k", FIFTY)
        _shift(place, -round(1e7 * MICROSECONDS), postgres_server)

        admitted = sum(counter.take("k", FIFTY) is None for _ in range(60))

    assert admitted == 50


def _shift(place: str, microseconds: int, server: PostgresServer) -> None:
    """Move every stored count in time, as if the clock had moved the other way."""
    if place.startswith("redis"):
        with redis.Redis.from_url(place) as client:
            for name in client.scan_iter():
                client.set(name, int(client.get(name) or 0) + microseconds)
        return
    home = Home.open(place)
    if home.state_server is not None:
        schema, database = home.state_server.schema, home.state_server.url.database or ""
        server.execute(f"UPDATE {schema}.rate SET full_at = full_at + {microseconds}", database=database)
        return
    with closing(sqlite3.connect(home.state_path)) as connection:
        connection.execute("UPDATE rate SET full_at = full_at + ?", (microseconds,))
        connection.commit()


# -- floods and eviction ---------------------------------------------------------------------------------------------


def test_a_flood_of_keys_resets_nobody_and_fills_no_disk(tmp_path: Path) -> None:
    """Past the bound newcomers share one bucket; whoever is limited stays limited; refilled buckets make room."""
    from sqlalchemy import MetaData

    from agentguard.store import open_state

    metadata = MetaData()
    StoreCounter.define(metadata)
    home, clock = Home.create(tmp_path / ".agentguard"), FakeClock()
    with closing(StoreCounter(open_state(home, metadata), clock=clock, max_keys=20)) as counter:
        counter.take("limited", ONCE)
        for index in range(200):
            counter.take(f"minted-{index}", ONCE)

        assert counter.take("limited", ONCE) is not None
        assert [counter.take(f"late-{index}", ONCE) is None for index in range(2)] == [False, False]
        with closing(sqlite3.connect(home.state_path)) as connection:
            (held,) = connection.execute("SELECT count(*) FROM rate").fetchone()
        assert held <= 20 + 2 + 1

        clock.advance(3601)
        assert [counter.take(f"later-{index}", ONCE) is None for index in range(3)] == [True] * 3


def test_keys_in_redis_go_when_their_bucket_has_refilled(redis_url: str) -> None:
    with closing(RedisCounter(redis_url)) as counter, redis.Redis.from_url(redis_url) as client:
        counter.take("k", ONCE)
        (name,) = client.scan_iter()

        left = client.pttl(name)

    assert 3_590_000 < left <= 3_600_001


def test_a_redis_that_would_have_to_evict_is_down(redis_private: RedisServer) -> None:
    """It refuses to write, so nothing is admitted; nobody's limit is forgotten."""
    with closing(RedisCounter(redis_private.url)) as counter, redis.Redis.from_url(redis_private.url) as client:
        counter.take("limited", ONCE)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")

        with pytest.raises(StoreError):
            counter.take("new", ONCE)
        client.config_set("maxmemory", "0")
        assert counter.take("limited", ONCE) is not None


# -- a place that is down --------------------------------------------------------------------------------------------


def policy(scope: str, when_down: str, url: str = "") -> Policy:
    """One tool, two calls an hour."""
    redis_line = f"  redis: {url}\n" if url else ""
    return Policy.parse(
        "version: 1\nroles: {r: {tools: [t], permissions: [execute_agent]}}\nagents: {bot: {roles: [r]}}\n"
        f"tools: {{t: {{side_effect: read, rate: {{limit: 2/hour, scope: {scope}}}}}}}\n"
        f"rates:\n  when_down: {when_down}\n{redis_line}"
    )


def effects(guard: Guard, calls: int) -> list[Effect]:
    """What the guard's own rates say. (Roles in the same database are not known while it is down: another deny.)"""
    (rates,) = (stage for stage in guard.stages if stage.name == "rates")
    guard = Guard(stages=[rates], audit=RecordingSink())
    return [guard.check(ToolCall("t", {}), run=Conversation(principal=Principal("bot"))).effect for _ in range(calls)]


class _Locked:
    """Another program that keeps the write lock of a file."""

    def __init__(self, home: Home) -> None:
        self._connection = sqlite3.connect(home.state_path, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def end(self) -> None:
        self._connection.close()


@pytest.mark.parametrize(
    ("when_down", "expected"),
    [
        pytest.param("deny", [Effect.DENY] * 3, id="deny"),
        pytest.param("local", [Effect.ALLOW, Effect.ALLOW, Effect.DENY], id="local"),
    ],
)
class TestDown:
    """What the policy says holds while the count cannot be read; afterwards the shared count holds again."""

    def test_a_locked_file(self, when_down: str, expected: list[Effect], tmp_path: Path) -> None:
        home = Home.create(tmp_path / ".agentguard")
        with Guard.from_policy(policy("store", when_down), home=home.path) as guard:
            before = effects(guard, 1)
            lock = _Locked(home)
            during = effects(guard, 3)
            lock.end()
            _rested(guard)
            after = effects(guard, 2)

        assert before == [Effect.ALLOW]
        assert during == expected
        assert after == [Effect.ALLOW, Effect.DENY]

    def test_a_stopped_redis(
        self, when_down: str, expected: list[Effect], tmp_path: Path, redis_private: RedisServer
    ) -> None:
        home = Home.create(tmp_path / ".agentguard")
        (home.path / "redis.url").write_text(redis_private.url + "\n")
        (home.path / "redis.url").chmod(0o600)
        with Guard.from_policy(policy("redis", when_down), home=home.path) as guard:
            before = effects(guard, 1)
            redis_private.close()
            during = effects(guard, 3)

        assert before == [Effect.ALLOW]
        assert during == expected

    def test_a_redis_that_does_not_answer(
        self, when_down: str, expected: list[Effect], tmp_path: Path, redis_private: RedisServer
    ) -> None:
        """It holds the connection and says nothing: the wait ends, and then holds what the policy says."""
        home = Home.create(tmp_path / ".agentguard")
        (home.path / "redis.url").write_text(redis_private.url)
        (home.path / "redis.url").chmod(0o600)
        with Guard.from_policy(policy("redis", when_down), home=home.path) as guard:
            effects(guard, 1)
            redis_private.signal(signal.SIGSTOP)
            try:
                during = effects(guard, 3)
            finally:
                redis_private.signal(signal.SIGCONT)

        assert during == expected

    def test_a_stopped_postgresql(
        self, when_down: str, expected: list[Effect], tmp_path: Path, postgres_private: PostgresServer
    ) -> None:
        with postgres_private.database() as name:
            home = Home.create(tmp_path / ".agentguard", state_url=postgres_private.url(name))
            with Guard.from_policy(policy("store", when_down), home=home.path) as guard:
                before = effects(guard, 1)
                postgres_private.stop()
                during = effects(guard, 3)
                postgres_private.start()
                _rested(guard)
                after = effects(guard, 2)

        assert before == [Effect.ALLOW]
        assert during == expected
        assert after == [Effect.ALLOW, Effect.DENY]

    def test_a_postgresql_that_does_not_answer(
        self, when_down: str, expected: list[Effect], tmp_path: Path, postgres_private: PostgresServer
    ) -> None:
        """Frozen in the middle: the wait ends within a stage's time."""
        with postgres_private.database() as name:
            home = Home.create(tmp_path / ".agentguard", state_url=postgres_private.url(name))
            with Guard.from_policy(policy("store", when_down), home=home.path) as guard:
                effects(guard, 1)
                postgres_private.signal(signal.SIGSTOP)
                try:
                    during = effects(guard, 2)
                finally:
                    postgres_private.signal(signal.SIGCONT)

        # The first one may be over a stage's time on a busy machine: a deny either way.
        assert during[0] in (Effect.DENY, expected[0])
        assert during[1] == expected[0]

    @pytest.mark.parametrize("how", ["deleted", "replaced"])
    def test_a_state_file_that_is_no_longer_the_one_it_was(
        self, when_down: str, expected: list[Effect], how: str, tmp_path: Path
    ) -> None:
        """Deleted under a running guard: the open file goes on existing for this process alone."""
        home = Home.create(tmp_path / ".agentguard")
        with Guard.from_policy(policy("store", when_down), home=home.path) as guard:
            effects(guard, 1)
            home.state_path.unlink()
            if how == "replaced":
                Home.create(home.path)

            during = effects(guard, 3)

        assert during == expected


def _rested(guard: Guard) -> None:
    """As if a second had passed since the last failure."""
    for stage in guard.stages:
        for counter in getattr(stage, "_counters", {}).values():
            if isinstance(counter, FailoverCounter):
                counter._down_until = float("-inf")


def test_a_count_that_is_down_is_not_asked_at_every_call() -> None:
    """One attempt a second pays the timeout, the others are answered at once; then it is asked again."""
    asked: list[str] = []

    class Broken:
        blocking = True

        def take(self, key: str, limit: RateLimit, cost: int = 1) -> float | None:
            asked.append(key)
            raise StoreError("down")

    clock = FakeClock()
    for local in (None, ProcessCounter(clock=clock)):
        asked.clear()
        counter = FailoverCounter(Broken(), local, clock=clock)
        for _ in range(3):
            _attempt(counter)
        assert len(asked) == 1
        clock.advance(1.1)
        _attempt(counter)
        assert len(asked) == 2
        clock.advance(1.1)


def _attempt(counter: Counter) -> None:
    with suppress(StoreError):
        counter.take("k", ONCE)


# -- settings --------------------------------------------------------------------------------------------------------

SECRET = "made-up-" + "sesame"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: RedisCounter(f"http://u:{SECRET}@h/0"), id="scheme"),
        pytest.param(lambda: RedisCounter(f"redis://u:{SECRET}@h:notaport/0"), id="port"),
        pytest.param(lambda: RedisCounter(f"redis://u:{SECRET}@127.0.0.1:1/0").take("k", ONCE), id="nobody-listens"),
        pytest.param(lambda: policy("redis", "deny", f"redis://u:{SECRET}@h/0"), id="password-in-the-policy"),
        pytest.param(lambda: policy("redis", "deny", f"http://{SECRET}/0"), id="other-scheme-in-the-policy"),
    ],
)
def test_no_error_shows_the_password(make: Callable[[], Any]) -> None:
    with pytest.raises((ConfigError, StoreError, PolicyError)) as caught:
        make()

    error: BaseException | None = caught.value
    assert SECRET not in str(error)
    assert error is not None
    assert error.__cause__ is None or SECRET not in str(error.__cause__)


def test_a_wrong_password_is_down_and_not_shown(redis_url: str) -> None:
    wrong = redis_url.replace("redis://:", "redis://:not-")

    with pytest.raises(StoreError) as caught, closing(RedisCounter(wrong)) as counter:
        counter.take("k", ONCE)

    assert wrong.split("@")[0].removeprefix("redis://:") not in str(caught.value)


def test_scope_redis_without_an_address_does_not_start(tmp_path: Path) -> None:
    home = Home.create(tmp_path / ".agentguard")

    with pytest.raises(ConfigError, match=r"redis\.url"):
        Guard.from_policy(policy("redis", "deny"), home=home.path)


def test_an_address_that_others_can_read_does_not_start(tmp_path: Path) -> None:
    home = Home.create(tmp_path / ".agentguard")
    (home.path / "redis.url").write_text("redis://127.0.0.1:1/0")
    (home.path / "redis.url").chmod(0o644)

    with pytest.raises(StoreError, match="chmod 600"):
        Guard.from_policy(policy("redis", "deny"), home=home.path)


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        pytest.param("tools: {t: {side_effect: read, cost: 3}}", "nothing limits", id="no-rate"),
        pytest.param("tools: {t: {side_effect: read, cost: 6, rate: 5/minute}}", "never pass", id="above-own"),
        pytest.param(
            "tools: {t: {side_effect: read, cost: 6}}\nrates: {default: 5/minute}", "never pass", id="above-default"
        ),
        pytest.param("tools: {t: {side_effect: read, cost: 0, rate: 5/minute}}", "greater than", id="nothing"),
        pytest.param("tools: {t: {side_effect: read, rate: {limit: 5/minute, per: user}}}", "per", id="per-whom"),
        pytest.param("rates: {when_down: allow}", "when_down", id="open-when-down"),
    ],
)
def test_a_limit_that_cannot_do_what_it_says_is_a_load_error(rows: str, place: str) -> None:
    with pytest.raises(PolicyError) as caught:
        Policy.parse(f"version: 1\n{rows}\n")

    assert caught.value.line is not None
    assert place in str(caught.value) or place in rows
