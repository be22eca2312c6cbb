"""Review marks: comments by which a draft asks a person to confirm a guess."""

from __future__ import annotations

import re

__all__ = ["REVIEW", "marks", "reviewed"]

REVIEW = "REVIEW"

_MARK = re.compile(rf"(?:^|\s)#\s*{REVIEW}\b:?\s*(.*)")


def reviewed(line: str, why: str) -> str:
    """``line`` with a mark that says what was guessed by."""
    return f"{line}  # {REVIEW}: {why}"


def marks(text: str) -> list[tuple[int, str]]:
    """Line (from 1) and words of every mark that is left in the text of a policy."""
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if mark := _MARK.search(line):
            found.append((number, mark[1]))
    return found
