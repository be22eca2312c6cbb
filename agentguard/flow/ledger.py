"""What one run has read, and how far each piece of it is trusted.

One memory holds every text. Untrusted text is evidence against a value, a trusted or mixed result may vouch for one.
The memory is bounded, and what falls out of it is forgotten in the safe direction: a forgotten value is no longer
vouched for, a forgotten untrusted text leaves "origin unknown".
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from agentguard.conversation import Conversation
from agentguard.decision import Span
from agentguard.event import Label, ToolResult
from agentguard.flow.document import Document, Reading, Value, plain_json
from agentguard.flow.forms import grouped_key, key, probes, short_tokens
from agentguard.flow.labels import ToolLabels
from agentguard.flow.memory import GRAM, MAX_NEEDLE, Hit, Memory, Text
from agentguard.flow.request import Request, find
from agentguard.text.squash import squash

__all__ = ["MEMORY", "Evidence", "Found", "Ledger"]

# Characters of results held by default. More than any model's context window.
MEMORY = 2_000_000

# Results whose copies in the history are recognised. Past it a copy is read again, as untrusted text.
MAX_TAKEN = 10_000
# Texts of one result whose copies are recognised: a result comes back as one text, or as a few blocks.
MAX_COPIES = 200

# Documents read for one value. A value that stands in more of them gains nothing from the rest.
MAX_DOCUMENTS = 64
# Characters of documents whose reading is kept; a reading takes several times that in memory.
KEPT_READINGS = 65_536


@dataclass(frozen=True, slots=True)
class Evidence:
    """A place where a value stands: who wrote the text, the text, and the range of it.

    Worked out from ``hit`` when it is asked for: most evidence is only counted.
    """

    source: str
    written: str = ""
    hit: Hit | None = None

    @property
    def text(self) -> str:
        """The text around the value."""
        return self.written if self.hit is None else self.hit.text.text

    def span(self, value: str) -> Span | None:
        """Where ``value`` stands in ``text``."""
        return (self.hit.span() if self.hit is not None else None) or find(value, self.text)


@dataclass(frozen=True, slots=True)
class Found:
    """What a run knows of one value."""

    values: tuple[Value, ...] = ()
    untrusted: Evidence | None = None


class Ledger:
    """The provenance memory of one conversation. Thread-safe.

    Args:
        memory: characters of results that are held.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._lock = threading.RLock()
        self._bound = memory
        self._memory = Memory(memory)
        self._request: tuple[tuple[str, ...], tuple[str, ...], Request] | None = None
        self._quoted: set[str] = set()
        self._taken: set[int] = set()
        self._readings: OrderedDict[Document, Reading] = OrderedDict()
        self._kept = 0
        self._unread: list[Document] = []
        self._fresh: list[Document] = []
        self._fresh_size = 0
        # More was read than was ever looked through for confidential values.
        self.missed = False
        self._read_untrusted = False

    @property
    def read_untrusted(self) -> bool:
        """Whether some text that anybody may have written was read."""
        if self._read_untrusted:
            # Once true it stays so.
            return True
        with self._lock:
            while self._unread and not self._read_untrusted:
                self._read_untrusted = bool(self._reading(self._unread.pop()).untrusted)
            return self._read_untrusted

    @property
    def forgot(self) -> bool:
        """Whether something fell out of memory: what is found nowhere may have stood there."""
        return self._memory.forgot

    def request(self, run: Conversation) -> Request:
        """The user's own words in ``run``; passages the user only quoted are read as untrusted text."""
        texts, quoted = run.requests, run.quoted
        with self._lock:
            if self._request is None or self._request[:2] != (texts, quoted):
                # Read once: taken up again, a passage that fell out of memory would push out what came after it.
                for passage in quoted:
                    if passage not in self._quoted:
                        self._quoted.add(passage)
                        self.distrust("quoted", passage)
                self._request = (texts, quoted, Request(texts, quoted))
            return self._request[2]

    def distrust(self, source: str, text: str) -> None:
        """Remember a text that anybody may have written. A text already held is not folded again."""
        if not text.strip():
            return
        with self._lock:
            self._read_untrusted = True
            number = hash(text)
            if not self._memory.knows(number):
                kept = text[-self._bound :]
                self._memory.add(Text.of(source, kept), kept, number)

    def recall(self, source: str, text: str) -> None:
        """Read a text of a prompt's history: untrusted, unless it copies a result already taken by its label."""
        with self._lock:
            if hash(text) not in self._taken:
                self.distrust(source, text)

    def take(self, result: ToolResult, labels: ToolLabels | None, *, derived: bool = False) -> None:
        """Read a tool result as far as its label trusts it. Errors, and tools without labels, are untrusted.

        ``derived``: the call was given words that only strangers wrote.
        """
        content = result.content
        if result.is_error or labels is None or labels.output is Label.UNTRUSTED:
            text = content if isinstance(content, str) else plain_json(content)
            self.distrust(f"tool:{result.tool}", text)
            return
        document = Document(result, labels, derived=derived)
        body = document.body
        if not body.strip() or content is None:
            return
        with self._lock:
            if len(self._taken) > MAX_TAKEN:
                self._taken.clear()
            self._taken.update(hash(leaf.text) for leaf, _ in zip(result.leaves(), range(MAX_COPIES), strict=False))
            if self._memory.forgot:
                # What was dropped unread may have held anything.
                self._read_untrusted = True
                self._unread.clear()
            if not self._read_untrusted:
                self._unread.append(document)
            self._fresh.append(document)
            self._fresh_size += document.size
            while self._fresh_size > self._bound and len(self._fresh) > 1:
                self._fresh_size -= self._fresh.pop(0).size
                self.missed = True
            self._memory.add(Text(f"tool:{result.tool}", "", document), body[-self._bound :], id(document))

    def look_up(self, value: str, *, grouped: bool = False) -> Found:
        """What tools vouched for under the same key, newest first, and the newest untrusted text that holds ``value``.

        ``grouped``: an account or telephone number is the same however it is spaced.

        Untrusted text is recognised however the value was spaced, cased or disguised there.
        """
        keys = [key(value)]
        if grouped and (number := grouped_key(value)):
            keys.append(number)
        values: dict[Value, None] = {}
        untrusted: Evidence | None = None
        with self._lock:
            documents: set[Document] = set()
            for hit in self._hits(value):
                document = hit.text.document
                if document is None:
                    untrusted = untrusted or Evidence(hit.text.source, hit=hit)
                elif document not in documents and len(documents) < MAX_DOCUMENTS:
                    documents.add(document)
                    reading = self._reading(document)
                    values.update(dict.fromkeys(reading.find(keys, *probes(value))))
                    untrusted = untrusted or _evidence(hit.text.source, value, reading)
            return Found(tuple(values), untrusted)

    def quotes(self, text: str) -> bool:
        """Whether the whole of ``text`` stands somewhere in what was read. One too long to tell is taken as made up."""
        needle = squash(text)
        if not GRAM <= len(needle) <= MAX_NEEDLE:
            return False
        with self._lock:
            return any(True for _ in self._memory.find(needle))

    def figures(self, sources: Collection[str]) -> Iterator[Value]:
        """The numbers in structured results of ``sources`` (``tool:<name>``), newest first; ids are none."""
        with self._lock:
            documents = (text.document for text in self._memory.texts() if text.source in sources)
            for document in islice(filter(None, documents), MAX_DOCUMENTS):
                yield from self._reading(document).numbers()

    def unclassified(self) -> list[Document]:
        """The trusted and mixed results read since the last call: for those who look for confidential values."""
        with self._lock:
            fresh, self._fresh, self._fresh_size = self._fresh, [], 0
            return fresh

    def _hits(self, value: str) -> Iterator[Hit]:
        squashed, short = probes(value)
        for needle in squashed:
            yield from self._memory.find(needle)
        for token in short:
            yield from self._memory.find_token(token)

    def _reading(self, document: Document) -> Reading:
        """What ``document`` says; the last few are kept."""
        reading = self._readings.get(document)
        if reading is None:
            reading = self._readings[document] = document.read()
            self._kept += document.size
            while self._kept > KEPT_READINGS and len(self._readings) > 1:
                old, _ = self._readings.popitem(last=False)
                self._kept -= old.size
        else:
            self._readings.move_to_end(document)
        return reading


def _evidence(source: str, value: str, reading: Reading) -> Evidence | None:
    squashed, short = probes(value)
    for text in reading.untrusted:
        folded = squash(text)
        if any(needle in folded for needle in squashed) or (short and not short.isdisjoint(short_tokens(text))):
            return Evidence(source, text)
    return None
