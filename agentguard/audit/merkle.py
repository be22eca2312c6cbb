"""The Merkle tree of RFC 9162 section 2.1, grown leaf by leaf.

Only the roots of the perfect subtrees on the right edge are kept (at most 64), so an append costs O(log n).
Subtree roots at every eighth level are handed out to be stored: with the leaves in the frames they are the tiles
(256 wide, as in C2SP tlog-tiles) from which proofs read O(log n) rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

__all__ = ["HASH_BYTES", "TILE_LEVELS", "Frontier", "leaf_hash", "node_hash"]

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
