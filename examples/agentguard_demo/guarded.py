"""The same agent behind the guard: the same model, the same tools, four more lines."""

from __future__ import annotations

from pathlib import Path

from langchain_core.messages import HumanMessage

from agentguard import Guard
from agentguard_langchain import guarded_agent
from agentguard_demo.model import ObedientModel
from agentguard_demo.tools import Tools
from agentguard_demo.unguarded import MAX_TURNS
from agentguard_demo.world import SYSTEM_PROMPT, World

__all__ = ["POLICY", "run_guarded"]

POLICY = Path(__file__).with_name("agentguard.yaml")


def run_guarded(world: World, guard: Guard) -> str:
    """Let the agent work on the world's task behind ``guard``; return its last answer."""
    agent = guarded_agent(
        ObedientModel(), Tools(world).all(), guard=guard, agent="support", system_prompt=SYSTEM_PROMPT
    )
    state = agent.invoke({"messages": [HumanMessage(world.task)]}, {"recursion_limit": MAX_TURNS})
    return str(state["messages"][-1].text)
