"""Serves guarded servers over streamable HTTP, on the loopback: one connection to the server for each session.

Requests with a foreign ``Host`` or ``Origin`` are refused: a web page must not reach a tool by way of a browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from agentguard import AdapterError, ConfigError, Json

from .bridge import Server, Settings, pumped
from .frames import FrameError, decoded, encoded, identifier, params_of
from .messages import GREETING, Object
from .proxy import Proxy

__all__ = ["PATH", "listening"]

PATH = "/mcp"
# Sessions at once; the one that was idle longest makes room.
MAX_SESSIONS = 16
_END = None

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


async def listening(settings: Settings, start: Callable[[], Awaitable[Server]], port: str) -> int:
    """Serve until we are stopped.

    Raises:
        ConfigError: ``port`` is none, or is taken.
        AdapterError: the library is absent.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise AdapterError("install agentguard[mcp] (uvicorn not found)") from error
    bound = _bound(port)
    number = bound.getsockname()[1]
    listener = _Listener(settings, start, number)
    config = uvicorn.Config(
        listener, log_level="warning", lifespan="off", access_log=False, timeout_graceful_shutdown=2, ws="none"
    )
    print(f"guarding at http://127.0.0.1:{number}{PATH}", file=sys.stderr, flush=True)  # noqa: T201  # where to connect
    try:
        await uvicorn.Server(config).serve(sockets=[bound])
    finally:
        await listener.close()
        bound.close()
    return 0


def _bound(port: str) -> socket.socket:
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"got --listen {port[:40]!r}; write a port, as in 8808: only this machine can connect")
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", int(port)))
    except OSError as error:
        bound.close()
        raise ConfigError(f"port {port} cannot be used ({error.strerror}); choose another --listen") from error
    return bound


@dataclass(slots=True)
class _Session:
    """One client: its streams, and the connection to the server that is its own."""

    server: Server
    used: float
    proxy: Proxy | None = None
    pump: asyncio.Task[None] | None = None
    streams: dict[Json, asyncio.Queue[Object | None]] = field(default_factory=dict)
    tokens: dict[Json, Json] = field(default_factory=dict)
    unasked: asyncio.Queue[Object | None] | None = None

    async def write(self, frame: Object) -> None:
        """Hand a frame to the stream it belongs to; one that belongs to none is dropped."""
        if "method" not in frame:
            stream = self.streams.get(frame.get("id"))
        elif frame["method"] == "notifications/progress":
            token = params_of(frame).get("progressToken")
            stream = self.streams.get(self.tokens.get(token) if isinstance(token, str | int) else None)
        else:
            stream = self.unasked or next(reversed(self.streams.values()), None)
        if stream is not None:
            await stream.put(frame)

    async def close(self) -> None:
        if self.pump is not None:
            self.pump.cancel()
            await asyncio.gather(self.pump, return_exceptions=True)
        await self.server.stop()
        if self.proxy is not None:
            self.proxy.close("The session has ended.")
        if self.unasked is not None:
            await self.unasked.put(_END)


class _Listener:
    """The ASGI application."""

    def __init__(self, settings: Settings, start: Callable[[], Awaitable[Server]], port: int) -> None:
        self._settings = settings
        self._start = start
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._sessions: dict[str, _Session] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        origin = headers.get("origin", "")
        if headers.get("host", "") not in self._hosts or (origin and origin.removeprefix("http://") not in self._hosts):
            await _plain(send, 403)
        elif scope["path"] != PATH:
            await _plain(send, 404)
        elif scope["method"] == "POST":
            await self._post(headers, receive, send)
        elif (session := self._sessions.get(headers.get("mcp-session-id", ""))) is None:
            await _plain(send, 404 if scope["method"] in ("GET", "DELETE") else 405)
        elif scope["method"] == "DELETE":
            self._sessions.pop(headers["mcp-session-id"])
            await session.close()
            await _plain(send, 204)
        elif scope["method"] == "GET" and session.unasked is None:
            session.unasked = asyncio.Queue()
            try:
                await _stream(receive, send, session.unasked, {}, last=None)
            finally:
                session.unasked = None
        else:
            await _plain(send, 405)

    async def close(self) -> None:
        """End every session."""
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            await session.close()

    async def _post(self, headers: dict[str, str], receive: Receive, send: Send) -> None:
        try:
            frame = decoded(await _body(receive, self._settings.limit))
            key = identifier(frame)
        except FrameError:
            await _plain(send, 400)
            return
        name = headers.get("mcp-session-id", "")
        if not name and frame.get("method") == GREETING:
            name = secrets.token_urlsafe(24)
            try:
                await self._open(name)
            except AdapterError:
                await _plain(send, 502)
                return
        session = self._sessions.get(name)
        if session is None or session.proxy is None:
            await _plain(send, 404)
            return
        session.used = asyncio.get_running_loop().time()
        if "method" not in frame or key is None:
            await session.proxy.from_client(frame)
            await _plain(send, 202)
            return
        if key in session.streams:
            await _plain(send, 400)
            return
        queue: asyncio.Queue[Object | None] = asyncio.Queue()
        session.streams[key] = queue
        meta = params_of(frame).get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        if isinstance(token, str | int):
            session.tokens[token] = key
        try:
            await session.proxy.from_client(frame)
            await _stream(receive, send, queue, {"mcp-session-id": name}, last=key)
        finally:
            session.streams.pop(key, None)
            session.tokens.pop(token if isinstance(token, str | int) else None, None)

    async def _open(self, name: str) -> None:
        """A session of its own for a client that greets.

        Raises:
            AdapterError: the server cannot be started.
        """
        if len(self._sessions) >= MAX_SESSIONS:
            idle = min(self._sessions, key=lambda each: self._sessions[each].used)
            await self._sessions.pop(idle).close()
        server = await self._start()
        session = _Session(server, asyncio.get_running_loop().time())
        proxy = session.proxy = self._settings.proxy(session, server)
        self._sessions[name] = session

        async def pump() -> None:
            await pumped(proxy, server)
            # A server that has ended answers nobody.
            proxy.close("The server has ended.")
            if self._sessions.get(name) is session:
                del self._sessions[name]
            await server.stop()

        session.pump = asyncio.create_task(pump())


async def _body(receive: Receive, limit: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise FrameError("cut off")
        body += message.get("body", b"")
        if len(body) > limit:
            raise FrameError("over the limit")
        if not message.get("more_body", False):
            return bytes(body)


async def _plain(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _stream(
    receive: Receive, send: Send, queue: asyncio.Queue[Object | None], headers: dict[str, str], *, last: Json
) -> None:
    """Events until the answer to ``last`` is out, the session ends, or the client goes."""
    own = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    more = [(key.encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": [*own, *more]})
    gone = asyncio.create_task(_gone(receive))
    try:
        while True:
            taken = asyncio.create_task(queue.get())
            await asyncio.wait([taken, gone], return_when=asyncio.FIRST_COMPLETED)
            if not taken.done():
                taken.cancel()
                return
            frame = taken.result()
            if frame is None:
                break
            with contextlib.suppress(FrameError):
                event = b"event: message\ndata: " + encoded(frame) + b"\n"
                await send({"type": "http.response.body", "body": event, "more_body": True})
            if last is not None and "method" not in frame and frame.get("id") == last:
                break
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
