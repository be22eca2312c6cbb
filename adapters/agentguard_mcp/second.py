"""Servers of ``mcp`` 2.x: one middleware around every message, and the calls that go past middleware."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, cast

from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from agentguard import Denied, Guard, Json
from agentguard.adapter import Gate

from .link import Link
from .messages import CALL, LISTS, USES, Fault, Object, words
from .proxy import MAX_PAGES, REFUSED
from .runs import Runs

__all__ = ["attach_second"]

# What a server says of itself, and what starts nothing.
_PLAIN = frozenset({"initialize", "server/discover", "ping", "logging/setLevel", "subscriptions/listen"})
# Set while a guarded request runs: what it calls in this process was checked as that request.
_guarded: ContextVar[Guard | None] = ContextVar("agentguard_mcp_guarded", default=None)


def attach_second(server: Any, gate: Gate, prefix: str, runs: Runs) -> Callable[[], None]:
    """Guard an ``MCPServer`` or a low-level ``Server``. Gives what undoes it."""
    if any(isinstance(each, _Middleware) and each.gate.guard is gate.guard for each in server.middleware):
        return lambda: None
    link = Link(gate, prefix=prefix)
    middleware = _Middleware(gate, link, runs)
    # Outermost: whatever other middleware answers passes here, and is checked.
    server.middleware.insert(0, middleware)
    undo = _in_process(server, link, runs, gate.guard) if hasattr(server, "call_tool") else lambda: None

    def undone() -> None:
        if middleware in server.middleware:
            server.middleware.remove(middleware)
        undo()

    return undone


class _Middleware:
    def __init__(self, gate: Gate, link: Link, runs: Runs) -> None:
        self.gate = gate
        self._link = link
        self._runs = runs

    async def __call__(self, ctx: Any, call_next: Any) -> Any:
        if ctx.request_id is None or ctx.method in _PLAIN:
            return await call_next(ctx)

        async def send(params: Object, method: str = ctx.method) -> Object:
            try:
                result = await call_next(dataclasses.replace(ctx, method=method, params=params))
            except MCPError as error:
                raise Fault(_dumped(error.error)) from None
            return result if isinstance(result, dict) else _dumped(result)

        async def definitions() -> list[Json]:
            # What stands beside a request says in which version of the protocol it is.
            meta = {key: value for key, value in (ctx.params or {}).items() if key == "_meta"}
            return await _pages(lambda params: send({**params, **meta}, "tools/list"))

        run = self._runs.of(getattr(ctx.session, "_connection", ctx.session))
        token = _guarded.set(self.gate.guard)
        try:
            result = await self._link.request(
                ctx.method, dict(ctx.params or {}), send, run, call_id=str(ctx.request_id), source=definitions
            )
        except Denied as refusal:
            raise MCPError(REFUSED, words(refusal)) from None
        except Fault as fault:
            raise _error(fault) from None
        finally:
            _guarded.reset(token)
        # A refusal has been made here, so it must be given the form that this library gives answers.
        return CallToolResult.model_validate(result) if ctx.method == CALL and result.get("isError") else result


def _in_process(server: Any, link: Link, runs: Runs, guard: Guard) -> Callable[[], None]:
    """Guard what the application asks of the server itself: that goes past all middleware."""
    raw = {name: getattr(server, name) for name in ("call_tool", "read_resource", "get_prompt")}

    async def definitions() -> list[Json]:
        return [cast(Json, _dumped(tool)) for tool in await server.list_tools()]

    async def call_tool(name: str, arguments: dict[str, Any], *rest: Any, **options: Any) -> Any:
        if _guarded.get() is guard:
            return await raw["call_tool"](name, arguments, *rest, **options)
        holder: list[Any] = []

        async def send(params: Object) -> Object:
            holder.append(await raw["call_tool"](name, params["arguments"], *rest, **options))
            return _dumped(holder[0])

        params: Object = {"name": name, "arguments": arguments}
        result = await link.request(CALL, params, send, runs.of(None), source=definitions)
        return holder[0] if holder and result == _dumped(holder[0]) else CallToolResult.model_validate(result)

    async def get_prompt(name: str, arguments: Any = None, *rest: Any, **options: Any) -> Any:
        if _guarded.get() is guard:
            return await raw["get_prompt"](name, arguments, *rest, **options)
        holder: list[Any] = []

        async def send(params: Object) -> Object:
            holder.append(await raw["get_prompt"](name, params.get("arguments"), *rest, **options))
            return _dumped(holder[0])

        result = await link.request("prompts/get", {"name": name, "arguments": arguments}, send, runs.of(None))
        return type(holder[0]).model_validate(result)

    async def read_resource(uri: Any, *rest: Any, **options: Any) -> Any:
        if _guarded.get() is guard:
            return await raw["read_resource"](uri, *rest, **options)
        holder: list[Any] = []

        async def send(_params: Object) -> Object:
            holder.extend(await raw["read_resource"](uri, *rest, **options))
            return {"contents": [_content(each) for each in holder]}

        result = await link.request("resources/read", {"uri": str(uri)}, send, runs.of(None))
        rows = cast(list[Any], result["contents"])
        return [_replaced(each, row) for each, row in zip(holder, rows, strict=True)]

    for name, guarded in (("call_tool", call_tool), ("read_resource", read_resource), ("get_prompt", get_prompt)):
        setattr(server, name, guarded)

    def undone() -> None:
        for name in raw:
            server.__dict__.pop(name, None)

    return undone


def _content(each: Any) -> Json:
    # Bytes are no text that a model reads; latin-1 shows each of them.
    text = each.content if isinstance(each.content, str) else each.content.decode("latin-1")
    return {"text": text, "mimeType": each.mime_type}


def _replaced(each: Any, row: Any) -> Any:
    if row == _content(each):
        return each
    text = row["text"]
    content = text if isinstance(each.content, str) else text.encode("latin-1", "replace")
    return dataclasses.replace(each, content=content)


async def _pages(ask: Callable[[Object], Any]) -> list[Json]:
    tools: list[Json] = []
    params: Object = {}
    for _ in range(MAX_PAGES):
        page = await ask(params)
        tools.extend(page.get("tools") or [])
        cursor = page.get("nextCursor")
        if not cursor:
            break
        params = {"cursor": cursor}
    return tools


def _dumped(model: Any) -> Object:
    return cast(Object, model.model_dump(by_alias=True, mode="json", exclude_none=True))


def _error(fault: Fault) -> MCPError:
    error: Any = fault.error
    return MCPError(int(error.get("code") or REFUSED), str(error.get("message", "")), error.get("data"))


# Kept together with the table it must agree with: a method that is neither is refused by the link.
assert not _PLAIN & {CALL, *LISTS, *USES}  # noqa: S101
