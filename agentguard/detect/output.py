"""``OutputSecurityFilter``: what a model may not say: secrets, personal data, active markup, and known secrets."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote, quote_plus

from agentguard.detect.markup import inspect_markup, neutralize
from agentguard.detect.redaction import Edit, apply_edits, scan_text, tag
from agentguard.text.invisible import sanitize

__all__ = ["OutputSecurityFilter"]

ALL_CLASSES = frozenset({"secret", "pii"})
# A shorter value would shred honest text: it stands in it by chance.
MIN_KNOWN = 6
# A known secret is also found with up to this many separators between its characters.
_SEPARATORS = r"[\s._,;:|/\\\"'-]{0,3}"


class OutputSecurityFilter:
    """Filters answers.

    Args:
        classes: what to redact: ``secret``, ``pii``.
        allow_hosts: hosts that images and links may point to.
    """

    def __init__(self, *, classes: frozenset[str] = ALL_CLASSES, allow_hosts: frozenset[str] = frozenset()) -> None:
        self._classes = classes
        self._allow_hosts = allow_hosts

    def filter_output(self, text: str, context: Mapping[str, object] | None = None) -> str:
        """``text`` without secrets, personal data and active markup.

        ``context`` may hold known secrets under keys that end in ``_secret`` or ``_key``; they are removed too, in
        base64, hexadecimal, URL-encoded and spaced-out forms as well.
        """
        text = sanitize(text)[0]
        edits: list[Edit] = [(start, end, "[redacted:known-secret]") for start, end in _known(text, context or {})]
        scan = scan_text(text, self._classes)
        edits.extend((m.start, m.end, tag(m.type, text[m.start : m.end])) for m in scan.matches)
        edits.extend(neutralize(text, inspect_markup(text, self._allow_hosts)))
        return apply_edits(text, edits)

    def validate_output_safety(self, text: str) -> tuple[bool, str | None]:
        """``(True, None)``, or ``(False, reason)`` naming the kinds found, never the text."""
        clean = sanitize(text)[0]
        kinds = [match.type for match in scan_text(clean, self._classes).matches]
        kinds.extend(f"markup.{issue.kind}" for issue in inspect_markup(clean, self._allow_hosts))
        if not kinds:
            return True, None
        return False, "unsafe output: " + ", ".join(dict.fromkeys(kinds))


def _known(text: str, context: Mapping[str, object]) -> Iterator[tuple[int, int]]:
    for key, value in context.items():
        if key.endswith(("_secret", "_key")) and isinstance(value, str) and len(value.strip()) >= MIN_KNOWN:
            for pattern in _forms(value.strip()):
                yield from (match.span() for match in pattern.finditer(text))


def _forms(value: str) -> Iterator[re.Pattern[str]]:
    """The ways a value can be written. Each repeat is bounded and between fixed characters: linear."""
    raw = value.encode("utf-8", "surrogatepass")
    yield re.compile(_SEPARATORS.join(map(re.escape, value)), re.IGNORECASE)
    yield re.compile(_SEPARATORS.join(map(re.escape, reversed(value))), re.IGNORECASE)
    yield re.compile(re.escape(raw.hex()), re.IGNORECASE)
    for form in {quote(value, safe=""), quote_plus(value)} - {value}:
        yield re.compile(re.escape(form), re.IGNORECASE)
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # Inside a longer base64 text a value stands at one of three alignments; its edges mix with neighbours.
            encoded = encode(b"\0" * shift + raw).decode()
            core = encoded[(0, 2, 3)[shift] : len(encoded) - len(encoded) % 4].rstrip("=")
            core = core[:-1] if (len(raw) + shift) % 3 else core
            if len(core) >= MIN_KNOWN:
                yield re.compile(re.escape(core) + "={0,2}")
