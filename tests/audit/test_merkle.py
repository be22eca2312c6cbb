"""The tree and the signed notes against published vectors and a reference by the letter of the RFC."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.audit.checkpoint import Checkpoint, Signer, VerifierKey
from agentguard.audit.frame import Frame, join, split, tokens_digest
from agentguard.audit.merkle import Frontier, leaf_hash, node_hash
from agentguard.errors import DecryptError, TamperError
from agentguard.keys import DataKey


def reference(leaves: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return node_hash(reference(leaves[:k]), reference(leaves[k:]))


# The entries and roots of certificate-transparency's merkletree tests (sizes 1 to 8).
CT_ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
CT_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_match_the_published_vectors(size: int) -> None:
    tree = Frontier()
    tree.extend(leaf_hash(bytes.fromhex(entry)) for entry in CT_ENTRIES[:size])

    assert tree.root().hex() == CT_ROOTS[size - 1]


def test_roots_match_the_reference_for_every_size_to_300() -> None:
    leaves = [leaf_hash(bytes([n & 255, n >> 8])) for n in range(300)]
    tree = Frontier()

    for size in range(301):
        assert tree.root() == reference(leaves[:size])
        assert Frontier.decode(size, tree.encode()).root() == tree.root()
        tree.extend(leaves[size : size + 1])


def test_stored_nodes_are_the_roots_of_full_tiles() -> None:
    leaves = [leaf_hash(n.to_bytes(3, "big")) for n in range(70_000)]

    stored = Frontier().extend(leaves)

    assert len(stored) == 70_000 // 256 + 1
    assert (8, 3, reference(leaves[768:1024])) in stored
    assert (16, 0, reference(leaves[:65_536])) in stored


@given(st.integers(0, 200), st.integers(0, 200))
def test_growing_in_steps_is_growing_at_once(first: int, second: int) -> None:
    leaves = [leaf_hash(bytes([n & 255, n >> 8])) for n in range(first + second)]
    steps, once = Frontier(), Frontier()

    nodes = steps.extend(leaves[:first]) + steps.extend(leaves[first:])

    assert nodes == once.extend(leaves)
    assert steps.root() == once.root()


# The example key of golang.org/x/mod/sumdb/note, from which C2SP signed-note comes.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_published_signed_note_opens() -> None:
    assert VerifierKey.parse(GO_VKEY).open(GO_NOTE.encode()).startswith("If you think cryptography")
    assert str(VerifierKey.parse(GO_VKEY)) == GO_VKEY


def _checkpoint() -> Checkpoint:
    return Checkpoint("agentguard.audit/ab/1", 5, bytes(32), bytes(range(32)), 2, 3, 4, False)


def test_every_flipped_bit_of_a_note_is_refused() -> None:
    signer = Signer("agentguard.audit/ab/1", bytes(32))
    note = signer.sign(_checkpoint().body())
    assert Checkpoint.parse(signer.verifier.open(note)) == _checkpoint()

    for at in range(len(note) * 8):
        changed = bytearray(note)
        changed[at // 8] ^= 1 << (at % 8)
        with pytest.raises(TamperError):
            signer.verifier.open(bytes(changed))


@pytest.mark.parametrize("cut", ["unsigned", "second-signature", "other-key"])
def test_unsigned_does_not_pass_as_signed(cut: str) -> None:
    signer = Signer("n", bytes(32))
    note = signer.sign("text\n").decode()
    wrong = {
        "unsigned": "text\n\n",
        "second-signature": note + note.splitlines()[-1] + "\n",
        "other-key": Signer("n", bytes(31) + b"\x01").sign("text\n").decode(),
    }[cut]

    with pytest.raises(TamperError):
        signer.verifier.open(wrong.encode())


@given(st.binary(max_size=300))
def test_notes_and_bodies_never_raise_foreign_errors(data: bytes) -> None:
    with pytest.raises(TamperError):
        VerifierKey("n", bytes(32)).open(data)
    with pytest.raises(TamperError):
        Checkpoint.parse(data.decode("latin-1"))
    with pytest.raises(TamperError):
        VerifierKey.parse(data.decode("latin-1"))


def _frame(records: list[bytes], key: DataKey, number: int = 0) -> Frame:
    return Frame.seal(
        records,
        key=key,
        log_id=bytes(16),
        generation=1,
        number=number,
        first_index=0,
        times=(1, 2),
        previous=bytes(32),
        tokens_hash=tokens_digest([]),
    )


@given(st.lists(st.binary(max_size=64), min_size=1, max_size=20))
def test_frames_give_back_their_records(records: list[bytes]) -> None:
    key = DataKey.generate()

    assert _frame(records, key).open(key, bytes(16)) == records


@given(st.binary(max_size=64))
def test_split_never_raises_foreign_errors(data: bytes) -> None:
    try:
        assert join(split(data)) == data
    except DecryptError:
        return


def test_cloned_machine_does_not_reuse_a_key_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clones with the same random numbers and the same frame number encrypt different records differently."""
    key = DataKey.generate()
    monkeypatch.setattr("agentguard.audit.frame.os.urandom", bytes)
    first, second = _frame([b"a" * 64], key), _frame([b"b" * 64], key)

    streams = [
        bytes(c ^ p for c, p in zip(f.ciphertext[4:68], t * 64, strict=True))
        for f, t in ((first, b"a"), (second, b"b"))
    ]

    assert first.salt == second.salt
    assert streams[0] != streams[1]
