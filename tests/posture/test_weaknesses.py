"""Each weakness that is planted in a sound project is found, by its own id; the sound project passes."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import timedelta

import pytest

from agentguard.access.sessionstore import SessionStore, StoredSession
from agentguard.posture import Item, Project, Status, checks, examine
from agentguard.posture.checklist import Check
from agentguard.posture.dependencies import DependencyAudit
from tests.posture.project import Planted
from tests.posture.weakness import WEAKNESSES, Plant

# Frameworks take seconds to import: their canaries are run by name, below and in the adapters' own tests.
QUICK = tuple(check.id for check in checks() if not check.id.startswith("probe-hooks-"))


@pytest.mark.parametrize(("name", "wanted", "status", "plant"), [pytest.param(*row, id=row[0]) for row in WEAKNESSES])
def test_a_planted_weakness_is_found(planted: Planted, name: str, wanted: str, status: Status, plant: Plant) -> None:
    """By its own id, with evidence and what to do about it."""
    before = planted.items(wanted).get(wanted)
    plant(planted)

    item = planted.items(wanted)[wanted]

    assert before is None or before.status is Status.OK
    assert (item.id, item.status, bool(item)) == (wanted, status, False)
    assert item.evidence
    assert item.remedy


def test_the_sound_project_passes(planted: Planted) -> None:
    """Every item but the dependencies, which nobody can look up here."""
    found = planted.items(*(set(QUICK) - {"dependencies-sound"}))

    assert [f"{item.id}: {item.evidence}" for item in found.values() if item.status is not Status.OK] == []
    # Without a CA nothing is said about one.
    assert set(QUICK) - set(found) == {"certificates-last", "probe-no-certificate", "dependencies-sound"}


AT_ONCE = (
    "shadow-mode-left-on", "unsafe-open", "payloads-in-the-log", "secrets-not-redacted", "injection-off",
    "threshold-permissive", "markup-off", "unicode-off", "intent-off", "no-limit-on-side-effects",
    "limits-local-when-down", "nobody-to-ask", "deletion-unconfirmed", "unlabelled-argument", "label-suspicious",
    "review-mark-left", "rule-never-applies", "role-unused", "agent-is-admin", "copy-of-a-key-open",
    "policy-writable-by-others", "anchor-beside-the-log", "role-without-end", "session-unused",
    "log-key-unpinned", "api-key-old",
)  # fmt: skip


def test_many_weaknesses_at_once_are_each_found(planted: Planted) -> None:
    """One hides no other."""
    rows = {name: (wanted, plant) for name, wanted, _, plant in WEAKNESSES}
    for name in AT_ONCE:
        rows[name][1](planted)

    found = planted.items(*{rows[name][0] for name in AT_ONCE})

    missed = [name for name in AT_ONCE if found[rows[name][0]].status not in (Status.WEAK, Status.FAILED)]
    assert missed == []
    assert len({rows[name][0] for name in AT_ONCE}) == 26


def test_every_static_check_has_a_planted_weakness() -> None:
    """No check that cannot fail; the other probes are made to fail in a test of their own."""
    tried = {wanted for _, wanted, _, _ in WEAKNESSES}

    assert {name for name in QUICK if not name.startswith("probe-")} - tried == {"dependencies-sound"}


def test_a_check_that_breaks_is_not_checked(planted: Planted) -> None:
    """Whatever it raises: unknown is never well."""

    def broken(_project: Project) -> Item:
        raise RuntimeError("secret-in-the-message")

    (item,) = examine(planted.project(), which=[Check("broken", broken)])

    assert (item.status, bool(item)) == (Status.NOT_CHECKED, False)
    assert "secret-in-the-message" not in item.evidence


def test_a_home_open_to_others_leaves_nothing_well_that_rests_on_it(planted: Planted) -> None:
    (planted.home_path / "state.db").chmod(0o644)

    found = planted.items("home-private", "log-verified", "sessions-cleaned", "api-keys-rotated", "roles-used")

    assert found.pop("home-private").status is Status.FAILED
    assert {item.status for item in found.values()} == {Status.NOT_CHECKED}
    assert all("store-unusable" in item.evidence for item in found.values())


def test_a_missing_policy_leaves_nothing_well_that_rests_on_it(planted: Planted) -> None:
    planted.policy_path.unlink()

    found = planted.items("policy-loads", "mode-enforced", "rates-set", "probe-denied-tools")

    assert found.pop("policy-loads").status is Status.FAILED
    assert {item.status for item in found.values()} == {Status.NOT_CHECKED}


def test_a_home_without_records_says_that_it_knows_nothing(planted: Planted) -> None:
    for name in ("audit.db", "audit.db-wal", "audit.db-shm", "audit.vkey"):
        (planted.home_path / name).unlink(missing_ok=True)
    (planted.home_path / "audit.db").touch(0o600)

    found = planted.items("log-encrypted", "log-verified", "log-fresh", "probe-edited-log")

    assert {item.status for item in found.values()} == {Status.NOT_CHECKED}


def test_a_log_that_was_emptied_is_no_new_one(planted: Planted) -> None:
    """The pinned verifier key remembers that there was one."""
    for name in ("audit.db-wal", "audit.db-shm"):
        (planted.home_path / name).unlink(missing_ok=True)
    (planted.home_path / "audit.db").write_bytes(b"")

    assert planted.items("log-verified")["log-verified"].status is Status.FAILED


def test_ages_are_told(planted: Planted) -> None:
    planted.ahead = timedelta(days=20)

    found = planted.items("api-keys-rotated", "permissions-reviewed", "log-fresh")

    ages = [item.age for item in found.values()]
    assert all(age is not None and timedelta(days=19) < age < timedelta(days=21) for age in ages)


def test_a_look_moves_no_anchor_and_records_no_session(planted: Planted) -> None:
    """What is examined stays as it was."""
    before = planted.anchor.read_bytes()

    planted.items(*(set(QUICK) - {"dependencies-sound", "probe-rate-limit"}))

    assert planted.anchor.read_bytes() == before
    assert [row.user_id for row in _sessions(planted)] == ["ann"]


def _sessions(planted: Planted) -> list[StoredSession]:
    with closing(SessionStore(planted.home)) as store:
        return list(store.all())


# -- dependencies ---------------------------------------------------------------------------------------------------

_SOUND = '{"dependencies": [{"name": "left", "version": "1", "vulns": []}], "fixes": []}'
_VULNERABLE = (
    '{"dependencies": [{"name": "left", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}]}'
)
_MIXED = (
    '{"dependencies": [{"name": "own", "skip_reason": "not found"}, {"name": "left", "version": "1", "vulns": []}]}'
)
_SKIPPED = '{"dependencies": [{"name": "own", "skip_reason": "not found"}]}'


@pytest.mark.parametrize(
    ("output", "talk", "code", "status", "word"),
    [
        pytest.param(_SOUND, "", 0, Status.OK, "1 packages", id="sound"),
        pytest.param(_VULNERABLE, "Found 1 known vulnerability", 1, Status.FAILED, "PYSEC-1", id="vulnerable"),
        pytest.param(_SKIPPED, "", 0, Status.NOT_CHECKED, "0 of 1", id="none-known"),
        pytest.param(_MIXED, "", 0, Status.NOT_CHECKED, "1 of 2", id="half-known"),
        pytest.param("", "ERROR: Max retries exceeded", 1, Status.NOT_CHECKED, "Max retries", id="unreachable"),
        pytest.param("[]", "", 0, Status.NOT_CHECKED, "no result", id="another-form"),
    ],
)
def test_what_pip_audit_says_is_read(
    planted: Planted, output: str, talk: str, code: int, status: Status, word: str
) -> None:
    """Its JSON as it documents it; an exit of 1 means both findings and failure."""
    script = f"import sys; sys.stdout.write({output!r}); sys.stderr.write({talk!r}); sys.exit({code})"

    item = DependencyAudit([sys.executable, "-c", script])(planted.project())

    assert (item.status, word in item.evidence) == (status, True)


@pytest.mark.parametrize("command", [pytest.param([], id="not-installed"), pytest.param(["/no/such"], id="gone")])
def test_without_pip_audit_nothing_is_known(planted: Planted, command: list[str]) -> None:
    assert DependencyAudit(command)(planted.project()).status is Status.NOT_CHECKED


def test_a_pip_audit_that_hangs_is_given_up(planted: Planted) -> None:
    audit = DependencyAudit([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)

    assert audit(planted.project()).status is Status.NOT_CHECKED
