"""The command line from outside: what a shell, a script and an auditor see."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import agentguard
from agentguard import AuditLog, Guard, Policy, ToolCall
from agentguard.audit import verify
from agentguard.policy import STARTER_POLICY
from agentguard.store import Home

ROOT = Path(__file__).resolve().parents[2]
ANSI = re.compile(r"\x1b\[")


def run(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``agentguard`` as a process of its own, with warnings shown as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "agentguard.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project after ``agentguard init`` and three refused calls."""
    assert run(tmp_path, "init").returncode == 0
    with Guard.from_file(tmp_path / "agentguard.yaml", home=tmp_path / ".agentguard") as guard:
        for name in ("one", "two", "three"):
            guard.check(ToolCall(name, {}))
    return tmp_path


def test_init_makes_a_home_a_log_and_a_policy_that_loads(tmp_path: Path) -> None:
    done = run(tmp_path, "init")

    assert done.returncode == 0
    home = Home.open(tmp_path / ".agentguard")
    assert done.stdout == home.verifier_path.read_text()
    assert "back up" in done.stderr
    assert Policy.from_file(tmp_path / "agentguard.yaml").tools == {}
    assert (tmp_path / ".agentguard").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in home.path.iterdir()} == {0}


def test_init_again_changes_nothing(project: Path) -> None:
    (project / "agentguard.yaml").write_text("version: 1\n# mine\n")
    key = (project / ".agentguard" / "kek.key").read_bytes()
    before = verify(Home.open(project / ".agentguard"))

    done = run(project, "init")

    assert done.returncode == 0
    assert "exists and was kept" in done.stderr
    assert (project / "agentguard.yaml").read_text() == "version: 1\n# mine\n"
    assert (project / ".agentguard" / "kek.key").read_bytes() == key
    assert verify(Home.open(project / ".agentguard")).records == before.records


def test_init_where_the_policy_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, "init", "--policy", "no/such/folder/agentguard.yaml")

    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("agentguard: store-unusable: ")
    assert "Traceback" not in done.stderr


def test_tail_prints_plain_lines_oldest_first(project: Path) -> None:
    done = run(project, "audit", "tail", "-n", "2")

    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(lines)) == (0, "", 2)
    assert "deny" in lines[0]
    assert "two" in lines[0]
    assert "three" in lines[1]
    assert not ANSI.search(done.stdout)


def test_query_gives_machines_one_object_per_line(project: Path) -> None:
    done = run(project, "audit", "query", "--where", "tool=two", "--where", "decision=deny", "--json")

    (found,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert (found["gen_ai.tool.name"], found["reason"]) == ("two", "tool-not-permitted")


def test_query_finds_a_crafted_name_without_letting_it_act(project: Path) -> None:
    with Guard.from_file(project / "agentguard.yaml", home=project / ".agentguard") as guard:
        guard.check(ToolCall("bad\x1b[2J\u202e\nname", {}))

    shown = run(project, "audit", "tail", "-n", "1").stdout

    assert len(shown.splitlines()) == 1
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_verify_with_an_anchor_is_ok_the_second_time(project: Path) -> None:
    first = run(project, "audit", "verify", "--anchor", "anchor")
    second = run(project, "audit", "verify", "--anchor", "anchor", "--json")

    assert (first.returncode, first.stdout.splitlines()[0]) == (0, "ok-unanchored")
    report = json.loads(second.stdout)
    assert (second.returncode, report["verdict"], second.stderr) == (0, "ok", "")
    assert report["records"] >= 4


def test_verify_says_by_its_code_that_records_are_gone(project: Path) -> None:
    with closing(sqlite3.connect(project / ".agentguard" / "audit.db")) as connection, connection:
        connection.execute("DELETE FROM frame WHERE number > 0")

    done = run(project, "audit", "verify")

    assert (done.returncode, done.stdout.splitlines()[0]) == (12, "truncated")
    assert done.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(["audit", "tail"], 3, id="no-home"),
        pytest.param(["audit", "verify"], 3, id="nothing-to-verify"),
        pytest.param(["audit", "query", "--where", "nonsense"], 2, id="condition-without-equals"),
        pytest.param(["audit", "query", "--start", "yesterday"], 2, id="no-time"),
        pytest.param(["audit", "tail", "-n", "0"], 2, id="no-lines"),
        pytest.param(["fly"], 2, id="unknown-command"),
        pytest.param(["audit", "tail", "--colour"], 2, id="unknown-option"),
    ],
)
def test_exit_codes_tell_usage_from_failure(tmp_path: Path, arguments: list[str], code: int) -> None:
    if code == 2:
        Home.create(tmp_path / ".agentguard")

    done = run(tmp_path, *arguments)

    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("agentguard: ")


def test_a_misspelt_command_names_its_neighbour(tmp_path: Path) -> None:
    done = run(tmp_path, "polcy", "check")

    assert done.returncode == 2
    assert done.stderr.startswith("agentguard: config-invalid: No such command 'polcy'. Did you mean 'policy'?")


def test_a_reader_that_goes_away_is_no_traceback(project: Path) -> None:
    with AuditLog.open(Home.open(project / ".agentguard")) as log:
        for number in range(3000):
            log.append({"type": "test", "number": number}, durable=False)

    command = f"{sys.executable} -m agentguard.cli audit query --json | head -n 1"
    done = subprocess.run(
        command,
        shell=True,
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_help_and_version(tmp_path: Path) -> None:
    helped, version = run(tmp_path, "--help"), run(tmp_path, "--version")

    assert (helped.returncode, version.returncode) == (0, 0)
    assert "audit" in helped.stdout
    assert not ANSI.search(helped.stdout)
    assert version.stdout.strip() == agentguard.__version__


def test_the_starter_policy_permits_nothing_and_every_commented_line_is_valid(tmp_path: Path) -> None:
    """Taking the comment marks off the examples gives a policy that loads: what it teaches is true."""
    examples = re.sub(r"^#(  )", r"\1", STARTER_POLICY, flags=re.MULTILINE)
    examples = re.sub(r"^(tools|roles|agents): \{\}$", r"\1:", examples, flags=re.MULTILINE)
    # What explains rather than shows stays a comment.
    examples = re.sub(
        r"^   +((side_effect|output|permissions):.*\|.*|output:  .*|permissions: read.*)$",
        r"# \1",
        examples,
        flags=re.MULTILINE,
    )

    starter, taught = Policy.parse(STARTER_POLICY), Policy.parse(examples)

    assert (dict(starter.tools), dict(starter.roles), dict(starter.agents)) == ({}, {}, {})
    assert set(taught.tools) == {"web_search", "contacts.lookup", "send_email"}
    assert set(taught.agents) == {"researcher", "editor"}
