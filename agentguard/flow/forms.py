"""When are two texts the same value? Strictly for trusting, loosely for distrusting.

A value is *trusted* only when it stands between token boundaries of a trusted text, with its punctuation: in
"send the report to Bob" no part reads ``there@port.to``. The value itself is never folded beyond case, so an address
with a look-alike letter is not the address the user wrote. What is *distrusted* is compared squashed, by
``agentguard.text.squash.squash``, so that spaced, invisible or look-alike characters hide nothing.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from decimal import Decimal
from urllib.parse import unquote, urlsplit

from agentguard.text.folds import trusting_fold
from agentguard.text.marks import without_excess_marks
from agentguard.text.squash import squash

__all__ = [
    "MIN_SQUASHED",
    "bare_word",
    "canonical",
    "elements",
    "grouped_key",
    "is_number",
    "is_value",
    "key",
    "looks_like_field",
    "members",
    "probes",
    "short_tokens",
    "tokens",
    "words",
]

# The shape of a value, as against free text. A label that calls prose trusted must fail safe.
MAX_WORDS = 9
MAX_SENTENCE_WORDS = 4
MAX_SENTENCE_CHARS = 70
MAX_NUMBER_CHARS = 24
# The longest honest single word: a URL or a path. Longer ones carry encoded text.
MAX_WORD_CHARS = 120
# One character more than a SHA-256 in hexadecimal: a longer run of one alphabet is an encoding of something else.
MIN_ENCODED = 65
_ENCODED_RUN = re.compile(rf"[A-Za-z0-9+/=_-]{{{MIN_ENCODED},}}")
_BLANK_LINE = re.compile(r"\n\s*\n")

_LINES = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")
_LIST = re.compile(r"[,;]+")
_ADDRESS_LIST = re.compile(r"[,;<>()\"]+")
# Marks that stand around a word of a sentence and are no part of it. Leading dots, slashes and tildes stay: they
# make another path of it.
_OPENING = "([{<\"'`*_#@$\u201c\u2018\u201e\u00ab\u20ac\u00a3\u00a5"
_CLOSING = ")]}>\"'`*_,;:.!?\u201d\u2019\u00bb\u2026"
_NAMED_ADDRESS = re.compile(r"([^<>@]*)<([^<>@\s]+@[^<>@\s]+)>")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
# A comma between digits parts no list: 250.00 does not stand in 1,250.00.
_PIECES = re.compile(r"(?:[\s;<>()\[\]{}\"`\u201c\u201d\u00ab\u00bb|]|(?<!\d),|,(?!\d))+")
_GROUPED = re.compile(r"(?:0|[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d*)(?:\.\d+)?")

# A shorter number is no account number, and would be put together from any two numbers of a request.
MIN_GROUPED = 8

# A squashed value of fewer bytes than this is compared token by token.
MIN_SQUASHED = 4
_NO_LETTERS = {code: " " for code in range(128) if not chr(code).isalnum() and chr(code) not in ".,"}
# Browsers take a reversed slash for a slash.
_RELATIVE = ("//", "\\\\", "/\\", "\\/")
_BARE_HOST = re.compile(r"[^\s/?#@]+\.[^\s/?#@]+[/?#]")
_WORD = re.compile(r"[^\W_]+(?:[.,][^\W_]+)*")
# A word that has one spelling: no mark stands around it, none parts it.
_PLAIN_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@+-]*[A-Za-z0-9])?")

_LIST_SINKS = frozenset({"recipient", "person", "channel", "account", "id"})
_WHOLE_SINKS = frozenset({"path", "url", "command"})


def canonical(text: str) -> str:
    """One spelling per value: composed, without case and surrounding space; 1,000.50 and 1000.5 are one number.

    Lower case, not case folding: that would make one domain of straße.example and strasse.example.
    """
    plain = _composed(text).strip().lower()
    # Decimal rounds beyond 28 digits, and two account numbers must never round to one.
    if len(plain) <= MAX_NUMBER_CHARS and plain[-1:].isdigit() and _GROUPED.fullmatch(plain):
        return format(Decimal(plain.replace(",", "")).normalize(), "f")
    return plain


def elements(text: str, sink: str | None) -> list[str]:
    """The single values inside one sink argument: lines, addresses, members of a list."""
    if sink in _WHOLE_SINKS or _PLAIN_WORD.fullmatch(text) or not text.strip():
        return [text]
    found: list[str] = []
    for line in _LINES.split(text):
        if "@" in line and "://" not in line:
            for part in _ADDRESS_LIST.split(line):
                found.extend(_addresses(part))
        elif sink in _LIST_SINKS and not _GROUPED.fullmatch(line.strip()):
            found.extend(_LIST.split(line))
        else:
            found.append(line)
    kept = [element.strip() for element in found if element.strip()]
    # A value made of separators alone names nobody we know.
    return kept or [text]


def members(text: str) -> set[str]:
    """The values that one structured field holds: itself, its lines, a list of addresses, a name with its address.

    Narrower than ``elements``: an address inside a sentence ("write to eve@x") is no value of the field.
    """
    found = {text, *_LINES.split(text)}
    for line in list(found):
        pieces = [piece.strip() for piece in _LIST.split(line)]
        if all("@" in piece for piece in pieces):
            found.update(pieces)
        for piece in pieces:
            if named := _NAMED_ADDRESS.fullmatch(piece):
                found.update(named.groups())
    return {member for member in found if member.strip()}


def looks_like_field(name: str) -> bool:
    """Whether a dictionary key is shaped like a field name, as against an address or a sentence."""
    return _FIELD.fullmatch(name) is not None


def _addresses(part: str) -> list[str]:
    """'Bob Smith bob@x' is an address and a name; both need an origin."""
    each = part.split()
    names = " ".join(word for word in each if "@" not in word)
    return [*(word for word in each if "@" in word), *([names] if names else [])]


def words(text: str) -> list[frozenset[str]]:
    """The words of a trusted text in order; each with the spellings it may be meant by (with and without quotes)."""
    each = text.split()
    spelled = {word: frozenset(map(canonical, _spellings(word))) for word in set(each)}
    return [spelled[word] for word in each]


def tokens(text: str) -> set[str]:
    """Every single token of a trusted text as written, in every spelling it may be meant by."""
    found: set[str] = set()
    for word in set(text.split()):
        if _PLAIN_WORD.fullmatch(word):
            found.add(word)
            continue
        found |= _spellings(word)
        # Inside a path or URL a comma or bracket is no boundary.
        if "/" not in word or word[0] in _OPENING:
            for piece in filter(None, _PIECES.split(word)):
                found |= _spellings(piece)
    return found


def _spellings(word: str) -> set[str]:
    bare = bare_word(word)
    own = re.sub(r"['\u2019]s$", "", bare)
    # "in #board." names the channel #board, "~/x." a file.
    return {form for form in (word, word.rstrip(_CLOSING), word.lstrip(_OPENING), bare, own) if form}


def key(value: str) -> str:
    """Two values with the same key are the same value.

    Paths keep their case, and lose ``./`` and doubled slashes. A path that climbs is trusted only as written:
    ``a/../b`` is not ``b`` where ``a`` is a symbolic link. URLs lose the case of scheme and host alone.
    A bare file name is no path to it: two folders may each hold one.
    """
    plain = _composed(value).strip()
    if "://" in plain:
        return "url " + _url_form(plain)
    if "/" not in plain or ".." in plain.split("/"):
        return "path " + plain if "/" in plain else canonical(plain)
    path = posixpath.normpath(plain)
    return "path " + path if "/" in path else canonical(path)


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", without_excess_marks(text))


def _url_form(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower(), path=parts.path or "/").geturl()


def bare_word(word: str) -> str:
    """A word of a sentence without the marks around it."""
    return word.rstrip(_CLOSING).lstrip(_OPENING)


def probes(text: str) -> tuple[set[bytes], set[str]]:
    """What to look for in untrusted text: squashed forms, and short ones that count as single tokens only.

    The value, its number, its normal path, the host of a URL. A short form stands in any long text by accident;
    scripts without spaces have no tokens, and say more in a letter.
    """
    forms = {text, canonical(text)}
    if "/" in text:
        forms.add(posixpath.normpath(text.strip()))
    if "%" in text:
        forms.add(unquote(text))
    forms.update(host for form in tuple(forms) if (host := _host(form)))
    squashed: set[bytes] = set()
    short: set[str] = set()
    for form in forms:
        folded = squash(form)
        if len(folded) >= MIN_SQUASHED:
            squashed.add(folded)
        elif folded:
            short |= {canonical(form), folded.decode()}
    return squashed, short


def short_tokens(text: str) -> set[str]:
    """The tokens of an untrusted text that are too short to be looked for inside other words, folded."""
    words = trusting_fold(text).translate(_NO_LETTERS).split() if text.isascii() else _WORD.findall(trusting_fold(text))
    found: set[str] = set()
    for word in set(words):
        if len(word) <= MAX_NUMBER_CHARS:
            bare = word.strip(".,")
            found.update([canonical(bare)] if _GROUPED.fullmatch(bare) else [bare, *re.split("[.,]", bare)])
    return {token for token in found if token and len(token.replace(".", "").replace(",", "").encode()) < MIN_SQUASHED}


def grouped_key(value: str) -> str | None:
    """The key of an account or telephone number however it is grouped; None when it is neither."""
    bare = re.sub(r"[\s.()/+-]", "", canonical(value))
    if len(bare) < MIN_GROUPED or not bare.isalnum() or sum(map(str.isdigit, bare)) < MIN_GROUPED // 2:
        return None
    return "grouped " + bare


def is_number(text: str) -> bool:
    """Whether ``text`` is one plain number: 1250, 1,250.00."""
    return len(text) <= MAX_NUMBER_CHARS and _GROUPED.fullmatch(text.strip()) is not None


def _host(url: str) -> str:
    """The host of a URL, with or without its scheme; empty when there is none."""
    text = url.strip()
    relative = text[:2] in _RELATIVE
    text = text.lstrip("/\\")
    if "://" not in text and not relative and not _BARE_HOST.match(text):
        return ""
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""


def is_value(text: str) -> bool:
    """Whether ``text`` has the shape of a value. Anything longer is free text, whatever its label says."""
    words = text.split()
    count = len(words)
    if count > MAX_WORDS or (count > MAX_SENTENCE_WORDS and len(text) > MAX_SENTENCE_CHARS):
        return False
    if "\n" in text and _BLANK_LINE.search(text):
        return False
    # Shorter than the shortest encoded run, no word of it is too long either.
    if len(text) >= MIN_ENCODED and (_ENCODED_RUN.search(text) or any(len(word) > MAX_WORD_CHARS for word in words)):
        return False
    return text.isascii() or not any(unicodedata.category(char) == "Cf" for char in text)
