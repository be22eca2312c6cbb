"""Runs the conformance cells with the real OpenAI Agents SDK, with a model that answers by script."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

from agents import Agent, ModelSettings, RunConfig, function_tool
from agents.retry import ModelRetrySettings
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from pydantic import BaseModel

from agentguard.errors import Denied
from agentguard.guard import Guard
from agentguard_openai_agents import GuardedRunner, protect
from tests.adapters.conformance import SECRET, Cell, Outcome


class Answer(BaseModel):
    """A structured answer."""

    text: str


class _Odd:
    """A value no check can read, whose text says too much."""

    def __repr__(self) -> str:
        return SECRET


class OpenAIAgentsDriver:
    """``GuardedRunner`` over agents with scripted models."""

    framework = "openai_agents"

    def impossible(self, cell: Cell) -> str | None:
        """Cells the SDK has no place for."""
        if cell.mode in ("batch", "abatch", "fallback"):
            return "the SDK has no batch and no fallback models"
        if cell.mode == "stream":
            return "the SDK streams to asynchronous readers only"
        if cell.surface == "custom stream":
            return "tools cannot write to the stream"
        if cell.surface == "structured output (tool)":
            return "structured answers are the provider's own; the SDK asks for none by a tool"
        if cell.surface == "retrieved passage":
            return "passages are found by tools: covered as tool result"
        if cell.surface == "stored history":
            return "a session's items are read again as model input; the store itself is the application's"
        if cell.surface.startswith("streamed") and cell.mode not in ("astream", "events"):
            return "tokens are streamed in the modes astream and events; elsewhere the answer is model output"
        if cell.surface == "hand-off" and cell.action == "rewrite":
            return "a hand-off is refused rather than rewritten: who takes over reads its words in the history"
        if cell.mode == "adapter error" and cell.surface != "tool result":
            return "items and arguments are JSON already; values without a JSON form arise in results, shown to deny"
        if cell.mode in ("handled errors", "parallel tools", "retry") and cell.surface in (
            "hand-off",
            "sub-agent in a tool",
        ):
            return "the same hooks as without errors, parallel calls and retries"
        return None

    def run(self, cell: Cell, guard: Guard) -> Outcome:
        """Run it."""
        return _Run(cell, guard).outcome()


class _Run:
    def __init__(self, cell: Cell, guard: Guard) -> None:
        self.cell = cell
        self.guard = guard
        self.args: list[str] = []
        self.attempts = itertools.count()
        self.model = ScriptedModel(self._steps())
        self.inner = ScriptedModel([[assistant_message(f"inner {SECRET}")]])

    def outcome(self) -> Outcome:
        got, raised = "", ""
        try:
            got = self._drive(self._agent())
        except Denied as refusal:
            raised = f"denied: {refusal}"
        read = [repr((call.system_instructions, call.input)) for call in self._readers()]
        return Outcome(tuple(read), tuple(sorted(self.args)), got, raised=raised)

    def _readers(self) -> Any:
        """The calls of the model that reads what the cell is about."""
        return self.inner.calls if self.cell.surface == "hand-off" else self.model.calls

    # -- the parts

    def _secret_on(self, *surfaces: str) -> str:
        return SECRET if self.cell.surface in surfaces else "plain"

    def _steps(self) -> list[Any]:
        cell = self.cell
        if cell.surface == "structured output (provider)":
            return [[assistant_message(json.dumps({"text": f"say {SECRET}"}))]]
        if cell.surface == "hand-off":
            return [[function_call("transfer_to_inner", {"reason": f"because {SECRET}"}, call_id="h")]]
        text = self._secret_on("tool call", "streamed tool arguments")
        name = "inner" if cell.surface == "sub-agent in a tool" else "look"
        arguments = {"input": "inner question"} if name == "inner" else {"text": text}
        calls = [function_call(name, arguments, call_id="one")]
        if cell.mode == "parallel tools":
            calls.append(function_call("look", {"text": "other"}, call_id="two"))
        last = [assistant_message(f"the end {self._secret_on('model output', 'streamed tokens')} of it")]
        failing = [ModelStep.raise_error(ConnectionError("provider is down"))] if cell.mode == "retry" else []
        return [*failing, calls, last]

    def _tool(self) -> Any:
        cell, args = self.cell, self.args

        @function_tool(failure_error_function=lambda _context, error: str(error))
        def look(text: str) -> Any:
            """Look something up."""
            args.append(text)
            if cell.mode == "handled errors":
                raise ValueError(f"failed near {self._secret_on('tool result')}")
            if cell.surface == "tool result" and cell.mode == "adapter error":
                return _Odd()
            return f"found {self._secret_on('tool result')}"

        return look

    def _agent(self) -> Agent[Any]:
        surface = self.cell.surface
        inner: Agent[Any] = Agent("inner", model=self.inner)
        tools = (
            [inner.as_tool("inner", "Asks the inner agent.")] if surface == "sub-agent in a tool" else [self._tool()]
        )
        settings = ModelSettings()
        if self.cell.mode == "retry":
            settings = ModelSettings(
                retry=ModelRetrySettings(max_retries=1, policy=lambda failed: isinstance(failed.error, ConnectionError))
            )
        agent: Agent[Any] = Agent(
            "outer",
            instructions="be brief",
            model=self.model,
            model_settings=settings,
            tools=tools,
            handoffs=[_with_reason(inner)] if surface == "hand-off" else [],
            output_type=Answer if surface.startswith("structured output") else None,
        )
        if self.cell.mode == "twice":
            protect(agent, self.guard)
            protect(agent, self.guard)
        return agent

    # -- how it is run

    def _drive(self, agent: Agent[Any]) -> str:
        question = f"ask {self._secret_on('model input')}"
        runner, config = GuardedRunner(self.guard), RunConfig(tracing_disabled=True)
        if self.cell.mode in ("astream", "events"):
            return asyncio.run(_streamed(runner, agent, question, config, everything=self.cell.mode == "events"))
        if self.cell.mode == "sync":
            return _in_loop(lambda: _said(runner.run_sync(agent, question, run_config=config)))
        return _said(asyncio.run(runner.run(agent, question, run_config=config)))


def _with_reason(agent: Agent[Any]) -> Any:
    from agents import handoff

    class Reason(BaseModel):
        reason: str

    async def noted(_context: Any, _reason: Reason) -> None:
        return None

    return handoff(agent, on_handoff=noted, input_type=Reason)


def _in_loop(work: Any) -> str:
    """Run in a loop that is closed afterwards: the SDK leaves the one it makes open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return str(work())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _said(result: Any) -> str:
    """What the caller gets: the final output, and the answers on the way."""
    texts = [str(item.raw_item) for item in result.new_items if item.type == "message_output_item"]
    return " ".join([str(result.final_output), *texts])


async def _streamed(runner: Any, agent: Any, question: str, config: RunConfig, *, everything: bool) -> str:
    result = runner.run_streamed(agent, question, run_config=config)
    deltas: dict[str, str] = {}
    seen: list[str] = []
    async for event in result.stream_events():
        if everything or event.type == "raw_response_event":
            seen.append(repr(event))
        data = getattr(event, "data", None)
        if data is not None and data.type.endswith(".delta"):
            deltas[data.type] = deltas.get(data.type, "") + data.delta
    return " ".join([*deltas.values(), *seen, _said(result)])
