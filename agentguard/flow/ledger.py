"""What one run has read, and how far each piece of it is trusted.

Values are kept for trusting, texts for distrusting. Both are bounded, and what falls out is forgotten in the safe
direction: a forgotten value is no longer vouched for, a forgotten untrusted text leaves "origin unknown".
"""

from __future__ import annotations

import json
import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from agentguard.conversation import Conversation
from agentguard.event import Json, Label, ToolResult, json_copy
from agentguard.flow.forms import canonical, is_value, key, looks_like_field, members, probes, tokens
from agentguard.flow.labels import ToolLabels
from agentguard.flow.request import Request
from agentguard.text.folds import distrusting_fold, trusting_fold

__all__ = ["Ledger", "Record", "UntrustedText", "Value"]

# Memory of one run. Two million characters are more than any model's context window holds.
MAX_UNTRUSTED_CHARS = 2_000_000
MAX_VALUES = 20_000

# A squashed value shorter than this stands in any long text by accident: it is compared token by token.
MIN_SQUASHED = 4

# A field of a record longer than this many words names nothing.
SHORT_FIELD_WORDS = 4
# A shared word shorter than this is no name.
MIN_NAME = 3

# Results whose copies in the history are recognised. Past it a copy is read again, as untrusted text.
MAX_TAKEN = 10_000

_WRAPPERS = frozenset({"content", "artifact", "structured_content", "structuredContent", "isError"})


@dataclass(eq=False, slots=True)
class Record:
    """One row of a mixed result.

    ``siblings`` counts the rows it came among; ``selectors`` are the arguments of the call that chose it;
    ``rare`` are the words of its short fields that no other row of the same result has.
    """

    selectors: tuple[str, ...]
    siblings: int = 1
    words: set[str] = field(default_factory=set)
    rare: frozenset[str] = frozenset()

    def chosen_by(self, request: Request) -> bool:
        """Whether the request points at this row and no other."""
        if self.rare & request.names:
            return True
        return (
            self.siblings == 1
            and all(map(request.holds, self.selectors))
            and any(canonical(token) in request.names for text in self.selectors for token in tokens(text))
        )


@dataclass(frozen=True, slots=True)
class Value:
    """One value that a tool returned: where it stood, and the record it is a field of (None for a trusted tool)."""

    tool: str
    text: str
    record: Record | None = None
    created: bool = False

    @property
    def source(self) -> str:
        """Where it stood, as in ``Leaf.author``."""
        return f"tool:{self.tool}"


@dataclass(eq=False, slots=True)
class UntrustedText:
    """One text that somebody without any say over this run may have written."""

    source: str
    text: str
    squashed: str
    _tokens: frozenset[str] | None = None

    def holds(self, squashed: Collection[str], short: Collection[str]) -> bool:
        """Whether one of the ``squashed`` forms stands in it anywhere, or one of the ``short`` ones as a token."""
        if any(probe in self.squashed for probe in squashed):
            return True
        return bool(short) and not self.tokens.isdisjoint(short)

    @property
    def tokens(self) -> frozenset[str]:
        """Its single tokens, made when the first short value is looked for."""
        if self._tokens is None:
            written = tokens(self.text) | tokens(trusting_fold(self.text))
            self._tokens = frozenset(map(canonical, written))
        return self._tokens


class Ledger:
    """The provenance memory of one conversation: ``run.slot(Ledger, Ledger)``. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._texts: OrderedDict[str, UntrustedText] = OrderedDict()
        self._chars = 0
        self._values: OrderedDict[Value, tuple[str, ...]] = OrderedDict()
        self._by_key: dict[str, list[Value]] = {}
        self._request: tuple[tuple[str, ...], tuple[str, ...], Request] | None = None
        self._taken: set[int] = set()
        self.read_untrusted = False

    def request(self, run: Conversation) -> Request:
        """The user's own words in ``run``; passages the user only quoted are read as untrusted text."""
        texts, quoted = run.requests, run.quoted
        with self._lock:
            if self._request is None or self._request[:2] != (texts, quoted):
                for passage in quoted:
                    self.distrust("quoted", passage)
                self._request = (texts, quoted, Request(texts, quoted))
            return self._request[2]

    def distrust(self, source: str, text: str) -> None:
        """Remember a text that anybody may have written. A text already known is not folded again."""
        if not text.strip():
            return
        with self._lock:
            self.read_untrusted = True
            if text in self._texts:
                self._texts.move_to_end(text)
                return
            kept = text[-MAX_UNTRUSTED_CHARS:]
            self._texts[text] = UntrustedText(source, kept, distrusting_fold(kept))
            self._chars += len(text)
            while self._chars > MAX_UNTRUSTED_CHARS and len(self._texts) > 1:
                old, _ = self._texts.popitem(last=False)
                self._chars -= len(old)

    def recall(self, source: str, text: str) -> None:
        """Read a text of a prompt's history: untrusted, unless it copies a result already taken by its label."""
        with self._lock:
            if hash(text) not in self._taken:
                self.distrust(source, text)

    def take(self, result: ToolResult, labels: ToolLabels | None) -> None:
        """Read a tool result as far as its label trusts it. Errors, and tools without labels, are untrusted."""
        if result.is_error or labels is None or labels.output is Label.UNTRUSTED:
            for leaf in result.leaves():
                self.distrust(leaf.author, leaf.text)
            return
        with self._lock:
            if len(self._taken) > MAX_TAKEN:
                self._taken.clear()
            self._taken.update(hash(leaf.text) for leaf in result.leaves())
        for document in _documents(result.content):
            _Reader(self, result, labels).read(document)

    def keep(self, value: Value) -> None:
        """Remember a value that a tool vouches for."""
        written = members(value.text)
        if value.record is None:
            written |= tokens(value.text)
        keys = tuple({key(each) for each in written})
        with self._lock:
            if value in self._values:
                self._values.move_to_end(value)
                return
            self._values[value] = keys
            for each in keys:
                self._by_key.setdefault(each, []).append(value)
            while len(self._values) > MAX_VALUES:
                self._forget(*self._values.popitem(last=False))

    def values(self, text: str) -> tuple[Value, ...]:
        """What tools vouched for under the same key, newest first."""
        with self._lock:
            return tuple(reversed(self._by_key.get(key(text), ())))

    def untrusted(self, text: str) -> UntrustedText | None:
        """The newest untrusted text that holds ``text``, however it was spaced, cased or disguised there."""
        forms = probes(text)
        # Scripts without spaces have no tokens, and say more in a letter.
        squashed = [form for form in forms if len(form) >= MIN_SQUASHED or (len(form) > 1 and not form.isascii())]
        short = [canonical(text), *forms] if len(squashed) < len(forms) else []
        with self._lock:
            known = reversed(self._texts.values())
            return next((each for each in known if each.holds(squashed, short)), None)

    def _forget(self, value: Value, keys: Sequence[str]) -> None:
        for each in keys:
            left = [known for known in self._by_key[each] if known is not value]
            if left:
                self._by_key[each] = left
            else:
                del self._by_key[each]


class _Reader:
    """Walks one document of a trusted or mixed result."""

    def __init__(self, ledger: Ledger, result: ToolResult, labels: ToolLabels) -> None:
        self._ledger = ledger
        self._tool = result.tool
        self._labels = labels
        self._free = {name.rpartition(".")[2].casefold() for name in labels.free_text}
        self._selectors = tuple(_selectors(result.args))
        self._records: list[Record] = []
        self._values: list[Value] = []

    def read(self, document: Json) -> None:
        self._walk(document, self._record(1), "")
        seen = Counter(word for record in self._records for word in record.words)
        for record in self._records:
            record.rare = frozenset(word for word in record.words if seen[word] == 1 and len(word) >= MIN_NAME)
        for value in self._values:
            self._ledger.keep(value)

    def _record(self, siblings: int) -> Record:
        record = Record(self._selectors, siblings)
        self._records.append(record)
        return record

    def _walk(self, node: Json, record: Record, name: str) -> None:
        if isinstance(node, dict):
            for field_name, item in node.items():
                if field_name.casefold() in self._free:
                    self._distrust(item)
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
        mixed = self._labels.output is Label.MIXED
        # A mixed text without a field name: nothing tells whether it is structured.
        if not is_value(text) or (mixed and not name):
            self._ledger.distrust(f"tool:{self._tool}", text)
            return
        created = self._labels.side_effect != "read" and _is_id(name)
        self._values.append(Value(self._tool, text, record if mixed else None, created))
        if len(text.split()) <= SHORT_FIELD_WORDS:
            record.words |= {canonical(token) for token in tokens(text)}

    def _distrust(self, node: Json) -> None:
        for text in _texts(node):
            self._ledger.distrust(f"tool:{self._tool}", text)


def _documents(content: Json) -> Iterator[Json]:
    """The documents of a result: JSON sent as text is read as JSON; blocks and second copies one by one."""
    if isinstance(content, str):
        yield _parsed(content)
    elif isinstance(content, dict) and content and _WRAPPERS.issuperset(content):
        for item in content.values():
            yield from _documents(item)
    elif isinstance(content, list) and any(_block_text(block) is not None for block in content):
        for block in content:
            text = _block_text(block)
            # Beside text blocks stand images and links: their texts are fields of no record.
            yield _parsed(text) if text is not None else list(_texts(block))
    else:
        text = _block_text(content)
        yield _parsed(text) if text is not None else content


def _block_text(block: Json) -> str | None:
    """The text of a content block; None when it is none."""
    if not isinstance(block, dict) or block.get("type") != "text":
        return None
    text = block.get("text")
    return text if isinstance(text, str) else None


def _parsed(text: str) -> Json:
    if not text.lstrip().startswith(("{", "[")):
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


def _is_id(name: str) -> bool:
    return name.casefold() == "id" or name.endswith(("_id", "Id"))


def _selectors(args: Json) -> Iterator[str]:
    """Every text and number a call selected by."""
    return (text for text in _texts(list(args.values()) if isinstance(args, dict) else args) if text.strip())


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
