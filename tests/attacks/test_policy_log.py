"""Attacks through what is recorded: names and values that are made to move a reader's cursor or to write YAML."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from agentguard import AuditLog, Guard, Home, Policy, Principal, ToolCall, ToolResult
from agentguard.cli import app
from agentguard.recorded import RecordedDecision

POLICY = """\
version: 1
mode: shadow
roles:
  support: {permissions: [execute_agent], tools: [find, send]}
agents:
  support: {roles: [support]}
tools:
  find: {side_effect: read, output: mixed, free_text: [notes]}
  send: {side_effect: send, intent: "off", repeat: allow, args: {to: {sink: recipient, sources: [user]}}}
"""
CRAFTED = [
    "x\x1b[2J\x1b]0;pwn\x07",
    "a\n  evil: {side_effect: read, output: trusted}\n#",
    "b\u202egnp\u2066",
    "c: {sources: ['*']}\r\n  x",
    "\x85d\u2028e",
    "'\"}]#: &a *b !!python/object",
    "-\n- x",
    "\x9b31m",
    "e" * 5_000,
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in which every name and value that a model chooses is crafted."""
    folder = tmp_path_factory.mktemp("crafted")
    (folder / "p.yaml").write_text(POLICY)
    Home.create(folder / "home")
    with (
        Guard.from_policy(Policy.parse(POLICY), home=folder / "home") as guard,
        guard.conversation(Principal("support"), "Mail anna@example.com") as run,
    ):
        for text in CRAFTED:
            for event in (
                ToolResult(text, {}, {text: "eve@evil.example"}),
                ToolResult("find", {text: text}, {text: text, "mail": "x@y.example"}),
                ToolCall(text, {text: text}),
                ToolCall("send", {"to": text, text: "x"}),
                ToolCall("send", {"to": {text: text}}),
                ToolCall("send", {text: {text: [text]}}),
            ):
                guard.check(event, run=run)
    return folder


def printed(project: Path, *words: str) -> str:
    """What a command prints; no character of it moves a cursor, hides or reorders text."""
    home = ["--home", str(project / "home")]
    result = CliRunner().invoke(app, ["policy", words[0], *words[1:], *home])
    assert result.exit_code in (0, 1), result.output
    unseen = [char for char in result.output if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")]
    assert unseen == []
    return result.output


def test_a_draft_from_crafted_records_is_the_policy_with_remarks(project: Path) -> None:
    drafted = printed(project, "suggest", str(project / "p.yaml"))

    assert yaml.safe_load(drafted) == yaml.safe_load(POLICY)
    Policy.parse(drafted)


def test_replay_and_explain_show_crafted_records_escaped(project: Path) -> None:
    printed(project, "replay", str(project / "p.yaml"))
    for line in printed(project, "replay", str(project / "p.yaml"), "--json").splitlines():
        json.loads(line)
    with AuditLog.open(Home.open(project / "home")) as log:
        ids = [decision.id for decision in RecordedDecision.read(log, event="tool_call")]
    for each in ids[::4]:
        printed(project, "explain", "--policy", str(project / "p.yaml"), "--decision", each)


@pytest.mark.parametrize("text", CRAFTED)
def test_a_crafted_call_is_explained_escaped(project: Path, text: str) -> None:
    args = json.dumps({"to": text, text: text})

    printed(
        project, "explain", "--policy", str(project / "p.yaml"), "--agent", "support", "--tool", "send", "--args", args,
        "--request", text,
    )  # fmt: skip
