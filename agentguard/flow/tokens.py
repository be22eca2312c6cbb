"""The words of a request, sentence by sentence, with what stands in quotes or is an address made opaque.

A quoted passage is content, not an order; words inside an address or a file name say nothing. Both stay as one opaque
token, so that a sentence keeps its shape. Linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from agentguard.flow.vocabulary import folded

__all__ = ["OPAQUE", "Token", "split"]

# The word of a token that is an address, a file name, an amount's mark or a quotation.
OPAQUE = "\x00"
_QUOTE_MARK = "\x01"

# An opening mark inside ends the search, so that unclosed ones cost nothing.
_QUOTED = re.compile(
    r"\"[^\"\n]{0,4000}\"|“[^“”]{0,4000}”|„[^„“”]{0,4000}[“”]|«[^«»]{0,4000}»|`[^`]{0,4000}`|(?<!\w)'[^'\n]{2,1000}'(?!\w)"
)
_TOKEN = re.compile(r"[^\W_]+|[.!?;:\n,…—–&()-]|[$€£¥#]")
_MARKED = re.compile(r"[@/\\]|\w\.\w")
_FILE = re.compile(r"\.[a-z][a-z0-9]{1,4}$")
_STOPS = frozenset(".!?;\n…")
_PAUSES = frozenset(",:—–()-")
_NOT = re.compile(r"\b(?:(can)no|(\w+?)n['’])t\b", re.IGNORECASE)
_APOSTROPHE = re.compile(r"['’]")
_LETS = re.compile(r"\blet['’]s\b", re.IGNORECASE)
_AMOUNT = re.compile(r"[$€£¥]")
# "e-mail", whatever the hyphen, is the word "email".
_EMAIL = re.compile(r"\b(e)[-\u2010\u2011\u00ad ](?=mail)", re.IGNORECASE)
_ABBREVIATIONS = frozenset(
    f"{word}."
    for words in (
        "dr mr mrs ms prof st no nr hr fr sr sra z.b d.h e.g i.e bzw ca std art vs approx",
        "inkl evtl str tel abs núm av mme mlle",
    )
    for word in words.split()
)
# "am 14. Januar", "der 3. Versuch": the number of a day or of one in a row.
_ORDINAL = re.compile(r"\d{1,2}\.")


@dataclass(frozen=True, slots=True)
class Token:
    """One word, folded.

    ``stop`` and ``pause`` say that a sentence or a clause ends before it, ``past`` that it is written with the accent
    that folding takes from a participle ("envoyé", "envié"), ``comma`` that what ends before it may be an item of a
    list, ``colon`` that one stands before it, ``blank`` that a blank line does. ``objects`` are the families an opaque
    token belongs to. ``raw`` is what stands between spaces, for the first token made of it.
    """

    word: str
    stop: bool = False  # a sentence ends before it
    pause: bool = False  # a clause ends before it
    capital: bool = False
    past: bool = False  # written with the accent that folding takes from a participle ("envoyé", "envié")
    objects: tuple[str, ...] = ()
    comma: bool = False
    colon: bool = False
    raw: str = ""
    blank: bool = False


def split(text: str, limit: int) -> Iterator[list[Token]]:
    sentence: list[Token] = []
    for token in _tokens(text, limit):
        if token.stop and sentence:
            yield sentence
            sentence = []
        sentence.append(token)
    if sentence:
        yield sentence


class _Marks:
    """The marks that were met since the last word."""

    __slots__ = ("blank", "colon", "comma", "pause", "stop")

    def __init__(self) -> None:
        self.stop = self.pause = True
        self.comma = self.colon = self.blank = False

    def token(
        self, word: str, raw: str, *, capital: bool = False, past: bool = False, objects: tuple[str, ...] = ()
    ) -> Token:
        """The next token, and no marks from then on."""
        token = Token(word, self.stop, self.pause, capital, past, objects, self.comma, self.colon, raw, self.blank)
        self.stop = self.pause = self.comma = self.colon = self.blank = False
        return token

    def meet(self, marks: str) -> None:
        """Marks behind an opaque token."""
        self.stop = bool(_STOPS & set(marks))
        self.pause = bool(_PAUSES & set(marks))
        self.comma, self.colon = "," in marks, ":" in marks


def _tokens(text: str, limit: int) -> Iterator[Token]:
    quoted: list[str] = []
    text = _QUOTED.sub(lambda match: _quotation(match, quoted), text[: limit * 40])
    text = _LETS.sub("lets", _EMAIL.sub(r"\1", text))
    text = _APOSTROPHE.sub(" ", _NOT.sub(lambda match: f"{match[1] or match[2]} not", text))
    quotations = iter(quoted)
    marks = _Marks()
    for line in text.split("\n"):
        marks.stop = True
        chunks = line.split()
        marks.blank = marks.blank or not chunks
        for place, chunk in enumerate(chunks):
            if limit <= 0:
                return
            for token in _pieces(chunk, chunks[place + 1 : place + 2], marks, quotations):
                limit -= 1
                yield token


def _pieces(chunk: str, following: list[str], marks: _Marks, quotations: Iterator[str]) -> Iterator[Token]:
    """The tokens of what stands between two spaces."""
    abbreviated = _is_abbreviated(chunk, following)
    bare = chunk.strip("\"'.,;:!?()<>[]{}*_“”„«»")
    if _MARKED.search(bare) and bare:
        yield marks.token(OPAQUE, chunk, objects=_opaque_objects(bare))
        last = chunk[len(chunk.rstrip("\"'.,;:!?()<>[]{}")) :]
        marks.meet(last.replace(".", "") if abbreviated else last)
        return
    raw = chunk
    for piece in _TOKEN.findall(chunk):
        if piece == "." and abbreviated:
            continue
        if piece in _STOPS:
            marks.stop = True
        elif piece in _PAUSES:
            marks.pause = marks.pause or piece != "-" or chunk == "-"
            marks.comma = marks.comma or piece == ","
            marks.colon = marks.colon or piece == ":"
        elif piece == "#" or _AMOUNT.match(piece):
            yield marks.token(OPAQUE, raw, objects=("channel",) if piece == "#" else ("money",))
            raw = ""
        else:
            yield marks.token(folded(piece), raw, capital=piece[:1].isupper(), past=_is_past(piece))
            raw = ""
    if _QUOTE_MARK in chunk:
        yield marks.token(OPAQUE, next(quotations, ""))


def _is_abbreviated(chunk: str, following: list[str]) -> bool:
    """Whether a full stop belongs to the word or the number. A sentence may end with a number; a word must follow."""
    if _ORDINAL.fullmatch(chunk):
        return any(word[0].isalpha() for word in following)
    return chunk.lower().lstrip("(") in _ABBREVIATIONS


def _quotation(match: re.Match[str], quoted: list[str]) -> str:
    """A quoted file name or address is still one; anything else in quotes is content."""
    content = match[0][1:-1]
    if len(content.split()) == 1 and _MARKED.search(content):
        return f" {content} "
    quoted.append(match[0])
    return f" {_QUOTE_MARK} "


def _is_past(word: str) -> bool:
    plain = unicodedata.normalize("NFC", word[-40:]).lower()
    return plain.endswith(("é", "ée", "és", "ées")) and not plain.endswith(("crée", "crées"))


def _opaque_objects(text: str) -> tuple[str, ...]:
    if "://" in text or text.lower().startswith("www."):
        return ("web",)
    if "@" in text:
        return ("contact",)
    return ("file",) if _FILE.search(text.lower()) or "/" in text or "\\" in text else ()
