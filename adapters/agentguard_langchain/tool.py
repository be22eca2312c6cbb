"""``guarded_tool``: a tool that cannot be invoked past the guard, and whose result nobody sees unchecked.

The guarded tool is an instance of a subclass of the tool's own class: name, schema, injected arguments and function
are the tool's own. Arguments are checked as they will be run, validated and with defaults filled, and the tool runs
the checked copy. The result is checked inside the run, before callbacks, tracers and event streams are told of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools import tool as as_tool
from langgraph.errors import GraphBubbleUp

from agentguard import AdapterError, Conversation, Denied, Guard, ToolCall, ToolResult, error_text
from agentguard.adapter import REFUSED, Passage, inside_tool

from .approval import APPROVAL_TTL, ApproveWith, Asking, asks_of
from .canary import prove_hooks
from .events import decode, encode
from .gate import Gate, note_pause, outside_scopes, release
from .runs import ephemeral
from .versions import warn_untested
from .writer import guarded_writers

__all__ = ["denied_message", "guarded_tool", "is_being_guarded", "is_guarded", "result_passage", "wrap_tool"]

T = TypeVar("T")

_GUARDS = "_agentguard_guards"
# The name under which the one argument of a tool without a schema is shown to the guard.
_LONE = "input"


def guarded_tool(
    tool: BaseTool | Callable[..., Any],
    guard: Guard,
    *,
    agent: str | None = None,
    approve_with: ApproveWith | None = None,
    approval_ttl: float = APPROVAL_TTL,
) -> BaseTool:
    """A tool like ``tool`` whose every call and result passes ``guard``. Guarding twice is guarding once.

    A refused tool call answers with an error ``ToolMessage``; a refused plain invocation raises ``Denied``.
    ``tool.func`` and ``tool._run`` are the tool's own insides: calling those is calling the function itself.

    Args:
        tool: a tool, or a function to make one of.
        guard: decides.
        agent: who acts when no conversation is open.
        approve_with: ``"interrupt"`` pauses a graph that has a checkpointer when a call needs a person's approval;
            answer with ``resume_with``. By default such a call is refused, unless the guard has an approver.
        approval_ttl: seconds for which the question can be answered.

    Raises:
        AdapterError: not a tool, a guard that cannot ask this way, or LangChain does not call our hooks.
    """
    prove_hooks()
    warn_untested()
    return wrap_tool(tool, Gate(guard, agent, asks_of(guard, approve_with, approval_ttl)))


def wrap_tool(tool: object, gate: Gate) -> BaseTool:
    """As ``guarded_tool``, without the self-test."""
    if not isinstance(tool, BaseTool):
        if not callable(tool) or isinstance(tool, type):
            raise AdapterError(f"got a {type(tool).__name__}; a tool (BaseTool) or a function can be guarded")
        tool = as_tool(tool)
    if is_guarded(tool, gate.guard):
        return tool
    copy = tool.model_copy()
    object.__setattr__(copy, "__class__", _guarded_class(type(tool), gate))
    return copy


def is_guarded(tool: object, guard: Guard) -> bool:
    """Whether this very guard already checks ``tool``."""
    return any(known is guard for known in getattr(type(tool), _GUARDS, ()))


def denied_message(guard: Guard, refusal: Denied, name: str, call_id: str) -> ToolMessage:
    """The answer to a refused tool call; it carries the decision's safe words, which no outer hook checks again."""
    words = str(refusal) or REFUSED
    release(guard, ToolResult("", {}, words))
    return ToolMessage(content=words, name=name, tool_call_id=call_id, status="error")


def result_passage(call: ToolCall, *, is_error: bool = False) -> Passage[Any, ToolResult]:
    """How a result of ``call`` passes, whatever its type."""
    return Passage(
        event=lambda value: ToolResult(call.tool, call.args, encode(value), call.call_id, is_error),
        apply=lambda value, before, after: decode(value, before.content, after.content),
        nearest=lambda: ToolResult(call.tool, {}, "", call.call_id, is_error),
    )


def is_being_guarded(name: str, guard: Guard) -> bool:
    """Whether the tool call that callbacks are being told of is one that ``guard`` has just admitted."""
    found = _invocation.get()
    return found is not None and found.guard is guard and found.call.tool == name


# -- one call --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Invocation:
    """A call whose arguments have passed. ``_run`` reads it to check the result."""

    tool: BaseTool
    call: ToolCall
    run: Conversation
    guard: Guard


_invocation: ContextVar[_Invocation | None] = ContextVar("agentguard_langchain_invocation", default=None)


@contextmanager
def _invoking(invocation: _Invocation | None) -> Iterator[None]:
    token = _invocation.set(invocation)
    try:
        yield
    finally:
        _invocation.reset(token)


@dataclass(frozen=True, slots=True)
class _Arguments:
    """What a tool is about to be run with: the arguments a model chose, and those the framework injected."""

    chosen: dict[str, Any]
    injected: dict[str, Any]
    lone: bool = False

    @classmethod
    def raw(cls, tool_input: str | dict[str, Any]) -> _Arguments:
        """As they came, injected ones not told apart."""
        return cls({_LONE: tool_input}, {}, lone=True) if isinstance(tool_input, str) else cls(dict(tool_input), {})

    @property
    def tool_input(self) -> Any:
        """As the tool takes them."""
        return self.chosen[_LONE] if self.lone else {**self.chosen, **self.injected}


def _call_passage(tool: BaseTool, call_id: str | None) -> Passage[_Arguments, ToolCall]:
    return Passage(
        event=lambda given: ToolCall(tool.name, cast(Any, encode(_final(tool, given, call_id))), call_id),
        # Always from the event: what was checked is a private copy, what the caller holds may still change.
        apply=lambda given, _before, after: _Arguments(dict(after.args), given.injected, given.lone),
        nearest=lambda: ToolCall(tool.name, {}, call_id),
    )


def _split(tool: BaseTool, tool_input: str | dict[str, Any]) -> _Arguments:
    if isinstance(tool_input, str):
        return _Arguments.raw(tool_input)
    injected = _injected_names(tool)
    return _Arguments(
        {name: item for name, item in tool_input.items() if name not in injected},
        {name: item for name, item in tool_input.items() if name in injected},
    )


def _injected_names(tool: BaseTool) -> frozenset[str]:
    """Arguments that the framework fills: in the full schema or the signature, but not shown to a model."""
    named: Iterable[str] = getattr(tool, "_injected_args_keys", ())
    shown = tool.tool_call_schema
    if isinstance(tool.args_schema, dict) or isinstance(shown, dict):
        return frozenset(named)
    every, visible = getattr(tool.get_input_schema(), "model_fields", {}), getattr(shown, "model_fields", {})
    return frozenset(named) | (frozenset(every) - frozenset(visible))


def _final(tool: BaseTool, given: _Arguments, call_id: str | None) -> dict[str, Any]:
    """The arguments after validation, defaults filled; as given where validation will refuse them anyway."""
    if given.lone:
        return given.chosen
    try:
        parsed = _parsed(tool, given, call_id)
        # Aliased fields read differently after parsing than before: then what the model wrote is what is run.
        again = _parsed(tool, _Arguments(cast(Any, encode(parsed)), given.injected), call_id)
    except Exception:  # noqa: BLE001  # the tool's own validation gives its own answer; nothing runs
        return given.chosen
    return parsed if encode(again) == encode(parsed) else given.chosen


def _parsed(tool: BaseTool, given: _Arguments, call_id: str | None) -> dict[str, Any]:
    parsed = tool._parse_input({**given.chosen, **given.injected}, call_id)
    if not isinstance(parsed, dict):
        return given.chosen
    injected = _injected_names(tool)
    return {name: item for name, item in parsed.items() if name not in injected}


# -- the guarded class -----------------------------------------------------------------------------------------------


def _guarded_class(base: type[BaseTool], gate: Gate) -> type[BaseTool]:
    methods = {"run": _run_of(base, gate), "arun": _arun_of(base, gate), "_run": _inner_run_of(base, gate)}
    if base._arun is not BaseTool._arun:
        methods["_arun"] = _inner_arun_of(base, gate)
    named = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    guarded = types.new_class(base.__name__, (base,), {}, lambda body: body.update(named | methods))
    setattr(guarded, _GUARDS, (*getattr(base, _GUARDS, ()), gate.guard))
    return guarded


def _view(tool: BaseTool, base: type[BaseTool]) -> BaseTool:
    """The same object, state shared, as its unguarded class."""
    view = base.__new__(base)
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"):
        object.__setattr__(view, slot, getattr(tool, slot))
    return view


def _run_of(base: type[BaseTool], gate: Gate) -> Any:
    @functools.wraps(base.run)
    def run(
        self: BaseTool, tool_input: str | dict[str, Any], *args: Any, tool_call_id: str | None = None, **kwargs: Any
    ) -> Any:
        asking = Asking(gate.guard, gate.asks, self)
        try:
            start, nearest = _starting(self, tool_input, gate), ToolCall(self.name, {}, tool_call_id)
            given, conversation = gate.attempt(start, nearest, lambda: (_Arguments.raw(tool_input), Conversation()))
            passage = _call_passage(_view(self, base), tool_call_id)
            given = gate.ask(given, passage, conversation, asking)
            invocation = _invoked(self, given, tool_call_id, conversation, gate)
            with _invoking(invocation):
                output = base.run(self, given.tool_input, *args, tool_call_id=tool_call_id, **kwargs)
        except Denied as refusal:
            return _refusal_answer(gate, self, refusal, tool_call_id)
        except GraphBubbleUp as pause:
            note_pause(pause)
            asking.paused()
            raise
        return _passed(gate, invocation.call, output)

    return run


def _arun_of(base: type[BaseTool], gate: Gate) -> Any:
    @functools.wraps(base.arun)
    async def arun(
        self: BaseTool, tool_input: str | dict[str, Any], *args: Any, tool_call_id: str | None = None, **kwargs: Any
    ) -> Any:
        asking = Asking(gate.guard, gate.asks, self)
        try:
            start, nearest = _starting(self, tool_input, gate), ToolCall(self.name, {}, tool_call_id)
            given, conversation = await gate.aattempt(
                start, nearest, lambda: (_Arguments.raw(tool_input), Conversation())
            )
            passage = _call_passage(_view(self, base), tool_call_id)
            given = await gate.aask(given, passage, conversation, asking)
            invocation = _invoked(self, given, tool_call_id, conversation, gate)
            with _invoking(invocation):
                output = await base.arun(self, given.tool_input, *args, tool_call_id=tool_call_id, **kwargs)
        except Denied as refusal:
            return _refusal_answer(gate, self, refusal, tool_call_id)
        except GraphBubbleUp as pause:
            note_pause(pause)
            await asyncio.to_thread(asking.paused)
            raise
        return _passed(gate, invocation.call, output)

    return arun


def _inner_run_of(base: type[BaseTool], gate: Gate) -> Any:
    @functools.wraps(base._run)
    def _run(self: BaseTool, *args: Any, **kwargs: Any) -> Any:
        invocation = _current(self, gate)
        try:
            with _running(invocation, gate, kwargs) as given:
                value = _view(self, base)._run(*args, **given)
        except (GraphBubbleUp, Denied):
            raise
        except Exception as error:  # noqa: BLE001  # its text goes to a model, so it is a result like any other
            failure, text = error, error_text(error)
        else:
            return gate.admit(value, result_passage(invocation.call), invocation.run)
        checked = gate.admit(text, result_passage(invocation.call, is_error=True), invocation.run)
        raise _failure(failure, text, checked)

    return _run


def _inner_arun_of(base: type[BaseTool], gate: Gate) -> Any:
    @functools.wraps(base._arun)
    async def _arun(self: BaseTool, *args: Any, **kwargs: Any) -> Any:
        invocation = _current(self, gate)
        try:
            with _running(invocation, gate, kwargs) as given:
                value = await _view(self, base)._arun(*args, **given)
        except (GraphBubbleUp, Denied):
            raise
        except Exception as error:  # noqa: BLE001  # as in _run
            failure, text = error, error_text(error)
        else:
            return await gate.aadmit(value, result_passage(invocation.call), invocation.run)
        checked = await gate.aadmit(text, result_passage(invocation.call, is_error=True), invocation.run)
        raise _failure(failure, text, checked)

    return _arun


@contextmanager
def _running(invocation: _Invocation, gate: Gate, kwargs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Around the tool's own function; gives the arguments it runs with."""

    def check(piece: Any) -> Any:
        return gate.admit(piece, result_passage(invocation.call), invocation.run)

    with _invoking(None), inside_tool(invocation.run), outside_scopes(), guarded_writers(check, kwargs) as given:
        yield given


def _starting(
    tool: BaseTool, tool_input: str | dict[str, Any], gate: Gate
) -> Callable[[], tuple[_Arguments, Conversation]]:
    return lambda: (_split(tool, tool_input), ephemeral(gate.guard, gate.agent))


def _invoked(tool: BaseTool, given: _Arguments, call_id: str | None, run: Conversation, gate: Gate) -> _Invocation:
    try:
        args = cast(Any, encode(given.chosen))
    except Exception:  # noqa: BLE001  # only in shadow mode can unreadable arguments have come this far
        args = {}
    return _Invocation(tool, ToolCall(tool.name, args, call_id), run, gate.guard)


def _current(tool: BaseTool, gate: Gate) -> _Invocation:
    found = _invocation.get()
    if found is not None and found.tool is tool:
        return found
    return _Invocation(tool, ToolCall(tool.name, {}), ephemeral(gate.guard, gate.agent), gate.guard)


def _failure(failure: Exception, text: str, checked: str) -> Exception:
    """The exception to raise: the tool's own, or one that says only what may be said."""
    return failure if checked == text else ToolException(checked)


def _refusal_answer(gate: Gate, tool: BaseTool, refusal: Denied, call_id: str | None) -> ToolMessage:
    if call_id is None:
        raise refusal
    return denied_message(gate.guard, refusal, tool.name, call_id)


def _passed(gate: Gate, call: ToolCall, output: Any) -> Any:
    """Note the answer in the form LangChain gave it, so that an outer hook knows it again."""
    if getattr(output, "status", None) != "error":
        # A form that cannot be read is not noted: then the outer hook checks it, and refuses.
        with contextlib.suppress(Exception):
            release(gate.guard, ToolResult(call.tool, {}, encode(output), call.call_id))
    return output
