"""Tools that run only as the guard lets them, whose results are checked before anyone reads them."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from crewai.hooks.dispatch import HookAborted
from crewai.tools import BaseTool
from crewai.tools.structured_tool import CrewStructuredTool

from agentguard import AdapterError, Conversation, Denied, ToolCall, ToolFailedError, ToolResult
from agentguard.adapter import REFUSED, Gate, Passage, hook_run, inside_tool

from .model import FRAMEWORK
from .swap import guarded_class, guards_of
from .values import encode, value_applied

__all__ = ["guarded_tool", "outside_tools"]

# The tool whose own code runs now: its methods call each other, and that is one call.
_running: ContextVar[object | None] = ContextVar("agentguard_crewai_tool", default=None)


@contextmanager
def outside_tools() -> Iterator[None]:
    """Start an agent: what its tools do is checked, whatever tool it was started in."""
    token = _running.set(None)
    try:
        yield
    finally:
        _running.reset(token)


class _Guarded:
    """The methods of a guarded tool, before those of its own class: the ways into its code."""

    _agentguard: Gate

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return _ran(self, super().run, args, kwargs)  # type: ignore[misc]

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        return _ran(self, super()._run, args, kwargs)  # type: ignore[misc]

    async def arun(self, *args: Any, **kwargs: Any) -> Any:
        return await _aran(self, super().arun, args, kwargs)  # type: ignore[misc]

    async def _arun(self, *args: Any, **kwargs: Any) -> Any:
        return await _aran(self, super()._arun, args, kwargs)  # type: ignore[misc]


def guarded_tool(tool: Any, gate: Gate) -> Any:
    """A tool like ``tool``, whose every call and result is checked.

    Results are not kept for the next call: one agent must not get from a cache what another was allowed to ask for.
    """
    if any(known.guard is gate.guard for known in guards_of(tool)):
        return tool
    if isinstance(tool, CrewStructuredTool):
        original = getattr(tool, "_original_tool", None)
        if original is None:
            raise AdapterError(
                f"the tool {tool.name} is a bare CrewStructuredTool; pass a BaseTool, which can be guarded"
            )
        return guarded_tool(original, gate)
    if not isinstance(tool, BaseTool):
        raise AdapterError(f"got a {type(tool).__name__} as a tool; a crewai BaseTool can be guarded")
    copy = tool.model_copy(update={"cache_function": _never})
    object.__setattr__(copy, "__class__", guarded_class(type(tool), _Guarded, gate))
    return copy


def _never(_args: Any = None, _result: Any = None) -> bool:
    return False


def _ran(tool: Any, work: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if _running.get() is tool:
        return work(*args, **kwargs)
    gate: Gate = tool._agentguard
    run = hook_run(gate, framework=FRAMEWORK)
    call, named = _call_passage(tool.name), _named(tool, args, kwargs)
    try:
        ready = gate.admit(named, call, run)
        back = _result_passage(tool.name, ready)
        try:
            with _inside(tool, run):
                result = work(**ready)
                if inspect.iscoroutine(result):
                    result = asyncio.run(result)
        except HookAborted:
            raise
        except Exception as error:  # noqa: BLE001  # the model reads it as the tool's answer
            words = gate.admit(str(error), _error_passage(back), run)
            raise _failure(error, words) from None
        return gate.admit(result, back, run)
    except Denied as refusal:
        return str(refusal) or REFUSED


async def _aran(tool: Any, work: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if _running.get() is tool:
        return await work(*args, **kwargs)
    gate: Gate = tool._agentguard
    run = hook_run(gate, framework=FRAMEWORK)
    call, named = _call_passage(tool.name), _named(tool, args, kwargs)
    try:
        ready = await gate.aadmit(named, call, run)
        back = _result_passage(tool.name, ready)
        try:
            with _inside(tool, run):
                result = await work(**ready)
        except HookAborted:
            raise
        except Exception as error:  # noqa: BLE001  # as in _ran
            words = await gate.aadmit(str(error), _error_passage(back), run)
            raise _failure(error, words) from None
        return await gate.aadmit(result, back, run)
    except Denied as refusal:
        return str(refusal) or REFUSED


@contextmanager
def _inside(tool: object, run: Conversation) -> Iterator[None]:
    token = _running.set(tool)
    try:
        with inside_tool(run):
            yield
    finally:
        _running.reset(token)


def _named(tool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name; positional ones take the names of the tool's schema, in order."""
    names = [name for name in tool.args_schema.model_fields if name not in kwargs]
    if len(args) > len(names):
        raise AdapterError(f"the tool {tool.name} got more arguments than it has")
    return {**dict(zip(names, args, strict=False)), **kwargs}


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
    return {name: value_applied(value, old[name], new[name]) for name, value in args.items()}


def _result_passage(name: str, args: dict[str, Any]) -> Passage[Any, ToolResult]:
    asked = cast(Any, encode(args))
    return Passage(
        event=lambda value: ToolResult(name, asked, encode(value)),
        apply=lambda value, before, after: value_applied(value, before.content, after.content),
        nearest=lambda: ToolResult(name, asked, None),
    )


def _error_passage(result: Passage[Any, ToolResult]) -> Passage[Any, ToolResult]:
    return dataclasses.replace(result, event=lambda text: dataclasses.replace(result.event(text), is_error=True))


def _failure(error: Exception, words: str) -> Exception:
    """The tool's own exception, or one with the words that may be read."""
    return error if words == str(error) else ToolFailedError(words)
