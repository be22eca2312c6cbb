"""Values, files and wrapped keys: what was encrypted comes back, anything changed does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.errors import ConfigError, DecryptError
from agentguard.keys import DataEncryption, DataKey, KeyFile, unwrap, wrap
from agentguard.keys.stream import CHUNK_BYTES, HEADER_BYTES, TAG_BYTES

SEALED_CHUNK = CHUNK_BYTES + TAG_BYTES
BOX = DataEncryption(bytes(range(32)))


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
