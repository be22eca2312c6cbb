"""The price of the guard on a whole agent run: guarded against unguarded, with a model that answers at once.

An instant model is the worst case: with a real one, a second or more of waiting hides all of this.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from agentguard import Guard
from agentguard_langchain import guarded_agent
from benchmarks.report import Row, Table

ROUNDS = 60
TOOL_CALLS = 3


class InstantModel(BaseChatModel):
    """Calls the tool ``TOOL_CALLS`` times, then answers. Takes no time to think."""

    @property
    def _llm_type(self) -> str:
        return "instant"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:  # the framework's shape
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        done = sum(isinstance(message, ToolMessage) for message in messages)
        if done < TOOL_CALLS:
            call = {"name": "lookup", "args": {"id": str(done)}, "id": f"call-{done}", "type": "tool_call"}
            answer = AIMessage("", tool_calls=[call])
        else:
            answer = AIMessage("Invoice 1 was paid in March.")
        return ChatResult(generations=[ChatGeneration(message=answer)])


def lookup(id: str) -> str:
    """Look an invoice up."""
    return f"Invoice {id} was paid in March."


_ASK: Any = {"messages": [("user", "Look up the invoices 0, 1 and 2.")]}


def measure(guard: Guard) -> Table:
    """Pairs of runs in turn, so that a machine that slows down slows both."""
    plain = create_agent(InstantModel(), [lookup])
    guarded = guarded_agent(InstantModel(), [lookup], guard=guard, agent="bench")
    rows = [
        _row("invoke", lambda: plain.invoke(_ASK), lambda: guarded.invoke(_ASK)),
        _row("ainvoke", lambda: asyncio.run(plain.ainvoke(_ASK)), lambda: asyncio.run(guarded.ainvoke(_ASK))),
    ]
    return Table(
        f"One agent run with {TOOL_CALLS} tool calls and an instant model (median of {ROUNDS} pairs)",
        ("call", "unguarded ms", "guarded ms", "ratio", "added per event us"),
        tuple(rows),
    )


def _row(name: str, plain: Callable[[], object], guarded: Callable[[], object]) -> Row:
    pairs = [(_ms(plain), _ms(guarded)) for _ in range(ROUNDS)][5:]
    without = statistics.median(a for a, _ in pairs)
    with_guard = statistics.median(b for _, b in pairs)
    ratio = statistics.median(b / a for a, b in pairs)
    # Each model call is two events, each tool call is two events.
    events = 2 * (TOOL_CALLS + 1) + 2 * TOOL_CALLS
    added = (with_guard - without) / events * 1e3
    return Row(name, f"{without:.2f}", f"{with_guard:.2f}", f"{ratio:.2f}", f"{added:.0f}")


def _ms(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1e3
