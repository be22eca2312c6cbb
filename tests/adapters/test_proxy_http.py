"""The MCP proxy over streamable HTTP: served on the loopback, and in front of a server behind a URL."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentguard import AdapterError, ConfigError, Guard, Home
from agentguard_mcp.bridge import Settings, bridged
from agentguard_mcp.listener import MAX_SESSIONS, listening
from agentguard_mcp.serving import started
from tests.adapters.test_proxy import POLICY, SERVER, Client

GREETING = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}}
ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.fixture
def guard(tmp_path: Path) -> Any:
    """A guard with a real policy."""
    policy = tmp_path / "agentguard.yaml"
    policy.write_text(POLICY.format(more="", pin=""))
    with Guard.from_file(policy, home=Home.create(tmp_path / ".agentguard").path) as made:
        yield made


@asynccontextmanager
async def listened(folder: Path, mode: str) -> AsyncIterator[str]:
    """The URL of ``agentguard mcp-proxy --listen`` in a process of its own."""
    command = [sys.executable, "-m", "agentguard.cli", "mcp-proxy", "--agent", "assistant", "--max-bytes", "1000000"]
    process = await asyncio.create_subprocess_exec(
        *command, "--listen", "0", "--", sys.executable, str(SERVER), mode, cwd=folder, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while (found := re.search(rb"http://127\.0\.0\.1:\d+/mcp", await process.stderr.readline())) is None:
                assert process.returncode is None
        yield found[0].decode()
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 30)


def _events(body: str) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in body.splitlines() if line.startswith("data: ")]


async def test_a_server_is_served_guarded_to_its_own_sessions(guard: Guard, tmp_path: Path) -> None:
    """Without a session there is nothing, and a session that was ended is gone."""
    async with listened(tmp_path, "reports") as url, httpx.AsyncClient(headers=ACCEPT, timeout=30) as client:
        greeted = await client.post(url, json=GREETING)
        session = {"mcp-session-id": greeted.headers["mcp-session-id"]}
        noted = await client.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=session)
        params = {"name": "echo", "arguments": {}, "_meta": {"progressToken": "p"}}
        called = await client.post(
            url, json={"jsonrpc": "2.0", "id": "c", "method": "tools/call", "params": params}, headers=session
        )
        without = await client.post(url, json={"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
        ended = await client.delete(url, headers=session)
        after = await client.post(url, json={"jsonrpc": "2.0", "id": 3, "method": "tools/list"}, headers=session)

    frames = _events(called.text)
    assert _events(greeted.text)[0]["result"]["serverInfo"]["name"] == "hostile"
    assert (noted.status_code, without.status_code, ended.status_code, after.status_code) == (202, 404, 204, 404)
    assert [frame.get("method") for frame in frames] == ["notifications/progress", "notifications/message", None]
    assert "collector" not in called.text
    assert frames[-1]["id"] == "c"


@pytest.mark.parametrize(
    ("headers", "body", "path", "status"),
    [
        pytest.param({"host": "rebound.example.net"}, b"{}", "/mcp", 403, id="a-name-that-leads-here"),
        pytest.param({"origin": "http://evil.example.net"}, b"{}", "/mcp", 403, id="a-web-page"),
        pytest.param({"origin": "null"}, b"{}", "/mcp", 403, id="a-file"),
        pytest.param({}, b"{}", "/mcp", 400, id="no-frame"),
        pytest.param({}, b"x" * 1_000_001, "/mcp", 400, id="too-long"),
        pytest.param({}, b"{}", "/", 404, id="another-path"),
    ],
)
async def test_what_is_no_client_is_refused(
    guard: Guard, tmp_path: Path, headers: dict[str, str], body: bytes, path: str, status: int
) -> None:
    async with listened(tmp_path, "honest") as url, httpx.AsyncClient(headers=ACCEPT, timeout=30) as client:
        answer = await client.post(url.removesuffix("/mcp") + path, content=body, headers=headers)

    assert answer.status_code == status


@asynccontextmanager
async def chained(guard: Guard, url: str) -> AsyncIterator[Client]:
    """A client of a server behind a URL."""
    client = Client()
    settings = Settings(guard, "assistant", limit=1_000_000)
    task = asyncio.create_task(bridged(settings, client, started(None, url=url, limit=1_000_000)))
    try:
        await client.ask("initialize", {"protocolVersion": "2025-03-26"})
        await client.sent.put({"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield client
    finally:
        await client.sent.put(None)
        await asyncio.wait_for(task, 30)


async def test_a_server_behind_a_url_is_guarded(guard: Guard, tmp_path: Path) -> None:
    """Through both transports: one proxy in front of another."""
    async with listened(tmp_path, "poisoned result") as url, chained(guard, url) as client:
        listed = await client.ask("tools/list")
        results = await asyncio.gather(*(client.call(str(number)) for number in range(5)))

    assert [each["name"] for each in listed["result"]["tools"]] == ["echo"]
    assert all(result["content"][0]["text"].startswith("Rome.") for result in results)
    assert "collector" not in repr(client.got)


@asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[str]:
    """A server that answers every request with these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", id="elsewhere"
        ),
        pytest.param(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", id="an-error"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n" + b"x" * 2_000_000, id="too-long"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{]", id="garbage"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {]\r\n\r\n", id="garbled-event"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: " + b"x" * 2_000_000 + b"\r\n\r\n",
            id="an-event-too-long",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<p>", id="a-web-page"),
        pytest.param(b"nonsense", id="no-http"),
    ],
)
async def test_a_url_that_answers_otherwise_is_an_error(guard: Guard, reply: bytes) -> None:
    async with answering(reply) as url, chained(guard, url) as client:
        assert "error" in await client.answer(1)


def test_a_port_that_cannot_be_had(guard: Guard) -> None:
    """Only a port is taken: nobody listens to the world by mistake."""
    start = started(["true"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port in (str(taken.getsockname()[1]), "0.0.0.0:80", "99999", "-1", "http"):
            with pytest.raises(ConfigError):
                asyncio.run(listening(Settings(guard), start, port))


def test_a_token_that_is_not_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MCP_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="MCP_TOKEN"):
        started(None, url="https://example.com/mcp", bearer_env="MCP_TOKEN")


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("httpx", "httpx2", "uvicorn"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(AdapterError, match=r"install agentguard\[mcp\]"):
        asyncio.run(started(None, url="https://example.com/mcp")())  # type: ignore[arg-type]  # awaited by run


async def test_sessions_are_bounded(guard: Guard, tmp_path: Path) -> None:
    """The one that was idle longest makes room; its server ends."""
    async with listened(tmp_path, "honest") as url, httpx.AsyncClient(headers=ACCEPT, timeout=60) as client:
        names = [(await client.post(url, json=GREETING)).headers["mcp-session-id"] for _ in range(MAX_SESSIONS + 1)]
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        first = await client.post(url, json=ping, headers={"mcp-session-id": names[0]})
        last = await client.post(url, json=ping, headers={"mcp-session-id": names[-1]})

    assert (first.status_code, last.status_code) == (404, 200)


async def test_a_proxy_that_is_stopped_takes_its_server_with_it(guard: Guard, tmp_path: Path) -> None:
    """By a signal, in the middle of a session."""
    script = "import os, sys, time\nprint(os.getpid(), file=sys.stderr, flush=True)\ntime.sleep(600)"
    command = [sys.executable, "-m", "agentguard.cli", "mcp-proxy", "--agent", "assistant", "--"]
    process = await asyncio.create_subprocess_exec(
        *command,
        sys.executable,
        "-c",
        script,
        cwd=tmp_path,
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    child = int(await asyncio.wait_for(process.stderr.readline(), 60))
    process.send_signal(signal.SIGTERM)

    assert await asyncio.wait_for(process.wait(), 30) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
