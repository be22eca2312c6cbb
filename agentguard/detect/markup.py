# ruff: noqa: SIM905 - long word lists read better as text
"""Markup that acts when a page or chat window shows a model's answer.

A tokenizer in the manner of the HTML standard (13.2.5: unclosed tags, unquoted attributes, slashes for spaces) finds
elements and attributes; URL values are judged after entity, percent and whitespace decoding, as browsers do. Markdown
links, images and reference definitions are read too: an image loads by itself and carries data out in its address.
Closed code fences and code spans show their text and do not act, so they are exempt unless asked otherwise.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import re2

from agentguard.text.views import encodable

__all__ = [
    "FENCE",
    "REFERENCE",
    "TAG",
    "Link",
    "MarkupFinding",
    "brackets_left",
    "code_fences",
    "inspect_markup",
    "links",
    "neutralize",
    "tag_end",
]

ACTIVE = frozenset(
    "script iframe frame frameset object embed applet meta link base form svg math style portal template animate set "
    "animatetransform animatemotion foreignobject noscript dialog marquee isindex layer ilayer bgsound xml xss".split()
)
URL_ATTRIBUTES = frozenset(
    "href src action formaction xlink:href data poster background lowsrc dynsrc longdesc manifest ping srcset".split()
)
LOADING = frozenset(("img", "image", "video", "audio", "source", "track", "input", "picture"))
BAD_SCHEMES = ("javascript:", "vbscript:", "livescript:", "mocha:", "data:", "file:", "jar:", "mhtml:", "view-source:")
# Raster images as data load nothing and run nothing.
SAFE_DATA = ("data:image/png", "data:image/jpeg", "data:image/jpg", "data:image/gif", "data:image/webp")
# More elements, or links, than honest texts hold: each costs microseconds, so the rest of the text is not looked at.
MAX_MARKUP = 50_000
CROWDED = "[removed: too much markup]"
# A path segment longer than this in an image address is likelier data than a name.
LONG_SEGMENT = 40

TAG = re2.compile(r"<[/?]?[A-Za-z][^\s/>\"'=<]*")
_ATTRIBUTE = re.compile(r"""[\s/]*([^\s/>="'<]+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>"']*))?""")
_BRACKET = re.compile(r"!?\[|\]\(?|\n[ \t\r]*(?=\n)")
_PARAGRAPH_END = re.compile(r"\n[ \t\r]*\n")
# An address may hold brackets in pairs. It ends before another link's, so that reading all of them takes linear time.
_ADDRESS = re.compile(r"\s*<?((?:\\[()]|[^\s()>\]]|\([^\s()\]]*\)|\(|\](?!\())*)")
# Wherever it stands: in a list, a quote, over a line's end. What is no definition to a renderer is judged all the same.
REFERENCE = re2.compile(r"\]:\s*(?:>\s*)*<?([^\s>]+)")
_AUTOLINK = re2.compile(r"<([A-Za-z][A-Za-z0-9+.&#;%-]{1,40}:[^\s<>]*)>")
_BARE_SCRIPT = re2.compile(
    r"(?i)\bj[\s\x00]*a[\s\x00]*v[\s\x00]*a[\s\x00]*s[\s\x00]*c[\s\x00]*r[\s\x00]*i[\s\x00]*p[\s\x00]*t[\t\n\r\x00]*"
    r"(?::|&#0*58;?|&#x0*3a;?|&colon;|%3a)[^\s]"
)
FENCE = re2.compile(r"(?m)^[ \t]{0,3}(?:```|~~~)[^\n]*$")
# Between single marks: an escaped one opens nothing, two are another mark.
_CODE_SPAN = re.compile(r"(?<![\\`])`(?!`)[^`\n]+`(?!`)")
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


@dataclass(frozen=True, slots=True)
class MarkupFinding:
    """One active piece of markup at ``[start, end)``; ``replacement`` is its harmless form."""

    type: str
    rule: str
    start: int
    end: int
    replacement: str


def inspect_markup(
    text: str, *, hosts: frozenset[str] | None = None, exempt_code: bool = True
) -> tuple[MarkupFinding, ...]:
    """What would act or load when the text is shown.

    ``hosts`` are the only ones links and images may lead to. When it is empty no host may be loaded from, and links
    pass unless they carry data; when it is None, neither images nor links are refused for their host alone.
    """
    if (
        "<" not in text
        and "](" not in text
        and "]:" not in text
        and ":" not in text
        and "%3" not in text
        and "&" not in text
    ):
        return ()
    text = encodable(text)
    found = sorted((*_elements(text, hosts), *_markdown(text, hosts), *_bare(text)), key=lambda f: (f.start, -f.end))
    inert = _code_ranges(text) if exempt_code and "`" in text else []
    kept: list[MarkupFinding] = []
    for finding in found:
        if not (kept and finding.start < kept[-1].end) and not _inside(finding, inert):
            kept.append(finding)
    return tuple(kept)


def neutralize(text: str, *, hosts: frozenset[str] | None = None, exempt_code: bool = True) -> str:
    """The text with every finding in its harmless form: tags shown as text, addresses and images taken out."""
    while findings := inspect_markup(text, hosts=hosts, exempt_code=exempt_code):
        parts: list[str] = []
        last = 0
        for finding in findings:
            parts += (text[last : finding.start], finding.replacement)
            last = finding.end
        text = "".join((*parts, text[last:]))
    return text


def _elements(text: str, hosts: frozenset[str] | None) -> Iterator[MarkupFinding]:
    closed_until = 0
    absent = {'"': False, "'": False}
    for count, m in enumerate(TAG.finditer(text)):
        start, name_end = m.span()
        if count >= MAX_MARKUP:
            yield _crowded(start, len(text))
            return
        if start < closed_until:
            continue
        end = closed_until = tag_end(text, name_end, absent)
        reason = _judge_element(m[0].lstrip("</?").lower(), text[name_end:end], hosts)
        if reason:
            yield MarkupFinding(f"markup.{reason}", reason, start, start + 1, "&lt;")


def _crowded(start: int, end: int) -> MarkupFinding:
    return MarkupFinding("markup.crowded", "crowded", start, end, CROWDED)


def tag_end(text: str, at: int, absent: dict[str, bool]) -> int:
    """Just past the ``>`` that closes the tag, quotes respected; an unclosed tag ends at the next ``<`` or the end."""
    limit = len(text)
    while at < limit:
        char = text[at]
        if char == ">":
            return at + 1
        if char == "<":
            return at
        if char in absent and text[at - 1] in "= \t\n\r" and not absent[char]:
            closing = text.find(char, at + 1)
            absent[char] = closing < 0
            at = closing if closing >= 0 else at
        at += 1
    return limit


def _judge_element(name: str, attributes: str, hosts: frozenset[str] | None) -> str:
    if name.rpartition(":")[2] in ACTIVE:
        return "active-element"
    for m in _ATTRIBUTE.finditer(attributes):
        key, value = m[1].lower(), (m[2] or "").strip("\"'")
        if key.startswith("on") and len(key) > 3 and m[2] is not None:
            return "event-handler"
        if key == "srcdoc" or (key == "style" and _bad_style(value)):
            return "active-attribute"
        if key in URL_ATTRIBUTES and (reason := _judge_url(value, hosts, loads=name in LOADING)):
            return reason
    return ""


def _bad_style(value: str) -> bool:
    plain = _CONTROL.sub("", html.unescape(value)).lower()
    return "url(" in plain or "expression(" in plain or "javascript:" in plain or "\\" in plain


def _judge_url(value: str, hosts: frozenset[str] | None, *, loads: bool) -> str:
    reason = _judge_plain(value, hosts, loads=loads)
    if not reason and "\\" in value:
        # As Markdown reads it, which takes its escapes off first.
        reason = _judge_plain(_ESCAPED.sub(r"\1", value), hosts, loads=loads)
    return reason


def _judge_plain(value: str, hosts: frozenset[str] | None, *, loads: bool) -> str:
    plain = _decoded_url(value)
    if plain.startswith(BAD_SCHEMES) and not (plain.startswith(SAFE_DATA) and "svg" not in plain[:40]):
        return "dangerous-scheme"
    if not plain.startswith(("http:", "https:", "//", "ftp:", "\\\\", "/\\")):
        return ""
    try:
        parts = urlsplit(plain.replace("\\", "/"))
        host = parts.hostname or ""
    except ValueError:
        return "unreadable-url"
    if any(host == allowed or host.endswith("." + allowed) for allowed in hosts or ()):
        return ""
    if hosts:
        return "external-host"
    long = any(len(s) > LONG_SEGMENT for s in (*parts.path.split("/"), *host.split(".")))
    if loads:
        return "external-image" if hosts is not None or long or parts.query or parts.username else ""
    # A link waits for a click, so it may lead anywhere; it may not carry what was said out with it.
    spoken = parts.username or len(parts.query) > LONG_SEGMENT or len(parts.fragment) > LONG_SEGMENT or long
    return "external-link" if hosts is not None and spoken else ""


def _decoded_url(value: str) -> str:
    for _ in range(3):
        plain = unquote(html.unescape(value))
        if plain == value:
            break
        value = plain
    return _CONTROL.sub("", value).lower()


@dataclass(frozen=True, slots=True)
class Link:
    """A Markdown link or image with its address; ``closed`` is False for brackets whose address is not known here."""

    start: int
    end: int
    image: bool
    address: str
    closed: bool = True


def links(text: str) -> Iterator[Link]:
    """Every link and image (CommonMark 6.3, 6.4), and at the end of the text the brackets of its last paragraph.

    In doubt an address belongs to an image: escaped brackets and those in code count, and one that no bracket is left
    for belongs to what stood before it in its paragraph.
    """
    if "[" not in text:
        return
    opened: list[tuple[int, bool]] = []
    first, image = -1, False
    for mark in _BRACKET.finditer(text):
        if mark[0][0] == "\n":
            opened, first, image = [], -1, False
        elif mark[0][-1] == "[":
            opened.append((mark.start(), mark[0][0] == "!"))
            first, image = (mark.start() if first < 0 else first), image or mark[0][0] == "!"
        elif first >= 0:
            start, loads = opened.pop() if opened else (mark.start(), image)
            address = _ADDRESS.match(text, mark.end()) if mark[0] == "](" else None
            if address is not None:
                yield Link(start, address.end(), loads, address[1])
            elif loads or mark.end() == len(text):
                # The address may come yet; an image's may stand anywhere: ![chart][1].
                yield Link(start, len(text), loads, "", closed=False)
    if opened:
        yield Link(opened[0][0], len(text), opened[0][1], "", closed=False)


def brackets_left(text: str) -> str:
    """Brackets that say of a text's last paragraph what ``links`` needs to know when it goes on elsewhere."""
    paragraph = text
    for end in _PARAGRAPH_END.finditer(text):
        paragraph = text[end.end() - 1 :]
    return "![]" if "![" in paragraph else "[]" if "[" in paragraph else ""


def _markdown(text: str, hosts: frozenset[str] | None) -> Iterator[MarkupFinding]:
    # Brackets without an address are none: what stands for a crowd is written in them.
    for count, link in enumerate(link for link in links(text) if link.closed):
        if count >= MAX_MARKUP:
            yield _crowded(link.start, len(text))
            break
        if reason := _judge_url(link.address, hosts, loads=link.image):
            start, end = (link.start, link.end) if link.image else (link.end - len(link.address), link.end)
            yield MarkupFinding(
                f"markup.{reason}", f"markdown-{reason}", start, end, "[image removed](" if link.image else "#"
            )
    if "]:" in text:
        for m in REFERENCE.finditer(text):
            if reason := _judge_url(m[1], hosts, loads="![" in text):
                yield MarkupFinding(f"markup.{reason}", f"reference-{reason}", m.start(1), m.end(1), "#")
    if "<" in text:
        for m in _AUTOLINK.finditer(text):
            if _judge_url(m[1], None, loads=False):
                yield MarkupFinding("markup.dangerous-scheme", "autolink", m.start(), m.start() + 1, "&lt;")


def _bare(text: str) -> Iterator[MarkupFinding]:
    for m in _BARE_SCRIPT.finditer(text):
        yield MarkupFinding("markup.dangerous-scheme", "bare-script-url", m.start(), m.end() - 1, "blocked-script-url ")


def _code_ranges(text: str) -> list[tuple[int, int]]:
    ranges, _, certain = code_fences(text)
    ranges.extend(m.span() for m in _CODE_SPAN.finditer(text, 0, certain))
    return sorted(ranges)


def code_fences(text: str) -> tuple[list[tuple[int, int]], bool | None, int]:
    """The closed blocks of code in ``text``; whether one is open at its end, None once in doubt; where doubt begins.

    Three backticks open and close a block. From any other fence on (longer, of tildes, with words where it should
    close), renderers differ on what is code: nothing behind it counts as code here.
    """
    ranges: list[tuple[int, int]] = []
    opened = -1
    for m in FENCE.finditer(text):
        line = m[0].strip()
        if opened >= 0 and line == "```":
            ranges.append((opened, m.start()))
            opened = -1
        elif opened < 0 and line.startswith("```") and "`" not in line[3:]:
            opened = m.end()
        else:
            return ranges, None, m.start()
    return ranges, opened >= 0, len(text)


def _inside(finding: MarkupFinding, ranges: list[tuple[int, int]]) -> bool:
    return any(start <= finding.start and finding.end <= end for start, end in ranges)
