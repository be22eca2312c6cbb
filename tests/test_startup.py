"""Nothing runs unguarded by accident: whatever is wrong at the start is one clear error, never an open door."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from agentguard import (
    AgentGuardError,
    AuditLog,
    Denied,
    Guard,
    Home,
    Policy,
    PolicyError,
    Principal,
    TamperError,
    ToolCall,
    WriteError,
)
from agentguard.cli import main
from agentguard.policy import STARTER_POLICY

ROOT = Path(__file__).resolve().parents[1]


def sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home as ``agentguard init`` leaves it, with a state database and a few records."""
    made = Home.create(tmp_path / ".agentguard")
    (tmp_path / "agentguard.yaml").write_text(STARTER_POLICY)
    with Guard.from_file(tmp_path / "agentguard.yaml", home=made.path) as guard:
        for _ in range(3):
            guard.check(ToolCall("unheard_of", {}))
    return made


def start(home: Home) -> None:
    Guard.from_file(home.path.parent / "agentguard.yaml", home=home.path).close()


def _moved(home: Home) -> None:
    home.path.rename(home.path.with_name("elsewhere"))


def _linked(home: Home) -> None:
    _moved(home)
    home.path.symlink_to(home.path.with_name("elsewhere"))


def _as_file(home: Home) -> None:
    _moved(home)
    home.path.write_text("not a folder")


def _key_as_pipe(home: Home) -> None:
    home.key_path.unlink()
    os.mkfifo(home.key_path, 0o600)


def _key_as_link(home: Home) -> None:
    home.key_path.rename(home.path / "real.key")
    home.key_path.symlink_to(home.path / "real.key")


def _emptied(path: Path) -> None:
    for leftover in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        leftover.unlink(missing_ok=True)
    path.write_bytes(b"")


# What is wrong, the error's code, and a word of its remedy.
LOG_FAULTS = [
    pytest.param(_moved, "store-unusable", "agentguard init", id="missing-home"),
    pytest.param(_linked, "store-unusable", "links are refused", id="home-is-a-link"),
    pytest.param(_as_file, "store-unusable", "not a folder", id="home-is-a-file"),
    pytest.param(lambda h: h.path.chmod(0o755), "store-unusable", "chmod 700", id="world-readable-home"),
    pytest.param(lambda h: h.key_path.chmod(0o644), "key-unavailable", "chmod 600", id="world-readable-key"),
    pytest.param(lambda h: h.key_path.unlink(), "key-unavailable", "restore", id="missing-key"),
    pytest.param(lambda h: h.key_path.write_text("00\n"), "key-unavailable", "restore", id="short-key"),
    pytest.param(lambda h: h.key_path.write_text("zz" * 32), "key-unavailable", "restore", id="malformed-key"),
    pytest.param(lambda h: h.key_path.write_text("ab" * 32), "key-unavailable", "", id="another-key"),
    pytest.param(_key_as_pipe, "key-unavailable", "restore", id="key-is-a-pipe"),
    pytest.param(_key_as_link, "key-unavailable", "links are refused", id="key-is-a-link"),
    pytest.param(lambda h: h.audit_path.unlink(), "store-unusable", "restore", id="missing-log"),
    pytest.param(lambda h: _emptied(h.audit_path), "store-unusable", "restore", id="emptied-log"),
    pytest.param(lambda h: h.audit_path.chmod(0o640), "store-unusable", "chmod 600", id="group-readable-log"),
    pytest.param(lambda h: overwrite(h.audit_path, 0, b"x" * 4096), "store-unusable", "restore", id="corrupt-log"),
    pytest.param(
        lambda h: sql(h.audit_path, "PRAGMA user_version = 99"),
        "store-unusable",
        "upgrade",
        id="log-of-a-newer-release",
    ),
    pytest.param(
        lambda h: sql(h.audit_path, "PRAGMA application_id = 7"), "store-unusable", "another program", id="foreign-log"
    ),
    pytest.param(
        lambda h: sql(h.audit_path, "CREATE TRIGGER t AFTER INSERT ON frame BEGIN DELETE FROM frame; END"),
        "store-unusable",
        "trigger",
        id="trigger-in-the-log",
    ),
    pytest.param(lambda h: h.verifier_path.write_text("other\n"), "audit-tampered", "restore", id="replaced-verifier"),
    pytest.param(
        lambda h: sql(h.audit_path, "DELETE FROM log"), "audit-tampered", "restore", id="log-without-identity"
    ),
]
STATE_FAULTS = [
    pytest.param(lambda h: h.state_path.unlink(), "store-unusable", "restore", id="missing-state"),
    pytest.param(lambda h: overwrite(h.state_path, 0, b"x" * 4096), "store-unusable", "restore", id="corrupt-state"),
    pytest.param(
        lambda h: sql(h.state_path, "PRAGMA user_version = 99"),
        "store-unusable",
        "upgrade",
        id="state-of-a-newer-release",
    ),
    pytest.param(lambda h: h.state_path.chmod(0o666), "store-unusable", "chmod 600", id="world-writable-state"),
]
Fault = Callable[[Home], object]


@pytest.mark.parametrize(("fault", "code", "remedy"), [*LOG_FAULTS, *STATE_FAULTS])
def test_no_guard_starts_on_a_home_with_a_fault(home: Home, fault: Fault, code: str, remedy: str) -> None:
    fault(home)

    with pytest.raises(AgentGuardError) as refused:
        start(home)

    assert refused.value.code == code
    assert remedy in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("fault", "code", "remedy"), LOG_FAULTS)
def test_the_command_line_says_the_same_in_one_line(
    home: Home,
    fault: Fault,
    code: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fault(home)
    monkeypatch.chdir(home.path.parent)
    # A folder that is gone is the one thing that ``init`` makes anew.
    commands = [["audit", "tail"], ["audit", "query"]] + ([["init"]] if fault is not _moved else [])

    for command in commands:
        monkeypatch.setattr(sys, "argv", ["agentguard", *command])
        with pytest.raises(SystemExit) as ended:
            main()

        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (3, "")
        assert err.startswith("agentguard: ")
        assert err.count("\n") == 1
        assert code in err or command == ["init"]


def test_a_key_never_stands_in_an_error(home: Home) -> None:
    secret = "5ec2e7" * 10 + "zz"
    home.key_path.write_text(secret)

    with pytest.raises(AgentGuardError) as refused:
        start(home)

    seen: BaseException | None = refused.value
    while seen is not None:
        assert secret[:12] not in repr(seen)
        seen = seen.__cause__ or seen.__context__


def test_a_failed_start_leaves_nothing_open_and_changes_nothing(home: Home) -> None:
    before = {path.name: path.read_bytes() for path in home.path.iterdir()}
    home.path.chmod(0o755)

    for _ in range(3):
        with pytest.raises(AgentGuardError):
            start(home)

    home.path.chmod(0o700)
    assert {path.name: path.read_bytes() for path in home.path.iterdir()} == before
    start(home)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "agentguard init", id="missing"),
        pytest.param("", "agentguard init", id="empty"),
        pytest.param("version: 2\n", "accepted: 1", id="unknown-version"),
        pytest.param("version: 1\ntools: [", ":3:1: not valid YAML", id="broken-yaml"),
        pytest.param("version: 1\ntool: {}\n", "did you mean", id="unknown-key"),
        pytest.param("version: 1\nagents: {bot: {roles: [clerk]}}\n", "clerk", id="unknown-role"),
        pytest.param("version: 1\nroles: {r: {tools: [nope]}}\n", "nope", id="role-names-unknown-tool"),
        pytest.param("version: 1\nmode: observe\n", "accepted: enforce, shadow", id="unknown-mode"),
        pytest.param("version: 1\nversion: 1\n", "twice", id="key-twice"),
    ],
)
def test_no_guard_starts_without_a_sound_policy(home: Home, text: str | None, message: str) -> None:
    policy = home.path.parent / "agentguard.yaml"
    if text is None:
        policy.unlink()
    else:
        policy.write_text(text)

    with pytest.raises(PolicyError) as refused:
        start(home)

    assert refused.value.code == "policy-invalid"
    assert message in str(refused.value)
    assert str(policy) in str(refused.value)


def test_the_policy_is_judged_before_the_home_is_touched(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        Guard.from_file(tmp_path / "none.yaml", home=tmp_path / "none")

    assert list(tmp_path.iterdir()) == []


def test_the_default_policy_permits_no_tool(home: Home) -> None:
    with Guard.from_policy(Policy.default(), home=home.path) as guard, guard.conversation("bot", "run everything"):
        assert guard.check(ToolCall("anything", {})).reason == "tool-not-permitted"


def test_a_role_nobody_defined_is_a_deny_at_run_time(home: Home) -> None:
    policy = Policy.parse(
        "version: 1\nroles: {r: {tools: [look]}}\ntools: {look: {side_effect: read}}\nagents: {bot: {roles: [r]}}\n"
    )
    with (
        Guard.from_policy(policy, home=home.path) as guard,
        guard.conversation(Principal("bot", roles=("superuser",)), "look"),
    ):
        assert guard.check(ToolCall("look", {})).reason == "role-unknown"


def test_damage_in_the_middle_is_noticed_when_it_is_read(home: Home) -> None:
    with closing(sqlite3.connect(home.audit_path)) as connection, connection:
        connection.execute("UPDATE frame SET salt = zeroblob(32)")

    with AuditLog.open(home) as log, pytest.raises(TamperError):
        list(log.query())


def test_a_second_process_may_use_the_same_home_at_the_same_time(home: Home) -> None:
    code = (
        "import sys\nfrom agentguard import Guard, ToolCall\n"
        "with Guard.from_file(sys.argv[1], home=sys.argv[2]) as guard:\n"
        "    print(guard.check(ToolCall('other', {})).reason)\n"
    )
    with Guard.from_file(home.path.parent / "agentguard.yaml", home=home.path) as guard:
        guard.check(ToolCall("mine", {}))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, str(home.path.parent / "agentguard.yaml"), str(home.path)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=60,
            check=True,
        )
        guard.check(ToolCall("again", {}))

    assert done.stdout == "tool-not-permitted\n"
    with AuditLog.open(home) as log:
        names = [record.data["gen_ai.tool.name"] for record in log.query(where={"event": "tool_call"})]
    assert names[-3:] == ["mine", "other", "again"]


@pytest.mark.parametrize("what", ["deleted", "rotated", "replaced"])
def test_a_guard_whose_log_vanishes_refuses_to_act(home: Home, what: str) -> None:
    """SQLite would go on writing into the file that no longer has a name: records nobody could ever read."""
    policy = Policy.parse(
        "version: 1\ntools: {wipe: {side_effect: destructive}}\n"
        "roles: {r: {tools: [wipe]}}\nagents: {bot: {roles: [r]}}\n"
    )
    ran: list[str] = []
    guard = Guard.from_policy(policy, home=home.path)
    with guard.conversation("bot", "wipe"):
        wipe = guard.wrap_tool(lambda: ran.append("ran"), name="wipe")
        wipe()
        if what == "deleted":
            home.audit_path.unlink()
        else:
            home.audit_path.rename(home.audit_path.with_suffix(".old"))
        if what == "replaced":
            home.audit_path.write_bytes(b"")

        with pytest.raises(Denied) as refused:
            wipe()

    assert refused.value.decision.reason == "audit-failed"
    assert ran == ["ran"]
    with pytest.raises(WriteError, match="could not be written"):
        guard.close()
