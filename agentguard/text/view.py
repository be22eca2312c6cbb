"""A changed reading of a text, with a map from every character back to the original.

A view is its text plus the list of places where it differs from its parent; finding the origin of a span is a
bisection per level, and an unchanged stretch costs nothing to keep.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

__all__ = ["Edit", "View"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace ``[start, end)`` of the parent by ``text``; every character of ``text`` then comes from that range."""

    start: int
    end: int
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class View:
    """One reading of an original text. ``name`` says how it was made, outermost step last (``clean+base64``)."""

    text: str = field(repr=False)
    name: str = "original"
    parent: View | None = None
    # Parallel lists, one entry per stretch: where it starts here, where it starts in the parent, and the end of the
    # parent's range when the stretch is a replacement (-1 when it is a character-for-character copy).
    _here: list[int] = field(default_factory=lambda: [0], repr=False)
    _there: list[int] = field(default_factory=lambda: [0], repr=False)
    _until: list[int] = field(default_factory=lambda: [-1], repr=False)
    # The edits of a view whose lists are made on the first question for a span: most views are never asked.
    _pending: list[Callable[[], Iterable[Edit]]] = field(default_factory=list, repr=False)

    @classmethod
    def edited(cls, parent: View, name: str, edits: Iterable[Edit]) -> View:
        """The parent's text with the edits applied. Edits come in order and do not overlap; none: the parent."""
        parts, here, there, until = _laid_out(parent.text, edits)
        if not here:
            return parent
        return cls("".join(parts), _joined(parent.name, name), parent, here, there, until)

    @classmethod
    def replaced(cls, parent: View, name: str, text: str, edits: Callable[[], Iterable[Edit]]) -> View:
        """The same when ``text``, the result of the edits, is at hand already: places are worked out when asked for."""
        if text == parent.text:
            return parent
        return cls(text, _joined(parent.name, name), parent, [], [], [], [edits])

    @classmethod
    def gathered(cls, parent: View, name: str, pieces: Iterable[Edit]) -> View:
        """Texts decoded out of the parent, one a line, standing without the rest of it."""
        parts: list[str] = []
        here: list[int] = []
        there: list[int] = []
        until: list[int] = []
        length = 0
        for piece in pieces:
            parts.append(piece.text)
            here.append(length)
            there.append(piece.start)
            until.append(piece.end)
            length += len(piece.text) + 1
        return cls("\n".join(parts), _joined(parent.name, name), parent, here, there, until)

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
        if self._pending and self.parent is not None:
            _, here, there, until = _laid_out(self.parent.text, self._pending.pop()())
            self._here.extend(here)
            self._there.extend(there)
            self._until.extend(until)
        first = bisect_right(self._here, start) - 1
        low = self._there[first] if self._until[first] >= 0 else self._there[first] + start - self._here[first]
        if end <= start:
            return low, low
        last = bisect_right(self._here, end - 1) - 1
        high = self._until[last] if self._until[last] >= 0 else self._there[last] + end - self._here[last]
        return low, high


def _laid_out(text: str, edits: Iterable[Edit]) -> tuple[list[str], list[int], list[int], list[int]]:
    """The parts of the edited text and the three lists of a view; all empty when there is nothing to edit."""
    parts: list[str] = []
    here: list[int] = []
    there: list[int] = []
    until: list[int] = []
    length = last = 0
    for edit in edits:
        if edit.start > last:
            parts.append(text[last : edit.start])
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
        return [], [], [], []
    if last < len(text) or not here:
        parts.append(text[last:])
        here.append(length)
        there.append(last)
        until.append(-1)
    return parts, here, there, until


def _joined(parent: str, name: str) -> str:
    return name if parent == "original" else f"{parent}+{name}"
