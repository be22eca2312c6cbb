"""The self-test behind every attach: do the seams we use really lie on the way in this installed CrewAI?"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool

from agentguard import AgentMessage, Guard, ModelInput, ModelOutput, ToolCall, ToolResult
from agentguard.adapter import Canary

__all__ = ["prove_hooks"]

_EXPECTED = (ModelInput, ModelOutput, ToolCall, ToolResult, AgentMessage)


@lru_cache(maxsize=1)
def prove_hooks() -> None:
    """Run the canary crew, sync and async.

    Raises:
        AdapterError: a seam was passed by, or had no effect.
    """
    Canary().prove("sync", _in_a_thread_of_its_own, expected=_EXPECTED)
    Canary().prove_async("async", _answer, expected=_EXPECTED)


def _in_a_thread_of_its_own(guard: Guard) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    # CrewAI behaves differently where an event loop runs, and the caller may be in one.
    with ThreadPoolExecutor(1) as pool:
        return _said(pool.submit(lambda: _crew(guard).kickoff()).result())


async def _answer(guard: Guard) -> Any:
    return _said(await _crew(guard).akickoff())


def _said(output: Any) -> Any:
    return output.raw, [task.raw for task in output.tasks_output]


class _CanaryLLM(BaseLLM):
    """Calls the canary's tool once, then answers."""

    def call(self, messages: Any, *args: Any, **options: Any) -> str:
        if any(message.get("role") == "assistant" for message in messages):
            return f"Thought: I now know the final answer\nFinal Answer: {Canary.word}"
        return f'Thought: look\nAction: canary_tool\nAction Input: {{"text": "{Canary.word}"}}'

    async def acall(self, messages: Any, *args: Any, **options: Any) -> str:
        return self.call(messages)

    def supports_function_calling(self) -> bool:
        return False


def _crew(guard: Guard) -> Crew:
    from .protection import attach

    @tool("canary_tool")
    def canary_tool(text: str) -> str:
        """Echo."""
        return text + Canary.word

    agents: list[Any] = [
        Agent(role=role, goal="g", backstory="b", llm=_CanaryLLM(model="canary"), tools=[canary_tool], max_iter=3)
        for role in ("one", "two")
    ]
    tasks = [Task(description=Canary.word, expected_output="text", agent=agent) for agent in agents]
    crew = Crew(agents=agents, tasks=tasks, verbose=False)
    attach(crew, guard)
    return crew
