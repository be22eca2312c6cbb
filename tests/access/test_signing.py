"""Keys of sessions: made once, rotated with an overlap, kept wrapped; or from a secret of the application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from agentguard import Home, SecureSessionManager
from agentguard.accounts import rotate_kek
from agentguard.audit import verify
from agentguard.errors import ConfigError, UnknownKey
from tests.access.tokens import SECRET, Clock, Desk, read_claims, read_header


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


def test_rotation_overlaps(desk: Callable[..., Desk], clock: Clock) -> None:
    """Old tokens stay good until they end; new ones name the new key, which other workers know at once."""
    sessions, worker = desk(), desk(strict=False)
    old = sessions.open_session("ann", {"a": 1})
    worker.authenticate(old.access)

    key_id = sessions.rotate_keys()
    new = sessions.open_session("bob")

    assert read_header(new.access)["kid"] == key_id != read_header(old.access)["kid"]
    assert worker.authenticate(new.access).user_id == "bob"
    assert worker.authenticate(old.access).data == {"a": 1}
    assert read_header(worker.refresh(old.refresh).access)["kid"] == key_id


def test_replaced_keys_are_deleted_once_their_sessions_have_ended(desk: Callable[..., Desk], clock: Clock) -> None:
    sessions = desk()
    token = sessions.create_session_token("ann")
    old = read_header(token)["kid"]
    sessions.rotate_keys()
    assert sessions.keys.verifying(old)

    clock.now += 12 * 3600 + 1
    sessions.rotate_keys()

    assert sessions.keys.verifying(old) is None


def test_retired_keys_end_every_session(desk: Callable[..., Desk]) -> None:
    """The key is out: what it signed is refused, here and elsewhere."""
    sessions, elsewhere = desk(), desk()
    tokens = sessions.open_session("ann")
    elsewhere.authenticate(tokens.access)

    sessions.rotate_keys(retire=True)

    for one in (sessions, elsewhere):
        with pytest.raises(UnknownKey):
            one.authenticate(tokens.access)
        with pytest.raises(UnknownKey):
            one.refresh(tokens.refresh)
    assert sessions.sessions() == ()
    assert elsewhere.authenticate(sessions.create_session_token("bob")).user_id == "bob"


def test_keys_lie_wrapped_in_the_database(local: Desk, tmp_path: Path) -> None:
    local.create_session_token("ann")
    _, key = local.keys.signing()
    local.close()

    stored = b"".join(path.read_bytes() for path in (tmp_path / "local").glob("state.db*"))

    assert key not in stored
    assert key.hex().encode() not in stored


def test_tokens_survive_a_new_key_encryption_key(tmp_path: Path) -> None:
    """`agentguard keys rotate-kek` wraps the keys of the sessions too."""
    home = Home.create(tmp_path / "home")
    with SecureSessionManager(home=home) as sessions:
        token = sessions.create_session_token("ann", {"a": 1})

    rotate_kek(home)

    with SecureSessionManager(home=home) as sessions:
        assert sessions.authenticate(token).data == {"a": 1}
    assert verify(home).verdict.value.startswith("ok")


def test_a_secret_of_the_application_signs_in_every_worker(tmp_path: Path) -> None:
    """And changes with an overlap."""
    home, new = Home.create(tmp_path / "home"), SECRET[::-1]
    with SecureSessionManager(SECRET, home=home) as first, SecureSessionManager(SECRET, home=home) as second:
        token = first.create_session_token("ann")
        assert second.validate_session_token(token)[0]
        with pytest.raises(ConfigError):
            first.rotate_keys()
    with SecureSessionManager(new, home=home, previous_keys=[SECRET]) as both:
        assert both.validate_session_token(token)[0]
        assert read_header(both.create_session_token("bob"))["kid"] != read_header(token)["kid"]
    with SecureSessionManager(new, home=home) as only, pytest.raises(UnknownKey):
        only.authenticate(token)
    with pytest.raises(ConfigError):
        SecureSessionManager(home=home, previous_keys=[SECRET])


def test_the_secret_itself_signs_nothing(tmp_path: Path) -> None:
    """A token that somebody made with the bare secret is none of ours."""
    home = Home.create(tmp_path / "home")
    with SecureSessionManager(SECRET, home=home) as sessions:
        token = sessions.create_session_token("ann")
        forged = jwt.encode(read_claims(token), SECRET, algorithm="HS256", headers=read_header(token))
        assert sessions.validate_session_token(forged) == (False, None)
