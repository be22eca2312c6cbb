"""``protect``: an agent and every agent it can hand over to or call, guarded in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents import Agent, AgentHooks, FunctionTool, Handoff, Model, ModelProvider, ModelResponse, handoff
from agents.items import TResponseOutputItem
from agents.models.multi_provider import MultiProvider

from agentguard import AdapterError, Guard
from agentguard.adapter import Gate

from .canary import prove_hooks
from .model import GuardedModel, GuardedProvider, is_guarded, passed_of
from .tool import guarded_handoff, guarded_listing, guarded_tool, is_guarded_by, is_guarded_tool
from .versions import warn_untested

__all__ = ["Protection", "attach", "protect"]

# Tools that run at the provider: what they are asked and what they answer stands in the model's answer, nowhere else.
_HOSTED = ("file_search", "web_search", "web_search_preview", "code_interpreter", "image_generation", "hosted_mcp")


@dataclass
class Protection:
    """The agents that one ``protect`` reached. ``undo`` takes the guard off again."""

    guard: Guard
    names: Mapping[str, str]
    provider: ModelProvider
    hosted_tools: bool
    _undo: list[Callable[[], None]] = field(default_factory=list)
    _reached: dict[int, Agent[Any]] = field(default_factory=dict)

    def undo(self) -> None:
        """As before ``protect``; a second time does nothing."""
        while self._undo:
            self._undo.pop()()
        self._reached.clear()

    def again(self, agent: Agent[Any]) -> None:
        """Guard what was added to the agents since.

        Raises:
            AdapterError: as ``reach``.
        """
        self._reached.clear()
        self.reach(agent)

    def gate(self, agent: Agent[Any]) -> Gate:
        """The guard as the hooks of this agent see it."""
        return Gate(self.guard, self.names.get(agent.name, agent.name))

    def reach(self, agent: object) -> None:
        """Guard one agent and all it leads to.

        Raises:
            AdapterError: it is no agent, or has a part that cannot be guarded.
        """
        if not isinstance(agent, Agent):
            raise AdapterError(f"got a {type(agent).__name__}; an Agent of the OpenAI Agents SDK can be protected")
        if hasattr(agent, "capabilities"):
            raise AdapterError("a SandboxAgent gets its tools as it runs, past every hook; it cannot be protected")
        if id(agent) in self._reached:
            return
        self._reached[id(agent)] = agent
        gate = self.gate(agent)
        self._set(agent, "model", self._model(agent.model, gate))
        self._set(agent, "hooks", self._watch(agent.hooks))
        self._set(agent, "tools", [self._tool(tool, gate) for tool in agent.tools])
        self._set(agent, "handoffs", [self._handoff(target, gate) for target in agent.handoffs])
        if not is_guarded_by(agent.get_mcp_tools, gate):
            self._set(agent, "get_mcp_tools", guarded_listing(agent.get_mcp_tools, gate))

    def _watch(self, hooks: Any) -> Any:
        return hooks if isinstance(hooks, _Watch) and hooks.guard is self.guard else _Watch(hooks, self.guard)

    def _set(self, target: Any, name: str, value: object) -> None:
        missing = object()
        before = vars(target).get(name, missing)
        if before is value or (isinstance(value, list) and isinstance(before, list) and _same(before, value)):
            return
        setattr(target, name, value)
        self._undo.append(lambda: delattr(target, name) if before is missing else setattr(target, name, before))

    def _model(self, model: Model | str | None, gate: Gate) -> Model:
        if isinstance(model, Model):
            if isinstance(model, _Named) and model.gate == gate:
                return model
            # Guarded for another agent, it would act under that one's name.
            inner = model.inner if is_guarded(model, self.guard) else model  # type: ignore[attr-defined]
            return model if isinstance(model, GuardedModel) and model.gate == gate else GuardedModel(inner, gate)
        return _Named(GuardedProvider(self.provider, gate), model, gate)

    def _tool(self, tool: Any, gate: Gate) -> Any:
        if isinstance(tool, FunctionTool):
            inner = getattr(tool, "_agent_instance", None)
            if inner is not None:
                self.reach(inner)
            return guarded_tool(tool, gate)
        if tool.name in _HOSTED and self.hosted_tools:
            return tool
        why = (
            "runs at the provider, where no call is checked; pass hosted_tools=True to accept that"
            if (tool.name in _HOSTED)
            else "is run by the SDK itself, past every hook; offer a function tool instead"
        )
        raise AdapterError(f"the tool {tool.name} {why}")

    def _handoff(self, target: Any, gate: Gate) -> Any:
        if isinstance(target, Agent):
            self.reach(target)
            target = handoff(target)
        if not isinstance(target, Handoff):
            raise AdapterError(f"got a {type(target).__name__} as a hand-off; an Agent or a Handoff can be guarded")
        if is_guarded_tool(target, self.guard):
            return target
        return guarded_handoff(target, gate, self.names.get(target.agent_name, target.agent_name), self.reach)


def _same(before: list[Any], after: list[Any]) -> bool:
    return len(before) == len(after) and all(old is new for old, new in zip(before, after, strict=True))


class _Named(Model):
    """A model that is looked up by its name when it is first called, guarded."""

    def __init__(self, provider: GuardedProvider, name: str | None, gate: Gate) -> None:
        self._provider = provider
        self._name = name
        self.gate = gate

    def _found(self) -> Model:
        return self._provider.get_model(self._name)

    async def get_response(self, *args: Any, **options: Any) -> ModelResponse:
        return await self._found().get_response(*args, **options)

    def stream_response(self, *args: Any, **options: Any) -> Any:
        return self._found().stream_response(*args, **options)


class _Watch(AgentHooks[Any]):
    """Refuses an answer that no guarded model gave: ``RunConfig(model=...)`` takes the place of an agent's own."""

    def __init__(self, inner: Any, guard: Guard) -> None:
        self._inner = inner
        self.guard = guard

    async def on_llm_end(self, context: Any, agent: Any, response: ModelResponse) -> None:
        items: list[TResponseOutputItem] = response.output
        if not passed_of(self.guard).knows(items):
            raise AdapterError(
                "an answer went past the guard: RunConfig(model=...) or a model of another run took the place of the "
                "agent's own; use GuardedRunner, or give the agents their models"
            )
        if self._inner is not None:
            await self._inner.on_llm_end(context, agent, response)

    def __getattribute__(self, name: str) -> Any:
        # Every other hook is the application's own.
        if name.startswith("on_") and name != "on_llm_end":
            inner = object.__getattribute__(self, "_inner")
            if inner is not None:
                return getattr(inner, name)
        return object.__getattribute__(self, name)


def protect(
    agent: Agent[Any],
    guard: Guard,
    *,
    names: Mapping[str, str] | None = None,
    provider: ModelProvider | None = None,
    hosted_tools: bool = False,
) -> Protection:
    """Guard ``agent`` and every agent it hands over to or calls, in place. Protecting twice is protecting once.

    Run it with ``GuardedRunner``, or inside ``with guard.conversation(principal, prompt):``, which says what the user
    asked. Without either, nobody's request stands behind a call, and what the policy ties to one is refused.

    Args:
        agent: the agent a run starts with.
        guard: decides.
        names: the policy's name of an agent, by its own; its own name when absent.
        provider: finds the models of agents that name theirs; the SDK's own when absent.
        hosted_tools: accept tools that run at the provider, where no call is checked.

    Raises:
        AdapterError: something that cannot be guarded, or this SDK does not call our hooks.
    """
    prove_hooks()
    warn_untested()
    return attach(agent, guard, names=names, provider=provider, hosted_tools=hosted_tools)


def attach(
    agent: Agent[Any],
    guard: Guard,
    *,
    names: Mapping[str, str] | None = None,
    provider: ModelProvider | None = None,
    hosted_tools: bool = False,
) -> Protection:
    """As ``protect``, without the self-test."""
    protection = Protection(guard, dict(names or {}), provider or MultiProvider(), hosted_tools)
    try:
        protection.reach(agent)
    except BaseException:
        protection.undo()
        raise
    return protection
