"""``agentguard policy check`` and ``lint-labels`` from outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentguard import Guard, Policy, Principal, ToolResult
from agentguard.store import Home
from tests.cli.test_cli import ANSI, run

POLICY = """\
version: 1
roles: {support: {permissions: [execute_agent], tools: [lookup]}}
agents: {support: {roles: [support]}}
tools:
  lookup: {side_effect: read, output: trusted}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "agentguard.yaml").write_text(POLICY)
    (tmp_path / "mytools.py").write_text(
        "def lookup(id: int) -> dict: ...\ndef drop() -> None: ...\nALL = [lookup, drop]\n"
    )
    return tmp_path


def test_a_policy_without_remarks_exits_0(project: Path) -> None:
    done = run(project, "policy", "check", "--strict")

    assert (done.returncode, done.stdout, done.stderr) == (0, "agentguard.yaml: it loads, 0 warnings\n", "")


def test_warnings_have_place_and_code_and_fail_only_when_strict(project: Path) -> None:
    lenient = run(project, "policy", "check", "agentguard.yaml", "--tools", "mytools:ALL")
    strict = run(project, "policy", "check", "agentguard.yaml", "--tools", "mytools:ALL", "--strict")

    assert (lenient.returncode, strict.returncode) == (0, 1)
    assert lenient.stdout == strict.stdout
    line = "agentguard.yaml:4:1: warning tool-without-row: tool 'drop' has no row, so it cannot run"
    assert line in lenient.stdout.splitlines()
    assert not ANSI.search(lenient.stdout)


def test_a_policy_that_does_not_load_is_an_error_with_its_place(project: Path) -> None:
    (project / "bad.yaml").write_text("version: 1\ntools:\n  x: {side_effect: raed}\n")

    done, machine = run(project, "policy", "check", "bad.yaml"), run(project, "policy", "check", "bad.yaml", "--json")

    assert done.returncode == machine.returncode == 1
    assert done.stdout.startswith("bad.yaml:3:20: error policy-invalid: tools.x.side_effect: got 'raed'")
    said = json.loads(machine.stdout)
    assert (said["severity"], said["line"], said["column"], said["code"]) == ("error", 3, 20, "policy-invalid")


def test_a_missing_file_could_not_be_checked(tmp_path: Path) -> None:
    done = run(tmp_path, "policy", "check")

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("agentguard: policy-invalid: agentguard.yaml: no such policy file")


def test_machines_get_one_object_a_remark(project: Path) -> None:
    done = run(project, "policy", "check", "--tools", "mytools:ALL", "--json")

    (said,) = map(json.loads, done.stdout.splitlines())
    assert (said["severity"], said["code"], said["line"]) == ("warning", "tool-without-row", 4)


def test_recorded_sizes_doubt_a_trusted_label(project: Path) -> None:
    """Nothing in its name speaks against `lookup`; what it really returned does."""
    Home.create(project / ".agentguard")
    with Guard.from_policy(Policy.parse(POLICY), home=project / ".agentguard") as guard:
        for _ in range(3):
            with guard.conversation(Principal("support"), "hi") as run_:
                guard.check(ToolResult("lookup", {}, "a long story. " * 400), run=run_)

    before = run(project, "policy", "lint-labels", "--strict")
    after = run(project, "policy", "lint-labels", "--home", ".agentguard", "--strict", "--json")

    assert (before.returncode, before.stdout) == (0, "agentguard.yaml: 0 suspicious labels\n")
    assert after.returncode == 1
    said = json.loads(after.stdout)
    assert said["code"] == "trusted-prose"
    assert "3 recorded results are long" in said["message"]
