"""``protect``: a crew with all its agents, or one agent, guarded in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from crewai import Agent, Crew
from crewai.llms.base_llm import BaseLLM
from crewai.utilities.string_utils import interpolate_only

from agentguard import AdapterError, Guard
from agentguard.adapter import agent_run

from .agent import GuardedAgent, Wiring, crew_run, runs_crew
from .canary import prove_hooks
from .model import FRAMEWORK, Stopped, guarded_llm
from .swap import guards_of, swap
from .versions import warn_untested

__all__ = ["Protection", "attach", "protect"]

# Seams without which nothing is guarded; private ones among them, so their presence is checked at attach.
_AGENT_SEAMS = ("execute_task", "aexecute_task", "kickoff", "kickoff_async", "akickoff", "_add_skill_loader_tool")
_CREW_SEAMS = ("kickoff", "kickoff_async", "akickoff", "_create_manager_agent")
_CREW_MODELS = ("manager_llm", "function_calling_llm", "planning_llm", "chat_llm")


class _GuardedCrew:
    """The methods of a guarded crew, before those of its own class."""

    _agentguard: Wiring
    name: Any
    tasks: Any
    manager_agent: Any

    def kickoff(self, inputs: Any = None, *args: Any, **options: Any) -> Any:
        with self._opened(inputs):
            return super().kickoff(inputs, *args, **options)  # type: ignore[misc]

    async def kickoff_async(self, inputs: Any = None, *args: Any, **options: Any) -> Any:
        with self._opened(inputs):
            return await super().kickoff_async(inputs, *args, **options)  # type: ignore[misc]

    async def akickoff(self, inputs: Any = None, *args: Any, **options: Any) -> Any:
        with self._opened(inputs):
            return await super().akickoff(inputs, *args, **options)  # type: ignore[misc]

    def copy(self) -> Any:
        copied = super().copy()  # type: ignore[misc]
        _attached(copied, self._agentguard, [])
        return copied

    def _create_manager_agent(self) -> None:
        super()._create_manager_agent()  # type: ignore[misc]
        _attached(self.manager_agent, self._agentguard, [])

    @contextmanager
    def _opened(self, inputs: Any) -> Iterator[None]:
        """The crew's own run: what its tasks ask for, in the words of the application, is its request."""
        if runs_crew(self):
            yield
            return
        # What was added to it since is guarded too.
        _attached(self, self._agentguard, [])
        words = [_interpolated(self._agentguard.words(task), inputs) for task in self.tasks]
        run = agent_run(self._agentguard.gate(self.name or "crew"), framework=FRAMEWORK, request=words)
        try:
            with crew_run(self, run):
                yield
        except Stopped as stopped:
            raise stopped.refusal from None


def _interpolated(text: str, inputs: Any) -> str:
    return interpolate_only(text, dict(inputs)) if inputs else text


@dataclass
class Protection:
    """What one ``protect`` guards. ``undo`` takes the guard off again."""

    target: Any
    _undo: list[Callable[[], None]] = field(default_factory=list)

    def undo(self) -> None:
        """As before ``protect``; a second time does nothing."""
        while self._undo:
            self._undo.pop()()


def protect(target: Any, guard: Guard, *, names: Mapping[str, str] | None = None, memory: bool = False) -> Protection:
    """Guard a ``Crew`` with all its agents, or a single ``Agent``, in place. Protecting twice is protecting once.

    Args:
        target: the crew or agent.
        guard: decides.
        names: the policy's name of an agent, by its role; the role itself when absent.
        memory: accept memory, which has models of its own that read and write unchecked.

    Raises:
        AdapterError: something that cannot be guarded, or this CrewAI does not go through our seams.
    """
    prove_hooks()
    warn_untested()
    return attach(target, guard, names=names, memory=memory)


def attach(target: Any, guard: Guard, *, names: Mapping[str, str] | None = None, memory: bool = False) -> Protection:
    """As ``protect``, without the self-test."""
    protection = Protection(target)
    try:
        _refuse(target, memory=memory)
        _attached(target, Wiring(guard, dict(names or {})), protection._undo)
    except BaseException:
        protection.undo()
        raise
    return protection


def _refuse(target: Any, *, memory: bool) -> None:
    """Say what cannot be guarded, before anything is changed."""
    if not isinstance(target, Crew | Agent):
        raise AdapterError(f"got a {type(target).__name__}; a crewai Crew or Agent can be protected")
    absent = [name for name in _AGENT_SEAMS if not hasattr(Agent, name)]
    absent += [name for name in _CREW_SEAMS if not hasattr(Crew, name)]
    if absent:
        raise AdapterError(f"this CrewAI has no {', '.join(absent)}; install agentguard[crewai]")
    parts = [target, *(target.agents if isinstance(target, Crew) else ())]
    if any(getattr(part, "a2a", None) for part in parts):
        raise AdapterError("an agent with a2a talks to other hosts past every seam; it cannot be guarded")
    if not memory and any(getattr(part, "memory", None) for part in parts):
        raise AdapterError(
            "memory has models of its own that read and write unchecked; switch it off, or accept that with memory=True"
        )
    if isinstance(target, Crew) and target.planning and not isinstance(target.planning_llm, BaseLLM):
        raise AdapterError("planning makes an agent with a model of its own; pass planning_llm as an LLM object")


def _attached(target: Any, wiring: Wiring, undo: list[Callable[[], None]]) -> None:
    if isinstance(target, Crew):
        for agent in {id(a): a for a in (*target.agents, *(task.agent for task in target.tasks))}.values():
            if agent is not None:
                _attached(agent, wiring, undo)
        for task in target.tasks:
            wiring.words(task)
        if target.manager_agent is not None:
            _attached(target.manager_agent, wiring, undo)
        for name in _CREW_MODELS:
            _guard_model(target, name, wiring.gate(target.name or "crew"), undo)
        _swapped(target, _GuardedCrew, wiring, undo)
    elif isinstance(target, Agent):
        for name in ("llm", "function_calling_llm"):
            _guard_model(target, name, wiring.gate(target.role), undo)
        _swapped(target, GuardedAgent, wiring, undo)
    else:
        raise AdapterError(
            f"got a {type(target).__name__} in a crew; agents of other frameworks need their own adapter"
        )


def _swapped(target: Any, mixin: type, wiring: Wiring, undo: list[Callable[[], None]]) -> None:
    if any(known.guard is wiring.guard for known in guards_of(target)):
        return
    before = swap(target, mixin, wiring)
    undo.append(lambda: object.__setattr__(target, "__class__", before))


def _guard_model(target: Any, name: str, gate: Any, undo: list[Callable[[], None]]) -> None:
    # Through the object's own dictionary: some of these attributes warn whoever touches them.
    before = vars(target).get(name)
    if isinstance(before, BaseLLM):
        vars(target)[name] = guarded_llm(before, gate)
        undo.append(lambda: vars(target).__setitem__(name, before))
