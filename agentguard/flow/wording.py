"""The words of one sentence: which things they name, and which small words turn the meaning of others.

What tells where something is to be found ("in an email I received", "according to the note from Bob") is taken out:
it asks for nothing. Work per word is bounded by the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentguard.flow.tokens import Token
from agentguard.flow.vocabulary import Noun, Phrase, Vocabulary

__all__ = ["MAX_GAP", "Wording", "gapped", "match", "match_parts"]

# How far the parts of a separable phrase may stand apart.
MAX_GAP = 14


class Wording:
    """One sentence.

    ``words`` are folded, with an empty one for each that was taken out; ``nouns`` holds by the place of a word the
    object families it names, each with whether it is a plural. ``languages`` are those whose small words it uses.

    Args:
        tokens: the sentence.
        vocabulary: verb and object families.
    """

    def __init__(self, tokens: list[Token], vocabulary: Vocabulary) -> None:
        self.tokens = tokens
        self.vocabulary = vocabulary
        self.words = [token.word for token in tokens]
        self.languages = self._spoken()
        self.nouns = self._find_nouns()

    def has(self, role: str, index: int) -> int:
        """The length of a phrase with this role at ``index``; 0 for none."""
        if not 0 <= index < len(self.words):
            return 0
        rows = self.vocabulary.role(role, self.words[index])
        if not rows:
            return 0
        return max((len(row) for row in rows if tuple(self.words[index : index + len(row)]) == row), default=0)

    def starts_clause(self, index: int) -> bool:
        """Whether a clause begins at ``index``."""
        return index == 0 or self.tokens[index].pause or not self.words[index - 1]

    def families(self, places: Iterable[int]) -> frozenset[str]:
        """The object families named at ``places``."""
        return frozenset(family for place in places for family, _ in self.nouns.get(place, ()))

    def opaque_families(self, index: int) -> tuple[str, ...]:
        """The families of an address or a file name at ``index``; none of a plain word."""
        return self.tokens[index].objects if index < len(self.tokens) and not self.tokens[index].pause else ()

    def remove_sources(self) -> None:
        """Take out every phrase that tells where something is to be found."""
        index = 0
        while index < len(self.words):
            end = self._source_end(index)
            if end > index:
                for place in range(index, end):
                    self.words[place] = ""
                    self.nouns.pop(place, None)
            index = max(end, index + 1)

    def _source_end(self, index: int) -> int:
        """Where a source phrase that starts here ends: "in an email I received", "according to the note from Bob"."""
        length = self.has("introduces", index)
        noun = self._noun_after(index + (length or (1 if self.has("source", index) else 0)))
        if not noun or not (length or self.has("source", index)):
            return 0
        tail = self._tail_end(noun)
        return tail or (self._author_end(noun) if length else 0)

    def _noun_after(self, start: int) -> int:
        """The end of the noun that follows articles and up to three other words; 0 when a clause ends first."""
        for place in range(start, min(start + 5, len(self.words))):
            if place > start and (self.tokens[place].pause or self.has("and", place)):
                return 0
            if place in self.nouns:
                end = place + 1
                while (
                    end in self.nouns
                    and not self.has("received", end)
                    and not self.tokens[end].pause
                    and end < place + 3
                ):
                    end += 1
                return end
        return 0

    def _author_end(self, start: int) -> int:
        """The end of "from Anna" behind a noun; ``start`` when there is none."""
        if not self.has("source", start) or start + 1 >= len(self.words) or self.tokens[start + 1].pause:
            return start
        end = start + 1
        while end < min(start + 4, len(self.words)) and self.tokens[end].capital and not self.tokens[end].pause:
            end += 1
        return end if end > start + 1 else start

    def _tail_end(self, start: int) -> int:
        """The end of a relative clause about how the thing came: "that Bob sent me this morning"."""
        if start < len(self.words) and not (
            self.has("relative", start) or self.has("received", start) or self.tokens[start].capital
        ):
            return 0
        for place in range(start, min(start + 7, len(self.words))):
            # German puts a comma before the relative clause.
            if (self.tokens[place].pause and place > start) or self.has("and", place):
                return 0
            if self.has("received", place):
                end = place + 1
                while end < len(self.words) and (self.has("me", end) or self.has("received", end)):
                    end += 1
                return end
        return 0

    def _spoken(self) -> set[str]:
        """Languages whose small words the sentence uses; all of them when it uses none."""
        codes = self.vocabulary.language_codes()
        score = {code: sum(word in self.vocabulary.words_of("common", code) for word in self.words) for code in codes}
        best = max(score.values(), default=0)
        return {code for code in codes if 2 * score[code] >= best} | {"own"}

    def _find_nouns(self) -> dict[int, list[tuple[str, bool]]]:
        """Object families by the place of their word; True marks a plural."""
        found: dict[int, list[tuple[str, bool]]] = {}
        index = 0
        while index < len(self.words):
            nouns: list[Noun] = [
                noun for noun in self.vocabulary.nouns_at(self.words, index) if noun.language in self.languages
            ]
            if not nouns and self.tokens[index].capital and "de" in self.languages:
                nouns = self.vocabulary.compound(self.words[index])
            row = [(noun.family, noun.plural) for noun in nouns]
            row += [(family, False) for family in self.tokens[index].objects]
            if row:
                found[index] = row
            index += len(nouns[0].words) if nouns else 1
        return found


def gapped(row: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The parts of a phrase between its gap marks."""
    parts: list[tuple[str, ...]] = [()]
    for word in row:
        if word == "+":
            parts.append(())
        else:
            parts[-1] = (*parts[-1], word)
    return tuple(part for part in parts if part)


def match(words: list[str], start: int, phrase: Phrase, first: str | None = None) -> bool:
    """Whether ``phrase`` stands at ``start``; ``first`` is the first word without its enclitic pronouns."""
    if first is None or first == words[start]:
        return match_parts(words, start, phrase.parts) > 0
    shown = [first, *words[start + 1 : start + len(phrase.parts) * MAX_GAP + 6]]
    return match_parts(shown, 0, phrase.parts) > 0


def match_parts(words: list[str], start: int, parts: tuple[tuple[str, ...], ...]) -> int:
    """The end of the phrase when it stands at ``start``, else 0."""
    head = parts[0]
    if tuple(words[start : start + len(head)]) != head:
        return 0
    place = start + len(head)
    for part in parts[1:]:
        for candidate in range(place, min(place + MAX_GAP, len(words) - len(part) + 1)):
            if tuple(words[candidate : candidate + len(part)]) == part:
                place = candidate + len(part)
                break
        else:
            return 0
    return place
