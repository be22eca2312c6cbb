"""One row of a structured result, and whether the user's request points at it.

A request points at a row by what only that row of its result holds: a name, a number, an address, a file; the words of
a file's name; being the largest or newest of its list, when the request chooses so; or by a search in the user's own
words that found nothing else.
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from agentguard.flow.forms import canonical, tokens
from agentguard.flow.request import Request
from agentguard.flow.superlative import Extreme, extremes
from agentguard.flow.vocabulary import split_name
from agentguard.text.squash import squash

__all__ = ["Record", "Table", "is_id"]

# A field of a record longer than this many words names nothing.
SHORT_FIELD_WORDS = 4
# A shared word shorter than this is no name.
MIN_NAME = 3
# Words of a file's name that have to stand together in the request, and how many are looked for at most.
MIN_RUN_WORDS = 2
MAX_RUN_WORDS = 5
MAX_NAME_CHARS = 100

# Characters of one free text that tell what its row is about.
MAX_PROSE = 1_000

_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}")
_PARTS = re.compile(r"[-_.\s+]+")

# Fields that say what a text is about or carries, whoever wrote it; and those that say so of a file.
_SUBJECTS = frozenset({
    "title", "subject", "heading", "headline", "caption", "topic", "summary", "body", "text", "content", "description",
    "attachment", "attachments", "betreff", "titel", "objet", "sujet", "titre", "asunto", "titulo",
})  # fmt: skip
_HEADINGS = _SUBJECTS | {"file", "filename"}

# The kinds of ``Marks`` that are looked for in other rows, by place.
_WORDS, _FIELDS, _RUNS = range(3)

Run = tuple[str, ...]


class Marks(NamedTuple):
    """What a request may point at a row by: its words and values, words side by side, and names in its addresses."""

    words: frozenset[str]
    fields: frozenset[str]
    runs: frozenset[Run]
    people: frozenset[tuple[str, str]]


class Table:
    """The fields of one structured result in order, each with the row it belongs to.

    They are searched folded. What a row has alone is found out for the mark that a request points at it by: the other
    rows with that mark are searched for, and only those that may have it are taken apart.

    Args:
        selectors: the arguments of the call that chose the rows.
    """

    def __init__(self, selectors: tuple[str, ...] = ()) -> None:
        self.selectors = selectors
        self.names: list[str] = []
        self.texts: list[str] = []
        # Of each field its row, by number: a row that held its table and was held by it would outlive its reading.
        self.rows: list[int] = []
        self.siblings: list[int] = []
        # What is free text in a row, by number: it sets nothing, but tells what the row is about.
        self.prose: list[tuple[int, list[str]]] = []
        self._folds: tuple[bytes, list[int]] | None = None
        self._marks: dict[int, Marks] = {}
        self._alone: dict[tuple[int, object], bool] = {}

    def row(self, siblings: int = 1) -> int:
        """The number of a new row, one of ``siblings``."""
        self.siblings.append(siblings)
        return len(self.siblings) - 1

    def add(self, row: int, name: str, text: str) -> None:
        """Take note of one structured field. The table must not have been searched yet."""
        self.names.append(name)
        self.texts.append(text)
        self.rows.append(row)

    def record(self, row: int) -> Record:
        """The row with this number."""
        return Record(self, row)

    @functools.cached_property
    def places(self) -> list[list[int]]:
        """For each row the places of its fields."""
        found: list[list[int]] = [[] for _ in self.siblings]
        for place, row in enumerate(self.rows):
            found[row].append(place)
        return found

    def marks(self, row: int) -> Marks:
        """What of its fields a request may point at a row by."""
        known = self._marks.get(row)
        if known is None:
            known = self._marks[row] = _marks([self.texts[place] for place in self.places[row]])
        return known

    @functools.cached_property
    def extremes(self) -> list[frozenset[Extreme]]:
        """For each row what it alone is the most or least of. An id is more or less than no other."""
        fields = [[(self.names[place], self.texts[place]) for place in row] for row in self.places]
        return extremes([[field for field in row if not is_id(field[0])] for row in fields])

    def find(self, needle: bytes) -> Iterator[int]:
        """The places of the fields in which ``needle`` (squashed) stands."""
        if self._folds is None:
            folds = list(map(squash, self.texts))
            starts = list(accumulate((len(fold) + 1 for fold in folds[:-1]), initial=0))
            self._folds = b"\n".join(folds), starts
        folded, starts = self._folds
        found = folded.find(needle) if self.texts else -1
        while found >= 0:
            place = bisect_right(starts, found) - 1
            yield place
            found = folded.find(needle, starts[place + 1]) if place + 1 < len(starts) else -1

    def has_alone(self, part: int, mark: object, spelt: str) -> bool:
        """Whether one row alone has ``mark``, which one of them has, among its marks of kind ``part``.

        ``spelt`` stands in every field that gives a row this mark.
        """
        alone = self._alone.get((part, mark))
        if alone is None:
            having = (row for row in self._holding(spelt) if mark in self.marks(row)[part])
            first = next(having, None)
            alone = self._alone[part, mark] = all(row == first for row in having)
        return alone

    def called_alone(self, word: str, address: str) -> bool:
        """Whether no other address of these rows has ``word`` in the name before its @."""
        pairs = (pair for row in self._holding(word) for pair in self.marks(row).people)
        return all(other == address for each, other in pairs if each == word)

    def told_alone(self, row: int, words: Collection[str]) -> bool:
        """Whether the free text of this row, and of no other, holds one of ``words``."""
        rows: dict[str, set[int]] = {word: set() for word in words}
        for number, texts in self.prose:
            for word in {canonical(token) for text in texts for token in tokens(text[:MAX_PROSE])} & rows.keys():
                rows[word].add(number)
        return any(having == {row} for having in rows.values())

    def _holding(self, text: str) -> Iterator[int]:
        """The numbers of the rows that may hold ``text``, in order."""
        needle = squash(text)
        # A letter beside ASCII may be composed with what stands next to it.
        if needle and text.isascii():
            return (self.rows[place] for place in self.find(needle))
        return iter(range(len(self.siblings)))


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a structured result: the table, and which row of it."""

    table: Table
    row: int

    @property
    def marks(self) -> Marks:
        """What of its fields a request may point at it by."""
        return self.table.marks(self.row)

    def chosen_by(self, request: Request) -> bool:
        """Whether the request points at this row and no other."""
        return (
            any(self._names(request))
            or any(self._values(request))
            or any(request.holds(" ".join(run)) and self._has_alone(_RUNS, run) for run in self.marks.runs)
            or (bool(request.superlatives) and not self.table.extremes[self.row].isdisjoint(request.superlatives))
            or self._found_alone(request)
        )

    def named_by(self, request: Request) -> bool:
        """Whether the request names a person or address that only this row holds. A number says not whose it is."""
        words = (word for word in self._names(request) if word in request.people and self._is_somebody(word))
        return any(words) or any("@" in text for text in self._values(request))

    def calls(self, request: Request, value: str) -> bool:
        """Whether ``value`` is an address of this row that the request calls by a name no other address of it has.

        "Invite Mara" means mara.lind@..., where no second Mara stands in the same result.
        """
        return any(
            address == value and word in request.people and self.table.called_alone(word, address)
            for word, address in self.marks.people
        )

    def concerns(self, parties: Collection[str]) -> bool:
        """Whether one of ``parties`` is a value of the row."""
        return any(self.table.texts[place] in parties for place in self.table.places[self.row])

    def named_among(self, request: Request) -> bool:
        """Whether the row holds somebody's name, an address or an account that the request names, be it one of many."""
        if any(map(self._is_somebody, self.marks.words & request.people)):
            return True
        return any(map(request.holds, self.marks.fields)) or self.chosen_by(request)

    def told_of(self, request: Request, parties: Collection[str]) -> bool:
        """Whether this row alone of its result speaks of one of ``parties``, or of a name of the request."""
        return self.table.told_alone(self.row, request.people | set(map(canonical, parties)))

    def filed_under(self, request: Request) -> bool:
        """Whether the request spells the whole name of the file that this row is, or an address of it."""
        fields = ((self.table.names[place], self.table.texts[place]) for place in self.table.places[self.row])
        spelt = {text for name, text in fields if _SUBJECTS.isdisjoint(split_name(name))}
        return any(text in spelt for text in self._values(request))

    def _is_somebody(self, word: str) -> bool:
        """Whether ``word`` stands in another field than a heading, where it would be what a text is about."""
        fields = ((self.table.names[place], self.table.texts[place]) for place in self.table.places[self.row])
        return any(
            word in map(canonical, tokens(text)) for name, text in fields if _HEADINGS.isdisjoint(split_name(name))
        )

    def _names(self, request: Request) -> Iterator[str]:
        """The names of the request that only this row holds."""
        words = self.marks.words & request.names
        return (word for word in words if len(word) >= MIN_NAME and self._has_alone(_WORDS, word))

    def _values(self, request: Request) -> Iterator[str]:
        """The whole values of this row alone that stand in the request."""
        return (text for text in self.marks.fields if request.holds(text) and self._has_alone(_FIELDS, text))

    def _has_alone(self, part: int, mark: str | Run) -> bool:
        # Between two words of a file's name something may have been dropped: one of them is looked for.
        return self.table.has_alone(part, mark, mark if isinstance(mark, str) else max(mark, key=len))

    def _found_alone(self, request: Request) -> bool:
        """The only row of a search in the user's words: a name among them, or two words side by side."""
        selectors = self.table.selectors
        if self.table.siblings[self.row] != 1 or not all(map(request.holds, selectors)):
            return False
        return any(
            len([word for word in text.split() if len(word) >= MIN_NAME]) >= MIN_RUN_WORDS
            or any(canonical(token) in request.names for token in tokens(text))
            for text in selectors
        )


def is_id(name: str) -> bool:
    """Whether a field of this name identifies its row."""
    bare = name.strip("_")
    return bare.casefold() == "id" or bare.endswith(("_id", "Id"))


def _marks(texts: Iterable[str]) -> Marks:
    """The marks of a row with fields of these ``texts``; a long field names nothing."""
    names: set[str] = set()
    fields: set[str] = set()
    runs: set[Run] = set()
    people: set[tuple[str, str]] = set()
    for text in texts:
        if len(text) > MAX_NAME_CHARS or len(text.split()) > SHORT_FIELD_WORDS:
            continue
        names |= {canonical(token) for token in tokens(text)}
        if any(mark in text.strip(".@/") for mark in ".@/"):
            fields.add(text)
        if "@" in text:
            people |= {(word, text) for word in _words(text.partition("@")[0]) if len(word) >= MIN_NAME}
        elif "/" not in text:
            runs |= _runs(_words(_EXTENSION.sub("", text)))
    return Marks(frozenset(names), frozenset(fields), frozenset(runs), frozenset(people))


def _words(text: str) -> list[str]:
    return [word.lower() for word in _PARTS.split(text) if word]


def _runs(words: Sequence[str]) -> set[Run]:
    """Words side by side, each a real word: "team notes" of team-notes-may.docx, nothing of 2024-05-15."""
    if len(words) < MIN_RUN_WORDS:
        return set()
    return {
        tuple(words[start:end])
        for start in range(len(words))
        for end in range(start + MIN_RUN_WORDS, min(len(words), start + MAX_RUN_WORDS) + 1)
        if all(len(word) >= MIN_NAME and word.isalpha() for word in words[start:end])
    }
