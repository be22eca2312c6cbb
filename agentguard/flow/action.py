"""An action that a request asks for: its verb, what it is done to, and how many times.

One pass over the words behind each verb, up to the next one; no word is looked at for two of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from agentguard.flow.contradiction import is_calendar_word
from agentguard.flow.tokens import OPAQUE
from agentguard.flow.wording import Wording

__all__ = ["Action", "Hit", "actions"]

_USER = frozenset({"me", "us", "mir", "uns", "moi", "nous"})
_WHO = frozenset({"contact", "account"})
# Small words, which name no thing.
_SMALL_ROLES = ("article", "pronoun", "vague", "common", "many", "filler", "lead", "source", "coordination", "me")


@dataclass(slots=True)
class Action:
    """One verb of the request: its families with the objects each implies, and what it is done to.

    ``direct`` leaves out where something is taken from ("remove the typos from the file"), ``head`` all but the thing
    itself ("send a list of payments"). ``unknown``: it is done to something of no kind that is known.
    """

    families: dict[str, frozenset[str]]
    negated: bool
    objects: frozenset[str] = frozenset()
    direct: frozenset[str] = frozenset()
    head: frozenset[str] = frozenset()
    unknown: bool = False
    plural: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    direct_words: frozenset[str] = frozenset()
    before: frozenset[str] = frozenset()
    pronoun: bool = False
    person: bool = False
    to_me: bool = False
    vague: bool = False
    many: bool = False
    listed: int = 1
    stated: int = 0

    def implied_by(self, families: Sequence[str]) -> frozenset[str]:
        """What verbs of these families are done to by themselves."""
        return frozenset().union(*(self.families[family] for family in families))

    def count(self, objects: frozenset[str]) -> int | None:
        """How many such actions are meant; None when it speaks of many."""
        if self.many or (not self.stated and self.plural & (objects | {"contact"})):
            return None
        return self.stated or self.listed


@dataclass(slots=True)
class Hit:
    """A verb phrase found in a sentence: its place, and whether it asks or forbids."""

    start: int
    end: int
    families: dict[str, frozenset[str]]
    languages: set[str]
    negated: bool = False
    asks: bool = True


def actions(text: Wording, hits: list[Hit], before: frozenset[str]) -> list[Action]:
    """Each verb that asks, with what it is done to; ``before`` are the objects spoken of in earlier sentences."""
    return _Scopes(text, before).actions(hits)


class _Scopes:
    """What stands behind each verb of one sentence."""

    def __init__(self, text: Wording, before: frozenset[str]) -> None:
        self._text = text
        self._before = before

    def actions(self, hits: list[Hit]) -> list[Action]:
        """Each asking verb with what stands behind it, up to the next verb; no word is looked at for two of them."""
        found: list[tuple[Hit, Action]] = []
        many = any(self._text.has("many", index) for index in range(len(self._text.words)))
        said, read, floor = self._before, 0, 0
        for position, hit in enumerate(hits):
            said |= {family for place in range(read, hit.start) for family, _ in self._text.nouns.get(place, ())}
            read = max(read, hit.start)
            if hit.asks:
                # What somebody wants to be reminded of is done to nothing now.
                end = hit.end if self._text.has("reports_me", hit.start) else self._scope_end(position, hits)
                action = self._action(hit, range(hit.end, end))
                if not action.objects:
                    self._look_back(action, hit, floor)
                action.many = many
                action.before = said
                found.append((hit, action))
            floor = max(floor, hit.end)
        self._share_objects(found)
        return [action for _, action in found]

    def _scope_end(self, position: int, hits: list[Hit]) -> int:
        after = position + 1
        while after < len(hits) and hits[after].start < hits[position].end:
            after += 1
        end = hits[after].start if after < len(hits) else len(self._text.words)
        # What a clause of its own says is no object: "tell Bob that the file is late".
        clauses = (place for place in range(hits[position].end + 1, end) if self._text.has("content", place))
        return next(clauses, end)

    def _action(self, hit: Hit, places: range) -> Action:
        nouns = [noun for place in places for noun in self._text.nouns.get(place, ())]
        taken_from = self._place_phrase(places) if "delete" in hit.families else range(0)
        direct = [place for place in places if place not in taken_from]
        known = self._text.families(direct)
        return Action(
            families=hit.families,
            negated=hit.negated,
            objects=frozenset(family for family, _ in nouns),
            direct=known,
            head=self._head(places),
            unknown=not known and any(map(self._is_content, direct)) and not self._points(direct),
            plural=frozenset(family for family, plural in nouns if plural),
            words=self._said(hit, places),
            direct_words=self._said(hit, direct),
            pronoun=self._points(direct),
            to_me=not _USER.isdisjoint(self._text.words[hit.end : hit.end + 1]),
            person=any(
                self._text.tokens[place].capital and self._text.words[place] not in ("", "i") for place in places
            ),
            vague=not nouns or any(self._text.has("vague", place) for place in places[:2]),
            listed=self._listed(places, pays="pay" in hit.families),
            stated=self._stated(places),
        )

    def _said(self, hit: Hit, places: Sequence[int]) -> frozenset[str]:
        words = frozenset(self._text.words[place] for place in places)
        return words | {word.removesuffix("s") for word in words} | {self._text.words[hit.start]}

    def _points(self, places: Sequence[int]) -> bool:
        return any(self._text.has("pronoun", place) and not self._leads_noun(place) for place in places[:4])

    def _leads_noun(self, place: int) -> bool:
        """Whether "les" or "das" is an article here and no pronoun."""
        last = place + 1 >= len(self._text.words) or self._text.tokens[place + 1].pause
        return (
            bool(self._text.has("article", place))
            and not last
            and (self._is_content(place + 1) or place + 1 in self._text.nouns)
        )

    def _is_content(self, place: int) -> bool:
        """Whether the word names a thing: none of the small words, no name, number or address."""
        word = self._text.words[place]
        # German writes every noun with a capital.
        name = self._text.tokens[place].capital and {"en", "de"} & self._text.languages != {"de"}
        if not word.isalpha() or name or word.endswith("ly"):
            return False
        return not any(self._text.has(role, place) for role in _SMALL_ROLES)

    def _place_phrase(self, places: range) -> range:
        """Where a thing is to be taken from: "from the file". Empty when only the place tells what the thing is."""
        start = next((place for place in places if self._text.has("place", place)), places.stop)
        before = range(places.start, start)
        if not any(place in self._text.nouns or self._is_content(place) for place in before):
            return range(0)
        ends = (
            place
            for place in range(start, places.stop)
            if self._text.tokens[place].pause or self._text.has("and", place)
        )
        taken_from = range(start, next(ends, places.stop))
        # Files are in a folder, typos are in a file.
        return range(0) if any(self._text.has("container", place) for place in taken_from) else taken_from

    def _head(self, places: range) -> frozenset[str]:
        """Up to the first thing that is nobody; of "payment address" the address, of "20 euros rent" the euros."""
        people: frozenset[str] = frozenset()
        for place in places:
            families = {family for family, _ in self._text.nouns.get(place, ())}
            if families and families <= _WHO:
                people |= families
            elif "money" in families and place > places.start and self._is_figure(place - 1):
                return people | families
            elif families:
                last = place
                while last + 1 in places and last + 1 in self._text.nouns and not self._text.tokens[last + 1].pause:
                    last += 1
                # "Refund policy": a policy, of no kind that is known.
                named = last + 1 not in places or not self._follows_noun(last + 1)
                return people | {family for family, _ in self._text.nouns[last] if named}
        return people

    def _follows_noun(self, place: int) -> bool:
        """Whether the word is the second one of an English compound."""
        english = self._text.languages <= {"en", "own"} and self._text.words[place - 1] != OPAQUE
        if not english or self._text.tokens[place].pause or self._text.has("adverb", place):
            return False
        return self._is_content(place) and not is_calendar_word(self._text.words[place])

    def _is_figure(self, place: int) -> bool:
        return self._text.words[place].isdigit() or self._text.words[place] in self._text.vocabulary.numbers

    def _listed(self, places: range, *, pays: bool) -> int:
        """How many things or people are listed: "to Anna and Bob" 2, "20 euros to Anna and 30 to Bob" 2."""
        listed = 1
        asides = self._asides(places)
        for place in places[1:]:
            joined = self._text.has("coordination", place)
            dated = not joined and (
                is_calendar_word(self._text.words[place]) or is_calendar_word(self._text.words[place - 1])
            )
            if place in asides or dated or not (joined or self._text.tokens[place].comma):
                continue
            thing = place + 1 if joined else place
            listed += self._is_item(thing, places.stop) or (
                joined and pays and thing < places.stop and self._is_figure(thing)
            )
        return listed

    def _is_item(self, place: int, end: int) -> bool:
        if place >= end:
            return False
        near = range(place, min(place + 2, end))
        return bool(
            any(self._text.tokens[each].capital or self._text.words[each] == OPAQUE for each in near)
            or self._text.has("article", place)
            or place in self._text.nouns
        )

    def _asides(self, places: range) -> set[int]:
        """Both commas round an amount that says how much, and is no further thing: "the rent, 900 euros, to"."""
        commas = [place for place in places if self._text.tokens[place].comma]
        return {
            place
            for start, end in pairwise(commas)
            if end - start <= 3 and all(self._is_sum(each) for each in range(start, end))
            for place in (start, end)
        }

    def _is_sum(self, place: int) -> bool:
        money = any(family == "money" for family, _ in self._text.nouns.get(place, ()))
        return money or self._is_figure(place)

    def _stated(self, places: range) -> int:
        """The number before a plural: "three mails" 3; 0 when there is none."""
        stated = [
            number
            for place in places
            if any(plural for near in (place + 1, place + 2) for _, plural in self._text.nouns.get(near, ()))
            if (number := self._text.vocabulary.numbers.get(self._text.words[place]) or _small(self._text.words[place]))
        ]
        return max(stated, default=0)

    def _look_back(self, action: Action, hit: Hit, floor: int) -> None:
        """The object may stand before the verb: "die Datei löschen", "the old draft: delete it"."""
        place = hit.start
        nouns: list[tuple[str, bool]] = []
        while place > floor and not self._text.has("and", place - 1):
            place -= 1
            nouns += self._text.nouns.get(place, [])
            if self._text.tokens[place].pause:
                break
        action.objects = frozenset(family for family, _ in nouns)
        if not action.unknown:
            action.direct = action.head = action.objects
        action.plural = frozenset(family for family, plural in nouns if plural)

    def _share_objects(self, found: list[tuple[Hit, Action]]) -> None:
        """Both verbs of "read and delete the mail" have the object that stands behind the second."""
        for index in range(len(found) - 2, -1, -1):
            (hit, action), (next_hit, next_action) = found[index], found[index + 1]
            gap = range(hit.end, next_hit.start)
            if all(self._text.has("and", place) or self._text.has("either", place) for place in gap):
                action.objects |= next_action.objects
                action.direct |= next_action.direct
                action.head = action.head or next_action.head
                action.plural |= next_action.plural
                action.words, action.direct_words = next_action.words, next_action.direct_words
                action.unknown = next_action.unknown


def _small(word: str) -> int:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 2 else 0
