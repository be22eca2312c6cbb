"""Language models whose every request and answer passes the guard, by either back end.

A streamed answer is read to its end, checked, and then given out. The Responses API is not used by a guarded model: the
same models are asked by chat completions.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from praisonaiagents.llm.llm import LLM
from praisonaiagents.llm.openai_client import OpenAIClient

from agentguard import AdapterError, Conversation, Message, ModelInput, ModelOutput
from agentguard.adapter import Gate, Passage, hook_run, human_author

from .runs import FRAMEWORK, noting
from .swap import guards_of, swap
from .values import (
    Request,
    answer_applied,
    model_input,
    model_input_applied,
    model_output,
    stream_applied,
    streamed_output,
)

__all__ = ["guarded_client", "guarded_llm", "unguarded"]

_ANSWER: Passage[Any, ModelOutput] = Passage(
    event=model_output, apply=answer_applied, nearest=lambda: ModelOutput(Message("assistant", ""))
)
_STREAM: Passage[list[Any], ModelOutput] = Passage(
    event=streamed_output, apply=stream_applied, nearest=lambda: ModelOutput(Message("assistant", ""))
)
# What ``LLM`` may not do in a way of its own: between them they make its every request.
_ASKING = ("get_response", "get_response_async", "get_response_stream")


def _input(run: Conversation) -> Passage[Request, ModelInput]:
    return Passage(
        event=lambda request: model_input(request, human_author(run)),
        apply=model_input_applied,
        nearest=lambda: ModelInput(()),
    )


def _request(options: dict[str, Any]) -> Request:
    return list(options.get("messages") or ()), list(options.get("tools") or ())


def _ready(options: dict[str, Any], request: Request) -> dict[str, Any]:
    messages, tools = request
    return {**options, "messages": messages, **({"tools": tools} if options.get("tools") else {})}


def _asked(gate: Gate, options: dict[str, Any], ask: Callable[..., Any]) -> Any:
    """One request and its answer, both checked."""
    run = hook_run(gate, framework=FRAMEWORK)
    with noting():
        answer = ask(**_ready(options, gate.admit(_request(options), _input(run), run)))
        if options.get("stream") and not hasattr(answer, "choices"):
            return _Replay(gate.admit(list(answer), _STREAM, run))
        return gate.admit(answer, _ANSWER, run)


async def _aasked(gate: Gate, options: dict[str, Any], ask: Callable[..., Awaitable[Any]]) -> Any:
    run = hook_run(gate, framework=FRAMEWORK)
    with noting():
        answer = await ask(**_ready(options, await gate.aadmit(_request(options), _input(run), run)))
        if options.get("stream") and not hasattr(answer, "choices"):
            chunks = [chunk async for chunk in answer] if hasattr(answer, "__aiter__") else list(answer)
            return _Replay(await gate.aadmit(chunks, _STREAM, run))
        return await gate.aadmit(answer, _ANSWER, run)


class _Replay:
    """The chunks of a stream that was checked, for either kind of reader."""

    def __init__(self, chunks: list[Any]) -> None:
        self._chunks = iter(chunks)

    def __iter__(self) -> Iterator[Any]:
        return self._chunks

    def __next__(self) -> Any:
        return next(self._chunks)

    async def __aiter__(self) -> AsyncIterator[Any]:
        for chunk in self._chunks:
            yield chunk

    def close(self) -> None:
        """Nothing is open any more."""


# -- LiteLLM ---------------------------------------------------------------------------------------------------------


class _GuardedLLM(LLM):  # type: ignore[misc]  # the framework has no types
    """The methods of a guarded model, before those of its own class."""

    _agentguard: Gate

    def _completion_with_retry(self, **options: Any) -> Any:
        return _asked(self._agentguard, options, super()._completion_with_retry)

    async def _acompletion_with_retry(self, **options: Any) -> Any:
        return await _aasked(self._agentguard, options, super()._acompletion_with_retry)

    def _supports_responses_api(self) -> bool:
        return False

    def _call_responses_api(self, *_: Any, **__: Any) -> Any:
        raise AdapterError("a guarded model does not use the Responses API")

    _call_responses_api_async = _stream_responses_api = _stream_responses_api_async = _call_responses_api


def guarded_llm(llm: Any, gate: Gate) -> Any:
    """A model like ``llm`` whose every input and answer passes the guard. Guarding twice is guarding once.

    Raises:
        AdapterError: a model that asks its provider in a way of its own.
    """
    own = [name for name in _ASKING if not isinstance(llm, LLM) or getattr(type(llm), name) is not getattr(LLM, name)]
    if own:
        raise AdapterError(
            f"got a {type(llm).__name__} as a model; an LLM that does not replace {own[0]} can be guarded"
        )
    if any(known.guard is gate.guard for known in guards_of(llm)):
        return llm
    made = copy.copy(llm)
    made._agentguard_inner = llm
    swap(made, _GuardedLLM, gate)
    return made


# -- OpenAI's client ---------------------------------------------------------------------------------------------------


class _Create:
    """``chat.completions`` of one client: nothing of it but the requests that are checked."""

    def __init__(self, inner: Any, gate: Gate, asked: Callable[..., Any]) -> None:
        self._inner = inner
        self._gate = gate
        self._asked = asked

    def create(self, **options: Any) -> Any:
        return self._asked(self._gate, options, self._inner.create)

    def parse(self, **options: Any) -> Any:
        return self._asked(self._gate, options, self._inner.parse)


class _Part:
    """A place in a client; what stands there is named, and there is nothing else."""

    def __init__(self, **parts: Any) -> None:
        vars(self).update(parts)


def _client(inner: Any, gate: Gate, asked: Callable[..., Any]) -> _Part:
    chat = _Part(completions=_Create(inner.chat.completions, gate, asked))
    return _Part(chat=chat, beta=_Part(chat=_Part(completions=_Create(inner.beta.chat.completions, gate, asked))))


class _GuardedClient(OpenAIClient):  # type: ignore[misc]  # the framework has no types
    """The methods of a guarded client, before those of its own class. The client itself serves the whole process."""

    _agentguard: Gate

    @property
    def sync_client(self) -> Any:
        return _client(super().sync_client, self._agentguard, _asked)

    @property
    def async_client(self) -> Any:
        return _client(super().async_client, self._agentguard, _aasked)

    def _use_responses_api(self, model: str) -> bool:
        return False


def guarded_client(client: Any, gate: Gate) -> Any:
    """A client like ``client``, for one agent, whose every input and answer passes the guard.

    Raises:
        AdapterError: a client of another kind.
    """
    if not isinstance(client, OpenAIClient):
        raise AdapterError(f"got a {type(client).__name__} as a client; PraisonAI's OpenAIClient can be guarded")
    made = copy.copy(client)
    swap(made, _GuardedClient, gate)
    return made


def unguarded(model: Any) -> Any:
    """The model inside a guarded one; any other as it is."""
    return vars(model).get("_agentguard_inner", model) if guards_of(model) else model
