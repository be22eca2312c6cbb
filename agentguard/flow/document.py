"""Structured results: which values of it a tool vouches for, which record each is a field of, what is free text.

A result is kept as JSON and read when a value is first looked for that stands in it somewhere, so that what nobody
asks about costs next to nothing.
"""

from __future__ import annotations

import html
import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import unquote

import msgspec

from agentguard.event import Json, Label, ToolResult, json_copy
from agentguard.flow.contradiction import DATE, Figures
from agentguard.flow.forms import (
    MIN_SQUASHED,
    canonical,
    grouped_key,
    is_number,
    is_value,
    key,
    looks_like_field,
    members,
    short_tokens,
    tokens,
)
from agentguard.flow.labels import ToolLabels
from agentguard.flow.record import Record, is_id, settle
from agentguard.text.squash import squash

__all__ = ["Document", "Reading", "Record", "Value", "plain_json"]

_WRAPPERS = frozenset({"content", "artifact", "structured_content", "structuredContent", "isError"})
# Keys of a text block, in MCP and LangChain.
_BLOCK = frozenset({"type", "text", "id", "index", "annotations", "_meta", "meta", "extras", "cache_control"})
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMERAL = re.compile(r"\d(?:[\d.,' ]*\d)?")
_OTHER_HABIT = str.maketrans(".,", ",.", "' ")
_CODE_POINT = re.compile(r"\\u[0-9a-fA-F]{4}")


@dataclass(frozen=True, slots=True)
class Value:
    """One value that a tool returned: where it stood, and the record it is a field of (None for a trusted tool).

    ``inbound``: outsiders chose even the structured fields of the record. ``identity``: the value of an id field.
    """

    tool: str
    text: str
    record: Record | None = None
    created: bool = False
    inbound: bool = False
    identity: bool = False

    @property
    def source(self) -> str:
        """Where it stood, as in ``Leaf.author``."""
        return f"tool:{self.tool}"


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One structured value: its text, the record it is a field of, and what makes it a ``Value``."""

    text: str
    record: Record
    name: str
    reader: _Reader


class Reading:
    """What one document says: its structured values, and the texts in it that anybody may have written.

    Values are searched folded, and only those found are taken apart: most are never asked for.
    """

    def __init__(self) -> None:
        self.untrusted: list[str] = []
        self._leaves: list[_Leaf] = []
        self._readers: list[_Reader] = []
        self._folded = b""
        self._starts: list[int] = []
        self._known: dict[int, tuple[Value, frozenset[str]]] = {}
        self._settled = False

    def add(self, reader: _Reader) -> None:
        """Take over what ``reader`` found in one document."""
        self._readers.append(reader)
        self._leaves.extend(reader.leaves)
        self.untrusted.extend(reader.untrusted)
        folds = [squash(leaf.text) for leaf in self._leaves]
        self._starts = [0, *accumulate(len(fold) + 1 for fold in folds)][:-1]
        self._folded = b"\n".join(folds)

    def find(self, keys: Collection[str], squashed: Iterable[bytes], short: Collection[str]) -> Iterator[Value]:
        """The values under one of ``keys``, last first; ``squashed`` and ``short`` are the forms to look for."""
        places = {place for needle in squashed for place in self._places(needle)}
        for token in short:
            places.update(place for place in self._places(squash(token)) if self._is_short(place, short))
        for place in sorted(places, reverse=True):
            value, known = self._value(place)
            if not known.isdisjoint(keys):
                self._settle()
                yield value

    def numbers(self) -> Iterator[str]:
        """Every number that is no id."""
        return (leaf.text for leaf in self._leaves if is_number(leaf.text) and not is_id(leaf.name))

    def _places(self, needle: bytes) -> Iterator[int]:
        found = self._folded.find(needle)
        while found >= 0:
            place = bisect_right(self._starts, found) - 1
            yield place
            found = self._folded.find(needle, self._starts[place + 1]) if place + 1 < len(self._starts) else -1

    def _is_short(self, place: int, short: Collection[str]) -> bool:
        text = self._leaves[place].text
        return canonical(text) in short or not short_tokens(text.replace(",", " ")).isdisjoint(short)

    def _value(self, place: int) -> tuple[Value, frozenset[str]]:
        if place not in self._known:
            leaf = self._leaves[place]
            self._known[place] = leaf.reader.value(leaf)
        return self._known[place]

    def _settle(self) -> None:
        if not self._settled:
            self._settled = True
            for reader in self._readers:
                reader.settle()


class Document:
    """One trusted or mixed result, with what its tool's labels say."""

    __slots__ = ("_labels", "_raw", "_selectors", "_tool")

    def __init__(self, result: ToolResult, labels: ToolLabels) -> None:
        self._tool = result.tool
        self._labels = labels
        self._selectors = tuple(_selectors(result.args))
        self._raw = result.content if isinstance(result.content, str) else _encoded(result.content)

    @property
    def body(self) -> str:
        """The text that values are looked for in."""
        if isinstance(self._raw, bytes):
            return _unescaped(self._raw.decode())
        return _unescaped(self._raw) if _is_json(self._raw) else self._raw

    @property
    def source(self) -> str:
        """The tool that returned it."""
        return f"tool:{self._tool}"

    @property
    def size(self) -> int:
        """Characters or bytes held."""
        return len(self._raw)

    def read(self) -> Reading:
        """Walk it."""
        content: Json = self._raw if isinstance(self._raw, str) else json.loads(self._raw)
        reading = Reading()
        for document in _documents(content, frozenset(map(_last_name, self._labels.free_text))):
            reader = _Reader(self._tool, self._labels, self._selectors)
            reader.read(document)
            reading.add(reader)
        return reading


def plain_json(content: Json) -> str:
    """A structured content as one text: JSON in which no escape hides a letter."""
    return _unescaped(_encoded(content).decode())


def _encoded(content: Json) -> bytes:
    try:
        return msgspec.json.encode(content)
    except (UnicodeEncodeError, OverflowError):
        # Lone surrogates and integers past 64 bits.
        return json.dumps(content).encode()


def _unescaped(text: str) -> str:
    """JSON text with every escape replaced: by the letter it stands for, or by as many spaces."""
    if "\\" not in text:
        return text
    text = text.replace("\\\\", "  ")
    for escape in ("\\n", '\\"', "\\t", "\\r", "\\/", "\\b", "\\f"):
        text = text.replace(escape, "  ")
    return _CODE_POINT.sub(_escaped_char, text) if "\\u" in text else text


def _escaped_char(match: re.Match[str]) -> str:
    return chr(int(match[0][2:], 16))


class _Reader:
    """Walks one document of a trusted or mixed result."""

    def __init__(self, tool: str, labels: ToolLabels, selectors: tuple[str, ...]) -> None:
        self.leaves: list[_Leaf] = []
        self.untrusted: list[str] = []
        self._tool = tool
        self._labels = labels
        self._mixed = labels.output is Label.MIXED
        self._free = set(map(_last_name, labels.free_text))
        self._selectors = selectors
        self._echoes = [squash(form) for text in (*selectors, "".join(selectors)) for form in _decoded(text)]
        self._echoed_numbers = {number for text in selectors for number in _numbers(text)}
        self._asked = Figures(selectors)
        self._records: list[Record] = []

    def read(self, document: Json) -> None:
        self._walk(document, self._record(1), "")

    def settle(self) -> None:
        """Find out what singles each record out: asked for once a value of one is found."""
        if self._mixed:
            for leaf in self.leaves:
                leaf.record.collect(leaf.name, leaf.text)
            settle(self._records)

    def value(self, leaf: _Leaf) -> tuple[Value, frozenset[str]]:
        """The value, and every key under which it is vouched for."""
        created = self._labels.side_effect != "read" and is_id(leaf.name)
        record = leaf.record if self._mixed else None
        value = Value(self._tool, leaf.text, record, created, self._labels.inbound, is_id(leaf.name))
        written = members(leaf.text)
        if not self._mixed:
            written |= tokens(leaf.text)
        keys = {key(form) for form in written if created or not self._echoed(form)}
        if keys and (grouped := grouped_key(leaf.text)):
            keys.add(grouped)
        return value, frozenset(keys)

    def _record(self, siblings: int) -> Record:
        record = Record(self._selectors, siblings)
        self._records.append(record)
        return record

    def _walk(self, node: Json, record: Record, name: str) -> None:
        if isinstance(node, dict):
            for field_name, item in node.items():
                if field_name.casefold() in self._free:
                    self.untrusted.extend(_texts(item))
                    continue
                if not looks_like_field(field_name):
                    self._leaf(field_name, record, field_name)
                self._walk(item, record, field_name)
        elif isinstance(node, list):
            siblings = max(record.siblings, len(node))
            for row in node:
                # Each object of a list is a record of its own.
                self._walk(row, self._record(siblings) if isinstance(row, dict) else record, name)
        elif isinstance(node, str):
            self._leaf(node, record, name)
        elif node is not None and not isinstance(node, bool):
            self._leaf(repr(node), record, name)

    def _leaf(self, text: str, record: Record, name: str) -> None:
        # A mixed text without a field name: nothing tells whether it is structured.
        if not is_value(text) or (self._mixed and not name):
            self.untrusted.append(text)
            return
        self.leaves.append(_Leaf(text, record, name, self))

    def _echoed(self, form: str) -> bool:
        """Whether the call itself named the value: an answer that repeats its question vouches for nothing in it."""
        if is_number(form):
            # Squashed, 10.0 would be the 100 that a call was limited to.
            return canonical(form) in self._echoed_numbers
        if _DAY.fullmatch(form) and self._asked.holds(form, DATE):
            return True
        folded = squash(form)
        if len(folded) < MIN_SQUASHED:
            return folded in self._echoes
        return any(folded in echo for echo in self._echoes)


def _documents(content: Json, free: Collection[str]) -> Iterator[Json]:
    """The documents of a result: JSON sent as text is read as JSON; blocks and second copies one by one.

    What the policy calls free text is none, though its field be named as a wrapper's: a stranger's JSON is no record.
    """
    if isinstance(content, str):
        yield _parsed(content)
    elif isinstance(content, dict) and content and _WRAPPERS.issuperset(content) and _wraps(content, free):
        for item in content.values():
            yield from _documents(item, free)
    elif isinstance(content, list) and any(_block_text(block, free) is not None for block in content):
        for block in content:
            text = _block_text(block, free)
            # Beside text blocks stand images and links: their texts are fields of no record.
            yield _parsed(text) if text is not None else list(_texts(block))
    else:
        text = _block_text(content, free)
        yield _parsed(text) if text is not None else content


def _wraps(content: dict[str, Json], free: Collection[str]) -> bool:
    """Whether a wrapper's names are a wrapper's here: a file whose only field is its free text ``content`` has none."""
    return len(content) > 1 or not any(name.casefold() in free for name in content)


def _block_text(block: Json, free: Collection[str]) -> str | None:
    """The text of a content block; None when it is none, such as a chat message of type ``text`` with its sender."""
    if not isinstance(block, dict) or block.get("type") != "text" or not _BLOCK.issuperset(block):
        return None
    if "text" in free and not str(block.get("id") or "lc_").startswith("lc_"):
        return None
    text = block.get("text")
    return text if isinstance(text, str) else None


def _is_json(text: str) -> bool:
    return text.lstrip().startswith(("{", "["))


def _parsed(text: str) -> Json:
    if not _is_json(text):
        return text
    try:
        return json_copy(json.loads(text, object_pairs_hook=_unique))
    except (ValueError, RecursionError):
        return text


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A repeated key would hide its first value from us and show it to the model."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object repeats a key")
    return found


def _selectors(args: Json) -> Iterator[str]:
    """Every text and number a call selected by."""
    return (text for text in _texts(list(args.values()) if isinstance(args, dict) else args) if text.strip())


def _decoded(text: str) -> set[str]:
    """The text, and what a tool makes of it that reads it as part of a URL or of HTML."""
    return {text, unquote(text), html.unescape(text)}


def _numbers(text: str) -> Iterator[str]:
    """Every number in a text, canonical: a tool that reads "1.299,00 EUR" answers 1299."""
    for match in _NUMERAL.finditer(text):
        pieces = {match[0], *match[0].split()}
        yield from (
            canonical(each) for form in pieces for each in (form, form.translate(_OTHER_HABIT)) if is_number(each)
        )


def _last_name(name: str) -> str:
    return name.rpartition(".")[2].casefold()


def _texts(node: Json) -> Iterator[str]:
    if isinstance(node, dict):
        for name, item in node.items():
            yield name
            yield from _texts(item)
    elif isinstance(node, list):
        for item in node:
            yield from _texts(item)
    elif isinstance(node, str):
        yield node
    elif node is not None and not isinstance(node, bool):
        yield repr(node)
