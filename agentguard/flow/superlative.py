"""Choices by comparison: "the largest file", "the newest invoice". Which row is meant follows from the rows themselves.

A request names a direction and a kind: largest of numbers, latest of dates. Of a list the row is meant whose field is
the single largest, smallest, newest or oldest of its kind. "First" and "last" are left out: they say too many things.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal, TypeAlias

from agentguard.flow.vocabulary import folded

__all__ = ["Extreme", "extremes", "superlatives"]

Extreme: TypeAlias = tuple[Literal["most", "least"], Literal["number", "date"]]

# In lower case and without accents; a space stands for any one or two.
_WORDS: dict[Extreme, str] = {
    ("most", "number"): (
        "largest|biggest|highest|heaviest|longest|greatest|priciest|most expensive|"
        "grosste[nmrs]?|hochste[nmrs]?|langste[nmrs]?|teuerste[nmrs]?|"
        "plus grande?|plus gros(?:se)?|plus elevee?|plus ch(?:er|ere)s?|mas grande|mas alt[oa]|mas car[oa]"
    ),
    ("least", "number"): (
        "smallest|lowest|lightest|shortest|cheapest|least expensive|"
        "kleinste[nmrs]?|niedrigste[nmrs]?|kurzeste[nmrs]?|billigste[nmrs]?|gunstigste[nmrs]?|"
        "plus petite?|moins ch(?:er|ere)s?|mas pequen[oa]|mas baj[oa]|mas barat[oa]"
    ),
    ("most", "date"): "latest|newest|most recent|neueste[nmrs]?|jungste[nmrs]?|plus recente?|mas reciente",
    ("least", "date"): "oldest|earliest|alteste[nmrs]?|fruheste[nmrs]?|plus ancien(?:ne)?|mas antigu[oa]",
}
_PATTERNS = {
    extreme: re.compile(r"(?<![^\W_])(?:" + words.replace(" ", r"\s{1,2}") + r")(?![^\W_])")
    for extreme, words in _WORDS.items()
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.{0,20})?")
_NUMBER = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?")


def superlatives(texts: Sequence[str]) -> frozenset[Extreme]:
    """The comparisons that a request chooses by."""
    plain = [folded(text) for text in texts]
    return frozenset(extreme for extreme, pattern in _PATTERNS.items() if any(pattern.search(text) for text in plain))


def extremes(rows: Sequence[Iterable[tuple[str, str]]]) -> list[frozenset[Extreme]]:
    """For each row, given as its fields' names and texts: what it alone is the most or least of.

    A row stands out only among two or more that have the field; two equal ones stand out in nothing.
    """
    columns: dict[tuple[str, Literal["number", "date"]], list[tuple[Decimal | str, int]]] = defaultdict(list)
    for index, row in enumerate(rows):
        for name, text in row:
            if _DATE.fullmatch(text):
                columns[name, "date"].append((text.replace("T", " "), index))
            elif _NUMBER.fullmatch(text):
                columns[name, "number"].append((Decimal(text), index))
    found: list[set[Extreme]] = [set() for _ in rows]
    for (_, kind), cells in columns.items():
        ordered = sorted(cells, key=lambda cell: cell[0])
        if len(ordered) > 1:
            if ordered[-1][0] != ordered[-2][0]:
                found[ordered[-1][1]].add(("most", kind))
            if ordered[0][0] != ordered[1][0]:
                found[ordered[0][1]].add(("least", kind))
    return [frozenset(each) for each in found]
