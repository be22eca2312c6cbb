"""Structured results: which values of it a tool vouches for, which record each is a field of, what is free text.

A result is kept as JSON and read when a value is first looked for that stands in it somewhere, so that what nobody
asks about costs next to nothing.
"""

from __future__ import annotations

import functools
import html
import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
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
from agentguard.flow.record import Record, Table, is_id
from agentguard.text.squash import squash

__all__ = ["Document", "Reading", "Record", "Value", "plain_json", "selectors"]

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
    ``derived``: the tool was given words that only strangers wrote, so its answer may be made of them.
    """

    tool: str
    text: str
    record: Record | None = None
    created: bool = False
    inbound: bool = False
    identity: bool = False
    derived: bool = False

    @property
    def source(self) -> str:
        """Where it stood, as in ``Leaf.author``."""
        return f"tool:{self.tool}"


class Reading:
    """What one document says: its structured values, and the texts in it that anybody may have written.

    Values are searched folded, and only those found are taken apart: most are never asked for.
    """

    def __init__(self) -> None:
        self.untrusted: list[str] = []
        self._readers: list[_Reader] = []

    def add(self, reader: _Reader) -> None:
        """Take over what ``reader`` found in one document."""
        self._readers.append(reader)
        self.untrusted.extend(reader.untrusted)

    def find(self, keys: Collection[str], squashed: Iterable[bytes], short: Collection[str]) -> Iterator[Value]:
        """The values under one of ``keys``, last first; ``squashed`` and ``short`` are the forms to look for."""
        for reader in reversed(self._readers):
            yield from reader.find(keys, squashed, short)

    def numbers(self) -> Iterator[Value]:
        """Every number that is no id."""
        for reader in self._readers:
            yield from reader.numbers()


class Document:
    """One trusted or mixed result, with what its tool's labels say."""

    __slots__ = ("_derived", "_labels", "_raw", "_selectors", "_tool")

    def __init__(self, result: ToolResult, labels: ToolLabels, *, derived: bool = False) -> None:
        self._tool = result.tool
        self._derived = derived
        self._labels = labels
        self._selectors = tuple(selectors(result.args))
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
            reader = _Reader(self._tool, self._labels, self._selectors, derived=self._derived)
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
    """Walks one document of a trusted or mixed result, and finds values in it."""

    def __init__(self, tool: str, labels: ToolLabels, selectors: tuple[str, ...], *, derived: bool) -> None:
        self._derived = derived
        self.untrusted: list[str] = []
        self._tool = tool
        self._labels = labels
        self._mixed = labels.output is Label.MIXED
        self._free = set(map(_last_name, labels.free_text))
        self._table = Table(selectors)
        self._fields: dict[str, tuple[bool, bool]] = {}
        self._known: dict[int, tuple[Value, frozenset[str]]] = {}

    def read(self, document: Json) -> None:
        """Walk ``document``: once, and before anything is looked for."""
        self._walk(document, self._table.row(), "")

    def find(self, keys: Collection[str], squashed: Iterable[bytes], short: Collection[str]) -> Iterator[Value]:
        """As ``Reading.find``."""
        places = {place for needle in squashed for place in self._table.find(needle)}
        for token in short:
            places.update(place for place in self._table.find(squash(token)) if self._is_short(place, short))
        for place in sorted(places, reverse=True):
            if place not in self._known:
                self._known[place] = self._value(place)
            value, known = self._known[place]
            if not known.isdisjoint(keys):
                yield value

    def numbers(self) -> Iterator[Value]:
        """As ``Reading.numbers``."""
        fields = enumerate(zip(self._table.names, self._table.texts, strict=True))
        return (
            Value(self._tool, text, self._record(place), inbound=self._labels.inbound, derived=self._derived)
            for place, (name, text) in fields
            if is_number(text) and not is_id(name)
        )

    def _record(self, place: int) -> Record | None:
        return self._table.record(self._table.rows[place]) if self._mixed else None

    def _is_short(self, place: int, short: Collection[str]) -> bool:
        text = self._table.texts[place]
        return canonical(text) in short or not short_tokens(text.replace(",", " ")).isdisjoint(short)

    def _value(self, place: int) -> tuple[Value, frozenset[str]]:
        """The value, and every key under which it is vouched for."""
        name, text = self._table.names[place], self._table.texts[place]
        identity = is_id(name)
        created = self._labels.side_effect != "read" and identity
        value = Value(self._tool, text, self._record(place), created, self._labels.inbound, identity, self._derived)
        written = members(text)
        if not self._mixed:
            written |= tokens(text)
        keys = {key(form) for form in written if created or not self._echoed(form)}
        if keys and (grouped := grouped_key(text)):
            keys.add(grouped)
        return value, frozenset(keys)

    def _walk(self, node: Json, record: int, name: str) -> None:
        if isinstance(node, str):
            self._leaf(node, record, name)
        elif isinstance(node, dict):
            for field_name, item in node.items():
                free, plain = self._fields.get(field_name) or self._field(field_name)
                if free:
                    texts = list(_texts(item))
                    self.untrusted.extend(texts)
                    self._table.prose.append((record, texts))
                    continue
                if not plain:
                    self._leaf(field_name, record, field_name)
                self._walk(item, record, field_name)
        elif isinstance(node, list):
            siblings = max(self._table.siblings[record], len(node))
            for row in node:
                # Each object of a list is a record of its own.
                self._walk(row, self._table.row(siblings) if isinstance(row, dict) else record, name)
        elif node is not None and not isinstance(node, bool):
            self._leaf(repr(node), record, name)

    def _field(self, name: str) -> tuple[bool, bool]:
        """Whether a field of this name is free text, and whether its name is no value. Rows share their names."""
        known = self._fields[name] = name.casefold() in self._free, looks_like_field(name)
        return known

    def _leaf(self, text: str, record: int, name: str) -> None:
        # A mixed text without a field name: nothing tells whether it is structured.
        if (name or not self._mixed) and is_value(text):
            self._table.add(record, name, text)
        else:
            self.untrusted.append(text)

    @functools.cached_property
    def _echoes(self) -> list[bytes]:
        selectors = self._table.selectors
        return [squash(form) for text in (*selectors, "".join(selectors)) for form in _decoded(text)]

    @functools.cached_property
    def _echoed_numbers(self) -> set[str]:
        return {number for text in self._table.selectors for number in _numbers(text)}

    @functools.cached_property
    def _asked(self) -> Figures:
        return Figures(self._table.selectors)

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


def selectors(args: Json) -> Iterator[str]:
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
