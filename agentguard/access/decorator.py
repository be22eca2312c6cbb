"""What the decorators share: running a check before any kind of function, and refusing as the guard does."""

from __future__ import annotations

import asyncio
import functools
import inspect
import secrets
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, NoReturn, TypeAlias

from agentguard.decision import Decision, Effect, Finding
from agentguard.errors import ConfigError
from agentguard.event import ToolCall

__all__ = ["BeforeCall", "guarded", "refuse"]

BeforeCall: TypeAlias = Callable[[tuple[Any, ...], dict[str, Any]], None]
Blocking: TypeAlias = "bool | Callable[[], bool]"


def guarded(function: Callable[..., Any], check: BeforeCall, *, blocking: Blocking = False) -> Callable[..., Any]:
    """Wrap ``function`` so that ``check(args, kwargs)`` runs before its body, and stays of the same kind.

    Generators are checked when first advanced, as their bodies run then. A ``blocking`` check leaves the event loop;
    a function is asked at each call whether this one blocks.

    Raises:
        ConfigError: a class, a property or something else that is no function.
    """
    if isinstance(function, staticmethod | classmethod):
        return type(function)(guarded(function.__func__, check, blocking=blocking))
    if isinstance(function, type) or not callable(function):
        # A wrapped class would no longer be one, and methods inherited elsewhere would not be checked.
        raise ConfigError(f"got a {type(function).__name__}; decorate a function or method")
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, check, blocking)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, check)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, check, blocking)
    else:
        wrapper = _plain(function, check)
    return functools.wraps(function)(wrapper)


def refuse(action: str, *, rule: str, reason: str, message: str, retry_after: float | None = None) -> NoReturn:
    """Raise for ``action``, the qualified name of the function that must not run.

    Raises:
        RateLimited: ``retry_after`` seconds are given.
        Denied: otherwise.
    """
    decision = Decision(
        effect=Effect.DENY,
        event=ToolCall(action, {}),
        id=secrets.token_hex(16),
        findings=(Finding(f"access.{reason}", rule, message=message),),
        rules=(rule,),
        reason=reason,
        message=message,
        stage="access",
        retry_after=retry_after,
    )
    decision.raise_if_denied()
    raise AssertionError("a deny always raises")


def _plain(function: Callable[..., Any], check: BeforeCall) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        check(args, kwargs)
        return function(*args, **kwargs)

    return call


async def _checked(check: BeforeCall, blocking: Blocking, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    if blocking() if callable(blocking) else blocking:
        await asyncio.to_thread(check, args, kwargs)
    else:
        check(args, kwargs)


def _coroutine(function: Callable[..., Any], check: BeforeCall, blocking: Blocking) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        await _checked(check, blocking, args, kwargs)
        return await function(*args, **kwargs)

    return call


def _generator(function: Callable[..., Any], check: BeforeCall) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        check(args, kwargs)
        return (yield from function(*args, **kwargs))

    return call


def _async_generator(function: Callable[..., Any], check: BeforeCall, blocking: Blocking) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        await _checked(check, blocking, args, kwargs)
        inner = function(*args, **kwargs)
        # ``yield from`` for async generators: what is sent or thrown in reaches the inner one.
        try:
            item = await inner.__anext__()
            while True:
                try:
                    sent = yield item
                except Exception as error:  # noqa: BLE001  # the inner generator decides what to do with it
                    item = await inner.athrow(error)
                else:
                    item = await inner.asend(sent)
        except StopAsyncIteration:
            return
        finally:
            await inner.aclose()

    return call
