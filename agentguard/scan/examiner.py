"""Examining one piece: every check of the text pipeline, spans in code points of the stream's text."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agentguard.detect import injection
from agentguard.detect.markup import inspect_markup
from agentguard.detect.recognizers.engine import LIMIT, Match
from agentguard.detect.redaction import UNSCANNED, find, mask, tag
from agentguard.errors import ConfigError
from agentguard.scan.piece import MARGIN, Passage, Piece
from agentguard.text.invisible import dishonest_spans, hidden_payloads
from agentguard.text.view import Edit, View

__all__ = ["CLASSES", "DEFAULT_CLASSES", "Examined", "Hit", "Search", "Stretch", "class_of", "examine", "size_of"]

CLASSES = ("secret", "pii", "injection", "hidden-text", "markup")
# Markup that acts is what web pages are made of: looked for only when asked.
DEFAULT_CLASSES = frozenset(CLASSES[:-1])
# What an invisible character's neighbours are judged by reaches 40 characters; piles of marks begin at 30.
NEAR = 128
# ASCII texts shorter than this cannot hold an instruction; JSON records are full of them.
SHORT = 12
# A passage with too many readings is halved down to this length; halves share LEAP, more than a rule's usual match.
INDIVISIBLE = 500
LEAP = 100
# Page breaks are how old text files part pages.
_PAGE_BREAKS = "\x0c"
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_KEPT = '"\\'
_SHORT_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_STRING_EDGE = re.compile(r'\\.|["\n]', re.DOTALL)
_NUMBER = re.compile(r"[-+.0-9A-Za-z]*")


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for.

    Raises:
        ConfigError: an unknown class, none at all, or a threshold out of range.
    """

    classes: frozenset[str] = DEFAULT_CLASSES
    threshold: str | float = "balanced"

    def __post_init__(self) -> None:
        if unknown := self.classes - set(CLASSES):
            raise ConfigError(f"class {', '.join(sorted(unknown))}: use {', '.join(CLASSES)}")
        if not self.classes:
            raise ConfigError(f"no class to look for: use {', '.join(CLASSES)}")
        injection.threshold_value(self.threshold)

    @property
    def values(self) -> frozenset[str]:
        """The classes that recognizers find."""
        return self.classes & {"secret", "pii"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """What redaction does: ``[start, end)`` of the stream becomes ``text``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One finding of a piece. ``start``, ``end`` in code points of the stream; the rest says where that is.

    ``lines`` line feeds stand between the piece's own start and the hit; ``column`` and ``column_bytes`` count from the
    last of them, or from the piece's own start, and ``undecodable`` tells whether bytes that are no UTF-8 stand there.
    ``byte_start`` and ``byte_end`` count from the piece's own start. ``open``: the value goes on behind what the piece
    could see.
    """

    type: str
    rule: str
    score: float
    start: int
    end: int
    lines: int
    column: int
    column_bytes: int
    undecodable: bool
    byte_start: int
    byte_end: int
    preview: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True)
class Examined:
    """A piece's hits by position, and the sizes of its own part; ``column`` and what follows count its last line."""

    hits: tuple[Hit, ...]
    stretches: tuple[Stretch, ...]
    length: int
    bytes: int
    lines: int
    column: int
    column_bytes: int
    undecodable: bool


def class_of(type_: str) -> str:
    """The class of a finding's type: what ``Search.classes`` names."""
    kind = type_.partition(".")[0]
    if type_ == LIMIT:
        return "secret"
    return {"hidden": "hidden-text", "limit": "injection"}.get(kind, kind)


def examine(piece: Piece, search: Search) -> Examined:
    """Run the checks of ``search`` over one piece."""
    found: list[Match] = []
    stretches: list[Stretch] = []
    if search.values:
        for match, parts in _replaced(piece, list(_values(piece, search.values))):
            found.append(match)
            stretches += parts
    if "hidden-text" in search.classes:
        hidden = list(_hidden(piece))
        found += hidden
        stretches += [Stretch(m.start, m.end, "") for m in hidden]
    if "injection" in search.classes:
        for passage in piece.passages:
            found += _injection(piece, passage, search.threshold)
    if "markup" in search.classes:
        found += _markup(piece)
    shift = piece.start - piece.low
    stretches = [Stretch(s.start + shift, s.end + shift, s.text) for s in stretches]
    stretches.sort(key=lambda s: (s.start, -s.end))
    own = piece.text[piece.low : piece.high]
    last = own.rpartition("\n")[2]
    return Examined(
        tuple(_placed(piece, found)),
        tuple(stretches),
        len(own),
        size_of(own),
        own.count("\n"),
        len(last),
        size_of(last),
        _has_raw_bytes(last),
    )


def _values(piece: Piece, classes: frozenset[str]) -> Iterator[Match]:
    """Matches that start in the piece's own part, spans in the piece's text."""
    low = piece.low if piece.line_start else 0
    high = piece.high if piece.line_end else len(piece.text)
    if piece.json and "\\" in piece.text[low:high]:
        # Quotes and backslashes stay escaped: the recognizers know such strings, and their ends stay ends.
        view = _unescaped(piece.text[low:high], _KEPT)
        found = _find(view.text, 0, len(view.text), classes)
        spans = (view.span(m.start, m.end) for m in found)
        matches = [Match(m.type, m.rule, a + low, b + low, m.score) for m, (a, b) in zip(found, spans, strict=True)]
    else:
        matches = _find(piece.text, low, high, classes)
    yield from (match for match in matches if piece.low <= match.start < piece.high)


def _find(text: str, low: int, high: int, classes: frozenset[str]) -> list[Match]:
    """Matches in ``text[low:high]``. Where there are too many to examine at once, the range is halved until not."""
    found = find(text[low:high], classes)
    if not (found and any(m.type == LIMIT for m in found)):
        return [Match(m.type, m.rule, m.start + low, m.end + low, m.score) for m in found]
    if high - low < 2 * MARGIN:
        return [Match(LIMIT, found[0].rule, low, high)]
    middle = (low + high) // 2
    newline = text.rfind("\n", low, middle)
    if newline > low:
        return [*_find(text, low, newline + 1, classes), *_find(text, newline + 1, high, classes)]
    margin = MARGIN // 4
    left = [m for m in _find(text, low, middle + margin, classes) if m.start < middle]
    return _merged([*left, *(m for m in _find(text, middle - margin, high, classes) if m.start >= middle)])


def _merged(found: Iterable[Match]) -> list[Match]:
    kept: list[Match] = []
    for match in sorted(found, key=lambda m: (m.start, -m.end)):
        if kept and match.start < kept[-1].end:
            last = kept[-1]
            kept[-1] = Match(last.type, last.rule, last.start, max(last.end, match.end), last.score)
        else:
            kept.append(match)
    return kept


def _hidden(piece: Piece) -> Iterator[Match]:
    first, last = max(0, piece.low - NEAR), min(len(piece.text), piece.high + NEAR)
    text = piece.text[first:last]
    if text.isascii() and text.isprintable():
        return
    view = _unescaped(text) if piece.json else View(text)
    spelled = [view.span(start, end) for start, end, _ in hidden_payloads(view.text)]
    for start, end in dishonest_spans(view.text):
        low, high = (at + first for at in view.span(start, end))
        low, high = max(low, piece.low), min(high, piece.high)
        if low >= high or not view.text[start:end].strip(_PAGE_BREAKS) or _is_byte_order_mark(piece, low, high):
            continue
        payload = any(s < high - first and low - first < e for s, e in spelled)
        yield Match("hidden.payload" if payload else "hidden.characters", "invisible", low, high)


def _is_byte_order_mark(piece: Piece, low: int, high: int) -> bool:
    return piece.start == 0 and low == piece.low and piece.text[low:high] == "\ufeff"


def _injection(piece: Piece, passage: Passage, threshold: str | float) -> Iterator[Match]:
    base = passage.start - passage.overlap
    text = piece.text[base : passage.end]
    if len(text) < SHORT and text.isascii():
        return
    limit = injection.threshold_value(threshold)
    told: set[tuple[int, int]] = set()
    for offset, part, report in _reports(text, json=piece.json):
        if report.truncated and len(part.text) <= INDIVISIBLE:
            yield Match("limit.expansion", "decoding-limit", max(base + offset, passage.start), passage.end)
        for hit in sorted(report.hits, key=lambda h: -h.weight) if report.score >= limit else ():
            start, end = (at + offset + base for at in part.span(hit.start, hit.end))
            # What lies before the passage was told of with the passage it belongs to.
            if end > passage.start and (start, end) not in told:
                told.add((start, end))
                yield Match(hit.type, hit.rule, start, end, report.score)


def _reports(text: str, *, json: bool, offset: int = 0) -> Iterator[tuple[int, View, injection.Report]]:
    """Judge a passage; its halves too when it has more readings than fit the limit, which grows for shorter texts."""
    view = _unescaped(text) if json else View(text)
    report = injection.inspect(view.text, "tool")
    yield offset, view, report
    if report.truncated and len(view.text) > INDIVISIBLE:
        middle = len(text) // 2
        gap = max(text.rfind(mark, middle // 2, middle) for mark in ("\n", " "))
        middle = middle if gap < 0 else gap + 1
        yield from _reports(text[: middle + LEAP], json=json, offset=offset)
        yield from _reports(text[middle:], json=json, offset=offset + middle)


def _markup(piece: Piece) -> Iterator[Match]:
    text = piece.text[piece.low : piece.high]
    view = _unescaped(text) if piece.json else View(text)
    for found in inspect_markup(view.text):
        low, high = view.span(found.start, found.end)
        yield Match(found.type, found.rule, low + piece.low, high + piece.low)


def _unescaped(text: str, kept: str = "") -> View:
    """JSON text with the escapes of its strings resolved, but for those of ``kept``; outside of strings it has none."""
    plain = View(text)
    if "\\" not in text:
        return plain
    edits = (Edit(m.start(), m.end(), _character(m)) for m in _ESCAPE.finditer(text))
    return View.edited(plain, "json", (edit for edit in edits if edit.text not in kept or not kept))


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else _SHORT_ESCAPES.get(escape[2], escape[2])


def _replaced(piece: Piece, matches: list[Match]) -> Iterator[tuple[Match, list[Stretch]]]:
    """Each match with what redaction makes of it. In JSON, what lies between strings and is no number is no value."""
    strings = _strings(piece) if piece.json and matches else []
    for match in matches:
        if not piece.json:
            yield match, [Stretch(match.start, match.end, _tag(match))]
        elif parts := list(_json_parts(piece.text, match, strings)):
            yield match, parts


def _json_parts(text: str, match: Match, strings: list[tuple[int, int]]) -> Iterator[Stretch]:
    """Inside strings the value is replaced; a bare number becomes a string, so that JSON stays JSON."""
    first = bisect_right(strings, match.start, key=lambda inside: inside[1])
    last = bisect_left(strings, match.end, key=lambda inside: inside[0])
    for low, high in strings[first:last]:
        start, end = max(match.start, low), min(match.end, high)
        if start < end:
            # Half an escape would change what follows it.
            yield Stretch(start - _escaped(text, start), end + _escaped(text, end), _tag(match))
    if first >= last:
        before = text[max(0, match.start - NEAR) : match.start]
        start = match.start - len(before) + len(before.rstrip("+-.0123456789"))
        number = _NUMBER.match(text, start)
        if number and number.end() >= match.end:
            yield Stretch(start, number.end(), f'"{_tag(match)}"')


def _escaped(text: str, at: int) -> int:
    """1 when the character at ``at`` belongs to the backslash before it, else 0."""
    slashes = 0
    while text[at - slashes - 1 : at - slashes] == "\\":
        slashes += 1
    return slashes % 2


def _strings(piece: Piece) -> list[tuple[int, int]]:
    """Insides of the JSON strings of the piece's own lines; the last may be cut off by the piece's end."""
    found: list[tuple[int, int]] = []
    opened = piece.low if piece.in_string else -1
    for edge in _STRING_EDGE.finditer(piece.text, piece.low):
        if edge[0] == '"':
            if opened >= 0:
                found.append((opened, edge.start()))
                opened = -1
            else:
                opened = edge.end()
        elif edge[0] == "\n":
            opened = -1
    if opened >= 0:
        found.append((opened, len(piece.text)))
    return found


def _tag(match: Match) -> str:
    return tag(UNSCANNED if match.type == LIMIT else match.type, "")


def _placed(piece: Piece, found: list[Match]) -> Iterator[Hit]:
    lines = column = column_bytes = byte = 0
    at, raw = piece.low, False
    shift = piece.start - piece.low
    for match in sorted(found, key=lambda m: (m.start, m.end, m.type)):
        # An injection may begin in the overlap before the piece; it is placed at the piece's start then.
        start = max(match.start, piece.low)
        between = piece.text[at:start]
        at = start
        byte += size_of(between)
        if "\n" in between:
            lines += between.count("\n")
            between = between.rpartition("\n")[2]
            column = column_bytes = 0
            raw = False
        column += len(between)
        column_bytes += size_of(between)
        raw = raw or _has_raw_bytes(between)
        value = piece.text[start : match.end]
        yield Hit(
            match.type,
            match.rule,
            match.score,
            start + shift,
            match.end + shift,
            lines,
            column,
            column_bytes,
            raw,
            byte,
            byte + size_of(value),
            mask(match.type, value) if class_of(match.type) in ("secret", "pii") else "",
            _goes_on(piece, match),
        )


def _goes_on(piece: Piece, match: Match) -> bool:
    """Whether a value reaches the last character that could be seen, so that its end is not known."""
    if piece.line_end:
        return match.end == piece.high < len(piece.text) and match.type == "secret.private-key"
    return match.end == len(piece.text) and match.type.startswith(("secret.", "pii."))


def size_of(text: str) -> int:
    """Bytes that ``text`` had in the file; what was no UTF-8 there stands as lone surrogates."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _has_raw_bytes(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= char <= "\udcff" for char in text)
