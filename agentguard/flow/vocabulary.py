"""The words in which people ask for actions, compiled for one pass over a request.

A *verb family* is a kind of action (``send``, ``pay``, ``delete`` ...), an *object family* a kind of thing (``mail``,
``file``, ``money`` ...). English, German, French and Spanish are built in; a policy adds phrases and words of its own.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, TypeVar

from agentguard.errors import ConfigError
from agentguard.flow.languages import CODES, Language, language
from agentguard.text.invisible import INVISIBLE_TABLE
from agentguard.text.marks import without_excess_marks

__all__ = [
    "OBJECT_FAMILIES",
    "VERB_FAMILIES",
    "Noun",
    "Phrase",
    "Vocabulary",
    "folded",
    "is_verb",
    "names_thing",
    "phrase_of",
    "split_name",
]

VERB_FAMILIES = (
    "read", "draft", "create", "update", "send", "share", "invite", "pay", "delete", "cancel", "schedule", "run",
    "grant", "revoke", "post", "control",
)  # fmt: skip
OBJECT_FAMILIES = (
    "mail", "message", "channel", "file", "event", "money", "bill", "product", "travel", "contact", "account", "record",
    "task", "code", "web", "social", "device",
)  # fmt: skip

# Letters of a German compound, and of the noun that it ends in.
SHORTEST_COMPOUND, LONGEST_COMPOUND, SHORTEST_HEAD = 8, 40, 5

GAP = "…"
# NFKD would make three dots of the gap mark.
_PLAIN_GAP = "+"
_WORD = re.compile(r"[^\W_]+|\+")
_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_OWN = "own"
_Row = TypeVar("_Row")
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


def names_thing(word: str) -> bool:
    """Whether the folded word is one for a thing in any built-in language: no name singles somebody out by it."""
    return any(len(noun.words) == 1 for noun in _built_in(CODES).nouns.get(word, ()))


def is_verb(word: str) -> bool:
    """Whether the folded word begins an order in any built-in language."""
    return word in _built_in(CODES).phrases


def split_name(name: str) -> list[str]:
    """The words of a tool's or argument's name, whatever the case style: ``sendMail``, ``mail.send``, ``send_mail``."""
    return [folded(word) for word in _NAME_WORD.findall(name[:200])]


class Vocabulary:
    """Verb and object families of the chosen languages, with a policy's own words.

    The built-in words are compiled when the first request is read, once per process and choice of languages.

    Args:
        languages: codes of built-in languages: ``en``, ``de``, ``fr``, ``es``.
        verbs: further phrases by verb family; ``…`` stands for words between two parts of a phrase.
        objects: further words by object family; a new family may be named.

    Raises:
        ConfigError: a language or verb family is unknown, or a phrase has no letter or digit.
    """

    def __init__(
        self,
        languages: Iterable[str] = CODES,
        verbs: Mapping[str, Iterable[str]] | None = None,
        objects: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._codes = tuple(languages)
        for code in self._codes:
            if code not in CODES:
                raise ConfigError(f"language {code!r} is unknown; known are {', '.join(CODES)}")
        for family in verbs or {}:
            if family not in VERB_FAMILIES:
                raise ConfigError(f"verb family {family!r} is unknown; known are {', '.join(VERB_FAMILIES)}")
        self._own_phrases = [_phrase(text, family, _OWN) for family, texts in (verbs or {}).items() for text in texts]
        self._own_nouns = [
            noun
            for family, texts in (objects or {}).items()
            for text in texts
            for noun in _nouns(text, family, _OWN, plural=False)
        ]

    @cached_property
    def phrases(self) -> Mapping[str, list[Phrase]]:
        """Verb phrases by their first word. Separable ones first, since "drop … a line" drops nothing."""
        rows = [(phrase.parts[0][0], phrase) for phrase in self._own_phrases]
        return _merged(self._words.phrases, rows, lambda phrase: -len(phrase.parts))

    @cached_property
    def nouns(self) -> Mapping[str, list[Noun]]:
        """Nouns by their first word, the longest first."""
        rows = [(noun.words[0], noun) for noun in self._own_nouns]
        return _merged(self._words.nouns, rows, lambda noun: -len(noun.words))

    @property
    def numbers(self) -> Mapping[str, int]:
        """Number words."""
        return self._words.numbers

    @property
    def suffixes(self) -> frozenset[str]:
        """Endings that a verb may carry and that mean a person or thing."""
        return self._words.suffixes

    def role(self, role: str, first: str) -> list[tuple[str, ...]]:
        """Phrases with a grammatical role in any language that start with ``first``."""
        return self._words.roles.get(role, {}).get(first, [])

    def words_of(self, role: str, language: str) -> frozenset[str]:
        """Single words with a role in one language."""
        return self._words.single.get((role, language), frozenset())

    def language_codes(self) -> tuple[str, ...]:
        """The languages chosen."""
        return self._codes

    def families(self) -> set[str]:
        """Object families, those of the policy included."""
        return {noun.family for row in self.nouns.values() for noun in row}

    def name_verbs(self, words: list[str]) -> tuple[int | None, set[str]]:
        """Which word of a tool's name is its verb, and the verb's families."""
        verbs = _name_verbs()
        known = [index for index, word in enumerate(words) if word in verbs.families]
        # "slack.postMessage": the service is no verb when there is another one.
        services = {index for index in known if any(noun.family == "channel" for noun in self.nouns_at(words, index))}
        known = [index for index in known if index not in services] or known
        start = next((index for index in range(len(words)) if index not in services), 0)
        plain = [index for index in known if index == start or words[index] not in verbs.weak]
        ends = [index for index in known if index == len(words) - 1]
        for index in (*plain, *ends):
            return index, verbs.families[words[index]]
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

    def compound(self, word: str) -> list[Noun]:
        """The German nouns that a compound ends in, which say what it is: a "haushaltsliste" is a list."""
        if not SHORTEST_COMPOUND <= len(word) <= LONGEST_COMPOUND or "de" not in self._codes:
            return []
        for start in range(3, len(word) - SHORTEST_HEAD + 1):
            found = [
                noun for noun in self.nouns.get(word[start:], ()) if len(noun.words) == 1 and noun.language == "de"
            ]
            if found:
                return found
        return []

    @property
    def _words(self) -> _BuiltIn:
        return _built_in(self._codes)


class _BuiltIn:
    """The compiled words of some languages. Shared by every vocabulary that chose them, so never changed."""

    def __init__(self, codes: tuple[str, ...]) -> None:
        self.phrases: dict[str, list[Phrase]] = {}
        self.nouns: dict[str, list[Noun]] = {}
        self.roles: dict[str, dict[str, list[tuple[str, ...]]]] = {}
        self.single: dict[tuple[str, str], frozenset[str]] = {}
        self.numbers: dict[str, int] = {}
        languages = [language(code) for code in codes]
        self.suffixes = frozenset(folded(suffix) for each in languages for suffix in each.suffixes)
        for each in languages:
            self._learn(each)
        for nouns in self.nouns.values():
            nouns.sort(key=lambda noun: -len(noun.words))
        for phrases in self.phrases.values():
            phrases.sort(key=lambda phrase: -len(phrase.parts))

    def _learn(self, language: Language) -> None:
        for family, texts in language.verbs.items():
            for form in _folded_spellings(texts):
                phrase = _folded_phrase(form, family, language.code)
                self.phrases.setdefault(phrase.parts[0][0], []).append(phrase)
        for table, plural in ((language.objects, False), (language.plurals, True)):
            for family, texts in table.items():
                for text in texts:
                    for noun in _nouns(text, family, language.code, plural=plural and folded(text) not in _UNITS):
                        self.nouns.setdefault(noun.words[0], []).append(noun)
        for role, texts in language.grammar.items():
            if role == "number":
                self.numbers |= {folded(text.partition("=")[0]): int(text.partition("=")[2]) for text in texts}
                continue
            table_of_role = self.roles.setdefault(role, {})
            rows = [_words(form) for text in texts for form in _spellings(text)]
            for row in rows:
                table_of_role.setdefault(row[0], []).append(row)
            self.single[role, language.code] = frozenset(row[0] for row in rows if len(row) == 1)


class _NameVerbs(NamedTuple):
    families: dict[str, set[str]]
    weak: set[str]


@functools.cache
def _built_in(codes: tuple[str, ...]) -> _BuiltIn:
    return _BuiltIn(codes)


@functools.lru_cache(maxsize=1)
def _name_verbs() -> _NameVerbs:
    """Verbs in the names of tools, which are English in every company."""
    found = _NameVerbs({}, set())
    for family, phrases in language("en").verbs.items():
        for text in phrases:
            phrase = _folded_phrase(text, family, "en") if text[0] != "^" and " " not in text else None
            if phrase is not None and len(phrase.parts) == 1 and len(phrase.parts[0]) == 1:
                word = phrase.parts[0][0]
                found.families.setdefault(word, set()).add(family)
                if phrase.weak:
                    found.weak.add(word)
    return found


def _merged(
    shared: dict[str, list[_Row]], own: Iterable[tuple[str, _Row]], order: Callable[[_Row], int]
) -> Mapping[str, list[_Row]]:
    """``shared``, or a copy of it with one's own rows; the shared lists stay as they are."""
    found = shared
    for first, row in own:
        found = dict(shared) if found is shared else found
        found[first] = sorted([*found.get(first, ()), row], key=order)
    return found


def _nouns(text: str, family: str, language: str, *, plural: bool) -> Iterator[Noun]:
    for form in _spellings(text):
        words = _words(form)
        if not words:
            raise ConfigError(f"object word {text!r} holds no letter or digit")
        yield Noun(words, family, language, plural)


def phrase_of(text: str, family: str) -> Phrase:
    """A policy's own phrase."""
    return _phrase(text, family, _OWN)


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
