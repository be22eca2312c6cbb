"""Globs with two operators, ``*`` and ``?``, compiled to RE2: linear time, anchored at both ends.

Brackets, braces, backslashes and ``**`` are refused rather than given a meaning, so that nobody writes a rule in a
dialect this one does not speak.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import re2

__all__ = ["Globs", "compiled", "fold", "glob_problem", "is_glob", "pattern_problem"]

_OTHER_DIALECTS = set("[]{}\\")
MAX_GLOB_CHARS = 512
# One pattern may not cost more memory than this; RE2 refuses it at load instead of failing at run time.
MAX_PATTERN_BYTES = 8 << 20

# What one address, id or host never holds, but a list of them, a display name or a comment does.
_ATOM = r"[^\s,;:<>()\"'`|\\%!?#/@]"
_ANY = r"(?s:.)"


def is_glob(text: str) -> bool:
    """Whether ``text`` holds a glob operator."""
    return "*" in text or "?" in text


def glob_problem(text: str) -> str | None:
    """One sentence saying why ``text`` is no usable glob, or None."""
    if not text or text != text.strip() or not text.isprintable():
        return "a glob is non-empty printable text without spaces at its ends"
    if len(text) > MAX_GLOB_CHARS:
        return f"a glob has at most {MAX_GLOB_CHARS} characters"
    if _OTHER_DIALECTS & set(text):
        return "a glob knows only * and ?; brackets, braces and backslashes are not accepted"
    if "**" in text:
        return "write one *; it already matches any number of characters"
    return None


def pattern_problem(pattern: str) -> str | None:
    """What RE2 says against ``pattern``, or None."""
    try:
        compiled(pattern)
    except (re2.error, UnicodeError) as error:
        detail = error.args[0] if error.args else b""
        return detail.decode(errors="replace") if isinstance(detail, bytes) else str(error)
    return None


def compiled(pattern: str) -> Any:
    """Compile with RE2, quietly: errors are raised, not logged."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PATTERN_BYTES
    return re2.compile(pattern, options)


def fold(text: str) -> str:
    """The form in which deny globs compare: NFKC, caseless, no invisible characters, no space at the ends.

    Folding more makes a deny match more. Allow globs fold less, see ``Globs.allow``.
    """
    text = unicodedata.normalize("NFKC", text)
    visible = "".join(c for c in text if unicodedata.category(c) not in ("Cf", "Cc", "Cs") or c in "\t\n\r")
    return unicodedata.normalize("NFKC", visible.casefold()).strip()


def lower(text: str) -> str:
    """The form in which allow globs compare: NFKC and lower case.

    Not ``casefold``: it makes ``straße.de`` equal ``strasse.de``, which are two owners' domains (IDNA 2008).
    """
    return unicodedata.normalize("NFKC", text).lower()


@dataclass(frozen=True, slots=True)
class Globs:
    """Some globs as one look-up: a set for plain entries, one RE2 pattern for the others."""

    plain: frozenset[str]
    pattern: Any = None

    @classmethod
    def allow(cls, globs: Iterable[str], *, atomic: bool) -> Globs:
        """Globs to permit by. With ``atomic``, a wildcard stays inside one address, id or host."""
        return cls._build([lower(g) for g in globs], _ATOM if atomic else _ANY)

    @classmethod
    def deny(cls, globs: Iterable[str]) -> Globs:
        """Globs to refuse by: a wildcard crosses everything, line ends included."""
        return cls._build([fold(g) for g in globs], _ANY)

    @classmethod
    def names(cls, globs: Iterable[str]) -> Globs:
        """Globs over tool names: compared exactly, case included."""
        return cls._build(list(globs), _ANY)

    @classmethod
    def _build(cls, globs: list[str], wildcard: str) -> Globs:
        plain = frozenset(g for g in globs if not is_glob(g))
        wild = sorted({_translate(g, wildcard) for g in globs if is_glob(g)})
        return cls(plain, compiled("|".join(wild)) if wild else None)

    def match(self, text: str) -> bool:
        """Whether a glob matches the whole of ``text``, which the caller has folded."""
        if text in self.plain:
            return True
        return self.pattern is not None and self.pattern.fullmatch(text) is not None


def _translate(glob: str, wildcard: str) -> str:
    parts = {"*": wildcard + "*", "?": wildcard}
    return "(?:" + "".join(parts.get(c) or re2.escape(c) for c in glob) + ")"
