"""Characters a reader cannot see: which are honest, which hide something, and what they hide.

``sanitize`` removes invisible and control characters that have no honest use and normalises to NFC. It keeps what
honest text needs: joiners inside emoji and in scripts that shape with them (Persian, Indic, Arabic, Mongolian),
emoji variation selectors, flag tag sequences, directional marks next to right-to-left text, tabs and line ends.

Payloads: Unicode tags (U+E0000..E007F) spell ASCII; variation selectors (U+FE00.., U+E0100..) spell bytes.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from agentguard.text.marks import excess_marks, without_excess_marks

__all__ = [
    "INVISIBLE",
    "INVISIBLE_TABLE",
    "Change",
    "dishonest_spans",
    "hidden_payloads",
    "sanitize",
    "without",
    "without_invisible_ascii",
]

# Default-ignorable and format characters (Unicode 15 DerivedCoreProperties, Default_Ignorable_Code_Point), the
# interlinear annotation marks, and control characters except tab, line feed and carriage return.
INVISIBLE = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLE_RUN = re.compile(f"[{INVISIBLE}]+")
_TAG_RUN = re.compile("[\U000e0020-\U000e007e]{2,}")
_SELECTOR_RUN = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}")
_FLAG_TAGS = re.compile("[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")
# Tags as the ASCII characters they spell.
_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
_BLACK_FLAG = "\U0001f3f4"
# Zero-width and word-joiner characters used as the two digits of a hidden binary message.
_BINARY_RUN = re.compile("[\u200b\u200c\u200d\u2060\u2062-\u2064\ufeff]{16,}")

_JOINERS = "\u200c\u200d"
_MARKS = "\u200e\u200f\u061c"
_ISOLATES = "\u2066\u2067\u2068\u2069"
_MONGOLIAN = "\u180b\u180c\u180d\u180e\u180f"


def _expand(ranges: str) -> dict[int, None]:
    found: dict[int, None] = {}
    for low, dash, high in re.findall("(.)(?:(-)(.))?", ranges, re.DOTALL):
        found.update(dict.fromkeys(range(ord(low), ord(high if dash else low) + 1)))
    return found


INVISIBLE_TABLE = _expand(INVISIBLE)
_INVISIBLE_ASCII = bytes(code for code in INVISIBLE_TABLE if code < 128)
# Each has a place in honest text; all other invisible characters have none.
_SOMETIMES_HONEST = frozenset(
    map(
        chr,
        _expand(
            _JOINERS + _MARKS + _ISOLATES + _MONGOLIAN + "\ufe00-\ufe0f\u3164\u115f\u1160\u2800\U000e0100-\U000e01ef"
        ),
    )
)


_PERHAPS_HONEST = re.compile("[" + "".join(map(re.escape, sorted(_SOMETIMES_HONEST))) + "]")


@dataclass(frozen=True, slots=True)
class Change:
    """One edit of ``sanitize``: the range it replaced, in code points of the original, and why."""

    start: int
    end: int
    kind: str


def sanitize(text: str) -> tuple[str, tuple[Change, ...]]:
    """Remove what has no honest use and normalise to NFC; say what was changed.

    Idempotent. Plain ASCII without control characters comes back as the same object.
    """
    spans = dishonest_spans(text)
    if not spans and (text.isascii() or unicodedata.is_normalized("NFC", text)):
        return text, ()
    changes = [Change(start, end, "invisible-removed") for start, end in spans]
    # What was removed may have parted two runs of marks.
    result = unicodedata.normalize("NFC", without_excess_marks(without(text, spans)))
    # Removing one character can leave a joiner without the neighbour that made it honest.
    while again := dishonest_spans(result):
        result = unicodedata.normalize("NFC", without_excess_marks(without(result, again)))
    if not spans:
        changes.append(Change(0, len(text), "normalized-nfc"))
    return result, tuple(changes)


def without_invisible_ascii(text: str) -> bool:
    """Whether the text is plain ASCII without control characters but tab and line ends; ten times a search's speed."""
    if not text.isascii():
        return False
    raw = text.encode("ascii")
    return len(raw.translate(None, _INVISIBLE_ASCII)) == len(raw)


def dishonest_spans(text: str) -> list[tuple[int, int]]:
    """Ranges of invisible and control characters without an honest reason to stand where they stand.

    Marks piled higher than any script piles them count too.
    """
    if without_invisible_ascii(text):
        return []
    if _BLACK_FLAG in text or _PERHAPS_HONEST.search(text):
        spans: list[tuple[int, int]] = []
        for run in _INVISIBLE_RUN.finditer(text):
            spans.extend(_dishonest_in(text, *run.span()))
    else:
        spans = [run.span() for run in _INVISIBLE_RUN.finditer(text)]
    excess = excess_marks(text)
    return _joined(sorted([*spans, *excess])) if excess else spans


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def without(text: str, spans: list[tuple[int, int]]) -> str:
    """The text without these ranges, which come in order."""
    parts: list[str] = []
    last = 0
    for start, end in spans:
        parts.append(text[last:start])
        last = end
    parts.append(text[last:])
    return "".join(parts)


def hidden_payloads(text: str) -> list[tuple[int, int, str]]:
    """What invisible runs spell: ``(start, end, message)`` per run of tags, variation selectors or zero-width bits."""
    if text.isascii():
        return []
    found = [(m.start(), m.end(), m[0].translate(_TAGS)) for m in _tag_runs(text)]
    for pattern, decode in ((_SELECTOR_RUN, _selector_text), (_BINARY_RUN, _binary_text)):
        for m in pattern.finditer(text):
            if message := decode(m[0]):
                found.append((m.start(), m.end(), message))
    return found


def _tag_runs(text: str) -> list[re.Match[str]]:
    runs = _TAG_RUN.finditer(text)
    return list(runs) if _BLACK_FLAG not in text else [m for m in runs if not _is_flag(text, m.start())]


def _is_flag(text: str, start: int) -> bool:
    return text[start - 1 : start] == _BLACK_FLAG and _FLAG_TAGS.match(text, start) is not None


def _selector_text(run: str) -> str:
    raw = bytes(ord(c) - 0xFE00 if ord(c) < 0xFE10 else ord(c) - 0xE0100 + 16 for c in run)
    message = raw.decode("utf-8", "replace")
    return message if sum(c.isprintable() for c in message) * 2 > len(message) else ""


def _binary_text(run: str) -> str:
    digits = sorted(set(run))
    if len(digits) != 2:
        return ""
    for one in digits:
        bits = "".join("1" if char == one else "0" for char in run)
        raw = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits) - 7, 8))
        if all(32 <= byte < 127 or byte in (9, 10, 13) for byte in raw):
            return raw.decode("ascii")
    return ""


def _dishonest_in(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Judge one run of invisible characters between two visible ones; consecutive bad characters join."""
    if text[start - 1 : start] == _BLACK_FLAG and (flag := _FLAG_TAGS.match(text, start)):
        start = flag.end()
    if end - start > 2:
        return [(start, end)]
    if end - start == 1 and text[start] not in _SOMETIMES_HONEST:
        return [(start, end)]
    bad: list[tuple[int, int]] = []
    for index in range(start, end):
        if _honest(text, index, start, end):
            continue
        if bad and bad[-1][1] == index:
            bad[-1] = (bad[-1][0], index + 1)
        else:
            bad.append((index, index + 1))
    return bad


def _honest(text: str, index: int, start: int, end: int) -> bool:
    """Whether the invisible character at ``index`` of the run ``[start, end)`` does what it was made for.

    Of one or two: more never stand together in honest text than an emoji selector and a joiner.
    """
    char = text[index]
    before, after = text[start - 1 : start], text[end : end + 1]
    if char in "\ufe0e\ufe0f":
        return index == start and _takes_selector(before)
    if char in _JOINERS:
        return _joins(char, before, after)
    if "\ufe00" <= char <= "\ufe0d" or "\U000e0100" <= char <= "\U000e01ef":
        return end - start == 1 and (_is_cjk(before) or before in "\u2229\u222a\u2268\u2269\u228a\u228b")
    if char in _MARKS:
        return end - start == 1 and _near_rtl(text, index)
    if char in _ISOLATES:
        return end - start == 1 and _near_rtl(text, index)
    if char in _MONGOLIAN:
        return "\u1800" <= before <= "\u18af"
    if char == "\u3164" or "\u115f" <= char <= "\u1160":
        return end - start == 1 and "\u1100" <= after <= "\u11ff"
    if char == "\u2800":
        return end - start == 1 and ("\u2801" <= before <= "\u28ff" or "\u2801" <= after <= "\u28ff")
    return False


def _takes_selector(char: str) -> bool:
    return bool(char) and (char in "#*0123456789©®" or unicodedata.category(char) in ("So", "Sm", "Po", "Sk", "No"))


def _joins(char: str, before: str, after: str) -> bool:
    if not before:
        return False
    if after and _is_emoji(before) and _is_emoji(after):
        return char == "\u200d"
    return _is_joining(before) and (not after or _is_joining(after) or after in " \n\t.,;:!?)\u060c\u061b\u061f")


def _is_emoji(char: str) -> bool:
    return unicodedata.category(char) in ("So", "Sk", "Sm") or "\U0001f000" <= char <= "\U0001faff"


def _is_joining(char: str) -> bool:
    """Letters and marks of scripts whose spelling uses joiners: Arabic, Syriac, Indic, South-East Asian, Mongolian."""
    return "\u0600" <= char <= "\u08ff" or "\u0900" <= char <= "\u109f" or "\u1780" <= char <= "\u18af"


def _is_cjk(char: str) -> bool:
    return "\u2e80" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff" or "\U00020000" <= char <= "\U0003ffff"


def _near_rtl(text: str, index: int) -> bool:
    """Whether right-to-left letters stand close by. A mark in purely left-to-right text orders nothing."""
    near = text[max(0, index - 40) : index] + text[index + 1 : index + 41]
    return any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in near)
