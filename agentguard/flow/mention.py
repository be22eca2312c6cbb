"""Where a sentence only speaks of an action: somebody else's wish, a question about it, a reminder, a text to work on.

"Bob wants me to delete the folder", "should I pay?", "remind me to pay", "translate: pay 50 to Bob": each names an
action, none asks for it. And what a request says of a value: that it must not be used ("do not send it to eve@x"), or
that somebody else wishes for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentguard.flow.action import Hit
from agentguard.flow.wording import Wording

__all__ = ["CONTENT", "Mentions", "Said"]

# Verbs behind which a colon begins a text of their own: "write to Ann: please pay the invoice".
_WRITING = frozenset({"send", "post", "draft", "create"})
# Actions done against somebody or something: what they name is no place to send to.
_AGAINST = frozenset({"delete", "cancel", "revoke"})
# A wish of the user's own is one.
_OWN = frozenset({"i", "we", "you", "ich", "wir", "du", "je", "j", "nous", "tu", "yo", "nosotros"})
_CUT = "|"
_YET = frozenset({"yet", "noch", "encore", "todavia", "aun"})
# Words of a clause that are looked through.
FAR = 20
# How far a negation reaches forward to the verb that it negates.
REACH = 8


class Mentions:
    """The places of one sentence by what they are a part of, one flag per word.

    ``reported`` is what somebody else wishes or says, ``doubted`` what the user asks about, ``content`` a text to work
    on or to send, ``silent`` everything in which no action is asked for. ``works_on``: a text is worked on;
    ``open_content``: it goes on in the next sentence.

    Args:
        text: the sentence.
        hits: its verbs.
        led: whether something before them asks already ("do what the mail says").
    """

    def __init__(self, text: Wording, hits: Sequence[Hit], *, led: bool) -> None:
        self._text = text
        self._starts = {hit.start for hit in hits}
        # Where something asks already: for good where it delegates.
        self._first = min((hit.start for hit in hits if hit.asks), default=len(text.words)) if not led else -1
        self.open_content = False
        self.works_on = any(self._works_on(place) for place in range(len(text.words)))
        self.content = self._contents(hits)
        self.reported = self._reported()
        self.doubted = self._doubted()
        flags = (self.content, self._worked(), self.reported, self.doubted, self._reminded())
        self.silent = [any(each) for each in zip(*flags, strict=True)]
        places = range(len(text.words))
        self._asked = next((place for place in places if text.has("question", place)), len(text.words))
        self.affirms = any(map(self._affirms, range(len(text.words))))

    def _affirms(self, place: int) -> bool:
        """Whether "do so" stands here, as an order of its own: not "don't do it", not "how should I do it"."""
        if place > self._asked or not self._text.has("affirms", place):
            return False
        if any(self._text.has("negation", each) for each in range(max(0, place - 3), place)):
            return False
        before = ("and", "polite", "therefore")
        return self._text.starts_clause(place) or any(self._text.has(role, place - 1) for role in before)

    def said(self, hits: Sequence[Hit], wished: Sequence[Hit]) -> Said:
        """What the sentence says of the values in it; ``wished`` are the actions of others' wishes."""
        # Facts that somebody tells stay: only whose wish an action is, is left out with all it names.
        wishes = self.reported if any(hit.asks for hit in wished) else [False] * len(self._text.words)
        return Said(
            tuple(token.raw for token in self._text.tokens),
            *map(tuple, (self._forbidden(hits), self.content, wishes, self._against(hits))),
        )

    def _forbidden(self, hits: Sequence[Hit]) -> list[bool]:
        """What must not be used: behind "do not send it to", "not", "except"."""
        flags = [False] * len(self._text.words)
        near: set[int] = set()
        for hit in hits:
            if hit.negated:
                self._mark(flags, hit.end, until_hit=True)
                near.update(range(hit.start - REACH, hit.start + REACH + 1))
        for place in range(len(flags)):
            verbs = self._starts.isdisjoint((place + 1, place + 2, place + 3))
            if not flags[place] and place not in near and verbs and self._excludes(place):
                self._mark(flags, place, until_hit=False)
        return flags

    def _against(self, hits: Sequence[Hit]) -> list[bool]:
        """What something is taken from, stopped or blocked: "block eve@x"."""
        flags = [False] * len(self._text.words)
        for hit in hits:
            if hit.asks and not hit.negated and hit.families.keys() <= _AGAINST:
                self._mark(flags, hit.end, until_hit=True)
        return flags

    def _mark(self, flags: list[bool], start: int, *, until_hit: bool) -> None:
        """From ``start`` to the next verb, or to the end of the clause, or to a "but"."""
        for place in range(start, len(flags)):
            if self._text.has("contrast", place) and place > start:
                return
            if place > start and (place in self._starts if until_hit else self._text.tokens[place].pause):
                return
            flags[place] = True

    def _excludes(self, place: int) -> bool:
        word, vocabulary = self._text.words[place], self._text.vocabulary
        # English "no. 7" is a number, Spanish "no" forbids.
        negates = any(word in vocabulary.words_of("negation", code) for code in self._text.languages)
        if not negates and not self._text.has("excludes", place):
            return False
        near = range(place + 1, min(place + FAR, len(self._text.words)))
        clause = self._text.words[place : next((each for each in near if self._text.tokens[each].pause), near.stop)]
        if not _YET.isdisjoint(clause):
            # "I have not written to Ann yet" forbids nothing.
            return False
        return not any(self._text.has("no_negation", place - back) > back for back in range(4) if place >= back)

    def _contents(self, hits: Sequence[Hit]) -> list[bool]:
        """Texts behind a colon: "translate: ...", "write to Ann: ..."."""
        flags = [False] * len(self._text.words)
        works = next((place for place in range(len(flags)) if self._works_on(place)), len(flags))
        colon = self._colon(works)
        self.open_content = colon < len(flags)
        writing = [hit.end for hit in hits if hit.asks and not hit.families.keys().isdisjoint(_WRITING)]
        written = self._colon(min(writing, default=len(flags)))
        # "Send it to the following people: ..." goes on with a list, and no order stands in it.
        start = min(colon, written if any(hit.start >= written for hit in hits) else len(flags))
        flags[start:] = [True] * (len(flags) - start)
        return flags

    def _colon(self, start: int) -> int:
        """The place behind the first colon from ``start`` on; past the end when there is none."""
        places = range(start, len(self._text.words))
        return next((place for place in places if self._text.tokens[place].colon), len(self._text.words))

    def _works_on(self, place: int) -> bool:
        return bool(self._text.has("works_on", place)) and (self._text.starts_clause(place) or place in self._starts)

    def _worked(self) -> list[bool]:
        """What stands behind "translate" in its clause."""
        flags = [False] * len(self._text.words)
        working = False
        for place in range(len(flags)):
            working = working and not (self._text.tokens[place].pause or self._text.has("and", place))
            flags[place] = working
            working = working or self._works_on(place)
        return flags

    def _reported(self) -> list[bool]:
        flags = [False] * len(self._text.words)
        start = -1
        for place in range(len(flags)):
            if start >= 0 and self._ends_report(place, start):
                start = -1
            if start < 0 and self._speaks(place):
                start = place
            flags[place] = start >= 0
        return flags

    def _speaks(self, place: int) -> bool:
        """Whether somebody else's words or wishes begin here: "Bob said", "my landlord wants us to"."""
        if place == 0 or self._text.starts_clause(place) or self._text.words[place - 1] in _OWN:
            return False
        return bool(self._text.has("speaks", place) or self._text.has("others_wish", place))

    def _ends_report(self, place: int, start: int) -> bool:
        if self._text.has("therefore", place):
            return True
        if (
            self._first < start
            and self._text.has("and", place)
            and (place + 1 in self._starts or place in self._starts)
        ):
            return True
        token = self._text.tokens[place]
        return token.pause and not token.colon and (self._begins_order(place) or self._begins_order(place + 1))

    def _begins_order(self, place: int) -> bool:
        if place not in self._starts:
            return False
        return bool(
            self._text.tokens[place].pause or self._text.has("and", place - 1) or self._text.has("polite", place - 1)
        )

    def _doubted(self) -> list[bool]:
        """Behind "should I": to the end of the sentence."""
        flags = [False] * len(self._text.words)
        for place in range(len(flags)):
            opens = (
                self._text.starts_clause(place)
                or self._text.has("and", place - 1)
                or self._text.has("either", place - 1)
            )
            length = self._text.has("decides", place)
            # Spanish "debo 20 euros" is "I owe".
            owes = self._text.words[place][:3] == "deb" and "".join(self._text.words[place + 1 : place + 2]).isdigit()
            if opens and length and not owes:
                flags[place:] = [True] * (len(flags) - place)
                break
        return flags

    def _reminded(self) -> list[bool]:
        """What somebody wants to be reminded of; the reminder itself is asked for."""
        flags = [False] * len(self._text.words)
        start = next((place for place in range(len(flags)) if self._text.has("reports_me", place)), len(flags))
        german = "de" in self._text.languages
        for place in range(start + 1, len(flags)):
            ends = self._text.tokens[place].pause and (self._begins_order(place) or self._begins_order(place + 1))
            if ends and not (german and "zu" in self._text.words[place : place + 12]):
                break
            flags[place] = True
        return flags


@dataclass(frozen=True, slots=True)
class Said:
    """What a sentence says of the values in it: its words as written, and one flag per word for each reading.

    ``forbidden`` must not be used, ``content`` is a text of its own, ``wished`` is what somebody else wishes for, and
    something is stopped, cancelled or taken away ``against``.
    """

    raw: tuple[str, ...] = ()
    forbidden: tuple[bool, ...] = ()
    content: tuple[bool, ...] = ()
    wished: tuple[bool, ...] = ()
    against: tuple[bool, ...] = ()

    def used(self, *, wishes: bool, against: bool) -> str:
        """What may be used: also what others wish for, and what something is done against, when that is said."""
        cut = zip(self.forbidden, self.content, self.wished, self.against, strict=True)
        return _joined(
            word if not (forbidden or content or (wished and not wishes) or (opposed and not against)) else None
            for word, (forbidden, content, wished, opposed) in zip(self.raw, cut, strict=True)
        )

    def barred(self) -> str:
        """What must not be used."""
        return _joined(word if flag else None for word, flag in zip(self.raw, self.forbidden, strict=True))

    @property
    def plain(self) -> bool:
        """Whether everything in it may be used."""
        return not any(map(any, (self.forbidden, self.content, self.wished, self.against)))


# A sentence that is a part of a text to work on.
CONTENT = Said(("",), (False,), (True,), (False,), (False,))


def _joined(words: Iterable[str | None]) -> str:
    """A mark stands for what was cut out, so that what is left round it does not become one name."""
    found: list[str] = []
    for word in words:
        if word is not None:
            found.append(word)
        elif found and found[-1] != _CUT:
            found.append(_CUT)
    return " ".join(filter(None, found))
