"""What one argument may hold: small frozen checks over every text, key and number inside the value.

A check answers with the clause that completes "argument X ..." when it refuses, else None. The clause never holds
the value, so it is safe to show to a model.

Sources: RFC 3986 (URL parts), WHATWG URL (legacy IPv4 forms), UTS 39 and CVE-2019-9636 (characters that turn into
delimiters under NFKC), CWE-22 (path traversal), CWE-93 (header injection through line ends).
"""

from __future__ import annotations

import ipaddress
import re
import socket
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote

from agentguard.event import Json
from agentguard.policy.glob import Globs, fold, lower

__all__ = [
    "Allowed",
    "Bounds",
    "Check",
    "Constraint",
    "Folder",
    "MaxLength",
    "OneLine",
    "OneOf",
    "Pattern",
    "Refused",
    "TypeIs",
    "UrlAllowed",
    "UrlRefused",
]

# Zl and Zp end lines; Cf is invisible or reorders text; Cs has no UTF-8 form; Co has no agreed meaning.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Invisible, though Unicode calls them letters, marks or spaces: joiners, variation selectors, fillers.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
_DELIMITERS = '@/:?#,;<>"\\%.&=()[]'


class Check(Protocol):
    """One constraint on a value."""

    def refuses(self, value: Json) -> str | None:
        """Why the value is refused, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Constraint:
    """A check together with the policy row it comes from."""

    rule: str
    line: int | None
    check: Check


@dataclass(frozen=True, slots=True)
class OneLine:
    """For a sink: no line end, control, invisible or reordering character, no space at the ends, no delimiter in
    disguise. What a person approves, what a rule compares and what the tool receives are then the same text.
    """

    def refuses(self, value: Json) -> str | None:
        for text in _texts(value):
            if problem := _one_line_problem(text):
                return problem
        return None


@dataclass(frozen=True, slots=True)
class TypeIs:
    """The JSON type of the value as a whole. A boolean is no number; 1.0 is no integer."""

    name: str

    def refuses(self, value: Json) -> str | None:
        return None if _JSON_TYPES[self.name](value) else f"must be of type {self.name}"


@dataclass(frozen=True, slots=True)
class MaxLength:
    """Code points of all texts in the value together, so that a list cannot carry what one text may not."""

    limit: int

    def refuses(self, value: Json) -> str | None:
        total = sum(len(leaf) for leaf in _leaves(value) if isinstance(leaf, str))
        return f"must have at most {self.limit} characters" if total > self.limit else None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Every leaf is a number within the closed interval."""

    low: float | None
    high: float | None

    def refuses(self, value: Json) -> str | None:
        for leaf in _leaves(value):
            if isinstance(leaf, bool) or not isinstance(leaf, int | float):
                return "must be a number"
            if self.low is not None and leaf < self.low:
                return f"must be at least {self.low}"
            if self.high is not None and leaf > self.high:
                return f"must be at most {self.high}"
        return None


@dataclass(frozen=True, slots=True)
class OneOf:
    """Every leaf equals a listed value, type included: ``true`` is neither 1 nor "true"."""

    accepted: frozenset[tuple[type, object]]

    def refuses(self, value: Json) -> str | None:
        if all((type(leaf), leaf) in self.accepted for leaf in _leaves(value)):
            return None
        return "must be one of the listed values"


@dataclass(frozen=True, slots=True)
class Pattern:
    """Every leaf is text that the RE2 pattern matches as a whole, unfolded."""

    pattern: Any

    def refuses(self, value: Json) -> str | None:
        for leaf in _leaves(value):
            if not isinstance(leaf, str) or _has_surrogate(leaf) or self.pattern.fullmatch(leaf) is None:
                return "must match the listed pattern as a whole"
        return None


@dataclass(frozen=True, slots=True)
class Allowed:
    """Every leaf matches an allow glob, is one line, and holds nothing invisible.

    With ``paths``, a wildcard never reaches across ``..``: ``docs/*`` does not permit ``docs/../etc/passwd``.
    """

    globs: Globs
    paths: bool = False

    def refuses(self, value: Json) -> str | None:
        return None if all(map(self._permits, _leaves(value))) else "must match one of the allowed values"

    def _permits(self, leaf: Json) -> bool:
        text = _comparable(leaf)
        if text is None or _one_line_problem(text):
            return False
        folded = lower(text)
        if self.paths and _climbs_out(text):
            return folded in self.globs.plain
        return self.globs.match(folded)


@dataclass(frozen=True, slots=True)
class Refused:
    """No leaf matches a deny glob, in the form that folds most."""

    globs: Globs

    def refuses(self, value: Json) -> str | None:
        for leaf in _leaves(value):
            if leaf is not None and self.globs.match(fold(_plain(leaf))):
                return "matches a value that is not permitted"
        return None


@dataclass(frozen=True, slots=True)
class UrlRule:
    """One allow or deny entry of a URL sink, taken apart: ``[scheme://]host[:port][/path]``."""

    scheme: str | None
    host: Globs
    port: int | None
    path: Globs | None

    def allows(self, url: Url) -> bool:
        """Whether every given part matches; without a scheme https is meant, without a port the scheme's own."""
        if url.scheme != (self.scheme or "https") or not self.host.match(url.host):
            return False
        if url.port != (self.port if self.port is not None else _PORTS.get(url.scheme)):
            return False
        return self.path is None or (not _climbs(url.path) and self.path.match(url.path))

    def refuses(self, url: Url) -> bool:
        """Whether every *given* part matches: a part left out matches all."""
        if (self.scheme and url.scheme != self.scheme) or not self.host.match(url.host):
            return False
        if self.port is not None and url.port != self.port:
            return False
        return self.path is None or _climbs(url.path) or self.path.match(fold(unquote(url.path)))


@dataclass(frozen=True, slots=True)
class UrlAllowed:
    """Every leaf is one plain URL whose parsed scheme, host, port and path an entry permits."""

    rules: tuple[UrlRule, ...]

    def refuses(self, value: Json) -> str | None:
        for leaf in _leaves(value):
            url = parse_url(leaf) if isinstance(leaf, str) else None
            if url is None:
                return "must be one plain URL without user name"
            if not any(rule.allows(url) for rule in self.rules):
                return "must point to an allowed host"
        return None


@dataclass(frozen=True, slots=True)
class UrlRefused:
    """No leaf is a URL that an entry names; what does not parse as a plain URL is refused too."""

    rules: tuple[UrlRule, ...]

    def refuses(self, value: Json) -> str | None:
        for leaf in _leaves(value):
            url = parse_url(leaf) if isinstance(leaf, str) else None
            if url is None:
                return "must be one plain URL without user name"
            if any(rule.refuses(url) for rule in self.rules):
                return "points to a host that is not permitted"
        return None


@dataclass(frozen=True, slots=True)
class Folder:
    """Every leaf is a path inside ``root``, by its text alone: the tool must not follow symbolic links out of it.

    Under a relative root only relative paths pass, under an absolute one only absolute paths, because the directory
    the tool starts in is not known here.
    """

    root: tuple[str, ...]
    absolute: bool

    def refuses(self, value: Json) -> str | None:
        return None if all(map(self._holds, _leaves(value))) else "must be a path inside the permitted folder"

    def _holds(self, leaf: Json) -> bool:
        if not isinstance(leaf, str) or not leaf or _one_line_problem(leaf):
            return False
        # A tool may decode once more than we do, so an encoded separator or dot is a separator or dot.
        once = unquote(leaf)
        forms = (leaf, once, unquote(once), unicodedata.normalize("NFKC", leaf))
        return all(map(self._contains, forms))

    def _contains(self, text: str) -> bool:
        slashed = text.replace("\\", "/")
        if "\0" in text or text.startswith("~") or _DRIVE.match(text) or slashed.startswith("//"):
            return False
        if slashed.startswith("/") is not self.absolute:
            return False
        parts = [part for part in slashed.split("/") if part not in ("", ".")]
        if any(part.strip(" ").startswith("..") and not part.strip(" .") for part in parts):
            return False
        return tuple(parts[: len(self.root)]) == self.root


_DRIVE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


@dataclass(frozen=True, slots=True)
class Url:
    """The parts that rules compare. The host is lower case, without a final dot, IP addresses in canonical form."""

    scheme: str
    host: str
    port: int | None
    path: str


# Stricter than RFC 3986: no userinfo, no percent sign or non-ASCII character in the host, nothing that clients split
# differently (backslash, tab, line end, several @).
_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#\\]*)?(?:[?#][^\\]*)?"
)
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21}


def parse_url(text: str) -> Url | None:
    """Take a URL apart, or None for anything that two clients might read differently."""
    if _one_line_problem(text) or " " in text:
        return None
    found = _URL.fullmatch(text)
    if found is None:
        return None
    scheme = found["scheme"].lower()
    host = canonical_host(found["host"])
    port = int(found["port"]) if found["port"] else _PORTS.get(scheme)
    return Url(scheme, host, port, found["path"] or "/") if host else None


def canonical_host(host: str) -> str | None:
    """Lower case, no final dot; an address in any form ``inet_aton`` reads (0x7f.1, 2130706433) as four numbers."""
    host = host.lower().removesuffix(".")
    if host.startswith("["):
        return _canonical_ipv6(host[1:-1])
    last = host.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        try:
            return socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            return None
    return host if host and ".." not in host else None


def _canonical_ipv6(text: str) -> str | None:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    return str(address.ipv4_mapped or address)


def _climbs(path: str) -> bool:
    """Whether a client or server might resolve the path to another one than it reads as."""
    for _ in range(3):
        if any(part.strip(" ") in (".", "..") for part in re.split(r"[/\\;]", path)):
            return True
        path = unquote(path)
    return "%" in path


def _climbs_out(path: str) -> bool:
    """Whether a segment is ``..``, in either kind of slash, as written or percent-encoded once or twice."""
    once = unquote(path)
    forms = (path, once, unquote(once))
    return any(part.strip(" ") == ".." for form in forms for part in re.split(r"[/\\;]", form))


def _one_line_problem(text: str) -> str | None:
    # str.isprintable is one C loop; only what fails it is looked at character by character.
    if not text.isprintable() and any(unicodedata.category(c) in _UNSEEN for c in text):
        return "must not hold line ends, control or invisible characters"
    if text.isascii():
        return None if text == text.strip() else "must not start or end with a space"
    if _BLANK.search(text) or text != text.strip():
        return "must not hold invisible characters or start or end with a space"
    folded = unicodedata.normalize("NFKC", text)
    if any(folded.count(d) != text.count(d) for d in _DELIMITERS):
        return "must not hold characters that turn into punctuation"
    return None


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text) if not text.isascii() else False


def _leaves(value: Json) -> Iterator[Json]:
    """Every scalar at any depth, dictionary keys included: a key can carry an address too."""
    if isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    else:
        yield value


def _texts(value: Json) -> Iterator[str]:
    return (leaf for leaf in _leaves(value) if isinstance(leaf, str))


def _comparable(leaf: Json) -> str | None:
    """The text an allow glob may compare: text, or a whole number's digits. Floats, booleans and null never match."""
    if isinstance(leaf, str):
        return leaf
    return str(leaf) if type(leaf) is int else None


def _plain(leaf: Json) -> str:
    if isinstance(leaf, str):
        return leaf
    if isinstance(leaf, bool):
        return "true" if leaf else "false"
    return repr(leaf)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_JSON_TYPES: dict[str, Callable[[Json], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
