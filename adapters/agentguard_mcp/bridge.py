"""Runs a proxy between two ends until one of them closes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from agentguard import Guard, Json
from agentguard.adapter import Gate

from .frames import MAX_FRAME, FrameError
from .messages import Fault, Object
from .proxy import REQUEST_TIMEOUT, Proxy

__all__ = ["End", "Server", "Settings", "bridged", "definitions", "until_stopped"]

# Seconds that requests at work get once the client has closed its end.
PATIENCE = 5.0
# The oldest handshake that names nothing but what is known here, for a question of our own.
_VERSION = "2025-03-26"


class Sink(Protocol):
    """Something frames go to."""

    async def write(self, frame: Object) -> None: ...


class End(Sink, Protocol):
    """Something frames come from, too."""

    def frames(self) -> AsyncIterator[Object | str]: ...


class Server(End, Protocol):
    """An end that was started for this connection."""

    async def stop(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """How a proxy is run; as in ``Proxy``. ``limit``: bytes of one message."""

    guard: Guard
    agent: str | None = None
    prefix: str = ""
    request: str | None = None
    timeout: float = REQUEST_TIMEOUT
    limit: int = MAX_FRAME

    def proxy(self, client: Sink, server: Sink) -> Proxy:
        """A proxy between the two."""
        return Proxy(
            Gate(self.guard, self.agent),
            to_client=client.write,
            to_server=server.write,
            prefix=self.prefix,
            request=self.request,
            timeout=self.timeout,
        )


async def bridged(settings: Settings, client: End, start: Callable[[], Awaitable[Server]]) -> int:
    """Carry frames until the client closes (0) or the server ends (its exit code); the server is stopped with us.

    Raises:
        AdapterError: the server cannot be started.
    """
    server = await start()
    proxy = settings.proxy(client, server)
    code = 0

    async def outwards() -> None:
        async for frame in client.frames():
            if isinstance(frame, str):
                await proxy.unreadable(frame, from_server=False)
            else:
                await proxy.from_client(frame)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(proxy.settled(), PATIENCE)

    async def inwards() -> None:
        await pumped(proxy, server)

    tasks = [asyncio.create_task(outwards()), asyncio.create_task(inwards())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = tasks[1] in done
        if ended:
            proxy.close("The server has ended.")
            await proxy.settled()
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        stopped = await server.stop()
        proxy.close("The proxy has ended.")
    if ended:
        code = stopped if stopped > 0 else 3 if stopped else 0
    return code


async def pumped(proxy: Proxy, server: End) -> None:
    """Hand the proxy what the server sends, until it ends."""
    async for frame in server.frames():
        if isinstance(frame, str):
            await proxy.unreadable(frame, from_server=True)
        else:
            await proxy.from_server(frame)


async def definitions(server: Server, *, timeout: float = 30.0) -> list[Json]:  # noqa: ASYNC109  # of one answer
    """The definitions of every tool of a server, asked for by ourselves; the server is stopped afterwards.

    Raises:
        AdapterError: it does not answer as a server does.
    """
    from agentguard import AdapterError

    greeting: Object = {
        "protocolVersion": _VERSION,
        "capabilities": {},
        "clientInfo": {"name": "agentguard", "version": "1"},
    }

    async def nobody(_frame: Object) -> None:
        return None

    unguarded = Proxy(Gate(_deaf()), to_client=nobody, to_server=server.write, timeout=timeout)
    reading = asyncio.create_task(pumped(unguarded, server))
    try:
        asking = asyncio.create_task(_asked(unguarded, server, greeting))
        await asyncio.wait([asking, reading], return_when=asyncio.FIRST_COMPLETED)
        unguarded.close("The server has ended.")
        return await asking
    except (Fault, FrameError) as error:
        raise AdapterError(f"the server did not list its tools ({str(error)[:100]})") from error
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await server.stop()


async def _asked(proxy: Proxy, server: End, greeting: Object) -> list[Json]:
    await proxy.ask_server("initialize", greeting)
    await server.write({"method": "notifications/initialized"})
    return await proxy.definitions()


def _deaf() -> Guard:
    """Refuses whatever a server asks while only its tools are looked at."""
    from agentguard import Effect, Verdict
    from agentguard.testing import RecordingSink, ScriptedStage

    stage = ScriptedStage(lambda _event: Verdict(Effect.DENY, reason="not-asked", message="Nothing is answered here."))
    return Guard(stages=[stage], audit=RecordingSink())


async def until_stopped(work: Awaitable[int]) -> int:
    """``work``, cancelled by an interrupt or a termination, so that what it started is stopped too."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return 130
