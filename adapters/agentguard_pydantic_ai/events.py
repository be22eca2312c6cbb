"""Pydantic AI's messages, tools and results as events, and events read back into them.

A message is read in its JSON form, part by part: the text of a part is its content, what else it carries stands in
``extra``, so that no text travels unseen. Reading back builds the message anew from that form, and only if something
in it was replaced: an untouched message stays the very object it was.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelResponse,
    ToolReturn,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.tools import ToolDefinition
from pydantic_core import to_jsonable_python

from agentguard import AdapterError, Json, Message, ModelInput, ModelOutput
from agentguard.adapter import answer_content, answer_text

__all__ = [
    "Request",
    "arguments_applied",
    "encode",
    "model_input",
    "model_input_applied",
    "model_output",
    "model_output_applied",
    "result_applied",
]

# Fields of a part that the framework fills itself: kinds, times and ids.
_FRAME = frozenset({"part_kind", "timestamp", "tool_call_id", "tool_name", "content", "args", "tool_kind", "outcome"})
_ASSISTANT = frozenset(
    {"text", "thinking", "tool-call", "builtin-tool-call", "file", "compaction", "speech", "builtin-tool-return"}
)
_CALLS = frozenset({"tool-call", "builtin-tool-call"})


@dataclass(frozen=True, slots=True)
class Request:
    """What is about to be sent to a model."""

    messages: list[ModelMessage]
    parameters: ModelRequestParameters


def encode(value: object) -> Json:
    """Any value of an application in JSON form.

    Raises:
        AdapterError: it has none, so no check can read it.
    """
    try:
        return cast(Json, to_jsonable_python(value, bytes_mode="base64", by_alias=False))
    except Exception as error:
        raise AdapterError(f"a {type(value).__name__} has no JSON form, so it cannot be checked") from error


# -- model input and output ------------------------------------------------------------------------------------------


def model_input(request: Request, human: str) -> ModelInput:
    """The event of a request; ``human`` wrote its user prompts."""
    read: list[Message] = [Message("system", part.content) for part in request.parameters.instruction_parts or ()]
    for message in _dumped(request.messages):
        read.extend(_request_messages(message, human))
    return ModelInput(tuple(read), tools=tuple(_tool_json(tool) for tool in _tools(request.parameters)))


def model_input_applied(request: Request, before: ModelInput, after: ModelInput) -> Request:
    """The request with every replaced text in its place."""
    if after == before:
        return request
    changed = iter(after.messages)
    parts = [
        dataclasses.replace(part, content=cast(str, next(changed).content))
        for part in request.parameters.instruction_parts or ()
    ]
    messages = _rebuilt(request.messages, changed)
    tools = {
        tool.name: _tool_applied(tool, cast(dict[str, Any], new))
        for tool, new in zip(_tools(request.parameters), after.tools, strict=True)
    }
    parameters = dataclasses.replace(
        request.parameters,
        instruction_parts=parts if request.parameters.instruction_parts is not None else None,
        function_tools=[tools[tool.name] for tool in request.parameters.function_tools],
        output_tools=[tools[tool.name] for tool in request.parameters.output_tools],
    )
    return Request(messages, parameters)


def model_output(response: ModelResponse) -> ModelOutput:
    """The event of a response: one message that holds every part."""
    [dumped] = _dumped([response])
    parts = cast(list[dict[str, Any]], dumped["parts"])
    texts = [_opened(part.get("content")) for part in parts]
    calls = [_call(part) for part in parts if part["part_kind"] in _CALLS]
    rest = {"parts": [_rest(part) for part in parts], "details": dumped.get("provider_details")}
    return ModelOutput(Message("assistant", cast(Json, texts), tuple(calls), cast(Json, rest)))


def model_output_applied(response: ModelResponse, before: ModelOutput, after: ModelOutput) -> ModelResponse:
    """The response with every replaced text in its place."""
    if after == before:
        return response
    [dumped] = _dumped([response])
    message, calls = after.message, iter(after.message.calls)
    extra = cast(dict[str, Any], message.extra)
    for part, text, rest in zip(
        cast(list[dict[str, Any]], dumped["parts"]), cast(list[Json], message.content), extra["parts"], strict=True
    ):
        raw = part.get("content")
        _fill(part, answer_text(raw, text) if isinstance(raw, str) else text, rest, calls)
    dumped["provider_details"] = extra["details"]
    return cast(ModelResponse, ModelMessagesTypeAdapter.validate_python([dumped])[0])


def _opened(content: Any) -> Any:
    return answer_content(content) if isinstance(content, str) else content


def _dumped(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], ModelMessagesTypeAdapter.dump_python(list(messages), mode="json"))


def _rebuilt(messages: Sequence[ModelMessage], changed: Iterator[Message]) -> list[ModelMessage]:
    rebuilt: list[ModelMessage] = []
    for original, dumped in zip(messages, _dumped(messages), strict=True):
        before = json.dumps(dumped, sort_keys=True)
        if dumped.get("instructions"):
            dumped["instructions"] = next(changed).content
        for part in cast(list[dict[str, Any]], dumped["parts"]):
            message = next(changed)
            _fill(part, message.content, cast(dict[str, Any], message.extra or {}), iter(message.calls))
        if json.dumps(dumped, sort_keys=True) == before:
            rebuilt.append(original)
        else:
            rebuilt.extend(ModelMessagesTypeAdapter.validate_python([dumped]))
    return rebuilt


def _request_messages(dumped: dict[str, Any], human: str) -> Iterator[Message]:
    if dumped.get("instructions"):
        yield Message("system", dumped["instructions"])
    for part in cast(list[dict[str, Any]], dumped["parts"]):
        calls = (_call(part),) if part["part_kind"] in _CALLS else ()
        yield Message(_author(part, human), part.get("content"), calls, cast(Json, _rest(part) or None))


def _author(part: dict[str, Any], human: str) -> str:
    kind = part["part_kind"]
    if kind == "user-prompt":
        return human
    if kind in ("tool-return", "builtin-tool-return") or (kind == "retry-prompt" and part.get("tool_name")):
        return f"tool:{part['tool_name']}"
    # What asks the model to try again repeats what the model wrote.
    return "assistant" if kind in _ASSISTANT or kind.startswith("retry") else "system"


def _call(part: dict[str, Any]) -> Json:
    return {"id": part["tool_call_id"], "name": part["tool_name"], "args": _arguments(part["args"])}


def _arguments(args: Any) -> Json:
    """Arguments in their structure; a text that is no JSON stays one."""
    if not isinstance(args, str):
        return cast(Json, args)
    try:
        parsed = json.loads(args)
    except (ValueError, RecursionError):
        return args
    return parsed if isinstance(parsed, dict | list) else args


def _rest(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in _FRAME and value is not None}


def _fill(part: dict[str, Any], content: Json, rest: dict[str, Any], calls: Iterator[Json]) -> None:
    if "content" in part:
        part["content"] = content
    if part["part_kind"] in _CALLS:
        args = cast(dict[str, Any], next(calls))["args"]
        if args != _arguments(part["args"]):
            part["args"] = args
    part.update(rest)


# -- tools -----------------------------------------------------------------------------------------------------------


def _tools(parameters: ModelRequestParameters) -> list[ToolDefinition]:
    return [*parameters.function_tools, *parameters.output_tools]


def _tool_json(tool: ToolDefinition) -> Json:
    return {"name": tool.name, "description": tool.description or "", "parameters": encode(tool.parameters_json_schema)}


def _tool_applied(tool: ToolDefinition, new: dict[str, Any]) -> ToolDefinition:
    if new == _tool_json(tool):
        return tool
    if new["name"] != tool.name:
        raise AdapterError(f"the name of tool {tool.name} cannot be replaced")
    return dataclasses.replace(tool, description=new["description"], parameters_json_schema=new["parameters"])


def arguments_applied(args: dict[str, Any], before: Json, after: Json) -> dict[str, Any]:
    """The arguments as the tool may run with them: private copies of plain values, other objects rebuilt.

    Raises:
        AdapterError: a replaced value cannot be put back into its object.
    """
    old, new = cast(dict[str, Any], before), cast(dict[str, Any], after)
    if old.keys() != new.keys():
        raise AdapterError("the name of an argument cannot be replaced")
    return {name: _value_applied(value, old[name], new[name]) for name, value in args.items()}


def _value_applied(value: Any, before: Any, after: Any) -> Any:
    if _is_plain(value):
        return after
    if before == after:
        return value
    return _builder(value)(after)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return type(value) is dict and all(isinstance(key, str) and _is_plain(held) for key, held in value.items())
    if isinstance(value, list):
        return type(value) is list and all(map(_is_plain, value))
    return value is None or type(value) in (str, int, float, bool)


def _builder(value: Any) -> Callable[[Any], Any]:
    if isinstance(value, BaseModel):
        return type(value).model_validate
    return TypeAdapter(type(value)).validate_python


def result_applied(value: Any, after: Json) -> Any:
    """A tool's result with its texts replaced, in JSON form: the form in which the model reads it."""
    if isinstance(value, ToolReturn):
        parts = cast(dict[str, Any], after)
        content = value.content
        if content is not None and parts.get("content") != encode(content):
            content = parts["content"]
        return dataclasses.replace(
            value, return_value=parts["return_value"], content=content, metadata=parts["metadata"]
        )
    return after
