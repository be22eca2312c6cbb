"""``GuardedRunner``: the SDK's ``Runner``, with the guard around every run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from agents import Agent, Model, RunConfig, Runner, RunResult, RunResultStreaming
from agents.items import TResponseInputItem

from agentguard import AdapterError, Guard
from agentguard.adapter import agent_run

from .model import GuardedModel, GuardedProvider
from .protection import Protection, protect
from .runs import FRAMEWORK, acting_run

__all__ = ["GuardedRunner"]


class GuardedRunner:
    """Runs agents guarded. The input of a run is the user's request, unless a conversation is open around it.

    The agents are guarded in place, once, as ``protect`` does, and stay so.

    Args:
        guard: decides.
        names: the policy's name of an agent, by its own; its own name when absent.
        hosted_tools: accept tools that run at the provider, where no call is checked.
    """

    def __init__(self, guard: Guard, *, names: Mapping[str, str] | None = None, hosted_tools: bool = False) -> None:
        self.guard = guard
        self._names = dict(names or {})
        self._hosted = hosted_tools
        self._protections: dict[int, tuple[Agent[Any], Protection]] = {}

    async def run(self, agent: Agent[Any], input: str | list[TResponseInputItem], **options: Any) -> RunResult:
        """As ``Runner.run``.

        Raises:
            Denied: a model input, an answer or a hand-off was refused.
            AdapterError: something that cannot be guarded.
        """
        config = self._prepared(agent, options)
        with self._opened(agent, input).active():
            return await Runner.run(agent, input, run_config=config, **options)

    def run_sync(self, agent: Agent[Any], input: str | list[TResponseInputItem], **options: Any) -> RunResult:
        """As ``Runner.run_sync``."""
        config = self._prepared(agent, options)
        with self._opened(agent, input).active():
            return Runner.run_sync(agent, input, run_config=config, **options)

    def run_streamed(
        self, agent: Agent[Any], input: str | list[TResponseInputItem], **options: Any
    ) -> RunResultStreaming:
        """As ``Runner.run_streamed``. An answer is streamed once the whole of it was checked."""
        config = self._prepared(agent, options)
        # The task that the SDK starts here keeps the conversation.
        with self._opened(agent, input).active():
            return Runner.run_streamed(agent, input, run_config=config, **options)

    def _prepared(self, agent: Agent[Any], options: dict[str, Any]) -> RunConfig:
        """The run's settings, with guarded models in them.

        Raises:
            AdapterError: settings in another form than ``RunConfig``.
        """
        config = options.pop("run_config", None) or RunConfig()
        if not isinstance(config, RunConfig):
            raise AdapterError(f"got run_config as a {type(config).__name__}; pass a RunConfig")
        if getattr(config, "sandbox", None) is not None:
            raise AdapterError("a sandbox runs tools past every hook; it cannot be guarded")
        protection = self._protected(agent)
        gate = protection.gate(agent)
        model = config.model
        if isinstance(model, Model):
            model = GuardedModel(model, gate)
        provider = GuardedProvider(config.model_provider, gate)
        return dataclasses.replace(config, model=model, model_provider=provider)

    def _protected(self, agent: Agent[Any]) -> Protection:
        known = self._protections.get(id(agent))
        if known is None or known[0] is not agent:
            known = agent, protect(agent, self.guard, names=self._names, hosted_tools=self._hosted)
            self._protections[id(agent)] = known
        else:
            # What was added to it since is guarded too.
            known[1].again(agent)
        return known[1]

    def _opened(self, agent: Agent[Any], input: str | list[TResponseInputItem]) -> Any:
        gate = self._protected(agent).gate(agent)
        run = agent_run(gate, framework=FRAMEWORK, request=_typed(input))
        with run.active():
            acting_run(gate)
        return run


def _typed(input: str | list[TResponseInputItem]) -> list[str]:
    """The words of the input that a person typed last. Files and earlier turns are not among them."""
    if isinstance(input, str):
        return [input]
    last: Any = input[-1] if input else None
    if not isinstance(last, dict) or last.get("role") != "user":
        return []
    content = last.get("content")
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content or () if isinstance(part, dict) and part.get("type") == "input_text"]
