"""Secrets the application names itself: found as they are, taken apart, and in the encodings people and models use.

Found in any case, reversed, in hexadecimal, in base64 at each of its three alignments (both alphabets), each of these
also split by invisible characters, whitespace, line ends and punctuation; and all of it once more with URL-percent,
HTML entities and backslash escapes undone. A value of fewer than ``SPLIT_LENGTH`` letters and digits is found split
only when every character stands apart, since "the hunt, err" is no secret "hunter".

The text is read with separators left out, so one search over literals finds every way of splitting, in linear time.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import re2

from agentguard.detect.recognizers.engine import LIMIT, MAX_MATCHES, Match
from agentguard.errors import ConfigError
from agentguard.text.invisible import INVISIBLE_TABLE
from agentguard.text.view import View
from agentguard.text.views import scannable, unescaped_view

__all__ = ["MIN_LENGTH", "RegisteredSecrets"]

# A shorter value stands in honest text by chance; removing it would shred the text and show where it stood.
MIN_LENGTH = 6
# From this many letters and digits on, a value is found however it is split.
SPLIT_LENGTH = 10
# Longer runs of separators part two words.
MAX_GAP = 16
PATTERN_MEMORY = 256 << 20
# The characters at a base64 form's edges mix with its neighbours; they go with it.
LEFT_EDGE, RIGHT_EDGE = 1, 4
_TAIL = re.compile("[A-Za-z0-9+/_-]{0,2}={0,2}")
# An escape that the next piece of a stream may complete.
_OPEN_ESCAPE = re.compile(r"(?:&[#0-9A-Za-z]{0,31}|%[0-9A-Fa-f]?|\\(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?)\Z")
_ESCAPES = ("&", "%", "\\")
_SEPARATORS = " \t\r\n\x0b\x0c\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000-_.,|'\"+\\/:;*~^`#()[]{}<>="
_SUFFIXES = ("_secret", "_key")

_Flags = npt.NDArray[np.bool_]
_Codes = npt.NDArray[np.uint32]


class RegisteredSecrets:
    """Known secret values. Those under ``MIN_LENGTH`` characters are ignored. Immutable and thread-safe.

    Raises:
        ConfigError: more than one search can hold: some 10 MB of values.
    """

    def __init__(self, values: Iterable[str]) -> None:
        # Texts are read with lone surrogates replaced, so the values are too.
        readable = (scannable(View(value)).text for value in values)
        lines = sorted({line.strip() for value in readable for line in value.splitlines()})
        self.values = tuple(line for line in lines if len(line) >= MIN_LENGTH)
        base64_forms = {form for value in self.values for form in _base64_forms(value)}
        self._edged = frozenset(form for form in base64_forms if len(form) > MIN_LENGTH)
        self._forms = {form for value in self.values for form in _split_forms(value)} | self._edged
        self._literals = {form for value in self.values for form in _short_forms(value)}
        self._longest = max(map(len, self._forms | self._literals), default=0)
        self._squashed = _any_of(map(re2.escape, _longest_first(self._forms)))
        apart = rf"[{_class(_SEPARATORS)}]{{1,{MAX_GAP}}}"
        spread = (apart.join(map(re2.escape, _squash(form)[0])) for form in _longest_first(self._literals))
        self._plain = _any_of((*map(re2.escape, _longest_first(self._literals)), *filter(None, spread)))

    @classmethod
    def from_context(cls, context: Mapping[str, object] | None) -> RegisteredSecrets:
        """The texts under keys that end in ``_secret`` or ``_key``, at any depth."""
        return cls(_secret_texts(context or {}))

    def scan(self, text: str) -> tuple[Match, ...]:
        """Where a registered value stands, in any form; a match of type ``limit.find-all`` when there are too many."""
        if not self.values:
            return ()
        found: set[tuple[int, int]] = set()
        for reading in _readings(text):
            for span in self._spans(reading.text):
                found.add(reading.span(*span))
                if len(found) > MAX_MATCHES:
                    return (Match(LIMIT, "registered", 0, len(text)),)
        return tuple(Match("secret.registered", "registered", *span) for span in sorted(found))

    def held_from(self, text: str) -> int:
        """Where in the beginning of a longer text a value starts that what follows may complete; its length if none."""
        if not self.values:
            return len(text)
        # A form's characters, each with the longest gap; what stands before cannot be part of an open one.
        low = max(0, len(text) - (self._longest + 1) * (MAX_GAP + 1))
        tail = text[low:]
        starts = [len(tail)]
        if escape := _OPEN_ESCAPE.search(tail, max(0, len(tail) - 32)):
            starts.append(escape.start())
        for reading in _readings(tail[: starts[-1]]):
            starts += (reading.span(at, at + 1)[0] for at in self._open(reading.text))
        starts += (match.start for match in self.scan(tail) if match.end + RIGHT_EDGE >= len(tail))
        return low + max(0, min(starts) - (LEFT_EDGE if min(starts) < len(tail) else 0))

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        if self._squashed is not None:
            squashed, places = _squash(text)
            for start, end in _overlapping(self._squashed, squashed, self._longest):
                low, high = int(places[start]), int(places[end - 1]) + 1
                yield _with_edges(text, low, high) if squashed[start:end] in self._edged else (low, high)
        if self._plain is not None:
            letters, places = _letters(text)
            for start, end in _overlapping(self._plain, letters, self._longest * (MAX_GAP + 1)):
                yield int(places[start]), int(places[end - 1]) + 1

    def _open(self, text: str) -> Iterator[int]:
        """Where the longest beginning of a form stands that ends the text."""
        for prefixes, (folded, places) in ((self._prefixes, _squash(text)), (self._literal_prefixes, _letters(text))):
            if not folded or len(text) - int(places[-1]) - 1 > MAX_GAP:
                continue
            for size in range(min(self._longest, len(folded)), 0, -1):
                if folded[-size:] in prefixes:
                    yield int(places[-size])
                    break

    @cached_property
    def _prefixes(self) -> frozenset[str]:
        forms = self._forms | {_squash(form)[0] for form in self._literals}
        return frozenset(form[:size] for form in forms for size in range(1, len(form) + 1))

    @cached_property
    def _literal_prefixes(self) -> frozenset[str]:
        return frozenset(form[:size] for form in self._literals for size in range(1, len(form) + 1))


def _readings(text: str) -> Iterator[View]:
    source = scannable(View(text))
    yield source
    if any(mark in text for mark in _ESCAPES):
        decoded = unescaped_view(source)
        if decoded is not source:
            yield decoded


def _overlapping(pattern: re2._Regexp, text: str, longest: int) -> Iterator[tuple[int, int]]:
    """Every match, those included that begin inside another one."""
    for hit in pattern.finditer(text):
        start, end = hit.span()
        yield start, end
        while inner := pattern.search(text[start + 1 : end + longest]):
            start, low = start + 1 + inner.start(), start + 1
            if start >= end:
                break
            end = max(end, low + inner.end())
            yield start, low + inner.end()


def _with_edges(text: str, low: int, high: int) -> tuple[int, int]:
    if low and (text[low - 1].isascii() and (text[low - 1].isalnum() or text[low - 1] in "+/_-")):
        low -= LEFT_EDGE
    tail = _TAIL.match(text, high)
    return low, tail.end() if tail else high


# -- forms -------------------------------------------------------------------------------------------------------------


def _split_forms(value: str) -> Iterator[str]:
    """What is looked for with all separators left out."""
    raw = value.encode("utf-8", "surrogatepass")
    squashed = _squash(value)[0]
    if len(squashed) >= SPLIT_LENGTH:
        yield from (squashed, squashed[::-1])
    yield from (raw.hex(), raw.hex()[::-1])
    # Byte by byte: 0x73, 0x65 and \\x73\\x65.
    yield from ("".join(f"{lead}{byte:02x}" for byte in raw) for lead in ("0x", "x"))


def _short_forms(value: str) -> Iterator[str]:
    """What has to stand there as it is, or with every character apart."""
    if len(_squash(value)[0]) < SPLIT_LENGTH:
        folded = _letters(value)[0]
        yield from (folded, folded[::-1])


def _base64_forms(value: str) -> Iterator[str]:
    raw = value.encode("utf-8", "surrogatepass")
    for shift in range(3):
        # The same bytes encode differently at each position modulo three; keep the characters they alone decide.
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        core = encoded[(shift * 8 + 5) // 6 : len(encoded) - (1 if (shift + len(raw)) % 3 else 0)]
        # Both alphabets: what they differ in is left out as separators are.
        yield _squash(core)[0]


def _secret_texts(context: Mapping[str, object]) -> Iterable[str]:
    for key, value in context.items():
        if isinstance(value, Mapping):
            yield from _secret_texts(value)
        elif isinstance(value, str) and str(key).lower().endswith(_SUFFIXES):
            yield value


# -- folding -----------------------------------------------------------------------------------------------------------


def _dropped(codes: Iterable[int]) -> _Flags:
    # The last place stands for every code point beyond the table.
    table = np.zeros(max(INVISIBLE_TABLE) + 2, dtype=np.bool_)
    table[[*INVISIBLE_TABLE, *codes]] = True
    return table


_INVISIBLE = _dropped(())
_SEPARATING = _dropped((*map(ord, _SEPARATORS), *range(0x2000, 0x200B), *range(0x2010, 0x2016)))


def _squash(text: str) -> tuple[str, npt.NDArray[np.intp]]:
    """Without separators and invisible characters, ASCII in lower case, and where each character stood.

    A run of more than ``MAX_GAP`` separators leaves a NUL, over which nothing matches.
    """
    codes = _codes(text)
    keep = ~_SEPARATING[np.minimum(codes, len(_SEPARATING) - 1)]
    places = np.flatnonzero(keep)
    if len(places) and (far := np.flatnonzero(np.diff(places) > MAX_GAP + 1)).size:
        barriers = places[far] + 1
        keep[barriers] = True
        codes[barriers] = 0
        places = np.flatnonzero(keep)
    return _folded(codes[places]), places


def _letters(text: str) -> tuple[str, npt.NDArray[np.intp]]:
    """Without invisible characters, ASCII in lower case, and where each character stood."""
    codes = _codes(text)
    places = np.flatnonzero(~_INVISIBLE[np.minimum(codes, len(_INVISIBLE) - 1)])
    return _folded(codes[places]), places


def _codes(text: str) -> _Codes:
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.uint32)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32).copy()


def _folded(codes: _Codes) -> str:
    capitals = (codes >= ord("A")) & (codes <= ord("Z"))
    codes = np.where(capitals, codes + 32, codes).astype("<u4")
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


def _any_of(patterns: Iterable[str]) -> re2._Regexp | None:
    joined = "|".join(patterns)
    if not joined:
        return None
    options = re2.Options()
    options.max_mem = PATTERN_MEMORY
    # RE2 would write the pattern, and so the secrets, to stderr.
    options.log_errors = False
    try:
        return re2.compile(joined, options)
    except re2.error:
        # Not chained: the cause's text shows the pattern.
        raise ConfigError("the registered secrets do not fit into one search; register fewer or shorter ones") from None


def _class(chars: str) -> str:
    return "".join(f"\\x{{{ord(char):x}}}" for char in chars)


def _longest_first(forms: Iterable[str]) -> list[str]:
    return sorted(forms, key=lambda form: (-len(form), form))
