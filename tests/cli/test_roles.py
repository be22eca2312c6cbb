"""``agentguard roles`` from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentguard import AuditLog, Guard, Home, ToolCall
from agentguard.event import Principal
from tests.cli.test_cli import run

POLICY = """
version: 1
roles:
  reader: {permissions: [read_data, execute_agent], tools: [look]}
  editor: {permissions: [write_data], inherits: [reader]}
agents: {desk: {roles: [reader]}}
tools: {look: {side_effect: read, output: trusted}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with roles."""
    Home.create(tmp_path / ".agentguard")
    (tmp_path / "agentguard.yaml").write_text(POLICY)
    return tmp_path


def test_a_role_is_assigned_listed_explained_and_taken_back(project: Path) -> None:
    assigned = run(project, "roles", "assign", "ann", "editor", "--tenant", "acme", "--expires", "8h")
    listed = run(project, "roles", "list")
    effective = run(project, "roles", "effective", "ann", "--tenant", "acme")
    elsewhere = run(project, "roles", "effective", "ann")
    taken = run(project, "roles", "unassign", "ann", "editor", "--tenant", "acme", "--json")

    assert (assigned.returncode, assigned.stdout, assigned.stderr) == (0, "", "ann holds editor\n")
    header, *rows = [line.split() for line in listed.stdout.splitlines() if line[0] != "─"]
    assert header == ["principal", "kind", "role", "tenant", "resource", "until"]
    assert [row[:5] for row in rows] == [["desk", "agent", "reader", "*", "-"], ["ann", "user", "editor", "acme", "-"]]
    assert [" ".join(line.split()) for line in effective.stdout.splitlines()[2:]] == [
        "write_data allow role editor",
        "execute_agent allow role editor, inherited from reader",
        "read_data allow role editor, inherited from reader",
    ]
    assert (elsewhere.stdout, elsewhere.stderr) == ("", "ann holds no permission\n")
    assert (taken.returncode, json.loads(taken.stdout)["unassigned"]) == (0, True)


def test_a_running_guard_goes_by_it_and_the_log_says_who_did_it(project: Path) -> None:
    with Guard.from_file(project / "agentguard.yaml", home=project / ".agentguard") as guard:
        run(project, "roles", "assign", "ann", "reader")
        with guard.conversation(Principal("ann", "user"), "look"):
            assert guard.check(ToolCall("look", {})).allowed
    with AuditLog.open(Home.open(project / ".agentguard")) as log:
        (change,) = [record.data for record in log.query(where={"event_type": "permission_change"})]

    assert change["user_id"] == "ann"
    assert change["details"]["by"]  # type: ignore[call-overload, index]


def test_json_lists_one_object_per_line(project: Path) -> None:
    run(project, "roles", "assign", "bot", "reader", "--kind", "service", "--resource", "docs/*")

    listed = [json.loads(line) for line in run(project, "roles", "list", "bot", "--json").stdout.splitlines()]
    effective = run(project, "roles", "effective", "bot", "--kind", "service", "--json").stdout.splitlines()

    assert listed == [
        {
            "user_id": "bot", "role": "reader", "kind": "service", "tenant": None, "resource": "docs/*",
            "expires_at": None, "known": True,
        }
    ]  # fmt: skip
    assert json.loads(effective[0])["reason"] == "role reader, assigned on docs/*"


def test_a_role_the_policy_no_longer_defines_is_pointed_out(project: Path) -> None:
    run(project, "roles", "assign", "ann", "editor")
    (project / "agentguard.yaml").write_text("version: 1\n")

    listed = run(project, "roles", "list")
    effective = run(project, "roles", "effective", "ann")

    assert "does not define editor" in listed.stderr
    assert (effective.stdout, "refused everything" in effective.stderr) == ("", True)


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        pytest.param(("assign", "ann", "ghost"), 2, "config-invalid", id="unknown-role"),
        pytest.param(("assign", "ann", "reader", "--expires", "soon"), 2, "config-invalid", id="no-duration"),
        pytest.param(("assign", "ann", "reader", "--kind", "robot"), 2, "config-invalid", id="unknown-kind"),
        pytest.param(("assign", "a\x1bnn", "reader"), 2, "config-invalid", id="control-character"),
        pytest.param(("unassign", "ann", "reader"), 1, "was not assigned", id="not-held"),
        pytest.param(("list", "--home", "nowhere"), 3, "store-unusable", id="no-home"),
        pytest.param(("list", "--policy", "none.yaml"), 3, "policy-invalid", id="no-policy"),
    ],
)
def test_errors_are_one_line(project: Path, arguments: tuple[str, ...], code: int, word: str) -> None:
    done = run(project, "roles", *arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert word in done.stderr
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
