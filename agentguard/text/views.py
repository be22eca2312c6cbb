"""The readings of a text that evasion hides from a plain search: invisible, look-alike, spaced, encoded.

``views(text)`` yields the original's readings, cheapest first. A trigger scan decides which decoders have anything
to do, so plain prose pays for one pass. Decoded texts are read again to depth 3, and all readings together stay
within four times the original's length (plus a page); what exceeds the budget is reported by ``Views.truncated``,
never silently dropped.
"""

from __future__ import annotations

import base64
import binascii
import functools
import html
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

import re2

from agentguard.text.confusables import skeleton_table
from agentguard.text.invisible import INVISIBLE, hidden_payloads, without_invisible_ascii
from agentguard.text.marks import excess_marks
from agentguard.text.view import Edit, View

__all__ = ["Views", "clean_view", "encodable", "fold_pattern", "fold_view", "read", "scannable", "unescaped_view"]

MAX_DEPTH = 3
# Decoding must not multiply work: attackers nest encodings to make a check run for minutes.
MAX_EXPANSION = 4
FREE_EXPANSION = 4096
# No disguised word is longer; hashes and identifiers are.
LONGEST_WORD = 24

# Linear-time engine throughout: with a backtracking one, 100 KB of "A" took a minute here.
_HIDDEN = re.compile(f"[{INVISIBLE}]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Bounded repeats of single classes: these patterns are linear under any engine, and substitution in C is fastest.
_INLINE_PATTERNS = {
    "entities": re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});?"),
    "percent": re.compile(r"(?:%[0-9A-Fa-f]{2})+"),
    "escapes": re.compile(r"(?:\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2})+"),
}
_TOKEN_PATTERNS = {
    "base64": re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}"),
    "base32": re.compile(r"\b[A-Z2-7]{24,}={0,6}"),
    "hex": re.compile(r"(?:0x)?[0-9a-fA-F]{2}(?:[ :]?[0-9a-fA-F]{2}){11,}"),
    # Ascii85 and its RFC 1924 cousin between quotes, angle marks or spaces.
    "base85": re.compile(r"(?<![!-~])(?:<~)?[!-~]{20,}(?![!-~])"),
}
_LEET_TOKEN = re.compile(r"[A-Za-z0-9@$|!]+")
_DIGITISH = frozenset("0134578@$|!")
_HEX_NOISE = re.compile("[ :]|^0x")
_ESCAPED_UNIT = re.compile(r"\\[ux]([0-9a-fA-F]{4}|[0-9a-fA-F]{2})")
_WORD_GAP = re.compile(r"[ \t]{2,}")
_LEET = str.maketrans("0134578@$|!", "oieastbasli")
_ROT13 = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm"
)
_PRINTABLE = bytes(range(32, 127)) + b"\t\n\r"
_FINDERS = {
    **{name: pattern.pattern for name, pattern in _INLINE_PATTERNS.items()},
    "base64": _TOKEN_PATTERNS["base64"].pattern,
    "base32": _TOKEN_PATTERNS["base32"].pattern,
    "hex": _TOKEN_PATTERNS["hex"].pattern,
    # A long token that holds both signs and letters of either case; most long tokens are none.
    "base85": r"(?:^|\s|<~)[!-~]{20,}(?:\s|$)",
    "leet": r"(?i)[a-z0-9@$|!]*[a-z][0134578@$|!]+[a-z][a-z0-9@$|!]*|[0134578@$|!]+[a-z][a-z0-9@$|!]*",
    "spaced": r"\b\w(?:[ \t]{1,3}\w|[._*\-|/+~,] ?\w){4,}\b",
    "rot13": r"(?i)\b(?:gur|naq|lbh|lbhe|guvf|jvgu)\b|vtaber|vafgehpg|cebzcg|flfgrz|qvfertneq|birevqr|sbetrg|erirny",
    "reversed": r"(?i)\b(?:eht|uoy|ruoy|siht|htiw)\b|tcurtsni|tpmorp|erongi|metsys|drager|edirrevo|tegrof|laever",
}


@dataclass(frozen=True, slots=True)
class Views:
    """All readings of one text; ``truncated`` when decoding stopped at the expansion limit."""

    original: View
    readings: tuple[View, ...]
    truncated: bool = False

    def __iter__(self) -> Iterator[View]:
        return iter(self.readings)


def read(text: str) -> Views:
    """Make every reading of ``text`` worth scanning, each folded to lower case; identical readings come once."""
    original = View(text)
    source = scannable(original)
    budget = MAX_EXPANSION * len(text) + FREE_EXPANSION
    seen: dict[str, View] = {}
    pending = deque([source])
    truncated = False
    while pending:
        source = pending.popleft()
        steps = _steps(source.text)
        for folded in _folded_readings(source, steps):
            if folded.text in seen:
                continue
            budget -= len(folded.text)
            if budget < 0 and seen:
                truncated = True
                break
            seen[folded.text] = folded
        if source.depth < MAX_DEPTH and not truncated:
            pending.extend(_decoded(source, steps))
    return Views(original, tuple(seen.values()), truncated)


def encodable(text: str) -> str:
    """Lone surrogates, which have no UTF-8 form and would stop every search, replaced one for one."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def scannable(parent: View) -> View:
    """Lone surrogates, which have no UTF-8 form and would stop every search, replaced; piles of marks cut."""
    if parent.text.isascii():
        return parent
    if _SURROGATE.search(parent.text):
        parent = View.same_length(parent, "surrogates", _SURROGATE.sub("\ufffd", parent.text))
    excess = excess_marks(parent.text)
    return View.edited(parent, "marks", (Edit(start, end, "") for start, end in excess)) if excess else parent


def clean_view(parent: View) -> View:
    """Invisible and format characters removed, everything else as it stands."""
    if without_invisible_ascii(parent.text):
        return parent
    text = parent.text

    def removals() -> Iterator[Edit]:
        return (Edit(m.start(), m.end(), "") for m in _HIDDEN.finditer(text))

    return View.replaced(parent, "clean", _HIDDEN.sub("", text), removals)


def unescaped_view(parent: View) -> View:
    """HTML entities, percent signs and backslash escapes undone, whichever is outermost, three deep."""
    for _ in range(MAX_DEPTH):
        before = parent
        for name, decode in _INLINE.items():
            parent = _inline_view(parent, name, decode)
        if parent is before:
            break
        parent = scannable(parent)
    return parent


def fold_pattern(pattern: str) -> str:
    """Write a search pattern's words the way the folded view writes them; the syntax, being ASCII, stays."""
    return "".join(char if char.isascii() else _fold_char(char) for char in pattern)


def _folded_readings(source: View, steps: frozenset[str]) -> Iterator[View]:
    plain = fold_view(clean_view(source))
    yield plain
    skeleton = plain
    if not plain.text.isascii():
        skeleton = View.same_length(plain, "confusables", plain.text.translate(skeleton_table()))
        yield skeleton
        steps = _steps(skeleton.text)
    leet = _leet_view(skeleton) if "leet" in steps else skeleton
    if leet is not skeleton:
        yield leet
    if "spaced" in steps:
        yield View.edited(leet, "spaced", _spaced_edits(leet.text))


def fold_view(clean: View) -> View:
    """Width, case and accents folded."""
    if clean.text.isascii():
        return View.same_length(clean, "folded", clean.text.lower())
    text = clean.text
    # One ligature stands for a sentence of eighteen letters; cut, so that a text never grows beyond the limit.
    table = {ord(char): _fold_char(char)[:MAX_EXPANSION] for char in set(text)}
    folded = text.translate(table)
    uneven = [chr(code) for code, form in table.items() if len(form) != 1]
    if not uneven:
        return View.same_length(clean, "folded", folded)
    pattern = re.compile("[" + "".join(map(re.escape, uneven)) + "]")

    def forms() -> Iterator[Edit]:
        # All other characters keep their number, so only these move what stands behind them.
        return (Edit(m.start(), m.end(), table[ord(m[0])]) for m in pattern.finditer(text))

    return View.replaced(clean, "folded", folded, forms)


def _fold_char(char: str) -> str:
    """NFKC, case folded, accents of alphabetic scripts off; Indic vowel signs, kana and hangul stay whole."""
    form = unicodedata.normalize("NFKC", char).casefold()
    if form.isascii():
        return form
    bare = "".join(c for c in unicodedata.normalize("NFD", form) if not _is_accent(c))
    return unicodedata.normalize("NFC", bare).replace("\u0131", "i")


def _is_accent(char: str) -> bool:
    # Latin, Greek and Cyrillic accents, and the Arabic vowel points, hamza seats and tatweel.
    return "\u0300" <= char <= "\u036f" or "\u064b" <= char <= "\u065f" or char in "\u0640\u0670"


def _leet_view(parent: View) -> View:
    return View.same_length(parent, "leet", _LEET_TOKEN.sub(_unmasked, parent.text))


def _unmasked(token: re.Match[str]) -> str:
    """A disguised word as letters. Identifiers and hashes have more digits than letters, a disguised word fewer."""
    word = token[0]
    if word.isalpha() or len(word) > LONGEST_WORD or _DIGITISH.isdisjoint(word):
        return word
    letters = sum(map(str.isalpha, word))
    return word.translate(_LEET) if letters and letters * 2 >= len(word) else word


def _spaced_edits(text: str) -> Iterator[Edit]:
    for m in _finder("spaced").finditer(text):
        words = _WORD_GAP.sub("\x00", m[0])
        joined = "".join(c for c in words if c == "\x00" or c.isalnum()).replace("\x00", " ")
        yield Edit(m.start(), m.end(), joined)


def _decoded(source: View, steps: frozenset[str]) -> Iterator[View]:
    text = source.text
    if payloads := hidden_payloads(text):
        yield View.gathered(source, "hidden", (Edit(start, end, message) for start, end, message in payloads))
    for name, decode in _INLINE.items():
        if name in steps:
            view = _inline_view(source, name, decode)
            if view is not source:
                yield view
    for name, to_bytes in _TOKENS.items():
        if name in steps:
            yield from _tokens(source, name, to_bytes)
    if "rot13" in steps:
        yield View.same_length(source, "rot13", text.translate(_ROT13))
    if "reversed" in steps:
        yield View.extracted(source, "reversed", 0, len(text), text[::-1])


def _inline_view(source: View, name: str, decode: Callable[[str], str]) -> View:
    text, pattern = source.text, _INLINE_PATTERNS[name]
    known = functools.lru_cache(maxsize=4096)(decode)

    def replacements() -> Iterator[Edit]:
        for m in pattern.finditer(text):
            if (plain := known(m[0])) != m[0]:
                yield Edit(m.start(), m.end(), plain)

    return View.replaced(source, name, pattern.sub(lambda m: known(m[0]), text), replacements)


def _unescape(token: str) -> str:
    units = _ESCAPED_UNIT.sub(lambda m: chr(int(m[1], 16)), token)
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _tokens(source: View, name: str, to_bytes: Callable[[str], bytes]) -> Iterator[View]:
    """What the tokens of one encoding spell, in one view: a message may be cut into many."""
    known = functools.lru_cache(maxsize=4096)(lambda token: _readable(to_bytes(token)))
    found = [Edit(m.start(), m.end(), known(m[0])) for m in _TOKEN_PATTERNS[name].finditer(source.text)]
    if readable := [piece for piece in found if piece.text]:
        yield View.gathered(source, name, readable)


def _from_base64(token: str) -> bytes:
    token = token.rstrip("=").replace("-", "+").replace("_", "/")
    token = token[: len(token) - (len(token) % 4 == 1)]
    return binascii.a2b_base64(token + "=" * (-len(token) % 4))


def _from_base32(token: str) -> bytes:
    token = token.rstrip("=")
    # One, three and six letters over do not occur in base32: they belong to the next word.
    token = token[: len(token) - (len(token) % 8 in (1, 3, 6))]
    return base64.b32decode(token + "=" * (-len(token) % 8))


def _from_base85(token: str) -> bytes:
    """Ascii85 (with or without its ``<~ ~>``) or RFC 1924, whichever gives readable text."""
    body = token.removeprefix("<~").removesuffix("~>")
    if body.isalnum() or "://" in body:
        return b""
    for decode in (base64.a85decode, base64.b85decode):
        try:
            if _readable(raw := decode(body)):
                return raw
        except ValueError:
            continue
    return b""


def _from_hex(token: str) -> bytes:
    return bytes.fromhex(_HEX_NOISE.sub("", token))


_INLINE: dict[str, Callable[[str], str]] = {"entities": html.unescape, "percent": unquote, "escapes": _unescape}
_TOKENS: dict[str, Callable[[str], bytes]] = {
    "base64": _from_base64,
    "base32": _from_base32,
    "hex": _from_hex,
    "base85": _from_base85,
}


def _readable(raw: bytes) -> str:
    """The bytes as text when they are text, else nothing: images, keys and hashes decode to noise."""
    if not raw or len(raw.translate(None, _PRINTABLE)) * 10 > len(raw) * 3:
        return ""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1") if not raw.translate(None, _PRINTABLE) else ""


def _steps(text: str) -> frozenset[str]:
    """Which decoders find anything in ``text``; one pass for all of them."""
    names, triggers = _triggers()
    return frozenset(names[index] for index in triggers.Match(text) or ())


@functools.lru_cache(maxsize=1)
def _triggers() -> tuple[tuple[str, ...], re2.Set]:
    triggers = re2.Set.SearchSet()
    for pattern in _FINDERS.values():
        triggers.Add(pattern)
    triggers.Compile()
    return tuple(_FINDERS), triggers


@functools.cache
def _finder(name: str) -> re2._Regexp:
    return re2.compile(_FINDERS[name])
