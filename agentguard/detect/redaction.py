"""Taking found values out of a text.

An operator gets the finding's type and the value and returns what stands there instead. All operators leave nothing
of the value but what they say: ``tag`` its type, ``mask`` its length up to 16, ``keyed_hash`` a token, equal for
equal values. Those that can be undone are in ``pseudonym``; which class is written how, in ``operators``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from typing import TypeAlias

from agentguard.detect.recognizers.engine import LIMIT, Match
from agentguard.detect.recognizers.own import BUILT_IN, Choice
from agentguard.detect.registered import RegisteredSecrets
from agentguard.errors import ConfigError
from agentguard.text.view import View
from agentguard.text.views import clean_view

__all__ = ["Operator", "Spans", "find", "hint", "keyed_hash", "mask", "redact", "remove", "replace", "tag", "visible"]

Operator: TypeAlias = Callable[[str, str], str]
# Ranges of a text in which nothing is redacted: what an operator wrote there before.
Spans: TypeAlias = Callable[[str], Iterable[tuple[int, int]]]

UNSCANNED = "unscanned"
MIN_HASH_KEY = 16
_NUMBERED = frozenset({"pii.card", "pii.iban"})
_DOMAIN = re.compile(r"[0-9a-z.-]{1,64}")


def tag(type_: str, value: str, shown: str = "") -> str:
    """``[redacted:<type>]``, with what may be ``shown`` of the value."""
    return f"[redacted:{type_} {shown}]" if shown else f"[redacted:{type_}]"


def hint(type_: str, value: str) -> str:
    """What makes a redacted value useful still: an account's last four digits, an address's domain; else nothing."""
    if type_ in _NUMBERED:
        return "".join(char for char in value if char.isalnum())[-4:]
    domain = value.rpartition("@")[2].lower() if type_ == "pii.email" else ""
    return f"@{domain}" if domain and _DOMAIN.fullmatch(domain) else ""


def mask(type_: str, value: str) -> str:
    """Asterisks, at most 16, so that a long value's length stays private."""
    return "*" * min(len(value), 16)


def remove(type_: str, value: str) -> str:
    """Nothing."""
    return ""


def keyed_hash(key: bytes) -> Operator:
    """HMAC-SHA-256, shortened to 64 bits: equal values get equal tokens, and only the key's holder can test a guess.

    Raises:
        ConfigError: a key of fewer than 16 bytes.
    """
    if len(key) < MIN_HASH_KEY:
        raise ConfigError(f"a redaction hash key needs at least {MIN_HASH_KEY} bytes, got {len(key)}")

    def operator(type_: str, value: str) -> str:
        token = hmac.new(key, f"{type_}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:16]
        return f"[{type_}:{token}]"

    return operator


def find(
    text: str,
    classes: frozenset[str],
    registered: RegisteredSecrets | None = None,
    choice: Choice = BUILT_IN,
    spans: Spans | None = None,
) -> tuple[Match, ...]:
    """Matches of the classes and of the registered secrets, by position, overlaps joined; none inside ``spans``."""
    found = list(choice.scan(text, classes)) if classes else []
    if registered is not None:
        found.extend(registered.scan(text))
    joined = _joined(found)
    kept = tuple(spans(text)) if joined and spans is not None else ()
    return tuple(m for m in joined if not any(a <= m.start and m.end <= b for a, b in kept)) if kept else joined


def redact(
    text: str,
    classes: frozenset[str],
    registered: RegisteredSecrets | None = None,
    operator: Operator = tag,
    choice: Choice = BUILT_IN,
    *,
    spans: Spans | None = None,
) -> str:
    """The text without what ``find`` finds. A text beyond the match limit is replaced whole: it was not examined."""
    return replace(text, find(text, classes, registered, choice, spans), operator)


def replace(text: str, matches: Iterable[Match], operator: Operator = tag) -> str:
    """The text with every match replaced; matches come ordered and without overlaps."""
    parts: list[str] = []
    last = 0
    for match in matches:
        if match.type == LIMIT:
            return operator(UNSCANNED, text)
        parts += (text[last : match.start], operator(match.type, visible(text[match.start : match.end])))
        last = match.end
    return "".join((*parts, text[last:]))


def visible(value: str) -> str:
    """The value without invisible characters: one that was split by them is the same value."""
    return clean_view(View(value)).text


def _joined(found: list[Match]) -> tuple[Match, ...]:
    kept: list[Match] = []
    for match in sorted(found, key=lambda m: (m.start, -m.end)):
        if kept and match.start < kept[-1].end:
            last = kept[-1]
            if match.end > last.end:
                kept[-1] = Match(last.type, last.rule, last.start, match.end, last.score)
        else:
            kept.append(match)
    return tuple(kept)
