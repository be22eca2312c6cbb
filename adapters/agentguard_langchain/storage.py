"""The parts of a value on its way into storage: what is checked by itself, and how it is put together again."""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.types import Command, Interrupt, Send

from agentguard import Leaf, Message, ModelInput, error_text
from agentguard.adapter import REFUSED

from .events import ModelRequest, decode, encode, model_input, model_input_applied

__all__ = ["Done", "Known", "Unit", "as_one", "stored"]

# Texts remembered as checked, per guarded saver: some megabytes, and a forgotten one is only checked again.
KNOWN_TEXTS = 1 << 16


@dataclass(frozen=True, slots=True)
class Unit:
    """One message, error or other value on its way into storage, and the segments it is checked as."""

    value: Any
    segments: tuple[Message, ...]

    @classmethod
    def of(cls, value: Any) -> Unit:
        """Raises ``UnsupportedValueError`` when the value has no JSON form."""
        if isinstance(value, BaseMessage):
            return cls(value, model_input(ModelRequest([value], {})).messages)
        content = error_text(value) if isinstance(value, Exception) else encode(value)
        # Nobody knows who wrote it, so it is read as material.
        return cls(value, (Message("retriever", content),))

    @property
    def event(self) -> ModelInput:
        """The unit alone."""
        return ModelInput(self.segments, is_call=False)

    def applied(self, after: tuple[Message, ...]) -> Any:
        """The value as the checked segments say."""
        if after == self.segments:
            return self.value
        if isinstance(self.value, BaseMessage):
            changed = ModelInput(after, is_call=False)
            return model_input_applied(ModelRequest([self.value], {}), self.event, changed).messages[0]
        if isinstance(self.value, Exception):
            return RuntimeError(after[0].content)
        return decode(self.value, self.segments[0].content, after[0].content)

    def blank(self) -> Any:
        """The value with every text of it replaced: what is stored in place of something refused."""
        if isinstance(self.value, BaseMessage):
            return _blank_message(self.value)
        texts = {leaf.path: REFUSED for leaf in self.event.leaves() if leaf.kind == "text"}
        return self.applied(self.event.with_texts(texts).messages)


@dataclass(frozen=True, slots=True)
class Done:
    """A part that needs no check any more, as it is stored."""

    value: Any


def _blank_message(message: BaseMessage) -> BaseMessage:
    emptied: dict[str, Any] = {"content": REFUSED, "additional_kwargs": {}, "response_metadata": {}, "name": None}
    extra = dict.fromkeys(message.model_extra or {})
    if isinstance(message, AIMessage):
        # Every call keeps its id: an answer to it may stand in the history already.
        emptied["tool_calls"] = [{**call, "args": {}} for call in message.tool_calls]
        emptied["invalid_tool_calls"] = []
    if hasattr(message, "artifact"):
        emptied["artifact"] = None
    return message.model_copy(update={**emptied, **extra})


def stored(value: Any, visit: Callable[[Any], Any]) -> Any:
    """``value`` with ``visit`` applied to each message and error in it, and to whatever holds none, as a whole."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, BaseMessage | BaseException) or not _is_composite(value):
        return visit(value)
    if isinstance(value, Send):
        return Send(value.node, stored(value.arg, visit))
    if isinstance(value, Interrupt):
        # Its id is LangGraph's own; an answer names it.
        return dataclasses.replace(value, value=stored(value.value, visit))
    if isinstance(value, Mapping):
        return {key: stored(item, visit) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [stored(item, visit) for item in value]
        return items if isinstance(value, list) else _tuple_like(value, items)
    names = ("update", "goto", "resume") if isinstance(value, Command) else [f.name for f in dataclasses.fields(value)]
    return dataclasses.replace(value, **{name: stored(getattr(value, name), visit) for name in names})


def _tuple_like(value: tuple[Any, ...], items: list[Any]) -> Any:
    return type(value)(*items) if hasattr(value, "_fields") else tuple(items)


def _is_composite(value: Any) -> bool:
    if isinstance(value, Interrupt) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return True
    return any(isinstance(item, BaseMessage | BaseException) or _is_composite(item) for item in _items(value))


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, Send):
        yield value.arg
    elif isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from (getattr(value, field.name) for field in dataclasses.fields(value))


class Known:
    """Texts by author and place, as digests under a key of this process. Thread-safe, bounded."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._texts: OrderedDict[bytes, None] = OrderedDict()

    def holds(self, leaves: Iterable[Leaf]) -> bool:
        """Whether every text among ``leaves`` was added."""
        marks = [self._mark(leaf) for leaf in leaves]
        with self._lock:
            if not all(mark in self._texts for mark in marks):
                return False
            for mark in marks:
                self._texts.move_to_end(mark)
            return True

    def add(self, leaves: Iterable[Leaf]) -> None:
        """Remember them; the least recently used go first."""
        marks = [self._mark(leaf) for leaf in leaves]
        with self._lock:
            self._texts.update(dict.fromkeys(marks))
            while len(self._texts) > KNOWN_TEXTS:
                self._texts.popitem(last=False)

    def _mark(self, leaf: Leaf) -> bytes:
        # Under a dictionary's key a value may read as a password: the key is part of what was checked.
        under = next((step for step in reversed(leaf.path) if isinstance(step, str)), "")
        text = f"{leaf.author}\0{leaf.kind}\0{under}\0{leaf.text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=16, key=self._key).digest()


def as_one(leaves: Sequence[Leaf]) -> Leaf:
    """All of a unit's texts as one, for remembering it as a whole."""
    return Leaf((), "\0".join(f"{leaf.author}\0{leaf.path}\0{leaf.text}" for leaf in leaves), "")
