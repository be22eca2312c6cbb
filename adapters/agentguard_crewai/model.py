"""A language model whose every request and answer passes the guard.

Streaming is switched off for a guarded model: CrewAI sends each chunk to its event bus as it comes, before anything can
be checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from crewai.hooks.dispatch import HookAborted
from crewai.llms.base_llm import BaseLLM, call_stream_override

from agentguard import AdapterError, Conversation, Denied, Message, ModelInput, ModelOutput
from agentguard.adapter import REFUSED, Gate, Passage, hook_run, human_author

from .swap import guarded_class, guards_of
from .values import Request, answer_applied, model_input, model_input_applied, model_output

__all__ = ["FRAMEWORK", "Stopped", "guarded_llm"]

FRAMEWORK = "crewai"

_OUTPUT: Passage[Any, ModelOutput] = Passage(
    event=model_output, apply=answer_applied, nearest=lambda: ModelOutput(Message("assistant", ""))
)


def _input(run: Conversation) -> Passage[Request, ModelInput]:
    return Passage(
        event=lambda request: model_input(request, human_author(run)),
        apply=model_input_applied,
        nearest=lambda: ModelInput(()),
    )


class Stopped(HookAborted):
    """A refusal on its way out of CrewAI: the one kind of exception it neither swallows nor retries."""

    def __init__(self, refusal: Denied) -> None:
        super().__init__(str(refusal) or REFUSED, source="agentguard")
        self.refusal = refusal


class _Told:
    """What the event bus is to be told of an answer, held until the answer was checked."""

    def __init__(self) -> None:
        self.held: list[Callable[[Any], None]] = []

    def whole(self, answer: Any) -> Any:
        """Tell it of the answer as it goes on."""
        for emit in self.held:
            emit(answer)
        self.held.clear()
        return answer


_told: ContextVar[_Told | None] = ContextVar("agentguard_crewai_told", default=None)


@contextmanager
def _telling() -> Iterator[_Told]:
    """One call of a model. A refusal leaves CrewAI in the one form that it neither swallows nor retries."""
    told = _Told()
    token = _told.set(told)
    try:
        yield told
    except Denied as refusal:
        told.whole(str(refusal) or REFUSED)
        raise Stopped(refusal) from refusal
    finally:
        _told.reset(token)


class _Guarded:
    """The methods of a guarded model, before those of its own class."""

    _agentguard: Gate

    def call(
        self, messages: Any, tools: Any = None, callbacks: Any = None, available_functions: Any = None, **options: Any
    ) -> Any:
        gate, run = self._agentguard, hook_run(self._agentguard, framework=FRAMEWORK)
        _without_functions(available_functions)
        with _telling() as told:
            ready, schemas = gate.admit((messages, tools), _input(run), run)
            with call_stream_override(self, False):  # type: ignore[arg-type]  # mixed into a BaseLLM
                answer = super().call(ready, schemas, callbacks, None, **options)  # type: ignore[misc]
            return told.whole(gate.admit(answer, _OUTPUT, run))

    async def acall(
        self, messages: Any, tools: Any = None, callbacks: Any = None, available_functions: Any = None, **options: Any
    ) -> Any:
        gate, run = self._agentguard, hook_run(self._agentguard, framework=FRAMEWORK)
        _without_functions(available_functions)
        with _telling() as told:
            ready, schemas = await gate.aadmit((messages, tools), _input(run), run)
            with call_stream_override(self, False):  # type: ignore[arg-type]  # mixed into a BaseLLM
                answer = await super().acall(ready, schemas, callbacks, None, **options)  # type: ignore[misc]
            return told.whole(await gate.aadmit(answer, _OUTPUT, run))

    def _emit_call_completed_event(self, response: Any, *args: Any, **options: Any) -> None:
        emit, told = super()._emit_call_completed_event, _told.get()  # type: ignore[misc]
        if told is None:
            emit(response, *args, **options)
        else:
            told.held.append(lambda checked: emit(checked, *args, **options))

    def _emit_stream_chunk_event(self, *_: Any, **__: Any) -> None:
        """No part of an answer is told before the whole was checked."""

    def _emit_thinking_chunk_event(self, *_: Any, **__: Any) -> None:
        """As for parts of an answer."""

    # CrewAI wraps these two of every subclass to try again; the model's own class has done so.
    call._crewai_rate_limit_wrapped = True  # type: ignore[attr-defined]
    acall._crewai_rate_limit_wrapped = True  # type: ignore[attr-defined]


def _without_functions(functions: Any) -> None:
    if functions:
        raise AdapterError("a guarded model does not run functions itself: their calls would not be checked")


def guarded_llm(llm: BaseLLM, gate: Gate) -> BaseLLM:
    """A model like ``llm`` whose every input and answer passes the guard. Guarding twice is guarding once."""
    if not isinstance(llm, BaseLLM):
        raise AdapterError(f"got a {type(llm).__name__} as a model; a crewai BaseLLM can be guarded")
    if any(known.guard is gate.guard for known in guards_of(llm)):
        return llm
    copy = llm.model_copy()
    object.__setattr__(copy, "__class__", guarded_class(type(llm), _Guarded, gate))
    copy.stream = False
    return copy
