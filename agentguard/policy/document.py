"""YAML read strictly, with the line and column of every node.

Only what reads the same in every YAML version is accepted: mappings with text keys, sequences, quoted or plain text,
``true``/``false``, decimal numbers. Anchors, aliases, tags, merge keys, duplicate keys, several documents and plain
words that YAML 1.1 and 1.2 read differently (``no``, ``on``, ``010``, ``1:30``) are errors, because a policy in which
``no`` silently means ``false`` is a policy nobody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn, TypeAlias

import yaml

from agentguard.errors import PolicyError

__all__ = ["AMBIGUOUS", "Document", "Place", "Step", "Value", "read", "read_file"]

Step: TypeAlias = "str | int"
Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

# A policy of 1,000 tools is about 200 KB. Larger input is a mistake or an attempt to exhaust memory.
MAX_CHARS = 2_000_000
# The schema is at most six levels deep.
MAX_DEPTH = 16

# libyaml parses ten times faster; the Python parser yields the same events where it is absent.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,17}")
AMBIGUOUS = re.compile(
    r"(?i:y|n|yes|no|on|off|true|false|null)|<<|="  # 1.1 booleans, spellings only some versions read, merge keys
    r"|[-+]?(0x[0-9a-fA-F_]+|0o?[0-7_]+|0b[01_]+)"
    r"|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"  # base 60: 1:30 is 90 in YAML 1.1
    r"|[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?i:inf|nan)"
    r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node starts; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """A file's value and where each part of it stands. ``keys`` holds the place of a mapping's key, not its value.

    ``error`` is the kind of PolicyError that a fault of this file is.
    """

    value: Value
    path: str | None
    error: type[PolicyError] = PolicyError
    values: dict[tuple[Step, ...], Place] = field(default_factory=dict)
    keys: dict[tuple[Step, ...], Place] = field(default_factory=dict)

    def line(self, *steps: Step) -> int | None:
        """The line of the key at ``steps``, or of the value when it is a list item; None when absent."""
        place = self.keys.get(steps) or self.values.get(steps)
        return place.line if place else None

    def fail(self, steps: tuple[Step, ...], message: str, *, key: bool = False) -> NoReturn:
        """Raise PolicyError at ``steps``, or at the nearest enclosing node that has a place.

        Raises:
            PolicyError: always.
        """
        place = self.keys.get(steps) if key else None
        while place is None and steps:
            place = self.values.get(steps)
            steps = steps[:-1]
        place = place or self.values.get((), Place(1, 1))
        raise self.error(message, path=self.path, line=place.line, column=place.column)


def read_file(path: str, *, missing: str, error: type[PolicyError] = PolicyError) -> str:
    """The text of a file in UTF-8; ``missing`` is the message when there is none.

    Raises:
        PolicyError: (or ``error``) it is missing, unreadable or not UTF-8.
    """
    try:
        # One byte past four bytes per character is enough to know that the text is too long.
        with Path(path).open("rb") as file:
            return file.read(MAX_CHARS * 4 + 1).decode("utf-8-sig")
    except FileNotFoundError as fault:
        raise error(missing, path=path) from fault
    except UnicodeDecodeError as fault:
        raise error(f"not UTF-8 text (byte {fault.start}); save the file as UTF-8", path=path) from fault
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else str(fault)
        raise error(f"the file cannot be read: {reason}", path=path) from fault


def read(text: str, *, path: str | None = None, error: type[PolicyError] = PolicyError) -> Document:
    """Parse ``text``.

    Raises:
        PolicyError: (or ``error``) not YAML, or YAML that this reader refuses; with line and column.
    """
    if len(text) > MAX_CHARS:
        raise error(f"the file has {len(text)} characters; at most {MAX_CHARS} are read", path=path)
    try:
        reader = _Reader(yaml.parse(text, Loader=_LOADER), Document(None, path, error))
        return reader.document()
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        problem = fault.problem or fault.context or "it does not parse"
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise error(f"not valid YAML: {problem}", path=path, line=line, column=column) from fault
    except (yaml.YAMLError, UnicodeError) as fault:
        raise error("not valid YAML: it holds a character that YAML does not accept", path=path) from fault


class _Reader:
    """Turns the parser's events into values. Its depth is bounded, so recursion is safe."""

    def __init__(self, events: Iterator[yaml.Event], document: Document) -> None:
        self._events = events
        self._document = document

    def document(self) -> Document:
        next(self._events)  # stream start
        if not isinstance(next(self._events), yaml.DocumentStartEvent):
            raise self._document.error(
                "the file is empty; `agentguard init` writes a starter policy",
                path=self._document.path,
                line=1,
                column=1,
            )
        value = self._value((), next(self._events))
        next(self._events)  # document end
        extra = next(self._events)
        if isinstance(extra, yaml.DocumentStartEvent):
            self._fail(extra, "a second YAML document starts here; a policy is one document")
        return replace(self._document, value=value)

    def _value(self, steps: tuple[Step, ...], event: yaml.Event) -> Value:
        self._refuse_indirection(event)
        self._document.values[steps] = _place(event)
        if len(steps) > MAX_DEPTH:
            self._fail(event, f"nested deeper than {MAX_DEPTH} levels; a policy needs six")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(steps)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(steps)
        return self._scalar(event)

    def _mapping(self, steps: tuple[Step, ...]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event)
            if key in found:
                first = self._document.keys[(*steps, key)]
                self._fail(event, f"key {key!r} stands twice; it was first given on line {first.line}")
            self._document.keys[(*steps, key)] = _place(event)
            found[key] = self._value((*steps, key), next(self._events))
        return found

    def _sequence(self, steps: tuple[Step, ...]) -> list[Value]:
        found: list[Value] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value((*steps, len(found)), event))
        return found

    def _key(self, event: yaml.Event) -> str:
        self._refuse_indirection(event)
        if not isinstance(event, yaml.ScalarEvent):
            self._fail(event, "a key must be text; got a list or mapping")
        key = self._scalar(event)
        if not isinstance(key, str):
            self._fail(event, f"a key must be text; write {event.value!r} in quotes")
        return key

    def _scalar(self, event: yaml.Event) -> Value:
        assert isinstance(event, yaml.ScalarEvent)  # noqa: S101  # the other kinds of event are taken before
        text: str = event.value
        if event.style:  # quoted or block text; plain is None or empty, by parser
            return text
        if text in ("true", "false"):
            return text == "true"
        if text in ("", "null", "~"):
            return None
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if AMBIGUOUS.fullmatch(text):
            self._fail(
                event,
                f"plain {text[:40]!r} means different things in different YAML versions; "
                "put it in quotes if it is text, else write true, false or a decimal number",
            )
        return text

    def _refuse_indirection(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._fail(event, "anchors (&) and aliases (*) are not accepted; write the value out, or quote a leading *")
        if getattr(event, "tag", None) is not None:
            self._fail(event, "tags (!) are not accepted; write a plain value, or quote a leading !")

    def _fail(self, event: yaml.Event, message: str) -> NoReturn:
        place = _place(event)
        raise self._document.error(message, path=self._document.path, line=place.line, column=place.column)


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    assert mark is not None  # noqa: S101  # both parsers set it on every event
    return Place(mark.line + 1, mark.column + 1)
