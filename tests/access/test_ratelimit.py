"""Rates: the bucket, both counters, the stage and the decorator."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard import AuditLog, SecurityAuditLogger
from agentguard.access import (
    AccessRecord,
    Counter,
    ProcessCounter,
    RateLimit,
    Rates,
    RateSettings,
    StoreCounter,
    rate_limit_security,
)
from agentguard.access.ratelimit import principal_key, rate_key
from agentguard.accounts import AccessLog
from agentguard.conversation import Conversation
from agentguard.decision import Effect
from agentguard.errors import ConfigError, RateLimited, SecurityError, StoreError
from agentguard.event import AgentMessage, Event, Message, ModelInput, ModelOutput, Principal, ToolCall
from agentguard.store import Home

FIVE = RateLimit.parse("5/minute")


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def store_counter(clock: Clock) -> StoreCounter:
    """A counter over a database of its own in memory."""
    engine = sqlalchemy.create_engine(
        "sqlite://", poolclass=sqlalchemy.StaticPool, connect_args={"check_same_thread": False}
    )
    metadata = sqlalchemy.MetaData()
    StoreCounter.define(metadata)
    metadata.create_all(engine)
    opened.append(StoreCounter(engine, clock=clock))
    return opened[-1]


opened: list[StoreCounter] = []


@pytest.fixture(autouse=True)
def closed_afterwards() -> Iterator[None]:
    """Close every database a test opened."""
    yield
    while opened:
        opened.pop().close()


@pytest.fixture
def clock() -> Clock:
    """A clock under control."""
    return Clock()


@pytest.fixture(params=["process", "store"])
def counter(request: pytest.FixtureRequest, clock: Clock) -> Counter:
    """Both counters keep the same promises."""
    return ProcessCounter(clock=clock) if request.param == "process" else store_counter(clock)


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [("5/minute", 5, 60), ("1/s", 1, 1), ("100/15 minutes", 100, 900), ("2/24h", 2, 86_400), ("7/day", 7, 86_400)],
)
def test_rate_is_read(text: str, count: int, seconds: float) -> None:
    """Count, then period."""
    limit = RateLimit.parse(text)

    assert (limit.count, limit.seconds, limit.burst) == (count, seconds, count)


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "0/minute", "-1/minute", "5/fortnight", "5 / minute", "1.5/s", "5/minute\n"]
)
def test_other_rates_are_refused(text: str) -> None:
    """No guessing."""
    with pytest.raises(ConfigError):
        RateLimit.parse(text)


@pytest.mark.parametrize(
    ("count", "seconds", "burst"), [(0, 1, 0), (1, 0, 0), (1, math.inf, 0), (1, math.nan, 0), (2, 1, 3), (2, 1, -1)]
)
def test_impossible_limits_are_refused(count: int, seconds: float, burst: int) -> None:
    """Out of range is a ConfigError."""
    with pytest.raises(ConfigError):
        RateLimit(count, seconds, burst)


def test_burst_then_refusal_with_exact_wait(counter: Counter, clock: Clock) -> None:
    """Five at once; the wait named is enough, and a moment less is not."""
    assert [counter.take("k", FIVE) for _ in range(5)] == [None] * 5
    wait = counter.take("k", FIVE)

    assert wait == pytest.approx(12.0)
    clock.now += 11.99
    assert counter.take("k", FIVE) == pytest.approx(0.01)
    clock.now += 0.01
    assert counter.take("k", FIVE) is None
    assert counter.take("k", FIVE) == pytest.approx(12.0)


def test_denied_attempts_take_nothing(counter: Counter, clock: Clock) -> None:
    """Hammering does not lengthen the wait."""
    for _ in range(50):
        counter.take("k", FIVE)

    clock.now += 12

    assert counter.take("k", FIVE) is None


def test_burst_below_the_count(counter: Counter, clock: Clock) -> None:
    """Two at once although five a minute are fine."""
    limit = RateLimit.parse("5/minute", burst=2)

    assert [counter.take("k", limit) for _ in range(3)] == [None, None, pytest.approx(12.0)]


def test_keys_and_limits_do_not_share(counter: Counter) -> None:
    """Neither another principal nor another limit is affected."""
    once = RateLimit.parse("1/minute")
    counter.take("k", once)

    assert counter.take("other", once) is None
    assert counter.take("k", FIVE) is None
    assert counter.take("k", once) is not None


def test_clock_jump_ahead_buys_one_full_bucket_only(counter: Counter, clock: Clock) -> None:
    """Idle time is not saved up."""
    counter.take("k", FIVE)
    clock.now += 1e9

    assert [counter.take("k", FIVE) is None for _ in range(6)] == [True] * 5 + [False]


def test_clock_jump_back_locks_nobody_out_for_longer_than_a_refill(counter: Counter, clock: Clock) -> None:
    """A restart of the host restarts the clock; nothing is admitted for it, and the wait is bounded."""
    clock.now = 1e9
    for _ in range(5):
        counter.take("k", FIVE)
    clock.now = 10.0

    wait = counter.take("k", FIVE)

    assert wait == pytest.approx(12.0)
    clock.now += 12.0
    assert counter.take("k", FIVE) is None


@pytest.mark.parametrize("key", ["x" * 100_000, "\ud800", "a\x00b"], ids=["long", "surrogate", "nul"])
def test_any_key_can_be_counted(counter: Counter, key: str) -> None:
    """An identity is not ours to choose."""
    once = RateLimit.parse("1/minute")

    assert counter.take(key, once) is None
    assert counter.take(key, once) is not None


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.floats(0, 30), max_size=40), count=st.integers(1, 6), burst=st.integers(1, 6))
def test_never_more_than_burst_plus_refill(steps: list[float], count: int, burst: int) -> None:
    """The bound that defines a token bucket, and both counters agree on every answer."""
    clock = Clock(0.0)
    limit = RateLimit(count, 60.0, min(burst, count))
    process, store = ProcessCounter(clock=clock), store_counter(clock)
    admitted = 0

    for step in steps:
        clock.now += step
        answer = process.take("k", limit)
        assert (store.take("k", limit) is None) is (answer is None)
        admitted += answer is None

    assert admitted <= limit.burst + (clock.now * 1e6 + 1) / limit.interval


def test_eviction_never_resets_an_active_limit(clock: Clock) -> None:
    """An attacker's flood of new names cannot push out the name that is being limited."""
    counter = ProcessCounter(clock=clock, max_keys=10)
    once = RateLimit.parse("1/minute")
    counter.take("attacker", once)

    for index in range(1000):
        counter.take(f"minted-{index}", once)

    assert counter.take("attacker", once) is not None
    assert len(counter._full_at) <= 10


@pytest.mark.parametrize("cost", [0, -1, 6, 1.0, True])
def test_a_cost_that_could_never_be_spent_is_refused(counter: Counter, cost: Any) -> None:
    with pytest.raises(ConfigError, match="cost"):
        counter.take("k", FIVE, cost)


def test_costs_are_spent_together_or_not_at_all(counter: Counter, clock: Clock) -> None:
    """Three of five, then three do not fit and take nothing, then two do."""
    answers = [counter.take("k", FIVE, cost) for cost in (3, 3, 2, 1)]

    assert answers == [None, pytest.approx(12.0), None, pytest.approx(12.0)]
    clock.now += 60
    assert counter.take("k", FIVE, 5) is None


@pytest.mark.parametrize("per", ["principal", "session", "tenant", "tool"])
def test_whose_count_it_is(per: Any) -> None:
    """Which of these share a bucket with the first: a verified identity decides, never an argument."""
    ann = Principal("ann", kind="user", session="s1", tenant="t1")
    others = {
        "other agent, same session": Principal("bot2", on_behalf_of=ann),
        "other session": Principal("bot", on_behalf_of=dataclasses.replace(ann, session="s2")),
        "other user, same tenant": Principal("bot", on_behalf_of=Principal("bob", session="s3", tenant="t1")),
        "same session name, other tenant": Principal("bot", on_behalf_of=dataclasses.replace(ann, tenant="t2")),
        "nobody": Principal("anonymous", kind="service"),
    }
    mine = rate_key(Principal("bot", on_behalf_of=ann), per)

    shared = {name for name, principal in others.items() if rate_key(principal, per) == mine}

    assert (
        shared
        == {
            "principal": {"other session"},
            "session": {"other agent, same session"},
            "tenant": {"other agent, same session", "other session", "other user, same tenant"},
            "tool": set(others),
        }[per]
    )


def test_without_a_session_opening_another_run_opens_no_other_bucket() -> None:
    assert rate_key(Principal("bot"), "session") == rate_key(Principal("bot"), "principal")


def test_without_a_tenant_all_share_one_count() -> None:
    """Minting identities without a tenant opens no bucket."""
    assert rate_key(Principal("a"), "tenant") == rate_key(Principal("b"), "tenant")
    assert rate_key(Principal("a"), "tenant") != rate_key(Principal("a", tenant="tenant:"), "tenant")


def test_full_table_makes_newcomers_share_one_bucket(clock: Clock) -> None:
    """Past the bound nobody gets more than the limit, and refilled buckets make room again."""
    counter = ProcessCounter(clock=clock, max_keys=2)
    once = RateLimit.parse("1/minute")

    answers = [counter.take(name, once) is None for name in ("a", "b", "c", "d")]

    assert answers == [True, True, True, False]
    clock.now += 61
    assert [counter.take(name, once) is None for name in ("c", "d")] == [True, True]


def test_threads_get_exactly_the_limit(clock: Clock) -> None:
    """No two threads spend the same token."""
    counter = ProcessCounter(clock=clock)
    limit = RateLimit.parse("100/hour")
    admitted: list[bool] = []

    def work() -> None:
        admitted.extend(counter.take("k", limit) is None for _ in range(100))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(admitted) == 100


WORKER = """
import sys
from pathlib import Path
import sqlalchemy
from agentguard.access.counters import StoreCounter
from agentguard.access.ratelimit import RateLimit
from agentguard.store import open_engine
metadata = sqlalchemy.MetaData()
StoreCounter.define(metadata)
engine = open_engine(Path(sys.argv[1]), application_id=1, schema_version=1, metadata=metadata)
counter = StoreCounter(engine, clock=lambda: 1000.0)
print(sum(counter.take("k", RateLimit.parse("50/hour")) is None for _ in range(40)))
"""


def test_peers_17_processes_share_one_exact_count(tmp_path: Path) -> None:
    """Four processes make 160 attempts at once; exactly 50 are admitted."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    command = [sys.executable, "-c", WORKER, str(folder / "state.db")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    admitted = sum(int(worker.communicate(timeout=60)[0]) for worker in workers)

    assert admitted == 50


def rates(clock: Clock) -> Rates:
    """The stage, counting in memory."""
    once = RateLimit.parse("1/minute", scope="process")
    limits = RateSettings({"t": once}, model=once, message=once, default=once)
    return Rates(limits, counters={"process": ProcessCounter(clock=clock)})


def run_of(id: str, **fields: object) -> Conversation:
    """A run of one agent."""
    return Conversation(principal=Principal(id, **fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "rule"),
    [
        pytest.param(ToolCall("t", {}), "tools.t.rate", id="tool"),
        pytest.param(ToolCall("other", {}), "rates.default", id="tool-without-its-own"),
        pytest.param(ModelInput((Message("user", "x"),)), "rates.model", id="model"),
        pytest.param(AgentMessage("a", "b", "t", "x"), "rates.message", id="message"),
    ],
)
def test_second_event_is_refused_with_the_wait(clock: Clock, event: Event, rule: str) -> None:
    """Deny, with a true retry-after, and the rule that decided."""
    stage = rates(clock)
    assert stage.inspect(event, run_of("a")).effect is Effect.ALLOW

    verdict = stage.inspect(event, run_of("a"))

    assert (verdict.effect, verdict.reason, verdict.rules) == (Effect.DENY, "rate-limited", (rule,))
    assert verdict.retry_after == pytest.approx(60.0)
    assert stage.inspect(event, run_of("b")).effect is Effect.ALLOW


def test_inventing_tool_names_opens_no_new_bucket(clock: Clock) -> None:
    """Names without a rule share one."""
    stage = rates(clock)
    stage.inspect(ToolCall("x1", {}), run_of("a"))

    assert stage.inspect(ToolCall("x2", {}), run_of("a")).effect is Effect.DENY


def test_output_is_not_counted(clock: Clock) -> None:
    """One model call is one action."""
    stage = rates(clock)

    assert [stage.inspect(ModelOutput(Message("assistant", "x")), run_of("a")).effect for _ in range(3)] == [
        Effect.ALLOW
    ] * 3


def test_shared_limit_without_a_store_is_refused() -> None:
    """A limit that would silently hold per process only."""
    with pytest.raises(ConfigError, match="scope"):
        Rates(RateSettings({}, model=FIVE), counters={"process": ProcessCounter()})


def test_tools_spend_their_cost_of_a_shared_limit(clock: Clock) -> None:
    """Five a minute for all tools together; the dear one takes four of them."""
    limit = RateLimit.parse("5/minute", scope="process")
    settings = RateSettings({}, default=limit, costs={"dear": 4, "cheap": 1})
    stage = Rates(settings, counters={"process": ProcessCounter(clock=clock)})

    effects = [stage.inspect(ToolCall(tool, {}), run_of("a")).effect for tool in ("dear", "dear", "cheap", "cheap")]

    assert effects == [Effect.ALLOW, Effect.DENY, Effect.ALLOW, Effect.DENY]


def test_everybody_shares_a_limit_per_tool(clock: Clock) -> None:
    once = RateLimit.parse("1/minute", scope="process", per="tool")
    stage = Rates(RateSettings({"t": once}), counters={"process": ProcessCounter(clock=clock)})

    effects = [stage.inspect(ToolCall("t", {}), run_of(name)).effect for name in ("a", "b")]

    assert effects == [Effect.ALLOW, Effect.DENY]


def test_stage_blocks_only_with_a_store(clock: Clock) -> None:
    """``acheck`` then leaves the event loop."""
    shared = Rates(RateSettings({}, model=FIVE), counters={"store": store_counter(clock)})

    assert (rates(clock).blocking, shared.blocking) == (False, True)


def test_identities_cannot_be_spelled_alike() -> None:
    """Tenant, kind, id and delegation are kept apart whatever characters an id holds."""
    principals = [
        Principal("a"),
        Principal("a", kind="user"),
        Principal("a", tenant="t"),
        Principal("agent/a", tenant=None),
        Principal("a", on_behalf_of=Principal("b")),
        Principal("a>/agent/b"),
        Principal("a%2fb"),
        Principal("a/b"),
    ]

    assert len({principal_key(p) for p in principals}) == len(principals)


def test_decorator_limits_the_verified_principal(clock: Clock) -> None:
    """A claimed user id changes nothing."""

    @rate_limit_security(max_attempts=2, window_seconds=60, counter=ProcessCounter(clock=clock))
    def login(user_id: str) -> str:
        """Log in."""
        return user_id

    with run_of("mallory").active():
        assert [login("a"), login("b")] == ["a", "b"]
        with pytest.raises(RateLimited) as caught:
            login("c")
    with run_of("bob").active():
        assert login("a") == "a"

    assert caught.value.retry_after == pytest.approx(30.0)
    assert isinstance(caught.value, SecurityError)
    assert login.__name__ == "login"


@pytest.mark.parametrize("method", [False, True], ids=["function", "method"])
def test_decorator_outside_a_conversation_keys_by_user_id_and_warns(clock: Clock, method: bool) -> None:
    """The contract's fallback, loudly; positional and named mean the same."""
    limited = rate_limit_security(1, 60, counter=ProcessCounter(clock=clock))

    class Logins:
        @limited
        def login(self, user_id: str) -> str:
            return user_id

    @limited
    def login(user_id: str) -> str:
        return user_id

    call = Logins().login if method else login
    with pytest.warns(RuntimeWarning, match="caller chooses"):
        assert call("alice") == "alice"
    with pytest.warns(RuntimeWarning), pytest.raises(RateLimited):
        call(user_id="alice")
    with pytest.warns(RuntimeWarning):
        assert call("bob") == "bob"


@pytest.mark.parametrize("kind", ["process", "store"])
async def test_decorator_limits_coroutines(clock: Clock, kind: str) -> None:
    """Async, without blocking the loop when the counter may wait."""
    buckets: Counter = ProcessCounter(clock=clock) if kind == "process" else store_counter(clock)

    @rate_limit_security(1, 60, counter=buckets)
    async def fetch() -> str:
        await asyncio.sleep(0)
        return "done"

    with run_of("a").active():
        assert await fetch() == "done"
        with pytest.raises(RateLimited):
            await fetch()


def test_decorator_tells_of_every_blocked_attempt(clock: Clock) -> None:
    """Who was refused what, for the audit log; an attempt that cannot be recorded is refused with that error."""
    told: list[AccessRecord] = []

    @rate_limit_security(1, 60, counter=ProcessCounter(clock=clock), record=told.append)
    def login() -> None:
        """Log in."""

    with run_of("mallory").active():
        login()
        for _ in range(2):
            with pytest.raises(RateLimited):
                login()

    assert [(each.action, each.subject, each.by) for each in told] == [("rate-limited", "mallory", "mallory")] * 2
    assert all("login" in each.detail for each in told)


def test_blocked_attempts_are_in_the_audit_log(tmp_path: Path) -> None:
    """End to end, with the application's own logger."""
    with AuditLog.open(Home.create(tmp_path / ".agentguard")) as log:

        @rate_limit_security(1, 60, counter=ProcessCounter(), record=AccessLog(log))
        def login() -> None:
            """Log in."""

        with run_of("mallory").active():
            login()
            with pytest.raises(RateLimited):
                login()

        (event,) = SecurityAuditLogger(log=log).query_logs({"user_id": "mallory"})

    assert (event["event_type"], event["success"]) == ("security_alert", False)


def test_decorator_spends_what_a_call_costs(clock: Clock) -> None:
    """A number, or a function of the call's arguments."""

    @rate_limit_security(5, 60, counter=ProcessCounter(clock=clock), per="tool", cost=lambda pages: pages)
    def fetch(pages: int) -> int:
        return pages

    assert [fetch(3), fetch(2)] == [3, 2]
    with pytest.raises(RateLimited) as caught:
        fetch(1)
    assert caught.value.retry_after == pytest.approx(12.0)
    with pytest.raises(ConfigError):
        rate_limit_security(5, 60, cost=6)


def test_wall_clock_jumps_change_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Setting it back locks nobody out, setting it ahead opens nothing: it is not read."""
    shared = StoreCounter.of(Home.create(tmp_path / ".agentguard"))
    opened.append(shared)
    counters = (ProcessCounter(), shared)
    once = RateLimit.parse("1/hour")
    for counter in counters:
        assert counter.take("k", once) is None

    for jump in (-1e8, 1e8):
        monkeypatch.setattr("time.time", lambda jump=jump: 1.7e9 + jump)
        waits = [counter.take("k", once) for counter in counters]
        fresh = [counter.take(f"other{jump}", once) for counter in counters]

        assert all(wait is not None and 3500 < wait <= 3600 for wait in waits)
        assert fresh == [None, None]


def test_decorator_counts_across_processes_where_there_is_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two functions of one name are what two workers have: one count, in the project's folder."""
    Home.create(tmp_path / ".agentguard")
    monkeypatch.chdir(tmp_path)

    def worker() -> Any:
        @rate_limit_security(1, 60, per="tool")
        def login() -> str:
            return "in"

        return login

    first, second = worker(), worker()

    assert first() == "in"
    with pytest.raises(RateLimited):
        second()
    gc.collect()


def test_decorator_on_an_unsafe_home_lets_nobody_in(tmp_path: Path) -> None:
    """It exists and cannot be used: not the same as not being there."""
    home = Home.create(tmp_path / ".agentguard")
    home.path.chmod(0o777)

    @rate_limit_security(1, 60, per="tool", home=home.path)
    def login() -> str:
        return "in"

    with pytest.raises(StoreError):
        login()


def test_default_decorator_is_five_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract's numbers."""
    monkeypatch.chdir(tmp_path)

    @rate_limit_security()
    def login() -> None:
        """Log in."""

    with run_of("a").active():
        for _ in range(5):
            login()
        with pytest.raises(RateLimited):
            login()
