"""The self-test behind every attach: do the hooks we define really fire in this installed framework?

Some releases of agent frameworks accept hooks and never call them. Once per process a canary agent, in memory, with a
scripted model and tool of its own and no checkpointer, is run through LangChain's real machinery; an event that does
not arrive, or a word that comes back unguarded, refuses the attach.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from agentguard import AdapterError, Event, Guard, ModelInput, ModelOutput, Rewrite, ToolCall, ToolResult, Verdict
from agentguard.testing import RecordingSink, ScriptedStage

__all__ = ["prove_hooks"]

# A word that the canary's stage replaces wherever it stands. One that survives went past a hook.
CANARY = "agentguard-canary"
SAFE = "seen"
EXPECTED = frozenset({ModelInput, ModelOutput, ToolCall, ToolResult})


@lru_cache(maxsize=1)
def prove_hooks() -> None:
    """Run the canary agent, sync and async.

    Raises:
        AdapterError: a hook did not fire, or fired without effect.
    """
    _prove("sync", lambda agent: agent.invoke(_QUESTION))
    _prove("async", lambda agent: _in_thread(lambda: asyncio.run(agent.ainvoke(_QUESTION))))


_QUESTION = {"messages": [{"role": "user", "content": CANARY}]}


def _prove(mode: str, run: Callable[[Any], Any]) -> None:
    stage = ScriptedStage(_masked)
    guard = Guard(stages=[stage], audit=RecordingSink(), agent="canary")
    try:
        state = run(_agent(guard))
    except Exception as error:
        raise AdapterError(f"the {mode} self-test failed: this LangChain does not run our hooks as expected") from error
    missing = sorted(kind.__name__ for kind in EXPECTED - {type(event) for event in stage.seen})
    if missing:
        raise AdapterError(f"the {mode} self-test saw no {', '.join(missing)}: this LangChain does not call our hooks")
    if CANARY in repr(state["messages"]):
        raise AdapterError(f"the {mode} self-test: a text came back as if it had not been checked")


def _agent(guard: Guard) -> Any:
    from langchain.agents import create_agent

    from .middleware import GuardMiddleware

    def canary_tool(text: str) -> str:
        """Echo."""
        return text + CANARY

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
            answer = AIMessage(CANARY)
        else:
            answer = AIMessage("", tool_calls=[{"name": "canary_tool", "args": {"text": CANARY}, "id": "c"}])
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        answer = self._generate(messages).generations[0].message
        yield ChatGenerationChunk(message=AIMessageChunk(**answer.model_dump(exclude={"type"})))


def _masked(event: Event) -> Verdict:
    found = [leaf for leaf in event.leaves() if leaf.kind == "text" and CANARY in leaf.text]
    return Verdict(obligations=tuple(Rewrite(leaf.path, leaf.text.replace(CANARY, SAFE)) for leaf in found))


def _in_thread(work: Callable[[], Any]) -> Any:
    """Run ``work`` where no event loop runs yet, because the caller may be inside one."""
    answers: list[Any] = []
    errors: list[Exception] = []

    def body() -> None:
        try:
            answers.append(work())
        except Exception as error:  # noqa: BLE001  # handed to the waiting thread
            errors.append(error)

    thread = threading.Thread(target=body, name="agentguard-canary")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]
