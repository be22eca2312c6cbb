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
_ABBREVIATIONS = frozenset(
    f"{word}." for word in ("dr", "mr", "mrs", "ms", "prof", "st", "no", "nr", "hr", "fr", "sr", "sra")
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, folded.

    ``stop`` and ``pause`` say that a sentence or a clause ends before it, ``past`` that it is written with the accent
    that folding takes from a participle ("envoyé", "envié"). ``objects`` are the families an opaque token belongs to.
    """

    word: str
    stop: bool = False  # a sentence ends before it
    pause: bool = False  # a clause ends before it
    capital: bool = False
    past: bool = False  # written with the accent that folding takes from a participle ("envoyé", "envié")
    objects: tuple[str, ...] = ()


def split(text: str, limit: int) -> Iterator[list[Token]]:
    sentence: list[Token] = []
    for token in _tokens(text, limit):
        if token.stop and sentence:
            yield sentence
            sentence = []
        sentence.append(token)
    if sentence:
        yield sentence


def _tokens(text: str, limit: int) -> Iterator[Token]:
    text = _QUOTED.sub(_quotation, text[: limit * 40])
    text = _LETS.sub("lets", text)
    text = _APOSTROPHE.sub(" ", _NOT.sub(lambda match: f"{match[1] or match[2]} not", text))
    stop = pause = True
    for line in text.split("\n"):
        stop = True
        for chunk in line.split():
            if limit <= 0:
                return
            bare = chunk.strip("\"'.,;:!?()<>[]{}*_“”„«»")
            if _MARKED.search(bare) and bare:
                limit -= 1
                yield Token(OPAQUE, stop, pause, objects=_opaque_objects(bare))
                stop = pause = False
                last = chunk[len(chunk.rstrip("\"'.,;:!?()<>[]{}")) :]
                stop, pause = bool(_STOPS & set(last)), bool(_PAUSES & set(last))
                continue
            for piece in _TOKEN.findall(chunk):
                if piece == "." and chunk.lower() in _ABBREVIATIONS:
                    continue
                if piece in _STOPS:
                    stop = True
                elif piece in _PAUSES:
                    pause = pause or piece != "-" or chunk == "-"
                elif piece == "#" or _AMOUNT.match(piece):
                    limit -= 1
                    yield Token(OPAQUE, stop, pause, objects=("channel",) if piece == "#" else ("money",))
                    stop = pause = False
                else:
                    limit -= 1
                    yield Token(folded(piece), stop, pause, piece[:1].isupper(), _is_past(piece))
                    stop = pause = False
            if _QUOTE_MARK in chunk:
                yield Token(OPAQUE, stop, pause)
                stop = pause = False


def _quotation(match: re.Match[str]) -> str:
    """A quoted file name or address is still one; anything else in quotes is content."""
    content = match[0][1:-1]
    if len(content.split()) == 1 and _MARKED.search(content):
        return f" {content} "
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
