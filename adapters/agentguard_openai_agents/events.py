"""The SDK's items, tools and results as events, and events read back into them.

Items are read in their JSON form: the words of an item are its content, what else it carries stands in ``extra``, so
that no text travels unseen. An item in which nothing was replaced stays the very object it was.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from agents import FunctionTool, Handoff, ModelResponse, Tool, TResponseInputItem
from agents.items import TResponseOutputItem
from pydantic_core import to_jsonable_python

from agentguard import AdapterError, Json, Message, ModelInput, ModelOutput
from agentguard.adapter import answer_content, answer_text

__all__ = [
    "Request",
    "arguments",
    "encode",
    "items_applied",
    "model_input",
    "model_input_applied",
    "model_output",
    "response_with",
]

# Fields that the framework fills itself: kinds, ids, states.
_FRAME = frozenset({"type", "role", "id", "call_id", "status", "name", "content", "output", "arguments"})
_MODEL_ITEMS = frozenset(
    {"function_call", "reasoning", "custom_tool_call", "computer_call", "shell_call", "compaction"}
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is about to be sent to a model."""

    system_instructions: str | None
    input: str | list[TResponseInputItem]
    tools: list[Tool]
    handoffs: list[Handoff[Any, Any]]
    prompt: Any


def encode(value: object) -> Json:
    """Any value of an application in JSON form.

    Raises:
        AdapterError: it has none, so no check can read it.
    """
    try:
        return cast(Json, to_jsonable_python(value, bytes_mode="base64", by_alias=False, exclude_none=True))
    except Exception as error:
        raise AdapterError(f"a {type(value).__name__} has no JSON form, so it cannot be checked") from error


def arguments(text: str) -> Json:
    """The arguments of a call in their structure; a text that is no JSON object or list stays one."""
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return parsed if isinstance(parsed, dict | list) else text


# -- model input -----------------------------------------------------------------------------------------------------


def model_input(request: Request, human: str) -> ModelInput:
    """The event of a request; ``human`` wrote its user messages."""
    read = [Message("system", request.system_instructions or ""), Message("system", encode(request.prompt))]
    if isinstance(request.input, str):
        read.append(Message(human, request.input))
    else:
        names: dict[str, str] = {}
        read.extend(_input_message(cast(dict[str, Any], encode(item)), human, names) for item in request.input)
    return ModelInput(tuple(read), tools=tuple(_tool_json(tool) for tool in (*request.tools, *request.handoffs)))


def model_input_applied(request: Request, before: ModelInput, after: ModelInput) -> Request:
    """The request with every replaced text in its place."""
    if after == before:
        return request
    system, prompt, *rest = after.messages
    given: Any = request.input
    if isinstance(given, str):
        given = rest[0].content
    else:
        old = before.messages[2:]
        given = [
            item if was == now else _filled(cast(dict[str, Any], encode(item)), now)
            for item, was, now in zip(given, old, rest, strict=True)
        ]
    tools = [
        _tool_applied(tool, cast(dict[str, Any], new))
        for tool, new in zip((*request.tools, *request.handoffs), after.tools, strict=True)
    ]
    count = len(request.tools)
    instructions = cast(str, system.content) if request.system_instructions is not None else None
    return Request(instructions, given, tools[:count], tools[count:], prompt.content)


def _input_message(item: dict[str, Any], human: str, names: dict[str, str]) -> Message:
    kind, call = item.get("type", "message"), item.get("call_id")
    if kind == "function_call":
        names[item["call_id"]] = item["name"]
        return _call_message(item)
    if kind == "message" or "role" in item:
        author = {"user": human, "assistant": "assistant"}.get(item.get("role", ""), "system")
    elif kind in _MODEL_ITEMS:
        author = "assistant"
    else:
        author = f"tool:{names.get(call or '', kind)}"
    return Message(author, item.get("content", item.get("output")), (), _rest(item))


def _call_message(item: dict[str, Any]) -> Message:
    call = {"id": item["call_id"], "name": item["name"], "args": arguments(item["arguments"])}
    return Message("assistant", None, (cast(Json, call),), _rest(item))


def _rest(item: dict[str, Any]) -> Json:
    return {name: value for name, value in item.items() if name not in _FRAME} or None


def _filled(item: dict[str, Any], message: Message) -> dict[str, Any]:
    """``item`` with the texts of ``message``."""
    if message.calls:
        args = cast(dict[str, Any], message.calls[0])["args"]
        item["arguments"] = args if isinstance(args, str) else json.dumps(args)
    elif "content" in item:
        item["content"] = message.content
    elif "output" in item:
        item["output"] = message.content
    item.update(cast(dict[str, Any], message.extra or {}))
    return item


# -- model output ----------------------------------------------------------------------------------------------------


def model_output(items: Sequence[TResponseOutputItem]) -> ModelOutput:
    """The event of an answer: one message that holds every item."""
    read = [_output_message(_dumped(item)) for item in items]
    contents = [message.content for message in read]
    calls = tuple(call for message in read for call in message.calls)
    return ModelOutput(Message("assistant", contents, calls, [message.extra for message in read]))


def items_applied(
    items: list[TResponseOutputItem], before: ModelOutput, after: ModelOutput
) -> list[TResponseOutputItem]:
    """The answer's items with every replaced text in its place."""
    if after == before:
        return items
    calls = iter(after.message.calls)
    contents, extras = cast(list[Json], after.message.content), cast(list[Json], after.message.extra)
    return [
        _item_applied(item, content, calls, extra) for item, content, extra in zip(items, contents, extras, strict=True)
    ]


def _item_applied(item: TResponseOutputItem, content: Json, calls: Any, extra: Json) -> TResponseOutputItem:
    dumped = _dumped(item)
    was = _output_message(dumped)
    now = Message("assistant", content, tuple(next(calls) for _ in was.calls), extra)
    if now == was:
        return item
    raw = dumped.get("content")
    filled = _filled(dumped, now)
    if "content" in filled:
        filled["content"] = _written(filled["content"], raw)
    return type(item).model_validate(filled)


def _output_message(item: dict[str, Any]) -> Message:
    if item.get("type") == "function_call":
        return _call_message(item)
    return Message("assistant", _read(item.get("content", item.get("output"))), (), _rest(item))


def _read(content: Any) -> Json:
    """The parts of an answer, their JSON opened."""
    if not isinstance(content, list):
        return cast(Json, content)
    return [{**part, "text": answer_content(part["text"])} if _is_text(part) else part for part in content]


def _written(content: Any, before: Any) -> Any:
    """The parts as they may go on; ``before`` is what was read."""
    if not isinstance(content, list) or not isinstance(before, list):
        return content
    return [
        {**part, "text": answer_text(old["text"], part["text"])} if _is_text(old) else part
        for part, old in zip(content, before, strict=True)
    ]


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)


def _dumped(item: TResponseOutputItem) -> dict[str, Any]:
    return item.model_dump(mode="json", exclude_none=True)


# -- tools -----------------------------------------------------------------------------------------------------------


def _tool_json(tool: Tool | Handoff[Any, Any]) -> Json:
    if isinstance(tool, FunctionTool):
        return {"name": tool.name, "description": tool.description, "parameters": encode(tool.params_json_schema)}
    if isinstance(tool, Handoff):
        return {
            "name": tool.tool_name,
            "description": tool.tool_description,
            "parameters": encode(tool.input_json_schema),
        }
    return {"name": tool.name}


def _tool_applied(tool: Any, new: dict[str, Any]) -> Any:
    if new == _tool_json(tool):
        return tool
    if isinstance(tool, FunctionTool) and new["name"] == tool.name:
        return dataclasses.replace(tool, description=new["description"], params_json_schema=new["parameters"])
    if isinstance(tool, Handoff) and new["name"] == tool.tool_name:
        return dataclasses.replace(tool, tool_description=new["description"], input_json_schema=new["parameters"])
    raise AdapterError("the name of a tool cannot be replaced")


def response_with(response: ModelResponse, items: list[TResponseOutputItem]) -> ModelResponse:
    """``response`` with these items; the very object when they are its own."""
    return response if items is response.output else dataclasses.replace(response, output=items)
