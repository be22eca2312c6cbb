"""Changing a text in several places at once."""

from __future__ import annotations

from collections.abc import Iterable

from agentguard.text.view import Edit

__all__ = ["Edit", "applied"]


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Apply edits; overlapping ones become one over their union, written as the longest of them is."""
    joined: list[Edit] = []
    longest = 0
    for edit in sorted(edits, key=lambda e: (e.start, -e.end)):
        if joined and edit.start < joined[-1].end:
            last = joined[-1]
            wider = edit.end - edit.start > longest
            joined[-1] = Edit(last.start, max(last.end, edit.end), edit.text if wider else last.text)
            longest = max(longest, edit.end - edit.start)
        else:
            joined.append(edit)
            longest = edit.end - edit.start
    parts: list[str] = []
    last_end = 0
    for edit in joined:
        parts += (text[last_end : edit.start], edit.text)
        last_end = edit.end
    return "".join((*parts, text[last_end:]))
