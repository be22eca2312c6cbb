"""A model whose every request and response passes the guard, streamed ones included.

A streamed response is read to its end, checked, and then given out: Pydantic AI builds its final output from the
stream's own parts, so nothing may leave before the whole is known.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext

from agentguard import AdapterError, Conversation, Guard, Message, ModelInput, ModelOutput
from agentguard.adapter import Gate, Passage, hook_run, human_author

from .events import Request, model_input, model_input_applied, model_output, model_output_applied

__all__ = ["FRAMEWORK", "GuardedModel", "guarded_model", "is_guarded"]

FRAMEWORK = "pydantic_ai"

_OUTPUT: Passage[ModelResponse, ModelOutput] = Passage(
    event=model_output, apply=model_output_applied, nearest=lambda: ModelOutput(Message("assistant", ""))
)


def _input(run: Conversation) -> Passage[Request, ModelInput]:
    return Passage(
        event=lambda request: model_input(request, human_author(run)),
        apply=model_input_applied,
        nearest=lambda: ModelInput(()),
    )


class GuardedModel(WrapperModel):
    """Sends only what the guard lets pass, and gives only what it lets pass.

    Raises:
        Denied: from ``request`` and ``request_stream``: the input or the answer was refused.
    """

    def __init__(self, wrapped: Model, gate: Gate) -> None:
        super().__init__(wrapped)
        self.gate = gate

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """One request and its response, both checked."""
        _without_native_tools(model_request_parameters)
        run = hook_run(self.gate, framework=FRAMEWORK)
        ready = await self.gate.aadmit(Request(messages, model_request_parameters), _input(run), run)
        response = await super().request(ready.messages, model_settings, ready.parameters)
        return await self.gate.aadmit(response, _OUTPUT, run)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """As ``request``; the checked response is replayed as a stream."""
        _without_native_tools(model_request_parameters)
        run = hook_run(self.gate, framework=FRAMEWORK)
        ready = await self.gate.aadmit(Request(messages, model_request_parameters), _input(run), run)
        async with super().request_stream(ready.messages, model_settings, ready.parameters, run_context) as stream:
            async for _ in stream:
                pass
            whole = stream.get()
        checked = await self.gate.aadmit(whole, _OUTPUT, run)
        yield CompletedStreamedResponse(checked, model_request_parameters=ready.parameters, replay_events=True)

    async def compact_messages(self, *args: Any, **kwargs: Any) -> ModelResponse:
        """Not guarded, so not offered.

        Raises:
            AdapterError: always.
        """
        raise AdapterError("a guarded model does not compact messages at the provider: its input would not be checked")

    async def batch_create(self, *args: Any, **kwargs: Any) -> Any:
        """Not guarded, so not offered.

        Raises:
            AdapterError: always.
        """
        raise AdapterError("a guarded model sends no batches: their input and answers would not be checked")


def _without_native_tools(parameters: ModelRequestParameters) -> None:
    if parameters.native_tools:
        raise AdapterError("tools that run at the provider cannot be guarded: no call of theirs is checked")


def guarded_model(model: Model, guard: Guard, *, agent: str | None = None) -> Model:
    """A model like ``model`` whose every input and output passes ``guard``. Guarding twice is guarding once.

    Args:
        model: any Pydantic AI model.
        guard: decides.
        agent: who acts when no conversation is open.

    Raises:
        AdapterError: not a model.
    """
    if not isinstance(model, Model):
        raise AdapterError(f"got a {type(model).__name__}; a pydantic_ai Model can be guarded")
    return model if is_guarded(model, guard) else GuardedModel(model, Gate(guard, agent))


def is_guarded(model: object, guard: Guard) -> bool:
    """Whether ``guard`` checks ``model`` already, at any depth of wrapping."""
    while isinstance(model, WrapperModel):
        if isinstance(model, GuardedModel) and model.gate.guard is guard:
            return True
        model = model.wrapped
    return False
