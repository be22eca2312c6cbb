"""``agentguard mcp-proxy`` and ``agentguard policy pin``, as a terminal runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentguard.policy import Policy, pin_of
from agentguard.store import Home
from tests.adapters.hostile_server import tool

SERVER = Path(__file__).parents[1] / "adapters" / "hostile_server.py"
POLICY = """version: 1  # kept
roles: {clerk: {permissions: [execute_agent], tools: [echo]}}
agents: {assistant: {roles: [clerk]}}
tools:
  echo:
    side_effect: read  # kept
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a policy and a home."""
    (tmp_path / "agentguard.yaml").write_text(POLICY)
    Home.create(tmp_path / ".agentguard")
    return tmp_path


def _run(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agentguard.cli", *words]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=120, check=False)


def _server(mode: str) -> list[str]:
    return ["--", sys.executable, str(SERVER), mode]


def test_lines_in_are_lines_out(folder: Path) -> None:
    """stdout is the protocol and nothing else; what a server prints to stderr is seen."""
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "hi"}}},
    ]

    done = _run(
        folder,
        "mcp-proxy",
        "--agent",
        "assistant",
        *_server("honest"),
        stdin="".join(json.dumps(f) + "\n" for f in asked),
    )

    answers = {frame["id"]: frame["result"] for frame in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0
    assert [each["name"] for each in answers[2]["tools"]] == ["echo"]
    assert answers[3]["content"][0]["text"] == "echo hi"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param([], 2, "name one server", id="no-server"),
        pytest.param(["--http", "https://x/mcp", "--", "true"], 2, "name one server", id="two-servers"),
        pytest.param(["--http", "http://example.com/mcp"], 2, "in the clear", id="in-the-clear"),
        pytest.param(["--policy", "none.yaml", "--", "true"], 3, "no such policy file", id="no-policy"),
        pytest.param(["--home", "none", "--", "true"], 3, "none", id="no-home"),
        pytest.param(["--", "/nonexistent/server"], 3, "cannot be started", id="no-such-command"),
        pytest.param(["--listen", "0.0.0.0:1", "--", "true"], 2, "--listen", id="not-the-loopback"),
    ],
)
def test_what_cannot_be_run_is_one_line_with_a_code(folder: Path, words: list[str], code: int, said: str) -> None:
    done = _run(folder, "mcp-proxy", *words)

    assert done.returncode == code
    assert said in done.stderr
    assert done.stderr.startswith("agentguard: ")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_pins_are_written_into_the_rows_and_nothing_else_changes(folder: Path) -> None:
    """Twice is once."""
    policy = folder / "agentguard.yaml"

    first = _run(folder, "policy", "pin", "--json", *_server("honest"))
    text = policy.read_text()
    again = _run(folder, "policy", "pin", *_server("honest"))

    states = {row["tool"]: row["state"] for row in map(json.loads, first.stdout.splitlines())}
    assert states == {"echo": "new", "secret_tool": "no row"}
    assert Policy.parse(text).tools["echo"].pin == pin_of(tool("echo", "Echo."))
    assert "\n".join(line for line in text.splitlines() if "pin:" not in line) + "\n" == POLICY
    assert "as pinned  echo" in again.stdout
    assert policy.read_text() == text


def test_a_changed_definition_is_told_and_written_only_when_asked(folder: Path) -> None:
    policy = folder / "agentguard.yaml"
    _run(folder, "policy", "pin", *_server("honest"))
    before = policy.read_text()

    told = _run(folder, "policy", "pin", *_server("poisoned description"))
    kept = policy.read_text()
    written = _run(folder, "policy", "pin", "--changed", *_server("poisoned description"))

    assert (told.returncode, written.returncode) == (1, 0)
    assert "CHANGED  echo" in told.stdout
    assert kept == before != policy.read_text()
    assert policy.read_text().count("pin:") == 1


@pytest.mark.parametrize(
    "row", ["{pin: required, side_effect: read}", "{side_effect: read}", '{"pin": "required", side_effect: read}']
)
def test_a_row_in_braces_is_pinned_too(folder: Path, row: str) -> None:
    (folder / "agentguard.yaml").write_text(f"version: 1\ntools: {{m.echo: {row}}}\n")

    done = _run(folder, "policy", "pin", "--prefix", "m.", *_server("honest"))

    assert done.returncode == 0
    pin = Policy.from_file(folder / "agentguard.yaml").tools["m.echo"].pin
    assert pin == pin_of(tool("echo", "Echo."))


def test_a_server_that_does_not_speak_is_one_line(folder: Path) -> None:
    done = _run(folder, "policy", "pin", "--", "true")

    assert done.returncode == 3
    assert done.stderr.startswith("agentguard: adapter-refused: the server did not list its tools")
