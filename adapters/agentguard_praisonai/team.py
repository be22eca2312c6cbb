"""A team of agents: one run around all its tasks, and what each agent gets of the others' work as messages to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from praisonaiagents import AgentTeam

from agentguard import AdapterError
from agentguard.adapter import agent_run

from .agent import Wiring, handing_over
from .runs import FRAMEWORK, Entry, current_entry, entered

__all__ = ["GuardedTeam", "refuse_process"]


class GuardedTeam(AgentTeam):  # type: ignore[misc]  # the framework has no types
    """The methods of a guarded team, before those of its own class."""

    _agentguard: Wiring
    name: Any
    tasks: dict[Any, Any]

    def start(self, content: Any = None, *args: Any, **options: Any) -> Any:
        with self._opened(content):
            return super().start(content, *args, **options)

    async def astart(self, content: Any = None, *args: Any, **options: Any) -> Any:
        with self._opened(content):
            return await super().astart(content, *args, **options)

    def run_task(self, task_id: Any) -> Any:
        with self._opened(None):
            return super().run_task(task_id)

    async def arun_task(self, task_id: Any) -> Any:
        with self._opened(None):
            return await super().arun_task(task_id)

    def execute_task(self, task_id: Any) -> Any:
        with self._opened(None), self._handing(task_id):
            return super().execute_task(task_id)

    async def aexecute_task(self, task_id: Any) -> Any:
        with self._opened(None), self._handing(task_id):
            return await super().aexecute_task(task_id)

    def _create_agent_from_config(self, config: Any) -> Any:
        agent = super()._create_agent_from_config(config)
        self._agentguard.attach(agent, self._agentguard)
        return agent

    def spawn_sub_agent(self, *_: Any, **__: Any) -> Any:
        raise AdapterError("a guarded team does not spawn agents: they would have the guard of nobody")

    aspawn_sub_agent = spawn_sub_agent

    def _opened(self, content: Any) -> AbstractContextManager[None]:
        """The team's own run: what its tasks ask for, in the words of the application, is its request."""
        around = current_entry()
        if around is not None and around.holds(self):
            return nullcontext()
        refuse_process(self)
        words = [*_given(content), *(self._described(task) for task in self.tasks.values())]
        run = agent_run(self._agentguard.gate(self.name or "team"), framework=FRAMEWORK, request=words)
        return entered(Entry(self, run))

    def _described(self, task: Any) -> str:
        text: str = task.description
        variables = getattr(task, "variables", None) or getattr(self, "variables", None) or {}
        # What a task of an earlier run put there is an agent's word, and no request.
        written = {getattr(other, "output_variable", None) for other in self.tasks.values()}
        for name, value in variables.items():
            if name not in written:
                text = text.replace(f"{{{{{name}}}}}", str(value))
        return text

    @contextmanager
    def _handing(self, task_id: Any) -> Iterator[None]:
        """Work on one task; an agent that came into the team after it was guarded is guarded now."""
        task = self.tasks.get(task_id)
        if task is None:
            yield
            return
        if task.agent is not None:
            self._agentguard.attach(task.agent, self._agentguard)
        with handing_over(self._outputs(task)):
            yield

    def _outputs(self, task: Any) -> dict[str, list[str]]:
        """What of other agents' work can stand in the prompt of a task, by the agents' names."""
        previous = {name for name in getattr(task, "previous_tasks", None) or () if isinstance(name, str)}
        others = [other for other in self.tasks.values() if other is not task]
        before = [item for item in task.context or () if hasattr(item, "result")]
        before += [other for other in others if other.name in previous or getattr(other, "output_variable", None)]
        found: dict[str, list[str]] = {}
        for other in {id(item): item for item in before}.values():
            if other.result is not None:
                found.setdefault(other.result.agent, []).append(other.result.raw)
        # Words of a validating task. Without a name for who wrote them, nobody was permitted to.
        feedback = getattr(task, "validation_feedback", None) or {}
        author = next(reversed(found), "unknown")
        found.setdefault(author, []).extend(text for text in feedback.values() if isinstance(text, str))
        return found


def refuse_process(team: Any) -> None:
    """Say what of a team cannot be guarded.

    Raises:
        AdapterError: it has a manager, a planner or a memory with a model of its own.
    """
    if team.process == "hierarchical":
        raise AdapterError("a hierarchical team has a manager with a model of its own; use sequential or workflow")
    if getattr(team, "shared_memory", None) or any(_remembers(task) for task in team.tasks.values()):
        raise AdapterError("memory of a team has models of its own that read and write unchecked; switch it off")
    if team.planning:
        raise AdapterError("planning makes an agent with a model of its own; switch it off")


def _remembers(task: Any) -> bool:
    return bool(task.memory or (task.config or {}).get("memory_config"))


def _given(content: Any) -> list[str]:
    parts = content if isinstance(content, list) else [content]
    return [part for part in parts if isinstance(part, str)]
