"""Sessions: what ends them, what is kept of them, and what processes that share them agree on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentguard import AuditLog, Guard, Home, Policy, SecureSessionManager, ToolCall
from agentguard.access import SessionRecord, SessionStore
from agentguard.access.sessionstore import FRESH_S
from agentguard.errors import (
    ConfigError,
    RefreshReused,
    SessionError,
    SessionIdle,
    SessionRevoked,
    SessionUnknown,
    StoreError,
    TokenExpired,
    WriteError,
)
from agentguard.event import Principal
from tests.access.tokens import Clock, Desk, read_claims, read_header, signed

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 4


@pytest.fixture
def clock() -> Clock:
    """A clock under control."""
    return Clock()


@pytest.fixture
def desk(state_home: Home, clock: Clock) -> Iterator[Callable[..., Desk]]:
    """Makes managers of one home, as several processes would."""
    made: list[Desk] = []

    def make(**settings: Any) -> Desk:
        made.append(Desk(state_home, clock, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def local(tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    """One manager, on SQLite: for what does not depend on the database."""
    made = Desk(Home.create(tmp_path / "local"), clock)
    yield made
    made.close()


# -- the contract ------------------------------------------------------------------------------------------------------


def test_payload_keeps_its_fields_beside_the_standard_claims(desk: Callable[..., Desk], clock: Clock) -> None:
    sessions = desk()
    token = sessions.create_session_token("ann", {"theme": "dark", "cart": [1, 2]}, 15)

    ok, payload = sessions.validate_session_token(token)

    assert ok
    assert payload is not None
    assert (payload["user_id"], payload["data"]) == ("ann", {"theme": "dark", "cart": [1, 2]})
    assert {"iss", "aud", "sub", "jti", "iat", "nbf", "exp", "session_id"} <= payload.keys()
    assert payload["exp"] - payload["iat"] == 15 * 60
    assert sessions.revoke_token(token) is True
    assert sessions.validate_session_token(token) == (False, None)


def test_tokens_outlive_restarts_and_work_in_every_worker(desk: Callable[..., Desk]) -> None:
    first = desk()
    token = first.create_session_token("ann", {"a": 1})
    first.close()

    session = desk().authenticate(token)

    assert (session.user_id, session.data) == ("ann", {"a": 1})


def test_session_data_is_in_no_token_and_not_readable_in_the_database(local: Desk, tmp_path: Path) -> None:
    tokens = local.open_session("ann", {"card": "4111-1111-SECRET"}, roles=["payer"])
    local.close()

    stored = b"".join(path.read_bytes() for path in (tmp_path / "local").glob("state.db*"))

    for token in (tokens.access, tokens.refresh):
        assert "card" not in json.dumps(read_claims(token))
    assert b"4111-1111-SECRET" not in stored
    assert tokens.access.encode() not in stored
    assert local.authenticate(tokens.access).data == {"card": "4111-1111-SECRET"}


def test_data_is_a_fresh_copy_each_time(local: Desk) -> None:
    given = {"a": [1]}
    token = local.create_session_token("ann", given)
    given["a"].append(2)
    session = local.authenticate(token)

    session.data["a"] = "changed"

    assert session.data == local.authenticate(token).data == {"a": [1]}


def test_nothing_shows_a_token_or_a_key(local: Desk) -> None:
    tokens = local.open_session("ann", {"pin": "pin-of-ann"})
    _, key = local.keys.signing()
    session = local.authenticate(tokens.access)

    shown = repr([tokens, session, local, local.keys, vars(local.keys), local.sessions(), local.records])

    assert tokens.access not in shown
    assert tokens.refresh not in shown
    assert key.hex() not in shown
    assert repr(key) not in shown
    assert "pin-of-ann" not in shown


def test_a_session_acts_in_a_conversation(tmp_path: Path) -> None:
    """The verified identity and its session are in the decision's record."""
    home = Home.create(tmp_path / "home")
    policy = Policy.parse(
        "version: 1\nroles: {clerk: {permissions: [execute_agent], tools: [look]}}\n"
        "tools: {look: {side_effect: read, output: trusted}}\n"
    )
    with Guard.from_policy(policy, home=home.path) as guard, SecureSessionManager(home=home) as sessions:
        token = sessions.open_session("ann", roles=["clerk"], tenant="acme").access
        session = sessions.authenticate(token)
        with guard.conversation(session.principal, "look"):
            decision = guard.check(ToolCall("look", {}))
    with AuditLog.open(home) as log:
        (record,) = [r.data for r in log.query(where={"session.id": session.id})]

    assert decision.allowed
    assert session.principal == Principal("ann", "user", ("clerk",), session=session.id, tenant="acme")
    assert (record["principal.id"], record["tenant.id"]) == ("ann", "acme")


# -- times -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wait", "error"),
    [pytest.param(1799, None, id="in-time"), pytest.param(1800, SessionIdle, id="idle")],
)
def test_idle_sessions_end(
    desk: Callable[..., Desk], clock: Clock, wait: float, error: type[SessionError] | None
) -> None:
    sessions = desk(idle_minutes=30)
    token = sessions.create_session_token("ann", expires_in_minutes=600)

    clock.now += wait

    if error is None:
        assert sessions.authenticate(token).user_id == "ann"
    else:
        with pytest.raises(error):
            sessions.authenticate(token)


def test_use_keeps_a_session_alive_also_in_another_process(desk: Callable[..., Desk], clock: Clock) -> None:
    """Up to its absolute end; the one process never saw the other's uses."""
    used, other = desk(idle_minutes=30, absolute_minutes=120), desk(idle_minutes=30, absolute_minutes=120)
    token = used.create_session_token("ann", expires_in_minutes=120)
    for _ in range(5):
        clock.now += 20 * 60
        used.authenticate(token)

    assert other.authenticate(token).user_id == "ann"
    clock.now += 20 * 60
    with pytest.raises(TokenExpired):
        other.authenticate(token)


def test_a_remembered_session_is_not_idle_while_others_use_it(desk: Callable[..., Desk], clock: Clock) -> None:
    """What is remembered is read again before it is refused."""
    remembering, other = desk(strict=False, idle_minutes=30), desk(idle_minutes=30)
    token = remembering.create_session_token("ann", expires_in_minutes=600)
    remembering.authenticate(token)
    clock.now += 1500
    other.authenticate(token)
    clock.now += 1500

    assert remembering.authenticate(token).user_id == "ann"


def test_refreshing_never_outlives_the_absolute_end(local: Desk, clock: Clock) -> None:
    sessions = local
    tokens = sessions.open_session("ann")
    for _ in range(35):
        clock.now += 20 * 60
        tokens = sessions.refresh(tokens.refresh)
    assert tokens.expires_in == 20 * 60

    clock.now += 20 * 60

    with pytest.raises(TokenExpired):
        sessions.refresh(tokens.refresh)


@pytest.mark.parametrize("minutes", [0, -1, 721, float("inf"), float("nan")])
def test_lives_out_of_range_are_refused(local: Desk, minutes: float) -> None:
    with pytest.raises(ConfigError):
        local.create_session_token("ann", expires_in_minutes=minutes)


@pytest.mark.parametrize(
    "settings",
    [
        {"idle_minutes": 0},
        {"idle_minutes": 800},
        {"absolute_minutes": float("inf")},
        {"leeway_seconds": -1},
        {"leeway_seconds": 3600},
        {"max_sessions_per_user": 0},
        {"issuer": ""},
        {"audience": "a\nb"},
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, clock: Clock, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Desk(Home.create(tmp_path / "home"), clock, **settings)


@pytest.mark.parametrize(
    ("user", "data", "more"),
    [
        pytest.param("", None, {}, id="empty-id"),
        pytest.param("x" * 257, None, {}, id="long-id"),
        pytest.param("a\x1bnn", None, {}, id="control-character"),
        pytest.param("ann", {"a": object()}, {}, id="no-json"),
        pytest.param("ann", {"a": "x" * 70_000}, {}, id="too-much-data"),
        pytest.param("ann", None, {"roles": "admin"}, id="text-for-a-list"),
        pytest.param("ann", None, {"kind": "robot"}, id="unknown-kind"),
        pytest.param("ann", None, {"tenant": ""}, id="empty-tenant"),
    ],
)
def test_unusable_logins_are_refused(local: Desk, user: str, data: Any, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        local.open_session(user, data, **more)
    assert local.sessions() == ()


# -- refresh and revocation --------------------------------------------------------------------------------------------


def test_refresh_gives_the_next_pair_of_the_same_session(desk: Callable[..., Desk]) -> None:
    sessions = desk()
    first = sessions.open_session("ann", {"a": 1})

    second = sessions.refresh(first.refresh)

    assert second.session_id == first.session_id
    assert len({first.access, first.refresh, second.access, second.refresh}) == 4
    assert sessions.authenticate(second.access).data == {"a": 1}


def test_attack_refresh_token_reuse_revokes_the_family(desk: Callable[..., Desk]) -> None:
    """Whoever comes second, thief or victim: the session ends for both."""
    sessions = desk()
    stolen = sessions.open_session("ann")
    fresh = sessions.refresh(sessions.refresh(stolen.refresh).refresh)
    bystander = sessions.open_session("ann")

    with pytest.raises(RefreshReused):
        sessions.refresh(stolen.refresh)

    for token in (stolen.access, fresh.access):
        with pytest.raises(SessionRevoked):
            sessions.authenticate(token)
    with pytest.raises(SessionRevoked):
        sessions.refresh(fresh.refresh)
    assert sessions.authenticate(bystander.access).user_id == "ann"
    assert SessionRecord("refresh-reused", "ann", stolen.session_id) in sessions.records


def test_a_refresh_token_from_a_lost_future_is_refused(local: Desk) -> None:
    """A database restored from a backup does not know it."""
    tokens = local.open_session("ann")
    key_id, key = local.keys.signing()
    header = read_header(tokens.refresh)
    assert header["kid"] == key_id

    for generation in (1, -1, "0", True, None):
        forged = signed(header, {**read_claims(tokens.refresh), "generation": generation}, key)
        with pytest.raises(SessionError):
            local.refresh(forged)


def test_revoke_one_of_a_user_and_all(desk: Callable[..., Desk]) -> None:
    sessions, elsewhere = desk(), desk()
    mine = [sessions.create_session_token("ann") for _ in range(3)]
    service = sessions.open_session("ann", kind="service").access
    other = sessions.create_session_token("bob")

    one = sessions.revoke_token(mine[0])
    left = [elsewhere.validate_session_token(token)[0] for token in (*mine, service, other)]
    of_user = sessions.revoke_user("ann", kind="user")
    then = [elsewhere.validate_session_token(token)[0] for token in (*mine, service, other)]
    everybody = sessions.revoke_all()

    assert (one, of_user, everybody) == (True, 2, 2)
    assert left == [False, True, True, True, True]
    assert then == [False, False, False, True, True]
    assert not elsewhere.validate_session_token(other)[0]


def test_revoke_takes_only_our_tokens_and_grows_nothing(local: Desk) -> None:
    """Text that is no token is an error, not an entry in a list."""
    for text in ("", "not a token", "a.b.c"):
        with pytest.raises(SessionError):
            local.revoke_token(text)
    assert local.sessions() == ()


def test_an_expired_token_still_logs_its_session_out(local: Desk, clock: Clock) -> None:
    tokens = local.open_session("ann", expires_in_minutes=5)
    clock.now += 600

    assert local.revoke_token(tokens.access)
    with pytest.raises(SessionRevoked):
        local.refresh(tokens.refresh)


def test_revocation_by_id(local: Desk) -> None:
    tokens = local.open_session("ann")

    assert local.revoke_session(tokens.session_id)
    assert not local.revoke_session(tokens.session_id)
    assert not local.revoke_session("no such")
    with pytest.raises(SessionRevoked):
        local.authenticate(tokens.access)


@pytest.mark.parametrize(
    ("strict", "later", "good"),
    [
        pytest.param(False, 0.0, True, id="remembered-for-half-a-second"),
        pytest.param(False, FRESH_S, False, id="then-read-again"),
        pytest.param(True, 0.0, False, id="strict-reads-each-time"),
    ],
)
def test_a_revocation_elsewhere_holds_within_a_second(
    state_home: Home, desk: Callable[..., Desk], strict: bool, later: float, good: bool
) -> None:
    ticks = Clock()
    here, elsewhere = desk(), desk()
    here._store = SessionStore(state_home, strict=strict, ticks=ticks)
    token = here.create_session_token("ann")
    here.authenticate(token)

    elsewhere.revoke_user("ann")
    ticks.now += later

    assert here.validate_session_token(token)[0] is good
    here._store.close()


def test_a_revocation_here_holds_at_once(desk: Callable[..., Desk]) -> None:
    sessions = desk(strict=False)
    tokens = [sessions.create_session_token("ann") for _ in range(3)]
    assert all(sessions.validate_session_token(token)[0] for token in tokens)

    sessions.revoke_user("ann")

    assert not any(sessions.validate_session_token(token)[0] for token in tokens)


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_one_more_session_than_permitted_ends_the_oldest(desk: Callable[..., Desk], clock: Clock) -> None:
    sessions = desk(max_sessions_per_user=3)
    tokens = []
    for _ in range(5):
        clock.now += 1
        tokens.append(sessions.create_session_token("ann"))
    other = sessions.create_session_token("bob")

    assert [sessions.validate_session_token(token)[0] for token in (*tokens, other)] == [False] * 2 + [True] * 4
    assert [record.detail for record in sessions.records if record.action == "logout"] == ["too-many-sessions"] * 2


def test_ended_sessions_are_pruned(desk: Callable[..., Desk], clock: Clock) -> None:
    """Neither ended nor revoked ones stay for ever; the revoked stay refused."""
    sessions = desk()
    token = sessions.create_session_token("ann", expires_in_minutes=5)
    for number in range(10):
        sessions.create_session_token(f"user{number}", expires_in_minutes=5)
    sessions.revoke_user("user1")

    clock.now += 400
    sessions.create_session_token("last")

    assert [row.user_id for row in sessions.store.all()] == ["last"]
    with pytest.raises(TokenExpired):
        sessions.authenticate(token)


def test_what_a_process_remembers_is_bounded(local: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentguard.access.sessionstore.MAX_REMEMBERED", 5)
    for number in range(12):
        local.authenticate(local.create_session_token(f"user{number}"))

    assert len(local.store._seen) <= 5


def test_a_pruned_session_is_unknown_and_refused(local: Desk, clock: Clock) -> None:
    """State that was lost lets nobody in, whatever the token's signature says."""
    tokens = local.open_session("ann")
    local.close()
    engine, table = local.store._table()
    with engine.begin() as connection:
        connection.execute(table.delete())

    with pytest.raises(SessionUnknown):
        local.authenticate(tokens.access)
    with pytest.raises(SessionUnknown):
        local.refresh(tokens.refresh)


@pytest.mark.parametrize("column", ["sealed", "user_id"])
def test_changed_state_lets_nobody_in(local: Desk, column: str) -> None:
    """Whoever writes into the database can neither change the data nor become somebody else."""
    token = local.create_session_token("ann", {"a": 1})
    other = local.create_session_token("eve", {"a": 2})
    engine, table = local.store._table()
    eve = next(row for row in local.store.all() if row.user_id == "eve")
    with engine.begin() as connection:
        value = eve.sealed if column == "sealed" else "eve"
        connection.execute(table.update().where(table.c.user_id == "ann").values({column: value}))

    with pytest.raises(SessionUnknown):
        local.authenticate(token)
    assert local.authenticate(other).user_id == "eve"


def test_a_database_that_cannot_be_read_lets_nobody_in(tmp_path: Path, clock: Clock) -> None:
    home = Home.create(tmp_path / "home")
    sessions = Desk(home, clock)
    token = sessions.create_session_token("ann")
    sessions.close()
    home.state_path.write_bytes(b"no database at all" * 1000)

    with pytest.raises(StoreError):
        sessions.validate_session_token(token)
    sessions.close()


# -- the record --------------------------------------------------------------------------------------------------------


def test_logins_logouts_and_refusals_are_in_the_log(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home")
    with SecureSessionManager(home=home) as sessions:
        token = sessions.create_session_token("ann", {"pin": "pin-of-ann"})
        tokens = sessions.open_session("bob")
        sessions.refresh(tokens.refresh)
        with pytest.raises(RefreshReused):
            sessions.refresh(tokens.refresh)
        sessions.revoke_token(token)
        for _ in range(30):
            sessions.validate_session_token(token)
            sessions.validate_session_token("nonsense")
    with AuditLog.open(home) as log:
        found = [record.data for record in log.query(where={"type": "application"})]
    told = json.dumps(found)

    assert [(r["event_type"], r["user_id"], r["success"]) for r in found] == [
        ("login", "ann", True),
        ("login", "bob", True),
        ("security_alert", "bob", False),
        ("logout", "ann", True),
        ("login", "ann", False),
        ("login", "unknown", False),
    ]
    assert [r.get("reason") for r in found[-2:]] == ["session-revoked", "token-malformed"]
    assert token not in told
    assert token.split(".")[1] not in told
    assert "pin-of-ann" not in told


@pytest.mark.parametrize("action", ["login", "logout", "refresh-reused"])
def test_what_is_not_recorded_does_not_happen(local: Desk, action: str) -> None:
    tokens = local.open_session("ann")
    local.refresh(tokens.refresh)

    def full(record: SessionRecord) -> None:
        if record.action == action:
            raise WriteError("the disk is full")

    local._record = full
    acts: dict[str, Callable[[], object]] = {
        "login": lambda: local.create_session_token("bob"),
        "logout": lambda: local.revoke_user("ann"),
        "refresh-reused": lambda: local.refresh(tokens.refresh),
    }
    with pytest.raises(WriteError):
        acts[action]()

    assert [row.user_id for row in local.sessions()] == ["ann"]


def test_the_contract_works_where_nothing_was_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is called in the original text: no home, no key."""
    monkeypatch.chdir(tmp_path)
    with SecureSessionManager() as sessions:
        token = sessions.create_session_token("user123", {"role": "x"})
        assert sessions.validate_session_token(token)[0]
    with SecureSessionManager() as restarted:
        assert restarted.validate_session_token(token)[0]
        restarted.revoke_token(token)
        assert restarted.validate_session_token(token) == (False, None)


async def test_authenticate_without_blocking_the_loop(local: Desk) -> None:
    token = local.create_session_token("ann")

    assert (await local.aauthenticate(token)).user_id == "ann"
    with pytest.raises(SessionError):
        await local.aauthenticate("nonsense")
