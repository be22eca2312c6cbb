"""Targets that stand inside a body of text: links, addresses, accounts and numbers that its reader would follow.

Guarantee: what a reader or a renderer would follow is found, disguised or not: without a scheme, in Markdown and HTML,
as ``hxxp``, with ``[at]`` and ``(dot)``, spaced round ``@``, full-width, escaped, with invisible characters inside.
Too many to list is said so (a last item of kind ``excess``), never silently cut.

Time is linear in the text: every search starts at a mark (``@``, ``.``, a digit) and looks a bounded way round it.
IBAN: ISO 13616 with the check digits of ISO 7064 (mod 97-10); payment cards: the Luhn check of ISO/IEC 7812.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from agentguard.decision import Span
from agentguard.flow.top_levels import TOP_LEVELS
from agentguard.text.invisible import INVISIBLE
from agentguard.text.view import Edit, View

__all__ = ["EXCESS", "MAX_FOUND", "Embedded", "embedded"]

# Targets listed of one text. A body with more is no letter.
MAX_FOUND = 500
EXCESS = "excess"

_HIDDEN = re.compile(f"[{INVISIBLE}]+")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_WIDE = re.compile(r"[^\x00-\x7f]")
_DOT = "\u3002\uff0e\uff61\u2024"
# Written-out and spaced marks, which people read as the mark itself.
_DISGUISES = (
    (re.compile(r"(?<!\w)hxxp(s?)(?=[:\[(])|(?<!\w)h\*\*p(s?)(?=:)|(?<!\w)meow(s?)(?=://)", re.IGNORECASE), "http"),
    (re.compile(r"\[:\]|\(:\)|\[://\]"), ":"),
    (re.compile(r"[ \t]{0,3}[\[({<][ \t]{0,3}(?:at|@|ät|arroba|arobase)[ \t]{0,3}[\])}>][ \t]{0,3}", re.IGNORECASE), "@"),
    (re.compile(r"[ \t]{0,3}[\[({<][ \t]{0,3}(?:dot|\.|punkt|punto|point)[ \t]{0,3}[\])}>][ \t]{0,3}", re.IGNORECASE), "."),
    (re.compile(r"(?<=[\w.])(?:[ \t]{0,3}@[ \t]{1,3}|[ \t]{1,3}@)(?=[\w-]{1,63}[ \t]{0,3}\.[ \t]{0,3}[^\W\d_]{2})"), "@"),
    (re.compile(r"(?<=\w)[ \t]{1,3}(?:at|AT)[ \t]{1,3}(?=[\w-]{1,63}[ \t]{1,3}(?:dot|DOT)[ \t])"), "@"),
    (re.compile(r"(?<=\w)[ \t]{1,3}(?:dot|DOT)[ \t]{1,3}(?=\w)"), "."),
)  # fmt: skip
# After an @ or a scheme, spaces round a dot are a disguise; elsewhere they end a sentence.
_SPACED_DOT = re.compile(
    r"(?<=[\w-])[ \t]{1,3}\.[ \t]{0,3}(?=\w)|(?<=[\w-])\.[ \t]{1,3}(?=(?:com|net|org|io|de|info|co)\b)"
)
# The address of a tag with a line break or tab in it, and white space round what is left of it.
_BROKEN_TARGET = re.compile(
    r"(?<!\w)(?:href|src|action|formaction|srcset|poster|data|cite|background)\s{0,8}=\s{0,8}"
    r"(?:\"(?=[^\"]{0,2000}[\t\r\n])([^\"<>]{1,2000})\"|'(?=[^']{0,2000}[\t\r\n])([^'<>]{1,2000})')",
    re.IGNORECASE,
)
# What a reader does not see: comments and tags of HTML inside a word, and comments of RFC 5322 beside the @.
_DROPPED = (
    re.compile(r"<!--[^<>]{0,500}-->"),
    re.compile(r"</?(?:b|i|u|s|em|strong|span|font|wbr|small|big|tt|code|mark|sup|sub)\b[^<>]{0,200}>", re.IGNORECASE),
    re.compile(r"(?<=@)\([^()@\n]{0,100}\)|\([^()@\n]{0,100}\)(?=@)"),
)
_SPACED_DOT_MARK = re.compile(r"[ \t]\.|\.[ \t]{1,3}(?:com|net|org|io|de|info|co)\b")

_SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])(?:[A-Za-z][A-Za-z0-9+.-]{0,20}:[/\\]{2}|(?:mailto|tel|sms|javascript|data|vbscript|geo|magnet|bitcoin|ethereum):)(?=[^\s])", re.IGNORECASE)  # fmt: skip
_SCHEME_MARK = re.compile(r":\S")
_DISGUISED = re.compile(r"^(?:hxxp|meow)|[\[({]\.[\])}]", re.IGNORECASE)
_URL_BODY = re.compile(r"[^\s<>\"`\u201c\u201d\u00ab\u00bb]+")
_TARGET = re.compile(r"\]\(\s{0,8}<?|(?<!\w)(?:href|src|action|formaction|srcset|poster|data|cite|background|xlink:href)\s{0,8}=\s{0,8}[\"']?|(?<!\w)url\(\s{0,8}[\"']?|^[ \t]{0,3}\[[^\]\n]{1,200}\]:[ \t]{0,8}<?", re.IGNORECASE | re.MULTILINE)  # fmt: skip
_TARGET_BODY = re.compile(r"[^\s<>\"')]{1,2000}")
_RELATIVE_HOST = re.compile(r"[\\/]{2}[^\s/\\]")
_UNC = re.compile(r"(?<![\\\w])\\\\[\w.$-]{1,100}\\[^\s]{0,500}")
_HOST = re.compile(
    r"(?<![\w.@-])(?:[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?\.){1,8}([^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})(?![\w@-])(:\d{1,5})?([/?#][^\s<>\"`]{0,2000})?",
    re.IGNORECASE,
)
_IP_MARK = re.compile(r"\d\.\d{1,3}\.\d")
_IP = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)(:\d{1,5})?(/[^\s<>\"`]{0,2000})?")
_LOCAL = re.compile(r"[\w.!#$%&'*+/=?^{|}~-]{1,256}\Z")
# RFC 5321 allows a quoted string before the @.
_QUOTED_LOCAL = re.compile(r"\"[^\"\n]{1,64}\"\Z")
_DOMAIN = re.compile(r"\[?[^\W_][\w.:-]{0,252}")
_IBAN_START = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z]{2}[ ]?\d{2}(?=[ \u00a0.\-\t\r\n/_*|\u2010-\u2015\u00b7]{0,6}[A-Za-z0-9])"
)
_IBAN_NOISE = re.compile(r"[ \u00a0.\-\t\r\n/_*|\u2010-\u2015\u00b7]")
_DIGITS = re.compile(r"(?<![\w+])(?:\+|\(\+?)?\d(?:[ \u00a0().\/-]{0,3}\d){5,33}(?!\w)")
_DATE = re.compile(
    r"\d{4}[-./]\d{1,2}[-./]\d{1,2}(?:[ T]\d.*)?|\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d{2})(?:\D.*)?|\d{4}\s?[-/]\s?\d{4}"
)
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:([ \u00a0.])\d{3})(?:\1\d{3})*")
_ACCOUNT_WORD = re.compile(
    r"(?:account|acct|a/c|iban|konto|kto|cuenta|compte|routing|sort code|blz|clabe|bsb|aba|swift|card|karte|wallet|depot)\W{0,3}(?:(?:number|no|nr|nummer|num|is|lautet|numero|número|es|est)\W{0,3}){0,3}\Z",
    re.IGNORECASE,
)
_PHONE_WORD = re.compile(
    r"(?:phone|call|tel|telefon|tel[eé]fono|t[eé]l[eé]phone|mobile|mobil|handy|whatsapp|text|sms|fax|dial|ring|anrufen|llama|appele[rz]?)\W{0,3}(?:(?:us|me|him|her|number|no|nr|nummer|on|at|is|now|al|au|unter)\W{0,3}){0,3}\Z",
    re.IGNORECASE,
)
_COIN = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:bc1|tb1|ltc1|addr1|cosmos1)[a-z0-9]{25,110}|(?:BC1|LTC1)[A-Z0-9]{25,87}|0x[0-9a-fA-F]{40}"
    r"|[13LMD][1-9A-HJ-NP-Za-km-z]{25,34}|T[1-9A-HJ-NP-Za-km-z]{33}|r[1-9A-HJ-NP-Za-km-z]{24,34}|[48][1-9A-HJ-NP-Za-km-z]{94})(?![A-Za-z0-9])"
)
# The shortest crypto address, and the fewest digits of a telephone or account number.
SHORTEST_COIN = 25
FEWEST_DIGITS = 6
_NO_DIGITS = bytes(code for code in range(256) if not 48 <= code <= 57)
_TRAILING = ".,;:!?'\u2019*_\u2026|\\"
_CLOSERS = {")": "(", "]": "[", "}": "{"}

# Names beside the delegated ones that lead somewhere: in a company's own network, in tests, through Tor.
_OWN_TOP = frozenset("onion local internal corp lan home intranet localdomain test invalid example localhost".split())
# Delegated names that are methods in many a program: "file.read(" is no host.
_METHODS = frozenset(
    "read open call save show map data name new now test date link build run play select group zip".split()
)
# File endings that are country domains as well: a bare "notes.md" is a file.
_FILES = frozenset("md py sh rs pl ps so cc zip mov js ts go tf ai vi ml mk la pm pt mo id st cs hs ms".split())
_FILES_ONLY = _FILES - {"ai", "id", "pt", "la", "st", "ms"}

_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
    "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
    "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26,
    "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Embedded:
    """One target inside a text.

    ``kind`` is ``link``, ``email``, ``iban``, ``account``, ``card``, ``crypto`` or ``phone``; or ``excess``, which says
    that there are more than were listed. ``value`` is what would be followed, without its disguise; ``span`` is where
    it stands in the text as given.
    """

    kind: str
    value: str
    span: Span


def embedded(text: str, limit: int = MAX_FOUND) -> Iterator[Embedded]:
    """Every target in ``text`` once; after ``limit`` of them one of kind ``excess`` and no more."""
    found = islice(_unique(text), limit + 1)
    for count, item in enumerate(found):
        if count == limit:
            yield Embedded(EXCESS, "", Span(item.span.start, len(text)))
            return
        yield item


def _unique(text: str) -> Iterator[Embedded]:
    seen: set[tuple[str, str]] = set()
    for view in _readings(text):
        for kind, value, start, end in _scan(view.text):
            key = (kind, value)
            if value and key not in seen:
                seen.add(key)
                yield Embedded(kind, value, Span(*view.span(start, end)))


def _readings(text: str) -> Iterator[View]:
    """The text as a renderer shows it, then with written-out marks read as marks."""
    view = View(text)
    if not (text.isascii() and text.isprintable()):
        view = View.edited(view, "visible", (Edit(m.start(), m.end(), "") for m in _HIDDEN.finditer(text)))
        view = View.edited(view, "width", _narrow(view.text))
    if "=" in view.text and _BROKEN_TARGET.search(view.text):
        view = View.edited(view, "broken", _breaks(view.text))
    if "&" in view.text:
        view = View.edited(
            view, "entities", (Edit(m.start(), m.end(), html.unescape(m[0])) for m in _ENTITY.finditer(view.text))
        )
        view = View.edited(view, "visible", (Edit(m.start(), m.end(), "") for m in _HIDDEN.finditer(view.text)))
    yield view
    plain = view
    for pattern in _DROPPED if any(mark in view.text for mark in "<(") else ():
        view = View.edited(view, "dropped", (Edit(m.start(), m.end(), "") for m in pattern.finditer(view.text)))
    for pattern, mark in _possible(view.text):
        view = View.edited(view, "disguise", _marks(pattern, mark, view.text))
    if ("@" in view.text or "://" in view.text) and _SPACED_DOT_MARK.search(view.text):
        view = View.edited(view, "disguise", (Edit(m.start(), m.end(), ".") for m in _SPACED_DOT.finditer(view.text)))
    if view is not plain:
        yield view


def _breaks(text: str) -> Iterator[Edit]:
    """Line breaks and tabs in the quoted address of a tag: a renderer leaves them out."""
    for match in _BROKEN_TARGET.finditer(text):
        group = 1 if match[1] is not None else 2
        for place in range(match.start(group), match.end(group)):
            if text[place] in "\t\r\n":
                yield Edit(place, place + 1, "")


def _possible(text: str) -> list[tuple[re.Pattern[str], str]]:
    """The disguises that may stand in the text: each needs a mark or a word that most texts lack."""
    lowered = text.lower()
    bracket = any(mark in text for mark in "[({<")
    dot = "dot" in lowered
    needed = (
        "xx" in lowered or "**" in lowered or "meow" in lowered,
        bracket and ":" in text,
        bracket,
        bracket,
        any(mark in text for mark in ("@ ", "@\t", " @", "\t@")),
        dot,
        dot,
    )
    return [row for row, there in zip(_DISGUISES, needed, strict=True) if there]


def _narrow(text: str) -> Iterator[Edit]:
    for match in _WIDE.finditer(text):
        char = match[0]
        form = unicodedata.normalize("NFKC", char)
        if char in _DOT:
            # Browsers read the ideographic full stop as a dot; in prose it ends a sentence.
            around = text[max(0, match.start() - 1) : match.end() + 1].replace(char, "")
            form = "." if form == "." or (len(around) == 2 and around.isascii() and around.isalnum()) else char
        if form != char:
            yield Edit(match.start(), match.end(), form)


def _marks(pattern: re.Pattern[str], mark: str, text: str) -> Iterator[Edit]:
    for match in pattern.finditer(text):
        tail = next((group for group in match.groups() if group), "") if match.groups() else ""
        yield Edit(match.start(), match.end(), mark + tail)


def _scan(text: str) -> Iterator[tuple[str, str, int, int]]:
    """Each search is made only where the marks and digits it needs occur: most bodies have none of them."""
    digits = _digits(text)
    if _SCHEME_MARK.search(text):
        yield from _schemes(text)
    yield from _targets(text)
    yield from _emails(text)
    if "." in text:
        yield from _hosts(text)
    if digits >= 2:
        yield from _ibans(text)
    if digits and any(len(word) >= SHORTEST_COIN for word in text.split()):
        for match in _COIN.finditer(text):
            if any(map(str.isdigit, match[0])):
                yield "crypto", match[0], match.start(), match.end()
    if digits >= FEWEST_DIGITS:
        yield from _numbers(text)


def _digits(text: str) -> int:
    """How many digits of any script the text has; no fewer for one beside ASCII."""
    if text.isascii():
        return len(text.encode().translate(None, _NO_DIGITS))
    return sum(map(str.isdecimal, text))


def _schemes(text: str) -> Iterator[tuple[str, str, int, int]]:
    end = 0
    for match in _SCHEME.finditer(text):
        if match.start() < end:
            # A URL inside a URL's query is followed by redirects, and is part of the outer value already.
            continue
        body = _URL_BODY.match(text, match.start())
        if body is None:
            continue
        url = _trimmed(body[0])
        end = match.start() + len(url)
        scheme, _, rest = url.partition(":")
        if scheme.lower() == "mailto":
            for address in rest.partition("?")[0].split(","):
                yield "email", address, match.start(), end
        elif scheme.lower() in ("tel", "sms"):
            yield "phone", rest.partition("?")[0], match.start(), end
        elif len(url) > len(match[0]) and not _DISGUISED.search(url):
            yield "link", url, match.start(), end


def _targets(text: str) -> Iterator[tuple[str, str, int, int]]:
    """What Markdown and HTML name as a target, when it leads to another host."""
    if "//" not in text and "\\" not in text:
        return
    for match in _TARGET.finditer(text) if any(mark in text for mark in ("](", "=", "]:", "(")) else ():
        body = _TARGET_BODY.match(text, match.end())
        if body and _RELATIVE_HOST.match(body[0]):
            yield "link", body[0], body.start(), body.end()
    for match in _UNC.finditer(text) if "\\\\" in text else ():
        yield "link", match[0], match.start(), match.end()


def _emails(text: str) -> Iterator[tuple[str, str, int, int]]:
    place = text.find("@")
    while place >= 0:
        local = _LOCAL.search(text[max(0, place - 256) : place])
        domain = _DOMAIN.match(text, place + 1)
        if local and domain:
            name, host = local[0].lstrip(".'*_/=&#|{"), domain[0].rstrip(".:-_").lstrip("[")
            if name and host and not _inside_url(text, place):
                yield "email", f"{name}@{host}", place - len(name), place + 1 + len(host)
        elif (
            domain
            and text[place - 1 : place] == '"'
            and (quoted := _QUOTED_LOCAL.search(text[max(0, place - 70) : place]))
        ):
            yield "email", f"{quoted[0]}@{domain[0].rstrip('.:-_')}", place - len(quoted[0]), place + 1 + len(domain[0])
        place = text.find("@", place + 1)


def _inside_url(text: str, place: int) -> bool:
    """``https://user@host`` is one link; the address would be none."""
    before = text[max(0, place - 64) : place]
    scheme = before.rfind("://")
    return scheme >= 0 and not any(char.isspace() or char in "<>/?#\"'" for char in before[scheme + 3 :])


def _hosts(text: str) -> Iterator[tuple[str, str, int, int]]:
    for match in _host_matches(text):
        top = match[1].lower()
        bare = not match[2] and not match[3]
        known = (
            top in TOP_LEVELS
            or top in _OWN_TOP
            or top.startswith("xn--")
            or (len(top) == 2 and top.isascii())
            or not top.isascii()
        )
        www = match[0].lower().startswith("www.")
        if not (known or www or _is_host(text, match)) or text[max(0, match.start() - 3) : match.start()] == "://":
            continue
        if not www and (bare or match[0][match.end(1) - match.start() :].startswith("#")) and top in _FILES_ONLY:
            continue
        if bare and not www and (_is_prose(match) or (top in _METHODS and text[match.end() : match.end() + 1] == "(")):
            continue
        value = _trimmed(match[0])
        yield "link", value, match.start(), match.start() + len(value)
    for match in _IP.finditer(text) if _IP_MARK.search(text) else ():
        octets = match[0].partition("/")[0].partition(":")[0].split(".")
        if all(int(octet) < 256 for octet in octets) and text[max(0, match.start() - 3) : match.start()] != "://":
            value = _trimmed(match[0])
            yield "link", value, match.start(), match.start() + len(value)


def _host_matches(text: str) -> Iterator[re.Match[str]]:
    """What may be hosts. Only words with a dot between a letter or digit and a letter are looked at: none is elsewhere."""
    ends = dict.fromkeys(" \n\t", -1)
    end = 0
    place = text.find(".")
    while place >= 0:
        if text[place - 1 : place].isalnum() and text[place + 1 : place + 2].isalpha():
            start = max(text.rfind(mark, end, place) + 1 for mark in ends)
            for mark, known in ends.items():
                if known < place:
                    found = text.find(mark, place)
                    ends[mark] = found if found >= 0 else len(text)
            start, end = max(start, end), min(ends.values())
            yield from _HOST.finditer(text, start, end)
            place = end
        place = text.find(".", place + 1)


def _is_host(text: str, match: re.Match[str]) -> bool:
    """Whether marks round a name of an unknown top level make an address of it: ``//name.tld``, ``name.tld/page``."""
    before = text[max(0, match.start() - 2) : match.start()]
    if before in ("//", ":/", "\\\\", "/\\", "\\/") or re.search(
        r"https?:\Z", text[max(0, match.start() - 6) : match.start()], re.I
    ):
        return True
    paged = match[3] is not None and match[3][0] == "/" and len(match[3]) > 1
    return paged and before[-1:] not in ("/", "\\") and len(match[1]) >= 4 and not _is_prose(match)


def _is_prose(match: re.Match[str]) -> bool:
    """A full stop without the space behind it ("the end.It was") and abbreviations ("e.g")."""
    labels = match[0].split(".")
    return all(len(label) == 1 for label in labels[:-1]) or (labels[-1][:1].isupper() and not match[0].isupper())


def _ibans(text: str) -> Iterator[tuple[str, str, int, int]]:
    for match in _IBAN_START.finditer(text):
        size = _IBAN_LENGTHS.get(match[0][:2].upper())
        if size is None:
            continue
        chars: list[str] = []
        end = match.start()
        for place in range(match.start(), min(match.start() + 4 * size, len(text))):
            char = text[place]
            if char.isascii() and char.isalnum():
                chars.append(char.upper())
                end = place + 1
            elif not _IBAN_NOISE.match(char):
                break
            if len(chars) == size:
                break
        value = "".join(chars)
        if len(value) == size and _mod97(value) == 1:
            yield "iban", value, match.start(), end


def _mod97(iban: str) -> int:
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97


def _numbers(text: str) -> Iterator[tuple[str, str, int, int]]:
    for match in _DIGITS.finditer(text):
        written = match[0].strip(" .-/(")
        digits = "".join(char for char in written if char.isdigit() and char.isascii())
        before = text[max(0, match.start() - 60) : match.start()]
        kind = _number_kind(written, digits, before)
        if kind:
            value = "+" + digits if kind == "phone" and "+" in match[0][:2] else digits
            yield kind, value, match.start(), match.end()


def _number_kind(written: str, digits: str, before: str) -> str:
    if _ACCOUNT_WORD.search(before):
        return "account"
    if _DATE.match(written) or _GROUPED.fullmatch(written):
        return ""
    if 13 <= len(digits) <= 19 and _luhn(digits):
        return "card"
    marked = re.match(r"\(?\+|00[1-9]", written) or _PHONE_WORD.search(before)
    shaped = re.fullmatch(r"\(?\d{2,5}\)?[ /-]\d{3,4}[ -]\d{3,5}|\(?0\d{2,5}\)?[ /-]\d[\d -]{4,12}", written)
    return "phone" if 7 <= len(digits) <= 15 and (marked or shaped) else ""


def _luhn(digits: str) -> bool:
    total = 0
    for place, char in enumerate(reversed(digits)):
        step = int(char) * (1 + place % 2)
        total += step - 9 * (step > 9)
    return total % 10 == 0


def _trimmed(url: str) -> str:
    """Without the sentence's own marks; a closing bracket stays when the URL opened one."""
    while url:
        last = url[-1]
        if last in _TRAILING or (last in _CLOSERS and url.count(last) > url.count(_CLOSERS[last])):
            url = url[:-1]
        else:
            return url
    return url
