"""The price of the guard in each framework that has an environment of its own: ``make bench-frameworks``.

One agent run with three tool calls and a model that answers at once, guarded and unguarded in turn, by CPU time: with a
real model, a second or more of waiting hides all of this.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agentguard import Guard, Home
from benchmarks.report import Row, Table
from tests.adapters.drivers import installed

ROUNDS = 30
TOOL_CALLS = 3
POLICY = """
version: 1
roles: {clerk: {permissions: [execute_agent], tools: [lookup]}}
agents: {bench: {roles: [clerk]}}
tools: {lookup: {side_effect: read, output: trusted}}
"""
ASK = "Look up the invoices 0, 1 and 2."
FINAL = "Invoice 1 was paid in March."
Run = Callable[[], object]


def lookup(id: str) -> str:
    """Look an invoice up."""
    return f"Invoice {id} was paid in March."


def _crewai(guard: Guard) -> tuple[Run, Run]:
    from crewai import Agent, Crew, Task
    from crewai.llms.base_llm import BaseLLM
    from crewai.tools import tool

    from agentguard_crewai import protect

    class Instant(BaseLLM):
        def call(self, messages: Any, *args: Any, **options: Any) -> Any:
            done = sum(message.get("role") == "tool" for message in messages)
            if done == TOOL_CALLS:
                return FINAL
            function = {"name": "lookup", "arguments": json.dumps({"id": str(done)})}
            return [{"id": f"c{done}", "type": "function", "function": function}]

        def supports_function_calling(self) -> bool:
            return True

    def crew(guarded: bool) -> Run:
        agent = Agent(
            role="bench", goal="g", backstory="b", llm=Instant(model="instant"), tools=[tool("lookup")(lookup)]
        )
        made = Crew(agents=[agent], tasks=[Task(description=ASK, expected_output="text", agent=agent)])
        if guarded:
            protect(made, guard)
        return made.kickoff

    return crew(False), crew(True)


def _openai_agents(guard: Guard) -> tuple[Run, Run]:
    from agents import Agent, RunConfig, Runner, function_tool
    from agents.testing import ScriptedModel, assistant_message, function_call

    from agentguard_openai_agents import GuardedRunner

    def agent() -> Any:
        steps: list[Any] = [[function_call("lookup", {"id": str(n)}, call_id=f"c{n}")] for n in range(TOOL_CALLS)]
        return Agent("bench", model=ScriptedModel([*steps, [assistant_message(FINAL)]]), tools=[function_tool(lookup)])

    config = RunConfig(tracing_disabled=True)
    runner = GuardedRunner(guard)
    return (
        lambda: asyncio.run(Runner.run(agent(), ASK, run_config=config)),
        lambda: asyncio.run(runner.run(agent(), ASK, run_config=config)),
    )


def _pydantic_ai(guard: Guard) -> tuple[Run, Run]:
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
    from pydantic_ai.models.function import FunctionModel

    from agentguard_pydantic_ai import AgentGuard

    def instant(messages: Any, _info: Any) -> ModelResponse:
        done = sum(isinstance(part, ToolReturnPart) for message in messages for part in message.parts)
        if done == TOOL_CALLS:
            return ModelResponse([TextPart(FINAL)])
        return ModelResponse([ToolCallPart("lookup", {"id": str(done)}, tool_call_id=f"c{done}")])

    plain: Any = Agent(FunctionModel(instant), name="bench", tools=[lookup])
    guarded: Any = Agent(FunctionModel(instant), name="bench", tools=[lookup], capabilities=[AgentGuard(guard)])
    return lambda: asyncio.run(plain.run(ASK)), lambda: asyncio.run(guarded.run(ASK))


PAIRS: dict[str, Callable[[Guard], tuple[Run, Run]]] = {
    "crewai": _crewai,
    "openai_agents": _openai_agents,
    "pydantic_ai": _pydantic_ai,
}


def measure() -> Table:
    """Pairs of runs in turn, so that a machine that slows down slows both."""
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "agentguard.yaml"
        policy.write_text(POLICY)
        home = Home.create(Path(folder) / ".agentguard")
        with Guard.from_file(policy, home=home.path) as guard:
            rows = [_row(adapter.name, *PAIRS[adapter.name](guard)) for adapter in installed() if adapter.name in PAIRS]
    return Table(
        f"One agent run with {TOOL_CALLS} tool calls and an instant model (CPU time, median of {ROUNDS} pairs)",
        ("framework", "unguarded ms", "guarded ms", "ratio", "added per event us"),
        tuple(rows),
    )


def _row(name: str, plain: Run, guarded: Run) -> Row:
    pairs = [(_ms(plain), _ms(guarded)) for _ in range(ROUNDS)][3:]
    without = statistics.median(a for a, _ in pairs)
    with_guard = statistics.median(b for _, b in pairs)
    ratio = statistics.median(b / a for a, b in pairs)
    events = 2 * (TOOL_CALLS + 1) + 2 * TOOL_CALLS
    return Row(
        name, f"{without:.2f}", f"{with_guard:.2f}", f"{ratio:.2f}", f"{(with_guard - without) / events * 1e3:.0f}"
    )


def _ms(run: Run) -> float:
    started = time.process_time()
    run()
    return (time.process_time() - started) * 1e3


if __name__ == "__main__":
    table = measure()
    if table.rows:
        print(table)
