"""Hashed word n-grams of a folded text, as arrays: what the linear model of ``model.py`` reads.

Per word there are six features: the word, its pair and triple with the words behind it, the pair that skips one word,
its stem (first five letters) and the pair of stems. Letters of scripts without spaces between words (Han, kana) are
words of their own, so their features are character n-grams. Words are hashed by a polynomial over the prefix sums of
the text, so a text of a thousand characters costs about forty vector operations and no Python loop.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BITS", "CHUNK", "KINDS", "VERSION", "Words", "words"]

# Raised when the same text gets other features: a model knows which it was trained for.
VERSION = 1
KINDS = 6
# Buckets per kind: 2 ** BITS. Six kinds of one byte each make 768 KiB a model head.
BITS = 17
# Texts are read in pieces of this many characters, which bounds the tables and the memory.
CHUNK = 1 << 15
STEM = 5

_PRIME = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
# Rows: the six kinds. Columns: word, next word, word after that, stem, next stem. Odd constants mix into the top bits.
_MIX = np.array(
    [
        [0x9E3779B1, 0, 0, 0, 0],
        [0x85EBCA6B, 0xC2B2AE35, 0, 0, 0],
        [0x27D4EB2F, 0x165667B1, 0xD3A2646D, 0, 0],
        [0xFD7046C5, 0, 0xB55A4F09, 0, 0],
        [0, 0, 0, 0x2545F491, 0],
        [0, 0, 0, 0x8DA6B343, 0xD8163841],
    ],
    dtype=np.uint32,
)
_OFFSETS = (np.arange(KINDS, dtype=np.uint32) << np.uint32(BITS))[:, None]
_HIGH = np.uint64(32)
_SHIFT = np.uint32(32 - BITS)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one piece of text: where each starts and ends, and its ``KINDS`` feature numbers."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    features: NDArray[np.uint32]


def words(text: str) -> Words:
    """The words of ``text``, which has at most ``CHUNK`` characters and is folded to lower case."""
    codes, starts, ends = _segmented(text)
    if not len(starts):
        return Words(starts, ends, np.zeros((KINDS, 0), np.uint32))
    powers, inverses = _tables()
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.multiply(codes, powers[: len(codes)], out=codes)
    codes.cumsum(out=sums[1:])
    base = sums[starts]
    unshift = inverses[starts]
    count = len(starts)
    # One buffer, read at shifted places: word, next and the one after are three rows of the same memory.
    hashed = np.zeros(count + 2, np.uint32)
    stems = np.zeros(count + 1, np.uint32)
    hashed[:count] = ((sums[ends] - base) * unshift) >> _HIGH
    stems[:count] = ((sums[np.minimum(ends, starts + STEM)] - base) * unshift) >> _HIGH
    rows = np.empty((5, count), np.uint32)
    rows[0] = hashed[:count]
    rows[1] = hashed[1 : count + 1]
    rows[2] = hashed[2:]
    rows[3] = stems[:count]
    rows[4] = stems[1:]
    return Words(starts, ends, (_MIX @ rows >> _SHIFT) + _OFFSETS)


def _segmented(text: str) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    codes_of, is_word = _classes()
    if text.isascii():
        raw = np.frombuffer(text.encode("ascii"), np.uint8)
        letters = is_word.take(raw)
        edges = np.empty(len(raw) + 1, np.bool_)
        if len(raw):
            edges[0], edges[-1] = letters[0], letters[-1]
            np.not_equal(letters[1:], letters[:-1], out=edges[1:-1])
        places = edges.nonzero()[0] if len(raw) else np.zeros(0, np.int64)
        return codes_of.take(raw), places[0::2], places[1::2]
    raw = np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)
    small = np.minimum(raw, np.uint32(0xFF))
    single = ((raw >= 0x3040) & (raw < 0xA000)) | ((raw >= 0x20000) & (raw < 0x32000))
    wide_signs = (
        ((raw >= 0x2000) & (raw < 0x3040)) | ((raw >= 0xFE10) & (raw < 0xFE70)) | (raw >= 0xFF00) & (raw < 0xFF66)
    )
    letters = np.where(raw < 0x100, is_word[small], single | ~wide_signs)
    begins, ends = letters.copy(), letters.copy()
    begins[1:] &= ~letters[:-1] | single[1:] | single[:-1]
    ends[:-1] &= ~letters[1:] | single[:-1] | single[1:]
    codes = np.where(raw < 0x100, codes_of[small], raw.astype(np.uint64) + np.uint64(1))
    return codes, np.flatnonzero(begins), np.flatnonzero(ends) + 1


@functools.lru_cache(maxsize=1)
def _classes() -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Per character below 256: its code plus one, all digits alike, and whether it belongs to a word."""
    chars = [chr(code) for code in range(256)]
    codes = np.array([1 + (ord("0") if c.isdigit() else ord(c)) for c in chars], np.uint64)
    return codes, np.array([c.isalnum() or c == "'" for c in chars], np.bool_)


@functools.lru_cache(maxsize=1)
def _tables() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Powers of the prime modulo 2**64, and of its inverse."""
    return _powers(_PRIME), _powers(pow(_PRIME, -1, 1 << 64))


def _powers(base: int) -> NDArray[np.uint64]:
    factors = np.full(CHUNK, base & _MASK, np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)
