"""A server reached over streamable HTTP: every answer is read with bounds, no redirect is followed."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import urlsplit

from agentguard import AdapterError, ConfigError

from .frames import MAX_FRAME, FrameError, Lines, decoded, encoded, fault
from .messages import GREETING, Object

__all__ = ["Upstream", "checked_url"]

CONNECT_TIMEOUT = 10.0
FAILED = -32000
_SESSION, _VERSION = "Mcp-Session-Id", "MCP-Protocol-Version"


def checked_url(url: str) -> str:
    """``url``, if it is one of a server that can be reached safely.

    Raises:
        ConfigError: it is no URL, or sends everything in the clear to another machine.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"got the URL {url[:80]!r}; write https://host/path") from error
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
        raise ConfigError(f"got the URL {url[:80]!r}; write https://host/path, without a user name in it")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigError(f"{url[:80]!r} would carry everything in the clear; write https://")
    return url


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _library() -> Any:
    """The HTTP library that came with the protocol's: it has another name in each generation."""
    try:
        import httpx2

        return httpx2
    except ImportError:
        pass
    try:
        import httpx
    except ImportError as error:
        raise AdapterError("install agentguard[mcp] (httpx not found)") from error
    return httpx


class Upstream:
    """One session with a server."""

    def __init__(self, url: str, client: Any, limit: int) -> None:
        self._url = url
        self._client = client
        self._limit = limit
        self._headers: dict[str, str] = {}
        self._read: asyncio.Queue[Object | str] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def connect(cls, url: str, *, token: str | None = None, limit: int = MAX_FRAME) -> Upstream:
        """Be ready to speak with the server at ``url``.

        Raises:
            AdapterError: the library is absent.
        """
        library = _library()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # How long an answer may take is the proxy's to say.
        client = library.AsyncClient(
            timeout=library.Timeout(None, connect=CONNECT_TIMEOUT), follow_redirects=False, headers=headers
        )
        return cls(url, client, limit)

    async def write(self, frame: Object) -> None:
        """Send a frame; a request is answered later."""
        if "method" in frame and "id" in frame:
            self._start(self._post(frame))
        else:
            await self._post(frame)
            if frame.get("method") == "notifications/initialized":
                self._start(self._listen())

    async def frames(self) -> AsyncIterator[Object | str]:
        """What the server sends, until we stop."""
        while True:
            yield await self._read.get()

    async def stop(self) -> int:
        """End the session."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            if _SESSION in self._headers:
                await asyncio.wait_for(self._client.delete(self._url, headers=self._headers), CONNECT_TIMEOUT)
        await self._client.aclose()
        return 0

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, frame: Object) -> None:
        """Send one frame, and read what is answered to it."""
        asked = frame.get("id") if "method" in frame else None
        headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        why = "The server did not answer."
        try:
            async with self._client.stream(
                "POST", self._url, content=encoded(frame), headers={**headers, **self._headers}
            ) as response:
                if response.status_code >= 300:
                    why = f"The server answered with HTTP status {response.status_code}."
                else:
                    await self._answers(response, frame.get("method") == GREETING)
        except FrameError as error:
            why = f"The server answered with something that is {error}."
        except Exception as error:  # noqa: BLE001  # whatever a network does, the request ends with an error
            why = f"The server could not be reached ({type(error).__name__})."
        if asked is not None:
            # Nobody waits for it any more where the answer has come.
            await self._read.put({"id": asked, "error": fault(FAILED, why), "late": True})

    async def _answers(self, response: Any, greeting: bool) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if greeting and (session := response.headers.get(_SESSION)) is not None:
            self._headers[_SESSION] = session
        if kind == "text/event-stream":
            async for frame in self._events(response):
                await self._take(frame, greeting)
        elif kind == "application/json":
            body = bytearray()
            async for data in response.aiter_bytes():
                body += data
                if len(body) > self._limit:
                    raise FrameError("over the limit")
            await self._take(decoded(bytes(body)), greeting)

    async def _take(self, frame: Object, greeting: bool) -> None:
        result = frame.get("result")
        if greeting and isinstance(result, dict) and isinstance(result.get("protocolVersion"), str):
            self._headers[_VERSION] = cast(str, result["protocolVersion"])
        await self._read.put(frame)

    async def _listen(self) -> None:
        """What the server says unasked; one that does not is left alone."""
        with contextlib.suppress(Exception):
            headers = {"Accept": "text/event-stream", **self._headers}
            async with self._client.stream("GET", self._url, headers=headers) as response:
                if response.status_code == 200:
                    async for frame in self._events(response):
                        await self._read.put(frame)

    async def _events(self, response: Any) -> AsyncIterator[Object]:
        """The messages of a stream of server-sent events.

        Raises:
            FrameError: one is over the limit, or no message.
        """
        lines, held = Lines(self._limit), bytearray()
        async for data in response.aiter_bytes():
            for line in lines.feed(data):
                if line is None or len(held) > self._limit:
                    raise FrameError("over the limit")
                field, _, value = line.rstrip(b"\r").partition(b":")
                if field == b"data":
                    held += value.removeprefix(b" ") + b"\n"
                elif not line.strip() and held.strip():
                    yield decoded(bytes(held))
                    held.clear()
