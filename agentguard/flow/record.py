"""One row of a structured result, and whether the user's request points at it.

A request points at a row by what only that row of its result holds: a name, a number, an address, a file; the words of
a file's name; being the largest or newest of its list, when the request chooses so; or by a search in the user's own
words that found nothing else.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agentguard.flow.forms import canonical, tokens
from agentguard.flow.request import Request
from agentguard.flow.superlative import Extreme, extremes

__all__ = ["Record", "is_id", "settle"]

# A field of a record longer than this many words names nothing.
SHORT_FIELD_WORDS = 4
# A shared word shorter than this is no name.
MIN_NAME = 3
# Words of a file's name that have to stand together in the request, and how many are looked for at most.
MIN_RUN_WORDS = 2
MAX_RUN_WORDS = 5
MAX_NAME_CHARS = 100

_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,5}")
_PARTS = re.compile(r"[-_.\s+]+")

Run = tuple[str, ...]


@dataclass(eq=False, slots=True)
class Record:
    """One row of a mixed result.

    ``siblings`` counts the rows it came among; ``selectors`` are the arguments of the call that chose it. What is
    collected from its fields stands in ``words``, ``fields``, ``runs``, ``people`` and ``cells``; what of it no other
    row of the same result has, once ``settle`` was called, in ``rare``, ``whole``, ``named``, ``called`` and
    ``extremes``.
    """

    selectors: tuple[str, ...]
    siblings: int = 1
    words: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    runs: set[Run] = field(default_factory=set)
    people: set[tuple[str, str]] = field(default_factory=set)
    cells: list[tuple[str, str]] = field(default_factory=list)
    rare: frozenset[str] = frozenset()
    whole: frozenset[str] = frozenset()
    named: frozenset[Run] = frozenset()
    called: frozenset[tuple[str, str]] = frozenset()
    extremes: frozenset[Extreme] = frozenset()

    def collect(self, name: str, text: str) -> None:
        """Take note of one structured field."""
        if not is_id(name):
            self.cells.append((name, text))
        if len(text.split()) > SHORT_FIELD_WORDS or len(text) > MAX_NAME_CHARS:
            return
        self.words |= {canonical(token) for token in tokens(text)}
        if any(mark in text.strip(".@/") for mark in ".@/"):
            self.fields.add(text)
        if "@" in text:
            self.people |= {(word, text) for word in _words(text.partition("@")[0]) if len(word) >= MIN_NAME}
        elif "/" not in text:
            self.runs |= _runs(_words(_EXTENSION.sub("", text) if _EXTENSION.search(text) else text))

    def chosen_by(self, request: Request) -> bool:
        """Whether the request points at this row and no other."""
        return (
            bool(self.rare & request.names)
            or any(map(request.holds, self.whole))
            or any(request.holds(" ".join(run)) for run in self.named)
            or not self.extremes.isdisjoint(request.superlatives)
            or self._found_alone(request)
        )

    def named_by(self, request: Request) -> bool:
        """Whether the request names a person or address that only this row holds. A number says not whose it is."""
        named = (word for word in self.rare & request.names if not any(map(str.isdigit, word)))
        return any(named) or any(request.holds(text) for text in self.whole if "@" in text)

    def calls(self, request: Request, value: str) -> bool:
        """Whether ``value`` is an address of this row that the request calls by a name no other address of it has.

        "Invite Mara" means mara.lind@..., where no second Mara stands in the same result.
        """
        return any(word in request.names for word, address in self.called if address == value)

    def _found_alone(self, request: Request) -> bool:
        """The only row of a search in the user's words: a name among them, or two words side by side."""
        if self.siblings != 1 or not all(map(request.holds, self.selectors)):
            return False
        return any(
            len([word for word in text.split() if len(word) >= MIN_NAME]) >= MIN_RUN_WORDS
            or any(canonical(token) in request.names for token in tokens(text))
            for text in self.selectors
        )


def settle(records: Sequence[Record]) -> None:
    """Find out what each row of one result has alone."""
    words, fields, runs = (_counts(getattr(record, part) for record in records) for part in ("words", "fields", "runs"))
    addresses = Counter(word for word, _ in {pair for record in records for pair in record.people})
    standing = extremes([record.cells for record in records])
    for record, outstanding in zip(records, standing, strict=True):
        record.rare = frozenset(word for word in record.words if words[word] == 1 and len(word) >= MIN_NAME)
        record.whole = frozenset(text for text in record.fields if fields[text] == 1)
        record.named = frozenset(run for run in record.runs if runs[run] == 1)
        record.called = frozenset(pair for pair in record.people if addresses[pair[0]] == 1)
        record.extremes = outstanding


def is_id(name: str) -> bool:
    """Whether a field of this name identifies its row."""
    bare = name.strip("_")
    return bare.casefold() == "id" or bare.endswith(("_id", "Id"))


def _counts(parts: Iterable[set[object]]) -> Counter[object]:
    return Counter(each for part in parts for each in part)


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
