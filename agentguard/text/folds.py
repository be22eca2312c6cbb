"""Two folds for comparing values with text: one to trust by, one to distrust by.

They differ on purpose. Finding a value in the user's request gives it trust, so the trusting fold changes only what a
reader cannot see: case, width, look-alike letters, invisible characters. Punctuation stays, or ``there@port.to``
would stand in "send the report to Bob". Finding a value in untrusted text takes trust away, so the distrusting fold
squashes to letters and digits, and spaced, zero-width or homoglyph spellings are still recognised.
"""

from __future__ import annotations

import unicodedata

from agentguard.text.confusables import skeleton_table
from agentguard.text.invisible import INVISIBLE_TABLE
from agentguard.text.marks import without_excess_marks

__all__ = ["distrusting_fold", "trusting_fold"]

# Compatibility forms can nest (a ligature of look-alikes); this many rounds reach the fixed point for every code point.
ROUNDS = 4


def trusting_fold(text: str) -> str:
    """Fold case, width, confusable letters and invisible characters; keep punctuation, spaces and accents."""
    if text.isascii():
        return text.translate(INVISIBLE_TABLE).lower()
    for _ in range(ROUNDS):
        visible = without_excess_marks(text.translate(INVISIBLE_TABLE))
        folded = unicodedata.normalize("NFKC", visible).casefold().translate(skeleton_table())
        if folded == text:
            break
        text = folded
    return text


def distrusting_fold(text: str) -> str:
    """Fold as ``trusting_fold``, then drop accents and everything that is neither a letter nor a digit."""
    if text.isascii():
        return "".join(filter(str.isalnum, text.lower()))
    bare = unicodedata.normalize("NFKD", trusting_fold(text)).casefold().translate(skeleton_table())
    return "".join(filter(str.isalnum, bare))
