"""The words in which people ask for actions, compiled for one pass over a request.

A *verb family* is a kind of action (``send``, ``pay``, ``delete`` ...), an *object family* a kind of thing (``mail``,
``file``, ``money`` ...). English, German, French and Spanish are built in; a policy adds phrases and words of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from agentguard.errors import ConfigError
from agentguard.flow.languages import LANGUAGES, Language
from agentguard.text.invisible import INVISIBLE_TABLE
from agentguard.text.marks import without_excess_marks

__all__ = ["OBJECT_FAMILIES", "VERB_FAMILIES", "Noun", "Phrase", "Vocabulary", "folded", "phrase_of", "split_name"]

VERB_FAMILIES = tuple(LANGUAGES["en"].verbs)
OBJECT_FAMILIES = tuple(LANGUAGES["en"].objects)

GAP = "…"
# NFKD would make three dots of the gap mark.
_PLAIN_GAP = "+"
_WORD = re.compile(r"[^\W_]+|\+")
_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_OWN = "own"
_NOTHING: frozenset[str] = frozenset()
# Their plural counts money, not payments.
_UNITS = frozenset(
    ["dollars", "euros", "pounds", "quids", "bucks", "francs", "yens", "cents", "pesos", "dolares", "pfund", "franken"]
)


class Phrase(NamedTuple):
    """One way to ask: ``parts`` are runs of words, between which other words may stand."""

    parts: tuple[tuple[str, ...], ...]
    family: str
    implied: frozenset[str]
    language: str
    weak: bool = False
    not_me: bool = False
    participle: bool = False


class Noun(NamedTuple):
    """One word or phrase for a thing."""

    words: tuple[str, ...]
    family: str
    language: str
    plural: bool


def folded(text: str) -> str:
    """Lower case, without accents and invisible characters; ``ß`` is ``ss``."""
    if text.isascii():
        return text.translate(INVISIBLE_TABLE).lower()
    visible = without_excess_marks(text.translate(INVISIBLE_TABLE))
    plain = unicodedata.normalize("NFKD", visible).casefold()
    return "".join(char for char in plain if not unicodedata.combining(char))


def split_name(name: str) -> list[str]:
    """The words of a tool's or argument's name, whatever the case style: ``sendMail``, ``mail.send``, ``send_mail``."""
    return [folded(word) for word in _NAME_WORD.findall(name[:200])]


class Vocabulary:
    """Verb and object families of the chosen languages, with a policy's own words.

    Args:
        languages: codes of built-in languages: ``en``, ``de``, ``fr``, ``es``.
        verbs: further phrases by verb family; ``…`` stands for words between two parts of a phrase.
        objects: further words by object family; a new family may be named.

    Raises:
        ConfigError: a language or verb family is unknown, or a phrase has no letter or digit.
    """

    def __init__(
        self,
        languages: Iterable[str] = tuple(LANGUAGES),
        verbs: Mapping[str, Iterable[str]] | None = None,
        objects: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._chosen = [_language(code) for code in languages]
        self.phrases: dict[str, list[Phrase]] = {}
        self.nouns: dict[str, list[Noun]] = {}
        self._name_verbs: dict[str, set[str]] = {}
        self._weak_names: set[str] = set()
        self._roles: dict[str, dict[str, list[tuple[str, ...]]]] = {}
        self._lead: dict[tuple[str, str], frozenset[str]] = {}
        self.numbers: dict[str, int] = {}
        self.suffixes = {folded(suffix) for language in self._chosen for suffix in language.suffixes}
        for language in self._chosen:
            self._learn(language)
        # Names of tools are English in every company.
        for family, phrases in LANGUAGES["en"].verbs.items():
            for text in phrases:
                if text[0] != "^" and " " not in text:
                    self._learn_name(_folded_phrase(text, family, "en"))
        for family, texts in (verbs or {}).items():
            if family not in VERB_FAMILIES:
                raise ConfigError(f"verb family {family!r} is unknown; known are {', '.join(VERB_FAMILIES)}")
            for text in texts:
                self._add(_phrase(text, family, _OWN))
        for family, texts in (objects or {}).items():
            for text in texts:
                self._add_noun(text, family, _OWN, plural=False)
        self._order()

    def role(self, role: str, first: str) -> list[tuple[str, ...]]:
        """Phrases with a grammatical role in any language that start with ``first``."""
        return self._roles.get(role, {}).get(first, [])

    def is_role(self, role: str, word: str) -> bool:
        """Whether the single word has this role in any language."""
        return (word,) in self.role(role, word)

    def words_of(self, role: str, language: str) -> frozenset[str]:
        """Single words with a role in one language."""
        return self._lead.get((role, language), frozenset())

    def language_codes(self) -> list[str]:
        """The languages chosen."""
        return [language.code for language in self._chosen]

    def families(self) -> set[str]:
        """Object families, those of the policy included."""
        return {noun.family for row in self.nouns.values() for noun in row}

    def name_verbs(self, words: list[str]) -> tuple[int | None, set[str]]:
        """Which word of a tool's name is its verb, and the verb's families."""
        known = [index for index, word in enumerate(words) if word in self._name_verbs]
        # "slack.postMessage": the service is no verb when there is another one.
        services = {index for index in known if any(noun.family == "channel" for noun in self.nouns_at(words, index))}
        known = [index for index in known if index not in services] or known
        start = next((index for index in range(len(words)) if index not in services), 0)
        plain = [index for index in known if index == start or words[index] not in self._weak_names]
        ends = [index for index in known if index == len(words) - 1]
        for index in (*plain, *ends):
            return index, self._name_verbs[words[index]]
        return None, set()

    def nouns_at(self, words: list[str], index: int) -> list[Noun]:
        """The longest nouns that start at ``index``; several when one word names several kinds of thing."""
        best: list[Noun] = []
        for noun in self.nouns.get(words[index], ()):
            size = len(noun.words)
            if best and size < len(best[0].words):
                break
            if tuple(words[index : index + size]) == noun.words:
                best.append(noun)
        return best

    def _learn(self, language: Language) -> None:
        for family, texts in language.verbs.items():
            for form in _folded_spellings(texts):
                self._add(_folded_phrase(form, family, language.code))
        for family, texts in language.objects.items():
            for text in texts:
                self._add_noun(text, family, language.code, plural=False)
        for family, texts in language.plurals.items():
            for text in texts:
                self._add_noun(text, family, language.code, plural=folded(text) not in _UNITS)
        for role, texts in language.grammar.items():
            if role == "number":
                self.numbers |= {folded(text.partition("=")[0]): int(text.partition("=")[2]) for text in texts}
                continue
            table = self._roles.setdefault(role, {})
            rows = [_words(form) for text in texts for form in _spellings(text)]
            for row in rows:
                table.setdefault(row[0], []).append(row)
            self._lead[role, language.code] = frozenset(row[0] for row in rows if len(row) == 1)

    def _add(self, phrase: Phrase) -> None:
        self.phrases.setdefault(phrase.parts[0][0], []).append(phrase)

    def _order(self) -> None:
        """Longest nouns first; separable phrases first, since "drop … a line" drops nothing."""
        for nouns in self.nouns.values():
            nouns.sort(key=lambda noun: -len(noun.words))
        for phrases in self.phrases.values():
            phrases.sort(key=lambda phrase: -len(phrase.parts))

    def _learn_name(self, phrase: Phrase) -> None:
        if len(phrase.parts) == 1 and len(phrase.parts[0]) == 1 and not phrase.participle:
            word = phrase.parts[0][0]
            self._name_verbs.setdefault(word, set()).add(phrase.family)
            if phrase.weak:
                self._weak_names.add(word)

    def _add_noun(self, text: str, family: str, language: str, *, plural: bool) -> None:
        for form in _spellings(text):
            words = _words(form)
            if not words:
                raise ConfigError(f"object word {text!r} holds no letter or digit")
            self.nouns.setdefault(words[0], []).append(Noun(words, family, language, plural))


def phrase_of(text: str, family: str) -> Phrase:
    """A policy's own phrase."""
    return _phrase(text, family, _OWN)


def _language(code: str) -> Language:
    if code not in LANGUAGES:
        raise ConfigError(f"language {code!r} is unknown; known are {', '.join(LANGUAGES)}")
    return LANGUAGES[code]


def _phrase(text: str, family: str, language: str) -> Phrase:
    phrase = _folded_phrase(folded(text.replace(GAP, _PLAIN_GAP)), family, language)
    if not phrase.parts:
        raise ConfigError(f"phrase {text!r} holds no letter or digit")
    return phrase


def _folded_phrase(text: str, family: str, language: str) -> Phrase:
    body, _, implied = text.partition(":")
    return Phrase(
        tuple(tuple(part) for part in _parts(_WORD.findall(body)) if part),
        family,
        frozenset(implied.split(",")) if implied else _NOTHING,
        language,
        weak="~" in body,
        not_me=body[:1] == "!",
        participle="^" in body,
    )


def _folded_spellings(texts: Iterable[str]) -> list[str]:
    """Every spelling of every entry, folded in one go: there are thousands."""
    forms = "\n".join(form for text in texts for form in _spellings(text))
    return folded(forms.replace(GAP, _PLAIN_GAP)).split("\n") if forms else []


def _parts(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == _PLAIN_GAP:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(folded(text.replace(GAP, _PLAIN_GAP)))) if text != "&" else ("&",)


def _spellings(text: str) -> list[str]:
    """German umlauts are written out as well: ``lösche`` and ``loesche``."""
    if text.isascii():
        return [text]
    plain = unicodedata.normalize("NFC", text)
    return list(dict.fromkeys((plain, plain.lower().translate(_UMLAUTS))))
