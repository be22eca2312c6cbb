"""Runs the conformance cells in real CrewAI crews, with models that answer by script."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "CREWAI_TRACING_ENABLED": "false"}

from crewai import Agent, Crew, Task
from crewai.events.event_bus import crewai_event_bus
from crewai.events.types.llm_events import LLMCallCompletedEvent, LLMCallType, LLMStreamChunkEvent
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool
from pydantic import BaseModel, Field

from agentguard.errors import Denied
from agentguard.guard import Guard
from agentguard_crewai import protect
from tests.adapters.conformance import SECRET, Cell, Outcome


class Answer(BaseModel):
    """A structured answer."""

    text: str


class _Odd:
    """A value no check can read, whose text says too much."""

    def __repr__(self) -> str:
        return SECRET


class ScriptedLLM(BaseLLM):
    """Asks for ``calls`` until a tool has answered, then says ``final``; tells the event bus as a provider does."""

    calls: list[dict[str, Any]] = Field(default_factory=list)
    final: str = "done"
    failures: list[Exception] = Field(default_factory=list)
    read: list[str] = Field(default_factory=list)

    def call(self, messages: Any, tools: Any = None, *args: Any, **options: Any) -> Any:
        """One answer."""
        self.read.append(repr(messages))
        if self.failures:
            raise self.failures.pop()
        asked = bool(self.calls) and not any(message.get("role") == "tool" for message in messages)
        answer: Any = self.calls if asked else self.final
        if isinstance(answer, str):
            for start in range(0, len(answer), 3):
                self._emit_stream_chunk_event(answer[start : start + 3], call_type=LLMCallType.LLM_CALL)
        self._emit_call_completed_event(answer, LLMCallType.LLM_CALL)
        return answer

    async def acall(self, messages: Any, tools: Any = None, *args: Any, **options: Any) -> Any:
        """As ``call``."""
        return self.call(messages, tools)

    def supports_function_calling(self) -> bool:
        """By calls in the provider's own form."""
        return True


class CrewAIDriver:
    """Crews under ``protect``."""

    framework = "crewai"

    def impossible(self, cell: Cell) -> str | None:
        """Cells CrewAI has no place for."""
        if cell.mode == "fallback":
            return "CrewAI has no fallback models"
        if cell.surface == "custom stream":
            return "tools cannot write to the stream"
        if cell.surface == "structured output (tool)":
            return "structured answers are made from the final text"
        if cell.surface == "retrieved passage":
            return "knowledge is put into the prompt: covered as model input"
        if cell.surface == "stored history":
            return "memory is refused unless protect(..., memory=True) accepts that it is not checked"
        if cell.surface.startswith("streamed"):
            return (
                "streaming is switched off for guarded models: CrewAI tells each chunk before anything can be checked"
            )
        if cell.mode == "adapter error" and cell.surface != "tool result":
            return "messages and arguments are JSON already; values without a JSON form arise in results, shown to deny"
        if cell.mode in ("handled errors", "parallel tools", "retry") and cell.surface in (
            "hand-off",
            "sub-agent in a tool",
        ):
            return "the same seams as without errors, parallel calls and retries"
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
        self.model = self._model()
        self.second = ScriptedLLM(model="scripted", final="the second agent is done")

    def outcome(self) -> Outcome:
        got, raised = "", ""
        try:
            got = self._drive(self._crew())
        except Denied as refusal:
            raised = f"denied: {refusal}"
        read = self.second.read if self.cell.surface == "hand-off" else self.model.read
        runs = 2 if self.cell.mode in ("batch", "abatch") else 1
        return Outcome(tuple(read), tuple(sorted(self.args)), got, runs=runs, raised=raised)

    # -- the parts

    def _secret_on(self, *surfaces: str) -> str:
        return SECRET if self.cell.surface in surfaces else "plain"

    def _model(self) -> ScriptedLLM:
        failures: list[Exception] = [ConnectionError("provider is down")] if self.cell.mode == "retry" else []
        if self.cell.surface.startswith("structured output"):
            return ScriptedLLM(model="scripted", final=json.dumps({"text": f"say {SECRET}"}), failures=failures)
        calls = [_call("one", self._secret_on("tool call"))]
        if self.cell.mode == "parallel tools":
            calls.append(_call("two", "other"))
        final = self._secret_on("model output", "hand-off")
        return ScriptedLLM(model="scripted", calls=calls, final=f"the end {final} of it", failures=failures)

    def _tool(self) -> Any:
        cell, args = self.cell, self.args

        @tool("look")
        def look(text: str) -> Any:
            """Look something up."""
            args.append(text)
            if cell.mode == "handled errors":
                raise ValueError(f"failed near {self._secret_on('tool result')}")
            if cell.surface == "sub-agent in a tool":
                return self._sub_agent()
            if cell.surface == "tool result" and cell.mode == "adapter error":
                return _Odd()
            return f"found {self._secret_on('tool result')}"

        return look

    def _sub_agent(self) -> str:
        inner = Agent(role="inner", goal="g", backstory="b", llm=ScriptedLLM(model="scripted", final=f"inner {SECRET}"))
        protect(inner, self.guard)
        # In a thread of its own: CrewAI gives a coroutine back where a loop runs.
        import contextvars

        context = contextvars.copy_context()
        with ThreadPoolExecutor(1) as pool:
            answer: Any = pool.submit(context.run, inner.kickoff, "inner question").result()
        return str(answer.raw)

    def _crew(self) -> Any:
        structured = self.cell.surface.startswith("structured output")
        first = Agent(role="outer", goal="g", backstory="b", llm=self.model, tools=[] if structured else [self._tool()])
        agents: list[Any] = [first]
        question = f"ask {self._secret_on('model input')}"
        options: Any = {"output_pydantic": Answer} if structured else {}
        tasks = [Task(description=question, expected_output="text", agent=first, **options)]
        if self.cell.surface == "hand-off":
            agents.append(Agent(role="second", goal="g", backstory="b", llm=self.second))
            tasks.append(Task(description="go on", expected_output="text", agent=agents[1]))
        crew = Crew(agents=agents, tasks=tasks, verbose=False, stream=self.cell.mode in ("stream", "astream"))
        protect(crew, self.guard)
        if self.cell.mode == "twice":
            protect(crew, self.guard)
        return crew

    # -- how it is run

    def _drive(self, crew: Any) -> str:
        mode = self.cell.mode
        if mode == "async":
            return _said([asyncio.run(crew.akickoff())])
        if mode == "stream":
            return _streamed(crew)
        if mode == "astream":
            return asyncio.run(_astreamed(crew))
        if mode == "events":
            return _watched(crew)
        if mode == "batch":
            return _said(crew.kickoff_for_each([{}, {}]))
        if mode == "abatch":
            return _said(asyncio.run(crew.kickoff_for_each_async([{}, {}])))
        return _said([crew.kickoff()])


def _call(id: str, text: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "look", "arguments": json.dumps({"text": text})}}


def _said(outputs: list[Any]) -> str:
    """What the caller gets."""
    return " ".join(
        f"{output.raw} {output.pydantic} {[task.raw for task in output.tasks_output]}" for output in outputs
    )


def _streamed(crew: Any) -> str:
    stream = crew.kickoff()
    chunks = [repr(chunk) for chunk in stream]
    return " ".join([_said([stream.result]), *chunks])


async def _astreamed(crew: Any) -> str:
    stream = await crew.akickoff()
    chunks = [repr(chunk) async for chunk in stream]
    return " ".join([_said([stream.result]), *chunks])


def _watched(crew: Any) -> str:
    """What listeners of the event bus hear beside the result."""
    heard: list[str] = []
    with crewai_event_bus.scoped_handlers():

        @crewai_event_bus.on(LLMCallCompletedEvent)
        def completed(_source: Any, event: Any) -> None:
            heard.append(repr(event.response))

        @crewai_event_bus.on(LLMStreamChunkEvent)
        def chunk(_source: Any, event: Any) -> None:
            heard.append(event.chunk)

        said = _said([crew.kickoff()])
        crewai_event_bus.flush()
    return " ".join([said, *heard])
