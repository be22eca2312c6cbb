"""``protect``: an agent with all it hands over to, or a team with all its agents, guarded in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from praisonaiagents import Agent, AgentTeam
from praisonaiagents.agent.handoff import Handoff
from praisonaiagents.guardrails import LLMGuardrail
from praisonaiagents.llm.llm import LLM
from praisonaiagents.llm.openai_client import OpenAIClient

from agentguard import AdapterError, Guard

from .agent import GuardedAgent, Wiring
from .canary import prove_hooks
from .swap import guards_of, swap
from .team import GuardedTeam, refuse_process
from .versions import warn_untested

__all__ = ["Protection", "attach", "protect"]

# Seams without which nothing is guarded; most of them are private, so their presence is checked at attach.
_SEAMS: Mapping[type, tuple[str, ...]] = {
    Agent: (
        "chat",
        "achat",
        "_start_stream",
        "run_autonomous",
        "run_autonomous_async",
        "_execute_tool_impl",
        "_execute_tool_async_impl",
        "_check_tool_policy_and_guardrails",
        "_self_repair_tool_name",
        "_ensure_llm_instance",
        "_fallback_llm_for",
        "_openai_client",
        "_create_llm_summarize_fn",
        "llm_instance",
        "display_name",
    ),
    AgentTeam: (
        "start",
        "astart",
        "run_task",
        "arun_task",
        "execute_task",
        "aexecute_task",
        "_create_agent_from_config",
    ),
    LLM: ("_completion_with_retry", "_acompletion_with_retry", "_supports_responses_api"),
    OpenAIClient: ("sync_client", "async_client", "_use_responses_api"),
}
# Ways of answering that go past every model of the agent, and what each is.
_ELSEWHERE = {
    "backend": "a managed backend answers elsewhere",
    "_cli_backend": "a command-line backend answers elsewhere",
    "_runtime_config": "a runtime of its own answers elsewhere",
    "_panel_descriptor": "a panel has models of its own",
    "planning": "planning makes an agent with a model of its own",
}


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
    """Guard an ``Agent`` with all it hands over to, or an ``AgentTeam`` with all its agents, in place.

    Protecting twice is protecting once.

    Args:
        target: the agent or team.
        guard: decides.
        names: the policy's name of an agent, by its own; its own name when absent.
        memory: accept memory, which has models of its own that read and write unchecked.

    Raises:
        AdapterError: something that cannot be guarded, or this PraisonAI does not go through our seams.
    """
    prove_hooks()
    warn_untested()
    return attach(target, guard, names=names, memory=memory)


def attach(target: Any, guard: Guard, *, names: Mapping[str, str] | None = None, memory: bool = False) -> Protection:
    """As ``protect``, without the self-test."""
    if not isinstance(target, Agent | AgentTeam):
        raise AdapterError(f"got a {type(target).__name__}; an Agent or an AgentTeam of PraisonAI can be protected")
    absent = [name for owner, seams in _SEAMS.items() for name in seams if not hasattr(owner, name)]
    if absent:
        raise AdapterError(f"this PraisonAI has no {', '.join(absent)}; install agentguard[praisonai]")
    protection = Protection(target)
    reaching = _Reaching(protection._undo, memory=memory)
    try:
        reaching.reach(target, Wiring(guard, reaching.reach, dict(names or {})))
    except BaseException:
        protection.undo()
        raise
    return protection


class _Reaching:
    """Guards an agent or a team, and everything that it leads to."""

    def __init__(self, undo: list[Callable[[], None]], *, memory: bool) -> None:
        self._undo = undo
        self._memory = memory

    def reach(self, target: Any, wiring: Wiring) -> None:
        """Guard ``target``, unless it is.

        Raises:
            AdapterError: it, or an agent that it leads to, cannot be guarded.
        """
        if any(known.guard is wiring.guard for known in guards_of(target)):
            return
        if isinstance(target, AgentTeam):
            self._team(target, wiring)
        elif isinstance(target, Agent):
            self._agent(target, wiring)
        else:
            raise AdapterError(
                f"got a {type(target).__name__} as an agent; agents of other kinds cannot be guarded here"
            )

    def _team(self, team: Any, wiring: Wiring) -> None:
        refuse_process(team)
        for agent in (*team.agents, *(task.agent for task in team.tasks.values())):
            if agent is not None:
                self.reach(agent, wiring)
        self._swapped(team, GuardedTeam, wiring)

    def _agent(self, agent: Any, wiring: Wiring) -> None:
        self._refuse(agent)
        self._swapped(agent, GuardedAgent, wiring)
        # Made anew when it is next wanted, of guarded parts.
        agent._unified_dispatcher = None
        if agent._llm_instance is not None:
            agent._ensure_llm_instance()
        for other in _successors(agent):
            self.reach(other, wiring)

    def _swapped(self, target: Any, mixin: type, wiring: Wiring) -> None:
        before = swap(target, mixin, wiring)

        def undo() -> None:
            if isinstance(target, GuardedAgent):
                target._agentguard_undone()
            object.__setattr__(target, "__class__", before)

        self._undo.append(undo)

    def _refuse(self, agent: Any) -> None:
        """Say what cannot be guarded, before anything is changed."""
        kind = type(agent)
        if kind is not Agent and kind.__module__.partition(".")[0] == "praisonaiagents" and not guards_of(agent):
            raise AdapterError(f"a {kind.__name__} asks models in a way of its own, which cannot be guarded")
        for name, why in _ELSEWHERE.items():
            if getattr(agent, name, None):
                raise AdapterError(f"the agent {agent.display_name} cannot be guarded: {why}")
        if isinstance(getattr(agent, "_guardrail_fn", None), LLMGuardrail):
            raise AdapterError("a guardrail in words asks a model of its own; pass a function")
        self._refuse_memory(getattr(agent, "_memory_instance", None))

    def _refuse_memory(self, memory: Any) -> None:
        if memory and not self._memory:
            raise AdapterError(
                "memory has models of its own that read and write unchecked; switch it off, or accept that with "
                "memory=True"
            )


def _successors(agent: Any) -> list[Any]:
    """The agents that ``agent`` can hand over to."""
    tools = agent.tools if isinstance(agent.tools, list) else []
    sources = [getattr(tool, "_praison_handoff_source", None) for tool in tools]
    given = [*sources, *(agent.handoffs or ())]
    return [item.agent if isinstance(item, Handoff) else item for item in given if item is not None]
