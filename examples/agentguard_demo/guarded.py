"""The same agent behind the guard: the same model, the same tools, four more lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from agentguard import Conversation, Decision, Event, Guard
from agentguard_demo.model import ObedientModel
from agentguard_demo.tools import Tools
from agentguard_demo.transcript import Transcript
from agentguard_demo.world import SYSTEM_PROMPT, World
from agentguard_langchain import guarded_agent

__all__ = ["POLICY", "WatchedGuard", "run_guarded"]

POLICY = Path(__file__).with_name("agentguard.yaml")


class WatchedGuard(Guard):
    """A guard whose refusals can be looked at afterwards, with the values and sentences the log does not hold."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.refusals: list[Decision] = []

    def check(self, event: Event, *, run: Conversation | None = None) -> Decision:
        """Decide, and keep the decision when it is a refusal."""
        decision = super().check(event, run=run)
        if not decision.allowed:
            self.refusals.append(decision)
        return decision


def run_guarded(world: World, guard: Guard, model: BaseChatModel | None = None) -> Transcript:
    """Let the agent work on the world's task behind ``guard``. Without a model, the script obeys."""
    agent = guarded_agent(
        model or ObedientModel(), Tools(world).all(), guard=guard, agent="support", system_prompt=SYSTEM_PROMPT
    )
    return Transcript.of(agent, world)
