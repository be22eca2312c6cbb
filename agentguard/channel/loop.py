"""The event loop of a process that serves agents: uvloop when it is installed, else asyncio's own."""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from agentguard.errors import ChannelError, DeliveryFailed

__all__ = ["LoopThread", "loop_factory", "run"]

T = TypeVar("T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes a loop: with ``agentguard[uvloop]`` installed, one that moves messages two to three times as fast."""
    try:
        found: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        return asyncio.new_event_loop
    return found


class LoopThread:
    """An event loop in a thread of its own, for callers that have none, or another one."""

    def __init__(self, name: str = "agentguard-channel") -> None:
        self._loop = loop_factory()()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run it there. Cancelling the future cancels it.

        Raises:
            ChannelError: the loop was stopped.
        """
        if not self._thread.is_alive():
            coroutine.close()
            raise ChannelError("this was closed; make a new one")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call(self, coroutine: Coroutine[Any, Any, T], patience: float) -> T:
        """Run it there and wait; being interrupted cancels it.

        Raises:
            DeliveryFailed: it took longer than ``patience`` seconds.
            ChannelError: as ``submit``.
        """
        future = self.submit(coroutine)
        try:
            return future.result(patience)
        except concurrent.futures.TimeoutError as error:
            if future.done():
                raise
            future.cancel()
            raise DeliveryFailed(f"no answer in {patience:g} s", reason="timeout") from error
        except BaseException:
            future.cancel()
            raise

    def soon(self, function: Callable[[], object]) -> None:
        """Call it there."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(function)

    def stop(self) -> None:
        """End the thread; a second time does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10.0)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()


def run(main: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``, on the faster loop when there is one."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(main)
