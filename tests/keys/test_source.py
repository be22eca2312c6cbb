"""Key sources give the key, or an error that says what to do and never shows the key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentguard.errors import KeySourceError
from agentguard.keys import KeyFile, MasterPassword
from agentguard.keys.password import SCRYPT_N_MIN, TODAY, Argon2Cost, ScryptCost

PASSWORD = "made-up " + "pass phrase"
CHEAP = Argon2Cost(19 * 1024, 1, 1)


def test_key_file_gives_the_same_key_again(tmp_path: Path) -> None:
    made = KeyFile.create(tmp_path / "k")

    assert KeyFile(tmp_path / "k").kek() == made.kek()
    assert len(made.kek()) == 32
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert made.id not in (tmp_path / "k").read_text()


def test_key_file_is_never_overwritten(tmp_path: Path) -> None:
    before = KeyFile.create(tmp_path / "k").kek()

    with pytest.raises(KeySourceError):
        KeyFile.create(tmp_path / "k")
    assert KeyFile(tmp_path / "k").kek() == before


@pytest.mark.parametrize(
    "content",
    [b"", b"zz" * 32, b"ab" * 31, b"ab" * 33, b"\xff\xfe", b"ab" * 4000],
    ids=["empty", "no-hex", "short", "long", "binary", "huge"],
)
def test_malformed_key_file_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(KeySourceError, match="restore") as caught:
        KeyFile(path).kek()
    assert "abab" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_missing_key_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KeySourceError, match="restore"):
        KeyFile(tmp_path / "none").kek()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    KeyFile.create(tmp_path / "k")
    (tmp_path / "k").chmod(mode)

    with pytest.raises(KeySourceError, match="chmod 600"):
        KeyFile(tmp_path / "k").kek()


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_key_file_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    KeyFile.create(tmp_path / "k")
    path = tmp_path / "other"
    if kind == "link":
        path.symlink_to(tmp_path / "k")
    elif kind == "folder":
        path.mkdir(mode=0o700)
    else:
        os.mkfifo(path, 0o600)

    with pytest.raises(KeySourceError):
        KeyFile(path).kek()


def test_key_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    KeyFile.create(tmp_path / "k")
    monkeypatch.setattr("agentguard.keys.source.os.geteuid", lambda: os.getuid() + 1)

    with pytest.raises(KeySourceError, match="owner"):
        KeyFile(tmp_path / "k").kek()


def test_master_password_gives_the_same_key_again(tmp_path: Path) -> None:
    made = MasterPassword.create(PASSWORD, tmp_path / "p", cost=CHEAP)
    again = MasterPassword(PASSWORD, tmp_path / "p")

    assert (again.kek(), again.id) == (made.kek(), made.id)
    assert PASSWORD not in (tmp_path / "p").read_text()


def test_salt_differs_between_parameter_files(tmp_path: Path) -> None:
    keys = {MasterPassword.create(PASSWORD, tmp_path / name, cost=CHEAP).kek() for name in "ab"}

    assert len(keys) == 2


def test_wrong_or_empty_password_is_refused(tmp_path: Path) -> None:
    MasterPassword.create(PASSWORD, tmp_path / "p", cost=CHEAP)

    for wrong in (PASSWORD + "!", ""):
        with pytest.raises(KeySourceError):
            MasterPassword(wrong, tmp_path / "p")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"kdf":"none"}',
        '{"kdf":"scrypt","n":2,"salt":"00","id":"00"}',
        '{"kdf":"scrypt","n":1e9,"salt":"00","id":"0"}',
    ],
    ids=["empty", "list", "other-kdf", "weak", "huge"],
)
def test_malformed_parameters_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "p").write_text(content)
    (tmp_path / "p").chmod(0o600)

    with pytest.raises(KeySourceError):
        MasterPassword(PASSWORD, tmp_path / "p")
