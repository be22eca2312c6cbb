"""Labels guessed from names, descriptions and types: for a draft to review, and for a linter to doubt labels by.

Every guess errs on the strict side: a tool that might act is taken to act, the more dangerous of two readings wins,
and nothing is ever guessed to be trusted. A guess says by what it was made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agentguard.policy.lexicon import (
    BODIES,
    EFFECTS,
    EGRESS,
    FORMATS,
    IDENTIFIERS,
    INBOX,
    NOUNS,
    READS,
    SINKS,
    VALUES,
    VERBS,
)
from agentguard.policy.toolspec import Parameter, ToolSpec

__all__ = [
    "Guess",
    "effect_of",
    "is_body",
    "is_identifier",
    "leaves_machine",
    "reads_inbox",
    "returns_prose",
    "sink_of",
]

# Last words that only say of what the word before them tells: a file's name, an account's number.
_WEAK = frozenset({"name", "number", "address", "value", "list", "names", "numbers"})

_THIRD_PERSON = re.compile(r"[a-z]+(?<!s)s\b")


@dataclass(frozen=True, slots=True)
class Guess:
    """A label and, in a few words, what it was guessed by. ``sure`` is False where nothing at all spoke for it."""

    value: str
    by: str
    sure: bool = True


def effect_of(spec: ToolSpec) -> Guess:
    """The side effect of a tool. One that nothing tells of is taken to write."""
    said = _words(spec.name)
    names = [(effect, word) for word in said for effect in EFFECTS if _stem(word) in VERBS[effect]]
    # In "get_mail" and "list_orders" what follows the reading verb is a noun; "search_and_delete" acts.
    reads = bool(said) and _stem(said[0]) in READS
    acting = [pair for pair in names if not reads or pair[1] in _unmistakable(said)]
    told = _told(spec.description)
    commands = [p.name for p in spec.parameters if (found := sink_of(p)) and found.value == "command"]
    guesses = [
        *(Guess(effect, f"by its name ({word})") for effect, word in acting),
        *(Guess(effect, f"by its description ({word})") for effect, word in told),
        *(Guess("destructive", f"it takes a command ({name})") for name in commands),
        *([Guess("destructive", "its definition says destructive")] if spec.destructive else []),
    ]
    if guesses:
        return min(guesses, key=lambda guess: EFFECTS.index(guess.value))
    if reads:
        return Guess("read", f"by its name ({said[0]})")
    if any(_stem(word) in READS for word in (*said, *_words(spec.description)[:1])):
        return Guess("read", "by its description")
    return Guess("write", "nothing tells what it does", sure=False)


def sink_of(parameter: Parameter) -> Guess | None:
    """What the value selects; None when it looks like a body of text or like nothing known."""
    if parameter.format in FORMATS:
        return Guess(FORMATS[parameter.format], f"by its format ({parameter.format})")
    words = _words(parameter.name)
    # The last word says what it is ("customer_id" is an id), the others what it is about.
    if len(words) > 1 and words[-1] in _WEAK and any(words[-2] in names for _, names in SINKS):
        words = words[:-1]
    for word in reversed(words):
        for sink, names in SINKS:
            if word in names:
                return Guess(sink, f"by its name ({word})")
        if word in BODIES:
            return None
    return None


def is_body(parameter: Parameter) -> bool:
    """Whether it looks like a body of text that a model writes."""
    words = _words(parameter.name)
    return parameter.type in (None, "string") and bool(words) and words[-1] in BODIES


def is_identifier(name: str) -> bool:
    """Whether a parameter of this name selects something, so that it is no body of text."""
    words = _words(name)
    return bool(words) and words[-1] in IDENTIFIERS


def leaves_machine(name: str, description: str, parameters: Iterable[str]) -> str | None:
    """The word by which a reading tool seems to reach out of the machine; None when nothing tells so."""
    for parameter in parameters:
        found = sink_of(Parameter(parameter))
        if found and found.value == "url":
            return parameter
    said = [word for word in _words(name) if word in EGRESS]
    told = [word for word in _words(description) if word in ("web", "internet", "website", "http", "https", "online")]
    return next(iter([*said, *told]), None)


def reads_inbox(name: str) -> str | None:
    """The word by which a reading tool seems to return what outsiders sent; None when nothing tells so."""
    return next((word for word in _words(name) if word in INBOX), None)


def returns_prose(spec: ToolSpec) -> list[str]:
    """The text fields of a structured result that look like free text: all but those named like single values."""
    return [
        name
        for name, kind in spec.returns.items()
        if kind in (None, "string", "array", "object") and not (_words(name) and _words(name)[-1] in VALUES)
    ]


def _told(description: str) -> list[tuple[str, str]]:
    """Acting verbs of a description: the first word of a sentence, and third persons ("deletes") anywhere."""
    found: list[tuple[str, str]] = []
    for sentence in re.split(r"[.!?\n]+", description):
        words = _words(sentence)
        third = [word for word in words if _THIRD_PERSON.fullmatch(word)]
        for word in [*words[:1], *third]:
            stem = _stem(word)
            if stem in READS:
                continue
            # "emails", "messages" and "orders" are nouns more often than verbs; at the start they are verbs.
            if word != words[0] and stem in NOUNS:
                continue
            found.extend((effect, word) for effect in EFFECTS if stem in VERBS[effect])
    return found


def _unmistakable(words: list[str]) -> set[str]:
    """Acting words after a reading verb that are no nouns, or follow an "and" or "or"."""
    found = {word for word in words[1:] if _stem(word) not in NOUNS and word == _stem(word)}
    for index, word in enumerate(words[:-1]):
        if word in ("and", "or", "then"):
            found.add(words[index + 1])
    return found


def _stem(word: str) -> str:
    """The base form of a regular third person: sends, posts, deletes, pays, pushes, copies."""
    known = READS.union(*VERBS.values())
    if word in known:
        return word
    for ending, base in (("ies", "y"), ("es", ""), ("es", "e"), ("s", "")):
        if word.endswith(ending) and word[: -len(ending)] + base in known:
            return word[: -len(ending)] + base
    return word


def _words(text: str) -> list[str]:
    """The words of a name (snake, kebab, dotted or camel case) or of a sentence, in lower case."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", text[:4000])
    return [word.lower() for word in re.findall(r"[A-Za-z]+", spaced)]
