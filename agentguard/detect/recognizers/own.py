"""An application's own choice: recognizers beside the built-in ones, and values that are never taken out."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable

import re2

from agentguard.detect.recognizers.engine import LIMIT, Match, Recognizer, RecognizerSet
from agentguard.detect.recognizers.registry import CLASSES, recognizers_for
from agentguard.errors import ConfigError

__all__ = ["BUILT_IN", "Choice", "own_recognizer"]

# What would let a match depend on more than its line: streams are judged line by line.
_WHOLE_TEXT = re.compile(r"\\[AzC]|\(\?[a-zA-Z]*-")


def own_recognizer(
    name: str,
    pattern: str,
    *,
    kind: str = "secret",
    keywords: Iterable[str] = (),
    examples: Iterable[str],
    look_alikes: Iterable[str] = (),
) -> Recognizer:
    """A recognizer of the application's own, found as ``<kind>.<name>``.

    Args:
        name: lower-case letters, digits and hyphens; no built-in recognizer's.
        pattern: RE2, one line at most; a group named ``v`` is the value, else the whole match.
        kind: ``secret`` or ``pii``.
        keywords: words of which one must stand in the 60 characters before the value, on its line; in any case.
        examples: texts it must find something in; at least one.
        look_alikes: texts it must find nothing in.

    Raises:
        ConfigError: a wrong name or kind, a pattern RE2 does not take, an example that fails.
    """
    if kind not in CLASSES:
        raise ConfigError(f"recognizer {name!r}: class {kind!r}; use {' or '.join(sorted(CLASSES))}")
    if not re.fullmatch("[a-z0-9]+(?:-[a-z0-9]+)*", name) or name in {r.rule for rs in CLASSES.values() for r in rs}:
        raise ConfigError(f"recognizer {name!r}: use lower-case words with hyphens, and no built-in recognizer's name")
    if _WHOLE_TEXT.search(pattern):
        raise ConfigError(
            f"recognizer {name!r}: \\A, \\z, \\C and (?-...) are not accepted; ^ and $ mean the line's edges"
        )
    words = tuple(word.lower() for word in keywords)
    positive, negative = tuple(examples), tuple(look_alikes)
    made = Recognizer(
        f"{kind}.{name}",
        name,
        f"(?m:{pattern})",
        validator=_behind(words) if words else None,
        examples=lambda: positive,
        negatives=lambda: negative,
        keywords=words,
        rank=3,
        one_line=True,
    )
    _prove(made, positive, negative)
    return made


def _behind(words: tuple[str, ...]) -> Callable[[str, str], int]:
    return lambda value, before: len(value) if any(word in before.lower() for word in words) else 0


def _prove(made: Recognizer, positive: tuple[str, ...], negative: tuple[str, ...]) -> None:
    alone = RecognizerSet([made])
    found = [bool(alone.scan(text)) for text in (*positive, *negative)]
    if re2.search(made.pattern, "") is not None:
        raise ConfigError(f"recognizer {made.rule!r}: its pattern matches the empty text")
    if not positive or not all(found[: len(positive)]):
        raise ConfigError(
            f"recognizer {made.rule!r}: it does not find its example {found.index(False) + 1 if found else 1}"
        )
    if any(found[len(positive) :]):
        raise ConfigError(f"recognizer {made.rule!r}: it finds its look-alike {found[len(positive) :].index(True) + 1}")


class Choice:
    """What an application looks for. Immutable and thread-safe.

    Args:
        own: recognizers beside the built-in ones.
        allowed: says of a found value that it may stay, as a company's own public address.
    """

    def __init__(self, own: Iterable[Recognizer] = (), allowed: Callable[[str], bool] | None = None) -> None:
        self.own = tuple(own)
        self._allowed = allowed
        self._sets: dict[frozenset[str], RecognizerSet] = {}
        self._lock = threading.Lock()

    def scan(self, text: str, classes: frozenset[str]) -> tuple[Match, ...]:
        """Everything of the classes that may not stay, by position, without overlaps."""
        found = self._set(classes).scan(text)
        if self._allowed is None:
            return found
        allowed = self._allowed
        return tuple(m for m in found if m.type == LIMIT or not allowed(text[m.start : m.end]))

    def _set(self, classes: frozenset[str]) -> RecognizerSet:
        if not self.own:
            return recognizers_for(classes)
        with self._lock:
            if classes not in self._sets:
                own = (r for r in self.own if r.type.partition(".")[0] in classes)
                self._sets[classes] = RecognizerSet((*recognizers_for(classes).recognizers, *own))
            return self._sets[classes]


BUILT_IN = Choice()
