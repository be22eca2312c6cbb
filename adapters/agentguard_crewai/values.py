"""CrewAI's messages, answers, arguments and results as events, and events read back into them."""

from __future__ import annotations

import json
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from agentguard import AdapterError, Json, Message, ModelInput, ModelOutput
from agentguard.adapter import answer_content, answer_text

__all__ = ["Request", "answer_applied", "encode", "model_input", "model_input_applied", "model_output", "value_applied"]

# What is about to be sent: a text or messages, and the schemas of tools.
Request = tuple[Any, Any]


def encode(value: object) -> Json:
    """Any value of an application in JSON form.

    Raises:
        AdapterError: it has none, so no check can read it.
    """
    try:
        return cast(Json, to_jsonable_python(value, bytes_mode="base64", by_alias=False))
    except Exception as error:
        raise AdapterError(f"a {type(value).__name__} has no JSON form, so it cannot be checked") from error


def value_applied(value: Any, before: Json, after: Json) -> Any:
    """``value`` with its texts replaced: an object of pydantic's stays one, anything else becomes its JSON form."""
    if before == after:
        return value
    return type(value).model_validate(after, by_name=True) if isinstance(value, BaseModel) else after


# -- model input -----------------------------------------------------------------------------------------------------


def model_input(request: Request, human: str) -> ModelInput:
    """The event of a request; ``human`` wrote its user messages."""
    messages, tools = request
    given = cast(list[dict[str, Any]], encode(messages if isinstance(messages, list) else [_user(messages)]))
    names = {call["id"]: _call(call)["name"] for item in given for call in item.get("tool_calls") or () if "id" in call}
    read = tuple(_message(item, human, names) for item in given)
    return ModelInput(read, tools=tuple(cast(list[Json], encode(tools or []))))


def model_input_applied(request: Request, before: ModelInput, after: ModelInput) -> Request:
    """The request with every replaced text in its place: copies, so that what was checked is what is sent."""
    messages, tools = request
    if not isinstance(messages, list):
        return after.messages[0].content, tools if before.tools == after.tools else list(after.tools)
    applied = [
        dict(item) if was == now else _filled(cast(dict[str, Any], encode(item)), now)
        for item, was, now in zip(messages, before.messages, after.messages, strict=True)
    ]
    return applied, tools if before.tools == after.tools else list(after.tools)


def _user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _message(item: dict[str, Any], human: str, names: dict[str, str]) -> Message:
    role = item.get("role")
    if role == "tool":
        author = f"tool:{item.get('name') or names.get(item.get('tool_call_id', ''), 'unknown')}"
    else:
        author = {"user": human, "assistant": "assistant"}.get(role or "", "system")
    calls = tuple(cast(Json, _call(call)) for call in item.get("tool_calls") or ())
    return Message(author, item.get("content"), calls, _rest(item))


def _rest(item: dict[str, Any]) -> Json:
    known = {"role", "content", "tool_calls", "tool_call_id", "name"}
    return {name: value for name, value in item.items() if name not in known} or None


def _filled(item: dict[str, Any], message: Message) -> dict[str, Any]:
    if "content" in item:
        item["content"] = message.content
    for call, new in zip(item.get("tool_calls") or (), message.calls, strict=True):
        _refill(call, cast(dict[str, Any], new))
    item.update(cast(dict[str, Any], message.extra or {}))
    return item


# -- tool calls in the form of the provider --------------------------------------------------------------------------


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """A call as name and arguments, whichever provider's form it has."""
    inner: dict[str, Any] = call["function"] if isinstance(call.get("function"), dict) else call
    args = inner.get("arguments", inner.get("input", inner.get("args")))
    return {"id": call.get("id", call.get("toolUseId")), "name": inner.get("name"), "args": _parsed(args)}


def _refill(call: dict[str, Any], new: dict[str, Any]) -> None:
    inner = cast(dict[str, Any], call["function"] if isinstance(call.get("function"), dict) else call)
    if new["name"] != inner.get("name"):
        raise AdapterError("the name of a tool cannot be replaced")
    for key in ("arguments", "input", "args"):
        if key in inner and _parsed(inner[key]) != new["args"]:
            inner[key] = json.dumps(new["args"]) if isinstance(inner[key], str) else new["args"]


def _parsed(args: Any) -> Json:
    if not isinstance(args, str):
        return cast(Json, args)
    try:
        parsed = json.loads(args)
    except (ValueError, RecursionError):
        return args
    return parsed if isinstance(parsed, dict | list) else args


# -- model output ----------------------------------------------------------------------------------------------------


def model_output(answer: Any) -> ModelOutput:
    """The event of an answer: a text, the calls a provider gave back, or a structured value."""
    if isinstance(answer, str) or answer is None:
        return ModelOutput(Message("assistant", answer_content(answer or "")))
    if _is_calls(answer):
        dumped = cast(list[dict[str, Any]], encode(answer))
        return ModelOutput(Message("assistant", "", tuple(cast(Json, _call(call)) for call in dumped)))
    return ModelOutput(Message("assistant", encode(answer)))


def answer_applied(answer: Any, before: ModelOutput, after: ModelOutput) -> Any:
    """The answer with every replaced text in its place."""
    if before == after:
        return answer
    if isinstance(answer, str):
        return answer_text(answer, after.message.content)
    if not _is_calls(answer):
        return value_applied(answer, before.message.content, after.message.content)
    applied = []
    for call, new in zip(answer, after.message.calls, strict=True):
        dumped = cast(dict[str, Any], encode(call))
        _refill(dumped, cast(dict[str, Any], new))
        applied.append(value_applied(call, None, dumped) if isinstance(call, BaseModel) else dumped)
    return applied


def _is_calls(answer: Any) -> bool:
    return isinstance(answer, list) and bool(answer) and all(isinstance(call, dict | BaseModel) for call in answer)
