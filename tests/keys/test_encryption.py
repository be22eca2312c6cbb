"""Values, files and wrapped keys: what was encrypted comes back, anything changed does not."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from agentguard.audit import AuditLog, rotate_kek
from agentguard.errors import (
    ConfigError,
    DecryptError,
    ForgedError,
    KeySourceError,
    OversizedError,
    ReplayedError,
    WeakKeyError,
    WrongKeyError,
)
from agentguard.keys import DataEncryption, DataKey, DataKeyring, KeyFile, unwrap, wrap
from agentguard.keys.keyring import _table as keyring_table
from agentguard.keys.stream import CHUNK_BYTES, HEADER_BYTES, TAG_BYTES
from agentguard.store import Home, begin_immediate

SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES
BOX = DataEncryption(bytes(range(32)))
ROOT = Path(__file__).parents[2]


@given(st.binary(max_size=500))
def test_values_come_back(data: bytes) -> None:
    ciphertext, iv, tag = BOX.encrypt_data(data)

    assert (len(ciphertext), len(iv), len(tag)) == (len(data), 12, 16)
    assert BOX.decrypt_data(ciphertext, iv, tag) == data
    assert BOX.open(BOX.seal(data, associated_data=b"row 1"), associated_data=b"row 1") == data


def test_key_outlives_the_object_when_kept() -> None:
    first = DataEncryption()
    again = DataEncryption(first.key)

    assert again.decrypt_data(*first.encrypt_data(b"kept")) == b"kept"
    assert again.key_id == first.key_id


@pytest.mark.parametrize("part", [0, 1, 2], ids=["ciphertext", "iv", "tag"])
def test_changed_tuple_is_refused(part: int) -> None:
    parts = list(BOX.encrypt_data(b"value"))
    for changed in (parts[part][:-1], parts[part][:-1] + bytes([parts[part][-1] ^ 1])):
        with pytest.raises(DecryptError):
            BOX.decrypt_data(*[*parts[:part], changed, *parts[part + 1 :]])


def test_any_flipped_byte_of_a_sealed_value_is_refused() -> None:
    sealed = BOX.seal(b"value")
    for at in range(len(sealed)):
        with pytest.raises(DecryptError):
            BOX.open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])


@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(lambda s: DataEncryption().open(s), id="other-key"),
        pytest.param(lambda s: BOX.open(s, associated_data=b"row 2"), id="other-associated-data"),
        pytest.param(lambda s: BOX.open(s[:50]), id="cut"),
        pytest.param(lambda s: BOX.open(b""), id="empty"),
    ],
)
def test_sealed_value_does_not_open_otherwise(attempt: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DecryptError):
        attempt(BOX.seal(b"value", associated_data=b"row 1"))


def test_short_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        DataEncryption(b"short")


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_files_come_back(tmp_path: Path, size: int) -> None:
    plain, sealed, back = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    plain.write_bytes(os.urandom(size))

    BOX.encrypt_file(plain, sealed)
    BOX.decrypt_file(sealed, back)

    assert back.read_bytes() == plain.read_bytes()
    assert sealed.stat().st_mode & 0o777 == back.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c"]


def test_file_is_encrypted_in_place(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x" * (CHUNK_BYTES + 5))

    BOX.encrypt_file(file, file)
    assert b"xxxx" not in file.read_bytes()
    BOX.decrypt_file(file, file)

    assert file.read_bytes() == b"x" * (CHUNK_BYTES + 5)


def chunk(sealed: bytes, number: int) -> bytes:
    start = HEADER_BYTES + number * SEALED_CHUNK
    return sealed[start : start + SEALED_CHUNK]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda s: s[: HEADER_BYTES + SEALED_CHUNK], id="last-chunk-cut-off"),
        pytest.param(lambda s: s[:HEADER_BYTES], id="all-chunks-cut-off"),
        pytest.param(lambda s: s[:-1], id="last-byte-cut-off"),
        pytest.param(lambda s: s[:10], id="header-cut"),
        pytest.param(lambda s: s + b"\x00", id="byte-added"),
        pytest.param(lambda s: s + chunk(s, 1), id="chunk-repeated"),
        pytest.param(lambda s: s[:HEADER_BYTES] + chunk(s, 1) + chunk(s, 0), id="chunks-swapped"),
        pytest.param(lambda s: s[:-9] + bytes([s[-9] ^ 1]) + s[-8:], id="bit-flipped"),
        pytest.param(lambda s: s[:50] + bytes([s[50] ^ 1]) + s[51:], id="salt-flipped"),
        pytest.param(lambda s: s[:20] + bytes([s[20] ^ 1]) + s[21:], id="key-id-flipped"),
    ],
)
def test_damaged_file_leaves_the_target_alone(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    plain, sealed, target = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    plain.write_bytes(os.urandom(2 * CHUNK_BYTES))
    BOX.encrypt_file(plain, sealed)
    sealed.write_bytes(damage(sealed.read_bytes()))
    target.write_bytes(b"old")

    with pytest.raises(DecryptError):
        BOX.decrypt_file(sealed, target)

    assert target.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 3


def test_wrapped_key_opens_only_as_it_was_bound() -> None:
    kek, key, other = bytes(32), DataKey.generate(), DataKey.generate()
    wrapped = wrap(key, kek=kek, associated_data=b"log 1")

    assert unwrap(wrapped, kek=kek, key_id=key.id, associated_data=b"log 1") == key
    for kek_, key_id, bound in ((b"\x01" * 32, key.id, b"log 1"), (kek, other.id, b"log 1"), (kek, key.id, b"log 2")):
        with pytest.raises(DecryptError):
            unwrap(wrapped, kek=kek_, key_id=key_id, associated_data=bound)


def test_cve_2020_8897_key_that_is_not_the_committed_one_is_refused() -> None:
    """A wrap made for one key under the id of another opens under neither."""
    kek, key, other = bytes(32), DataKey.generate(), DataKey.generate()
    crafted = wrap(DataKey(key.key, other.id), kek=kek, associated_data=b"")

    with pytest.raises(DecryptError, match="another key"):
        unwrap(crafted, kek=kek, key_id=other.id, associated_data=b"")


def test_keys_do_not_show_in_repr() -> None:
    key = DataKey.generate()

    assert repr(key.key) not in repr(key)


def test_a_key_source_gives_the_same_key_again(tmp_path: Path) -> None:
    """What one process encrypted opens in the next, and under no other source."""
    source, other = KeyFile.create(tmp_path / "a.key"), KeyFile.create(tmp_path / "b.key")

    sealed = DataEncryption.from_source(source).seal(b"kept", associated_data=b"x")

    again = DataEncryption.from_source(KeyFile(tmp_path / "a.key"))
    assert again.open(sealed, associated_data=b"x") == b"kept"
    with pytest.raises(DecryptError):
        DataEncryption.from_source(other).open(sealed, associated_data=b"x")


# -- each wrong input has its error ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        pytest.param(lambda s: DataEncryption().open(s), WrongKeyError, id="wrong-key"),
        pytest.param(lambda s: BOX.open(s[:-1] + bytes([s[-1] ^ 1])), ForgedError, id="tampered"),
        pytest.param(lambda s: BOX.open(s, associated_data=b"row 2"), ForgedError, id="other-row"),
        pytest.param(lambda s: BOX.open(s[:-20]), ForgedError, id="cut"),
        pytest.param(lambda s: BOX.open(s[:20]), ForgedError, id="cut-in-the-header"),
        pytest.param(lambda s: BOX.open(s, associated_data=b"row 1", at_least=8), ReplayedError, id="replayed"),
        pytest.param(lambda _: BOX.open(b"plain text"), DecryptError, id="never-sealed"),
        pytest.param(lambda s: BOX.open(s[:6] + b"\x09\n" + s[8:]), DecryptError, id="from-a-later-release"),
        pytest.param(lambda _: DataEncryption(b"short"), ConfigError, id="short-key"),
        pytest.param(lambda _: DataEncryption(bytes(32)), WeakKeyError, id="zero-key"),
        pytest.param(lambda _: DataEncryption(b"abab" * 8), WeakKeyError, id="repeating-key"),
        pytest.param(lambda _: DataEncryption(older=[bytes(32)]), WeakKeyError, id="weak-older-key"),
        pytest.param(lambda _: BOX.seal(b"", version=-1), ConfigError, id="negative-version"),
        pytest.param(lambda _: BOX.decrypt_data(b"x", b"short", bytes(16)), ForgedError, id="short-iv"),
    ],
)
def test_each_wrong_input_has_an_error_of_its_own_that_shows_no_key(
    attempt: Callable[[bytes], object], error: type[Exception]
) -> None:
    sealed = BOX.seal(b"value", associated_data=b"row 1", version=7)

    with pytest.raises(error) as caught:
        attempt(sealed)

    assert type(caught.value) is error
    text = "".join(traceback.format_exception(caught.value))
    assert BOX.key.hex() not in text
    assert repr(BOX.key)[2:-1] not in text


def test_oversized_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = BOX.seal(bytes(100))
    monkeypatch.setattr("agentguard.keys.encryption.MAX_VALUE_BYTES", 99)

    for attempt in (lambda: BOX.seal(bytes(100)), lambda: BOX.open(sealed), lambda: BOX.encrypt_data(bytes(100))):
        with pytest.raises(OversizedError, match="99"):
            attempt()


def test_one_key_encrypts_no_more_random_nonces_than_are_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """NIST SP 800-38D section 8.3."""
    monkeypatch.setattr("agentguard.keys.encryption.MAX_RANDOM_NONCES", 1)
    box = DataEncryption()
    box.encrypt_data(b"one")

    with pytest.raises(OversizedError, match="seal"):
        box.encrypt_data(b"two")


@given(data=st.binary(max_size=200), bound=st.binary(max_size=20), version=st.integers(0, 2**63 - 1))
def test_sealed_values_carry_their_version(data: bytes, bound: bytes, version: int) -> None:
    sealed = BOX.seal(data, associated_data=bound, version=version)

    assert BOX.open(sealed, associated_data=bound, at_least=version) == data
    with pytest.raises(ReplayedError):
        BOX.open(sealed, associated_data=bound, at_least=version + 1)


@given(st.binary(max_size=300))
def test_no_bytes_open_or_raise_anything_else(data: bytes) -> None:
    for raw in (data, b"AGSEAL\x01\n" + data, b"AGSEAL\x02\n" + BOX.seal(b"")[8:40] + data):
        with pytest.raises(DecryptError):
            BOX.open(raw)


def test_values_of_the_first_format_still_open() -> None:
    """Sealed by the release that had no version in the header."""
    first = bytes.fromhex(FIRST_FORMAT)

    assert BOX.open(first, associated_data=b"row 1") == b"value"
    again = BOX.reencrypt(first, associated_data=b"row 1")
    assert again.startswith(b"AGSEAL\x02")
    assert BOX.open(again, associated_data=b"row 1") == b"value"


FIRST_FORMAT = (
    "41475345414c010a88869543a0f1fde5fe221d24dd44c16a16f3902a2b3d77121f3d9bd49e35e80939a973afe3b66d6f0325"
    "6e705f1e07702818a6c0f14b745ca8cb06996d6c88a847a5623f8b3074ee7d38a8adfe1792b0e980c4cd3f"
)


# -- several keys ----------------------------------------------------------------------------------------------------


def test_older_keys_open_and_new_values_go_under_the_newest() -> None:
    old, new = DataEncryption(), DataEncryption()
    both = DataEncryption(new.key, older=[old.key])
    sealed, parts = old.seal(b"value", associated_data=b"a", version=3), old.encrypt_data(b"value")

    assert both.open(sealed, associated_data=b"a") == b"value"
    assert both.decrypt_data(*parts) == b"value"
    assert new.open(both.seal(b"new")) == b"new"
    again = both.reencrypt(sealed, associated_data=b"a")
    assert new.open(again, associated_data=b"a", at_least=3) == b"value"
    with pytest.raises(WrongKeyError):
        old.open(again, associated_data=b"a")


def test_a_file_is_brought_under_the_newest_key_in_place(tmp_path: Path) -> None:
    old, new = DataEncryption(), DataEncryption()
    both = DataEncryption(new.key, older=[old.key])
    (tmp_path / "a").write_bytes(b"x" * (2 * CHUNK_BYTES))
    old.encrypt_file(tmp_path / "a", tmp_path / "a")

    both.reencrypt_file(tmp_path / "a", tmp_path / "a")

    with pytest.raises(WrongKeyError):
        old.decrypt_file(tmp_path / "a", tmp_path / "b")
    new.decrypt_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"x" * (2 * CHUNK_BYTES)


def test_a_home_gives_the_same_keys_to_every_process(state_home: Home) -> None:
    first, second = DataEncryption.from_home(state_home), DataEncryption.from_home(state_home)
    sealed = first.seal(b"value")

    before = first.key_id
    assert second.key_id == before
    DataKeyring.open(state_home).rotate()

    fresh = DataEncryption.from_home(state_home)
    assert fresh.key_id != before
    assert first.open(fresh.seal(b"new")) == b"new"  # a key that came later is looked up
    assert fresh.open(sealed) == b"value"


def test_a_running_process_encrypts_under_a_newer_key_within_a_second(
    state_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = DataEncryption.from_home(state_home)
    added = DataKeyring.open(state_home).rotate()

    monkeypatch.setattr("agentguard.keys.keyring.FRESH_S", 0.0)

    assert running.key_id == added.key_id


def test_processes_that_make_the_first_key_make_one(state_home: Home) -> None:
    code = "import sys; from agentguard.keys import DataEncryption; print(DataEncryption.from_home(sys.argv[1]).key_id)"
    command = [sys.executable, "-W", "error", "-c", code, str(state_home.path)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        for _ in range(4)
    ]

    assert len({process.communicate(timeout=60)[0] for process in started}) == 1


def test_no_key_of_the_ring_is_in_the_database(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "h")
    box = DataEncryption.from_home(home)

    assert all(box.key not in path.read_bytes() for path in home.path.iterdir())
    assert box.key.hex() not in repr(DataKeyring.open(home).entries())


@pytest.mark.parametrize("column", ["wrapped", "key_id", "number", "kek_id"])
def test_a_changed_row_of_the_ring_does_not_open(state_home: Home, column: str) -> None:
    ring = DataKeyring.open(state_home)
    table = keyring_table()
    changed = {"wrapped": bytes(80), "key_id": "00" * 32, "number": 2, "kek_id": "00" * 32}[column]
    with begin_immediate(ring._engine) as connection:
        connection.execute(update(table).values({column: changed}))
    ring._engine.dispose()

    with pytest.raises((DecryptError, KeySourceError)):
        DataKeyring.open(state_home)


@pytest.mark.parametrize("step", ["made", "data keys re-wrapped", "re-wrapped", "replaced"])
@pytest.mark.parametrize("used", [True, False], ids=["used", "never-used"])
def test_the_ring_survives_a_rotation_of_the_kek_killed_at_any_step(state_home: Home, step: str, used: bool) -> None:
    AuditLog.open(state_home).close()
    sealed = DataEncryption.from_home(state_home).seal(b"value") if used else None

    def die(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate_kek(state_home, step=die)

    meanwhile = DataEncryption.from_home(state_home).seal(b"meanwhile")
    if step != "replaced":
        rotate_kek(state_home)
    box = DataEncryption.from_home(state_home)
    assert box.open(meanwhile) == b"meanwhile"
    assert sealed is None or box.open(sealed) == b"value"
