"""Secrets the application names itself: found verbatim, split by separators, and in their usual encodings."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_plus

import re2

from agentguard.detect.recognizers.engine import Match
from agentguard.text.view import View
from agentguard.text.views import clean_view, scannable

__all__ = ["MIN_LENGTH", "RegisteredSecrets"]

# A shorter value stands in honest text by chance; removing it would shred the text and show where it stood.
MIN_LENGTH = 6
# Longer values are found in their verbatim and encoded forms only: the split form costs a pattern step per character.
MAX_SPLIT = 128
# Between two characters: separators, or a string closed and opened again (``" + "``); in whole texts line ends too.
_GAP = r"[ \t.\-_,|'\"+\\/]{0,6}"
_GAP_OVER_LINES = r"[ \t\r\n.\-_,|'\"+\\/]{0,8}"
# The characters at a base64 form's edges mix with its neighbours; they go with it.
_EDGE = "[A-Za-z0-9+/_-]{0,1}"
_TAIL = "[A-Za-z0-9+/_-]{0,2}={0,2}"
_SUFFIXES = ("_secret", "_key")


class RegisteredSecrets:
    """Known secret values and a pattern that finds them. Values under ``MIN_LENGTH`` characters are ignored.

    Args:
        values: the secrets.
        over_lines: also find one that a line end splits; not for streams, which are cut there.
    """

    def __init__(self, values: Iterable[str], *, over_lines: bool = False) -> None:
        # A value of several lines is found line by line: streams are cut at line ends.
        lines = sorted({line.strip() for value in values for line in value.splitlines()})
        self.values = tuple(line for line in lines if len(line) >= MIN_LENGTH)
        forms = sorted({form for value in self.values for form in _forms(value)}, key=lambda f: (-len(f), f))
        encoded = sorted({form for value in self.values for form in _base64_forms(value)}, key=lambda f: (-len(f), f))
        gap = _GAP_OVER_LINES if over_lines else _GAP
        split = [gap.join(re2.escape(char) for char in value) for value in self.values if len(value) <= MAX_SPLIT]
        edged = (_EDGE + re2.escape(form) + _TAIL for form in encoded)
        pattern = "|".join((*map(re2.escape, forms), *edged, *split))
        self._pattern = re2.compile(f"(?i:{pattern})") if pattern else None

    @classmethod
    def from_context(cls, context: Mapping[str, object] | None) -> RegisteredSecrets:
        """The texts under keys that end in ``_secret`` or ``_key``, at any depth, for use on whole texts."""
        return cls(_secret_texts(context or {}), over_lines=True)

    def scan(self, text: str) -> tuple[Match, ...]:
        """Where a registered value stands, in any form."""
        if self._pattern is None:
            return ()
        view = clean_view(scannable(View(text)))
        spans = (view.span(m.start(), m.end()) for m in self._pattern.finditer(view.text))
        return tuple(Match("secret.registered", "registered", start, end) for start, end in spans)


def _secret_texts(context: Mapping[str, object]) -> Iterable[str]:
    for key, value in context.items():
        if isinstance(value, Mapping):
            yield from _secret_texts(value)
        elif isinstance(value, str) and str(key).lower().endswith(_SUFFIXES):
            yield value


def _forms(value: str) -> Iterable[str]:
    raw = value.encode("utf-8", "surrogatepass")
    yield from (value, value[::-1], raw.hex(), json.dumps(value)[1:-1], "".join(f"%{byte:02x}" for byte in raw))
    if not any("\ud800" <= c <= "\udfff" for c in value):
        yield from (quote(value, safe=""), quote_plus(value))


def _base64_forms(value: str) -> Iterable[str]:
    raw = value.encode("utf-8", "surrogatepass")
    for shift in range(3):
        # The same bytes encode differently at each position modulo three; keep the characters they alone decide.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(b"\0" * shift + raw).decode().rstrip("=")
            core = encoded[(shift * 8 + 5) // 6 : len(encoded) - (1 if (shift + len(raw)) % 3 else 0)]
            if len(core) >= MIN_LENGTH:
                yield core
