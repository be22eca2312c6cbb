"""The MCP proxy between a client and servers that attack it. The servers are real processes without any library."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard import AdapterError, ConfigError, Guard, Home
from agentguard.policy import pin_of
from agentguard_mcp.bridge import Settings, bridged, definitions
from agentguard_mcp.frames import FrameError, Lines, decoded, encoded
from agentguard_mcp.messages import Object
from agentguard_mcp.serving import started
from agentguard_mcp.stdio import Child
from agentguard_mcp.upstream import checked_url
from tests.adapters.hostile_server import tool

SERVER = Path(__file__).with_name("hostile_server.py")
POLICY = """
version: 1
roles: {{clerk: {{permissions: [execute_agent], tools: [echo{more}]}}}}
agents: {{assistant: {{roles: [clerk]}}}}
tools:
  echo: {{side_effect: read, output: untrusted{pin}}}
  resources/read: {{side_effect: read, output: untrusted}}
  sampling/createMessage: {{side_effect: read}}
"""


class Client:
    """The client's end: what it sends is given, what it gets is kept."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Object | str | None] = asyncio.Queue()
        self.got: list[Any] = []
        self._news = asyncio.Event()
        self._next = 0

    async def write(self, frame: Object) -> None:
        self.got.append(json.loads(encoded(frame)))
        self._news.set()

    async def frames(self) -> AsyncIterator[Object | str]:
        while (frame := await self.sent.get()) is not None:
            yield frame

    async def ask(self, method: str, params: Object | None = None, *, key: str | int | None = None) -> Any:
        """Send a request and wait for its answer."""
        self._next += 1
        wanted = key if key is not None else self._next
        await self.sent.put({"jsonrpc": "2.0", "id": wanted, "method": method, "params": params or {}})
        return await self.answer(wanted)

    async def answer(self, key: str | int) -> Any:
        """The answer to a request."""
        return await self.wait(lambda frame: "method" not in frame and frame.get("id") == key)

    async def wait(self, wanted: Callable[[Any], bool]) -> Any:
        """A frame that came or comes."""
        async with asyncio.timeout(30):
            while True:
                for frame in self.got:
                    if wanted(frame):
                        return frame
                self._news.clear()
                await self._news.wait()

    async def call(self, text: str = "hello", **more: Any) -> Any:
        """Call ``echo``."""
        return (await self.ask("tools/call", {"name": "echo", "arguments": {"text": text}, **more}))["result"]


@pytest.fixture
def guard(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A guard with a real policy. Parameters: further tools of the role, the row's pin."""
    more, pin = getattr(request, "param", ("", ""))
    policy = tmp_path / "agentguard.yaml"
    policy.write_text(POLICY.format(more=f", {more}" if more else "", pin=f", pin: '{pin}'" if pin else ""))
    with Guard.from_file(policy, home=Home.create(tmp_path / ".agentguard").path) as made:
        yield made


@asynccontextmanager
async def proxied(guard: Guard, mode: str, **settings: Any) -> AsyncIterator[Client]:
    """A client of the hostile server behind the proxy."""
    client = Client()
    limit = settings.pop("limit", 1_000_000)
    start = started([sys.executable, str(SERVER), mode], limit=limit)
    task = asyncio.create_task(bridged(Settings(guard, "assistant", limit=limit, **settings), client, start))
    try:
        await client.ask("initialize", {"protocolVersion": "2025-03-26"})
        await client.sent.put({"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield client
    finally:
        await client.sent.put(None)
        await asyncio.wait_for(task, 30)


def _text(result: Any) -> str:
    return str(result["content"][0]["text"])


async def test_an_honest_call_passes_and_what_is_not_permitted_is_not_shown(guard: Guard) -> None:
    async with proxied(guard, "honest") as client:
        listed = (await client.ask("tools/list"))["result"]["tools"]
        result = await client.call("hello")
        refused = (await client.ask("tools/call", {"name": "secret_tool", "arguments": {}}))["result"]

    assert [each["name"] for each in listed] == ["echo"]
    assert (_text(result), result.get("isError")) == ("echo hello", None)
    assert (_text(refused), refused["isError"]) == ("The tool secret_tool is not in the policy.", True)


async def test_the_greeting_promises_nothing_that_is_refused(guard: Guard) -> None:
    async with proxied(guard, "honest") as client:
        greeting = (await client.answer(1))["result"]

    assert greeting["capabilities"] == {"tools": {}}


@pytest.mark.parametrize("mode", ["poisoned description", "poisoned instructions"])
async def test_orders_in_what_a_server_says_of_itself_are_cut_out(guard: Guard, mode: str) -> None:
    async with proxied(guard, mode) as client:
        listed = await client.ask("tools/list")
        got = repr(client.got)

    assert "collector" not in got
    assert listed["result"]["tools"][0]["name"] == "echo"


async def test_orders_in_a_result_are_cut_out_of_every_copy(guard: Guard) -> None:
    async with proxied(guard, "poisoned result") as client:
        result = await client.call()

    assert "collector" not in repr(result)
    assert _text(result).startswith("Rome.")
    assert result["structuredContent"]["city"] == "Rome"


async def test_orders_in_an_error_are_cut_out(guard: Guard) -> None:
    async with proxied(guard, "poisoned error") as client:
        answer = await client.ask("tools/call", {"name": "echo", "arguments": {}})

    assert "collector" not in repr(answer)
    assert answer["error"]["code"] == -1


@pytest.mark.parametrize("guard", [("", pin_of(tool("echo", "Echo.")))], indirect=True)
async def test_a_description_that_changes_after_pinning_is_refused(guard: Guard) -> None:
    """In the session in which it was seen as pinned, too."""
    async with proxied(guard, "changes") as client:
        first = await client.ask("tools/list")
        before = await client.call()
        second = await client.ask("tools/list")
        after = await client.call()

    assert len(first["result"]["tools"]) == 1
    assert _text(before) == "echo hello"
    assert second["result"]["tools"] == []
    assert (after["isError"], _text(after)) == (True, "The definition of echo is not the one that was reviewed.")


@pytest.mark.parametrize("guard", [("", pin_of(tool("echo", "Echo.")))], indirect=True)
async def test_a_pinned_tool_that_was_never_listed_is_compared_before_its_call(guard: Guard) -> None:
    async with proxied(guard, "honest") as client:
        assert _text(await client.call()) == "echo hello"
    async with proxied(guard, "poisoned description") as client:
        assert (await client.call())["isError"]


@pytest.mark.parametrize("guard", [("", "required")], indirect=True)
async def test_a_tool_that_waits_for_its_pin_is_refused(guard: Guard) -> None:
    async with proxied(guard, "honest") as client:
        assert _text(await client.call()) == "The definition of echo has not been reviewed yet."


async def test_an_answer_of_50_megabytes_fails_the_call_and_nothing_else(guard: Guard) -> None:
    async with proxied(guard, "huge") as client:
        answer = await client.ask("tools/call", {"name": "echo", "arguments": {}})
        alive = await client.ask("ping")

    assert "over the limit" in answer["error"]["message"]
    assert alive["result"] == {}


async def test_garbage_is_dropped(guard: Guard) -> None:
    """Many servers print a banner."""
    async with proxied(guard, "garbage") as client:
        assert _text(await client.call()) == "after the garbage"


async def test_the_second_answer_to_a_request_leads_nowhere(guard: Guard) -> None:
    async with proxied(guard, "two answers") as client:
        result = await client.call()
        await client.ask("ping")
        answers = [frame for frame in client.got if "content" in repr(frame)]

    assert _text(result) == "first"
    assert len(answers) == 1


async def test_a_server_that_asks_for_a_model_is_refused(guard: Guard) -> None:
    """The client never hears of it."""
    async with proxied(guard, "samples") as client:
        result = await client.call()
        methods = [frame.get("method") for frame in client.got]

    assert "No role permits the tool sampling/createMessage." in _text(result)
    assert "sampling/createMessage" not in methods


@pytest.mark.parametrize("guard", [("sampling/createMessage", "")], indirect=True)
async def test_a_permitted_question_to_the_model_is_read_first(guard: Guard) -> None:
    async with proxied(guard, "samples") as client:
        calling = asyncio.create_task(client.call())
        asked = await client.wait(lambda frame: frame.get("method") == "sampling/createMessage")
        await client.sent.put({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -1, "message": "not now"}})
        result = await calling

    assert "collector" not in repr(asked)
    assert "not now" in _text(result)


async def test_a_question_in_place_of_an_answer_is_refused(guard: Guard) -> None:
    async with proxied(guard, "asks for input") as client:
        result = await client.call()

    assert result["isError"]
    assert "inputRequests" not in repr(client.got)


async def test_progress_passes_checked_and_unknown_notifications_do_not(guard: Guard) -> None:
    """What stands beside a request is not handed on, but for the token."""
    async with proxied(guard, "reports") as client:
        result = await client.call(_meta={"progressToken": 9, "leak": "x"})
        notes = {frame["method"]: frame["params"] for frame in client.got if "method" in frame}

    assert set(notes) == {"notifications/progress", "notifications/message"}
    assert notes["notifications/progress"]["progressToken"] == 9
    assert notes["notifications/progress"]["message"].startswith("half.")
    assert "collector" not in repr(notes)
    assert _text(result) == "{'progressToken': 9}"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        pytest.param("tasks/result", {"taskId": "1"}, id="a-method-nobody-reads"),
        pytest.param("resources/read", {"uri": "notes://all"}, id="a-resource-not-permitted"),
        pytest.param("completion/complete", {"ref": {}}, id="a-completion-not-permitted"),
    ],
)
async def test_what_is_not_permitted_never_reaches_the_server(guard: Guard, method: str, params: Object) -> None:
    async with proxied(guard, "honest") as client:
        answer = await client.ask(method, params)

    assert "error" in answer
    assert "ran" not in repr(answer)


async def test_a_call_that_starts_a_task_is_refused(guard: Guard) -> None:
    """Its result would come by another way."""
    async with proxied(guard, "honest") as client:
        assert (await client.call(task={"ttl": 1000}))["isError"]


async def test_a_newer_handshake_falls_back_to_the_known_one(guard: Guard) -> None:
    async with proxied(guard, "honest") as client:
        assert (await client.ask("server/discover"))["error"]["code"] == -32601


@pytest.mark.parametrize(("guard", "shown"), [(("", ""), 0), (("resources/read", ""), 1)], indirect=["guard"])
async def test_resources_are_listed_to_who_may_read_them(guard: Guard, shown: int) -> None:
    async with proxied(guard, "honest") as client:
        listed = await client.ask("resources/list")
        read = await client.ask("resources/read", {"uri": "notes://all"})

    assert len(listed["result"]["resources"]) == shown
    assert ("result" in read) == bool(shown)
    assert "collector" not in repr(client.got)


async def test_a_cancelled_request_is_cancelled_at_the_server_under_its_own_id(guard: Guard) -> None:
    async with proxied(guard, "silent") as client:
        await client.sent.put(
            {"jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": {"name": "echo", "arguments": {}}}
        )
        await client.ask("ping")
        for key in ("unknown", "mine"):
            await client.sent.put({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": key}})
        told = await client.wait(lambda frame: frame.get("method") == "notifications/message")

    assert told["params"]["data"] == "told of it"
    assert not [frame for frame in client.got if frame.get("id") == "mine"]


async def test_an_answer_that_never_comes_is_given_up(guard: Guard) -> None:
    async with proxied(guard, "silent", timeout=0.3) as client:
        answer = await client.ask("tools/call", {"name": "echo", "arguments": {}})

    assert answer["error"]["message"] == "The request was not answered in time."


async def test_a_server_that_ends_fails_the_call_and_the_proxy_says_so(guard: Guard) -> None:
    client = Client()
    start = started([sys.executable, str(SERVER), "ends"])
    task = asyncio.create_task(bridged(Settings(guard, "assistant"), client, start))

    answer = await client.ask("tools/call", {"name": "echo", "arguments": {}})

    assert answer["error"]["message"] == "The server has ended."
    assert await asyncio.wait_for(task, 30) == 7


async def test_requests_run_side_by_side(guard: Guard) -> None:
    async with proxied(guard, "honest") as client:
        results = await asyncio.gather(*(client.call(f"text {number}") for number in range(40)))

    assert [_text(result) for result in results] == [f"echo text {number}" for number in range(40)]


async def test_an_id_in_use_and_broken_frames_are_refused(guard: Guard) -> None:
    async with proxied(guard, "silent") as client:
        asked: Object = {"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": {"name": "echo"}}
        await client.sent.put(asked)
        await client.sent.put(dict(asked))
        await client.sent.put({"jsonrpc": "2.0", "id": [1], "method": "ping"})
        await client.sent.put("a line that is not JSON")
        refused = await client.answer(77)
        await client.ask("ping")

    assert "in use" in refused["error"]["message"]
    assert len([frame for frame in client.got if "id" in frame and frame["id"] is None]) == 2


async def test_what_the_proxy_started_ends_with_it(tmp_path: Path) -> None:
    """Also a server that ignores every signal but the last, and what that server started."""
    script = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(600)"
    )
    child = await Child.start([sys.executable, "-c", script])
    frames: AsyncIterator[Any] = child.frames()
    assert await anext(frames) == "a line that is not JSON"

    assert await asyncio.wait_for(child.stop(), 30) == -9


async def test_the_child_gets_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTGUARD_MASTER_PASSWORD", "x")
    monkeypatch.setenv("KEPT", "y")
    script = "import json, os; print(json.dumps({'jsonrpc': '2.0', 'result': {k: v for k, v in os.environ.items()}}))"

    child = await Child.start([sys.executable, "-c", script])
    frame = await anext(child.frames())
    await child.stop()

    assert isinstance(frame, dict)
    assert isinstance(frame["result"], dict)
    assert frame["result"]["KEPT"] == "y"
    assert "AGENTGUARD_MASTER_PASSWORD" not in frame["result"]


async def test_a_command_that_cannot_be_started_is_one_line() -> None:
    with pytest.raises(AdapterError, match="cannot be started"):
        await Child.start(["/nonexistent/server"])


async def test_definitions_are_read_for_pinning() -> None:
    found = await definitions(await Child.start([sys.executable, str(SERVER), "honest"]))

    assert next(pin_of(each) for each in found if isinstance(each, dict)) == pin_of(tool("echo", "Echo."))


async def test_a_server_that_does_not_answer_cannot_be_pinned() -> None:
    with pytest.raises(AdapterError, match="did not list"):
        await definitions(await Child.start([sys.executable, "-c", "pass"]))


# -- frames ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(max_size=20)), st.integers(1, 12))
def test_lines_do_not_depend_on_how_they_are_cut(parts: list[bytes], limit: int) -> None:
    """Any chunking gives what the whole gives; no line is longer than the limit."""
    whole = b"".join(parts)

    cut = Lines(limit)
    found = [line for part in parts for line in cut.feed(part)]

    expected = whole.split(b"\n")[:-1]
    assert found == [line if len(line) <= limit else None for line in expected]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_an_error(data: bytes) -> None:
    try:
        frame = decoded(data)
    except FrameError:
        return
    assert decoded(encoded({key: value for key, value in frame.items() if key != "jsonrpc"})) == frame


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc": "2.0", "id": 1, "result": {"x": NaN}}',
        b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}',
        b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]',
        b'{"jsonrpc": "2.0", "id": 1, "method": ["tools/call"]}',
        b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}',
        b'{"jsonrpc": "2.0", "id": 1, "result": "text"}',
        b"[" * 100_000,
    ],
)
def test_odd_frames_are_errors(line: bytes) -> None:
    with pytest.raises(FrameError):
        decoded(line)


def test_of_two_keys_alike_one_goes_on() -> None:
    """Both sides read what we wrote, not what two parsers may read differently."""
    twice = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "safe", "name": "other"}}'

    assert encoded(decoded(twice)).count(b'"name"') == 1


@pytest.mark.parametrize(
    "url", ["http://example.com/mcp", "ftp://x", "https://", "https://user:pw@x/mcp", "https://x:99999/", "nonsense"]
)
def test_urls_that_are_none_or_carry_all_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigError):
        checked_url(url)


@pytest.mark.parametrize(
    "url", ["https://example.com/mcp", "http://127.0.0.1:8000/mcp", "http://[::1]/", "http://localhost/"]
)
def test_urls_that_can_be_reached_safely(url: str) -> None:
    assert checked_url(url) == url
