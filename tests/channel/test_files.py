"""Identities in files that change under a running agent."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agentguard.channel import BlockList, CertificateFiles, IdentityRecord, SpiffeId
from agentguard.errors import IdentityError
from tests.channel.forge import DOMAIN, RESEARCHER, WRITER, Ca, Forge, Leaf

FORGE = Forge.make()


def write(folder: Path, leaf: Leaf, *anchors: Ca) -> None:
    for name, content in (
        ("chain.pem", leaf.chain_pem),
        ("key.pem", leaf.key_pem),
        ("bundle.pem", b"".join(ca.pem for ca in anchors or (FORGE.root,))),
    ):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, FORGE.issuing.leaf())
    return tmp_path


def opened(folder: Path, **how: object) -> CertificateFiles:
    # An hour between two looks: the tests look by hand.
    return CertificateFiles(folder / "chain.pem", folder / "key.pem", folder / "bundle.pem", poll_s=3600, **how)  # type: ignore[arg-type]


def test_a_new_certificate_is_taken_and_told(folder: Path) -> None:
    source = opened(folder)
    heard: list[int] = []
    source.subscribe(lambda: heard.append(source.current().serial))
    fresh = FORGE.issuing.leaf()

    write(folder, fresh)
    changed = source.look()

    assert changed
    assert heard == [fresh.certificate.serial_number]
    source.close()


def test_files_that_stay_are_not_read_again(folder: Path) -> None:
    source = opened(folder)

    assert not source.look()
    source.close()


def test_every_step_of_a_writer_leaves_a_usable_identity(folder: Path) -> None:
    """Byte by byte and file by file: at each moment the source has the old or the new identity, never a mixture."""
    source = opened(folder)
    old = source.current()
    fresh = FORGE.issuing.leaf()
    seen = set()

    for name, content in (("chain.pem", fresh.chain_pem), ("key.pem", fresh.key_pem)):
        for end in (*range(0, len(content), 97), len(content)):
            (folder / name).write_bytes(content[:end])
            source.look()
            seen.add(source.current().serial)

    assert source.current().serial == fresh.certificate.serial_number
    assert seen == {old.serial, fresh.certificate.serial_number}
    source.close()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        pytest.param(
            lambda f: (f / "key.pem").write_bytes(FORGE.issuing.leaf().key_pem), "not the one", id="other-key"
        ),
        pytest.param(lambda f: (f / "key.pem").write_bytes(b"garbage"), "no readable", id="no-key"),
        pytest.param(lambda f: (f / "chain.pem").write_bytes(b""), "no readable PEM", id="empty-chain"),
        pytest.param(lambda f: (f / "chain.pem").write_bytes(b"x" * 300_000), "larger than", id="huge-chain"),
        pytest.param(lambda f: write(f, FORGE.issuing.leaf(), Forge.make().root), "unknown-ca", id="foreign-bundle"),
        pytest.param(
            lambda f: (f / "bundle.pem").write_bytes(FORGE.issuing.leaf().chain_pem), "no CA", id="leaf-as-anchor"
        ),
        pytest.param(lambda f: write(f, FORGE.issuing.leaf([WRITER])), "keeps its name", id="another-agent"),
        pytest.param(lambda f: write(f, FORGE.issuing.leaf([RESEARCHER, WRITER])), "2 URI names", id="two-names"),
        pytest.param(lambda f: (f / "key.pem").unlink(), "cannot be opened", id="gone"),
        pytest.param(lambda f: (f / "key.pem").chmod(0o644), None, id="mode-alone-is-no-new-content"),
    ],
)
def test_new_files_that_are_no_identity_are_passed_over_once(folder: Path, spoil: object, told: str | None) -> None:
    records: list[IdentityRecord] = []
    source = opened(folder, record=records.append)
    before = source.current()

    spoil(folder)  # type: ignore[operator]
    source.look()
    source.look()

    assert source.current() == before
    if told is not None:
        (record,) = records
        assert told in record.detail
        assert "PRIVATE" not in record.detail
        assert not record.success
    source.close()


def test_a_key_that_others_can_read_is_refused(folder: Path) -> None:
    (folder / "key.pem").chmod(0o644)

    with pytest.raises(IdentityError, match="chmod 600"):
        opened(folder)


def test_a_key_that_the_group_can_read_is_taken(folder: Path) -> None:
    """As Kubernetes mounts secrets with ``fsGroup``."""
    (folder / "key.pem").chmod(0o440)

    opened(folder).close()


def test_a_pipe_in_the_keys_place_does_not_hang(folder: Path) -> None:
    (folder / "key.pem").unlink()
    os.mkfifo(folder / "key.pem", 0o600)

    with pytest.raises(IdentityError, match="not a regular file"):
        opened(folder)


def test_a_mount_that_swaps_a_link_is_followed(tmp_path: Path) -> None:
    """Kubernetes: the files are links into a folder that is itself a link, replaced in one step."""
    first, second = FORGE.issuing.leaf(), FORGE.issuing.leaf()
    for name, leaf in (("one", first), ("two", second)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, leaf)
    (tmp_path / "data").symlink_to("one")
    source = opened(tmp_path / "data")

    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "data")
    source.look()

    assert source.current().serial == second.certificate.serial_number
    source.close()


def test_an_expired_certificate_is_not_handed_out(folder: Path) -> None:
    now = [0.0]
    import time

    source = opened(folder, clock=lambda: time.time() + now[0])
    source.current()

    now[0] = 3601.0

    with pytest.raises(IdentityError, match="valid until"):
        source.current()
    source.close()


def test_an_identity_that_has_expired_is_refused_at_the_start(tmp_path: Path) -> None:
    import datetime as dt

    write(tmp_path, FORGE.issuing.leaf(start=-dt.timedelta(days=2), end=-dt.timedelta(days=1)))

    with pytest.raises(IdentityError, match="expired"):
        opened(tmp_path)


def _listed(version: int, *names: str) -> bytes:
    listed = BlockList(DOMAIN, version, frozenset(map(SpiffeId.parse, names)))
    return listed.signed(FORGE.issuing.key)


def test_the_block_list_beside_the_files_is_followed(tmp_path: Path) -> None:
    write(tmp_path, FORGE.issuing.leaf(), FORGE.issuing)
    path = tmp_path / "blocked.json"
    path.write_bytes(_listed(1))
    source = opened(tmp_path, block_list=path)
    writer = SpiffeId.parse(WRITER)
    before = source.blocked(writer, 1)

    path.write_bytes(_listed(2, WRITER))
    source.look()

    assert (before, source.blocked(writer, 1)) == (False, True)
    source.close()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: path.write_bytes(b"{}"), id="garbage"),
        pytest.param(lambda path: path.write_bytes(_listed(1)), id="rolled-back"),
        pytest.param(lambda path: path.write_bytes(BlockList(DOMAIN, 3).signed(Forge.make().issuing.key)), id="forged"),
    ],
)
def test_a_block_list_that_turns_bad_makes_every_peer_unknown(tmp_path: Path, spoil: object) -> None:
    write(tmp_path, FORGE.issuing.leaf(), FORGE.issuing)
    path = tmp_path / "blocked.json"
    path.write_bytes(_listed(2, WRITER))
    records: list[IdentityRecord] = []
    source = opened(tmp_path, block_list=path, record=records.append)

    spoil(path)  # type: ignore[operator]
    source.look()

    with pytest.raises(IdentityError, match="no usable block list"):
        source.blocked(SpiffeId.parse(RESEARCHER), 1)
    assert [record.action for record in records] == ["alert"]

    path.write_bytes(_listed(3, WRITER))
    source.look()
    assert not source.blocked(SpiffeId.parse(RESEARCHER), 1)
    source.close()


def test_the_thread_sees_changes_by_itself(folder: Path) -> None:
    import threading

    source = CertificateFiles(folder / "chain.pem", folder / "key.pem", folder / "bundle.pem", poll_s=0.02)
    heard = threading.Event()
    leave = source.subscribe(heard.set)

    staged = folder / "staged"
    staged.mkdir()
    write(staged, FORGE.issuing.leaf())
    for name in ("chain.pem", "key.pem"):
        shutil.move(staged / name, folder / name)

    assert heard.wait(10)
    leave()
    leave()
    source.close()
    with pytest.raises(IdentityError, match="closed"):
        source.current()


def test_nothing_shows_the_key() -> None:
    identity = replace(FORGE.identity(), spiffe_id=SpiffeId.parse(WRITER))
    secret = identity.key_pem.splitlines()[1].decode()

    assert secret not in repr(identity)
    assert "BEGIN" not in repr(identity)
