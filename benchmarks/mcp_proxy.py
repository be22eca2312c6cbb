"""The price of the proxy on one call of an MCP tool: a server spoken to directly, and the same behind the guard.

The server answers at once and knows no library, which is the worst case. ``python -m benchmarks.mcp_proxy``
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from agentguard import Guard, Home
from agentguard_mcp.bridge import Settings, bridged
from agentguard_mcp.messages import Object
from agentguard_mcp.stdio import Child
from benchmarks.report import Row, Table

CALLS = 300
PARALLEL = 20
CHARS = (100, 10_000)

SERVER = """
import json, sys
for line in sys.stdin:
    frame = json.loads(line)
    if "id" in frame:
        if frame["method"] == "tools/list":
            result = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
        else:
            result = {"content": [{"type": "text", "text": frame["params"]["arguments"]["text"]}]}
        print(json.dumps({"jsonrpc": "2.0", "id": frame["id"], "result": result}), flush=True)
"""
POLICY = """
version: 1
roles: {clerk: {tools: [echo]}}
agents: {clerk: {roles: [clerk]}}
tools: {echo: {side_effect: read}}
"""
SENTENCE = "The minutes of the meeting were sent to everybody on the list. "


class _Client:
    """Sends calls and waits for their answers; ``write`` takes what comes back."""

    def __init__(self) -> None:
        self._sent: asyncio.Queue[Object | None] = asyncio.Queue()
        self._waiting: dict[object, asyncio.Future[Object]] = {}
        self._next = 0

    async def write(self, frame: Object) -> None:
        self._waiting.pop(frame.get("id")).set_result(frame)

    async def frames(self) -> AsyncIterator[Object | str]:
        while (frame := await self._sent.get()) is not None:
            yield frame

    async def call(self, text: str) -> None:
        self._next += 1
        self._waiting[self._next] = future = asyncio.get_running_loop().create_future()
        params: Object = {"name": "echo", "arguments": {"text": text}}
        await self._sent.put({"jsonrpc": "2.0", "id": self._next, "method": "tools/call", "params": params})
        answer = await future
        if text not in repr(answer):
            raise RuntimeError("the call did not pass, so nothing was measured")

    async def close(self) -> None:
        await self._sent.put(None)


async def _direct(client: _Client) -> int:
    """The client and the server, with nothing between them."""
    server = await _started()

    async def back() -> None:
        async for frame in server.frames():
            if isinstance(frame, dict):
                await client.write(frame)

    reading = asyncio.create_task(back())
    async for frame in client.frames():
        if isinstance(frame, dict):
            await server.write(frame)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    return await server.stop()


async def _started() -> Child:
    return await Child.start([sys.executable, "-c", SERVER])


async def _measured(carry: Callable[[_Client], Awaitable[int]], chars: int) -> tuple[float, float]:
    """Microseconds of one call, best median of three; and of one among many at once."""
    client = _Client()
    carrying = asyncio.ensure_future(carry(client))
    text = (SENTENCE * (chars // len(SENTENCE) + 1))[:chars]
    medians: list[float] = []
    rates: list[float] = []
    for _ in range(3):
        times = []
        for number in range(CALLS):
            started = time.perf_counter()
            # Every text is another one: what was read once is remembered.
            await client.call(f"{number} {len(medians)} {text}")
            times.append(time.perf_counter() - started)
        medians.append(statistics.median(times))
        started = time.perf_counter()
        for batch in range(CALLS // PARALLEL):
            await asyncio.gather(*(client.call(f"{batch}.{each} {len(medians)} {text}") for each in range(PARALLEL)))
        rates.append((time.perf_counter() - started) / (CALLS // PARALLEL * PARALLEL))
    await client.close()
    await carrying
    return min(medians) * 1e6, min(rates) * 1e6


def main() -> None:
    """Print the table."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        policy = Path(folder) / "agentguard.yaml"
        policy.write_text(POLICY)
        with Guard.from_file(policy, home=Home.create(Path(folder) / "home").path) as guard:
            settings = Settings(guard, "clerk")
            for chars in CHARS:
                plain = asyncio.run(_measured(_direct, chars))
                guarded = asyncio.run(_measured(lambda client: bridged(settings, client, _started), chars))
                rows += [
                    Row(f"{chars} characters, {how}", f"{raw:.0f}", f"{own:.0f}", f"{own - raw:.0f}")
                    for how, raw, own in zip(("one by one", f"{PARALLEL} at once"), plain, guarded, strict=True)
                ]
    columns = ("argument and result", "direct, us a call", "proxied, us a call", "added, us")
    print(Table("One call of an MCP tool, directly and through the proxy", columns, tuple(rows)))


if __name__ == "__main__":
    main()
