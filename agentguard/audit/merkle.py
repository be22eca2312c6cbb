"""The Merkle tree of RFC 9162 section 2.1, grown leaf by leaf.

Only the roots of the perfect subtrees on the right edge are kept (at most 64), so an append costs O(log n).
Subtree roots at every eighth level are handed out to be stored: with the leaves in the frames they are the tiles
(256 wide, as in C2SP tlog-tiles) from which proofs read O(log n) rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

__all__ = [
    "HASH_BYTES",
    "TILE_LEVELS",
    "Frontier",
    "Nodes",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "range_root",
    "root_of_inclusion",
    "roots_of_consistency",
]

HASH_BYTES = 32
TILE_LEVELS = 8


def leaf_hash(record: bytes) -> bytes:
    """RFC 9162 section 2.1.1: SHA-256(0x00 || record)."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162 section 2.1.1: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a tree with ``size`` leaves: the roots of its perfect subtrees, largest first."""

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, roots: Iterable[bytes] = ()) -> None:
        self.size = size
        self._roots = list(roots)

    @classmethod
    def decode(cls, size: int, data: bytes) -> Frontier:
        """Read what ``encode`` wrote.

        Raises:
            ValueError: the number of roots does not fit the size.
        """
        if size < 0 or len(data) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"a tree of {size} leaves does not have {len(data)} bytes of subtree roots")
        return cls(size, (data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)))

    def encode(self) -> bytes:
        """The subtree roots, joined."""
        return b"".join(self._roots)

    def copy(self) -> Frontier:
        """An independent tree with the same leaves."""
        return Frontier(self.size, self._roots)

    def extend(self, leaves: Iterable[bytes]) -> list[tuple[int, int, bytes]]:
        """Append leaf hashes; return the completed subtree roots to store, as (level, index, hash)."""
        stored: list[tuple[int, int, bytes]] = []
        roots = self._roots
        size = self.size
        for leaf in leaves:
            node, level, index = leaf, 0, size
            # A set bit of the old size is a perfect subtree waiting for its right sibling.
            while index & 1:
                node = node_hash(roots.pop(), node)
                index >>= 1
                level += 1
                if level % TILE_LEVELS == 0:
                    stored.append((level, index, node))
            roots.append(node)
            size += 1
        self.size = size
        return stored

    def root(self) -> bytes:
        """The tree head; SHA-256 of nothing for the empty tree."""
        if not self._roots:
            return hashlib.sha256(b"").digest()
        node = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            node = node_hash(left, node)
        return node


class Nodes(Protocol):
    """Where the roots of perfect subtrees come from."""

    def node(self, level: int, position: int, /) -> bytes:
        """Root of the leaves ``[position << level, (position + 1) << level)``."""
        ...


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """RFC 9162 section 2.1.3.1: the siblings between leaf ``index`` and the root of ``size`` leaves, leaf first.

    Raises:
        ValueError: no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_root(nodes, middle, end))
            end = middle
        else:
            path.append(range_root(nodes, start, middle))
            start = middle
    return path[::-1]


def consistency_proof(nodes: Nodes, first: int, second: int) -> list[bytes]:
    """RFC 9162 section 2.1.4.1: that the tree of ``second`` leaves begins with the tree of ``first``.

    Raises:
        ValueError: not ``0 < first <= second``.
    """
    if not 0 < first <= second:
        raise ValueError(f"a tree of {second} leaves does not continue one of {first}")
    path: list[bytes] = []
    start, end, known = 0, second, True
    while end != first:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(range_root(nodes, middle, end))
            end = middle
        else:
            path.append(range_root(nodes, start, middle))
            start, known = middle, False
    if not known:
        path.append(range_root(nodes, start, end))
    return path[::-1]


def root_of_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """RFC 9162 section 2.1.3.2: the root that the proof leads to; compare it with the signed one.

    Raises:
        ValueError: the path does not have the length of a proof for this leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    at, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise ValueError("the proof is too long")
        if at & 1 or at == last:
            node = node_hash(sibling, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ValueError("the proof is too short")
    return node


def roots_of_consistency(first: int, second: int, root: bytes, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """RFC 9162 section 2.1.4.2: the roots of both sizes that the proof leads to, ``root`` being the first's.

    Raises:
        ValueError: the path does not have the length of a proof for these sizes.
    """
    if not 0 < first <= second:
        raise ValueError(f"a tree of {second} leaves does not continue one of {first}")
    if first == second:
        if path:
            raise ValueError("the proof is too long")
        return root, root
    nodes = [root, *path] if first & (first - 1) == 0 else list(path)
    if not nodes:
        raise ValueError("the proof is too short")
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = nodes[0]
    for sibling in nodes[1:]:
        if last == 0:
            raise ValueError("the proof is too long")
        if at & 1 or at == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        at, last = at >> 1, last >> 1
    if last:
        raise ValueError("the proof is too short")
    return old, new


def range_root(nodes: Nodes, start: int, end: int) -> bytes:
    """Root over the leaves ``[start, end)``, where ``start`` is a multiple of the range's smallest perfect cover."""
    length = end - start
    if length & (length - 1) == 0:
        level = length.bit_length() - 1
        return nodes.node(level, start >> level)
    middle = start + _split(length)
    return node_hash(range_root(nodes, start, middle), range_root(nodes, middle, end))


def _split(length: int) -> int:
    """The largest power of two smaller than ``length``."""
    return 1 << (length - 1).bit_length() - 1
