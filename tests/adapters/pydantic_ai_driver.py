"""Runs the conformance cells in real Pydantic AI agents, with a model that answers by script."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from pydantic import BaseModel, PlainValidator
from pydantic_ai import Agent, ModelRetry, NativeOutput
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from agentguard.errors import Denied
from agentguard.guard import Guard
from agentguard_pydantic_ai import AgentGuard, guarded_model
from tests.adapters.conformance import SECRET, Cell, Outcome


class Answer(BaseModel):
    """A structured answer."""

    text: str


class _Odd:
    """A value no check can read, whose text says too much."""

    def __repr__(self) -> str:
        return SECRET


class PydanticAIDriver:
    """``Agent`` with the ``AgentGuard`` capability."""

    framework = "pydantic_ai"

    def impossible(self, cell: Cell) -> str | None:
        """Cells Pydantic AI has no place for."""
        streams = cell.mode in ("stream", "astream", "events")
        if cell.surface == "hand-off":
            return "an agent hands over by a tool that runs another agent: covered as sub-agent in a tool"
        if cell.surface == "custom stream":
            return "what a tool emits goes to handlers of the application that started the run, past no model"
        if cell.surface == "retrieved passage":
            return "passages are found by tools: covered as tool result"
        if cell.surface == "stored history":
            return "the application keeps the history and hands it over; it is read again as model input"
        if cell.mode in ("batch", "abatch"):
            return "agents have no batch; a guarded model refuses to send one"
        if cell.surface.startswith("streamed") and not streams:
            return "tokens are streamed in the modes stream, astream and events; elsewhere the answer is model output"
        if cell.mode == "adapter error" and cell.surface not in ("tool call", "tool result"):
            return "messages always have a JSON form; values without one arise in tools, where it is shown to deny"
        if cell.mode == "handled errors" and cell.surface.startswith("structured output"):
            return "a tool's error changes nothing about the answer: covered as model output"
        return None

    def run(self, cell: Cell, guard: Guard) -> Outcome:
        """Run it."""
        return _Run(cell, guard).outcome()


class _Run:
    def __init__(self, cell: Cell, guard: Guard) -> None:
        self.cell = cell
        self.guard = guard
        self.read: list[str] = []
        self.args: list[str] = []
        self.attempts = itertools.count()

    def outcome(self) -> Outcome:
        got, raised = "", ""
        try:
            got = self._drive(self._agent())
        except Denied as refusal:
            raised = f"denied: {refusal}"
        return Outcome(tuple(self.read), tuple(sorted(self.args)), got, raised=raised)

    # -- the parts

    def _secret_on(self, *surfaces: str) -> str:
        return SECRET if self.cell.surface in surfaces else "plain"

    def _response(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.read.append(repr(messages) + str(info.instructions))
        if self._asks(messages):
            return ModelResponse(self._calls())
        if self.cell.surface == "structured output (tool)":
            return ModelResponse([ToolCallPart(info.output_tools[0].name, {"text": f"say {SECRET}"}, tool_call_id="s")])
        if self.cell.surface == "structured output (provider)":
            return ModelResponse([TextPart(json.dumps({"text": f"say {SECRET}"}))])
        return ModelResponse([TextPart(f"the end {self._secret_on('model output', 'streamed tokens')} of it")])

    def _asks(self, messages: list[ModelMessage]) -> bool:
        answered = any(isinstance(part, ToolReturnPart) for message in messages for part in message.parts)
        if self.cell.surface.startswith("structured output"):
            return False
        return not answered or (self.cell.mode == "retry" and len(self.args) == 1)

    def _calls(self) -> list[ToolCallPart]:
        number = len(self.read)
        text = self._secret_on("tool call", "streamed tool arguments")
        calls = [ToolCallPart("look", {"text": text}, tool_call_id=f"one{number}")]
        if self.cell.mode == "parallel tools":
            calls.append(ToolCallPart("look", {"text": "other"}, tool_call_id=f"two{number}"))
        return calls

    async def _stream(self, messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        for index, part in enumerate(self._response(messages, info).parts):
            if isinstance(part, TextPart):
                for start in range(0, len(part.content), 3):
                    yield part.content[start : start + 3]
            elif isinstance(part, ToolCallPart):
                args = json.dumps(part.args)
                yield {index: DeltaToolCall(part.tool_name, args[:9], tool_call_id=part.tool_call_id)}
                yield {index: DeltaToolCall(None, args[9:])}

    def _model(self) -> Model:
        model = FunctionModel(self._response, stream_function=self._stream)
        if self.cell.mode != "fallback":
            return model
        return FallbackModel(
            FunctionModel(_broken, stream_function=_broken_stream), model, fallback_on=(ConnectionError,)
        )

    def _agent(self) -> Agent[Any, Any]:
        output: Any = str
        if self.cell.surface.startswith("structured output"):
            output = Answer if self.cell.surface.endswith("(tool)") else NativeOutput(Answer)
        capabilities = [AgentGuard(self.guard)]
        model = self._model()
        if self.cell.mode == "twice":
            capabilities.append(AgentGuard(self.guard))
            model = guarded_model(guarded_model(model, self.guard), self.guard)
        agent = Agent(model, output_type=output, instructions="be brief", capabilities=capabilities, retries=3)

        if self.cell.mode == "adapter error" and self.cell.surface == "tool call":

            @agent.tool_plain(name="look")
            async def look_at_object(text: Annotated[Any, PlainValidator(lambda _: _Odd())]) -> Any:
                """Look something up; its argument becomes an object that has no JSON form."""
                return await self._look(repr(text))

        else:

            @agent.tool_plain
            async def look(text: str) -> Any:
                """Look something up."""
                return await self._look(text)

        return agent

    async def _look(self, text: str) -> Any:
        cell = self.cell
        self.args.append(text)
        if cell.mode == "retry" and next(self.attempts) == 0:
            raise ModelRetry("try again")
        if cell.surface == "sub-agent in a tool":
            inner = Agent(FunctionModel(_inner), name="inner", capabilities=[AgentGuard(self.guard, agent="inner")])
            return (await inner.run("inner question")).output
        if cell.surface == "tool result" and cell.mode == "handled errors" and next(self.attempts) == 0:
            raise ModelRetry(f"failed near {SECRET}")
        if cell.surface == "tool result" and cell.mode == "adapter error":
            return _Odd()
        return f"found {self._secret_on('tool result')}"

    # -- how it is run

    def _drive(self, agent: Agent[Any, Any]) -> str:
        question = f"ask {self._secret_on('model input')}"
        mode = self.cell.mode
        if mode == "async":
            return _said(asyncio.run(agent.run(question)))
        if mode == "stream":
            return asyncio.run(_streamed(agent, question))
        if mode == "astream":
            return asyncio.run(_iterated(agent, question))
        if mode == "events":
            return asyncio.run(_events(agent, question))
        return _said(_sync(agent, question))


def _inner(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    return ModelResponse([TextPart(f"inner {SECRET}")])


def _broken(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    raise ConnectionError("provider is down")


async def _broken_stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    for _ in messages:
        raise ConnectionError("provider is down")
    yield ""


def _sync(agent: Agent[Any, Any], question: str) -> Any:
    """``run_sync``, in a loop that is closed afterwards: the framework leaves the one it makes open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return agent.run_sync(question)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _said(result: Any) -> str:
    """What the caller gets: the output, and the answers in the history without the caller's own words."""
    answers = [m for m in result.new_messages() if isinstance(m, ModelResponse)]
    texts = [part.content for m in answers for part in m.parts if isinstance(part, TextPart)]
    return " ".join([str(result.output), *texts])


async def _streamed(agent: Agent[Any, Any], question: str) -> str:
    """``run_stream``, read as deltas where the answer is text."""
    async with agent.run_stream(question) as result:
        if agent.output_type is str:
            parts = [delta async for delta in result.stream_text(delta=True, debounce_by=None)]
        else:
            parts = [str(output) async for output in result.stream_output(debounce_by=None)]
        said = str(await result.get_output())
    return " ".join(["".join(parts), said, _calls_of(result.all_messages())])


async def _iterated(agent: Agent[Any, Any], question: str) -> str:
    """``iter``, node by node, every model request streamed."""
    seen: list[str] = []
    async with agent.iter(question) as run:
        async for node in run:
            if Agent.is_model_request_node(node):
                async with node.stream(run.ctx) as stream:
                    seen.extend([repr(event) async for event in stream])
    assert run.result is not None
    return " ".join([_said(run.result), *seen])


async def _events(agent: Agent[Any, Any], question: str) -> str:
    """Every event of the run."""
    async with agent.run_stream_events(question) as events:
        return " ".join([repr(event) async for event in events if "user-prompt" not in repr(event)])


def _calls_of(messages: list[ModelMessage]) -> str:
    return " ".join(repr(part.args) for m in messages for part in m.parts if isinstance(part, ToolCallPart))
