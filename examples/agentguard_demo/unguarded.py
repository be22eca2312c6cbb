"""The agent without a guard: what the worst case costs."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage

from agentguard_demo.model import ObedientModel
from agentguard_demo.tools import Tools
from agentguard_demo.world import SYSTEM_PROMPT, World

__all__ = ["run_unguarded"]

# Model and tool turns before the run counts as endless.
MAX_TURNS = 80


def run_unguarded(world: World) -> str:
    """Let the agent work on the world's task with every tool and no guard; return its last answer."""
    agent = create_agent(ObedientModel(), Tools(world).all(), system_prompt=SYSTEM_PROMPT)
    state = agent.invoke({"messages": [HumanMessage(world.task)]}, {"recursion_limit": MAX_TURNS})
    return str(state["messages"][-1].text)
