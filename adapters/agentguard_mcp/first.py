"""Servers of ``mcp`` 1.x, which has no middleware: its table of handlers gives out guarded ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from mcp import types
from mcp.shared.exceptions import McpError

from agentguard import Denied, Json
from agentguard.adapter import Gate

from .link import Link
from .messages import CALL, Fault, Object, words
from .proxy import MAX_PAGES, REFUSED
from .runs import Runs

__all__ = ["attach_first"]

_PLAIN = (types.PingRequest, types.InitializeRequest, types.SetLevelRequest)


def attach_first(server: Any, gate: Gate, prefix: str, runs: Runs) -> Callable[[], None]:
    """Guard a ``FastMCP`` of this library or a low-level ``Server``. Gives what undoes it."""
    low = getattr(server, "_mcp_server", server)
    raw = low.request_handlers
    if isinstance(raw, _Handlers):
        if raw.gate.guard is gate.guard:
            return lambda: None
        raise _already()
    guarded = _Handlers(raw, low, gate, Link(gate, prefix=prefix), runs)
    low.request_handlers = guarded
    undo = _in_process(server, guarded, runs) if server is not low else lambda: None

    def undone() -> None:
        if low.request_handlers is guarded:
            low.request_handlers = dict(guarded)
        undo()

    return undone


def _already() -> Exception:
    from agentguard import AdapterError

    return AdapterError("another guard protects this server already; undo it first")


class _Handlers(dict[type, Any]):
    """The server's handlers; what the dispatcher gets is guarded, also of handlers that are set later."""

    def __init__(self, raw: dict[type, Any], low: Any, gate: Gate, link: Link, runs: Runs) -> None:
        super().__init__(raw)
        self.gate = gate
        self.link = link
        self._low = low
        self._runs = runs

    def get(self, key: type, default: Any = None) -> Any:
        """The handler the dispatcher calls. The server's own look-ups, by index, find the raw one."""
        handler = super().get(key, default)
        if handler is None or issubclass(key, _PLAIN):
            return handler

        async def guarded(request: Any) -> Any:
            return await self._answered(request, handler)

        return guarded

    async def definitions(self) -> list[Json]:
        """Every tool of the server, page by page."""
        handler = super().get(types.ListToolsRequest)
        tools: list[Json] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            if handler is None:
                break
            params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
            page = _dumped((await handler(types.ListToolsRequest(method="tools/list", params=params))).root)
            tools.extend(cast(list[Json], page.get("tools") or []))
            cursor = cast("str | None", page.get("nextCursor"))
            if not cursor:
                break
        return tools

    async def _answered(self, request: Any, handler: Any) -> Any:
        kind: Any = None

        async def send(params: Object) -> Object:
            nonlocal kind
            try:
                answer = await handler(type(request).model_validate({"method": request.method, "params": params}))
            except McpError as error:
                raise Fault(_dumped(error.error)) from None
            kind = type(answer.root)
            return _dumped(answer.root)

        params = _dumped(request.params) if request.params is not None else {}
        run = self._runs.of(self._low.request_context.session)
        call_id = str(self._low.request_context.request_id)
        try:
            result = await self.link.request(
                request.method, params, send, run, call_id=call_id, source=self.definitions
            )
        except Denied as refusal:
            raise McpError(types.ErrorData(code=REFUSED, message=words(refusal))) from None
        except Fault as fault:
            raise McpError(types.ErrorData.model_validate(fault.error)) from None
        if request.method == CALL:
            kind = kind if kind is not None and not result.get("isError") else types.CallToolResult
        return types.ServerResult((kind or types.EmptyResult).model_validate(result))


def _in_process(server: Any, handlers: _Handlers, runs: Runs) -> Callable[[], None]:
    """Guard ``FastMCP.call_tool`` called by the application. The dispatcher holds the raw method."""
    raw = server.call_tool

    async def call_tool(name: str, arguments: dict[str, Any]) -> Any:
        answers: list[Any] = []

        async def send(params: Object) -> Object:
            answers.append(await raw(name, params["arguments"]))
            return _shaped(answers[0])

        params: Object = {"name": name, "arguments": arguments}
        result = await handlers.link.request(CALL, params, send, runs.of(None), source=handlers.definitions)
        if answers and result == _shaped(answers[0]):
            return answers[0]
        checked = types.CallToolResult.model_validate(result)
        if checked.isError:
            return checked.content
        if isinstance(answers[0], tuple):
            return checked.content, checked.structuredContent
        return checked.structuredContent if isinstance(answers[0], dict) else checked.content

    server.call_tool = call_tool
    return lambda: server.__dict__.pop("call_tool", None)


def _shaped(answer: Any) -> Object:
    """What ``FastMCP.call_tool`` gives, as the result it becomes: content, structured content, or both."""
    content, structured = answer if isinstance(answer, tuple) else (answer, None)
    if isinstance(content, dict):
        content, structured = [], content
    shaped: Object = {"content": [cast(Json, _dumped(block)) for block in content]}
    return shaped if structured is None else {**shaped, "structuredContent": structured}


def _dumped(model: Any) -> Object:
    return cast(Object, model.model_dump(by_alias=True, mode="json", exclude_none=True))
