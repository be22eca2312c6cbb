"""The newsroom as a PraisonAI team: ``protect(team, guard)`` is all that differs between the two runs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {"PRAISONAI_TELEMETRY_DISABLED": "true", "DO_NOT_TRACK": "true", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}

from praisonaiagents import Agent, AgentTeam, Task
from praisonaiagents.model_harness import ScriptedModel

from agentguard import Denied, Guard, Home
from agentguard_praisonai import protect
from newsroom.world import TASK, TOOLS, World, obedient, side_by_side

POLICY = Path(__file__).with_name("newsroom.yaml")
WORK = {
    "researcher": "Read the sources for: " + TASK,
    "writer": "Write the summary for: " + TASK,
    "publisher": TASK,
}
STEPS = 12  # more than any of them takes


def obedient_model(role: str) -> ScriptedModel:
    """No network and no key: a model that obeys whatever it reads, the worst case."""

    def answer(request: Any) -> Any:
        done = [
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for message in request.messages
            for call in message.get("tool_calls") or ()
        ]
        step = obedient(role, "\n".join(_words(message) for message in request.messages), done)
        return step if isinstance(step, str) else ScriptedModel.tool_call(step[0], step[1])

    return ScriptedModel([answer] * STEPS)


def _words(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    # A result is written as JSON.
    return str(json.loads(content)) if message["role"] == "tool" and content.startswith('"') else str(content)


def newsroom(world: World) -> AgentTeam:
    """Three agents, each with its own tools, working one after the other."""
    agents = {
        role: Agent(
            name=role,
            instructions=f"You are the {role}. Do the newsroom's work.",
            model=obedient_model(role),
            tools=[getattr(world, name) for name in TOOLS[role]],
            output="silent",
        )
        for role in WORK
    }
    tasks: list[Any] = []
    for role, work in WORK.items():
        tasks.append(Task(name=role, description=work, expected_output="text", agent=agents[role], context=tasks[-1:]))
    return AgentTeam(agents=list(agents.values()), tasks=tasks, output="silent")


def run(world: World, guarded: bool) -> str:
    """One run; the reason when it was ended."""
    team = newsroom(world)
    if not guarded:
        team.start(output="silent")
        return ""
    with tempfile.TemporaryDirectory() as folder:
        home = Home.create(Path(folder) / ".agentguard")
        with Guard.from_file(POLICY, home=home.path) as guard:
            protect(team, guard)
            try:
                team.start(output="silent")
            except Denied as refusal:
                return refusal.decision.reason
    return ""


if __name__ == "__main__":
    sys.exit(0 if side_by_side(run) else 1)
