"""An agent of a crew: who acts while it works, what it is handed, and with which model and tools."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from crewai import Agent

from agentguard import AdapterError, AgentMessage, Conversation, Denied, Guard, current_conversation
from agentguard.adapter import Gate, Passage, agent_run, child_run, runs_tool

from .model import FRAMEWORK, Stopped, guarded_llm
from .tool import guarded_tool, outside_tools

__all__ = ["GuardedAgent", "Wiring", "crew_run", "runs_crew"]


@dataclass(frozen=True, eq=False)
class Wiring:
    """The guard of one ``protect``, and the policy's names of its agents."""

    guard: Guard
    names: Mapping[str, str] = field(default_factory=dict)
    _tasks: dict[int, tuple[Any, str]] = field(default_factory=dict)

    def words(self, task: Any) -> str:
        """What a task asks for, as the application wrote it: CrewAI writes inputs and plans into its description."""
        known = self._tasks.get(id(task))
        if known is None or known[0] is not task:
            known = task, getattr(task, "_original_description", None) or task.description
            self._tasks[id(task)] = known
        return known[1]

    def name(self, role: str) -> str:
        """The policy's name of the agent with this role."""
        return self.names.get(role.strip(), role.strip())

    def gate(self, role: str) -> Gate:
        """The guard as the hooks of the agent with this role see it."""
        return Gate(self.guard, self.name(role))


# The crew that runs around an agent's work with its run, and the agents' own runs in it.
_crew: ContextVar[tuple[object, Conversation] | None] = ContextVar("agentguard_crewai_crew", default=None)
_lock = threading.Lock()
_members: weakref.WeakKeyDictionary[Conversation, dict[str, Conversation]] = weakref.WeakKeyDictionary()


@contextmanager
def crew_run(crew: object, run: Conversation) -> Iterator[None]:
    """Run a crew: each of its agents acts as a child of ``run``."""
    token = _crew.set((crew, run))
    try:
        with run.active():
            yield
    finally:
        _crew.reset(token)


def runs_crew(crew: object) -> bool:
    """Whether this very crew is being started here, and not once more by a tool of its own."""
    open_crew, run = _crew.get(), current_conversation()
    return open_crew is not None and open_crew[0] is crew and not (run is not None and runs_tool(run))


class GuardedAgent:
    """The methods of a guarded agent, before those of its own class."""

    _agentguard: Wiring
    role: str
    crew: Any
    llm: Any

    def execute_task(self, task: Any, context: str | None = None, tools: Any = None) -> Any:
        with self._acting(task) as (run, sender):
            handed = self._handed(task, context, sender, run)
            return super().execute_task(task, handed, tools)  # type: ignore[misc]

    async def aexecute_task(self, task: Any, context: str | None = None, tools: Any = None) -> Any:
        with self._acting(task) as (run, sender):
            handed = self._handed(task, context, sender, run)
            return await super().aexecute_task(task, handed, tools)  # type: ignore[misc]

    def kickoff(self, messages: Any, *args: Any, **options: Any) -> Any:
        with self._asked(messages):
            return super().kickoff(messages, *args, **options)  # type: ignore[misc]

    async def kickoff_async(self, messages: Any, *args: Any, **options: Any) -> Any:
        with self._asked(messages):
            return await super().kickoff_async(messages, *args, **options)  # type: ignore[misc]

    async def akickoff(self, messages: Any, *args: Any, **options: Any) -> Any:
        with self._asked(messages):
            return await super().akickoff(messages, *args, **options)  # type: ignore[misc]

    def _add_skill_loader_tool(self, raw_tools: Any, *args: Any, **options: Any) -> Any:
        # The last step before an executor is built, with the tools of every kind that it will get.
        gate = self._agentguard.gate(self.role)
        self.llm = guarded_llm(self.llm, gate)
        # Read past the attribute, which warns whoever touches it that it is on its way out.
        if (other := vars(self).get("function_calling_llm")) is not None:
            vars(self)["function_calling_llm"] = guarded_llm(other, gate)
        return [guarded_tool(tool, gate) for tool in super()._add_skill_loader_tool(raw_tools, *args, **options)]  # type: ignore[misc]

    @contextmanager
    def _acting(self, task: Any) -> Iterator[tuple[Conversation, str | None]]:
        """The agent's own run for the time of a task, and who gave it the task if that was another agent."""
        gate, crew, outer = self._agentguard.gate(self.role), _crew.get(), current_conversation()
        if outer is not None and runs_tool(outer):
            sender: str | None = outer.principal.id
            run = child_run(outer, _principal(gate, outer), framework=FRAMEWORK)
        elif crew is not None:
            sender, run = None, _member(crew[1], gate)
        else:
            sender, run = None, agent_run(gate, framework=FRAMEWORK, request=[task.description])
        with run.active(), outside_tools(), _stopping():
            yield run, sender

    def _handed(self, task: Any, context: str | None, sender: str | None, run: Conversation) -> str | None:
        """What other agents wrote for this one, checked as messages to it."""
        gate = self._agentguard.gate(self.role)
        if sender is not None:
            words = f"{task.description}\n\n{context or ''}".strip()
            checked = gate.admit(words, _message(sender, gate, "delegation"), run)
            if checked != words:
                raise AdapterError("a delegated task cannot be rewritten: CrewAI has built the prompt from it")
            return context
        for earlier in _authors(self, task) if context else ():
            name = self._agentguard.name(earlier)
            if name != gate.agent:
                context = gate.admit(context or "", _message(name, gate, "task-output"), run)
        return context

    @contextmanager
    def _asked(self, messages: Any) -> Iterator[None]:
        gate = self._agentguard.gate(self.role)
        run = agent_run(gate, framework=FRAMEWORK, request=_typed(messages))
        try:
            with run.active(), outside_tools():
                yield
        except Stopped as stopped:
            raise stopped.refusal from None


@contextmanager
def _stopping() -> Iterator[None]:
    try:
        yield
    except Denied as refusal:
        raise Stopped(refusal) from refusal


def _principal(gate: Gate, outer: Conversation) -> Any:
    caller = outer.principal
    return replace(gate.principal(), on_behalf_of=caller.on_behalf_of, session=caller.session, tenant=caller.tenant)


def _member(crew: Conversation, gate: Gate) -> Conversation:
    """The run of one agent in a crew's run: the same for all its tasks."""
    name = gate.principal().id
    with _lock:
        members = _members.setdefault(crew, {})
        if name not in members:
            members[name] = child_run(crew, _principal(gate, crew), framework=FRAMEWORK)
        return members[name]


def _authors(agent: Any, task: Any) -> list[str]:
    """The roles of the agents whose output stands in a task's context."""
    given = task.context if isinstance(task.context, list) else None
    tasks = given if given is not None else [other for other in getattr(agent.crew, "tasks", ()) if other is not task]
    roles = [other.agent.role for other in tasks if other.output is not None and isinstance(other.agent, Agent)]
    # Without a name for who wrote it, nobody was permitted to.
    return list(dict.fromkeys(roles)) or ["unknown"]


def _message(sender: str, gate: Gate, topic: str) -> Passage[str, AgentMessage]:
    receiver = gate.principal().id
    return Passage(
        event=lambda text: AgentMessage(sender, receiver, topic, text),
        apply=lambda _text, _before, after: str(after.content),
        nearest=lambda: AgentMessage(sender, receiver, topic, None),
    )


def _typed(messages: Any) -> list[str]:
    """The last words of a person among the messages an agent is started with."""
    if isinstance(messages, str):
        return [messages]
    last = [m["content"] for m in messages if isinstance(m, dict) and m.get("role") == "user"][-1:]
    return [text for text in last if isinstance(text, str)]
