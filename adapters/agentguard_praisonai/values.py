"""The messages, answers and streams of chat completions as events, and events read back into them.

Both back ends speak this one protocol: the answers of OpenAI's client and of LiteLLM differ in class, not in shape.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from agentguard import AdapterError, Json, Message, ModelInput, ModelOutput

__all__ = [
    "Request",
    "answer_applied",
    "encode",
    "model_input",
    "model_input_applied",
    "model_output",
    "stream_applied",
    "streamed_output",
]

# What is about to be sent: messages, and the schemas of tools.
Request = tuple[list[Any], list[Any]]


def encode(value: object) -> Json:
    """Any value of an application in JSON form.

    Raises:
        AdapterError: it has none, so no check can read it.
    """
    try:
        return cast(Json, to_jsonable_python(value, bytes_mode="base64", by_alias=False))
    except Exception as error:
        raise AdapterError(f"a {type(value).__name__} has no JSON form, so it cannot be checked") from error


# -- model input -----------------------------------------------------------------------------------------------------


def model_input(request: Request, human: str) -> ModelInput:
    """The event of a request; ``human`` wrote its user messages."""
    messages, tools = request
    given = cast(list[dict[str, Any]], encode(messages))
    names = {call["id"]: _call(call)["name"] for item in given for call in item.get("tool_calls") or () if "id" in call}
    return ModelInput(
        tuple(_message(item, human, names) for item in given), tools=tuple(cast(list[Json], encode(tools)))
    )


def model_input_applied(request: Request, before: ModelInput, after: ModelInput) -> Request:
    """The request with every replaced text in its place: copies, so that what was checked is what is sent."""
    messages, tools = request
    given = cast(list[dict[str, Any]], encode(messages))
    applied = [
        item if was == now else _filled(item, now)
        for item, was, now in zip(given, before.messages, after.messages, strict=True)
    ]
    return applied, tools if before.tools == after.tools else list(after.tools)


def _message(item: dict[str, Any], human: str, names: dict[str, str]) -> Message:
    role = item.get("role")
    if role == "tool":
        author = f"tool:{names.get(item.get('tool_call_id', '')) or item.get('name') or 'unknown'}"
    else:
        author = {"user": human, "assistant": "assistant"}.get(role or "", "system")
    calls = tuple(cast(Json, _call(call)) for call in item.get("tool_calls") or ())
    return Message(author, item.get("content"), calls, _rest(item))


def _rest(item: dict[str, Any]) -> Json:
    """Whatever else a message carries, so that no text travels unseen."""
    known = {"role", "content", "tool_calls", "tool_call_id", "name", "parsed"}
    return {name: value for name, value in item.items() if name not in known and value is not None} or None


def _filled(item: dict[str, Any], message: Message) -> dict[str, Any]:
    item["content"] = message.content
    for call, new in zip(item.get("tool_calls") or (), message.calls, strict=True):
        inner = call["function"]
        inner["arguments"] = _arguments_applied(inner, cast(dict[str, Any], new))
    item.update(cast(dict[str, Any], message.extra or {}))
    return item


def _call(call: dict[str, Any]) -> dict[str, Any]:
    inner = call["function"]
    return {"id": call.get("id"), "name": inner.get("name"), "args": _parsed(inner.get("arguments"))}


def _parsed(args: Any) -> Json:
    if not isinstance(args, str):
        return cast(Json, args)
    try:
        parsed = json.loads(args)
    except (ValueError, RecursionError):
        return args
    return parsed if isinstance(parsed, dict | list) else args


def _arguments_applied(inner: dict[str, Any], new: dict[str, Any]) -> Any:
    if new["name"] != inner.get("name"):
        raise AdapterError("the name of a tool cannot be replaced")
    if new["args"] == _parsed(inner.get("arguments")):
        return inner.get("arguments")
    return new["args"] if isinstance(new["args"], str) else json.dumps(new["args"])


# -- answers ---------------------------------------------------------------------------------------------------------


def model_output(answer: Any) -> ModelOutput:
    """The event of an answer."""
    return ModelOutput(_message(_dumped(_one(answer.choices).message), "", {}))


def answer_applied(answer: Any, before: ModelOutput, after: ModelOutput) -> Any:
    """The answer with every replaced text in its place; the very object when there is none."""
    if before == after:
        return answer
    copy = answer.model_copy(deep=True)
    message = copy.choices[0].message
    filled = _filled(_dumped(message), after.message)
    message.content = filled["content"]
    for call, new in zip(message.tool_calls or (), filled.get("tool_calls") or (), strict=True):
        call.function.arguments = new["function"]["arguments"]
    for name in cast(dict[str, Any], after.message.extra or {}):
        setattr(message, name, filled[name])
    parsed = getattr(message, "parsed", None)
    if isinstance(parsed, BaseModel):
        message.parsed = type(parsed).model_validate_json(message.content)
    return copy


def _one(choices: Any) -> Any:
    if len(choices or ()) != 1:
        raise AdapterError("an answer without its one choice cannot be checked")
    return choices[0]


def _dumped(value: BaseModel) -> dict[str, Any]:
    return value.model_dump(mode="json", exclude_none=True)


# -- streams, read to their end ----------------------------------------------------------------------------------------


def streamed_output(chunks: list[Any]) -> ModelOutput:
    """The event of the answer that the chunks of a stream make up."""
    texts: dict[str, str] = {}
    calls: dict[int, dict[str, Any]] = {}
    for delta in _deltas(chunks):
        dumped = _dumped(delta)
        for call in dumped.pop("tool_calls", None) or ():
            made = calls.setdefault(call.get("index", 0), {"id": None, "name": "", "arguments": ""})
            made["id"] = call.get("id") or made["id"]
            made["name"] += call["function"].get("name") or ""
            made["arguments"] += call["function"].get("arguments") or ""
        for name, value in dumped.items():
            if name != "role":
                texts[name] = texts.get(name, "") + (value if isinstance(value, str) else json.dumps(value))
    made_calls = tuple(
        cast(Json, {"id": made["id"], "name": made["name"], "args": _parsed(made["arguments"])})
        for _, made in sorted(calls.items())
    )
    content = texts.pop("content", None)
    return ModelOutput(Message("assistant", content, made_calls, cast(Json, texts) or None))


def stream_applied(chunks: list[Any], before: ModelOutput, after: ModelOutput) -> list[Any]:
    """The chunks with every replaced text in its place: whole in the first chunk that held some of it."""
    if before == after:
        return chunks
    copies = [chunk.model_copy(deep=True) for chunk in chunks]
    texts = {"content": after.message.content, **cast(dict[str, Any], after.message.extra or {})}
    old = {"content": before.message.content, **cast(dict[str, Any], before.message.extra or {})}
    for name, text in texts.items():
        if text != old[name]:
            _put(copies, name, text)
    calls = list(zip(before.message.calls, after.message.calls, strict=True))
    for index, (was, now) in zip(sorted(_call_indices(copies)), calls, strict=True):
        if was != now:
            _put_arguments(copies, index, cast(dict[str, Any], was), cast(dict[str, Any], now))
    return copies


def _deltas(chunks: list[Any]) -> Iterator[Any]:
    for chunk in chunks:
        # The chunk that tells the usage has no choice.
        if chunk.choices:
            yield _one(chunk.choices).delta


def _put(chunks: list[Any], name: str, text: Any) -> None:
    holding = [delta for delta in _deltas(chunks) if getattr(delta, name, None) is not None]
    if any(not isinstance(getattr(delta, name), str) for delta in holding):
        raise AdapterError(f"the {name} of a stream cannot be replaced")
    for position, delta in enumerate(holding):
        setattr(delta, name, text if position == 0 else "")


def _call_indices(chunks: list[Any]) -> set[int]:
    return {call.index for delta in _deltas(chunks) for call in delta.tool_calls or ()}


def _put_arguments(chunks: list[Any], index: int, was: dict[str, Any], now: dict[str, Any]) -> None:
    if was["name"] != now["name"]:
        raise AdapterError("the name of a tool cannot be replaced")
    text = now["args"] if isinstance(now["args"], str) else json.dumps(now["args"])
    parts = [call.function for d in _deltas(chunks) for call in d.tool_calls or () if call.index == index]
    for position, part in enumerate(part for part in parts if part.arguments):
        part.arguments = text if position == 0 else ""
