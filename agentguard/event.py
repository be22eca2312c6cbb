"""What the guard intercepts: five kinds of event, each a frozen value.

Every event lists its text leaves at any depth (content blocks, nested JSON arguments, dictionary keys, numbers),
so that no check ever sees only "the main text"; and can be rebuilt with leaves replaced.
Values inside an event are private copies in JSON form: nothing the caller changes later changes what was checked.

Author of a text, as in ``Message.author`` and ``Leaf.author``: ``system``, ``user``, ``assistant``,
``tool:<name>``, ``agent:<id>``, ``retriever``. Checks depend on it: an instruction in a user's prompt is normal,
the same words in a tool result are an attack.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import pathlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from agentguard.errors import ConfigError, UnsupportedValueError

__all__ = [
    "AgentMessage",
    "Event",
    "Json",
    "Label",
    "Leaf",
    "Message",
    "ModelInput",
    "ModelOutput",
    "Path",
    "Principal",
    "ToolCall",
    "ToolResult",
    "json_copy",
]

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Path: TypeAlias = tuple[str | int, ...]

# A nesting deeper than this has no honest use and would exhaust the stack of a recursive check.
MAX_DEPTH = 64


class Label(enum.Enum):
    """Integrity of a text: who could have chosen its words."""

    TRUSTED = "trusted"
    MIXED = "mixed"
    UNTRUSTED = "untrusted"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: an authenticated agent, user or service.

    Built from a verified source only (session token, mTLS identity, the application's own registration),
    never from a tool argument or a model's text. ``roles`` are added to those the policy gives to ``id``.
    ``on_behalf_of`` is the user an agent works for; a call then needs the permission of both.
    """

    id: str
    kind: Literal["agent", "user", "service"] = "agent"
    roles: tuple[str, ...] = ()
    on_behalf_of: Principal | None = None
    session: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Leaf:
    """One text inside an event. ``path`` leads to it; ``kind`` tells a value from a dictionary key or a number."""

    path: Path
    text: str
    author: str
    kind: Literal["text", "key", "number"] = "text"


@dataclass(frozen=True, slots=True)
class Message:
    """One segment of a conversation with a model.

    ``content`` is text or a list of content blocks; ``calls`` are the tool calls the segment asks for
    (``{"id", "name", "args"}``); ``extra`` holds further fields that may carry copies of the text.
    """

    author: str
    content: Json
    calls: tuple[Json, ...] = ()
    extra: Json = None

    def __post_init__(self) -> None:
        _freeze(self, "content", "extra")
        object.__setattr__(self, "calls", tuple(json_copy(call) for call in self.calls))


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What is about to be sent to a model. ``tools`` are the tool schemas sent along: their texts are read too.

    ``is_call`` is False for texts on their way into a prompt or a store that a model will read later: every check
    reads them alike, and no limit counts them, because no model is called.
    """

    messages: tuple[Message, ...]
    tools: tuple[Json, ...] = ()
    is_call: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "messages", tuple(self.messages))
        object.__setattr__(self, "tools", tuple(json_copy(tool) for tool in self.tools))

    def leaves(self) -> Iterator[Leaf]:
        """Every text, message by message, then the tool schemas (author ``system``)."""
        for index, message in enumerate(self.messages):
            yield from _message_leaves(("messages", index), message)
        for index, tool in enumerate(self.tools):
            yield from _walk(("tools", index), tool, "system")

    def with_texts(self, texts: Mapping[Path, str]) -> ModelInput:
        """Rebuild with the leaves at the given paths replaced.

        Raises:
            ConfigError: a path does not lead to a leaf of this event.
        """
        root = _replaced({"messages": [_message_json(m) for m in self.messages], "tools": list(self.tools)}, texts)
        messages = tuple(
            _message_from(old, new) for old, new in zip(self.messages, _list(root["messages"]), strict=True)
        )
        return ModelInput(messages, tuple(_list(root["tools"])), self.is_call)


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """What a model answered. ``structured`` is the parsed form of a structured answer, when the framework made one."""

    message: Message
    structured: Json = None

    def __post_init__(self) -> None:
        _freeze(self, "structured")

    def leaves(self) -> Iterator[Leaf]:
        """Every text of the message, its tool calls' arguments, and the structured copy."""
        yield from _message_leaves(("message",), self.message)
        yield from _walk(("structured",), self.structured, self.message.author)

    def with_texts(self, texts: Mapping[Path, str]) -> ModelOutput:
        """As ``ModelInput.with_texts``."""
        root = _replaced({"message": _message_json(self.message), "structured": self.structured}, texts)
        return ModelOutput(_message_from(self.message, root["message"]), root["structured"])


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool about to run. ``args`` are the exact final arguments: the adapter runs this copy and no other."""

    tool: str
    args: dict[str, Json]
    call_id: str | None = None

    def __post_init__(self) -> None:
        _freeze(self, "args")

    def leaves(self) -> Iterator[Leaf]:
        """Every text among the arguments; the author is the assistant."""
        yield from _walk(("args",), self.args, "assistant")

    def with_texts(self, texts: Mapping[Path, str]) -> ToolCall:
        """As ``ModelInput.with_texts``."""
        return ToolCall(self.tool, _dict(_replaced({"args": self.args}, texts)["args"]), self.call_id)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returned, before any model reads it. ``content`` holds every copy (text, structured, artifact)."""

    tool: str
    args: dict[str, Json]
    content: Json
    call_id: str | None = None
    is_error: bool = False

    def __post_init__(self) -> None:
        _freeze(self, "args", "content")

    def leaves(self) -> Iterator[Leaf]:
        """Every text of the content; the arguments were checked as a ToolCall and are context only."""
        yield from _walk(("content",), self.content, f"tool:{self.tool}")

    def with_texts(self, texts: Mapping[Path, str]) -> ToolResult:
        """As ``ModelInput.with_texts``."""
        content = _replaced({"content": self.content}, texts)["content"]
        return dataclasses.replace(self, content=content)


@dataclass(frozen=True, slots=True)
class AgentMessage:
    """A message from one agent to another; ``sender`` and ``receiver`` are principal ids.

    ``is_reply`` marks the answer to a message that ``receiver`` sent: only code that matched the two may set it.
    """

    sender: str
    receiver: str
    topic: str
    content: Json
    is_reply: bool = False

    def __post_init__(self) -> None:
        _freeze(self, "content")

    def leaves(self) -> Iterator[Leaf]:
        """Every text of the content; the author is the sending agent."""
        yield from _walk(("content",), self.content, f"agent:{self.sender}")

    def with_texts(self, texts: Mapping[Path, str]) -> AgentMessage:
        """As ``ModelInput.with_texts``."""
        content = _replaced({"content": self.content}, texts)["content"]
        return dataclasses.replace(self, content=content)


Event: TypeAlias = ModelInput | ModelOutput | ToolCall | ToolResult | AgentMessage


def json_copy(value: object, *, depth: int = 0) -> Json:
    """Deep-copy ``value`` into plain JSON types.

    Tuples and sets become lists; paths, dates, UUIDs, decimals and enum members become their text or value;
    dataclasses and pydantic models become objects.

    Raises:
        UnsupportedValueError: a value without a JSON form, a key that is no string, a NaN or infinity,
            or nesting beyond ``MAX_DEPTH``.
    """
    if value is None or type(value) in (str, bool, int):
        return value  # type: ignore[return-value]  # narrowed by the exact type just tested
    if depth > MAX_DEPTH:
        raise UnsupportedValueError(f"value nests deeper than {MAX_DEPTH} levels; flatten it")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnsupportedValueError("NaN and infinity have no JSON form; send a finite number or text")
        return float(value)
    if isinstance(value, Mapping):
        copy = {_key(key): json_copy(item, depth=depth + 1) for key, item in value.items()}
        if len(copy) != len(value):
            raise UnsupportedValueError("two dictionary keys read alike as text, so one value would go unseen")
        return copy
    if isinstance(value, list | tuple | set | frozenset):
        return [json_copy(item, depth=depth + 1) for item in value]
    return _scalar_copy(value, depth)


def _scalar_copy(value: object, depth: int) -> Json:
    if isinstance(value, enum.Enum):
        return json_copy(value.value, depth=depth + 1)
    # Subclasses of str, int and bool lose their type here, so that no overridden method decides what a check sees.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, pathlib.PurePath | uuid.UUID | decimal.Decimal):
        return str(value)
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return json_copy(fields, depth=depth + 1)
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return json_copy(dump(mode="json"), depth=depth + 1)
    raise UnsupportedValueError(
        f"a value of type {type(value).__name__} has no JSON form, so it cannot be checked; "
        "pass text, numbers, lists, dictionaries, dataclasses or pydantic models"
    )


def _key(key: object) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(int(key))
    raise UnsupportedValueError(f"a dictionary key of type {type(key).__name__} has no JSON form; use text")


def _freeze(event: object, *names: str) -> None:
    for name in names:
        object.__setattr__(event, name, json_copy(getattr(event, name)))


def _walk(path: Path, value: Json, author: str) -> Iterator[Leaf]:
    """Depth first, in document order; a dictionary key comes before its value, under the key's own path + '#key'."""
    if isinstance(value, str):
        yield Leaf(path, value, author)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int | float):
        yield Leaf(path, repr(value), author, "number")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk((*path, index), item, author)
    else:
        for key, item in value.items():
            yield Leaf((*path, key, KEY), key, author, "key")
            yield from _walk((*path, key), item, author)


# Last step of a path that means the dictionary key itself. NUL keeps it apart from any sane key of a caller.
KEY = "\x00key"


def _replaced(root: dict[str, Json], texts: Mapping[Path, str]) -> dict[str, Json]:
    """Copy ``root`` with leaves replaced; keys last, so that the paths of their values still lead somewhere."""
    copy = _dict(json_copy(root))
    for path in sorted(texts, key=lambda p: (p[-1:] == (KEY,), -len(p))):
        _replace(copy, path, texts[path])
    return copy


def _replace(root: dict[str, Json], path: Path, text: str) -> None:
    is_key = path[-1:] == (KEY,)
    steps = path[:-1] if is_key else path
    parent: Json = root
    try:
        for step in steps[:-1]:
            parent = parent[step]  # type: ignore[index]  # a wrong shape is the error below
        last = steps[-1]
        if is_key and isinstance(parent, dict):
            # Two keys masked alike must not swallow each other's value.
            while text in parent and text != last:
                text += "'"
            items = [(text if key == last else key, item) for key, item in parent.items()]
            parent.clear()
            parent.update(items)
        else:
            current = parent[last]  # type: ignore[index]
            if isinstance(current, dict | list):
                raise TypeError("not a leaf")
            parent[last] = text  # type: ignore[index]
    except (LookupError, TypeError) as error:
        raise ConfigError(f"no text stands at path {path!r} of this event") from error


def _message_json(message: Message) -> Json:
    return {"content": message.content, "calls": list(message.calls), "extra": message.extra}


def _message_from(old: Message, new: Json) -> Message:
    parts = _dict(new)
    return Message(old.author, parts["content"], tuple(_list(parts["calls"])), parts["extra"])


def _message_leaves(path: Path, message: Message) -> Iterator[Leaf]:
    yield from _walk((*path, "content"), message.content, message.author)
    for index, call in enumerate(message.calls):
        yield from _walk((*path, "calls", index), call, message.author)
    yield from _walk((*path, "extra"), message.extra, message.author)


def _dict(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise ConfigError(f"expected an object, got {type(value).__name__}")
    return value


def _list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise ConfigError(f"expected a list, got {type(value).__name__}")
    return value
