"""``agentguard keys``: secrets come by stdin, prompt or private file, never by argument, and are never echoed."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from agentguard import AuditLog, Home, SecureAPIKeyManager
from agentguard.keys import KeyFile
from tests.cli.command import call

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "made-up " + "pass phrase"
NEXT = "another made-up " + "phrase"
SECRET = "sk-made-up-" + "0123456789"


def run(
    home: Home, *arguments: str, given: str = "", password: str | None = PASSWORD, **more: str
) -> subprocess.CompletedProcess[str]:
    environment = {**more} if password is None else {"MASTER_PASSWORD": password, **more}
    done = call(
        *arguments, "--home", str(home.path), folder=home.path.parent, given=given.encode(), environment=environment
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / ".agentguard")


def test_a_key_from_stdin_is_kept_rotated_rolled_back_listed_and_destroyed(home: Home) -> None:
    kept = run(home, "keys", "set", "openai", "--expires-in", "30d", given=SECRET + "\n")
    rotated = run(home, "keys", "rotate", "openai", "--json", given="sk-newer")
    assert (kept.stdout, kept.stderr) == ("openai: version 1\n", "")
    assert json.loads(rotated.stdout) == {"service": "openai", "version": 2}

    assert run(home, "keys", "get", "openai").stdout == "sk-newer\n"
    assert run(home, "keys", "get", "openai", "--version", "1").stdout == SECRET + "\n"
    assert json.loads(run(home, "keys", "rollback", "openai", "--json").stdout)["version"] == 1
    assert json.loads(run(home, "keys", "get", "openai", "--json").stdout)["value"] == SECRET

    listed = run(home, "keys", "list")
    (row,) = [json.loads(line) for line in run(home, "keys", "list", "--json").stdout.splitlines()]
    assert "openai" in listed.stdout
    assert SECRET not in listed.stdout + str(row)
    assert (row["version"], row["versions"], row["due"], row["expired"]) == (1, [1, 2], False, False)

    assert run(home, "keys", "delete", "openai").returncode == 0
    absent = run(home, "keys", "get", "openai")
    assert (absent.returncode, absent.stdout) == (3, "")
    assert absent.stderr.startswith("agentguard: key-absent: ")


@pytest.mark.parametrize(
    "words",
    [
        ["set", "openai", SECRET],
        ["set", "openai", f"--value={SECRET}"],
        ["set", "openai", "--api-key", SECRET],
        ["rotate", "openai", SECRET],
        ["get", "openai", SECRET],
        ["rekey", SECRET],
        ["rekey", f"--password={SECRET}"],
        ["rollback", "openai", SECRET],
        ["delete", "openai", SECRET],
    ],
    ids=lambda words: f"{words[0]}-{len(words)}",
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(home: Home, words: list[str]) -> None:
    done = run(home, "keys", *words, given="other")

    assert done.returncode == 2
    assert SECRET not in done.stdout + done.stderr
    assert "never given on the command line" in done.stderr
    assert run(home, "keys", "list", "--json").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "given", "password", "code", "exit_code"),
    [
        (["get", "openai"], "", "wrong made-up phrase", "password-wrong", 3),
        (["get", "openai"], "", None, "password-missing", 2),
        (["get", "openai"], "", "", "password-missing", 2),
        (["get", "openai", "--version", "9"], "", PASSWORD, "key-absent", 3),
        (["rotate", "none"], SECRET, PASSWORD, "key-absent", 3),
        (["set", "openai"], "", PASSWORD, "config-invalid", 2),
        (["set", "openai", "--grace", "soon"], SECRET, PASSWORD, "config-invalid", 2),
        (["set", "openai"], "x" * 70_000, PASSWORD, "input-oversized", 2),
        (["rekey"], "", PASSWORD, "password-missing", 2),
        (["get", "openai", "--password-file", "/none"], "", PASSWORD, "key-unavailable", 3),
    ],
)
def test_each_fault_is_one_line_with_its_code(
    home: Home, arguments: list[str], given: str, password: str | None, code: str, exit_code: int
) -> None:
    run(home, "keys", "set", "openai", given=SECRET)

    done = run(home, "keys", *arguments, given=given, password=password)

    assert done.returncode == exit_code
    assert done.stderr.startswith(f"agentguard: {code}: ")
    assert len(done.stderr.splitlines()) == 1
    assert SECRET not in done.stdout + done.stderr


def test_a_weak_first_password_is_refused(home: Home) -> None:
    done = run(home, "keys", "set", "openai", given=SECRET, password="password")

    assert (done.returncode, done.stderr.split(": ")[1]) == (2, "password-weak")


def test_stdin_that_is_no_text_is_refused_without_showing_it(home: Home) -> None:
    done = call(
        "keys",
        "set",
        "openai",
        folder=home.path.parent,
        given=b"\xff\xfesecret",
        environment={"MASTER_PASSWORD": PASSWORD},
    )

    assert done.returncode == 2
    assert b"secret" not in done.stderr.replace(b"a secret", b"")


def test_re_key_takes_the_next_password_from_the_environment_or_a_private_file(home: Home, tmp_path: Path) -> None:
    run(home, "keys", "set", "openai", given=SECRET)

    done = run(home, "keys", "rekey", "--grace", "0", "--json", AGENTGUARD_NEW_MASTER_PASSWORD=NEXT)
    assert json.loads(done.stdout) == {"versions": 1}
    assert run(home, "keys", "get", "openai").stderr.startswith("agentguard: password-wrong: ")

    (tmp_path / "old").write_text(NEXT + "\n")
    (tmp_path / "new").write_text(PASSWORD + "\n")
    (tmp_path / "old").chmod(0o600)
    files = ("--password-file", str(tmp_path / "old"), "--new-password-file", str(tmp_path / "new"))
    (tmp_path / "new").chmod(0o644)
    refused = run(home, "keys", "rekey", *files, password=None)
    assert "chmod 600" in refused.stderr
    (tmp_path / "new").chmod(0o600)
    assert run(home, "keys", "rekey", *files, password=None).returncode == 0
    assert run(home, "keys", "get", "openai").stdout == SECRET + "\n"
    assert run(home, "keys", "get", "openai", password=NEXT).stdout == SECRET + "\n"  # in its grace


def _on_a_terminal(home: Home, *arguments: str, typed: list[str]) -> tuple[int, str]:
    """Exit code and everything the terminal showed; each line is typed when a prompt waits for it."""
    child, terminal = pty.fork()
    if child == 0:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
        for name in ("MASTER_PASSWORD", "AGENTGUARD_MASTER_PASSWORD", "AGENTGUARD_NEW_MASTER_PASSWORD"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "agentguard.cli", *arguments, "--home", str(home.path)]
        os.execve(sys.executable, command, environment)
    shown, waiting = b"", list(typed)
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the child has ended
            break
        if not piece:
            break
        shown += piece
        if waiting and piece.endswith(b": "):
            os.write(terminal, waiting.pop(0).encode() + b"\n")
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode()


def test_on_a_terminal_secrets_are_asked_for_and_not_shown(home: Home) -> None:
    code, shown = _on_a_terminal(home, "keys", "set", "openai", typed=[PASSWORD, SECRET])
    assert code == 0
    assert "API key of openai: " in shown
    assert SECRET not in shown
    assert PASSWORD not in shown

    code, shown = _on_a_terminal(home, "keys", "get", "openai", typed=[])
    assert code == 2
    assert "--show" in shown

    code, shown = _on_a_terminal(home, "keys", "get", "openai", "--show", typed=[PASSWORD])
    assert code == 0
    assert SECRET in shown

    code, shown = _on_a_terminal(home, "keys", "rekey", typed=[PASSWORD, NEXT, "something else"])
    assert code == 2
    assert "differ" in shown
    code, shown = _on_a_terminal(home, "keys", "rekey", typed=[PASSWORD, NEXT, NEXT])
    assert code == 0
    assert run(home, "keys", "get", "openai", password=NEXT).stdout == SECRET + "\n"


def test_every_access_by_command_is_in_the_audit_log(home: Home) -> None:
    run(home, "keys", "set", "openai", given=SECRET)
    run(home, "keys", "get", "openai")
    run(home, "keys", "get", "none")
    run(home, "keys", "rotate-data-key")

    with AuditLog.open(home) as log:
        found = [record.data for record in log.query(where={"type": "application"})]

    told = [(event["details"]["action"], event["details"].get("service"), event["success"]) for event in found]  # type: ignore[index, call-overload, union-attr]
    assert [entry for entry in told if entry[0] != "api-key-open"] == [
        ("api-key-store", "openai", True),
        ("api-key-get", "openai", True),
        ("api-key-get", "none", False),
        ("data-key-rotate", None, True),
    ]
    assert SECRET not in str(found)
    assert all(str(event["user_id"]).startswith("os:") for event in found)


def test_a_generated_key_file_is_private_and_never_overwritten(home: Home, tmp_path: Path) -> None:
    done = call("keys", "generate", "k", folder=tmp_path)
    again = call("keys", "generate", "k", folder=tmp_path)

    assert (done.returncode, again.returncode) == (0, 3)
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert KeyFile(tmp_path / "k").kek().hex().encode() not in done.stdout + done.stderr


# -- the component, joined to the log --------------------------------------------------------------------------------


def test_the_component_records_in_the_log_of_its_home(home: Home) -> None:
    with SecureAPIKeyManager(PASSWORD, home=home.path) as keys:
        keys.store_api_key("openai", SECRET)
        assert keys.get_api_key("openai") == SECRET

    with AuditLog.open(home) as log:
        events = [record.data["event_type"] for record in log.query(where={"type": "application"})]
    assert events == ["data_access", "data_modify", "data_access"]


def test_the_component_shares_a_log_that_is_handed_in(home: Home) -> None:
    with AuditLog.open(home) as log:
        with SecureAPIKeyManager(PASSWORD, home=home, log=log) as keys:
            keys.store_api_key("openai", SECRET)
        log.append({"type": "still open"}, durable=True).result()


def test_a_damaged_log_keeps_the_vault_shut(home: Home) -> None:
    AuditLog.open(home).close()
    home.audit_path.write_bytes(b"not a database" * 99)

    with pytest.raises(Exception, match="audit"):
        SecureAPIKeyManager(PASSWORD, home=home)


def test_a_home_made_with_a_master_password_opens_with_the_vaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentguard.keys import create_password_key

    monkeypatch.delenv("AGENTGUARD_MASTER_PASSWORD", raising=False)
    monkeypatch.setenv("MASTER_PASSWORD", PASSWORD)
    create_password_key(tmp_path / "h")
    made = Home.create(tmp_path / "h")
    monkeypatch.delenv("MASTER_PASSWORD")

    with SecureAPIKeyManager(PASSWORD, home=made) as keys:
        keys.store_api_key("openai", SECRET)
        assert keys.get_api_key("openai") == SECRET
