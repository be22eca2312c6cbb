"""Proofs: published vectors, every (index, size) to 300 against the RFC's own words, every flipped bit refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.audit import AuditLog
from agentguard.audit.checkpoint import VerifierKey
from agentguard.audit.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of_inclusion,
    roots_of_consistency,
)
from agentguard.audit.proof import ConsistencyProof, InclusionProof
from agentguard.errors import AgentGuardError, ConfigError, TamperError
from agentguard.store import Home
from tests.audit.damage import change, keep, put_back
from tests.audit.test_merkle import CT_ENTRIES, reference


class LeafNodes:
    """Perfect subtrees straight from the leaves."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves
        self._known: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, position: int) -> bytes:
        if level == 0:
            return self.leaves[position]
        if (level, position) not in self._known:
            left, right = self.node(level - 1, 2 * position), self.node(level - 1, 2 * position + 1)
            self._known[level, position] = node_hash(left, right)
        return self._known[level, position]


def path_by_the_rfc(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162 section 2.1.3.1, word for word: PATH(m, D_n)."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if index < k:
        return [*path_by_the_rfc(index, leaves[:k]), reference(leaves[k:])]
    return [*path_by_the_rfc(index - k, leaves[k:]), reference(leaves[:k])]


def proof_by_the_rfc(first: int, leaves: list[bytes], complete: bool = True) -> list[bytes]:
    """RFC 9162 section 2.1.4.1, word for word: SUBPROOF(m, D_n, b)."""
    if first == len(leaves):
        return [] if complete else [reference(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if first <= k:
        return [*proof_by_the_rfc(first, leaves[:k], complete), reference(leaves[k:])]
    return [*proof_by_the_rfc(first - k, leaves[k:], False), reference(leaves[:k])]


CT = [leaf_hash(bytes.fromhex(entry)) for entry in CT_ENTRIES]
# certificate-transparency's merkletree tests: (index, size) and the first eight digits of each node.
CT_PATHS = {
    (0, 1): [],
    (0, 8): ["96a296d2", "5f083f0a", "6b47aaf2"],
    (5, 8): ["bc1a0643", "ca854ea1", "d37ee418"],
    (2, 3): ["fac54203"],
    (1, 5): ["6e340b9c", "5f083f0a", "bc1a0643"],
}
CT_GROWTH = {
    (1, 1): [],
    (1, 8): ["96a296d2", "5f083f0a", "6b47aaf2"],
    (6, 8): ["0ebc5d34", "ca854ea1", "d37ee418"],
    (2, 5): ["5f083f0a", "bc1a0643"],
}


@pytest.mark.parametrize(("place", "expected"), CT_PATHS.items())
def test_inclusion_proofs_match_the_published_vectors(place: tuple[int, int], expected: list[str]) -> None:
    assert [node.hex()[:8] for node in inclusion_proof(LeafNodes(CT), *place)] == expected


@pytest.mark.parametrize(("sizes", "expected"), CT_GROWTH.items())
def test_consistency_proofs_match_the_published_vectors(sizes: tuple[int, int], expected: list[str]) -> None:
    assert [node.hex()[:8] for node in consistency_proof(LeafNodes(CT), *sizes)] == expected


def sweep(sizes: range) -> int:
    leaves = [leaf_hash(bytes([n & 255, n >> 8])) for n in range(300)]
    nodes = LeafNodes(leaves)
    checked = 0
    roots = {size: reference(leaves[:size]) for size in range(301)}
    for size in sizes:
        for index in range(size):
            path = inclusion_proof(nodes, index, size)
            assert root_of_inclusion(leaves[index], index, size, path) == roots[size]
            growth = consistency_proof(nodes, index + 1, size)
            assert roots_of_consistency(index + 1, size, roots[index + 1], growth) == (roots[index + 1], roots[size])
            if size % 25 == 0 or size < 20:
                assert path == path_by_the_rfc(index, leaves[:size])
                assert growth == proof_by_the_rfc(index + 1, leaves[:size])
            checked += 2
    return checked


def test_proofs_of_every_leaf_in_many_sizes() -> None:
    assert sweep(range(1, 301, 9)) > 5000


@pytest.mark.long
def test_all_proofs_to_300() -> None:
    """Every index in every size, inclusion and consistency."""
    assert sweep(range(1, 301)) == 300 * 301


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_a_wrong_leaf_place_or_path_never_leads_to_the_root(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(size)]
    root = reference(leaves)
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda n: n != index) if size > 1 else st.just(size))
    path = inclusion_proof(LeafNodes(leaves), index, size)

    def leads(leaf: bytes, at: int, way: list[bytes]) -> bool:
        try:
            return root_of_inclusion(leaf, at, size, way) == root
        except ValueError:
            return False

    assert leads(leaves[index], index, path)
    assert not leads(leaf_hash(b"other"), index, path)
    assert not leads(leaves[index], other, path)
    assert not leads(leaves[index], index, [*path, bytes(32)])
    assert not path or not leads(leaves[index], index, path[:-1])


def log_of(home: Home, records: int) -> AuditLog:
    log = AuditLog.open(home)
    for n in range(records):
        log.append({"type": "decision", "n": n}, durable=False)
    log.flush()
    return log


def test_every_record_of_a_log_is_proved_without_any_key(home: Home) -> None:
    with log_of(home, 700) as log:
        verifier = VerifierKey.parse(home.verifier_path.read_text())
        for index in (*range(0, 700, 37), 255, 256, 511, 512, 699):
            proof = InclusionProof.parse(log.prove(index).encode())

            assert proof.check(verifier).size == 700
            assert proof.data()["n"] == index


def test_growth_is_proved_between_any_two_checkpoints(home: Home) -> None:
    notes = []
    with AuditLog.open(home) as log:
        notes.append(log.checkpoint())
        for n in range(300):
            log.append({"type": "decision", "n": n}, durable=False)
            if n % 40 == 0:
                log.flush()
                notes.append(log.checkpoint())
        log.flush()
        for note in notes:
            old, new = ConsistencyProof.parse(log.prove_consistency(note).encode()).check(log.verifier_key)

            assert (old.size <= new.size, new.size) == (True, 300)


@pytest.mark.parametrize("kind", ["inclusion", "consistency"])
def test_every_flipped_bit_of_a_proof_is_refused(home: Home, kind: str) -> None:
    with log_of(home, 5) as log:
        early = log.checkpoint()
        log.append({"type": "decision", "n": 5}, durable=True).result()
        form = InclusionProof if kind == "inclusion" else ConsistencyProof
        proof = log.prove(2).encode() if kind == "inclusion" else log.prove_consistency(early).encode()
        verifier = log.verifier_key
    form.parse(proof).check(verifier)

    for at in range(len(proof) * 8):
        changed = bytearray(proof)
        changed[at // 8] ^= 1 << (at % 8)
        with pytest.raises(TamperError):
            form.parse(bytes(changed)).check(verifier)


def test_another_logs_key_does_not_check_a_proof(home: Home, tmp_path: Path) -> None:
    with log_of(home, 3) as log, AuditLog.open(Home.create(tmp_path / "other")) as other:
        proof = log.prove(1)

        with pytest.raises(TamperError):
            proof.check(other.verifier_key)


def test_a_fork_of_the_history_has_no_consistency_proof(home: Home) -> None:
    """The same keys, an older copy, other records: the checkpoint kept outside convicts the log."""
    log_of(home, 4).close()
    early = keep(home)
    with AuditLog.open(home) as log:
        log.append({"type": "decision", "n": "true"}, durable=True).result()
        kept = log.checkpoint()
    put_back(home, early)

    with AuditLog.open(home) as log:
        log.append({"type": "decision", "n": "false"}, durable=True).result()
        log.append({"type": "decision"}, durable=True).result()
        with pytest.raises(TamperError, match="does not continue"):
            log.prove_consistency(kept)


def test_no_such_record_and_a_broken_tree_say_so(home: Home) -> None:
    with log_of(home, 600) as log:
        with pytest.raises(ConfigError, match="no record 600"):
            log.prove(600)
        change(home, ("DELETE FROM node", ()))
        with pytest.raises(TamperError, match="tree is gone"):
            log.prove(0)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_parsing_never_raises_foreign_errors(data: bytes) -> None:
    for form in (InclusionProof, ConsistencyProof):
        with pytest.raises(AgentGuardError):
            form.parse(data)


def test_the_empty_tree_has_no_proofs() -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(LeafNodes([]), 0, 0)
    with pytest.raises(ValueError, match="does not continue"):
        consistency_proof(LeafNodes([]), 0, 3)
    assert reference([]) == hashlib.sha256(b"").digest()
