"""The conformance cells that a protocol of tools has, for the servers of every library that speaks it.

A driver gives a server of its library with the tool ``look``, and calls it over a transport in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from agentguard.guard import Guard
from tests.adapters.conformance import SECRET, Cell, Outcome

__all__ = ["CallTool", "Cells", "Look"]

# Calls the tool ``look`` with these arguments, and gives whatever the caller gets.
CallTool = Callable[[dict[str, Any]], Awaitable[Any]]
Look = Callable[[str, Any], dict[str, Any]]
# One level more than any check reads.
DEEP = 70


class Cells:
    """What is the same for every library. ``served`` opens a guarded server; ``failure`` is its error of a tool."""

    framework: str
    failure: type[Exception]

    def served(self, look: Look, guard: Guard, *, times: int) -> AbstractAsyncContextManager[CallTool]:
        """A server with ``look`` as its tool, protected so many times, and a client of it."""
        raise NotImplementedError

    def impossible(self, cell: Cell) -> str | None:
        """Cells the protocol has no place for."""
        if cell.surface in ("retrieved passage", "stored history"):
            return "resources are read by a call of resources/read: covered as tool call and tool result"
        if cell.surface == "structured output (tool)":
            return "structuredContent is part of a tool's result, and stands in every cell of tool result"
        if cell.surface not in ("tool call", "tool result"):
            return "the protocol carries tools, not models or agents; what a server asks of a model is refused"
        if cell.mode in ("sync", "batch", "abatch", "fallback"):
            return "the libraries are asynchronous, without batches and fallbacks"
        if cell.mode in ("stream", "astream", "events"):
            return "results are not streamed; progress and log messages are checked one by one"
        return None

    def run(self, cell: Cell, guard: Guard) -> Outcome:
        """Run it."""
        return asyncio.run(self._outcome(cell, guard))

    async def _outcome(self, cell: Cell, guard: Guard) -> Outcome:
        args: list[str] = []
        left = [1 if cell.mode == "retry" else 0]

        def look(text: str, extra: Any = None) -> dict[str, Any]:
            """Look something up."""
            args.append(f"{text}{extra or ''}")
            if left[0]:
                left[0] -= 1
                raise self.failure("busy")
            found = SECRET if cell.surface == "tool result" else "plain"
            if cell.mode == "handled errors":
                raise self.failure(f"failed near {found}")
            return {"found": _deep(found) if cell.mode == "adapter error" and found == SECRET else found}

        asked: dict[str, Any] = {"text": SECRET if cell.surface == "tool call" else "plain"}
        if cell.mode == "adapter error" and cell.surface == "tool call":
            asked = {"text": "plain", "extra": _deep(SECRET)}
        raised, got = "", []
        try:
            async with self.served(look, guard, times=2 if cell.mode == "twice" else 1) as call:
                if cell.mode == "parallel tools":
                    got = list(await asyncio.gather(call(asked), call({"text": "other"})))
                else:
                    got = [await call(asked) for _ in range(2 if cell.mode == "retry" else 1)]
        except* Exception as group:
            raised = " ".join(str(error) for error in group.exceptions)
        return Outcome((), tuple(sorted(args)), repr(got), raised=raised)


def _deep(text: str) -> Any:
    value: Any = text
    for _ in range(DEEP):
        value = [value]
    return value
