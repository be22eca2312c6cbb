"""The audit commands: data on stdout, talk on stderr, exit codes of the design."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentguard.audit import AuditLog
from agentguard.cli.audit import app
from agentguard.cli.init import init
from agentguard.errors import ConfigError
from agentguard.store import Home

RUNNER = CliRunner()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.create(tmp_path / ".agentguard")
    with AuditLog.open(made) as log:
        for n in range(6):
            record = {"type": "decision", "decision": "deny" if n == 4 else "allow", "gen_ai.tool.name": f"t{n}\x1b[2J"}
            log.append(record, durable=True).result()
    return made


def test_tail_prints_one_line_per_record_and_escapes_terminal_codes(home: Home) -> None:
    result = RUNNER.invoke(app, ["tail", "-n", "2", "--home", str(home.path)])

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 2
    assert "\x1b" not in result.stdout
    assert "\\x1b" in result.stdout


def test_json_is_one_object_per_line(home: Home) -> None:
    result = RUNNER.invoke(app, ["query", "--where", "decision=deny", "--json", "--home", str(home.path)])

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["index"], line["decision"]) for line in lines] == [(4, "deny")]


def test_query_options_reach_the_log(home: Home) -> None:
    after = RUNNER.invoke(app, ["query", "--cursor", "2", "--limit", "2", "--full", "--json", "--home", str(home.path)])
    never = RUNNER.invoke(app, ["query", "--start", "2999-01-01T00:00:00+00:00", "--home", str(home.path)])

    assert [json.loads(line)["index"] for line in after.stdout.splitlines()] == [3, 4]
    assert (never.exit_code, never.stdout) == (0, "")


@pytest.mark.parametrize(
    "option", [["--where", "nonsense"], ["--start", "yesterday"], ["--end", "2026-01-01T00:00:00"]]
)
def test_unusable_options_are_config_errors(home: Home, option: list[str]) -> None:
    """``main`` of the command line turns them into exit code 2 or 3."""
    result = RUNNER.invoke(app, ["query", *option, "--home", str(home.path)])

    assert isinstance(result.exception, ConfigError)


def test_verify_says_unanchored_then_ok(home: Home, tmp_path: Path) -> None:
    anchor = ["verify", "--home", str(home.path), "--anchor", str(tmp_path / "anchor")]

    first, second = RUNNER.invoke(app, anchor), RUNNER.invoke(app, [*anchor, "--json"])

    assert (first.exit_code, first.stdout.splitlines()[0]) == (0, "ok-unanchored")
    assert "--anchor FILE" in first.stderr
    report = json.loads(second.stdout)
    assert (second.exit_code, report["verdict"], report["records"], report["content"]) == (0, "ok", 6, True)


@pytest.mark.parametrize(
    ("sql", "code", "verdict"),
    [
        ("UPDATE frame SET salt = zeroblob(32) WHERE number = 2", 10, "corrupt"),
        ("DELETE FROM frame WHERE number = 2", 11, "tampered"),
        ("DELETE FROM frame WHERE number > 2", 12, "truncated"),
        ("DELETE FROM key WHERE purpose = 'record'", 14, "key-missing"),
    ],
    ids=["corrupt", "tampered", "truncated", "key-missing"],
)
def test_verify_exit_codes(home: Home, sql: str, code: int, verdict: str) -> None:
    with closing(sqlite3.connect(home.audit_path)) as connection, connection:
        connection.execute(sql)

    result = RUNNER.invoke(app, ["verify", "--home", str(home.path)])

    assert (result.exit_code, result.stdout.splitlines()[0]) == (code, verdict)
    assert result.stderr


def test_verify_without_keys_needs_none(home: Home) -> None:
    home.key_path.unlink()

    result = RUNNER.invoke(app, ["verify", "--no-keys", "--home", str(home.path)])

    assert result.exit_code == 0
    assert "structure only" in result.stdout


def test_init_prints_the_verifier_key_and_overwrites_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "agentguard.yaml"
    init(tmp_path / "h", policy, policy="version: 1\n")
    first = capsys.readouterr().out
    policy.write_text("mine\n")

    init(tmp_path / "h", policy, policy="version: 1\n")

    assert first.startswith("agentguard.audit/")
    assert capsys.readouterr().out == first == (tmp_path / "h" / "audit.vkey").read_text()
    assert policy.read_text() == "mine\n"
