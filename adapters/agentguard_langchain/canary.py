"""The self-test behind every attach: do the hooks we define really fire in this installed framework?

Once per process a canary agent, with no checkpointer, is run through LangChain's real machinery.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from agentguard import Guard
from agentguard.adapter import Canary

__all__ = ["prove_hooks"]

_QUESTION = {"messages": [{"role": "user", "content": Canary.word}]}


@lru_cache(maxsize=1)
def prove_hooks() -> None:
    """Run the canary agent, sync and async.

    Raises:
        AdapterError: a hook did not fire, or fired without effect.
    """
    canary = Canary()
    canary.prove("sync", lambda guard: _agent(guard).invoke(_QUESTION)["messages"])
    canary.prove_async("async", _answer)


async def _answer(guard: Guard) -> Any:
    return (await _agent(guard).ainvoke(_QUESTION))["messages"]


def _agent(guard: Guard) -> Any:
    from langchain.agents import create_agent

    from .middleware import GuardMiddleware

    def canary_tool(text: str) -> str:
        """Echo."""
        return text + Canary.word

    return create_agent(_CanaryModel(), [canary_tool], middleware=[GuardMiddleware.unproven(guard)])


class _CanaryModel(BaseChatModel):
    """Calls the canary's tool once, then answers."""

    @property
    def _llm_type(self) -> str:
        return "agentguard-canary"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self.bind(tools=[])

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        if any(isinstance(message, ToolMessage) for message in messages):
            answer = AIMessage(Canary.word)
        else:
            answer = AIMessage("", tool_calls=[{"name": "canary_tool", "args": {"text": Canary.word}, "id": "c"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        answer = self._generate(messages).generations[0].message
        yield ChatGenerationChunk(message=AIMessageChunk(**answer.model_dump(exclude={"type"})))
