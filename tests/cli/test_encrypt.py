"""``agentguard encrypt``, ``decrypt`` and ``reencrypt`` from a shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentguard import DataEncryption, Home
from agentguard.keys import KeyFile
from tests.cli.command import call

ROOT = Path(__file__).resolve().parents[2]
TEXT = b"made-up plain text " * 9000


def run(folder: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return call(*arguments, folder=folder, given=given)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    Home.create(tmp_path / ".agentguard")
    (tmp_path / "a").write_bytes(TEXT)
    return tmp_path


def ok(done: subprocess.CompletedProcess[bytes]) -> bytes:
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def test_a_file_becomes_sealed_and_plain_again(project: Path) -> None:
    told = json.loads(ok(run(project, "encrypt", "a", "--json")))
    assert (told["target"], told["bytes"]) == ("a.sealed", len(TEXT))
    assert len(told["key_id"]) == 64
    assert (project / "a.sealed").stat().st_mode & 0o777 == 0o600
    (project / "a").unlink()

    assert ok(run(project, "decrypt", "a.sealed")) == b"a\n"
    assert (project / "a").read_bytes() == TEXT


def test_in_place_several_files_out_and_pipes(project: Path) -> None:
    (project / "b").write_bytes(b"")
    ok(run(project, "encrypt", "--in-place", "a", "b"))
    assert (project / "a").read_bytes().startswith(b"AGFILE")

    assert ok(run(project, "decrypt", "a", "-o", "-")) == TEXT
    ok(run(project, "decrypt", "b", "-o", "c"))
    assert (project / "c").read_bytes() == b""
    ok(run(project, "decrypt", "--in-place", "a"))
    assert (project / "a").read_bytes() == TEXT

    sealed = ok(run(project, "encrypt", "-", given=TEXT))
    assert ok(run(project, "decrypt", "-", given=sealed)) == TEXT
    ok(run(project, "decrypt", "-", "-o", "d", given=sealed))
    assert (project / "d").read_bytes() == TEXT


def test_damage_in_a_pipe_gives_no_byte(project: Path) -> None:
    sealed = ok(run(project, "encrypt", "-", given=TEXT))

    done = run(project, "decrypt", "-", given=sealed[:-1])

    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.startswith(b"agentguard: ciphertext-forged: ")


def test_a_key_file_in_place_of_the_keyring(project: Path) -> None:
    KeyFile.create(project / "k")
    sealed = ok(run(project, "encrypt", "-", "--key-file", "k", given=TEXT))

    assert ok(run(project, "decrypt", "-", "--key-file", "k", given=sealed)) == TEXT
    refused = run(project, "decrypt", "-", given=sealed)
    assert refused.stderr.startswith(b"agentguard: key-wrong: ")
    assert (project / "k").read_text().strip().encode() not in refused.stderr


def test_reencrypt_brings_files_under_the_newest_key(project: Path) -> None:
    first = json.loads(ok(run(project, "encrypt", "a", "--json")))["key_id"]
    rotated = run(project, "keys", "rotate-data-key", "--json")

    again = json.loads(ok(run(project, "reencrypt", "a.sealed", "--json")))

    assert again["key_id"] == json.loads(rotated.stdout)["key_id"] != first
    assert (project / "a.sealed").read_bytes()[8:40].hex() == again["key_id"]
    assert ok(run(project, "decrypt", "a.sealed", "-o", "-")) == TEXT
    assert DataEncryption.from_home(project / ".agentguard").key_id == again["key_id"]


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["encrypt", "none"], b"file-absent", 3),
        (["encrypt", "."], b"config-invalid", 2),
        (["encrypt", ".", "-o", "x"], b"file-refused", 3),
        (["encrypt", "a", "-o", "."], b"config-invalid", 2),
        (["encrypt", "a", "-o", ".", "--force"], b"file-refused", 3),
        (["encrypt", "a", "-o", "there"], b"config-invalid", 2),
        (["encrypt", "a", "b", "-o", "x"], b"config-invalid", 2),
        (["encrypt", "-", "--in-place"], b"config-invalid", 2),
        (["encrypt", "a", "-o", "no/such/x"], b"store-unusable", 3),
        (["encrypt", "a", "--home", "none"], b"store-unusable", 3),
        (["encrypt", "a", "--key-file", "none"], b"key-unavailable", 3),
        (["encrypt", "a", "--key-file", "a"], b"key-unavailable", 3),
        (["decrypt", "a"], b"config-invalid", 2),
        (["decrypt", ".sealed"], b"config-invalid", 2),
        (["decrypt", "a", "-o", "x"], b"decrypt-failed", 3),
        (["reencrypt", "a"], b"decrypt-failed", 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_each_fault_is_one_line_and_changes_nothing(
    project: Path, arguments: list[str], code: bytes, exit_code: int
) -> None:
    (project / "there").write_bytes(b"old")
    before = {path.name: path.read_bytes() for path in project.iterdir() if path.is_file()}

    done = run(project, *arguments)

    assert done.stderr.startswith(b"agentguard: " + code + b": "), done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == exit_code
    assert {path.name: path.read_bytes() for path in project.iterdir() if path.is_file()} == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("command", ["encrypt a -o -", "decrypt a.sealed -o -"])
def test_a_full_disk_behind_stdout_is_one_line(project: Path, command: str) -> None:
    ok(run(project, "encrypt", "a"))

    done = subprocess.run(
        f'"{sys.executable}" -m agentguard.cli {command} > /dev/full',
        shell=True,
        capture_output=True,
        cwd=project,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert done.stderr.startswith(b"agentguard: store-unusable: stdout"), done.stderr
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)


def test_a_reader_that_goes_away_is_no_traceback(project: Path) -> None:
    (project / "a").write_bytes(bytes(4_000_000))
    ok(run(project, "encrypt", "a"))
    command = f'"{sys.executable}" -m agentguard.cli decrypt a.sealed -o - | head -c 10 | wc -c'

    done = subprocess.run(
        command,
        shell=True,
        capture_output=True,
        cwd=project,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert (done.stdout.split(), done.stderr) == ([b"10"], b"")
