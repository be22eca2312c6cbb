"""Key sources give the key, or an error that says what to do and never shows the key."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.errors import ConfigError, KeySourceError, WeakKeyError, WrongPasswordError
from agentguard.keys import DataEncryption, KeyFile, MasterPassword
from agentguard.keys.password import SCRYPT_N_MIN, TODAY, Argon2Cost, ScryptCost, Stretching

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


def test_homes_made_with_scrypt_still_open(tmp_path: Path) -> None:
    """Written by an earlier release: the present one stretches with Argon2id only what it makes itself."""
    made = MasterPassword.create(PASSWORD, tmp_path / "p", cost=ScryptCost(SCRYPT_N_MIN))
    old = json.loads((tmp_path / "p").read_text())

    assert (old["kdf"], set(old)) == ("scrypt", {"kdf", "n", "salt", "id"})
    assert MasterPassword(PASSWORD, tmp_path / "p").kek() == made.kek()


def test_new_homes_are_stretched_with_argon2id_at_todays_cost(tmp_path: Path) -> None:
    MasterPassword.create(PASSWORD, tmp_path / "p")

    found = json.loads((tmp_path / "p").read_text())

    assert found["kdf"] == "argon2id"
    # RFC 9106 section 4, second recommended choice.
    assert (found["memory_kib"], found["passes"], found["lanes"]) == (65536, 3, 4)
    assert (TODAY.memory_kib, TODAY.passes, TODAY.lanes) == (65536, 3, 4)


def test_scrypt_gives_what_earlier_releases_derived() -> None:
    """N, r, p and the encoding of the password decide whether old homes open."""
    stretching = Stretching(ScryptCost(2**14), bytes(32))

    assert stretching.key("made-up") == hashlib.scrypt(
        b"made-up", salt=bytes(32), n=2**14, r=8, p=1, dklen=32, maxmem=2**26
    )


@pytest.mark.parametrize(
    "cost",
    [
        lambda: Argon2Cost(1024, 1, 1),
        lambda: Argon2Cost(2**31, 1, 1),
        lambda: Argon2Cost(65536, 99, 1),
        lambda: Argon2Cost(65536, 1, 0),
        lambda: Argon2Cost(True, 1, 1),
        lambda: ScryptCost(2**30),
        lambda: ScryptCost(2**14 + 1),
    ],
    ids=["little-memory", "all-memory", "long", "no-lane", "boolean", "scrypt-huge", "scrypt-odd"],
)
def test_costs_out_of_range_are_refused(cost: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        cost()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "kdf": st.sampled_from(["argon2id", "scrypt", "none"]),
            "memory_kib": st.integers() | st.text(max_size=5) | st.none(),
            "passes": st.integers() | st.booleans(),
            "lanes": st.integers(),
            "n": st.integers() | st.floats(),
            "salt": st.text(max_size=70) | st.just("00" * 32),
        },
    )
)
def test_any_stored_parameters_parse_or_are_refused(fields: dict[str, object]) -> None:
    try:
        found = Stretching.parse(fields)
    except (ConfigError, KeyError, TypeError, ValueError):
        return

    assert Stretching.parse(found.fields()) == found


def test_a_wrong_password_is_an_error_of_its_own(tmp_path: Path) -> None:
    MasterPassword.create(PASSWORD, tmp_path / "p", cost=CHEAP)

    with pytest.raises(WrongPasswordError) as caught:
        MasterPassword(PASSWORD + "!", tmp_path / "p")
    assert PASSWORD not in str(caught.value)


def test_a_weak_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "k").write_text("00" * 32 + "\n")
    (tmp_path / "k").chmod(0o600)

    with pytest.raises(WeakKeyError):
        DataEncryption.from_source(KeyFile(tmp_path / "k"))
