"""An agent: who acts while it works, what it is handed, and with which model and tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from praisonaiagents import Agent
from praisonaiagents.agent.handoff import _get_handoff_chain

from agentguard import AdapterError, AgentMessage, Conversation, Denied, Guard, current_conversation
from agentguard.adapter import Gate, Passage, agent_run, runs_tool

from .model import guarded_client, guarded_llm, unguarded
from .runs import FRAMEWORK, Entry, current_entry, entered, member_run, noting
from .tool import aran, outside_tools, passed_gate, ran, refused_inside, runs_here
from .values import encode

__all__ = ["GuardedAgent", "Wiring", "handing_over"]


@dataclass(frozen=True, eq=False)
class Wiring:
    """The guard of one ``protect``, the policy's names of its agents, and how one more agent is guarded."""

    guard: Guard
    attach: Callable[[Any, Wiring], None]
    names: Mapping[str, str] = field(default_factory=dict)

    def name(self, agent: str) -> str:
        """The policy's name of the agent with this name."""
        return self.names.get(agent.strip(), agent.strip())

    def gate(self, agent: str) -> Gate:
        """The guard as the hooks of the agent with this name see it."""
        return Gate(self.guard, self.name(agent))


# What earlier agents of a team wrote for the agent that works on a task now, by their names.
_handed: ContextVar[Mapping[str, list[str]] | None] = ContextVar("agentguard_praisonai_handed", default=None)


@contextmanager
def handing_over(texts: Mapping[str, list[str]]) -> Iterator[None]:
    """Run a task whose prompt holds what these agents wrote."""
    token = _handed.set(texts)
    try:
        yield
    finally:
        _handed.reset(token)


class GuardedAgent(Agent):  # type: ignore[misc]  # the framework has no types
    """The methods of a guarded agent, before those of its own class."""

    _agentguard: Wiring
    # The client it was given, and the same guarded.
    _agentguard_client: tuple[Any, Any] | None = None
    display_name: str
    _llm_instance: Any
    _unified_dispatcher: Any

    # -- the ways in

    def chat(self, prompt: Any, *args: Any, **options: Any) -> Any:
        with self._acting(prompt) as ready:
            return super().chat(ready, *args, **options)

    async def achat(self, prompt: Any, *args: Any, **options: Any) -> Any:
        with self._acting(prompt) as ready:
            return await super().achat(ready, *args, **options)

    def _start_stream(self, prompt: Any, **options: Any) -> Iterator[Any]:
        # To its end: an answer that may not be given has not been given in part.
        with self._acting(prompt) as ready:
            chunks = list(super()._start_stream(ready, **options))
        yield from chunks

    def run_autonomous(self, prompt: Any, *args: Any, **options: Any) -> Any:
        with self._acting(prompt) as ready:
            return super().run_autonomous(ready, *args, **options)

    async def run_autonomous_async(self, prompt: Any, *args: Any, **options: Any) -> Any:
        with self._acting(prompt) as ready:
            return await super().run_autonomous_async(ready, *args, **options)

    # -- tools

    def _execute_tool_impl(self, function_name: str, arguments: Any) -> Any:
        work = super()._execute_tool_impl
        return ran(self._gate, function_name, lambda: work(function_name, arguments))

    async def _execute_tool_async_impl(self, function_name: str, *args: Any, **options: Any) -> Any:
        work = super()._execute_tool_async_impl
        return await aran(self._gate, function_name, lambda: work(function_name, *args, **options))

    def _check_tool_policy_and_guardrails(self, function_name: str, arguments: Any, tools: Any = None) -> Any:
        checked = super()._check_tool_policy_and_guardrails(function_name, arguments, tools)
        if isinstance(checked, dict):
            return checked
        ready = passed_gate(function_name, checked[1])
        return {"error": "refused", "policy_denied": True} if ready is None else (None, ready)

    def _get_existing_stream_emitter(self) -> Any:
        # Asked for inside a call only to report a tool's progress.
        return None if runs_here() else super()._get_existing_stream_emitter()

    def _self_repair_tool_name(self, _name: str) -> None:
        """A call is run under the name that was checked, and no other."""

    # -- models

    def _ensure_llm_instance(self) -> Any:
        llm = super()._ensure_llm_instance()
        if llm is None:
            return None
        guarded = guarded_llm(llm, self._gate)
        if guarded is not llm:
            self._llm_instance = guarded
            self._wire_deferred_history_callback()
        return guarded

    @property
    def llm_instance(self) -> Any:
        return self._ensure_llm_instance()

    @llm_instance.setter
    def llm_instance(self, value: Any) -> None:
        Agent.llm_instance.fset(self, value)

    def _fallback_llm_for(self, model: Any) -> Any:
        return guarded_llm(super()._fallback_llm_for(model), self._gate)

    @property
    def _openai_client(self) -> Any:
        client = super()._openai_client
        if client is None:
            return None
        known = self._agentguard_client
        if known is None or known[0] is not client:
            self._agentguard_client = known = (client, guarded_client(client, self._gate))
        return known[1]

    def _create_llm_summarize_fn(self) -> None:
        """Context is summarised without a model: this one has a client of its own."""

    # -- ways past every model of the agent, should one be set after it was guarded

    def _delegate_to_backend(self, *_: Any, **__: Any) -> Any:
        raise AdapterError("a guarded agent does not answer by another back end: nothing of it would be checked")

    _adelegate_to_backend = _delegate_streaming_to_backend = _chat_via_cli_backend = _delegate_to_backend
    _start_with_planning = _delegate_to_backend

    # -- under whom

    @property
    def _gate(self) -> Gate:
        return self._agentguard.gate(self.display_name)

    @contextmanager
    def _acting(self, prompt: Any) -> Iterator[Any]:
        """The agent's own run, and the prompt as it may be read."""
        around = current_entry()
        if around is not None and around.holds(self):
            yield prompt
            return
        sender, outer = self._sender(), current_conversation()
        called = outer is not None and runs_tool(outer)
        team = around if around is not None and around.run is outer and not called else None
        run = (
            member_run(team.run, self._gate)
            if team is not None and not isinstance(team.owner, GuardedAgent)
            else agent_run(self._gate, framework=FRAMEWORK, request=_texts(prompt) if sender is None else ())
        )
        with noting():
            ready = self._read(prompt, sender, run)
        try:
            with entered(Entry(self, run, team)), handing_over({}), outside_tools():
                yield ready
        except Denied as refusal:
            refused_inside(refusal)
            raise

    def _read(self, prompt: Any, sender: str | None, run: Conversation) -> Any:
        """What other agents wrote for this one, checked as messages to it."""
        gate = self._gate
        if sender is not None:
            return gate.admit(prompt, _message(sender, gate, "hand-off"), run)
        words = "\n".join(_texts(prompt))
        for name, texts in (_handed.get() or {}).items():
            author = self._agentguard.name(name)
            for text in texts if author != gate.agent else ():
                if text not in words:
                    continue
                checked = gate.admit(text, _message(author, gate, "task-output"), run)
                prompt = _replaced(prompt, text, checked)
        return prompt

    def _sender(self) -> str | None:
        """The agent that hands over to this one just now."""
        chain, outer = _get_handoff_chain(), current_conversation()
        if not chain:
            return None
        sender = self._agentguard.name(chain[-1])
        if outer is not None and runs_tool(outer) and outer.principal.id != sender:
            return None
        return sender if sender != self._gate.agent else None

    def _agentguard_undone(self) -> None:
        self._llm_instance = unguarded(self._llm_instance) if self._llm_instance is not None else None
        self._agentguard_client = self._unified_dispatcher = None


def _replaced(prompt: Any, text: str, checked: Any) -> Any:
    if checked == text:
        return prompt
    if not isinstance(prompt, str):
        raise AdapterError("the output of another task cannot be rewritten in a prompt with pictures")
    return prompt.replace(text, checked)


def _message(sender: str, gate: Gate, topic: str) -> Passage[Any, AgentMessage]:
    receiver = gate.principal().id
    return Passage(
        event=lambda content: AgentMessage(sender, receiver, topic, encode(content)),
        apply=lambda _content, _before, after: after.content,
        nearest=lambda: AgentMessage(sender, receiver, topic, None),
    )


def _texts(prompt: Any) -> list[str]:
    """The words of a prompt, whose other parts are pictures."""
    if isinstance(prompt, str):
        return [prompt]
    parts = prompt if isinstance(prompt, list) else []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]
