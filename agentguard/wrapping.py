"""Plain Python callables as guarded tools: the call is decided on its exact final arguments, then that copy runs.

Defaults are filled in before the decision. Arguments of plain JSON types reach the tool as the copy that was checked,
so nothing another thread changes meanwhile counts; other objects (a ``Path``, a dataclass) are checked in their JSON
form and passed through as they are, and a rewrite that would have to change one is refused.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from agentguard.conversation import Conversation
from agentguard.decision import Decision
from agentguard.errors import ConfigError, Denied, StageError, ToolFailedError, UnsupportedValueError
from agentguard.event import Event, Json, ToolCall, ToolResult, json_copy

__all__ = ["Checker", "error_text", "wrap_callable"]

P = ParamSpec("P")
R = TypeVar("R")

# A generator is read to its end before its items are checked and handed out; this many items bound that.
MAX_ITEMS = 100_000

_MARK = "__agentguard__"


class Checker(Protocol):
    """The part of the guard that a wrapped tool needs."""

    def check(self, event: Event, *, run: Conversation | None = None) -> Decision: ...

    async def acheck(self, event: Event, *, run: Conversation | None = None) -> Decision: ...

    def failed(self, event: Event, error: Exception, *, run: Conversation | None = None) -> Decision: ...

    async def afailed(self, event: Event, error: Exception, *, run: Conversation | None = None) -> Decision: ...


def wrap_callable(guard: Checker, tool: Callable[P, R], name: str | None = None) -> Callable[P, R]:
    """Wrap a function, coroutine function or (async) generator function; wrapping twice for one guard is once.

    Raises:
        ConfigError: not a callable with a readable signature, or no name to look up in the policy.
    """
    marked = getattr(tool, _MARK, None)
    if marked is not None and marked[0] is guard:
        return tool
    call = _Call(guard, tool, name)
    wrapper: Callable[..., Any]
    if inspect.isasyncgenfunction(tool):
        wrapper = _wrap_async_generator(call)
    elif inspect.iscoroutinefunction(tool):
        wrapper = _wrap_coroutine(call)
    elif inspect.isgeneratorfunction(tool):
        wrapper = _wrap_generator(call)
    else:
        wrapper = _wrap_function(call)
    functools.update_wrapper(wrapper, tool)
    setattr(wrapper, _MARK, (guard, tool))
    return cast("Callable[P, R]", wrapper)


class _Call:
    """What the four kinds of wrapper share: binding, deciding, and turning a decision back into values."""

    def __init__(self, guard: Checker, tool: Callable[..., Any], name: str | None) -> None:
        self.guard = guard
        self.tool = tool
        found = name or getattr(tool, "__name__", None)
        if not isinstance(found, str) or found == "<lambda>":
            raise ConfigError("a tool needs a name that the policy can list; pass name=...")
        self.name = found
        try:
            self._signature = inspect.signature(tool)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"tool {self.name!r} has no readable signature, so its arguments cannot be checked"
            ) from error

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """As the call itself would, defaults filled. Raises ``TypeError`` as Python does."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    def event(self, bound: inspect.BoundArguments) -> ToolCall:
        """The call as the guard sees it; arguments taken by ``**kwargs`` stand beside the named ones."""
        values: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            if self._kind(name) is not inspect.Parameter.VAR_KEYWORD:
                values[name] = value
            elif taken := values.keys() & value.keys():
                # ``f(*to, **more)`` takes ``to`` twice: one of the two values would be seen by nobody.
                raise UnsupportedValueError(f"argument {min(taken)!r} was given twice; give it once")
            else:
                values.update(value)
        return ToolCall(self.name, values)

    def admit(self, bound: inspect.BoundArguments, asked: ToolCall, decision: Decision) -> inspect.BoundArguments:
        """Put the arguments that were decided on in place of the caller's.

        Raises:
            StageError: a rewrite would have to change an object that has no plain JSON form.
        """
        if not isinstance(decision.event, ToolCall):
            raise StageError("a tool call turned into another kind of event")
        decided = decision.event.args
        for name, value in bound.arguments.items():
            if self._kind(name) is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = {
                    key: _decided(item, asked.args[key], decided[key]) for key, item in value.items()
                }
            else:
                bound.arguments[name] = _decided(value, asked.args[name], decided[name])
        return bound

    def _kind(self, name: str) -> inspect._ParameterKind:
        return self._signature.parameters[name].kind


def _wrap_function(call: _Call) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Any:
        asked, bound = _answer(call.guard, _enter(call, call.bind(args, kwargs)))
        try:
            value = call.tool(*bound.args, **bound.kwargs)
        except Exception as error:  # noqa: BLE001  # re-raised as what the caller may see
            raise _answer(call.guard, _fail(call, asked, error)) from None
        return _answer(call.guard, _leave(call, asked, value))

    return guarded


def _wrap_generator(call: _Call) -> Callable[..., Any]:
    def guarded(*args: Any, **kwargs: Any) -> Iterator[Any]:
        asked, bound = _answer(call.guard, _enter(call, call.bind(args, kwargs)))
        items: list[Any] = []
        try:
            for item in call.tool(*bound.args, **bound.kwargs):
                _take(items, item, call.name)
        except Exception as error:  # noqa: BLE001  # re-raised as what the caller may see
            raise _answer(call.guard, _fail(call, asked, error)) from None
        yield from _answer(call.guard, _leave(call, asked, items))

    return guarded


def _wrap_coroutine(call: _Call) -> Callable[..., Any]:
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        asked, bound = await _aanswer(call.guard, _enter(call, call.bind(args, kwargs)))
        try:
            value = await call.tool(*bound.args, **bound.kwargs)
        except Exception as error:  # noqa: BLE001  # re-raised as what the caller may see
            raise await _aanswer(call.guard, _fail(call, asked, error)) from None
        return await _aanswer(call.guard, _leave(call, asked, value))

    return guarded


def _wrap_async_generator(call: _Call) -> Callable[..., Any]:
    async def guarded(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        asked, bound = await _aanswer(call.guard, _enter(call, call.bind(args, kwargs)))
        items: list[Any] = []
        try:
            async for item in call.tool(*bound.args, **bound.kwargs):
                _take(items, item, call.name)
        except Exception as error:  # noqa: BLE001  # re-raised as what the caller may see
            raise await _aanswer(call.guard, _fail(call, asked, error)) from None
        for item in await _aanswer(call.guard, _leave(call, asked, items)):
            yield item

    return guarded


@dataclass(frozen=True, slots=True)
class _Ask:
    """One question to the guard: decide about ``event``, or record that ``error`` kept it from being decided."""

    event: Event
    error: Exception | None = None


# The steps around a call, written once: they yield questions and are sent decisions. ``_answer`` and ``_aanswer``
# put the questions to the guard, with and without blocking.
_Steps = Generator[_Ask, Decision, R]


def _answer(guard: Checker, steps: _Steps[R]) -> R:
    try:
        ask = next(steps)
        while True:
            if ask.error is None:
                ask = steps.send(guard.check(ask.event))
            else:
                ask = steps.send(guard.failed(ask.event, ask.error))
    except StopIteration as end:
        return cast("R", end.value)


async def _aanswer(guard: Checker, steps: _Steps[R]) -> R:
    try:
        ask = next(steps)
        while True:
            if ask.error is None:
                ask = steps.send(await guard.acheck(ask.event))
            else:
                ask = steps.send(await guard.afailed(ask.event, ask.error))
    except StopIteration as end:
        return cast("R", end.value)


def _enter(call: _Call, bound: inspect.BoundArguments) -> _Steps[tuple[ToolCall, inspect.BoundArguments]]:
    """Decide about the call; the arguments to run with. ``raise_if_denied`` passes only in shadow mode."""
    nothing = ToolCall(call.name, {})
    try:
        asked = call.event(bound)
    except UnsupportedValueError as error:
        (yield _Ask(nothing, error)).raise_if_denied()
        return nothing, bound
    decision = yield _Ask(asked)
    decision.raise_if_denied()
    try:
        return asked, call.admit(bound, asked, decision)
    except StageError as error:
        (yield _Ask(nothing, error)).raise_if_denied()
        return asked, bound


def _leave(call: _Call, asked: ToolCall, value: object) -> _Steps[Any]:
    """Decide about the result; the value the caller gets."""
    try:
        event = ToolResult(call.name, asked.args, json_copy(value))
    except UnsupportedValueError as error:
        (yield _Ask(ToolResult(call.name, asked.args, None), error)).raise_if_denied()
        return value
    decision = yield _Ask(event)
    decision.raise_if_denied()
    try:
        if not isinstance(decision.event, ToolResult):
            raise StageError("a tool result turned into another kind of event")
        return _decided(value, event.content, decision.event.content)
    except StageError as error:
        (yield _Ask(ToolResult(call.name, asked.args, None), error)).raise_if_denied()
        return value


def _fail(call: _Call, asked: ToolCall, error: Exception) -> _Steps[Exception]:
    """Decide about the message of an exception; the exception the caller gets."""
    if isinstance(error, Denied):
        return error
    decision = yield _Ask(ToolResult(call.name, asked.args, error_text(error), is_error=True))
    if not decision.allowed:
        return Denied(decision)
    if decision.rewritten and decision.mode == "enforce" and isinstance(decision.event, ToolResult):
        return ToolFailedError(f"{type(error).__name__}: {decision.event.content}")
    return error


def error_text(error: BaseException) -> str:
    """Everything an exception may tell a model: its message, and where they say more, its arguments and notes.

    Frameworks print ``repr(error)``: that of a ``UnicodeDecodeError`` holds the whole file it could not read.
    """
    said = str(error)
    notes = getattr(error, "__notes__", ())
    hidden = [part for arg in error.args if (part := arg if isinstance(arg, str) else repr(arg)) not in said]
    return "\n".join([said, *hidden, *map(str, notes)])


def _decided(value: object, before: Json, after: Json) -> Any:
    if _is_plain(value):
        return after
    if before != after:
        raise StageError(f"a rewrite cannot be carried out inside an object of type {type(value).__name__}")
    if json_copy(value) != before:
        raise StageError(f"an object of type {type(value).__name__} changed while it was checked")
    return value


def _is_plain(value: object) -> bool:
    if value is None or type(value) in (str, int, float, bool):
        return True
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    return False


def _take(items: list[Any], item: object, name: str) -> None:
    if len(items) >= MAX_ITEMS:
        raise StageError(f"tool {name!r} yielded more than {MAX_ITEMS} items, more than can be checked at once")
    items.append(item)
