"""Sentences of a request, and the actions they ask for.

One pass over the words: source phrases and quotations are taken out, verb phrases are looked up, and each that is
negated, only asked about, or part of a text to be sent is told from those that ask. Work per word is bounded by the
vocabulary, so the whole is linear.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from agentguard.flow.action import Action, Hit, actions
from agentguard.flow.mention import CONTENT, Mentions, Said
from agentguard.flow.tokens import split
from agentguard.flow.vocabulary import Phrase, Vocabulary
from agentguard.flow.wording import MAX_GAP, Wording, gapped, match, match_parts

__all__ = ["MAX_WORDS", "Sentence", "sentences"]

MAX_WORDS = 20_000
# How far a negation reaches back.
REACH = 8
# A verb without its enclitic pronouns is no shorter.
SHORTEST_VERB = 3
# What somebody's words may stand in.
HOLDERS = frozenset({"mail", "message", "channel", "file", "web", "record", "task", "event", "social", "code"})
# What may stand before an order.
_POLITE = frozenset({"please", "pls", "bitte", "hi", "hey", "hello", "hallo", "hola", "bonjour", "ok", "okay"})
# Roles of words that begin no order.
_SMALL = (
    "question", "past_question", "when_question", "decides", "common", "subject", "article", "pronoun", "negation",
    "source", "modal", "ability", "filler", "adverb", "coordination", "lead",
)  # fmt: skip
# What somebody's orders may be read in.
DOCUMENTS = frozenset({"mail", "message", "file", "web"})


@dataclass(slots=True)
class Sentence:
    """One sentence: its words, the actions it asks for, and the objects to whose words the user delegated.

    ``reported`` are actions that somebody else wishes for, ``affirms`` says "do so", ``doubts`` asks whether to,
    ``asks_first`` wants to be asked before, ``strange`` may be an order in words that nobody listed; ``said`` is what
    it says of the values in it.
    """

    words: list[str]
    actions: list[Action]
    delegated: frozenset[str]
    reported: list[Action] = field(default_factory=list)
    affirms: bool = False
    doubts: bool = False
    asks_first: bool = False
    strange: bool = False
    said: Said = field(default_factory=Said)

    def says(self, phrase: Phrase) -> bool:
        """Whether ``phrase`` stands in the sentence, outside quotations and source phrases."""
        return any(match(self.words, start, phrase) for start in range(len(self.words)))


def sentences(texts: Sequence[str], vocabulary: Vocabulary) -> list[Sentence]:
    """Every sentence of the request, read in order."""
    found: list[Sentence] = []
    seen: frozenset[str] = frozenset()
    left = MAX_WORDS
    for text in texts:
        content = works = False
        for tokens in split(text, left):
            left -= len(tokens)
            wording = Wording(tokens, vocabulary)
            begins = (works and tokens[0].colon) or (content and not wording.has("afterwards", 0))
            # A text to be translated goes on to the next blank line.
            if begins and not (content and tokens[0].blank):
                content, works = True, False
                found.append(Sentence([], [], frozenset(), said=CONTENT))
                continue
            reader = _Reader(wording, seen)
            found.append(reader.read())
            content, works = reader.opens_content, reader.works_on
            seen = seen | reader.seen
    return found


class _Reader:
    """Reads one sentence."""

    def __init__(self, text: Wording, seen: frozenset[str]) -> None:
        self._text = text
        self._before = seen
        self._starts: set[int] = set()
        self._introduced: dict[int, bool] = {}
        self._wished = [False] * len(text.words)
        self.seen = text.families(text.nouns)
        self.opens_content = self.works_on = False

    def read(self) -> Sentence:
        delegations = self._delegations()
        self._introduced = {index: bool(self._text.has("introduces", index)) for index, _ in delegations}
        self._text.remove_sources()
        hits = self._hits()
        self._suppress(hits)
        # "What Kestrel asks us to pay" hands over nothing by itself either.
        self._introduced |= {index: True for index, _ in delegations if self._wished[index]}
        self._starts = {hit.start for hit in hits}
        for position, hit in enumerate(hits):
            hit.negated = self._negated(hit, hits[position - 1] if position else None)
        led = any(not self._introduced[index] for index, _ in delegations)
        mentions = Mentions(self._text, hits, led=led)
        self.opens_content, self.works_on = mentions.open_content, mentions.works_on
        # "Kestrel wants us to pay" tells of a wish, and leaves nothing to Kestrel's words.
        self._introduced |= {index: True for index, _ in delegations if mentions.reported[index]}
        wished = [told and not own for told, own in zip(mentions.reported, mentions.content, strict=True)]
        reported = [replace(hit, asks=hit.asks and not hit.negated and wished[hit.start]) for hit in hits]
        for hit in hits:
            hit.asks = hit.asks and not mentions.silent[hit.start]
        delegated = self._standing(delegations, hits) | self._to_documents(hits)
        return Sentence(
            self._text.words,
            actions(self._text, hits, self._before),
            delegated,
            actions(self._text, reported, self._before) if any(mentions.reported) else [],
            mentions.affirms,
            any(mentions.doubted),
            any(self._text.has("asks_first", place) for place in range(len(self._text.words))),
            not hits and self._is_strange(),
            mentions.said(hits, reported),
        )

    def _is_strange(self) -> bool:
        """Whether the first word may be a verb that nobody listed: none of the small words, and no thing."""
        text = self._text
        first = next((place for place, word in enumerate(text.words) if word not in _POLITE), len(text.words))
        if first + 1 >= len(text.words) or first in text.nouns or not text.words[first].isalpha():
            return False
        return not any(text.has(role, first) for role in _SMALL) and text.words[first] not in text.vocabulary.numbers

    # Delegation

    def _delegations(self) -> list[tuple[int, frozenset[str]]]:
        """Where the sentence delegates, and to whose words. A delegation that names nothing is to ``any``."""
        found: list[tuple[int, frozenset[str]]] = []
        for index, word in enumerate(self._text.words):
            for row in self._text.vocabulary.role("delegates", word):
                end = match_parts(self._text.words, index, gapped(row))
                # "Do the following tasks" hands out the user's own list.
                own = any(self._text.has("own_list", place) for place in range(index - 2, end + 2))
                if end and not own and not self._negates_near(index):
                    near = range(index, min(end + 6, len(self._text.words)))
                    families = {family for place in near for family, _ in self._text.nouns.get(place, ())}
                    found.append((index, frozenset((families & HOLDERS) or (self._before & HOLDERS) or {"any"})))
        return found

    def _standing(self, delegations: list[tuple[int, frozenset[str]]], hits: list[Hit]) -> frozenset[str]:
        """The families delegated to. "According to the note" delegates an action only: one must stand before it."""
        acting = [hit.start for hit in hits if hit.asks and not hit.negated and hit.families.keys() != {"read"}]
        first = min(acting, default=len(self._text.words))
        return frozenset().union(
            *(families for index, families in delegations if index > first or not self._introduced[index])
        )

    def _to_documents(self, hits: list[Hit]) -> frozenset[str]:
        """What "pay the bill may.txt" and "read the mail and update my address accordingly" leave to a document."""
        found: frozenset[str] = frozenset()
        acting = [hit for hit in hits if hit.asks and not hit.negated and hit.families.keys() != {"read"}]
        if any("pay" in hit.families for hit in acting) and any(map(self._is_bill_in_file, self._text.nouns)):
            found |= {"file"}
        reads = next((hit.end for hit in hits if hit.families.keys() == {"read"}), len(self._text.words))
        for hit in acting:
            rest = range(hit.end, len(self._text.words))
            if hit.start > reads and any(self._text.has("accordingly", place) for place in rest):
                found |= self._text.families(range(reads, hit.start)) & DOCUMENTS
        return found

    def _is_bill_in_file(self, place: int) -> bool:
        behind = [place + 1] if self._text.has("place", place + 1) == 0 else [place + 2]
        named = any("file" in self._text.opaque_families(each) for each in behind)
        return named and "bill" in self._text.families([place])

    def _negates_near(self, index: int) -> bool:
        return any(self._text.has("negation", place) for place in range(max(0, index - 3), index))

    # Verbs

    def _hits(self) -> list[Hit]:
        found: list[Hit] = []
        for index in range(len(self._text.words)):
            hit: Hit | None = None
            whole = False
            for word in self._bases(index):
                for phrase in self._text.vocabulary.phrases.get(word, ()):
                    if phrase.language not in self._text.languages or not match(self._text.words, index, phrase, word):
                        continue
                    if not self._may_be_verb(index, phrase):
                        continue
                    hit = hit or Hit(index, index + 1, {}, set())
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
        end = match_parts(self._text.words, index, phrase.parts)
        return bool(end) and not any(
            self._text.tokens[place].pause or self._text.has("and", place) for place in range(index + 1, end)
        )

    def _bases(self, index: int) -> Iterator[str]:
        word = self._text.words[index]
        yield word
        if "es" not in self._text.languages:
            return
        for suffix in self._text.vocabulary.suffixes:
            base = word.removesuffix(suffix)
            if base != word and len(base) >= SHORTEST_VERB:
                yield base

    def _may_be_verb(self, index: int, phrase: Phrase) -> bool:
        """Whether an order may stand here, as against a noun, a report or a wish about somebody else."""
        if phrase.language == "own":
            return True
        if phrase.not_me and self._text.has("me", index + 1):
            return False
        if phrase.participle:
            return self._caused(index)
        if self._text.tokens[index].past and phrase.language in ("fr", "es"):
            return False
        if self._text.starts_clause(index):
            return not (phrase.weak and self._text.has("noun_after", index + 1))
        before = self._text.words[index - 1]
        single = len(phrase.parts) == 1 and len(phrase.parts[0]) == 1
        if phrase.weak:
            if before in ("by", "via") and not self._text.words[index].endswith("ing"):
                return False
            lead = before in self._text.vocabulary.words_of("lead", phrase.language) or before.endswith("ly")
            return lead and not self._text.has("noun_after", index + 1)
        if phrase.language == "de" and self._text.tokens[index].capital:
            return False
        article = before in self._text.vocabulary.words_of("article", phrase.language)
        if phrase.language == "en" and article and index in self._text.nouns:
            # "The report to Ann" is no order to report to her.
            return False
        if (
            single
            and (article or (index in self._text.nouns and self._text.has("article", index - 1)))
            and self._reads_as_noun(index)
        ):
            return False
        if self._text.has("ability", index - 1) and index >= 2 and self._text.has("subject", index - 2):
            # "The least I can pay" is no order, "can I pay" may be one.
            return False
        if before in self._text.vocabulary.words_of("subject", phrase.language):
            return any(self._text.has("modal", place) for place in range(max(0, index - 4), index))
        return True

    def _reads_as_noun(self, index: int) -> bool:
        """After an article; but "que tu la supprimes" and "no lo envíes" have a pronoun there."""
        if self._text.languages & {"fr", "es"} and index >= 2:
            return not (
                self._text.has("lead", index - 2)
                or self._text.has("negation", index - 2)
                or self._text.has("filler", index - 2)
            )
        return True

    def _caused(self, index: int) -> bool:
        for place in range(index - 1, max(-1, index - 12), -1):
            if self._text.has("no_causative", place):
                return False
            if self._text.has("causative", place) or self._lets_do(place, index):
                return True
            if self._text.tokens[place + 1].pause and place + 1 < index:
                return False
        return False

    def _lets_do(self, place: int, participle: int) -> bool:
        """ "Have the fee paid": the verb stands first and a thing between; "have you paid it" is a question."""
        between = participle - place > 1 and (self._text.has("article", place + 1) or place + 1 in self._text.nouns)
        return bool(between) and self._text.words[place] == "have" and self._text.starts_clause(place)

    # What does not ask

    def _suppress(self, hits: list[Hit]) -> None:
        silent = self._silent()
        self._wished = self._wished_by_others(hits)
        for position, hit in enumerate(hits):
            commanded = (
                position > 0 and hit.start == hits[position - 1].end and hits[position - 1].families.keys() == {"run"}
            )
            if silent[hit.start] or self._wished[hit.start] or commanded:
                hit.asks = False
        for position, hit in enumerate(hits):
            to_others = self._text.has("reports", hit.start) and not self._text.has("me", hit.start + 1)
            if to_others or self._text.has("reports_me", hit.start):
                self._silence_order_to_others(hit, hits[position + 1 : position + 1 + REACH])

    def _silence_order_to_others(self, hit: Hit, following: list[Hit]) -> None:
        """Somebody asked to pay the bill is sent a message; no payment is asked for."""
        for other in following:
            between = range(hit.start + 1, other.start + 1)
            if other.start > hit.start + REACH or any(
                self._text.tokens[place].pause or self._text.has("and", place) for place in between
            ):
                break
            other.asks = False

    def _wished_by_others(self, hits: list[Hit]) -> list[bool]:
        """Words of "invoices Kestrel wants us to pay" and "bills we have to pay", which tell those that are meant."""
        wished = [False] * len(self._text.words)
        quiet = duty = False
        first = hits[0].start if hits else len(self._text.words)
        for index in range(first + 1, len(self._text.words)):
            quiet = quiet and not self._text.tokens[index].pause and not (duty and self._text.has("and", index))
            own = self._text.has("own_duty", index) and (
                (index - 1 in self._text.nouns and not self._text.tokens[index].pause)
                or self._text.has("relative", index - 1)
            )
            duty = bool(own) or (duty and quiet)
            quiet = quiet or bool(own or self._text.has("others_wish", index))
            wished[index] = quiet
        return wished

    def _silent(self) -> list[bool]:
        """Words in questions and in texts to be sent."""
        silent = [False] * len(self._text.words)
        quiet = forever = False
        for index in range(len(self._text.words)):
            if quiet and not forever and (self._text.tokens[index].pause or self._text.has("and", index)):
                quiet = False
            if not quiet and not self._text.has("no_question", index):
                forever = bool(self._text.has("ask_how", index))
                opens = self._text.starts_clause(index) or self._text.has("and", index - 1)
                quiet = (
                    forever
                    or bool(
                        self._text.has("question", index)
                        or self._text.has("reported", index)
                        or self._text.has("when_question", index)
                    )
                    or bool(opens and self._text.has("past_question", index))
                )
            silent[index] = quiet
        return silent

    def _negated(self, hit: Hit, previous: Hit | None) -> bool:
        if self._negated_after(hit):
            return True
        if previous is not None and self._text.has("either", hit.start - 1):
            clause = any(self._text.tokens[place].pause for place in range(previous.start + 1, hit.start + 1))
            if previous.negated and not clause:
                return True
        for place in range(hit.start - 1, max(-1, hit.start - REACH - 1), -1):
            if self._text.tokens[place + 1].pause:
                return False
            if self._text.has("negation", place) or any(
                self._text.has("negation", place - back) > back for back in range(1, 4) if place >= back
            ):
                return not any(self._text.has("no_negation", place - back) > back for back in range(4) if place >= back)
            if (
                not self._text.has("filler", place)
                and place not in self._starts
                and not self._text.has("either", place)
            ):
                return False
        return False

    def _negated_after(self, hit: Hit) -> bool:
        """ "Send nothing", "envoie pas", "sende die Mail nicht"."""
        for place in range(hit.end, min(hit.end + 3, len(self._text.words))):
            if self._text.tokens[place].pause:
                return False
            if self._text.has("negates_after", place):
                return not self._exempt(place)
            if not self._text.has("filler", place):
                break
        if "de" not in self._text.languages:
            return False
        for place in range(hit.end, min(hit.end + MAX_GAP, len(self._text.words))):
            last = (
                place + 1 == len(self._text.words)
                or self._text.tokens[place + 1].pause
                or self._text.has("and", place + 1)
            )
            if self._text.tokens[place].pause:
                return False
            if self._text.words[place] == "nicht" and last:
                return True
        return False

    def _exempt(self, place: int) -> bool:
        return bool(self._text.has("no_negation", place)) or self._text.words[place + 1 : place + 2] in (
            ["more"],
            ["later"],
            ["less"],
        )
