"""The capability that puts the guard into an agent: around each run, its model and its tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering, CombinedCapability
from pydantic_ai.messages import TextContent
from pydantic_ai.models import Model
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import AbstractToolset

from agentguard import AdapterError, Guard
from agentguard.adapter import Gate, agent_run

from .canary import prove_hooks
from .model import FRAMEWORK, GuardedModel, is_guarded
from .toolset import GuardedToolset, is_guarded_toolset
from .versions import warn_untested

__all__ = ["AgentGuard", "Protection", "protect"]

# Hooks that must exist on the base class: it accepts any other name and never calls it.
_HOOKS = ("wrap_run", "get_wrapper_model", "get_wrapper_toolset", "get_ordering", "for_agent")


class AgentGuard(AbstractCapability[Any]):
    """Guards one agent: ``Agent(model, capabilities=[AgentGuard(guard)])``.

    A refused tool call is not run, and the model reads why; a refused model input or answer ends the run with
    ``Denied``.

    Args:
        guard: decides.
        agent: the name the policy knows the agent by; the agent's own ``name`` when absent.

    Raises:
        AdapterError: this Pydantic AI does not call our hooks.
    """

    def __init__(self, guard: Guard, *, agent: str | None = None) -> None:
        absent = [name for name in _HOOKS if not hasattr(AbstractCapability, name)]
        if absent:
            raise AdapterError(f"this Pydantic AI has no {', '.join(absent)}; install agentguard[pydantic-ai]")
        prove_hooks()
        warn_untested()
        self.gate = Gate(guard, agent)

    @classmethod
    def unproven(cls, gate: Gate) -> AgentGuard:
        """Without the self-test: for the self-test itself, and for one that has passed it."""
        made = cls.__new__(cls)
        made.gate = gate
        return made

    def get_ordering(self) -> CapabilityOrdering:
        """Nearest to the model and the tools: what other capabilities change is checked as it will be used."""
        return CapabilityOrdering(position="innermost")

    def for_agent(self, agent: Any) -> AgentGuard:
        """Bound to the agent's own name, unless another was given."""
        if self.gate.agent is not None or not agent.name:
            return self
        return AgentGuard.unproven(Gate(self.gate.guard, agent.name))

    def get_wrapper_model(self, model: Model) -> Model | None:
        """The model, guarded; one that ``guarded_model`` made stays as it is."""
        return None if is_guarded(model, self.gate.guard) else GuardedModel(model, self.gate)

    async def wrap_run(self, ctx: RunContext[Any], *, handler: Callable[[], Any]) -> Any:
        """Open the conversation of this run."""
        run = agent_run(self.gate, framework=FRAMEWORK, request=_typed(ctx.prompt))
        with run.active():
            return await handler()

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any] | None:
        """The tools, guarded, nearest to their functions."""
        return None if is_guarded_toolset(toolset, self.gate.guard) else GuardedToolset(toolset, self.gate)


def _typed(prompt: Any) -> list[str]:
    """The words of a prompt that a person typed. Files and links beside them are quoted material."""
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, Sequence):
        return []
    return [part if isinstance(part, str) else part.content for part in prompt if type(part) in (str, TextContent)]


@dataclass(slots=True)
class Protection:
    """An agent that ``protect`` guards. ``undo`` takes the guard off again."""

    agent: Agent[Any, Any]
    _before: CombinedCapability[Any] | None

    def undo(self) -> None:
        """As before ``protect``; a second time does nothing."""
        if self._before is not None:
            self.agent._root_capability = self._before
            self._before = None


def protect(agent: Agent[Any, Any], guard: Guard, *, name: str | None = None) -> Protection:
    """Guard an agent that is built already. Protecting twice is protecting once.

    Agents that its tools start are not reached from here: give each its own ``AgentGuard``.

    Args:
        agent: a Pydantic AI ``Agent``.
        guard: decides.
        name: the name the policy knows the agent by; the agent's own when absent.

    Raises:
        AdapterError: something else, or an Agent that keeps its capabilities in another place.
    """
    root: object = getattr(agent, "_root_capability", None)
    if not isinstance(root, CombinedCapability):
        raise AdapterError(
            f"got a {type(agent).__name__}; a pydantic_ai Agent can be protected, or build it with "
            "Agent(..., capabilities=[AgentGuard(guard)])"
        )
    if any(isinstance(known, AgentGuard) and known.gate.guard is guard for known in root.capabilities):
        return Protection(agent, None)
    added = AgentGuard(guard, agent=name).for_agent(agent)
    agent._root_capability = CombinedCapability([*root.capabilities, added])
    return Protection(agent, root)
