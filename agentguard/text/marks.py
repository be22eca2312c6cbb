"""Runs of combining marks, bounded: Unicode normalisation takes quadratic time on a long one.

No writing system stacks more than a few marks on one letter; UAX #15 (stream-safe text format) puts the bound at 30.
"""

from __future__ import annotations

import functools

import re2

__all__ = ["MAX_MARKS", "excess_marks", "longest_mark_run", "without_excess_marks"]

MAX_MARKS = 30


def excess_marks(text: str) -> list[tuple[int, int]]:
    """Ranges of marks beyond the ``MAX_MARKS`` that may stand together."""
    return [(start + MAX_MARKS, end) for start, end in _runs(text)]


def without_excess_marks(text: str) -> str:
    """``text``, safe to normalise. The same object when there is nothing to cut."""
    ranges = excess_marks(text)
    if not ranges:
        return text
    parts: list[str] = []
    last = 0
    for start, end in ranges:
        parts.append(text[last:start])
        last = end
    parts.append(text[last:])
    return "".join(parts)


def longest_mark_run(text: str) -> int:
    """How many marks stand together at most; 0 when no run exceeds ``MAX_MARKS``."""
    return max((end - start for start, end in _runs(text)), default=0)


def _runs(text: str) -> list[tuple[int, int]]:
    if text.isascii():
        return []
    # Surrogates have no UTF-8 form; they are no marks either.
    searchable = text.encode("utf-8", "replace").decode() if _has_surrogate(text) else text
    return [match.span() for match in _pattern().finditer(searchable)]


def _has_surrogate(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


@functools.lru_cache(maxsize=1)
def _pattern() -> re2._Regexp:
    # Variation selectors are marks too, but normalising never moves them, and they may spell a hidden message.
    return re2.compile(rf"[^\PM\x{{FE00}}-\x{{FE0F}}\x{{E0100}}-\x{{E01EF}}]{{{MAX_MARKS + 1},}}")
