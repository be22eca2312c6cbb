"""The user's own words, ready to be asked whether a value stands in them."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence

from agentguard.decision import Span
from agentguard.flow.calculation import Calculation
from agentguard.flow.contradiction import Figures, is_calendar_word
from agentguard.flow.forms import bare_word, canonical, grouped_key, key, tokens, words
from agentguard.flow.superlative import superlatives
from agentguard.flow.vocabulary import folded, names_thing
from agentguard.text.invisible import INVISIBLE_TABLE
from agentguard.text.marks import without_excess_marks
from agentguard.text.squash import squash

__all__ = ["Request", "find"]

# A name counts as given when this share of its words stands in the request ("Ms Dana Reyes" for "Dana Reyes").
NAME_SHARE = 0.6
# A longer phrase is not looked for: against a request of repeated words the search would be quadratic.
MAX_PHRASE_WORDS = 32

# A longer number is no day, hour or small sum.
MAX_COUNTED = 4


# Orders to answer somebody, folded; "has anyone replied" is none.
_REPLY = re.compile(
    r"(?<![a-z])(?:reply|respond|answer|(?:write|get) back|antworten?|beantworten?|"
    r"zuruckschreiben|schreibe? (?:\S+ ){0,6}zuruck|reponds|repondre|repondez|responde|responder|respondeles?|"
    r"contesta|contestar|contestales?)(?![a-z])"
)

# Orders to send something else, which whoever wrote need not get.
_SEND = re.compile(
    r"(?<![a-z])(?:send|forward|share|pass on|schicke?n?|sende?n?|leite|weiterleiten|envoie[sz]?|envoyer|"
    r"transfere[rz]?|envia|enviar|enviale|manda|mandar|mandale|reenvia|reenviar)(?![a-z])"
)

# A longer number is told from an amount by its length.
MAX_NUMBERED = 12
# What numbers are given to: "invoice 2231". A comma behind it ("the invoice, 2231") makes it an amount again.
_NUMBERED = frozenset(
    word
    for words in (
        "invoice number nr ticket customer reference ref contract room flight",
        "rechnung bestellung kunde kundin nummer rechnungsnummer vertrag zimmer",
        "facture client numero contrat factura pedido cliente contrato",
    )
    for word in words.split()
)


class Request:
    """The trusted request of one run.

    Args:
        texts: what the user said.
        quoted: passages inside it that somebody else wrote; they are cut out before anything is compared.
    """

    def __init__(self, texts: Sequence[str], quoted: Sequence[str]) -> None:
        self._texts: list[str] = []
        self._barred: set[str] = set()
        for text in texts:
            self._texts.extend(self._own_words(text, quoted))
        forms = [form for text in self._texts for form in (text, _undisguised(text))]
        self._words = [words(form) for form in forms]
        written = {token for form in forms for token in tokens(form)}
        self._keys = {key(token) for token in written} - {""}
        self.names = frozenset(_distinctive(self._texts))
        self.superlatives = superlatives(self._texts)

    @functools.cached_property
    def people(self) -> frozenset[str]:
        """The names that may be somebody's: no number, no day or month, no word for a thing ("den Bericht")."""
        return frozenset(
            word
            for word in self.names
            if not (any(map(str.isdigit, word)) or is_calendar_word(folded(word)) or names_thing(folded(word)))
        )

    @functools.cached_property
    def replies(self) -> bool:
        """Whether the user wants somebody to be answered, and nothing else sent: whoever wrote, then."""
        words = [folded(text) for text in self._texts]
        return any(map(_REPLY.search, words)) and not any(map(_SEND.search, words))

    @functools.cached_property
    def figures(self) -> Figures:
        """The amounts and dates of the request."""
        return Figures(self._texts)

    @functools.cached_property
    def calculation(self) -> Calculation:
        """The numbers of the request, and what may be worked out from them."""
        return Calculation(self._texts)

    @functools.cached_property
    def _squashed(self) -> tuple[bytes, ...]:
        return tuple(map(squash, self._texts))

    @property
    def texts(self) -> tuple[str, ...]:
        """The user's words, without what was only quoted."""
        return tuple(self._texts)

    def says(self, text: str) -> bool:
        """Whether the request holds ``text``, whatever its punctuation: enough for a title, which is no target."""
        wanted = squash(text)
        return any(wanted in said for said in self._squashed)

    def holds(self, value: str) -> bool:
        """Whether ``value`` stands in the request, from token boundary to token boundary."""
        if not any(map(str.isalnum, value)):
            # A dot, a slash or a star of the sentence is no choice of a target.
            return False
        if self._barred and not self._barred.isdisjoint(canonical(word) for word in tokens(value)):
            return False
        if len(value.split()) <= 1:
            return key(value) in self._keys
        return self._holds_phrase([canonical(word) for word in value.split()])

    def unnamed_words(self, name: str) -> list[str] | None:
        """The words of a person's name that the request lacks; None when too few of them stand there."""
        parts = name.split()
        missing = [word for word in parts if not self.holds(word)]
        known = [word for word in parts if word not in missing]
        if len(parts) < 2 or re.search(r"[@/]", name) or len(known) < NAME_SHARE * len(parts):
            return None
        return missing if any(canonical(word) in self.names for word in known) else None

    def locate(self, value: str) -> tuple[str, Span | None]:
        """The request text in which ``value`` stands, and where."""
        for text in self._texts:
            span = find(value, text)
            if span:
                return text, span
        return "", None

    def counts(self, value: str) -> bool:
        """Whether a short number stands in the request only as part of a date, a time or an amount, and names no id."""
        if len(value) > MAX_COUNTED or not (value.isascii() and value.isdigit()):
            return False
        windows = [window for text in self._texts for window in _around(text.split(), value)]
        return bool(windows) and all(
            Figures([window]).named > Figures([window.replace(value, "")]).named for window in windows
        )

    def numbers(self, value: str) -> bool:
        """Whether a number stands in the request only in a date or as the number of something, and is no amount."""
        if len(value) > MAX_NUMBERED or not (value.isascii() and value.isdigit()):
            return False
        windows = [window for text in self._texts for window in _around(text.split(), value)]
        return bool(windows) and all(_numbers(window.split(), window, value) for window in windows)

    def spells(self, value: str) -> bool:
        """Whether ``value`` stands in the request letter by letter: capitals and line breaks change a command."""
        return any(value.strip() in text for text in self._texts)

    def holds_grouped(self, value: str) -> bool:
        """Whether an account number stands in the request however it is grouped: in blocks of four, or in one.

        From token boundary to token boundary, so that no number is read out of a longer one.
        """
        wanted = grouped_key(value)
        if wanted is None:
            return False
        wanted = wanted.removeprefix("grouped ")
        return any(_spells(wanted, row, start) for row in self._words for start in range(len(row)))

    def _holds_phrase(self, phrase: list[str]) -> bool:
        return len(phrase) <= MAX_PHRASE_WORDS and any(
            phrase[0] in row[start] and all(word in row[start + step] for step, word in enumerate(phrase))
            for row in self._words
            for start in range(len(row) - len(phrase) + 1)
        )

    def _own_words(self, text: str, quoted: Sequence[str]) -> list[str]:
        """Cut the quoted passages out, whatever the spacing; bar the words of a passage that hides its place."""
        if not quoted:
            return [text]
        segments = [" ".join(text.split())]
        squashed = squash(text)
        for passage in filter(None, (" ".join(passage.split()) for passage in quoted)):
            cut = [part for segment in segments for part in _cut(segment, passage)]
            if cut == segments and squash(passage) in squashed:
                self._barred |= {canonical(token) for token in tokens(passage)}
            segments = cut
        return segments


def _around(words: list[str], value: str) -> Iterator[str]:
    """The words next to each place where ``value`` stands alone."""
    for place, word in enumerate(words):
        if bare_word(word) == value:
            yield " ".join(words[max(0, place - 1) : place + 2])


def _numbers(words: list[str], window: str, value: str) -> bool:
    """Whether ``value`` is a part of a date in these words, or the number of what is named before it."""
    before = "" if bare_word(words[0]) == value else folded(words[0])
    if before in _NUMBERED or is_calendar_word(before):
        return True
    return Figures([window]).dated > Figures([window.replace(value, "")]).dated


def _spells(wanted: str, row: Sequence[frozenset[str]], start: int) -> bool:
    """Whether the words from ``start`` on, written together, are ``wanted``."""
    rest = wanted
    for place in range(start, min(len(row), start + MAX_PHRASE_WORDS)):
        piece = next(
            (word for form in row[place] if (word := re.sub(r"[.()/+-]", "", form)) and rest.startswith(word)), ""
        )
        if not piece:
            return False
        rest = rest[len(piece) :]
        if not rest:
            return True
    return False


def find(value: str, text: str) -> Span | None:
    """Where ``value`` stands in ``text``, case aside. Linear: a regular expression would be quadratic here."""
    wanted, lowered = value.strip().lower(), text.lower()
    if len(lowered) != len(text):
        # A letter that grows in lower case shifts every later offset.
        wanted, lowered = value.strip(), text
    start = lowered.find(wanted)
    return Span(start, start + len(wanted)) if start >= 0 else None


def _undisguised(text: str) -> str:
    """The request without invisible characters and other widths.

    Look-alike letters stay: folding them would trust an address that the user did not write.
    """
    return unicodedata.normalize("NFKC", without_excess_marks(text.translate(INVISIBLE_TABLE)))


def _cut(text: str, passage: str) -> list[str]:
    """The pieces of ``text`` around ``passage``; a word that the cut would split is dropped with it."""
    pieces = text.split(passage)
    for index in range(len(pieces) - 1):
        before, after = pieces[index], pieces[index + 1]
        if before and not before[-1].isspace():
            pieces[index] = before.rpartition(" ")[0]
        if after and not after[0].isspace():
            pieces[index + 1] = after.partition(" ")[2]
    return pieces


def _distinctive(texts: Sequence[str]) -> set[str]:
    """Words that single something out: with a digit, or capitalised elsewhere than at the start of a sentence."""
    found: set[str] = set()
    for text in texts:
        start = True
        for word in text.split():
            bare = bare_word(word)
            if any(char.isdigit() for char in bare) or (bare[:1].isupper() and len(bare) > 2 and not start):
                found |= {canonical(token) for token in tokens(word)}
            start = word[-1] in ".!?:"
    return found
