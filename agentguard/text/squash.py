"""The distrusting fold, fast: text to the bytes of its letters and digits, whatever it was disguised in.

``squash`` folds case, width, accents, look-alike letters and invisible characters character by character, and drops
everything that is neither a letter nor a digit. Because no character's fold depends on its neighbours, a text can be
folded in blocks, and canonically equivalent texts (Unicode NFC, NFD) fold alike. The result is UTF-8, so that a
search for one squashed text in another is a search of bytes.

ASCII is one ``bytes.translate``; the rest goes through a table of code points that is filled as characters turn up.
"""

from __future__ import annotations

import functools
import re
import string
import threading
import unicodedata
from typing import TYPE_CHECKING, Any

from agentguard.text.confusables import skeleton_table
from agentguard.text.invisible import INVISIBLE_TABLE
from agentguard.text.marks import without_excess_marks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["places", "squash", "squash_blocks"]

_LOWER = bytes(ord(chr(code).lower()) if code < 128 else code for code in range(256))
_DROPPED = bytes(code for code in range(128) if chr(code) not in string.ascii_letters + string.digits)

_KEPT = bytes(0 if code in _DROPPED else 1 for code in range(256))

# Decompositions and look-alikes can nest; this many rounds reach the fixed point for every code point.
ROUNDS = 4

# Characters of ASCII that are counted at a time.
_STRETCH = 2_048

# Marks of printed text beside Latin-1, none of which is a letter.
_TYPOGRAPHIC = "\u2018\u2019\u201a\u201c\u201d\u201e\u2013\u2014\u2026\u20ac\u2022"
# In place of what folds to no single ASCII character.
_OTHER = b"\xff"

_JAMO = re.compile("[\u1100-\u11ff]")

# Entries of the table: not met yet, dropped, the code point it folds to plus _SINGLE, or an index into what folds to
# several characters.
_UNKNOWN, _DROP, _SINGLE, _MANY = 0, 1, 2, 0x200000


def squash(text: str) -> bytes:
    """The letters and digits of ``text``, folded, as UTF-8. Any text, lone surrogates included."""
    if text.isascii():
        return text.encode().translate(_LOWER, _DROPPED)
    return _folds().fold(text)


def squash_blocks(text: str, size: int) -> list[bytes]:
    """``squash(text)`` in pieces, each of ``size`` code points of the text (as ``place`` expects them)."""
    text = text if text.isascii() else _composed(text)
    return [squash(text[start : start + size]) for start in range(0, len(text), size)]


def places(text: str, first: int, last: int) -> tuple[int, int]:
    """The indices of the characters of ``text`` whose folds hold bytes ``first`` and ``last`` of ``squash(text)``."""
    return _folds().places(text if text.isascii() else _composed(text), first, last)


class _Folds:
    """The table. Filling it is guarded by a lock; reading needs none, since an entry never changes."""

    def __init__(self) -> None:
        import numpy

        self._np = numpy
        # Zeroed pages that nobody touches take no memory.
        self._table: NDArray[np.uint32] = numpy.zeros(0x110000, dtype=numpy.uint32)
        self._many: list[str] = []
        self._lock = threading.Lock()

    def fold(self, text: str) -> bytes:
        """The squashed form of any text."""
        # The one letter of everyday prose that folds to two; the general way costs several passes.
        text = text.replace("ß", "ss")
        western = _western(text)
        return self._fold(text) if western is None else western

    def _fold(self, text: str) -> bytes:
        np = self._np
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        folded = self._table[points]
        if not folded.all():
            self._learn(set(points[folded == _UNKNOWN].tolist()))
            folded = self._table[points]
        if int(folded.max()) >= _MANY:
            composed = _composed(text)
            if composed != text:
                return self.fold(composed)
            folded = self._spread(folded)
        folded = folded[folded > _DROP]
        folded -= _SINGLE
        return bytes(folded.astype("<u4", copy=False)).decode("utf-32-le").encode()

    def places(self, text: str, first: int, last: int) -> tuple[int, int]:
        """As the function of that name."""
        np = self._np
        if text.isascii():
            return _ascii_places(text.encode(), first, last)
        sizes = np.fromiter((len(self.fold(char)) for char in text), dtype=np.int64, count=len(text))
        ends = np.cumsum(sizes)
        return int(np.searchsorted(ends, first, side="right")), int(np.searchsorted(ends, last, side="right"))

    def _learn(self, points: set[int]) -> None:
        with self._lock:
            for point in points:
                if self._table[point] == _UNKNOWN:
                    self._table[point] = self._entry(_fold_char(chr(point)))

    def _entry(self, folded: str) -> int:
        if not folded:
            return _DROP
        if len(folded) == 1 and not _JAMO.match(folded):
            return ord(folded) + _SINGLE
        self._many.append(folded)
        return _MANY + len(self._many) - 1

    def _spread(self, folded: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Put what folds to several characters (a ligature, ß) in its place."""
        np = self._np
        places = np.flatnonzero(folded >= _MANY)
        entries = folded[places]
        found = [(places[entries == entry], self._many[entry - _MANY]) for entry in set(entries.tolist())]
        extra = np.zeros(len(folded), dtype=np.int64)
        for where, text in found:
            extra[where] = len(text) - 1
        spread: NDArray[Any] = np.repeat(folded, extra + 1)
        shift = np.cumsum(extra) - extra
        for where, text in found:
            first = where + shift[where]
            for step, char in enumerate(text):
                spread[first + step] = ord(char) + _SINGLE
        return spread


def _ascii_places(data: bytes, first: int, last: int) -> tuple[int, int]:
    """As ``places``, reading no further than it must.

    Raises:
        IndexError: the text has fewer letters and digits.
    """
    import numpy as np

    found: list[int] = []
    seen = 0
    for start in range(0, len(data), _STRETCH):
        stretch = data[start : start + _STRETCH]
        count = len(stretch.translate(None, _DROPPED))
        wanted = [place - seen for place in (first, last)[len(found) :] if place < seen + count]
        if wanted:
            kept = np.flatnonzero(np.frombuffer(stretch.translate(_KEPT), dtype=np.bool_))
            found.extend(start + int(kept[place]) for place in wanted)
        if len(found) == 2:
            return found[0], found[1]
        seen += count
    raise IndexError("the text has fewer letters and digits")


def _western(text: str) -> bytes | None:
    """The fold of a Western European text, one byte a character; None for all others."""
    try:
        data = text.encode("latin-1")
    except UnicodeEncodeError:
        for mark in _TYPOGRAPHIC:
            text = text.replace(mark, " ")
        try:
            data = text.encode("latin-1")
        except UnicodeEncodeError:
            return None
    table, dropped = _western_table()
    folded = data.translate(table, dropped)
    return None if _OTHER in folded else folded


@functools.lru_cache(maxsize=1)
def _western_table() -> tuple[bytes, bytes]:
    folds = [_fold_char(chr(code)) for code in range(256)]
    table = bytes(ord(fold) if len(fold) == 1 and fold.isascii() else _OTHER[0] for fold in folds)
    return table, bytes(code for code, fold in enumerate(folds) if not fold)


def _fold_char(char: str) -> str:
    if "\uac00" <= char <= "\ud7a3":
        # A Korean syllable. Its letters would fold to three characters; those written apart are composed instead.
        return char
    folded = char
    for _ in range(ROUNDS):
        visible = folded.translate(INVISIBLE_TABLE)
        folded = unicodedata.normalize("NFKD", visible).casefold().translate(skeleton_table())
    return _composed("".join(filter(str.isalnum, folded)))


def _composed(text: str) -> str:
    """Written letter by letter, Korean composes into the syllables that everybody else writes."""
    return unicodedata.normalize("NFC", without_excess_marks(text)) if _JAMO.search(text) else text


@functools.lru_cache(maxsize=1)
def _folds() -> _Folds:
    return _Folds()
