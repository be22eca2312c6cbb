"""A project whose databases are on a PostgreSQL server is examined like one with files."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentguard import Home
from agentguard.audit import AuditLog, verify
from agentguard.posture import Status
from tests.posture.project import POLICY, Planted


@pytest.fixture
def planted(tmp_path: Path, postgres_url: str) -> Planted:
    """Log and state on the server."""
    made = Planted(tmp_path)
    made.policy_path.write_text(POLICY)
    made.policy_path.chmod(0o644)
    home = Home.create(made.home_path, state_url=postgres_url, audit_url=postgres_url)
    with AuditLog.open(home) as log:
        for number in range(3):
            log.append({"type": "note", "number": number}, durable=True).result()
    verify(home, anchor=(made.folder / "anchor.json"))
    made.anchor = made.folder / "anchor.json"
    return made


def test_log_state_and_probes_are_examined(planted: Planted) -> None:
    """The log is copied row by row into a file, and the copy edited."""
    found = planted.items(
        "home-private", "log-encrypted", "log-verified", "log-pinned", "log-fresh", "log-anchored", "api-keys-rotated",
        "sessions-cleaned", "permissions-reviewed", "probe-edited-log", "probe-rate-limit",
    )  # fmt: skip

    assert {name: item.evidence for name, item in found.items() if item.status is not Status.OK} == {}
    assert len(found) == 11
