"""The newsroom as a CrewAI crew: ``protect(crew, guard)`` is all that differs between the two runs."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "CREWAI_TRACING_ENABLED": "false"}

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool

from agentguard import Denied, Guard, Home
from agentguard_crewai import protect
from newsroom.world import TASK, TOOLS, World, obedient, side_by_side

POLICY = Path(__file__).with_name("newsroom.yaml")
WORK = {
    "researcher": "Read the sources for: " + TASK,
    "writer": "Write the summary for: " + TASK,
    "publisher": TASK,
}


class ObedientLLM(BaseLLM):
    """No network and no key: a model that obeys whatever it reads, the worst case."""

    role: str

    def call(self, messages: Any, tools: Any = None, *args: Any, **options: Any) -> Any:
        """The next call, in the form of a provider, or the last words."""
        done = [
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for message in messages
            for call in message.get("tool_calls") or ()
        ]
        step = obedient(self.role, str([message.get("content") for message in messages]), done)
        if isinstance(step, str):
            return step
        arguments = json.dumps(step[1])
        return [{"id": f"call{len(done)}", "type": "function", "function": {"name": step[0], "arguments": arguments}}]

    def supports_function_calling(self) -> bool:
        """Calls come in the provider's own form."""
        return True


def newsroom(world: World) -> Crew:
    """Three agents, each with its own tools, working one after the other."""
    agents: dict[str, Any] = {
        role: Agent(
            role=role,
            goal="Do the newsroom's work.",
            backstory=f"You are the {role}.",
            llm=ObedientLLM(model="obedient", role=role),
            tools=[tool(name)(getattr(world, name)) for name in TOOLS[role]],
        )
        for role in WORK
    }
    tasks = [Task(description=work, expected_output="text", agent=agents[role]) for role, work in WORK.items()]
    return Crew(agents=list(agents.values()), tasks=tasks)


def run(world: World, guarded: bool) -> str:
    """One run; the reason when it was ended."""
    crew = newsroom(world)
    if not guarded:
        crew.kickoff()
        return ""
    with tempfile.TemporaryDirectory() as folder:
        home = Home.create(Path(folder) / ".agentguard")
        with Guard.from_file(POLICY, home=home.path) as guard:
            protect(crew, guard)
            try:
                crew.kickoff()
            except Denied as refusal:
                return refusal.decision.reason
    return ""


if __name__ == "__main__":
    sys.exit(0 if side_by_side(run) else 1)
