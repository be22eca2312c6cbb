"""Stands between a client and a server that know nothing of it, and hands on what the guard lets pass.

Every request gets an id of our own before it goes on: an answer nobody waits for, and a second answer to one request,
lead nowhere. Requests run side by side; notifications keep their place in the stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from agentguard import Conversation, Denied, Json
from agentguard.adapter import Gate

from .frames import INVALID_REQUEST, TOO_LONG, FrameError, fault, identifier, params_of
from .link import FRAMEWORK, Link
from .messages import GREETING, Fault, Object, words

__all__ = ["REQUEST_TIMEOUT", "Proxy", "Write"]

_log = logging.getLogger("agentguard.mcp")

Write = Callable[[Object], Awaitable[None]]
Id = str | int

# Seconds until a request counts as unanswered. Tools that call models take minutes.
REQUEST_TIMEOUT = 300.0
# Requests at work at once, per direction: more is a flood.
MAX_OPEN = 256
MAX_PAGES = 100
MAX_TOOLS = 10_000

REFUSED = -32000
METHOD_NOT_FOUND = -32601
INTERNAL = -32603

# Of what stands beside a request, only this names something of the protocol.
_META = ("progressToken",)
# The handshake that every release of the library still speaks; a client that tries a newer one first falls back.
_NEWER = frozenset({"server/discover"})


class Proxy:
    """One connection.

    Args:
        gate: the guard, and the agent on whose behalf the client calls.
        to_client, to_server: write a frame.
        prefix: put before the server's names to make the policy's.
        request: the words a person typed, where whoever starts the proxy knows them.
        timeout: seconds until a request counts as unanswered.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        to_client: Write,
        to_server: Write,
        prefix: str = "",
        request: str | None = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        self.run = Conversation(principal=gate.principal(), framework=FRAMEWORK, request=request)
        self._link = Link(gate, prefix=prefix, source=self.definitions)
        self._client = _Side(to_client, timeout)
        self._server = _Side(to_server, timeout)
        self._tasks: set[asyncio.Task[None]] = set()

    async def from_client(self, frame: Object) -> None:
        """Take a frame the client sent."""
        await self._take(frame, self._client, self._server, from_server=False)

    async def from_server(self, frame: Object) -> None:
        """Take a frame the server sent."""
        await self._take(frame, self._server, self._client, from_server=True)

    async def unreadable(self, why: str, *, from_server: bool) -> None:
        """A message came that could not be read. Servers print all sorts of things; one too long was an answer."""
        _log.warning("%s of the %s was dropped", why, "server" if from_server else "client")
        if from_server and why == TOO_LONG:
            self._server.fail(fault(INTERNAL, f"The server sent {why}, which was refused."))
        elif not from_server:
            await self._client.write({"id": None, "error": fault(INVALID_REQUEST, "This message cannot be read.")})

    async def settled(self) -> None:
        """Wait until every request that came was answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def close(self, why: str) -> None:
        """Nothing more will come: whoever waits is told."""
        for side in (self._client, self._server):
            side.fail(fault(INTERNAL, why))

    # -- questions of our own --------------------------------------------------------------------------------------

    async def ask_server(self, method: str, params: Object) -> Object:
        """Ask the server something that no client asked.

        Raises:
            Fault: the answer is an error, or there is none in time.
        """
        return await self._server.ask(method, params)

    async def definitions(self) -> list[Json]:
        """Every tool of the server, page by page.

        Raises:
            Fault: the server does not list them.
            FrameError: it lists without end.
        """
        tools: list[Json] = []
        params: Object = {}
        for _ in range(MAX_PAGES):
            page = await self._server.ask("tools/list", params)
            listed = page.get("tools")
            tools.extend(listed if isinstance(listed, list) else [])
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str) or not cursor:
                return tools
            if len(tools) > MAX_TOOLS:
                break
            params = {"cursor": cursor}
        raise FrameError("a list of tools without end")

    # -- one frame -----------------------------------------------------------------------------------------------

    async def _take(self, frame: Object, here: _Side, there: _Side, *, from_server: bool) -> None:
        try:
            key = identifier(frame)
        except FrameError:
            await self.unreadable("a message without a usable id", from_server=from_server)
            return
        method = frame.get("method")
        if not isinstance(method, str):
            here.answered(key, frame)
        elif key is None:
            await self._notify(method, params_of(frame), here, there, from_server=from_server)
        else:
            await self._accept(key, method, params_of(frame), here, there, from_server=from_server)

    async def _accept(
        self, key: Id, method: str, params: Object, here: _Side, there: _Side, *, from_server: bool
    ) -> None:
        if key in here.asked or len(here.asked) >= MAX_OPEN:
            await here.write({"id": key, "error": fault(INVALID_REQUEST, "This id is in use, or too many are.")})
            return
        here.asked[key] = None
        task = asyncio.create_task(self._serve(key, method, params, here, there, from_server=from_server))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, key: Id, method: str, params: Object, here: _Side, there: _Side, *, from_server: bool
    ) -> None:
        async def send(ready: Object) -> Object:
            return await there.ask(method, ready, on=(here, key))

        try:
            if from_server:
                result = await self._link.reverse(method, _lean(params), send, self.run)
            elif method in _NEWER:
                raise Fault(fault(METHOD_NOT_FOUND, "Method not found"))
            else:
                result = await self._link.request(method, _lean(params), send, self.run, call_id=str(key))
            answer: Object = {"result": result}
        except Denied as refusal:
            answer = {"error": fault(REFUSED, words(refusal))}
        except Fault as error:
            answer = {"error": error.error}
        except Exception as error:  # noqa: BLE001  # our own failure is an error for the peer, never an open door
            _log.error("a request failed: %s", type(error).__name__)
            answer = {"error": fault(INTERNAL, "The request could not be completed.")}
        cancelled = here.asked.pop(key, None) == _CANCELLED
        if not cancelled:
            try:
                await here.write({"id": key, **answer})
            except FrameError:
                await here.write({"id": key, "error": fault(INTERNAL, "The answer has no JSON form.")})

    async def _notify(self, method: str, params: Object, here: _Side, there: _Side, *, from_server: bool) -> None:
        if method == "notifications/cancelled":
            named = params.get("requestId")
            own = here.asked.get(named) if isinstance(named, str | int) else None
            if own is None or own == _CANCELLED:
                return
            params = {**params, "requestId": own}
        passed = await self._link.notification(method, params, self.run, from_server=from_server)
        if passed is None:
            return
        await there.write({"method": method, **({"params": passed} if passed else {})})
        if method == "notifications/cancelled":
            there.cancel(int(params["requestId"]))  # type: ignore[arg-type]  # our own id, just put in
            here.cancelled(own)


_CANCELLED = -1


class _Side:
    """One end of the connection: what it has asked and waits for, and what we have asked it."""

    def __init__(self, write: Write, timeout: float) -> None:
        self.write = write
        # Their ids of requests at work, with the id under which each went on.
        self.asked: dict[Id, int | None] = {}
        self._timeout = timeout
        self._next = 0
        self._waiting: dict[int, asyncio.Future[Object]] = {}

    async def ask(self, method: str, params: Object, on: tuple[_Side, Id] | None = None) -> Object:
        """Send a request and wait for its answer; ``on`` is the request it stands for.

        Raises:
            Fault: the answer is an error, or there is none in time.
        """
        self._next += 1
        own = self._next
        if on is not None:
            on[0].asked[on[1]] = own
        future: asyncio.Future[Object] = asyncio.get_running_loop().create_future()
        self._waiting[own] = future
        try:
            frame: Object = {"id": own, "method": method}
            await self.write({**frame, "params": params} if params else frame)
            return await asyncio.wait_for(future, self._timeout)
        except TimeoutError:
            if method != GREETING:
                await self.write({"method": "notifications/cancelled", "params": {"requestId": own}})
            raise Fault(fault(INTERNAL, "The request was not answered in time.")) from None
        finally:
            self._waiting.pop(own, None)

    def answered(self, key: Id | None, frame: Object) -> None:
        """Hand an answer to who waits for it; one that nobody waits for is dropped."""
        future = self._waiting.pop(key, None) if isinstance(key, int) else None
        if frame.get("late") is True and (future is None or future.done()):
            return
        if future is None or future.done():
            _log.warning("an answer that nobody waits for was dropped")
            return
        error, result = frame.get("error"), frame.get("result")
        if isinstance(error, dict):
            future.set_exception(Fault(error))
        elif isinstance(result, dict) and "error" not in frame:
            future.set_result(result)
        else:
            future.set_exception(Fault(fault(INTERNAL, "The answer holds neither a result nor an error.")))

    def cancel(self, own: int) -> None:
        """Wait no longer for the answer to our request."""
        future = self._waiting.pop(own, None)
        if future is not None and not future.done():
            future.set_exception(Fault(fault(INTERNAL, "The request was cancelled.")))

    def cancelled(self, own: Any) -> None:
        """Their request that went on as ``own`` was cancelled by them: they expect no answer."""
        for key, number in self.asked.items():
            if number == own:
                self.asked[key] = _CANCELLED

    def fail(self, error: Object) -> None:
        """Whatever was asked of this side will not be answered."""
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Fault(error))


def _lean(params: Object) -> Object:
    """The parameters, and beside them nothing but what the protocol itself needs."""
    meta = params.get("_meta")
    kept = {key: meta[key] for key in _META if key in meta} if isinstance(meta, dict) else {}
    rest = {key: value for key, value in params.items() if key != "_meta"}
    return {**rest, "_meta": kept} if kept else rest
