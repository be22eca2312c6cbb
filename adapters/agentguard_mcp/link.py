"""One connection between a client and a server, seen by the guard: every message passes here, in its JSON form.

The same for the proxy, the servers and the clients: they carry messages, this decides nothing and asks the guard.
A message of a kind that is not known here is refused, since nobody could read what it does.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from typing import cast

from agentguard import AdapterError, Conversation, Denied, Json, ToolCall
from agentguard.adapter import Gate, inside_tool

from .messages import (
    CALL,
    CAPABILITIES,
    FROM_CLIENT,
    FROM_SERVER,
    GREETING,
    LISTS,
    OPEN,
    REVERSE,
    USES,
    Fault,
    Object,
    call_passage,
    definition_passage,
    refused_result,
    result_passage,
    text_passage,
)

__all__ = ["FRAMEWORK", "Link", "Send", "Source"]

FRAMEWORK = "mcp"
# Hands the parameters of a request on and gives the result. Raises ``Fault`` for an answer that is an error.
Send = Callable[[Object], Awaitable[Object]]
# Gives the definitions of all tools of the server, as it gives them.
Source = Callable[[], Awaitable[list[Json]]]

MAX_NAME = 128
# Fields of a tool call that are read here. Others (tasks, answers to a server's questions) start what is not.
_CALL_FIELDS = frozenset({"name", "arguments", "_meta"})
# Of a list, what is neither listed nor read by anybody.
_CURSOR = "nextCursor"


class Link:
    """Guards the messages of one connection.

    Args:
        gate: the guard, and the agent on whose behalf the client calls.
        prefix: put before the server's names to make the policy's, as in ``files.``.
        source: gives the server's tool definitions where a tool is called before it was listed; or name one a request.
    """

    def __init__(self, gate: Gate, *, prefix: str = "", source: Source | None = None) -> None:
        self._gate = gate
        self._prefix = prefix
        self._source = source
        self._known: dict[str, Object] | None = None
        # By run, the definitions it was shown: as the server gives them, and as they may go on.
        self._shown: weakref.WeakKeyDictionary[Conversation, dict[str, tuple[Json, Object]]]
        self._shown = weakref.WeakKeyDictionary()
        self._learning = asyncio.Lock()

    async def request(
        self,
        method: str,
        params: Object,
        send: Send,
        run: Conversation,
        *,
        call_id: str | None = None,
        source: Source | None = None,
    ) -> Object:
        """A request of the client, answered as the guard lets it be.

        Raises:
            Denied: refused; a refused tool call is answered with an error result instead.
            Fault: the server answered with an error, whose words were checked.
        """
        if method == CALL:
            return await self._call(params, send, run, call_id, source or self._source)
        if method == "tools/list":
            return await self._tools(params, send, run)
        if method in LISTS:
            return await self._list(method, params, send, run)
        if method in USES:
            return await self._use(method, params, send, run, call_id)
        if method == GREETING:
            result = await self._answer(send, params, method, run)
            return await self._gate.aadmit(_greeting(result), text_passage(self._author(method)), run)
        if method in OPEN:
            await self._answer(send, params, method, run)
            return {}
        await self._unreadable(method, "no such request is known here, so it cannot be checked", run)
        return await send(params)

    async def reverse(self, method: str, params: Object, send: Send, run: Conversation) -> Object:
        """A request of the server to the client. Raises as ``request``."""
        if method == "ping":
            await send({})
            return {}
        if method not in REVERSE:
            await self._unreadable(method, "no such request of a server is known here", run)
            return await send(params)
        call = ToolCall(self._prefix + method, params)
        asked = await self._gate.aadmit(params, call_passage(call.tool, None), run)
        asked = await self._gate.aadmit(asked, text_passage(self._author(method)), run)
        result = await self._answer(send, asked, method, run)
        return await self._gate.aadmit(result, result_passage(call), run)

    async def notification(self, method: str, params: Object, run: Conversation, *, from_server: bool) -> Object | None:
        """A notification as it may go on; None when it may not."""
        known = FROM_SERVER if from_server else FROM_CLIENT
        try:
            if method not in known:
                await self._unreadable(method, "no such notification is known here", run)
            if method == "notifications/tools/list_changed":
                self.forget()
            if not params:
                return params
            author = self._author(method) if from_server else "assistant"
            return await self._gate.aadmit(params, text_passage(author), run)
        except Denied:
            return None

    def forget(self) -> None:
        """The server's tools have changed: each definition is read again before its tool is called."""
        self._known = None
        self._shown.clear()

    # -- tools -------------------------------------------------------------------------------------------------------

    async def _call(
        self, params: Object, send: Send, run: Conversation, call_id: str | None, source: Source | None
    ) -> Object:
        name, args = params.get("name"), params.get("arguments")
        args = {} if args is None else args
        try:
            more = {key for key, value in params.items() if value is not None} - _CALL_FIELDS
            if not isinstance(name, str) or not isinstance(args, dict) or more:
                await self._unreadable(CALL, "a call is a name and an object of arguments, and nothing else", run)
                return await send(params)
            await self._defined(name, run, source)
            tool = self._prefix + name
            ready = await self._gate.aadmit(args, call_passage(tool, call_id), run)
            call = ToolCall(tool, ready, call_id)
            with inside_tool(run):
                result = await self._answer(send, {**params, "arguments": ready}, CALL, run, call)
            await self._final(result, CALL, run)
            return await self._gate.aadmit(result, result_passage(call), run)
        except Denied as refusal:
            return refused_result(refusal)

    async def _tools(self, params: Object, send: Send, run: Conversation) -> Object:
        result = await self._answer(send, params, "tools/list", run)
        listed = result.get("tools")
        known = dict(self._known or {}) if params.get("cursor") else {}
        offered: list[Json] = []
        for tool in listed if isinstance(listed, list) else []:
            definition = await self._offered(tool, run)
            if isinstance(tool, dict) and isinstance(tool.get("name"), str) and tool["name"] not in known:
                known[cast(str, tool["name"])] = tool
                if definition is not None:
                    offered.append(definition)
        # A list of which pages are missing is not the whole: a call of a tool not on it reads all pages first.
        self._known = known
        return {**await self._around(result, "tools", run), "tools": offered}

    async def _offered(self, tool: Json, run: Conversation) -> Object | None:
        """A definition as it may be shown; None when it may not."""
        try:
            return await self._admitted(tool, run)
        except Denied:
            return None

    async def _defined(self, name: str, run: Conversation, source: Source | None) -> None:
        """See to it that this run was shown the tool's definition, and may be.

        Raises:
            Denied: it may not.
        """
        definition = await self._definition(name, run, source)
        if definition is not None:
            await self._admitted(definition, run)

    async def _admitted(self, tool: Json, run: Conversation) -> Object:
        """A definition as it may go on; what a run was shown once is not recorded again while it stays the same.

        Raises:
            Denied: it may not.
        """
        shown = self._shown.setdefault(run, {})
        name = str(tool.get("name")) if isinstance(tool, dict) else ""
        if name in shown and shown[name][0] == tool:
            return shown[name][1]
        shown.pop(name, None)
        definition = await self._gate.aadmit(cast(Object, tool), definition_passage(self._prefix), run)
        shown[name] = (tool, definition)
        return definition

    async def _definition(self, name: str, run: Conversation, source: Source | None) -> Object | None:
        async with self._learning:
            if source is not None and name not in (self._known or {}):
                try:
                    tools = await source()
                except Fault:
                    tools = []
                except Exception as error:  # noqa: BLE001  # a list that cannot be had is a refusal, recorded
                    decision = await self._gate.guard.afailed(ToolCall(self._prefix + name, {}), error, run=run)
                    decision.raise_if_denied()
                    tools = []
                self._known = {
                    cast(str, tool["name"]): tool
                    for tool in reversed(tools)
                    if isinstance(tool, dict) and isinstance(tool.get("name"), str)
                }
            return (self._known or {}).get(name)

    # -- everything else -----------------------------------------------------------------------------------------------

    async def _list(self, method: str, params: Object, send: Send, run: Conversation) -> Object:
        """Who may not read may not look either: such a list is empty."""
        result = await self._answer(send, params, method, run)
        use = ToolCall(self._prefix + ("prompts/get" if method == "prompts/list" else "resources/read"), {})
        try:
            return await self._gate.aadmit(result, result_passage(use), run)
        except Denied:
            return {LISTS[method]: []}

    async def _use(self, method: str, params: Object, send: Send, run: Conversation, call_id: str | None) -> Object:
        meta = {key: value for key, value in params.items() if key == "_meta"}
        args: Object = {key: value for key, value in params.items() if key != "_meta" and value is not None}
        tool = self._prefix + method
        ready = await self._gate.aadmit(args, call_passage(tool, call_id), run)
        call = ToolCall(tool, ready, call_id)
        result = await self._answer(send, {**ready, **meta}, method, run, call)
        await self._final(result, method, run)
        return await self._gate.aadmit(result, result_passage(call), run)

    async def _answer(
        self, send: Send, params: Object, method: str, run: Conversation, call: ToolCall | None = None
    ) -> Object:
        """What the other side answers; the words of an error are checked too."""
        try:
            return await send(params)
        except Fault as fault:
            said: Object = {"error": fault.error}
            if call is not None:
                error = await self._gate.aadmit(said, result_passage(call), run)
            else:
                error = await self._gate.aadmit(said, text_passage(self._author(method)), run)
            raise Fault(cast(Object, error["error"])) from None

    async def _around(self, result: Object, key: str, run: Conversation) -> Object:
        """What stands in a list beside what it lists."""
        rest: Object = {
            name: value for name, value in result.items() if name not in (key, _CURSOR) and value is not None
        }
        cursor = {name: value for name, value in result.items() if name == _CURSOR and value is not None}
        if rest:
            rest = await self._gate.aadmit(rest, text_passage(self._author("tools/list")), run)
        return {**rest, **cursor}

    async def _final(self, result: Object, method: str, run: Conversation) -> None:
        """An answer that asks for more before it is one would be a request of the server in disguise."""
        if result.get("resultType", "complete") != "complete":
            await self._unreadable(method, "the server asks for input in place of an answer", run)

    async def _unreadable(self, method: str, why: str, run: Conversation) -> None:
        """Refuse and record what is not known here. In shadow mode it goes on."""
        event = ToolCall(self._prefix + method[:MAX_NAME], {})
        decision = await self._gate.guard.afailed(event, AdapterError(why), run=run)
        decision.raise_if_denied()

    def _author(self, method: str) -> str:
        return f"tool:{self._prefix}{method}"


def _greeting(result: Object) -> Object:
    """A server's greeting that promises nothing of what would be refused."""
    promised = result.get("capabilities")
    kept = {key: value for key, value in promised.items() if key in CAPABILITIES} if isinstance(promised, dict) else {}
    return {**result, "capabilities": kept}
