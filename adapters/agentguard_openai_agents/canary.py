"""The self-test behind every attach: do the hooks we define really fire in this installed SDK?"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from agents import Agent, RunConfig, Runner, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call

from agentguard import Guard
from agentguard.adapter import Canary

__all__ = ["prove_hooks"]


@lru_cache(maxsize=1)
def prove_hooks() -> None:
    """Run the canary agent, plain and streamed.

    Raises:
        AdapterError: a hook did not fire, or fired without effect.
    """
    Canary().prove_async("plain", _answer)
    Canary().prove_async("streamed", _streamed)


async def _answer(guard: Guard) -> Any:
    agent = _agent(guard)
    result = await Runner.run(agent, Canary.word, run_config=RunConfig(tracing_disabled=True))
    return result.final_output, [item.to_input_item() for item in result.new_items]


async def _streamed(guard: Guard) -> Any:
    agent = _agent(guard)
    result = Runner.run_streamed(agent, Canary.word, run_config=RunConfig(tracing_disabled=True))
    return [event async for event in result.stream_events()], result.final_output


def _agent(guard: Guard) -> Agent[Any]:
    from .protection import attach

    @function_tool
    def canary_tool(text: str) -> str:
        """Echo."""
        return text + Canary.word

    steps = [[function_call("canary_tool", {"text": Canary.word}, call_id="c")], [assistant_message(Canary.word)]]
    agent: Agent[Any] = Agent("canary", model=ScriptedModel(steps), tools=[canary_tool])
    attach(agent, guard)
    return agent
