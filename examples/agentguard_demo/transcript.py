"""What an agent said and tried, from its own messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.errors import GraphRecursionError

from agentguard import Denied
from agentguard_demo.world import World

__all__ = ["MAX_TURNS", "Transcript"]

# Model and tool turns before the run counts as endless.
MAX_TURNS = 80


@dataclass(frozen=True, slots=True)
class Transcript:
    """The messages of one run, and why it ended early (empty: it did not)."""

    messages: tuple[BaseMessage, ...]
    ended: str = ""

    @classmethod
    def of(cls, agent: Any, world: World) -> Transcript:
        """Let ``agent`` work on the world's task."""
        messages: list[BaseMessage] = []
        try:
            for state in agent.stream(
                {"messages": [HumanMessage(world.task)]}, {"recursion_limit": MAX_TURNS}, stream_mode="values"
            ):
                messages = state["messages"]
        except GraphRecursionError:
            return cls(tuple(messages), f"no end after {MAX_TURNS} turns")
        except Denied as refusal:
            return cls(tuple(messages), f"refused: {refusal.decision.reason}")
        return cls(tuple(messages))

    @property
    def answer(self) -> str:
        """The last message's text."""
        return self.messages[-1].text if self.messages else ""

    def tried(self, world: World) -> list[str]:
        """The kinds of harm the model asked its tools for, whether or not they did it; one entry per call and kind."""
        return [
            harm.kind
            for message in self.messages
            if isinstance(message, AIMessage)
            for call in message.tool_calls
            for harm in world.would_harm(call["name"], call["args"])
        ]
