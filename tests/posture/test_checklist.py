"""``security_audit_checklist``: five answers that probe live state, each with evidence; nothing unknown is true."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pytest

import agentguard
from agentguard import Home, SecureSessionManager, security_audit_checklist
from agentguard.assembly import roles_of
from agentguard.audit import AuditLog
from agentguard.keys import KeyVault
from agentguard.policy import Policy
from agentguard.posture import Item, Limits, Status, checklist
from agentguard.posture.checklist import Check
from agentguard.posture.dependencies import DependencyAudit
from tests.posture.project import PASSWORD, Planted

NAMES = [
    "api_keys_rotated",
    "unused_sessions_cleaned",
    "logs_encrypted",
    "permissions_reviewed",
    "dependencies_updated",
]
SOUND = '{"dependencies": [{"name": "left", "version": "1", "vulns": []}], "fixes": []}'


def ask(planted: Planted, limits: Limits | None = None) -> dict[str, Item]:
    return security_audit_checklist(home=planted.home_path, policy=planted.policy_path, limits=limits)


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip-audit that reached its database and found nothing."""
    audit = DependencyAudit([sys.executable, "-c", f"print({SOUND!r})"])
    static = [Check(c.id, audit) if c.id == "dependencies-sound" else c for c in checklist._STATIC]
    monkeypatch.setattr(checklist, "_STATIC", tuple(static))


@pytest.mark.usefixtures("audited")
def test_a_sound_project_has_five_times_yes_with_evidence(planted: Planted) -> None:
    found = ask(planted)

    assert list(found) == NAMES
    assert all(found.values())
    assert [item.status for item in found.values()] == [Status.OK] * 5
    assert all(item.evidence and not item.remedy for item in found.values())


def test_it_is_public_and_takes_no_argument(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the project's folder, as the published form is called."""
    monkeypatch.chdir(planted.folder)

    found = agentguard.security_audit_checklist()

    assert [name for name, item in found.items() if item and name != "dependencies_updated"] == NAMES[:4]


def test_without_a_project_everything_is_no_and_not_checked(tmp_path: Path) -> None:
    found = security_audit_checklist(home=tmp_path / "none", policy=tmp_path / "none.yaml")

    assert not any(found.values())
    assert {item.status for item in found.values()} == {Status.NOT_CHECKED}
    assert not (tmp_path / "none").exists()


def test_the_vault_without_its_password_is_not_checked(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTGUARD_MASTER_PASSWORD")

    item = ask(planted)["api_keys_rotated"]

    assert (item.status, bool(item), "1 API keys" in item.evidence) == (Status.NOT_CHECKED, False, True)


def test_a_wrong_password_is_not_checked(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTGUARD_MASTER_PASSWORD", "another password entirely 7")

    item = ask(planted)["api_keys_rotated"]

    assert (item.status, bool(item)) == (Status.NOT_CHECKED, False)


def test_a_look_makes_no_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in the environment is no reason to begin one."""
    monkeypatch.setenv("AGENTGUARD_MASTER_PASSWORD", "weak")
    Home.create(tmp_path / "home")

    item = security_audit_checklist(home=tmp_path / "home")["api_keys_rotated"]

    assert (item.status, item.evidence) == (Status.OK, "no API key is stored in this home")


def _old_key(planted: Planted) -> Limits:
    return Limits(key=timedelta(0))


def _unused_session(planted: Planted) -> Limits:
    with SecureSessionManager(home=planted.home) as sessions:
        sessions.create_session_token("bob")
    return Limits(session=timedelta(0))


def _no_log_key(planted: Planted) -> None:
    shutil.move(planted.home_path / "kek.key", planted.folder / "kek.key")


def _endless_role(planted: Planted) -> None:
    with AuditLog.open(planted.home) as log:
        rbac = roles_of(Policy.from_file(planted.policy_path), home=planted.home, log=log)
        rbac.assign_role("bob", "approver")
        rbac.close()


@pytest.mark.parametrize(
    ("plant", "name", "status"),
    [
        pytest.param(_old_key, "api_keys_rotated", Status.WEAK, id="key-too-old"),
        pytest.param(_unused_session, "unused_sessions_cleaned", Status.WEAK, id="session-unused"),
        pytest.param(_no_log_key, "logs_encrypted", Status.NOT_CHECKED, id="log-cannot-be-opened"),
        pytest.param(_endless_role, "permissions_reviewed", Status.WEAK, id="role-without-end"),
    ],
)
@pytest.mark.usefixtures("audited")
def test_what_is_neglected_is_no_and_says_why(planted: Planted, plant: object, name: str, status: Status) -> None:
    """The answer follows the state, and the others stay as they were."""
    assert callable(plant)
    limits = plant(planted)

    item = ask(planted, limits)[name]

    assert (item.id, item.status, bool(item)) == (name, status, False)
    assert item.evidence
    assert item.remedy


def test_dependencies_are_no_where_nobody_could_look(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    static = [Check(c.id, DependencyAudit([])) if c.id == "dependencies-sound" else c for c in checklist._STATIC]
    monkeypatch.setattr(checklist, "_STATIC", tuple(static))

    item = ask(planted)["dependencies_updated"]

    assert (item.status, bool(item)) == (Status.NOT_CHECKED, False)


def test_no_answer_holds_a_secret(planted: Planted) -> None:
    with KeyVault(PASSWORD, home=planted.home) as vault:
        value = vault.get_api_key("mail")

    told = repr(ask(planted, Limits(key=timedelta(0))))

    assert "mail" in told
    assert value not in told
    assert PASSWORD not in told
