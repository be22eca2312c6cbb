"""LangChain values to the guard's events and back.

``encode`` gives the JSON form of a message, command or tool result with every copy of its text; ``decode`` gives a
value like the original that reads as a checked JSON form says. The caller's objects are never changed, and a message
keeps its id, so that LangGraph's reducer replaces it instead of appending a second one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.outputs import ChatGeneration
from langgraph.types import Command, Send
from pydantic import BaseModel

from agentguard import Json, Leaf, Message, ModelInput, ModelOutput, UnsupportedValueError, json_copy

__all__ = [
    "ModelRequest",
    "ModelResult",
    "decode",
    "encode",
    "model_input",
    "model_input_applied",
    "model_output",
    "model_output_applied",
    "retrieved",
    "texts_of",
]

T = TypeVar("T")

# What marks a message as quoted material. ``response_metadata`` is the one field no provider is sent.
AUTHOR_MARK = "agentguard_author"
# Content blocks that hold documents, whoever handed them over: quoted material, never the user's own words.
DOCUMENT_BLOCKS = frozenset({"document", "file", "search_result", "text-plain"})
# Bound arguments of a model call that carry texts a model reads.
SCHEMA_OPTIONS = ("tools", "functions", "response_format")

# Fields of a message, beside its content and calls, that may hold further copies of its text.
_EXTRA_FIELDS = (
    "additional_kwargs",
    "response_metadata",
    "invalid_tool_calls",
    "tool_call_chunks",
    "artifact",
    "name",
    "tool_calls",
)
_CHAT_ROLES = {"system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant"}


def retrieved(content: str) -> HumanMessage:
    """A message that holds retrieved or quoted text: a model reads it, and no check takes it for the user's words."""
    return HumanMessage(content, response_metadata={AUTHOR_MARK: "retriever"})


# -- any value -------------------------------------------------------------------------------------------------------


def encode(value: object) -> Json:
    """The JSON form of a value, messages and commands inside it included.

    Raises:
        UnsupportedValueError: something inside has no JSON form.
    """
    if value is None or type(value) in (str, bool, int):
        return value  # type: ignore[return-value]  # narrowed by the exact type just tested
    if isinstance(value, BaseMessage):
        return {name: encode(item) for name, item in _message_fields(value).items()}
    if isinstance(value, Command):
        return {"update": encode(value.update), "goto": encode(value.goto), "resume": encode(value.resume)}
    if isinstance(value, Send):
        return {"node": value.node, "arg": encode(value.arg)}
    if isinstance(value, Mapping):
        copy = {key if isinstance(key, str) else str(key): encode(item) for key, item in value.items()}
        if len(copy) != len(value):
            raise UnsupportedValueError("two dictionary keys read alike as text, so one value would go unseen")
        return copy
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, type):
        return _schema_of(value)
    return json_copy(value)


def decode(value: T, before: Json, after: Json) -> T:
    """A value like ``value`` whose JSON form is ``after`` where ``encode(value)`` was ``before``.

    Raises:
        UnsupportedValueError: a rewritten part cannot be rebuilt in its own type.
    """
    if before == after:
        return value
    return cast(T, _decoded(value, before, after))


def _decoded(value: object, before: Json, after: Json) -> object:
    if isinstance(value, BaseMessage):
        old, new = _object(before), _object(after)
        fields = {
            name: decode(item, old[name], new[name]) for name, item in _message_fields(value).items() if name in new
        }
        return value.model_copy(update=fields)
    if isinstance(value, Command):
        return dataclasses.replace(value, **_fields(value, before, after, ("update", "goto", "resume")))
    if isinstance(value, Send):
        return Send(value.node, decode(value.arg, _object(before)["arg"], _object(after)["arg"]))
    if isinstance(value, Mapping):
        pairs = zip(value.values(), _object(before).values(), _object(after).items(), strict=True)
        return {key: decode(item, old, new) for item, old, (key, new) in pairs}
    if isinstance(value, list | tuple):
        items = [decode(*parts) for parts in zip(value, _array(before), _array(after), strict=True)]
        if isinstance(value, list):
            return items
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, BaseModel):
        return type(value).model_validate(after)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = tuple(field.name for field in dataclasses.fields(value))
        return dataclasses.replace(value, **_fields(value, before, after, names))
    if isinstance(value, str | int | float):
        return after
    raise UnsupportedValueError(f"a value of type {type(value).__name__} cannot be rewritten")


def texts_of(leaves: Iterable[Leaf]) -> frozenset[str]:
    """The texts and numbers among leaves, for telling whether a value says nothing new."""
    return frozenset(leaf.text for leaf in leaves if leaf.kind != "key")


def _fields(value: object, before: Json, after: Json, names: Sequence[str]) -> dict[str, Any]:
    old, new = _object(before), _object(after)
    return {name: decode(getattr(value, name), old[name], new[name]) for name in names}


def _message_fields(message: BaseMessage) -> dict[str, object]:
    """The fields of a message that hold text, without the empty ones."""
    # Straight from where pydantic keeps them: asking for a field that a class lacks costs more than all the rest.
    held = message.__dict__
    fields: dict[str, object] = {"content": held.get("content", "")}
    fields.update((name, held[name]) for name in _EXTRA_FIELDS if held.get(name))
    fields.update((name, item) for name, item in (message.model_extra or {}).items() if item)
    return fields


def _schema_of(kind: type) -> Json:
    schema = getattr(kind, "model_json_schema", None)
    if schema is None:
        raise UnsupportedValueError(f"the type {kind.__name__} has no JSON schema, so it cannot be checked")
    return json_copy(schema())


def _object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise UnsupportedValueError(f"expected an object, got {type(value).__name__}")
    return value


def _array(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise UnsupportedValueError(f"expected a list, got {type(value).__name__}")
    return value


# -- model input -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """The arguments of one call of a model."""

    messages: list[BaseMessage]
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Segment:
    """Part of a message with one author: content blocks by position, a span of its text, or the whole message."""

    message: int
    blocks: tuple[int, ...] | None = None
    span: tuple[int, int] | None = None
    quoted: bool = False


def model_input(request: ModelRequest, *, human: str = "user", quoted: Sequence[str] = ()) -> ModelInput:
    """What is about to be sent to a model, tool schemas included.

    ``human`` is the author of human messages; ``quoted`` are texts that are material where they stand in one.
    """
    parts = _segments(request.messages, quoted)
    messages = [_segment_message(request.messages[part.message], part, human) for part in parts]
    return ModelInput(tuple(messages), tuple(encode(_schema_options(request.options)).values()))  # type: ignore[union-attr]


def model_input_applied(
    request: ModelRequest, before: ModelInput, after: ModelInput, *, quoted: Sequence[str] = ()
) -> ModelRequest:
    """The request as the checked event says, in new objects wherever something changed."""
    if after is before:
        return request
    messages = list(request.messages)
    parts = zip(_segments(request.messages, quoted), before.messages, after.messages, strict=True)
    # Spans last first, so that those before them still stand where they stood.
    for part, old, new in reversed(list(parts)):
        messages[part.message] = _with_segment(messages[part.message], part, old, new)
    schemas = _schema_options(request.options)
    changed = {
        name: decode(item, old, new)
        for (name, item), old, new in zip(schemas.items(), before.tools, after.tools, strict=True)
    }
    return ModelRequest(messages, {**request.options, **changed})


def _schema_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in SCHEMA_OPTIONS if options.get(name)}


def _segments(messages: Sequence[BaseMessage], quoted: Sequence[str] = ()) -> list[_Segment]:
    found: list[_Segment] = []
    for index, message in enumerate(messages):
        if quoted and isinstance(message, HumanMessage) and isinstance(message.content, str):
            found += _spans(index, message.content, quoted)
            continue
        documents = _document_blocks(message)
        if documents and len(documents) < len(message.content):
            rest = tuple(i for i in range(len(message.content)) if i not in documents)
            found += [_Segment(index, rest), _Segment(index, documents)]
        else:
            found.append(_Segment(index))
    return found


def _spans(index: int, text: str, quoted: Sequence[str]) -> list[_Segment]:
    """The user's words and the material among them, in order."""
    places: list[tuple[int, int]] = []
    for passage in sorted(filter(None, quoted), key=len, reverse=True):
        start = text.find(passage)
        while start >= 0:
            end = start + len(passage)
            if all(end <= a or b <= start for a, b in places):
                places.append((start, end))
            start = text.find(passage, end)
    if not places:
        return [_Segment(index)]
    found: list[_Segment] = []
    at = 0
    for start, end in sorted(places):
        if start > at:
            found.append(_Segment(index, span=(at, start)))
        found.append(_Segment(index, span=(start, end), quoted=True))
        at = end
    if at < len(text):
        found.append(_Segment(index, span=(at, len(text))))
    return found


def _document_blocks(message: BaseMessage) -> tuple[int, ...]:
    if not isinstance(message, HumanMessage) or not isinstance(message.content, list):
        return ()
    blocks = enumerate(message.content)
    return tuple(i for i, block in blocks if isinstance(block, dict) and block.get("type") in DOCUMENT_BLOCKS)


def _segment_message(message: BaseMessage, part: _Segment, human: str) -> Message:
    if part.span is not None:
        whole = _message(message, "retriever" if part.quoted else _author(message, human))
        text = cast(str, message.content)[slice(*part.span)]
        # What stands beside the text goes with its first part.
        return dataclasses.replace(whole, content=text, extra=whole.extra if part.span[0] == 0 else None)
    if part.blocks is None:
        return _message(message, _author(message, human))
    content = [encode(message.content[i]) for i in part.blocks]
    if part.blocks == _document_blocks(message):
        return Message("retriever", content)
    return dataclasses.replace(_message(message, _author(message, human)), content=content)


def _with_segment(message: BaseMessage, part: _Segment, before: Message, after: Message) -> BaseMessage:
    if before == after:
        return message
    if part.span is not None:
        start, end = part.span
        text = cast(str, message.content)
        changed = dataclasses.replace(after, content=text[:start] + cast(str, after.content) + text[end:])
        return _message_applied(message, dataclasses.replace(before, content=text), changed)
    if part.blocks is None:
        return _message_applied(message, before, after)
    content = list(message.content)
    for position, old, new in zip(part.blocks, _array(before.content), _array(after.content), strict=True):
        content[position] = decode(content[position], old, new)
    kept = dataclasses.replace(after, content=before.content)
    return _message_applied(message, before, kept).model_copy(update={"content": content})


def _author(message: BaseMessage, human: str) -> str:
    if message.response_metadata.get(AUTHOR_MARK) == "retriever":
        return "retriever"
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, HumanMessage):
        whole = isinstance(message.content, list) and message.content and len(_document_blocks(message))
        return "retriever" if whole and whole == len(message.content) else human
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, ToolMessage | FunctionMessage):
        return f"tool:{message.name or 'unknown'}"
    if isinstance(message, ChatMessage):
        author = _CHAT_ROLES.get(message.role, f"agent:{message.role}")
        return human if author == "user" else author
    return "retriever"


def _message(message: BaseMessage, author: str) -> Message:
    fields = {name: encode(item) for name, item in _message_fields(message).items()}
    content, calls = fields.pop("content"), fields.pop("tool_calls", None)
    return Message(author, content, tuple(_call(call) for call in _array(calls)) if calls else (), fields or None)


def _call(call: Json) -> Json:
    return {name: item for name, item in _object(call).items() if name != "type"}


def _message_applied(message: BaseMessage, before: Message, after: Message) -> BaseMessage:
    if before == after:
        return message
    old = {**_object(before.extra or {}), "content": before.content}
    new = {**_object(after.extra or {}), "content": after.content}
    update = {
        name: decode(item, old[name], new[name]) for name, item in _message_fields(message).items() if name in old
    }
    if isinstance(message, AIMessage):
        pairs = zip(message.tool_calls, before.calls, after.calls, strict=True)
        update["tool_calls"] = [_call_applied(call, old_call, new_call) for call, old_call, new_call in pairs]
    return message.model_copy(update=update)


def _call_applied(call: Any, before: Json, after: Json) -> Any:
    old, new = _object(before), _object(after)
    return {name: decode(item, old[name], new[name]) if name in old else item for name, item in call.items()}


# -- model output ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One answer of a model, with what the provider said beside it; any of it may repeat the answer's text."""

    message: BaseMessage
    info: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    structured: object = None

    @classmethod
    def of(cls, generation: ChatGeneration, output: dict[str, Any] | None = None) -> ModelResult:
        """One generation, with the provider's notes on the whole answer."""
        return cls(generation.message, generation.generation_info, output)


def model_output(result: ModelResult) -> ModelOutput:
    """The event for one answer."""
    message = _message(result.message, "assistant")
    notes = {"generation_info": encode(result.info), "llm_output": encode(result.output)}
    kept = {name: note for name, note in notes.items() if note}
    if kept:
        message = dataclasses.replace(message, extra={**_object(message.extra or {}), **kept})
    return ModelOutput(message, encode(result.structured))


def model_output_applied(result: ModelResult, before: ModelOutput, after: ModelOutput) -> ModelResult:
    """The answer as the checked event says."""
    if after is before:
        return result
    old, new = _object(before.message.extra or {}), _object(after.message.extra or {})
    return ModelResult(
        _message_applied(result.message, before.message, after.message),
        decode(result.info, old.get("generation_info"), new.get("generation_info")) if result.info else result.info,
        decode(result.output, old.get("llm_output"), new.get("llm_output")) if result.output else result.output,
        decode(result.structured, before.structured, after.structured),
    )
