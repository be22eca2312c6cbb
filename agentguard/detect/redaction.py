"""Replacing what must not be seen: operators, and edits over one text.

Operators after Presidio: ``tag`` (default) names the type, ``mask`` keeps the length, ``hash`` gives equal values
equal tokens under one key, ``remove`` leaves nothing. None can be reversed.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from typing import TypeAlias

from agentguard.detect.recognizers import Scan, engine_for
from agentguard.text.view import View
from agentguard.text.views import clean_view, scannable

__all__ = ["Edit", "Operator", "apply_edits", "hashed", "mask", "redact", "remove", "scan_text", "tag"]

# A range of the original and what stands there afterwards.
Edit: TypeAlias = tuple[int, int, str]
# Type of the entity and its text, to what replaces it.
Operator: TypeAlias = Callable[[str, str], str]


def tag(type: str, value: str) -> str:
    """``[redacted:email]``."""
    del value
    return f"[redacted:{type.rpartition('.')[2]}]"


def mask(type: str, value: str) -> str:
    """As many asterisks as the value had characters."""
    del type
    return "*" * len(value)


def remove(type: str, value: str) -> str:
    """Nothing."""
    del type, value
    return ""


def hashed(key: bytes) -> Operator:
    """An operator that gives equal values equal tokens: HMAC-SHA-256 under ``key``, cut to 64 bits."""

    def operator(type: str, value: str) -> str:
        digest = hmac.new(key, f"{type}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return f"[{type.rpartition('.')[2]}:{digest[:16]}]"

    return operator


def scan_text(text: str, classes: frozenset[str]) -> Scan:
    """Entities of the given classes, with spans in ``text``; invisible characters inside a value do not hide it."""
    engine = engine_for(classes)
    source = scannable(View(text))
    plain = engine.scan(source.text)
    if text.isascii():
        return plain
    clean = clean_view(source)
    if clean is source:
        return plain
    hidden = engine.scan(clean.text)
    taken = list(plain.matches)
    for match in hidden.matches:
        start, end = clean.span(match.start, match.end)
        if all(end <= other.start or start >= other.end for other in plain.matches):
            taken.append(type(match)(match.type, start, end, match.score))
    return Scan(tuple(sorted(taken, key=lambda m: m.start)), plain.truncated or hidden.truncated)


def redact(text: str, classes: frozenset[str], operator: Operator = tag) -> str:
    """``text`` with every entity of the classes replaced."""
    scan = scan_text(text, classes)
    return apply_edits(text, ((m.start, m.end, operator(m.type, text[m.start : m.end])) for m in scan.matches))


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Apply edits; of two that overlap the one that starts first swallows the other."""
    parts: list[str] = []
    last = 0
    for start, end, replacement in sorted(edits, key=lambda edit: (edit[0], -edit[1])):
        if start < last:
            # What reaches beyond the edit before is still removed.
            last = max(last, end)
            continue
        parts.append(text[last:start])
        parts.append(replacement)
        last = end
    parts.append(text[last:])
    return "".join(parts)
