"""``agentguard approvals`` from outside: what a person is shown, who may answer, and what is recorded."""

from __future__ import annotations

import json
import os
import pwd
from contextlib import closing
from pathlib import Path

import pytest

from agentguard import AuditLog, Guard, Home, Principal, SecureSessionManager, ToolCall
from tests.cli.test_cli import run

ME = pwd.getpwuid(os.getuid()).pw_name
POLICY = """
version: 1
roles:
  clerk: {permissions: [execute_agent], tools: [pay]}
  manager: {permissions: [read_data]}
agents: {bot: {roles: [clerk]}}
tools:
  pay: {side_effect: money, approval: always, args: {amount: {sink: amount}, note: {content: true}}}
approval: {approver: queue, wait: 0}
input: {unicode: "off"}
"""
CALL = ToolCall("pay", {"amount": 50, "note": "rent\u202e\u200b\x1b[2J done"})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in which one call waits."""
    Home.create(tmp_path / ".agentguard")
    (tmp_path / "agentguard.yaml").write_text(POLICY)
    attempt(tmp_path)
    return tmp_path


def attempt(project: Path) -> str:
    """The call as the agent makes it; the reason of the decision."""
    with (
        Guard.from_file(project / "agentguard.yaml", home=project / ".agentguard") as guard,
        guard.conversation(Principal("bot"), "Pay 50 euros.", id="run-1"),
    ):
        return guard.check(CALL).reason


def question(project: Path) -> str:
    return str(json.loads(run(project, "approvals", "list", "--json").stdout)["digest"])


def test_a_call_is_listed_shown_approved_and_run_once(project: Path) -> None:
    digest = question(project)
    listed = run(project, "approvals", "list")
    shown = run(project, "approvals", "show", digest[:16])
    approved = run(project, "approvals", "approve", digest[:16], "--yes", "--json")
    reasons = [attempt(project) for _ in range(2)]

    _, row = [line.split() for line in listed.stdout.splitlines() if line[0] != "─"]
    assert row[:4] == [digest[:16], "open", "pay", "bot"]
    assert "bot wants to run the tool pay" in shown.stdout
    assert json.loads(approved.stdout) == {"question": digest, "answer": "approved", "by": ME}
    assert reasons == ["approved", "approval-pending"]


def test_a_person_is_shown_what_will_run_and_nothing_acts(project: Path) -> None:
    """Every argument, invisible, bidi and terminal control characters as their code points."""
    for arguments in (("show", question(project)), ("show", question(project), "--json"), ("list",)):
        out = run(project, "approvals", *arguments).stdout

        assert not {"\u202e", "\u200b", "\x1b"} & set(out)
    shown = run(project, "approvals", "show", question(project)).stdout
    assert 'note = "rent\\u{202E}\\u{200B}\\u{001B}[2J done"' in shown
    assert "amount = 50" in shown
    assert "expires 20" in shown


def test_deny_refuses_and_a_second_answer_is_not_taken(project: Path) -> None:
    digest = question(project)

    denied = run(project, "approvals", "deny", digest)
    approved = run(project, "approvals", "approve", digest, "--yes")

    assert denied.returncode == 0
    assert (approved.returncode, approved.stderr.split(":")[1].strip()) == (1, "approval-answered")
    assert attempt(project) == "approval-refused"


def test_the_role_that_is_asked_for_is_checked(project: Path) -> None:
    """Changing the policy asks a question of its own."""
    (project / "agentguard.yaml").write_text(POLICY.replace("approval: always", "approval: always, approver: manager"))
    attempt(project)
    digest = next(
        found["digest"]
        for found in map(json.loads, run(project, "approvals", "list", "--json").stdout.splitlines())
        if found["role"] == "manager"
    )

    before = run(project, "approvals", "approve", digest, "--yes")
    run(project, "roles", "assign", ME, "manager")
    after = run(project, "approvals", "approve", digest, "--yes")

    assert (before.returncode, before.stderr.split(":")[1].strip()) == (1, "approval-role")
    assert after.returncode == 0
    assert attempt(project) == "approved"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(("approve", "0" * 64, "--yes"), 1, "approval-unknown", id="no-such-question"),
        pytest.param(("show", "zz"), 1, "approval-unknown", id="no-digest"),
        pytest.param(("approve", "0" * 64, "--home", "nowhere"), 3, "store-unusable", id="no-home"),
        pytest.param(("list", "--policy", "nowhere.yaml"), 3, "policy-invalid", id="no-policy"),
        pytest.param(("approve",), 2, "config-invalid", id="nothing-named"),
    ],
)
def test_what_cannot_be_done_is_one_line(project: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = run(project, "approvals", *arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_terminal_a_yes_must_be_meant(project: Path) -> None:
    """Piped input approves nothing by accident."""
    done = run(project, "approvals", "approve", question(project))

    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert attempt(project) == "approval-pending"


def test_an_answer_is_recorded_with_who_gave_it(project: Path) -> None:
    digest = question(project)
    run(project, "approvals", "approve", digest, "--yes")

    with AuditLog.open(Home.open(project / ".agentguard")) as log:
        (record,) = [found.data for found in log.query(where={"event_type": "permission_change"})]

    assert record["user_id"] == ME
    assert isinstance(record["details"], dict)
    assert (record["details"]["action"], record["details"]["question"]) == ("approve", digest)


def test_the_operator_is_who_the_system_says(project: Path) -> None:
    """Environment variables with a name in them name nobody."""
    answered = run(project, "approvals", "approve", question(project), "--yes", "--json", USER="boss", LOGNAME="boss")

    assert json.loads(answered.stdout)["by"] == ME


@pytest.mark.parametrize(
    ("tenant", "roles", "code", "said"),
    [
        pytest.param(None, ("manager",), 0, "approved by ann", id="role-of-the-session"),
        pytest.param(None, (), 1, "approval-role", id="no-role"),
        pytest.param("other", ("manager",), 1, "approval-tenant", id="other-tenant"),
    ],
)
def test_a_session_says_who_approves(
    project: Path, tenant: str | None, roles: tuple[str, ...], code: int, said: str
) -> None:
    (project / "agentguard.yaml").write_text(POLICY.replace("approval: always", "approval: always, approver: manager"))
    attempt(project)
    digest = next(
        found["digest"]
        for found in map(json.loads, run(project, "approvals", "list", "--json").stdout.splitlines())
        if found["role"] == "manager"
    )
    with closing(SecureSessionManager(home=project / ".agentguard")) as sessions:
        token = sessions.open_session("ann", roles=roles, tenant=tenant).access

    done = run(project, "approvals", "approve", digest, "--yes", AGENTGUARD_SESSION=token)

    assert (done.returncode, said in done.stderr) == (code, True)
    assert token not in done.stdout + done.stderr


@pytest.mark.parametrize("token", ["", "x", "a.b.c"])
def test_a_session_that_is_none_answers_nothing(project: Path, token: str) -> None:
    """Not even under the system's name."""
    done = run(project, "approvals", "approve", question(project), "--yes", AGENTGUARD_SESSION=token)

    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert attempt(project) == "approval-pending"


def test_an_empty_list_says_so(tmp_path: Path) -> None:
    Home.create(tmp_path / ".agentguard")
    (tmp_path / "agentguard.yaml").write_text("version: 1\n")

    done = run(tmp_path, "approvals", "list")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no question waits\n")
