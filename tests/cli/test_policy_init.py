"""``agentguard policy init`` and ``policy schema`` from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentguard import Policy
from tests.cli.test_cli import ROOT, run

TOOLS = '''\
def send_mail(to: str, body: str) -> str:
    """Send a mail."""

def lookup(customer_id: int) -> dict:
    """Return one customer."""

TOOLS = [send_mail, lookup]

def all_tools():
    return TOOLS

class Holder:
    tools = TOOLS
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mytools.py").write_text(TOOLS)
    (tmp_path / "broken.py").write_text("raise RuntimeError('no database\\nhere')")
    return tmp_path


@pytest.mark.parametrize("place", ["mytools:TOOLS", "mytools:all_tools()", "mytools:Holder.tools"])
def test_a_draft_is_written_and_loads(project: Path, place: str) -> None:
    done = run(project, "policy", "init", "--tools", place, "--agent", "support", "--shadow")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("wrote agentguard.yaml: 2 tools, ")
    policy = Policy.from_file(project / "agentguard.yaml")
    assert (policy.mode, set(policy.tools), set(policy.agents)) == ("shadow", {"send_mail", "lookup"}, {"support"})


def test_nothing_is_overwritten(project: Path) -> None:
    (project / "agentguard.yaml").write_text("mine")

    done = run(project, "policy", "init", "--tools", "mytools:TOOLS")

    assert done.returncode == 2
    assert done.stderr == "agentguard: config-invalid: agentguard.yaml exists and was kept; choose another --out\n"
    assert (project / "agentguard.yaml").read_text() == "mine"


def test_machines_get_one_object(project: Path) -> None:
    done = run(project, "policy", "init", "--tools", "mytools:TOOLS", "--out", "p.yaml", "--json")

    said = json.loads(done.stdout)
    assert (said["path"], said["tools"]) == ("p.yaml", ["send_mail", "lookup"])
    assert said["review_marks"] == (project / "p.yaml").read_text().count("# REVIEW:")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["--tools", "mytools"], 2, "write module:attribute", id="no-attribute"),
        pytest.param(["--tools", "nowhere:T"], 2, "ModuleNotFoundError", id="no-module"),
        pytest.param(["--tools", "mytools:NOPE"], 2, "has no attribute 'NOPE'", id="absent"),
        pytest.param(["--tools", "broken:T"], 2, "RuntimeError: no database here", id="module-that-fails"),
        pytest.param(["--tools", "mytools:__name__"], 2, "a str is no tool", id="no-tools"),
        pytest.param(["--tools", "mytools:TOOLS", "--out", "no/where.yaml"], 3, "cannot be written", id="no-folder"),
        pytest.param(["--tools", "mytools:TOOLS", "--agent", "*"], 2, "without * and ?", id="agent"),
        pytest.param([], 2, "Missing option", id="no-tools-named"),
    ],
)
def test_faults_are_one_line_with_a_code(project: Path, arguments: list[str], code: int, words: str) -> None:
    done = run(project, "policy", "init", *arguments)

    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "agentguard.yaml").exists()


def test_drafting_needs_no_framework(project: Path) -> None:
    """Tools are read by what they have: no framework is imported, here not even importable."""
    script = (
        "import sys; sys.modules.update(dict.fromkeys(['langchain', 'langchain_core', 'langgraph', 'mcp']));"
        "sys.argv[1:] = ['policy', 'init', '--tools', 'mytools:TOOLS']; from agentguard.cli import main; main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_the_schema_is_printed(tmp_path: Path) -> None:
    done = run(tmp_path, "policy", "schema")

    assert (done.returncode, json.loads(done.stdout)) == (0, Policy.json_schema())
