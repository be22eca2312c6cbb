"""Texts of one run, searchable for squashed values without reading them all again.

Texts lie folded in packs; small ones share a pack, a large one is cut into blocks. Each block has a filter, one bit
per four bytes that stand in it somewhere, so a value that stands nowhere is refused without a scan. A match may run
on into the next block: blocks are ranges of one buffer, and their filters reach over the edge.

Memory is bounded: the oldest pack is dropped first, and what stood in it is found nowhere from then on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentguard.decision import Span
from agentguard.flow.document import Document
from agentguard.flow.forms import short_tokens
from agentguard.text.squash import places, squash, squash_blocks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["GRAM", "MAX_NEEDLE", "Hit", "Memory", "Text"]

# Code points of a text per block, and squashed bytes after which a pack of small texts is closed.
BLOCK = 16_384
# A longer value is looked for by its beginning: enough to know whose words it is made of.
MAX_NEEDLE = 256
# The shortest needle a filter can answer for; shorter values are compared token by token.
GRAM = 4
# 4 KiB of bits per block: about one in three is set by prose, so seven letters leave one false block in a thousand.
FILTER_BITS = 15
_HASH = 2_654_435_761
# A text costs its length and this many characters for what is known about it.
OVERHEAD = 64
# So many blocks share one filter, which takes the memory of eight.
CROSSED = 5
# Grams of a needle that are asked for. More would only repeat the answer.
MAX_GRAMS = 8


@dataclass(eq=False, slots=True)
class Text:
    """One text. ``source`` is as in ``Leaf.author``; ``document`` is what a structured text is read by."""

    source: str
    body: str | bytes
    document: Document | None = None

    @classmethod
    def of(cls, source: str, text: str, document: Document | None = None) -> Text:
        """Keep ``text`` in as little memory as it takes."""
        return cls(source, text if text.isascii() else text.encode("utf-8", "surrogatepass"), document)

    def part(self, start: int, end: int) -> str:
        """A range of the text, in code points."""
        return self.text[start:end]

    @property
    def text(self) -> str:
        """The text itself."""
        return self.body if isinstance(self.body, str) else self.body.decode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where a value stands: the text, and the range of squashed bytes; ``length`` 0 for a token."""

    text: Text
    block: int
    offset: int
    length: int

    def span(self) -> Span | None:
        """The range in ``text.text`` that was found, in code points."""
        if not self.length:
            return None
        base = self.block * BLOCK
        # A match may run on into the next block, however much of that is dropped; mostly it does not.
        for blocks in (1, 2, 2 + BLOCK):
            window = self.text.part(base, base + blocks * BLOCK)
            if window.isascii():
                try:
                    first, last = places(window, self.offset, self.offset + self.length - 1)
                except IndexError:
                    continue
                return Span(base + first, base + last + 1)
            if self.offset + self.length <= len(squash(window)) or blocks > 2:
                first, last = places(window, self.offset, self.offset + self.length - 1)
                return Span(base + first, base + last + 1)
        return None


@dataclass(eq=False, slots=True)
class _Pack:
    """Some small texts behind each other, or one large one."""

    folded: bytearray | bytes = field(default_factory=bytearray)
    starts: list[int] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    size: int = 0
    blocks: list[tuple[int, int]] = field(default_factory=list)
    filters: list[bytes] = field(default_factory=list)
    large: bool = False
    _tokens: dict[str, list[Text]] | None = None

    def put(self, text: Text, folded: bytes, key: int, size: int) -> None:
        self.starts.append(len(self.folded))
        self.texts.append(text)
        self.keys.append(key)
        self.size += size
        # No letter or digit: no match runs from one text into the next.
        self.folded += folded + b"\n"
        self._tokens = None

    def close(self, sizes: Collection[int]) -> None:
        """Make the filters; ``sizes`` are the squashed lengths of the blocks."""
        self.folded = bytes(self.folded)
        start = 0
        for size in sizes:
            self.blocks.append((start, start + size))
            start += size
        bits = [_filter(self.folded[start : end + MAX_NEEDLE]) for start, end in self.blocks]
        groups = [bits[first : first + 8] for first in range(0, len(bits), 8)]
        self.filters = [_crossed(group) if len(group) >= CROSSED else b"" for group in groups]
        self.filters += [_packed(each) for group in groups if len(group) < CROSSED for each in group]

    def hits(self, needle: bytes, grams: list[int]) -> Iterator[Hit]:
        """At most one hit per text."""
        if not self.blocks:
            yield from self._scan(needle, 0, len(self.folded), 0)
            return
        crossed = (len(self.blocks) + 7) // 8
        for group in range(crossed - 1, -1, -1):
            rows = self.filters[group]
            passed = _meet(rows, grams) if rows else self._passed(grams, crossed)
            while passed:
                place = passed.bit_length() - 1
                passed ^= 1 << place
                start, end = self.blocks[8 * group + place]
                yield from self._scan(needle, start, end + len(needle) - 1, 8 * group + place)

    def _passed(self, grams: list[int], crossed: int) -> int:
        """The blocks of the last group whose filters let the needle pass, one bit each."""
        passed = 0
        for place, bits in enumerate(self.filters[crossed:]):
            for gram in grams:
                if not bits[gram >> 3] & (1 << (gram & 7)):
                    break
            else:
                passed |= 1 << place
        return passed

    def _scan(self, needle: bytes, start: int, end: int, block: int) -> Iterator[Hit]:
        base = start
        while (found := self.folded.find(needle, start, end)) >= 0:
            index = bisect_right(self.starts, found) - 1
            origin = base if self.large else self.starts[index]
            yield Hit(self.texts[index], block if self.large else 0, found - origin, len(needle))
            if self.large or index + 1 == len(self.starts):
                return
            start = self.starts[index + 1]

    def token(self, token: str) -> list[Text]:
        """The texts that hold ``token`` as a token of its own."""
        if self._tokens is None:
            self._tokens = {}
            for text in self.texts:
                body = text.text if text.document is None else text.document.body.replace(",", " ")
                for each in short_tokens(body):
                    self._tokens.setdefault(each, []).append(text)
        return self._tokens.get(token, [])


class Memory:
    """The texts of one run, newest first. Not thread-safe: the ledger holds the lock.

    Args:
        bound: characters of text that are kept.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._pack_bytes = min(BLOCK, max(1, bound // 8))
        self._packs: deque[_Pack] = deque()
        self._open: _Pack | None = None
        self._known: set[int] = set()
        self._size = 0
        self.forgot = False

    def knows(self, key: int) -> bool:
        """Whether the text with this key was added and is still held."""
        return key in self._known

    def add(self, text: Text, body: str, key: int) -> None:
        """Keep ``text``; ``body`` is what is searched, ``key`` what ``knows`` is asked with."""
        size = len(body) + OVERHEAD
        pieces = squash_blocks(body, BLOCK)
        if len(pieces) > 1:
            self._seal()
            pack = _Pack(large=True)
            pack.put(text, b"".join(pieces), key, size)
            pack.close([len(piece) for piece in pieces])
            self._packs.append(pack)
        else:
            if self._open is None:
                self._open = _Pack()
                self._packs.append(self._open)
            self._open.put(text, pieces[0] if pieces else b"", key, size)
            if len(self._open.folded) >= self._pack_bytes or len(self._open.texts) >= BLOCK // OVERHEAD:
                self._seal()
        self._known.add(key)
        self._size += size
        while self._size > self._bound and len(self._packs) > 1:
            self._drop()

    def texts(self) -> Iterator[Text]:
        """All that is held, newest first."""
        for pack in reversed(self._packs):
            yield from reversed(pack.texts)

    def find(self, needle: bytes) -> Iterator[Hit]:
        """Where ``needle`` (squashed, at least ``GRAM`` bytes) stands: at most one hit per text and block."""
        needle = needle[:MAX_NEEDLE]
        grams = _grams(needle)
        for pack in reversed(self._packs):
            yield from pack.hits(needle, grams)

    def find_token(self, token: str) -> Iterator[Hit]:
        """The texts in which a short value stands as a token of its own."""
        for pack in reversed(self._packs):
            yield from (Hit(text, 0, 0, 0) for text in reversed(pack.token(token)))

    def _seal(self) -> None:
        if self._open is not None:
            self._open.close([len(self._open.folded)])
            self._open = None

    def _drop(self) -> None:
        pack = self._packs.popleft()
        if pack is self._open:
            self._open = None
        self._size -= pack.size
        self._known.difference_update(pack.keys)
        self.forgot = True


def _meet(rows: bytes, grams: list[int]) -> int:
    """The blocks, one bit each, that have all of ``grams``."""
    passed = 0xFF
    for gram in grams:
        passed &= rows[gram]
        if not passed:
            break
    return passed


def _filter(data: bytes) -> NDArray[np.bool_]:
    import numpy as np

    bits = np.zeros(1 << FILTER_BITS, dtype=np.bool_)
    for offset in range(GRAM):
        count = (len(data) - offset) // GRAM
        if count > 0:
            grams = np.frombuffer(data, dtype="<u4", count=count, offset=offset)
            bits[(grams * np.uint32(_HASH)) >> np.uint32(32 - FILTER_BITS)] = True
    return bits


def _packed(bits: NDArray[np.bool_]) -> bytes:
    import numpy as np

    return np.packbits(bits, bitorder="little").tobytes()


def _crossed(filters: list[NDArray[np.bool_]]) -> bytes:
    """Up to eight filters as one byte per gram: one look tells all blocks that may hold it."""
    import numpy as np

    rows = np.zeros(1 << FILTER_BITS, dtype=np.uint8)
    for place, bits in enumerate(filters):
        rows |= bits.view(np.uint8) << np.uint8(place)
    return rows.tobytes()


def _grams(needle: bytes) -> list[int]:
    """Where a filter must have its bits, for some grams spread over the needle."""
    last = len(needle) - GRAM
    starts = [*range(0, last, max(1, last // MAX_GRAMS)), last]
    return [
        (int.from_bytes(needle[start : start + GRAM], "little") * _HASH & 0xFFFFFFFF) >> (32 - FILTER_BITS)
        for start in starts
    ]
