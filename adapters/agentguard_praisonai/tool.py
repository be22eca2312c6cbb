"""Tool calls that happen only as the guard lets them, and results that were checked before anyone reads them.

The call is checked at PraisonAI's own last gate before a tool runs, behind its hooks, middleware, approvals and
guardrails, so that what was checked is what runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

from praisonaiagents.streaming.events import tool_progress_channel

from agentguard import AdapterError, Conversation, Denied, ToolCall, ToolResult
from agentguard.adapter import REFUSED, Gate, Passage, hook_run, inside_tool

from .runs import FRAMEWORK
from .values import encode

__all__ = ["aran", "outside_tools", "passed_gate", "ran", "refused_inside", "runs_here"]

# How PraisonAI marks an error that a tool raised, in what it makes of it.
_RAISED = "_praison_retryable"


@dataclass(slots=True)
class _Call:
    """One call of a tool on its way: what it may run with, or why it may not."""

    gate: Gate
    run: Conversation
    tool: str
    args: dict[str, Any] | None = None
    refusal: Denied | None = None
    # Why an agent that the tool started was refused.
    inside: Denied | None = None

    def stopped(self, result: Any) -> dict[str, Any] | None:
        """What is answered in place of ``result`` when the call was refused, or failed because of a refusal."""
        if self.refusal is not None:
            return refused(self.refusal)
        if self.inside is not None and isinstance(result, dict) and _RAISED in result:
            return refused(self.inside)
        return _not_reached(result) if self.args is None else None


_call: ContextVar[_Call | None] = ContextVar("agentguard_praisonai_call", default=None)


@contextmanager
def _calling(gate: Gate, tool: str) -> Iterator[_Call]:
    call = _Call(gate, hook_run(gate, framework=FRAMEWORK), tool)
    token = _call.set(call)
    try:
        # What it reports of its progress is not given out: nobody has checked it.
        with inside_tool(call.run), tool_progress_channel(None):
            yield call
    finally:
        _call.reset(token)


def runs_here() -> bool:
    """Whether a guarded tool is running here."""
    return _call.get() is not None


def passed_gate(tool: str, args: dict[str, Any]) -> dict[str, Any] | None:
    """The arguments ``tool`` may run with; None when it may not run."""
    call = _call.get()
    if call is None or call.tool != tool:
        raise AdapterError(f"the tool {tool} is run past the guard")
    try:
        call.args = call.gate.admit(args, _call_passage(tool), call.run)
    except Denied as refusal:
        call.refusal = refusal
        return None
    return call.args


@contextmanager
def outside_tools() -> Iterator[None]:
    """Start an agent: what its tools do is a matter of their own, whatever tool it was started in."""
    token = _call.set(None)
    try:
        yield
    finally:
        _call.reset(token)


def refused_inside(refusal: Denied) -> None:
    """Note that an agent was refused that the tool running here started."""
    call = _call.get()
    if call is not None:
        call.inside = refusal


def refused(refusal: Denied) -> dict[str, Any]:
    """What the model reads in place of a result; PraisonAI does not try such a call again."""
    return {"error": str(refusal) or REFUSED, "permission_denied": True, "policy_denied": True}


def ran(gate: Gate, tool: str, work: Callable[[], Any]) -> Any:
    """Run a tool and check what comes back."""
    with _calling(gate, tool) as call:
        result = work()
    if (answer := call.stopped(result)) is not None:
        return answer
    try:
        return gate.admit(result, _result_passage(tool, call.args or {}), call.run)
    except Denied as refusal:
        return refused(refusal)


async def aran(gate: Gate, tool: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """As ``ran``, without blocking the event loop."""
    with _calling(gate, tool) as call:
        result = await work()
    if (answer := call.stopped(result)) is not None:
        return answer
    try:
        return await gate.aadmit(result, _result_passage(tool, call.args or {}), call.run)
    except Denied as refusal:
        return refused(refusal)


def _not_reached(result: Any) -> Any:
    """What PraisonAI answers for a call that it stopped itself; anything else was run past the guard."""
    if isinstance(result, dict) and result.get("error"):
        return result
    raise AdapterError("a tool was run past the guard")


def _call_passage(name: str) -> Passage[dict[str, Any], ToolCall]:
    return Passage(
        event=lambda args: ToolCall(name, cast(Any, encode(args))),
        apply=_arguments_applied,
        nearest=lambda: ToolCall(name, {}),
    )


def _arguments_applied(args: dict[str, Any], before: ToolCall, after: ToolCall) -> dict[str, Any]:
    old, new = cast(dict[str, Any], before.args), cast(dict[str, Any], after.args)
    if old.keys() != new.keys():
        raise AdapterError("the name of an argument cannot be replaced")
    return {name: args[name] if old[name] == new[name] else new[name] for name in args}


def _result_passage(name: str, args: dict[str, Any]) -> Passage[Any, ToolResult]:
    asked = cast(Any, encode(args))

    def event(value: Any) -> ToolResult:
        if isinstance(value, dict) and _RAISED in value:
            return ToolResult(name, asked, encode(value["error"]), is_error=True)
        return ToolResult(name, asked, encode(value))

    return Passage(event=event, apply=_result_applied, nearest=lambda: ToolResult(name, asked, None))


def _result_applied(value: Any, before: ToolResult, after: ToolResult) -> Any:
    """The result in the form that was checked: an object is written out, since its own words may be others."""
    return {**value, "error": after.content} if before.is_error else after.content
