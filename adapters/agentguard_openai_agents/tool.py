"""Tools and hand-offs that happen only as the guard lets them.

A refused tool call is not run, and the model reads why. A refused hand-off ends the run: the SDK has no other answer.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

from agents import FunctionTool, Handoff, RunContextWrapper
from agents.tool_context import ToolContext
from pydantic import BaseModel

from agentguard import AdapterError, AgentMessage, Conversation, Denied, Guard, Json, ToolCall, ToolResult
from agentguard.adapter import REFUSED, Gate, Passage, inside_tool

from .events import arguments, encode
from .runs import acting_run

__all__ = ["guarded_handoff", "guarded_listing", "guarded_tool", "is_guarded_by", "is_guarded_tool"]

_GUARD = "_agentguard_guard"
_GATE = "_agentguard_gate"
_ORIGINAL = "_agentguard_original"


def guarded_tool(tool: FunctionTool, gate: Gate) -> FunctionTool:
    """A tool like ``tool``, whose every call and result is checked. Guarding twice is guarding once.

    One that was guarded for another agent is guarded anew: it would act under that one's name.
    """
    if is_guarded_by(tool, gate):
        return tool
    if is_guarded_tool(tool, gate.guard):
        tool = getattr(tool, _ORIGINAL)
    invoke = tool.on_invoke_tool

    async def guarded(context: ToolContext[Any], input: str) -> Any:
        async def work(args: Json) -> Any:
            return await invoke(context, args if isinstance(args, str) else json.dumps(args))

        call = _Call(tool.name, getattr(context, "tool_call_id", None), _words)
        return await call.through(gate, arguments(input), work)

    copy = dataclasses.replace(tool, on_invoke_tool=guarded)
    for name, value in ((_GUARD, gate.guard), (_GATE, gate), (_ORIGINAL, tool)):
        setattr(copy, name, value)
    return copy


def is_guarded_by(tool: object, gate: Gate) -> bool:
    """Whether this very gate, of one agent, checks it already."""
    return getattr(tool, _GATE, None) == gate


def is_guarded_tool(tool: object, guard: Guard) -> bool:
    """Whether ``guard`` checks this tool already."""
    return getattr(tool, _GUARD, None) is guard


def guarded_listing(listing: Callable[..., Awaitable[Any]], gate: Gate) -> Callable[..., Awaitable[Any]]:
    """What an agent's MCP servers offer it, each tool guarded for this agent."""

    async def guarded(*args: Any, **options: Any) -> Any:
        found = await listing(*args, **options)
        return [guarded_tool(tool, gate) if isinstance(tool, FunctionTool) else tool for tool in found]

    setattr(guarded, _GATE, gate)
    return guarded


@dataclasses.dataclass(frozen=True, slots=True)
class _Call:
    """One call of a tool: its name, its id, and how a refusal is said."""

    name: str
    id: str | None
    refused: Callable[[Denied], Any]

    async def through(self, gate: Gate, args: Json, work: Callable[[Json], Awaitable[Any]]) -> Any:
        """Check, run with exactly what was checked, check what comes back."""
        run = acting_run(gate)
        try:
            ready = await gate.aadmit(args, _call_passage(self.name, self.id), run)
        except Denied as refusal:
            return self.refused(refusal)
        with inside_tool(run):
            result = await work(ready)
        try:
            return await gate.aadmit(result, _result_passage(ToolCall(self.name, _by_name(ready), self.id)), run)
        except Denied as refusal:
            return self.refused(refusal)


def _words(refusal: Denied) -> str:
    return str(refusal) or REFUSED


def _by_name(args: Json) -> Any:
    # Arguments that are no object are one argument without a name.
    return args if isinstance(args, dict) else {"input": args}


def _call_passage(name: str, call_id: str | None) -> Passage[Json, ToolCall]:
    return Passage(
        event=lambda args: ToolCall(name, _by_name(args), call_id),
        apply=lambda args, _before, after: after.args if isinstance(args, dict) else cast(Any, after.args)["input"],
        nearest=lambda: ToolCall(name, {}, call_id),
    )


def _result_passage(call: ToolCall) -> Passage[Any, ToolResult]:
    return Passage(
        event=lambda value: ToolResult(call.tool, call.args, encode(value), call.call_id),
        apply=lambda value, before, after: value if before == after else _result_applied(value, after.content),
        nearest=lambda: ToolResult(call.tool, call.args, None, call.call_id),
    )


def _result_applied(value: Any, content: Json) -> Any:
    """A result with its texts replaced; an object of a protocol stays one, anything else becomes its JSON form."""
    return type(value).model_validate(content, by_name=True) if isinstance(value, BaseModel) else content


def guarded_handoff(
    handoff: Handoff[Any, Any], gate: Gate, receiver: str, reached: Callable[[Any], None]
) -> Handoff[Any, Any]:
    """A hand-off like ``handoff`` that is checked as a message to ``receiver``; ``reached`` guards who takes over."""
    invoke = handoff.on_invoke_handoff

    async def guarded(context: RunContextWrapper[Any], input: str) -> Any:
        run: Conversation = acting_run(gate)
        await gate.aadmit(input, _message_passage(gate.principal().id, receiver), run)
        agent = await invoke(context, input)
        reached(agent)
        return agent

    copy = dataclasses.replace(handoff, on_invoke_handoff=guarded)
    setattr(copy, _GUARD, gate.guard)
    return copy


def _message_passage(sender: str, receiver: str) -> Passage[str, AgentMessage]:
    return Passage(
        event=lambda text: AgentMessage(sender, receiver, "hand-off", arguments(text or "{}")),
        apply=_unchanged,
        nearest=lambda: AgentMessage(sender, receiver, "hand-off", None),
    )


def _unchanged(text: str, before: AgentMessage, after: AgentMessage) -> str:
    if before != after:
        raise AdapterError("a hand-off cannot be rewritten: the agent that takes over reads the words in the history")
    return text
