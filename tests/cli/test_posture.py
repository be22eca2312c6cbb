"""``agentguard posture`` from outside: what it prints, how it exits, and what it remembers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.command import call
from tests.posture.project import PASSWORD, Planted

# What takes seconds, or rests on what is installed here.
SLOW = ("probe-hooks-*", "probe-rate-limit", "dependencies-sound")
SKIPPED = [word for name in SLOW for word in ("--skip", name)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    Planted.sound(folder)
    return folder


@pytest.fixture
def planted(original: Path, tmp_path: Path) -> Planted:
    shutil.copytree(original, tmp_path / "project")
    return Planted(tmp_path / "project")


def posture(planted: Planted, *arguments: str, password: str = PASSWORD) -> subprocess.CompletedProcess[bytes]:
    environment = {"AGENTGUARD_MASTER_PASSWORD": password} if password else {}
    return call("posture", *arguments, folder=planted.folder, environment=environment)


def test_a_sound_project_exits_with_0(planted: Planted) -> None:
    done = posture(planted, "--anchor", "elsewhere/anchor.json", *SKIPPED)

    assert (done.returncode, done.stderr.decode().splitlines()[-1]) == (0, "37 ok, 0 weak, 0 failed, 0 not-checked")
    assert {line.split()[0] for line in done.stdout.decode().splitlines()} == {"ok"}


@pytest.mark.parametrize(
    ("change", "arguments", "password", "code"),
    [
        pytest.param(("mode: enforce", "mode: shadow"), (), PASSWORD, 1, id="failed"),
        pytest.param(("payloads: digest", "payloads: full"), (), PASSWORD, 1, id="weak"),
        pytest.param(
            ("payloads: digest", "payloads: full"), ("--fail-on", "failed"), PASSWORD, 0, id="weak-is-accepted"
        ),
        pytest.param(None, (), "", 3, id="not-checked"),
        pytest.param(None, ("--fail-on", "not-checked"), "", 1, id="not-checked-fails"),
        pytest.param(None, ("--skip", "api-keys-rotated"), "", 0, id="left-out"),
        pytest.param(("version: 1", "version: 1\nunknown: 1"), (), PASSWORD, 1, id="policy-does-not-load"),
    ],
)
def test_exit_codes(
    planted: Planted, change: tuple[str, str] | None, arguments: tuple[str, ...], password: str, code: int
) -> None:
    """1 from --fail-on on, 3 when nothing is wrong but something is unknown."""
    if change:
        planted.change(*change)

    done = posture(planted, "--anchor", "elsewhere/anchor.json", *SKIPPED, *arguments, password=password)

    assert done.returncode == code


def test_json_is_one_object_an_item(planted: Planted) -> None:
    planted.change("mode: enforce", "mode: shadow")

    done = posture(planted, "--json", *SKIPPED)

    rows = {row["id"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert set(rows["mode-enforced"]) == {"id", "status", "evidence", "age_s", "remedy"}
    assert rows["mode-enforced"]["status"] == rows["probe-denied-tools"]["status"] == "failed"
    assert rows["api-keys-rotated"]["age_s"] >= 0
    assert (rows["markup-on"]["status"], rows["markup-on"]["remedy"]) == ("ok", None)


def test_drift_shows_in_the_next_run_and_in_the_history(planted: Planted) -> None:
    posture(planted, *SKIPPED)
    planted.change("redact: [secret, pii]", "redact: []")

    second = posture(planted, *SKIPPED)
    listed = posture(planted, "--history")
    machine = [json.loads(line) for line in posture(planted, "--history", "--json").stdout.splitlines()]

    assert "redaction-on ok -> failed" in second.stderr.decode()
    assert (listed.returncode, "redaction-on ok -> failed" in listed.stdout.decode()) == (0, True)
    assert [row["changed"] for row in machine] == [{}, {"redaction-on": ["ok", "failed"]}]
    assert machine[0]["policy"] != machine[1]["policy"]


def test_ages_are_the_callers(planted: Planted) -> None:
    done = posture(planted, "--json", "--key-age", "1s", *SKIPPED)

    (row,) = [row for row in map(json.loads, done.stdout.splitlines()) if row["id"] == "api-keys-rotated"]
    assert (row["status"], done.returncode) == ("weak", 1)


def test_a_history_without_runs_says_so(planted: Planted) -> None:
    done = posture(planted, "--history")

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"no run is kept yet\n")


def test_what_a_file_name_says_moves_no_cursor(planted: Planted) -> None:
    """Names come from whoever can write the folder."""
    (planted.home_path / "a\x1b[2Jb").touch(0o644)

    done = posture(planted, *SKIPPED)

    assert b"\x1b" not in done.stdout
    assert b"home-private" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        pytest.param(("--home", "nowhere"), 3, "store-unusable", id="no-home"),
        pytest.param(("--history", "--home", "nowhere"), 3, "store-unusable", id="no-home-no-history"),
        pytest.param(("--skip", "nothing"), 2, "config-invalid", id="unknown-check"),
        pytest.param(("--key-age", "soon"), 2, "config-invalid", id="no-duration"),
        pytest.param(("--fail-on", "never"), 2, "config-invalid", id="unknown-status"),
    ],
)
def test_errors_are_one_line(planted: Planted, arguments: tuple[str, ...], code: int, word: str) -> None:
    done = posture(planted, *arguments)

    assert (done.returncode, done.stdout) == (code, b"")
    assert word in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
