"""The public methods of a guarded model: its input is checked before callbacks and tracers are told of it.

LangChain tells them of a call before it reaches ``_generate`` or ``_stream``. So the check stands in front, and what
has passed here is known again there by its event: the same words are not checked and recorded twice, any others are.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, LLMResult

from agentguard import Denied, Guard, ModelInput

from .events import ModelRequest

__all__ = ["Front", "has_passed", "public_methods"]

_END: Any = object()
_passed: ContextVar[tuple[tuple[Guard, ModelInput], ...]] = ContextVar("agentguard_langchain_passed", default=())


class Front(Protocol):
    """What checks a request before the call: the request as it may go on, with the event it passed as."""

    @property
    def guard(self) -> Guard: ...

    def before(self, request: ModelRequest) -> tuple[ModelRequest, ModelInput | None]: ...

    async def abefore(self, request: ModelRequest) -> tuple[ModelRequest, ModelInput | None]: ...

    def refused(self, refusal: Denied) -> AIMessage: ...


def has_passed(guard: Guard, event: Callable[[], ModelInput]) -> bool:
    """Whether the very input that ``event`` makes was checked in front of this call."""
    mine = [passed for known, passed in _passed.get() if known is guard]
    return bool(mine) and event() in mine


@contextmanager
def _passing(guard: Guard, events: Sequence[ModelInput | None]) -> Iterator[None]:
    known = tuple((guard, event) for event in events if event is not None)
    token = _passed.set((*_passed.get(), *known))
    try:
        yield
    finally:
        _passed.reset(token)


def public_methods(base: Any, front: Front) -> dict[str, Any]:
    """The overriding methods by name. ``invoke``, ``batch`` and their asynchronous forms go through these."""
    return {
        "generate": _generate_of(base, front),
        "agenerate": _agenerate_of(base, front),
        "stream": _stream_of(base, front),
        "astream": _astream_of(base, front),
    }


def _generate_of(base: Any, front: Front) -> Any:
    @functools.wraps(base.generate)
    def generate(self: Any, messages: list[Any], stop: Any = None, callbacks: Any = None, **kwargs: Any) -> LLMResult:
        found: list[Any] = []
        for batch in messages:
            try:
                found.append(front.before(ModelRequest(list(batch), kwargs)))
            except Denied as refusal:
                found.append(_answered(front.refused(refusal)))
        results = []
        for group in _groups(found):
            if isinstance(group, LLMResult):
                results.append(group)
            else:
                with _passing(front.guard, [event for _, event in group]):
                    inputs, options = [request.messages for request, _ in group], group[0][0].options
                    results.append(base.generate(self, inputs, stop, callbacks, **options))
        return _joined(results) if found else base.generate(self, messages, stop, callbacks, **kwargs)

    return generate


def _agenerate_of(base: Any, front: Front) -> Any:
    @functools.wraps(base.agenerate)
    async def agenerate(
        self: Any, messages: list[Any], stop: Any = None, callbacks: Any = None, **kwargs: Any
    ) -> LLMResult:
        found: list[Any] = []
        for batch in messages:
            try:
                found.append(await front.abefore(ModelRequest(list(batch), kwargs)))
            except Denied as refusal:
                found.append(_answered(front.refused(refusal)))
        results = []
        for group in _groups(found):
            if isinstance(group, LLMResult):
                results.append(group)
            else:
                with _passing(front.guard, [event for _, event in group]):
                    inputs, options = [request.messages for request, _ in group], group[0][0].options
                    results.append(await base.agenerate(self, inputs, stop, callbacks, **options))
        return _joined(results) if found else await base.agenerate(self, messages, stop, callbacks, **kwargs)

    return agenerate


def _groups(found: Sequence[Any]) -> Iterator[Any]:
    """Refused inputs, each with its answer, and the inputs between them together, in order."""
    together: list[Any] = []
    for item in found:
        if isinstance(item, LLMResult):
            if together:
                yield together
                together = []
            yield item
        else:
            together.append(item)
    if together:
        yield together


def _answered(message: AIMessage) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=message)]])


def _joined(results: Sequence[LLMResult]) -> LLMResult:
    if len(results) == 1:
        return results[0]
    return LLMResult(generations=[generation for result in results for generation in result.generations])


def _stream_of(base: Any, front: Front) -> Any:
    @functools.wraps(base.stream)
    def stream(self: Any, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:
        try:
            request, event = front.before(ModelRequest(self._convert_input(input).to_messages(), kwargs))
        except Denied as refusal:
            yield _last_chunk(front.refused(refusal))
            return
        chunks = base.stream(self, request.messages, config, **request.options)
        # Only the first step reads the input; between steps the context is the reader's own.
        with _passing(front.guard, [event]):
            first = next(chunks, _END)
        if first is not _END:
            yield first
            yield from chunks

    return stream


def _astream_of(base: Any, front: Front) -> Any:
    @functools.wraps(base.astream)
    async def astream(self: Any, input: Any, config: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        try:
            request, event = await front.abefore(ModelRequest(self._convert_input(input).to_messages(), kwargs))
        except Denied as refusal:
            yield _last_chunk(front.refused(refusal))
            return
        chunks = base.astream(self, request.messages, config, **request.options)
        with _passing(front.guard, [event]):
            first = await anext(chunks, _END)
        if first is not _END:
            yield first
            async for chunk in chunks:
                yield chunk

    return astream


def _last_chunk(message: AIMessage) -> AIMessageChunk:
    return AIMessageChunk(
        content=message.content, response_metadata=message.response_metadata, id=message.id, chunk_position="last"
    )
