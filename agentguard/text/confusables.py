"""Letters that look like ASCII ones, from the Unicode consortium's confusables data (UTS 39).

The data file comes with the ``confusable-homoglyphs`` package and is read on the first text that is not plain ASCII.
"""

from __future__ import annotations

import functools
import json
import unicodedata
from importlib import resources

__all__ = ["skeleton_char", "skeleton_table"]

# The consortium's file has no entry for these, though readers take them for the ASCII letter or sign.
EXTRA = {
    "ł": "l",
    "ø": "o",
    "đ": "d",
    "ħ": "h",
    "ŧ": "t",
    "\u0131": "i",
    "“": '"',
    "”": '"',
    "„": '"',
    "«": '"',
    "»": '"',
    "—": "-",
    "∙": ".",
    "·": ".",
    "•": ".",
}


@functools.lru_cache(maxsize=1)
def skeleton_table() -> dict[int, str]:
    """Code point of a non-ASCII character to the one ASCII character it imitates, for ``str.translate``."""
    data = json.loads((resources.files("confusable_homoglyphs") / "confusables.json").read_text("utf-8"))
    table = {ord(char): shape for char, shapes in data.items() if (shape := _ascii_shape(char, shapes))}
    table.update({ord(char): shape for char, shape in EXTRA.items()})
    return table


def skeleton_char(char: str) -> str:
    """The ASCII character that ``char`` imitates, else ``char`` itself."""
    return skeleton_table().get(ord(char), char)


def _ascii_shape(char: str, shapes: list[dict[str, str]]) -> str | None:
    if len(char) != 1 or char.isascii() or unicodedata.category(char) in ("Mn", "Mc"):
        return None
    return next((shape["c"].casefold() for shape in shapes if len(shape["c"]) == 1 and shape["c"].isascii()), None)
