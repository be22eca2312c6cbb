"""A model whose every request and answer passes the guard, streamed ones included.

A streamed answer is read to its end, checked, and then given out: the runner builds its items from the last event of
the stream, which holds all of it again.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import threading
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, cast

from agents import Model, ModelProvider, ModelResponse
from agents.items import TResponseOutputItem, TResponseStreamEvent

from agentguard import AdapterError, Conversation, Guard, Message, ModelInput, ModelOutput
from agentguard.adapter import Gate, Passage

from .events import Request, encode, items_applied, model_input, model_input_applied, model_output, response_with
from .runs import acting_run, human_of

__all__ = ["GuardedModel", "GuardedProvider", "is_guarded", "passed_of"]

# Answers remembered as checked. One that was forgotten is refused, not let through.
KEPT_ANSWERS = 4096
_OPENING = ("response.created", "response.in_progress")
_CLOSING = ("response.completed", "response.incomplete")

# The parameters of a request without ``self``, and those that hold texts.
_REQUEST = inspect.signature(Model.get_response)
_REQUEST = _REQUEST.replace(parameters=list(_REQUEST.parameters.values())[1:])
_READ = ("system_instructions", "input", "tools", "handoffs", "prompt")

_OUTPUT: Passage[list[TResponseOutputItem], ModelOutput] = Passage(
    event=model_output, apply=items_applied, nearest=lambda: ModelOutput(Message("assistant", ""))
)


def _input(run: Conversation) -> Passage[Request, ModelInput]:
    return Passage(
        event=lambda request: model_input(request, human_of(run)),
        apply=model_input_applied,
        nearest=lambda: ModelInput(()),
    )


class Passed:
    """Digests of the answers that came out of guarded models. Thread-safe, bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def note(self, items: Sequence[TResponseOutputItem]) -> None:
        """Remember an answer."""
        with self._lock:
            self._digests[_digest(items)] = None
            while len(self._digests) > KEPT_ANSWERS:
                self._digests.popitem(last=False)

    def knows(self, items: Sequence[TResponseOutputItem]) -> bool:
        """Whether this answer passed a guarded model."""
        with self._lock:
            return _digest(items) in self._digests


_passed: weakref.WeakKeyDictionary[Guard, Passed] = weakref.WeakKeyDictionary()


def passed_of(guard: Guard) -> Passed:
    """The answers that models guarded by ``guard`` gave."""
    return _passed.setdefault(guard, Passed())


def _digest(items: Sequence[TResponseOutputItem]) -> bytes:
    return hashlib.sha256(json.dumps(encode(list(items)), sort_keys=True).encode()).digest()


class GuardedModel(Model):
    """Sends only what the guard lets pass, and gives only what it lets pass.

    Raises:
        Denied: from ``get_response`` and ``stream_response``: the input or the answer was refused.
    """

    def __init__(self, inner: Model, gate: Gate) -> None:
        self.inner = inner
        self.gate = gate

    async def get_response(self, *args: Any, **options: Any) -> ModelResponse:
        """One request and its answer, both checked."""
        run = acting_run(self.gate)
        ready = await self._ready(args, options, run)
        response = await self.inner.get_response(**ready)
        return response_with(response, await self._admitted(response.output, run))

    async def stream_response(self, *args: Any, **options: Any) -> AsyncIterator[TResponseStreamEvent]:
        """As ``get_response``; the checked answer is replayed as a stream."""
        run = acting_run(self.gate)
        stream = self.inner.stream_response(**await self._ready(args, options, run))
        events = [event async for event in stream]
        closing = [event for event in events if event.type in _CLOSING]
        if len(closing) != 1:
            raise AdapterError("a stream without its one final response cannot be checked")
        response = cast(Any, closing[0]).response
        items = await self._admitted(response.output, run)
        if items is response.output:
            for event in events:
                yield event
        else:
            for event in _replayed(events, closing[0], items):
                yield event

    async def close(self) -> None:
        """Close the model inside."""
        await self.inner.close()

    def get_retry_advice(self, request: Any) -> Any:
        """What the model inside advises."""
        return self.inner.get_retry_advice(request)

    async def _cleanup_on_run_end(self, owner: object) -> None:
        await self.inner._cleanup_on_run_end(owner)

    async def _ready(self, args: tuple[Any, ...], options: dict[str, Any], run: Conversation) -> dict[str, Any]:
        """The arguments of a request, by name, as they may be sent."""
        given = dict(_REQUEST.bind(*args, **options).arguments)
        request = Request(*(given[name] for name in _READ))
        ready = await self.gate.aadmit(request, _input(run), run)
        return {**given, **{name: getattr(ready, name) for name in _READ}}

    async def _admitted(self, output: list[TResponseOutputItem], run: Conversation) -> list[TResponseOutputItem]:
        items = await self.gate.aadmit(output, _OUTPUT, run)
        passed_of(self.gate.guard).note(items)
        return items


def _replayed(events: list[Any], closing: Any, items: list[TResponseOutputItem]) -> Iterator[TResponseStreamEvent]:
    """A stream that says what was checked: one delta a text, then the whole."""
    from openai.types.responses import ResponseTextDeltaEvent

    number = 0
    for event in events:
        if event.type in _OPENING:
            yield event
            number += 1
    for index, item in enumerate(items):
        for position, part in enumerate(getattr(item, "content", None) or ()):
            if part.type == "output_text":
                yield ResponseTextDeltaEvent(
                    content_index=position,
                    delta=part.text,
                    item_id=getattr(item, "id", ""),
                    logprobs=[],
                    output_index=index,
                    sequence_number=number,
                    type="response.output_text.delta",
                )
                number += 1
    response = closing.response.model_copy(update={"output": items})
    yield closing.model_copy(update={"response": response, "sequence_number": number})


class GuardedProvider(ModelProvider):
    """Finds models by name, guarded."""

    def __init__(self, inner: ModelProvider, gate: Gate) -> None:
        self.inner = inner
        self._gate = gate

    def get_model(self, model_name: str | None) -> Model:
        """The model of this name, guarded."""
        return GuardedModel(self.inner.get_model(model_name), self._gate)


def is_guarded(model: object, guard: Guard) -> bool:
    """Whether ``guard`` checks ``model`` already."""
    return isinstance(model, GuardedModel) and model.gate.guard is guard
