"""Sentences of a request, and the actions they ask for.

One pass over the words: source phrases and quotations are taken out, verb phrases are looked up, and each that is
negated, only asked about, or part of a text to be sent is told from those that ask. Work per word is bounded by the
vocabulary, so the whole is linear.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agentguard.flow.contradiction import is_calendar_word
from agentguard.flow.tokens import OPAQUE, Token, split
from agentguard.flow.vocabulary import Noun, Phrase, Vocabulary

__all__ = ["MAX_WORDS", "Action", "Sentence", "sentences"]

MAX_WORDS = 20_000
# How far the parts of a separable phrase may stand apart, and how far a negation reaches back.
MAX_GAP = 14
REACH = 8
# A verb without its enclitic pronouns is no shorter.
SHORTEST_VERB = 3
# What somebody's words may stand in.
HOLDERS = frozenset({"mail", "message", "channel", "file", "web", "record", "task", "event", "social", "code"})
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
class Sentence:
    """One sentence: its words, the actions it asks for, and the objects to whose words the user delegated."""

    words: list[str]
    actions: list[Action]
    delegated: frozenset[str]

    def says(self, phrase: Phrase) -> bool:
        """Whether ``phrase`` stands in the sentence, outside quotations and source phrases."""
        return any(_match(self.words, start, phrase) for start in range(len(self.words)))


def sentences(texts: Sequence[str], vocabulary: Vocabulary) -> list[Sentence]:
    """Every sentence of the request, read in order."""
    found: list[Sentence] = []
    seen: frozenset[str] = frozenset()
    left = MAX_WORDS
    for text in texts:
        for tokens in split(text, left):
            left -= len(tokens)
            reader = _Reader(tokens, vocabulary, seen)
            found.append(reader.read())
            seen = seen | reader.seen
    return found


@dataclass(slots=True)
class _Hit:
    start: int
    end: int
    families: dict[str, frozenset[str]]
    languages: set[str]
    negated: bool = False
    asks: bool = True


class _Reader:
    """Reads one sentence."""

    def __init__(self, tokens: list[Token], vocabulary: Vocabulary, seen: frozenset[str]) -> None:
        self._tokens = tokens
        self._vocabulary = vocabulary
        self._before = seen
        self._words = [token.word for token in tokens]
        self._languages = self._spoken()
        self._nouns = self._find_nouns()
        self._starts: set[int] = set()
        self._introduced: dict[int, bool] = {}
        self._wished = [False] * len(tokens)
        self.seen = frozenset(family for row in self._nouns.values() for family, _ in row)

    def read(self) -> Sentence:
        delegations = self._delegations()
        self._introduced = {index: bool(self._is("introduces", index)) for index, _ in delegations}
        self._remove_sources()
        hits = self._hits()
        self._suppress(hits)
        # "What Kestrel asks us to pay" hands over nothing by itself either.
        self._introduced |= {index: True for index, _ in delegations if self._wished[index]}
        self._starts = {hit.start for hit in hits}
        for position, hit in enumerate(hits):
            hit.negated = self._negated(hit, hits[position - 1] if position else None)
        return Sentence(self._words, self._actions(hits), self._standing(delegations, hits))

    def _spoken(self) -> set[str]:
        """Languages whose small words the sentence uses; all of them when it uses none."""
        codes = self._vocabulary.language_codes()
        score = {code: sum(word in self._vocabulary.words_of("common", code) for word in self._words) for code in codes}
        best = max(score.values(), default=0)
        return {code for code in codes if 2 * score[code] >= best} | {"own"}

    def _find_nouns(self) -> dict[int, list[tuple[str, bool]]]:
        """Object families by the place of their word; True marks a plural."""
        found: dict[int, list[tuple[str, bool]]] = {}
        index = 0
        while index < len(self._words):
            nouns: list[Noun] = [
                noun for noun in self._vocabulary.nouns_at(self._words, index) if noun.language in self._languages
            ]
            row = [(noun.family, noun.plural) for noun in nouns]
            row += [(family, False) for family in self._tokens[index].objects]
            if row:
                found[index] = row
            index += len(nouns[0].words) if nouns else 1
        return found

    def _is(self, role: str, index: int) -> int:
        """The length of a phrase with this role at ``index``; 0 for none."""
        if not 0 <= index < len(self._words):
            return 0
        rows = self._vocabulary.role(role, self._words[index])
        if not rows:
            return 0
        return max((len(row) for row in rows if tuple(self._words[index : index + len(row)]) == row), default=0)

    # Sources and delegation

    def _delegations(self) -> list[tuple[int, frozenset[str]]]:
        """Where the sentence delegates, and to whose words. A delegation that names nothing is to ``any``."""
        found: list[tuple[int, frozenset[str]]] = []
        for index, word in enumerate(self._words):
            for row in self._vocabulary.role("delegates", word):
                end = _match_parts(self._words, index, _gapped(row))
                # "Do the following tasks" hands out the user's own list.
                own = any(self._is("own_list", place) for place in range(index - 2, end + 2))
                if end and not own and not self._negates_near(index):
                    near = range(index, min(end + 6, len(self._words)))
                    families = {family for place in near for family, _ in self._nouns.get(place, ())}
                    found.append((index, frozenset((families & HOLDERS) or (self._before & HOLDERS) or {"any"})))
        return found

    def _standing(self, delegations: list[tuple[int, frozenset[str]]], hits: list[_Hit]) -> frozenset[str]:
        """The families delegated to. "According to the note" delegates an action only: one must stand before it."""
        acting = [hit.start for hit in hits if hit.asks and not hit.negated and hit.families.keys() != {"read"}]
        first = min(acting, default=len(self._words))
        return frozenset().union(
            *(families for index, families in delegations if index > first or not self._introduced[index])
        )

    def _negates_near(self, index: int) -> bool:
        return any(self._is("negation", place) for place in range(max(0, index - 3), index))

    def _remove_sources(self) -> None:
        index = 0
        while index < len(self._words):
            end = self._source_end(index)
            if end > index:
                for place in range(index, end):
                    self._words[place] = ""
                    self._nouns.pop(place, None)
            index = max(end, index + 1)

    def _source_end(self, index: int) -> int:
        """Where a source phrase that starts here ends: "in an email I received", "according to the note from Bob"."""
        length = self._is("introduces", index)
        noun = self._noun_after(index + (length or (1 if self._is("source", index) else 0)))
        if not noun or not (length or self._is("source", index)):
            return 0
        tail = self._tail_end(noun)
        return tail or (self._author_end(noun) if length else 0)

    def _noun_after(self, start: int) -> int:
        """The end of the noun that follows articles and up to three other words; 0 when a clause ends first."""
        for place in range(start, min(start + 5, len(self._words))):
            if place > start and (self._tokens[place].pause or self._is("and", place)):
                return 0
            if place in self._nouns:
                end = place + 1
                while (
                    end in self._nouns
                    and not self._is("received", end)
                    and not self._tokens[end].pause
                    and end < place + 3
                ):
                    end += 1
                return end
        return 0

    def _author_end(self, start: int) -> int:
        """The end of "from Anna" behind a noun; ``start`` when there is none."""
        if not self._is("source", start) or start + 1 >= len(self._words) or self._tokens[start + 1].pause:
            return start
        end = start + 1
        while end < min(start + 4, len(self._words)) and self._tokens[end].capital and not self._tokens[end].pause:
            end += 1
        return end if end > start + 1 else start

    def _tail_end(self, start: int) -> int:
        """The end of a relative clause about how the thing came: "that Bob sent me this morning"."""
        if start < len(self._words) and not (
            self._is("relative", start) or self._is("received", start) or self._tokens[start].capital
        ):
            return 0
        for place in range(start, min(start + 7, len(self._words))):
            # German puts a comma before the relative clause.
            if (self._tokens[place].pause and place > start) or self._is("and", place):
                return 0
            if self._is("received", place):
                end = place + 1
                while end < len(self._words) and (self._is("me", end) or self._is("received", end)):
                    end += 1
                return end
        return 0

    # Verbs

    def _hits(self) -> list[_Hit]:
        found: list[_Hit] = []
        for index in range(len(self._words)):
            hit: _Hit | None = None
            whole = False
            for word in self._bases(index):
                for phrase in self._vocabulary.phrases.get(word, ()):
                    if phrase.language not in self._languages or not _match(self._words, index, phrase, word):
                        continue
                    if not self._may_be_verb(index, phrase):
                        continue
                    hit = hit or _Hit(index, index + 1, {}, set())
                    whole = whole or self._is_whole(index, phrase)
                    if whole and len(phrase.parts) == 1 and len(phrase.parts[0]) == 1:
                        continue
                    hit.end = max(hit.end, index + len(phrase.parts[0]))
                    hit.languages.add(phrase.language)
                    hit.families[phrase.family] = hit.families.get(phrase.family, frozenset()) | phrase.implied
            if hit:
                found.append(hit)
        return found

    def _is_whole(self, index: int, phrase: Phrase) -> bool:
        """Whether a separable phrase stands within one clause, so that its first word alone means nothing else."""
        if len(phrase.parts) == 1 or phrase.family == "pay":
            return False
        end = _match_parts(self._words, index, phrase.parts)
        return bool(end) and not any(
            self._tokens[place].pause or self._is("and", place) for place in range(index + 1, end)
        )

    def _bases(self, index: int) -> Iterator[str]:
        word = self._words[index]
        yield word
        if "es" not in self._languages:
            return
        for suffix in self._vocabulary.suffixes:
            base = word.removesuffix(suffix)
            if base != word and len(base) >= SHORTEST_VERB:
                yield base

    def _clause_start(self, index: int) -> bool:
        return index == 0 or self._tokens[index].pause or not self._words[index - 1]

    def _may_be_verb(self, index: int, phrase: Phrase) -> bool:
        """Whether an order may stand here, as against a noun, a report or a wish about somebody else."""
        if phrase.language == "own":
            return True
        if phrase.not_me and self._is("me", index + 1):
            return False
        if phrase.participle:
            return self._caused(index)
        if self._tokens[index].past and phrase.language in ("fr", "es"):
            return False
        if self._clause_start(index):
            return not (phrase.weak and self._is("noun_after", index + 1))
        before = self._words[index - 1]
        single = len(phrase.parts) == 1 and len(phrase.parts[0]) == 1
        if phrase.weak:
            if before in ("by", "via") and not self._words[index].endswith("ing"):
                return False
            lead = before in self._vocabulary.words_of("lead", phrase.language) or before.endswith("ly")
            return lead and not self._is("noun_after", index + 1)
        if phrase.language == "de" and self._tokens[index].capital:
            return False
        article = before in self._vocabulary.words_of("article", phrase.language)
        if phrase.language == "en" and article and index in self._nouns:
            # "The report to Ann" is no order to report to her.
            return False
        if (
            single
            and (article or (index in self._nouns and self._is("article", index - 1)))
            and self._reads_as_noun(index)
        ):
            return False
        if self._is("ability", index - 1) and index >= 2 and self._is("subject", index - 2):
            # "The least I can pay" is no order, "can I pay" may be one.
            return False
        if before in self._vocabulary.words_of("subject", phrase.language):
            return any(self._is("modal", place) for place in range(max(0, index - 4), index))
        return True

    def _reads_as_noun(self, index: int) -> bool:
        """After an article; but "que tu la supprimes" and "no lo envíes" have a pronoun there."""
        if self._languages & {"fr", "es"} and index >= 2:
            return not (self._is("lead", index - 2) or self._is("negation", index - 2) or self._is("filler", index - 2))
        return True

    def _caused(self, index: int) -> bool:
        for place in range(index - 1, max(-1, index - 12), -1):
            if self._is("no_causative", place):
                return False
            if self._is("causative", place) or self._lets_do(place, index):
                return True
            if self._tokens[place + 1].pause and place + 1 < index:
                return False
        return False

    def _lets_do(self, place: int, participle: int) -> bool:
        """ "Have the fee paid": the verb stands first and a thing between; "have you paid it" is a question."""
        between = participle - place > 1 and (self._is("article", place + 1) or place + 1 in self._nouns)
        return between and self._words[place] == "have" and self._clause_start(place)

    # What does not ask

    def _suppress(self, hits: list[_Hit]) -> None:
        silent = self._silent()
        self._wished = self._wished_by_others(hits)
        for position, hit in enumerate(hits):
            commanded = (
                position > 0 and hit.start == hits[position - 1].end and hits[position - 1].families.keys() == {"run"}
            )
            if silent[hit.start] or self._wished[hit.start] or commanded:
                hit.asks = False
        for position, hit in enumerate(hits):
            to_others = self._is("reports", hit.start) and not self._is("me", hit.start + 1)
            if to_others or self._is("reports_me", hit.start):
                self._silence_order_to_others(hit, hits[position + 1 : position + 1 + REACH])

    def _silence_order_to_others(self, hit: _Hit, following: list[_Hit]) -> None:
        """Somebody asked to pay the bill is sent a message; no payment is asked for."""
        for other in following:
            between = range(hit.start + 1, other.start + 1)
            if other.start > hit.start + REACH or any(
                self._tokens[place].pause or self._is("and", place) for place in between
            ):
                break
            other.asks = False

    def _wished_by_others(self, hits: list[_Hit]) -> list[bool]:
        """Words of "invoices Kestrel wants us to pay" and "bills we have to pay", which tell those that are meant."""
        wished = [False] * len(self._words)
        quiet = duty = False
        first = hits[0].start if hits else len(self._words)
        for index in range(first + 1, len(self._words)):
            quiet = quiet and not self._tokens[index].pause and not (duty and self._is("and", index))
            own = self._is("own_duty", index) and (
                (index - 1 in self._nouns and not self._tokens[index].pause) or self._is("relative", index - 1)
            )
            duty = bool(own) or (duty and quiet)
            quiet = quiet or bool(own or self._is("others_wish", index))
            wished[index] = quiet
        return wished

    def _silent(self) -> list[bool]:
        """Words in questions and in texts to be sent."""
        silent = [False] * len(self._words)
        quiet = forever = False
        for index in range(len(self._words)):
            if quiet and not forever and (self._tokens[index].pause or self._is("and", index)):
                quiet = False
            if not quiet and not self._is("no_question", index):
                forever = bool(self._is("ask_how", index))
                opens = self._clause_start(index) or self._is("and", index - 1)
                quiet = (
                    forever
                    or bool(
                        self._is("question", index) or self._is("reported", index) or self._is("when_question", index)
                    )
                    or bool(opens and self._is("past_question", index))
                )
            silent[index] = quiet
        return silent

    def _negated(self, hit: _Hit, previous: _Hit | None) -> bool:
        if self._negated_after(hit):
            return True
        if previous is not None and self._is("either", hit.start - 1):
            clause = any(self._tokens[place].pause for place in range(previous.start + 1, hit.start + 1))
            if previous.negated and not clause:
                return True
        for place in range(hit.start - 1, max(-1, hit.start - REACH - 1), -1):
            if self._tokens[place + 1].pause:
                return False
            if self._is("negation", place) or any(
                self._is("negation", place - back) > back for back in range(1, 4) if place >= back
            ):
                return not any(self._is("no_negation", place - back) > back for back in range(4) if place >= back)
            if not self._is("filler", place) and place not in self._starts and not self._is("either", place):
                return False
        return False

    def _negated_after(self, hit: _Hit) -> bool:
        """ "Send nothing", "envoie pas", "sende die Mail nicht"."""
        for place in range(hit.end, min(hit.end + 3, len(self._words))):
            if self._tokens[place].pause:
                return False
            if self._is("negates_after", place):
                return not self._exempt(place)
            if not self._is("filler", place):
                break
        if "de" not in self._languages:
            return False
        for place in range(hit.end, min(hit.end + MAX_GAP, len(self._words))):
            last = place + 1 == len(self._words) or self._tokens[place + 1].pause or self._is("and", place + 1)
            if self._tokens[place].pause:
                return False
            if self._words[place] == "nicht" and last:
                return True
        return False

    def _exempt(self, place: int) -> bool:
        return bool(self._is("no_negation", place)) or self._words[place + 1 : place + 2] in (
            ["more"],
            ["later"],
            ["less"],
        )

    # What it is done to

    def _actions(self, hits: list[_Hit]) -> list[Action]:
        """Each asking verb with what stands behind it, up to the next verb; no word is looked at for two of them."""
        found: list[tuple[_Hit, Action]] = []
        many = any(self._is("many", index) for index in range(len(self._words)))
        said, read, floor = self._before, 0, 0
        for position, hit in enumerate(hits):
            said |= {family for place in range(read, hit.start) for family, _ in self._nouns.get(place, ())}
            read = max(read, hit.start)
            if hit.asks:
                action = self._action(hit, range(hit.end, self._scope_end(position, hits)))
                if not action.objects:
                    self._look_back(action, hit, floor)
                action.many = many
                action.before = said
                found.append((hit, action))
            floor = max(floor, hit.end)
        self._share_objects(found)
        return [action for _, action in found]

    def _scope_end(self, position: int, hits: list[_Hit]) -> int:
        after = position + 1
        while after < len(hits) and hits[after].start < hits[position].end:
            after += 1
        end = hits[after].start if after < len(hits) else len(self._words)
        # What a clause of its own says is no object: "tell Bob that the file is late".
        clauses = (place for place in range(hits[position].end + 1, end) if self._is("content", place))
        return next(clauses, end)

    def _action(self, hit: _Hit, places: range) -> Action:
        nouns = [noun for place in places for noun in self._nouns.get(place, ())]
        taken_from = self._place_phrase(places) if "delete" in hit.families else range(0)
        direct = [place for place in places if place not in taken_from]
        known = _families(self._nouns, direct)
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
            person=any(self._tokens[place].capital and self._words[place] not in ("", "i") for place in places),
            vague=not nouns or any(self._is("vague", place) for place in places[:2]),
            listed=self._listed(places, pays="pay" in hit.families),
            stated=self._stated(places),
        )

    def _said(self, hit: _Hit, places: Sequence[int]) -> frozenset[str]:
        words = frozenset(self._words[place] for place in places)
        return words | {word.removesuffix("s") for word in words} | {self._words[hit.start]}

    def _points(self, places: Sequence[int]) -> bool:
        return any(self._is("pronoun", place) and not self._leads_noun(place) for place in places[:4])

    def _leads_noun(self, place: int) -> bool:
        """Whether "les" or "das" is an article here and no pronoun."""
        last = place + 1 >= len(self._words) or self._tokens[place + 1].pause
        return (
            bool(self._is("article", place)) and not last and (self._is_content(place + 1) or place + 1 in self._nouns)
        )

    def _is_content(self, place: int) -> bool:
        """Whether the word names a thing: none of the small words, no name, number or address."""
        word = self._words[place]
        # German writes every noun with a capital.
        name = self._tokens[place].capital and {"en", "de"} & self._languages != {"de"}
        if not word.isalpha() or name or word.endswith("ly"):
            return False
        return not any(self._is(role, place) for role in _SMALL_ROLES)

    def _place_phrase(self, places: range) -> range:
        """Where a thing is to be taken from: "from the file". Empty when only the place tells what the thing is."""
        start = next((place for place in places if self._is("place", place)), places.stop)
        before = range(places.start, start)
        if not any(place in self._nouns or self._is_content(place) for place in before):
            return range(0)
        ends = (place for place in range(start, places.stop) if self._tokens[place].pause or self._is("and", place))
        taken_from = range(start, next(ends, places.stop))
        # Files are in a folder, typos are in a file.
        return range(0) if any(self._is("container", place) for place in taken_from) else taken_from

    def _head(self, places: range) -> frozenset[str]:
        """Up to the first thing that is nobody; of "payment address" the address, of "20 euros rent" the euros."""
        people: frozenset[str] = frozenset()
        for place in places:
            families = {family for family, _ in self._nouns.get(place, ())}
            if families and families <= _WHO:
                people |= families
            elif "money" in families and place > places.start and self._is_figure(place - 1):
                return people | families
            elif families:
                last = place
                while last + 1 in places and last + 1 in self._nouns and not self._tokens[last + 1].pause:
                    last += 1
                return people | {family for family, _ in self._nouns[last]}
        return people

    def _is_figure(self, place: int) -> bool:
        return self._words[place].isdigit() or self._words[place] in self._vocabulary.numbers

    def _listed(self, places: range, *, pays: bool) -> int:
        """How many things or people are listed: "to Anna and Bob" 2, "20 euros to Anna and 30 to Bob" 2."""
        listed = 1
        asides = self._asides(places)
        for place in places[1:]:
            joined = self._is("coordination", place)
            dated = not joined and (is_calendar_word(self._words[place]) or is_calendar_word(self._words[place - 1]))
            if place in asides or dated or not (joined or self._tokens[place].comma):
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
            any(self._tokens[each].capital or self._words[each] == OPAQUE for each in near)
            or self._is("article", place)
            or place in self._nouns
        )

    def _asides(self, places: range) -> set[int]:
        """Both commas round an amount that says how much, and is no further thing: "the rent, 900 euros, to"."""
        commas = [place for place in places if self._tokens[place].comma]
        return {
            place
            for start, end in pairwise(commas)
            if end - start <= 3 and all(self._is_sum(each) for each in range(start, end))
            for place in (start, end)
        }

    def _is_sum(self, place: int) -> bool:
        money = any(family == "money" for family, _ in self._nouns.get(place, ()))
        return money or self._is_figure(place)

    def _stated(self, places: range) -> int:
        """The number before a plural: "three mails" 3; 0 when there is none."""
        stated = [
            number
            for place in places
            if any(plural for near in (place + 1, place + 2) for _, plural in self._nouns.get(near, ()))
            if (number := self._vocabulary.numbers.get(self._words[place]) or _small(self._words[place]))
        ]
        return max(stated, default=0)

    def _look_back(self, action: Action, hit: _Hit, floor: int) -> None:
        """The object may stand before the verb: "die Datei löschen", "the old draft: delete it"."""
        place = hit.start
        nouns: list[tuple[str, bool]] = []
        while place > floor and not self._is("and", place - 1):
            place -= 1
            nouns += self._nouns.get(place, [])
            if self._tokens[place].pause:
                break
        action.objects = frozenset(family for family, _ in nouns)
        if not action.unknown:
            action.direct = action.head = action.objects
        action.plural = frozenset(family for family, plural in nouns if plural)

    def _share_objects(self, found: list[tuple[_Hit, Action]]) -> None:
        """Both verbs of "read and delete the mail" have the object that stands behind the second."""
        for index in range(len(found) - 2, -1, -1):
            (hit, action), (next_hit, next_action) = found[index], found[index + 1]
            gap = range(hit.end, next_hit.start)
            if all(self._is("and", place) or self._is("either", place) for place in gap):
                action.objects |= next_action.objects
                action.direct |= next_action.direct
                action.head = action.head or next_action.head
                action.plural |= next_action.plural
                action.words, action.direct_words = next_action.words, next_action.direct_words
                action.unknown = next_action.unknown


def _families(nouns: dict[int, list[tuple[str, bool]]], places: Sequence[int]) -> frozenset[str]:
    return frozenset(family for place in places for family, _ in nouns.get(place, ()))


def _small(word: str) -> int:
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 2 else 0


def _gapped(row: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    parts: list[tuple[str, ...]] = [()]
    for word in row:
        if word == "+":
            parts.append(())
        else:
            parts[-1] = (*parts[-1], word)
    return tuple(part for part in parts if part)


def _match(words: list[str], start: int, phrase: Phrase, first: str | None = None) -> bool:
    """Whether ``phrase`` stands at ``start``; ``first`` is the first word without its enclitic pronouns."""
    if first is None or first == words[start]:
        return _match_parts(words, start, phrase.parts) > 0
    shown = [first, *words[start + 1 : start + len(phrase.parts) * MAX_GAP + 6]]
    return _match_parts(shown, 0, phrase.parts) > 0


def _match_parts(words: list[str], start: int, parts: tuple[tuple[str, ...], ...]) -> int:
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
