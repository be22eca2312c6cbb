"""The agent without a guard: what the worst case costs."""

from __future__ import annotations

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel

from agentguard_demo.model import ObedientModel
from agentguard_demo.tools import Tools
from agentguard_demo.transcript import Transcript
from agentguard_demo.world import SYSTEM_PROMPT, World

__all__ = ["run_unguarded"]


def run_unguarded(world: World, model: BaseChatModel | None = None) -> Transcript:
    """Let the agent work on the world's task with every tool and no guard. Without a model, the script obeys."""
    agent = create_agent(model or ObedientModel(), Tools(world).all(), system_prompt=SYSTEM_PROMPT)
    return Transcript.of(agent, world)
