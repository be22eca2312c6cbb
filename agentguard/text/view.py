"""A changed reading of a text, with a map from every character back to the original.

A view is its text plus the list of places where it differs from its parent; finding the origin of a span is a
bisection per level, and an unchanged stretch costs nothing to keep.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Edit", "View"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace ``[start, end)`` of the parent by ``text``; every character of ``text`` then comes from that range."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class View:
    """One reading of an original text. ``name`` says how it was made, outermost step last (``clean+base64``)."""

    text: str
    name: str = "original"
    parent: View | None = None
    # Parallel lists, one entry per stretch: where it starts here, where it starts in the parent, and the end of the
    # parent's range when the stretch is a replacement (-1 when it is a character-for-character copy).
    _here: list[int] = field(default_factory=lambda: [0], repr=False)
    _there: list[int] = field(default_factory=lambda: [0], repr=False)
    _until: list[int] = field(default_factory=lambda: [-1], repr=False)

    @classmethod
    def edited(cls, parent: View, name: str, edits: Iterable[Edit]) -> View:
        """The parent's text with the edits applied. Edits come in order and do not overlap; none: the parent."""
        parts: list[str] = []
        here: list[int] = []
        there: list[int] = []
        until: list[int] = []
        length = last = 0
        for edit in edits:
            if edit.start > last:
                parts.append(parent.text[last : edit.start])
                here.append(length)
                there.append(last)
                until.append(-1)
                length += edit.start - last
            if edit.text:
                parts.append(edit.text)
                here.append(length)
                there.append(edit.start)
                until.append(edit.end)
                length += len(edit.text)
            last = edit.end
        if last == 0 and not here:
            return parent
        if last < len(parent.text) or not here:
            parts.append(parent.text[last:])
            here.append(length)
            there.append(last)
            until.append(-1)
        return cls("".join(parts), _joined(parent.name, name), parent, here, there, until)

    @classmethod
    def same_length(cls, parent: View, name: str, text: str) -> View:
        """A reading that changes characters one for one."""
        if len(text) != len(parent.text):
            raise ValueError("a same-length view must have its parent's length")
        return parent if text == parent.text else cls(text, _joined(parent.name, name), parent)

    @classmethod
    def extracted(cls, parent: View, name: str, start: int, end: int, text: str) -> View:
        """A text decoded out of ``[start, end)`` of the parent, standing alone; all of it maps to that range."""
        return cls(text, _joined(parent.name, name), parent, [0], [start], [end])

    @property
    def depth(self) -> int:
        """How many steps lead back to the original."""
        return 0 if self.parent is None else 1 + self.parent.depth

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The range of the original that ``[start, end)`` of this view was read from."""
        view = self
        while view.parent is not None:
            start, end = view._step(start, end)
            view = view.parent
        return start, end

    def _step(self, start: int, end: int) -> tuple[int, int]:
        first = bisect_right(self._here, start) - 1
        low = self._there[first] if self._until[first] >= 0 else self._there[first] + start - self._here[first]
        if end <= start:
            return low, low
        last = bisect_right(self._here, end - 1) - 1
        high = self._until[last] if self._until[last] >= 0 else self._there[last] + end - self._here[last]
        return low, high


def _joined(parent: str, name: str) -> str:
    return name if parent == "original" else f"{parent}+{name}"
