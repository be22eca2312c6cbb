"""The self-test behind every attach: do the hooks we define really fire in this installed Pydantic AI?"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from agentguard import Guard
from agentguard.adapter import Canary, Gate

__all__ = ["prove_hooks"]


@lru_cache(maxsize=1)
def prove_hooks() -> None:
    """Run the canary agent.

    Raises:
        AdapterError: a hook did not fire, or fired without effect.
    """
    Canary().prove_async("async", _answer)


async def _answer(guard: Guard) -> Any:
    from .capability import AgentGuard

    agent = Agent(FunctionModel(_model), capabilities=[AgentGuard.unproven(Gate(guard))])

    @agent.tool_plain
    def canary_tool(text: str) -> str:
        return text + Canary.word

    result = await agent.run(Canary.word)
    return result.output, [message.parts[0] for message in result.new_messages()[1:]]


def _model(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    if any(isinstance(part, ToolReturnPart) for message in messages for part in message.parts):
        return ModelResponse([TextPart(Canary.word)])
    return ModelResponse([ToolCallPart("canary_tool", {"text": Canary.word}, tool_call_id="c")])
