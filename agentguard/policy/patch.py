"""Small edits of a policy's text that leave all else as its author wrote it: comments, order, layout."""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentguard.errors import ConfigError
from agentguard.policy.document import Document, Place, Step
from agentguard.policy.yaml_text import listed, scalar

__all__ = ["Patch"]

# A text on one line, plain or quoted, that holds nothing to be escaped.
_WORD = re.compile(r"\"[A-Za-z0-9:._-]+\"|'[A-Za-z0-9:._-]+'|[A-Za-z0-9:._-]+(?=[\s,}\]]|$)")
_ODD_BREAK = re.compile(r"\r(?!\n)|[\x85\u2028\u2029]")


class Patch:
    """Edits of one text, by the places its document names. They are made together, from the end to the beginning.

    Raises:
        ConfigError: the text has line breaks that not every editor counts, so places would be lines off.
    """

    def __init__(self, text: str, document: Document) -> None:
        if _ODD_BREAK.search(text):
            raise ConfigError("the file has line breaks of old kinds; save it with plain line ends and run this again")
        self._lines = text.split("\n")
        self._document = document
        self._inserted: list[tuple[int, int, str]] = []
        self._replaced: list[tuple[Place, Place, str]] = []

    def note(self, steps: tuple[Step, ...], comments: Sequence[str]) -> None:
        """Put comment lines above the line on which the key at ``steps`` stands."""
        line = self._document.keys[steps].line
        indent = self._indent(line)
        for comment in comments:
            self._inserted.append((line, len(self._inserted), f"{indent}# {comment}"))

    def set_list(self, steps: tuple[Step, ...], values: Sequence[str]) -> bool:
        """Make the list under the key at ``steps`` these values, adding the key where it is absent.

        False, and nothing changed, where the text is written in a way this editor does not know.
        """
        if steps in self._document.values:
            return self._replace_list(steps, values)
        return self._add(steps, listed(values))

    def set_text(self, steps: tuple[Step, ...], value: str) -> bool:
        """Make the text under the key at ``steps`` this one, adding the key where it is absent.

        False, and nothing changed, where the text is written in a way this editor does not know.
        """
        place = self._document.values.get(steps)
        if place is None:
            return self._add(steps, scalar(value))
        found = _WORD.match(self._lines[place.line - 1], place.column - 1)
        if found is None:
            return False
        self._replaced.append((place, Place(place.line, found.end() + 1), scalar(value)))
        return True

    def _add(self, steps: tuple[Step, ...], written: str) -> bool:
        """Put a key into the row it belongs to."""
        row, key = steps[:-1], str(steps[-1])
        place = self._document.values.get(row)
        if place is None:
            return False
        if self._at(place) == "{":
            rest = self._lines[place.line - 1][place.column :].lstrip()
            comma = "" if rest.startswith("}") else ", "
            after = Place(place.line, place.column + 1)
            self._replaced.append((after, after, f"{key}: {written}{comma}"))
            return True
        if (first := self._first_key(row)) is not None:
            indent = " " * (first.column - 1)
            self._inserted.append((first.line, len(self._inserted), f"{indent}{key}: {written}"))
            return True
        return False

    def text(self) -> str:
        """The text with every edit made."""
        lines = list(self._lines)
        for start, end, new in sorted(self._replaced, key=lambda edit: (edit[0].line, edit[0].column), reverse=True):
            head = lines[start.line - 1][: start.column - 1]
            tail = lines[end.line - 1][end.column - 1 :]
            lines[start.line - 1] = head + new + tail
            # Lines in between are emptied, not removed, so that later edits still find theirs.
            for number in range(start.line + 1, end.line + 1):
                lines[number - 1] = ""
        for line, _, comment in sorted(self._inserted, reverse=True):
            lines.insert(line - 1, comment)
        return "\n".join(lines)

    def _replace_list(self, steps: tuple[Step, ...], values: Sequence[str]) -> bool:
        place = self._document.values[steps]
        if self._at(place) == "[":
            end = self._closing(place)
            if end is None:
                return False
            self._replaced.append((place, end, listed(values)))
            return True
        if self._at(place) != "-":
            return False
        before = self._document.value
        for step in steps:
            before = before[step]  # type: ignore[index]  # the steps lead through it
        indent = " " * (place.column - 1)
        added = [value for value in values if isinstance(before, list) and value not in before]
        for value in added:
            self._inserted.append((place.line, len(self._inserted), f"{indent}- {scalar(value)}"))
        return True

    def _at(self, place: Place) -> str:
        return self._lines[place.line - 1][place.column - 1 : place.column]

    def _indent(self, line: int) -> str:
        text = self._lines[line - 1]
        return text[: len(text) - len(text.lstrip(" "))]

    def _first_key(self, row: tuple[Step, ...]) -> Place | None:
        places = [place for steps, place in self._document.keys.items() if steps[:-1] == row]
        first = min(places, key=lambda place: (place.line, place.column), default=None)
        # Two keys on one line belong to a flow mapping.
        return first if first and self._lines[first.line - 1][: first.column - 1].strip() == "" else None

    def _closing(self, start: Place) -> Place | None:
        """Just behind the bracket that closes the list opened at ``start``; None when it holds more than words."""
        line, column = start.line - 1, start.column
        quote = ""
        while line < len(self._lines):
            text = self._lines[line]
            while column < len(text):
                char = text[column]
                if quote:
                    if char == "\\" and quote == '"':
                        column += 1
                    elif char == quote:
                        quote = ""
                elif char in "\"'" and text[column - 1 : column] in "[, ":
                    quote = char
                elif char == "#" and text[column - 1 : column] in (" ", "\t", ""):
                    return None  # a comment inside the list would be lost
                elif char == "]":
                    return Place(line + 1, column + 2)
                column += 1
            line, column = line + 1, 0
        return None
