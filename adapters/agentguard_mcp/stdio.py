"""A server as a child process, and a client at our own standard input and output.

The child sees our standard error as its own, none of our secrets, and is stopped with us.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO

from agentguard import AdapterError

from .frames import MAX_FRAME, TOO_LONG, FrameError, Lines, decoded, encoded
from .messages import Object

__all__ = ["Child", "Standard"]

_CHUNK = 64 * 1024
# Seconds a server gets to end by itself, then to end when told.
GRACE = 2.0
# Lines that were read and not yet taken: one more and reading waits.
QUEUE = 64
_OWN = "AGENTGUARD_"


class Child:
    """The server that ``command`` starts."""

    def __init__(self, process: asyncio.subprocess.Process, limit: int) -> None:
        self._process = process
        self._limit = limit
        self._lock = asyncio.Lock()

    @classmethod
    async def start(cls, command: Sequence[str], *, limit: int = MAX_FRAME) -> Child:
        """Start it.

        Raises:
            AdapterError: it cannot be started.
        """
        env = {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=env,
                # A group of its own, so that what it starts ends with it.
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise AdapterError(f"the server {command[0][:80]!r} cannot be started ({type(error).__name__})") from error
        return cls(process, limit)

    async def write(self, frame: Object) -> None:
        """Send a frame. A server that has ended is told nothing."""
        assert self._process.stdin is not None  # noqa: S101  # asked for at the start
        async with self._lock:
            with contextlib.suppress(ConnectionError):
                self._process.stdin.write(encoded(frame))
                await self._process.stdin.drain()

    async def frames(self) -> AsyncIterator[Object | str]:
        """What it sends, until it ends; a text says what could not be read."""
        assert self._process.stdout is not None  # noqa: S101  # as in write
        lines = Lines(self._limit)
        while data := await self._process.stdout.read(_CHUNK):
            for line in lines.feed(data):
                if (read := _read(line)) is not None:
                    yield read

    async def stop(self) -> int:
        """Close its input, then ask, then kill it and what it started. Gives its exit code."""
        assert self._process.stdin is not None  # noqa: S101  # as in write
        self._process.stdin.close()
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number is not None:
                self._signal(number)
            with contextlib.suppress(TimeoutError):
                # Draining keeps a server that is still writing from waiting for us.
                await asyncio.wait_for(self._ended(), GRACE)
                break
        self._signal(signal.SIGKILL)
        return await self._process.wait()

    async def _ended(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  # as in write
        while await self._process.stdout.read(_CHUNK):
            pass
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


class Standard:
    """The client at our standard input and output."""

    def __init__(
        self, source: BinaryIO | None = None, target: BinaryIO | None = None, *, limit: int = MAX_FRAME
    ) -> None:
        self._source = source or sys.stdin.buffer
        self._target = target or sys.stdout.buffer
        self._limit = limit
        self._lock = asyncio.Lock()

    async def write(self, frame: Object) -> None:
        """Send a frame. A client that has gone is told nothing."""
        data = encoded(frame)
        async with self._lock:
            await asyncio.to_thread(self._put, data)

    async def frames(self) -> AsyncIterator[Object | str]:
        """What it sends, until it closes; a text says what could not be read."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE)
        # A thread, since a file or a terminal cannot be waited for otherwise. It ends with the process.
        threading.Thread(target=self._pump, args=(loop, queue), daemon=True, name="agentguard-mcp-stdin").start()
        lines = Lines(self._limit)
        while data := await queue.get():
            for line in lines.feed(data):
                if (read := _read(line)) is not None:
                    yield read

    def _pump(self, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[bytes | None]) -> None:
        number = self._source.fileno()
        while True:
            try:
                data = os.read(number, _CHUNK)
            except OSError:
                data = b""
            try:
                asyncio.run_coroutine_threadsafe(queue.put(data or None), loop).result()
            except Exception:  # noqa: BLE001  # the loop has ended, and with it whoever wanted the input
                return
            if not data:
                return

    def _put(self, data: bytes) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._target.write(data)
            self._target.flush()


def _read(line: bytes | None) -> Object | str | None:
    if line is None:
        return TOO_LONG
    if not line.strip():
        return None
    try:
        return decoded(line)
    except FrameError as error:
        return f"a line that is {error}"
