"""Markup that acts: active elements, event handlers, dangerous URLs, and images or links that carry data out.

A tolerant tag reader (unclosed tags count, attributes may stand without spaces) and a URL parser decide, not patterns
over the whole: schemes are judged after entities, white space, control characters and percent signs are resolved, as
browsers do (WHATWG HTML 13.2.5, URL 4.4). Reading is linear: a tag ends at the next ``<`` letter at the latest.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import re2

__all__ = ["MarkupIssue", "inspect_markup", "neutralize"]

ACTIVE = frozenset({
    "applet", "audio", "base", "body", "button", "canvas", "dialog", "embed", "form", "frame", "frameset", "head",
    "html", "iframe", "input", "isindex", "keygen", "link", "marquee", "math", "meta", "noembed", "noframes",
    "noscript", "object", "option", "param", "plaintext", "portal", "script", "select", "slot", "source", "style",
    "svg", "template", "textarea", "title", "track", "video", "xml", "xmp",
})  # fmt: skip
URL_ATTRIBUTES = frozenset({
    "action", "background", "cite", "classid", "codebase", "data", "dynsrc", "formaction", "href", "icon",
    "longdesc", "lowsrc", "manifest", "ping", "poster", "profile", "src", "srcset", "usemap", "xlink:href",
})  # fmt: skip
DANGEROUS_SCHEMES = frozenset(
    {"javascript", "vbscript", "livescript", "data", "file", "blob", "filesystem", "view-source"}
)
# Pictures in a data URL do nothing; SVG is no picture but a program.
_INERT_DATA = re.compile(r"data:image/(?:png|jpe?g|gif|webp|bmp|avif);base64,", re.IGNORECASE)

# A link with a query longer than this says more than an address: it carries data.
MAX_LINK_QUERY = 64

_TAG_START = re2.compile(r"<[/!?]?[A-Za-z!?]")
_TAG_NAME = re.compile(r"<[/!?]?([A-Za-z][A-Za-z0-9:-]*)")
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(?:\s{0,64}=\s{0,64}(?:"([^"]*)"?|'([^']*)'?|([^\s>]*)))?""")
_MARKDOWN_TARGET = re2.compile(r"\]\([ \t]*<?(?P<url>[^)\s>]{1,1000})")
# An image's alternative text is looked through this far back for its opening bracket.
MAX_ALT = 1_000
_MARKDOWN_REFERENCE = re2.compile(r"(?m)^[ \t]{0,3}\[[^\]\n]{1,200}\]:[ \t]*<?(?P<url>[^\s>]{1,1000})")
_AUTOLINK = re2.compile(r"<(?P<url>[A-Za-z][A-Za-z0-9+.\-]{1,30}:[^\s<>]{1,1000})>")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")
_CSS_DANGER = re.compile(r"url\s*\(|expression\s*\(|@import|-moz-binding|behavior\s*:", re.IGNORECASE)
_IGNORED_IN_URL = re.compile("[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028\u2029\ufeff]")


@dataclass(frozen=True, slots=True)
class MarkupIssue:
    """Something active at ``[start, end)``: ``kind`` is element, handler, scheme, style, image or link."""

    kind: str
    start: int
    end: int


def inspect_markup(text: str, allow_hosts: frozenset[str] = frozenset()) -> tuple[MarkupIssue, ...]:
    """Everything in ``text`` that would act, or call out, when shown as HTML or Markdown.

    Remote images are issues unless their host is allowed: a picture loads without a click and its address can carry
    data. Links are issues when hosts are given and theirs is not among them, or when their query carries data.
    """
    if "<" not in text and "](" not in text and "]:" not in text:
        return ()
    issues = [*_tags(text, allow_hosts), *_markdown(text, allow_hosts)]
    return tuple(sorted(set(issues), key=lambda issue: (issue.start, issue.end)))


def neutralize(text: str, issues: tuple[MarkupIssue, ...]) -> list[tuple[int, int, str]]:
    """Edits ``(start, end, replacement)`` after which nothing acts: tags are shown as text, targets removed."""
    edits: list[tuple[int, int, str]] = []
    for issue in issues:
        if issue.kind in ("image", "link", "scheme"):
            edits.append((issue.start, issue.end, "#removed"))
        else:
            edits.append((issue.start, issue.start + 1, "&lt;"))
    return edits


def _tags(text: str, allow_hosts: frozenset[str]) -> Iterator[MarkupIssue]:
    starts = [match.start() for match in _TAG_START.finditer(text)]
    for start, following in zip(starts, [*starts[1:], len(text)], strict=True):
        named = _TAG_NAME.match(text, start, following)
        if named is None:
            continue
        name = named[1].lower()
        # ``<`` is part of the range, so that neutralising the tag is replacing it.
        if name.rpartition(":")[2] in ACTIVE:
            yield MarkupIssue("element", start, named.end())
            continue
        kind = _attribute_issue(name, text, named.end(), following, allow_hosts)
        if kind:
            yield MarkupIssue(kind, start, named.end())


def _attribute_issue(tag: str, text: str, start: int, end: int, allow_hosts: frozenset[str]) -> str | None:
    """The first thing wrong with a tag's attributes, as an issue that escapes the tag."""
    for match in _ATTRIBUTE.finditer(text, start, end):
        name = match[1].lower()
        value = html.unescape(match[2] or match[3] or match[4] or "")
        if name.startswith("on") and len(name) > 3 and name.isalpha() and "=" in match[0]:
            return "handler"
        if name == "srcdoc" or (name == "style" and _CSS_DANGER.search(value)):
            return "style"
        if name in URL_ATTRIBUTES:
            if _is_dangerous(value):
                return "handler"
            remote = tag in ("img", "image", "picture") or name in ("background", "poster", "ping", "srcset")
            if remote and not _host_allowed(value, allow_hosts):
                return "element"
            if tag == "a" and _is_bad_link(value, allow_hosts):
                return "element"
    return None


def _markdown(text: str, allow_hosts: frozenset[str]) -> Iterator[MarkupIssue]:
    for match in _MARKDOWN_TARGET.finditer(text):
        url = html.unescape(match["url"])
        if _is_dangerous(url):
            yield MarkupIssue("scheme", *match.span("url"))
        elif _is_image(text, match.start()):
            if not _host_allowed(url, allow_hosts):
                yield MarkupIssue("image", *match.span("url"))
        elif _is_bad_link(url, allow_hosts):
            yield MarkupIssue("link", *match.span("url"))
    for pattern in (_MARKDOWN_REFERENCE, _AUTOLINK):
        for match in pattern.finditer(text):
            url = html.unescape(match["url"])
            if _is_dangerous(url):
                yield MarkupIssue("scheme", *match.span("url"))
            # A reference may serve an image, so it is judged as one when its host is remote and hosts are named.
            elif _is_bad_link(url, allow_hosts):
                yield MarkupIssue("link", *match.span("url"))


def _is_image(text: str, close: int) -> bool:
    """Whether the bracket closed at ``close`` was opened as ``![``; one that opens too far back counts as an image."""
    depth = 0
    for index in range(close, max(-1, close - MAX_ALT), -1):
        if text[index] == "]":
            depth += 1
        elif text[index] == "[":
            depth -= 1
            if depth == 0:
                return text[index - 1 : index] == "!"
        elif text[index] == "\n" and text[index - 1 : index] == "\n":
            return False
    return close >= MAX_ALT


def _is_dangerous(url: str) -> bool:
    """Whether a URL's scheme runs something, however it is written."""
    for form in (url, unquote(url), html.unescape(unquote(url))):
        bare = _IGNORED_IN_URL.sub("", form).lower()
        scheme = _SCHEME.match(bare)
        if scheme and scheme[1] in DANGEROUS_SCHEMES and not _INERT_DATA.match(bare):
            return True
    return False


def _host_allowed(url: str, allow_hosts: frozenset[str]) -> bool:
    host = _host(url)
    return host is not None and (not host or host in allow_hosts)


def _is_bad_link(url: str, allow_hosts: frozenset[str]) -> bool:
    host = _host(url)
    if host is None:
        return True
    if not host or host in allow_hosts:
        return False
    if allow_hosts:
        return True
    parts = urlsplit(_IGNORED_IN_URL.sub("", url))
    return len(parts.query) > MAX_LINK_QUERY or len(parts.fragment) > MAX_LINK_QUERY or parts.username is not None


def _host(url: str) -> str | None:
    """The host a URL leads to, empty for a relative one, None when it cannot be told."""
    bare = _IGNORED_IN_URL.sub("", url).replace("\\", "/")
    try:
        parts = urlsplit(bare)
        host = (parts.hostname or "").rstrip(".").lower()
    except ValueError:
        return None
    if parts.scheme in ("http", "https") and not host:
        return None
    return host
