"""``agentguard policy test`` from outside."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.cli.test_cli import ANSI, run

POLICY = """\
version: 1
roles: {support: {permissions: [execute_agent], tools: [send_mail]}}
agents: {support: {roles: [support]}}
tools:
  send_mail: {side_effect: send, args: {to: {sink: recipient, sources: [user]}}}
"""
CASES = """\
version: 1
policy: agentguard.yaml
cases:
  - name: the user names the recipient
    agent: support
    request: Write to anna@example.com
    steps:
      - call: {tool: send_mail, args: {to: anna@example.com}}
        expect: allow
  - name: "nobody named \\u202e bob"
    agent: support
    request: Write to anna@example.com
    steps:
      - call: {tool: send_mail, args: {to: bob@example.com}}
        expect: EXPECTED
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A policy with a file of cases that pass and one in which a case fails."""
    (tmp_path / "agentguard.yaml").write_text(POLICY)
    (tmp_path / "good.yaml").write_text(CASES.replace("EXPECTED", "ask"))
    (tmp_path / "bad.yaml").write_text(CASES.replace("EXPECTED", "allow"))
    return tmp_path


def test_all_as_expected_exits_0(project: Path) -> None:
    done = run(project, "policy", "test", "good.yaml")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "2 of 2 cases as expected"
    assert done.stdout.startswith("ok  the user names the recipient  good.yaml:4")
    assert not (project / ".agentguard").exists()


def test_a_difference_exits_1_and_shows_reason_and_origins(project: Path) -> None:
    done = run(project, "policy", "test", "good.yaml", "bad.yaml")

    assert done.returncode == 1
    assert "FAILED  nobody named \\u{202E} bob  bad.yaml:10" in done.stdout
    assert "bad.yaml:14: call of send_mail" in done.stdout
    assert "expected allow, got ask (origin-unknown)" in done.stdout
    assert "found nowhere" in done.stdout
    assert done.stdout.splitlines()[-1] == "3 of 4 cases as expected"
    assert not ANSI.search(done.stdout)


def test_machines_get_one_object_a_case(project: Path) -> None:
    done = run(project, "policy", "test", "bad.yaml", "--json")

    good, bad = (json.loads(line) for line in done.stdout.splitlines())
    assert (done.returncode, good["passed"], bad["passed"]) == (1, True, False)
    (step,) = bad["steps"]
    assert (step["expected"], step["got"], step["reason"]) == ("allow", "ask", "origin-unknown")
    assert step["origins"][0] == {
        "argument": "to",
        "path": ["args", "to"],
        "value": "bob@example.com",
        "origin": "N",
        "effect": "ask",
        "source": None,
    }


def test_ci_servers_get_junit(project: Path) -> None:
    done = run(project, "policy", "test", "bad.yaml", "--junit", "report.xml")

    suite = ET.parse(project / "report.xml").getroot()
    assert (done.returncode, suite.get("tests"), suite.get("failures")) == (1, "2", "1")
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "line 14: call of send_mail: expected allow, got ask (origin-unknown)"


def test_another_policy_can_be_tried(project: Path) -> None:
    (project / "strict.yaml").write_text(POLICY.replace("tools: [send_mail]", "tools: []"))

    done = run(project, "policy", "test", "good.yaml", "--policy", "strict.yaml", "--json")

    assert done.returncode == 1
    assert {json.loads(line)["steps"][0]["reason"] for line in done.stdout.splitlines()} == {"tool-not-permitted"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["missing.yaml"], 3, "cases-invalid: missing.yaml: no such file of cases", id="missing"),
        pytest.param(["agentguard.yaml"], 3, "cases-invalid: agentguard.yaml:2:1: unknown key 'roles'", id="no-cases"),
        pytest.param(["good.yaml", "--policy", "bad.yaml"], 3, "policy-invalid: bad.yaml:2:1", id="no-policy"),
        pytest.param(["good.yaml", "--junit", "no/such.xml"], 3, "store-unusable: no/such.xml", id="no-folder"),
        pytest.param([], 2, "Missing argument", id="nothing"),
    ],
)
def test_faults_are_one_line_with_a_code(project: Path, arguments: list[str], code: int, words: str) -> None:
    done = run(project, "policy", "test", *arguments)

    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
