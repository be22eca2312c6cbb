"""The audit commands: data on stdout, talk on stderr, exit codes of the design."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agentguard.audit import AuditLog
from agentguard.cli import app as whole
from agentguard.cli.audit import app
from agentguard.cli.init import init
from agentguard.errors import ConfigError, KeySourceError
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


# -- evidence ----------------------------------------------------------------------------------------------------------


def test_a_proof_is_checked_with_the_verifier_key_alone(home: Home, tmp_path: Path) -> None:
    proof, folder = tmp_path / "p", ["--home", str(home.path)]
    made = RUNNER.invoke(app, ["prove", "3", "--out", str(proof), *folder])

    by_file = RUNNER.invoke(app, ["check-proof", str(proof), "--key", str(home.verifier_path)])
    by_text = RUNNER.invoke(app, ["check-proof", str(proof), "--key", home.verifier_path.read_text().strip(), "--json"])

    assert (made.exit_code, made.stdout) == (0, "")
    assert by_file.stdout.startswith("proved: record 3 of 6")
    assert "\x1b" not in by_file.stdout
    assert json.loads(by_text.stdout)["record"]["decision"] == "allow"


def test_a_changed_proof_and_another_key_are_not_proved(home: Home, tmp_path: Path) -> None:
    proof = tmp_path / "p"
    RUNNER.invoke(app, ["prove", "3", "--out", str(proof), "--home", str(home.path)])
    with AuditLog.open(Home.create(tmp_path / "other")) as other:
        key = str(other.verifier_key)
    changed = tmp_path / "changed"
    changed.write_bytes(proof.read_bytes().replace(b"index 3", b"index 2"))

    results = [
        RUNNER.invoke(app, ["check-proof", str(proof), "--key", key]),
        RUNNER.invoke(app, ["check-proof", str(changed), "--key", str(home.verifier_path)]),
    ]

    assert [(result.exit_code, result.stdout) for result in results] == [(1, "not proved\n")] * 2


def test_growth_since_a_kept_checkpoint_is_proved(home: Home, tmp_path: Path) -> None:
    kept, proof, folder = tmp_path / "kept", tmp_path / "p", ["--home", str(home.path)]
    kept.write_text(RUNNER.invoke(app, ["checkpoint", *folder]).stdout)
    with AuditLog.open(home) as log:
        log.append({"type": "decision"}, durable=True).result()

    RUNNER.invoke(app, ["consistency", "--since", str(kept), "--out", str(proof), *folder])
    checked = RUNNER.invoke(app, ["check-proof", str(proof), "--key", str(home.verifier_path)])

    assert checked.stdout == "proved: the log of 7 records continues the one of 6\n"


@pytest.mark.parametrize("form", ["jsonl", "ocsf", "otlp", "syslog"])
def test_export_prints_a_line_per_record(home: Home, form: str) -> None:
    result = RUNNER.invoke(app, ["export", "--format", form, "--cursor", "1", "--home", str(home.path)])

    assert (result.exit_code, len(result.stdout.splitlines()), result.stderr) == (0, 4, "")


@pytest.mark.parametrize(
    "command",
    [
        ["export", "--format", "xml"],
        ["check-proof", "x", "--key", "no key"],
        ["retention", "--older-than", "soon"],
        ["begin-generation"],
        ["query", "--where", "n>x"],
    ],
    ids=["format", "key", "duration", "nothing-lost", "number"],
)
def test_unusable_commands_are_config_errors(home: Home, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "x").write_text("")
    command = [str(tmp_path / "x") if word == "x" else word for word in command]
    folder = [] if command[0] == "check-proof" else ["--home", str(home.path)]

    result = RUNNER.invoke(app, [*command, *folder])

    assert isinstance(result.exception, ConfigError)


@pytest.mark.parametrize(
    ("conditions", "indices"),
    [
        (["decision!=allow"], [4]),
        (["monotonic_ns>0", "decision=deny"], [4]),
        (["monotonic_ns<0"], []),
        (["absent!=x"], []),
        (["decision>=1"], []),
    ],
)
def test_conditions_compare(home: Home, conditions: list[str], indices: list[int]) -> None:
    options = [word for condition in conditions for word in ("--where", condition)]

    result = RUNNER.invoke(app, ["query", *options, "--json", "--start", "1h", "--home", str(home.path)])

    assert [json.loads(line)["index"] for line in result.stdout.splitlines()] == indices


def test_counts_by_field(home: Home) -> None:
    result = RUNNER.invoke(app, ["query", "--count-by", "decision", "--json", "--home", str(home.path)])

    counts = [json.loads(line) for line in result.stdout.splitlines()]
    assert counts == [{"value": "allow", "count": 5}, {"value": "deny", "count": 1}]


def test_tail_follows_until_interrupted(home: Home) -> None:
    command = [
        sys.executable,
        "-m",
        "agentguard.cli",
        "audit",
        "tail",
        "-f",
        "-n",
        "1",
        "--json",
        "--home",
        str(home.path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        with AuditLog.open(home) as log:
            log.append({"type": "decision", "n": "new"}, durable=True).result()
        second = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)

        assert process.wait(30) == 0

    assert (first["index"], second["index"], second["n"]) == (5, 6, "new")


# -- upkeep ------------------------------------------------------------------------------------------------------------


def test_retention_rotation_and_a_new_generation_by_command(home: Home) -> None:
    folder = ["--home", str(home.path), "--json"]
    kept = json.loads(RUNNER.invoke(app, ["retention", "--older-than", "90d", *folder]).stdout)
    rotated = json.loads(RUNNER.invoke(whole, ["keys", "rotate-kek", *folder]).stdout)
    with closing(sqlite3.connect(home.audit_path)) as connection, connection:
        connection.execute("DELETE FROM frame WHERE number = 2")
    begun = json.loads(RUNNER.invoke(app, ["begin-generation", *folder]).stdout)

    assert (kept["keys"], rotated["keys"], begun["generation"], begun["lost"]["verdict"]) == (0, 3, 2, "tampered")
    assert RUNNER.invoke(app, ["verify", "--home", str(home.path)]).exit_code == 0


def test_init_with_a_master_password_makes_no_key_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTGUARD_MASTER_PASSWORD", "made-up " + "phrase")

    init(tmp_path / "h", tmp_path / "p.yaml", policy="version: 1\n", master_password=True)

    assert capsys.readouterr().out.startswith("agentguard.audit/")
    assert not (tmp_path / "h" / "kek.key").exists()
    assert RUNNER.invoke(app, ["verify", "--home", str(tmp_path / "h")]).exit_code == 0
    monkeypatch.delenv("AGENTGUARD_MASTER_PASSWORD")
    assert RUNNER.invoke(app, ["verify", "--home", str(tmp_path / "h")]).exit_code == 14
    with pytest.raises(KeySourceError, match="set AGENTGUARD_MASTER_PASSWORD"):
        init(tmp_path / "i", tmp_path / "p.yaml", policy="version: 1\n", master_password=True)
