"""``agentguard sessions`` from outside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentguard import AuditLog, Home, SecureSessionManager, UnknownKey
from tests.cli.test_cli import run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a home."""
    Home.create(tmp_path / ".agentguard")
    return tmp_path


@pytest.fixture
def manager(project: Path) -> Iterator[SecureSessionManager]:
    """The application of the project, which reads the state at each check."""
    with SecureSessionManager(home=project / ".agentguard", strict=True) as made:
        yield made


def test_sessions_are_listed_and_ended(project: Path, manager: SecureSessionManager) -> None:
    ann, bob = manager.open_session("ann", {"pin": "pin-of-ann"}, tenant="acme"), manager.open_session("bob")
    more = [manager.create_session_token("bob") for _ in range(2)]

    listed = run(project, "sessions", "list")
    machine = [json.loads(line) for line in run(project, "sessions", "list", "ann", "--json").stdout.splitlines()]
    one = run(project, "sessions", "revoke", ann.session_id)
    again = run(project, "sessions", "revoke", ann.session_id)
    of_bob = run(project, "sessions", "revoke", "--user", "bob", "--json")

    assert (listed.returncode, listed.stderr, len(listed.stdout.splitlines())) == (0, "", 6)
    assert ann.session_id in listed.stdout
    assert [(row["id"], row["user_id"], row["tenant"]) for row in machine] == [(ann.session_id, "ann", "acme")]
    for shown in (listed.stdout, json.dumps(machine)):
        assert "pin-of-ann" not in shown
        assert ann.access.split(".")[1] not in shown
    assert (one.returncode, one.stdout, one.stderr) == (0, "", "1 session ended\n")
    assert (again.returncode, again.stderr) == (1, "0 sessions ended\n")
    assert json.loads(of_bob.stdout) == {"revoked": 3}
    assert not any(manager.validate_session_token(token)[0] for token in (ann.access, bob.access, *more))


def test_ending_all_is_recorded_with_who_did_it(project: Path, manager: SecureSessionManager) -> None:
    manager.create_session_token("ann")
    manager.close()

    done = run(project, "sessions", "revoke", "--all")
    empty = run(project, "sessions", "list")

    assert (done.returncode, empty.returncode, empty.stdout) == (0, 0, "")
    with AuditLog.open(Home.open(project / ".agentguard")) as log:
        (logout,) = [record.data for record in log.query(where={"event_type": "logout"})]
    assert logout["user_id"] == "*"
    assert logout["details"]["by"]  # type: ignore[call-overload, index]


def test_keys_rotate_and_retire(project: Path, manager: SecureSessionManager) -> None:
    token = manager.create_session_token("ann")

    rotated = run(project, "sessions", "rotate-keys")
    still = manager.validate_session_token(token)[0]
    retired = run(project, "sessions", "rotate-keys", "--retire", "--json")

    assert (rotated.returncode, rotated.stdout, still) == (0, "", True)
    assert json.loads(retired.stdout)["retired"] is True
    with pytest.raises(UnknownKey):
        manager.authenticate(token)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        pytest.param(("revoke",), 2, "config-invalid", id="nothing-named"),
        pytest.param(("revoke", "x", "--all"), 2, "config-invalid", id="two-named"),
        pytest.param(("revoke", "--user", "nobody"), 1, "0 sessions ended", id="nothing-lived"),
        pytest.param(("list", "--home", "nowhere"), 3, "store-unusable", id="no-home"),
    ],
)
def test_errors_are_one_line(project: Path, arguments: tuple[str, ...], code: int, word: str) -> None:
    done = run(project, "sessions", *arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1
