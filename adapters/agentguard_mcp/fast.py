"""Servers of FastMCP: one middleware, which sees calls over any transport, in this process, and of mounted servers."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, cast

from fastmcp.exceptions import PromptError, ResourceError, ToolError
from fastmcp.server.middleware import Middleware, MiddlewareContext
from fastmcp.tools.base import ToolResult
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from agentguard import AdapterError, Conversation, Denied, Json, ToolCall
from agentguard.adapter import Gate

from .link import Link
from .messages import CALL, LISTS, Fault, Object, words
from .proxy import REFUSED
from .runs import Runs

__all__ = ["attach_fastmcp"]

# Answered by the methods below, or by nobody: what a server says of itself, and what starts nothing.
_KNOWN = frozenset(
    {CALL, *LISTS, "resources/read", "prompts/get"}
    | {"initialize", "server/discover", "ping", "logging/setLevel", "subscriptions/listen"}
    | {"resources/subscribe", "resources/unsubscribe"}
)
# What a model reads of a tool: its name in the protocol, and here.
_WORDS = {"title": "title", "description": "description", "inputSchema": "parameters", "outputSchema": "output_schema"}
# Our own look at the tools: it must not be guarded, since it is what the guard is shown.
_looking: ContextVar[bool] = ContextVar("agentguard_mcp_looking", default=False)
# The request that a server above has checked already, as the method and what is asked.
_checked: ContextVar[tuple[object, str, Object] | None] = ContextVar("agentguard_mcp_checked", default=None)


def attach_fastmcp(server: Any, gate: Gate, prefix: str, runs: Runs) -> Callable[[], None]:
    """Guard a ``FastMCP``. Gives what undoes it."""
    if any(isinstance(each, GuardMiddleware) and each.gate.guard is gate.guard for each in server.middleware):
        return lambda: None
    middleware = GuardMiddleware(server, gate, prefix, runs)
    # Outermost: whatever other middleware answers passes here, and is checked.
    server.middleware.insert(0, middleware)
    return lambda: server.middleware.remove(middleware) if middleware in server.middleware else None


class GuardMiddleware(Middleware):
    """The guard as FastMCP calls it."""

    def __init__(self, server: Any, gate: Gate, prefix: str, runs: Runs) -> None:
        self.gate = gate
        self._server = server
        self._link = Link(gate, prefix=prefix, source=self._definitions)
        self._runs = runs

    async def on_request(self, context: MiddlewareContext[Any], call_next: Any) -> Any:
        """Refuse requests that nobody here can read."""
        if context.method not in _KNOWN and not _looking.get():
            error = AdapterError("no such request is known here, so it cannot be checked")
            event = ToolCall(str(context.method)[:128], {})
            decision = await self.gate.guard.afailed(event, error, run=self._run(context))
            if not decision.allowed:
                raise MCPError(REFUSED, decision.message)
        return await call_next(context)

    async def on_call_tool(self, context: MiddlewareContext[Any], call_next: Any) -> Any:
        """A call, and what came of it."""
        message = context.message
        params: Object = {"name": message.name, "arguments": message.arguments or {}}
        for name in ("input_responses", "request_state", "task"):
            if getattr(message, name, None) is not None:
                params[name] = True

        async def work(ready: Object) -> Any:
            return await call_next(context.copy(message=message.model_copy(update={"arguments": ready["arguments"]})))

        result, answer = await self._through(context, params, work, _result_json, ToolError)
        if answer is not None and result == _result_json(answer):
            return answer
        return ToolResult.from_mcp_result(CallToolResult.model_validate(result))

    async def on_read_resource(self, context: MiddlewareContext[Any], call_next: Any) -> Any:
        """A resource, and its contents."""
        message = context.message

        async def work(ready: Object) -> Any:
            return await call_next(context.copy(message=message.model_copy(update={"uri": ready["uri"]})))

        result, answer = await self._through(context, {"uri": str(message.uri)}, work, _resource_json, ResourceError)
        rows = zip(answer.contents, cast(list[Any], result["contents"]), strict=True)
        return answer.model_copy(update={"contents": [_content_from(each, row) for each, row in rows]})

    async def on_get_prompt(self, context: MiddlewareContext[Any], call_next: Any) -> Any:
        """A prompt, and its messages."""
        message = context.message

        async def work(ready: Object) -> Any:
            return await call_next(context.copy(message=message.model_copy(update={"arguments": ready["arguments"]})))

        params: Object = {"name": message.name, "arguments": cast(Json, message.arguments or {})}
        result, answer = await self._through(context, params, work, _dumped, PromptError)
        if result == _dumped(answer):
            return answer
        messages = [
            type(each).model_validate(new)
            for each, new in zip(answer.messages, cast(list[Any], result["messages"]), strict=True)
        ]
        return answer.model_copy(update={"messages": messages, "description": result.get("description")})

    async def on_list_tools(self, context: MiddlewareContext[Any], call_next: Any) -> Any:
        """The tools that may be shown."""
        if _looking.get():
            return await call_next(context)
        tools = {tool.name: tool for tool in reversed(await call_next(context))}

        async def send(_params: Object) -> Object:
            return {"tools": [_definition(tool) for tool in reversed(tools.values())]}

        result = await self._link.request("tools/list", {}, send, self._run(context))
        shown = cast(list[Any], result["tools"])
        return [each for new in shown if (each := _tool_from(tools[new["name"]], new)) is not None]

    async def on_list_resources(self, context: MiddlewareContext[Any], call_next: Any) -> Any:
        """The resources that may be shown."""
        return await self._list(context, call_next, "resources/list")

    async def on_list_resource_templates(self, context: MiddlewareContext[Any], call_next: Any) -> Any:
        """As on_list_resources."""
        return await self._list(context, call_next, "resources/templates/list")

    async def on_list_prompts(self, context: MiddlewareContext[Any], call_next: Any) -> Any:
        """As on_list_resources."""
        return await self._list(context, call_next, "prompts/list")

    async def _list(self, context: MiddlewareContext[Any], call_next: Any, method: str) -> Sequence[Any]:
        items = list(await call_next(context))
        rows = [_listed(item) for item in items]

        async def send(_params: Object) -> Object:
            return {LISTS[method]: cast(Json, rows)}

        result = await self._link.request(method, {}, send, self._run(context))
        shown = cast(list[Any], result[LISTS[method]])
        # What had to be rewritten is left out: these objects hold more than their words.
        return [item for item, row in zip(items, rows, strict=True) if row in shown]

    async def _through(
        self,
        context: MiddlewareContext[Any],
        params: Object,
        work: Callable[[Object], Awaitable[Any]],
        read: Callable[[Any], Object],
        failed: type[Exception],
    ) -> tuple[Object, Any]:
        """The result in JSON as it may go on, and the answer it was read from, None when there was none."""
        method = str(context.method)
        if self._was_checked(method, params):
            answer = await work(params)
            return read(answer), answer
        answers: list[Any] = []

        async def send(ready: Object) -> Object:
            token = _checked.set((self.gate.guard, method, ready))
            try:
                answers.append(await work(ready))
            except MCPError as error:
                raise Fault(_dumped(error.error)) from None
            except Exception as error:  # noqa: BLE001  # its words would travel to the client unread
                raise Fault({"code": REFUSED, "message": str(error)}) from None
            finally:
                _checked.reset(token)
            return read(answers[0])

        try:
            result = await self._link.request(method, params, send, self._run(context), call_id=_id(context))
        except Denied as refusal:
            raise failed(words(refusal)) from None
        except Fault as fault:
            raise failed(str(fault.error.get("message", ""))) from None
        return result, answers[0] if answers else None

    def _was_checked(self, method: str, params: Object) -> bool:
        """Whether a server that this one is mounted into has checked this very request with the same guard."""
        checked = _checked.get()
        if checked is None or checked[0] is not self.gate.guard or checked[1] != method:
            return False
        above = checked[2]
        same = {**params, "name": None} == {**above, "name": None} if "name" in params else method != CALL
        return same and str(above.get("name", "")).endswith(str(params.get("name", "")))

    async def _definitions(self) -> list[Json]:
        token = _looking.set(True)
        try:
            return [_definition(tool) for tool in await self._server.list_tools()]
        finally:
            _looking.reset(token)

    def _run(self, context: MiddlewareContext[Any]) -> Conversation:
        try:
            session: Any = context.fastmcp_context.session if context.fastmcp_context is not None else None
        except RuntimeError:
            # Called by the application in this process, outside any request.
            session = None
        return self._runs.of(getattr(session, "_connection", session))


def _id(context: MiddlewareContext[Any]) -> str | None:
    try:
        return str(context.fastmcp_context.request_id) if context.fastmcp_context is not None else None
    except RuntimeError:
        return None


def _dumped(model: Any) -> Object:
    return cast(Object, model.model_dump(by_alias=True, mode="json", exclude_none=True))


def _definition(tool: Any) -> Object:
    return _dumped(tool.to_mcp_tool())


def _tool_from(tool: Any, new: Object) -> Any:
    """``tool`` with the words of ``new``; None when it cannot be given them."""
    if new == _definition(tool):
        return tool
    names = {
        "title": "title",
        "description": "description",
        "inputSchema": "parameters",
        "outputSchema": "output_schema",
    }
    copy = tool.model_copy(update={ours: new.get(theirs) for theirs, ours in names.items()})
    return copy if _definition(copy) == new else None


def _result_json(result: Any) -> Object:
    shown: Object = {
        "content": [_dumped(block) for block in result.content],
        "isError": bool(result.is_error),
    }
    if result.structured_content is not None:
        shown["structuredContent"] = result.structured_content
    if result.meta is not None:
        shown["_meta"] = result.meta
    if type(result) is not ToolResult:
        # A subclass stands for something else than a result: a question to the client.
        shown["resultType"] = type(result).__name__
    return shown


def _listed(item: Any) -> Object:
    """What a client reads of a resource, template or prompt."""
    shape = next(name for name in ("to_mcp_resource", "to_mcp_template", "to_mcp_prompt") if hasattr(item, name))
    return _dumped(getattr(item, shape)())


def _resource_json(result: Any) -> Object:
    rows: list[Json] = [_content_json(each) for each in result.contents]
    return {"contents": rows} if result.meta is None else {"contents": rows, "_meta": result.meta}


def _content_json(each: Any) -> Object:
    body: Object = (
        {"text": each.content}
        if isinstance(each.content, str)
        else {"blob": base64.b64encode(each.content).decode("ascii")}
    )
    return {**body, "mimeType": each.mime_type, "_meta": each.meta}


def _content_from(each: Any, row: Object) -> Any:
    if row == _content_json(each):
        return each
    if "text" not in row or row["mimeType"] != each.mime_type or row["_meta"] != each.meta:
        raise ResourceError("This resource cannot be shown as the policy asks.")
    return each.model_copy(update={"content": row["text"]})
