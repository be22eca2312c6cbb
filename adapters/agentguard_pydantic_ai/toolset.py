"""Tools that run only as the guard lets them, whose results are checked before anyone reads them.

The guard stands nearest to the tool's own function: what hooks of other capabilities do to the arguments happens
before it looks, and what they do to a result is the application's own doing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from pydantic_ai.exceptions import ModelRetry, ToolFailed
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import ToolsetTool, WrapperToolset

from agentguard import Conversation, Denied, Guard, ToolCall, ToolResult
from agentguard.adapter import REFUSED, Gate, Passage, hook_run, inside_tool

from .events import arguments_applied, encode, result_applied
from .model import FRAMEWORK

__all__ = ["GuardedToolset", "is_guarded_toolset"]


@dataclass
class GuardedToolset(WrapperToolset[Any]):
    """Checks every call and every result. A refused call is not run, and the model reads why."""

    gate: Gate

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """Check the call, run the tool with exactly what was checked, check what comes back."""
        run = hook_run(self.gate, framework=FRAMEWORK)
        try:
            ready = await self.gate.aadmit(tool_args, _call_passage(name, ctx.tool_call_id), run)
        except Denied as refusal:
            return str(refusal) or REFUSED
        passage = _result_passage(ToolCall(name, cast(Any, encode(ready)), ctx.tool_call_id))
        try:
            with inside_tool(run):
                result = await super().call_tool(name, ready, ctx, tool)
        except (ModelRetry, ToolFailed) as answer:
            # The model reads this as the tool's answer.
            raise type(answer)(await self._admitted(answer.message, passage, run)) from answer
        return await self._admitted(result, passage, run)

    async def _admitted(self, value: Any, passage: Passage[Any, ToolResult], run: Conversation) -> Any:
        try:
            return await self.gate.aadmit(value, passage, run)
        except Denied as refusal:
            return str(refusal) or REFUSED


def is_guarded_toolset(toolset: object, guard: Guard) -> bool:
    """Whether ``guard`` checks these tools already, at any depth of wrapping."""
    while isinstance(toolset, WrapperToolset):
        if isinstance(toolset, GuardedToolset) and toolset.gate.guard is guard:
            return True
        toolset = toolset.wrapped
    return False


def _call_passage(tool: str, call_id: str | None) -> Passage[dict[str, Any], ToolCall]:
    return Passage(
        event=lambda args: ToolCall(tool, cast(Any, encode(args)), call_id),
        apply=lambda args, before, after: arguments_applied(args, cast(Any, before.args), cast(Any, after.args)),
        nearest=lambda: ToolCall(tool, {}, call_id),
    )


def _result_passage(call: ToolCall) -> Passage[Any, ToolResult]:
    return Passage(
        event=lambda value: ToolResult(call.tool, call.args, encode(value), call.call_id),
        apply=lambda value, before, after: value if before == after else result_applied(value, after.content),
        nearest=lambda: ToolResult(call.tool, call.args, None, call.call_id),
    )
