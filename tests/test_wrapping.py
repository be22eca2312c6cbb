"""Plain callables as guarded tools: four kinds of function, one behaviour."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from agentguard import (
    ConfigError,
    Denied,
    Effect,
    Event,
    Guard,
    Rewrite,
    ToolCall,
    ToolFailedError,
    ToolResult,
    Verdict,
)
from agentguard.testing import RecordingSink, ScriptedStage, recording_guard

DENY = Verdict(Effect.DENY, reason="no", message="No.")
RAN: list[str] = []


def plain(text: str, count: int = 2) -> list[str]:
    RAN.append(text)
    return [text] * count


def generator(text: str, count: int = 2) -> Iterator[str]:
    RAN.append(text)
    for _ in range(count):
        yield text


async def coroutine(text: str, count: int = 2) -> list[str]:
    RAN.append(text)
    await asyncio.sleep(0)
    return [text] * count


async def async_generator(text: str, count: int = 2) -> AsyncIterator[str]:
    RAN.append(text)
    for _ in range(count):
        yield text


def _run(tool: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
    async def collect() -> list[Any]:
        outcome = tool(*args, **kwargs)
        if hasattr(outcome, "__aiter__"):
            return [item async for item in outcome]
        if hasattr(outcome, "__await__"):
            return list(await outcome)
        return list(outcome)

    return asyncio.run(collect())


@pytest.fixture(params=[plain, generator, coroutine, async_generator], ids=lambda tool: tool.__name__)
def tool(request: pytest.FixtureRequest) -> Callable[..., Any]:
    RAN.clear()
    chosen: Callable[..., Any] = request.param
    return chosen


def _on(kind: type[object], verdict: Verdict) -> ScriptedStage:
    return ScriptedStage(lambda event: verdict if isinstance(event, kind) else None)


def test_call_and_result_pass_the_guard_and_come_back_whole(tool: Callable[..., Any]) -> None:
    stage = ScriptedStage()
    guarded = recording_guard(stage).wrap_tool(tool, name="t")

    assert _run(guarded, "hi") == ["hi", "hi"]
    assert stage.seen == [
        ToolCall("t", {"text": "hi", "count": 2}),
        ToolResult("t", {"text": "hi", "count": 2}, ["hi", "hi"]),
    ]


def test_a_refused_call_does_not_run(tool: Callable[..., Any]) -> None:
    guarded = recording_guard(_on(ToolCall, DENY)).wrap_tool(tool, name="t")

    with pytest.raises(Denied, match="No"):
        _run(guarded, "hi")

    assert RAN == []


def test_a_refused_result_does_not_come_back(tool: Callable[..., Any]) -> None:
    guarded = recording_guard(_on(ToolResult, DENY)).wrap_tool(tool, name="t")

    with pytest.raises(Denied):
        _run(guarded, "hi")

    assert RAN == ["hi"]


def test_rewritten_arguments_are_what_runs_and_rewritten_results_what_comes_back(tool: Callable[..., Any]) -> None:
    def answer(event: Event) -> Verdict:
        path: tuple[str | int, ...] = ("args", "text") if isinstance(event, ToolCall) else ("content", 0)
        return Verdict(obligations=(Rewrite(path, "redacted" if isinstance(event, ToolCall) else "cut"),))

    guarded = recording_guard(ScriptedStage(answer)).wrap_tool(tool, name="t")

    assert _run(guarded, "secret") == ["cut", "redacted"]
    assert RAN == ["redacted"]


def test_an_argument_without_a_json_form_refuses_the_call_on_record(tool: Callable[..., Any]) -> None:
    sink = RecordingSink()
    guarded = recording_guard(ScriptedStage(), sink=sink).wrap_tool(tool, name="t")

    with pytest.raises(Denied):
        _run(guarded, object())

    assert RAN == []
    assert [record.decision.reason for record in sink.records] == ["value-unsupported"]


def test_shadow_mode_changes_nothing_even_for_values_no_check_can_read(tool: Callable[..., Any]) -> None:
    sink = RecordingSink()
    guard = Guard(stages=[_on(ToolCall, DENY)], audit=sink, mode="shadow")
    RAN.clear()

    assert _run(guard.wrap_tool(tool, name="t"), object(), 0) == []
    assert [record.decision.reason for record in sink.records] == ["value-unsupported", ""]


def test_wrapping_keeps_name_and_signature_and_wrapping_twice_is_once() -> None:
    guard = recording_guard(stage := ScriptedStage())

    @guard.tool
    def add(a: int, b: int = 1) -> int:
        """Add."""
        return a + b

    @guard.tool(name="double_up")
    def double(a: int) -> int:
        return a * 2

    assert (add.__name__, add.__doc__) == ("add", "Add.")
    assert guard.wrap_tool(add) is add
    assert (add(2), double(4)) == (3, 8)
    assert [event.tool for event in stage.seen if isinstance(event, ToolCall)] == ["add", "double_up"]


def test_variable_arguments_are_seen_under_their_names() -> None:
    stage = ScriptedStage()

    def many(*names: str, **options: int) -> int:
        return len(names) + len(options)

    assert recording_guard(stage).wrap_tool(many)("a", "b", depth=1) == 3
    assert stage.seen[0] == ToolCall("many", {"names": ["a", "b"], "depth": 1})


def test_objects_pass_through_unchanged_and_a_rewrite_inside_one_is_refused() -> None:
    received: list[object] = []

    def read(path: pathlib.Path) -> str:
        received.append(path)
        return "text"

    path = pathlib.Path("notes.txt")
    assert recording_guard(ScriptedStage()).wrap_tool(read)(path) == "text"
    rewriting = _on(ToolCall, Verdict(obligations=(Rewrite(("args", "path"), "other"),)))
    with pytest.raises(Denied):
        recording_guard(rewriting).wrap_tool(read)(path)

    assert received == [path]


def test_the_tool_gets_a_copy_that_the_caller_can_no_longer_change() -> None:
    received: list[list[str]] = []
    to = ["bob@example.com"]

    def meddle(_event: Event) -> None:
        to.append("evil@example.net")

    def send(to: list[str]) -> None:
        received.append(to)

    recording_guard(ScriptedStage(meddle)).wrap_tool(send)(to)

    assert received == [["bob@example.com"]]


def _fails() -> None:
    raise OSError("token=abc")


async def _fails_later() -> None:
    await asyncio.sleep(0)
    raise OSError("token=abc")


@pytest.mark.parametrize("failing", [_fails, _fails_later], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("verdict", "expected", "text"),
    [
        pytest.param(Verdict(), OSError, "token=abc", id="clean-message-passes"),
        pytest.param(DENY, Denied, "No.", id="refused-message"),
        pytest.param(
            Verdict(obligations=(Rewrite(("content",), "token=[redacted]"),)),
            ToolFailedError,
            "OSError: token=\\[redacted\\]",
            id="redacted-message",
        ),
    ],
)
def test_a_tools_own_exception_is_an_event_too(
    failing: Callable[[], Any], verdict: Verdict, expected: type[Exception], text: str
) -> None:
    guarded = recording_guard(_on(ToolResult, verdict)).wrap_tool(failing, name="t")

    with pytest.raises(expected, match=text) as raised:
        _call(guarded)

    assert "token=abc" not in str(raised.value) or expected is OSError
    assert raised.value.__cause__ is None


def _call(function: Callable[[], Any]) -> None:
    outcome = function()
    if hasattr(outcome, "__await__"):
        asyncio.run(_awaited(outcome))


async def _awaited(outcome: Any) -> Any:
    return await outcome


@pytest.mark.parametrize("nameless", [lambda: None, 3], ids=["lambda", "not-a-function"])
def test_a_tool_the_policy_could_not_name_is_refused(nameless: Callable[[], None]) -> None:
    with pytest.raises(ConfigError):
        recording_guard().wrap_tool(nameless)


def test_several_tools_are_guarded_under_their_own_names() -> None:
    def first(text: str) -> str:
        return text

    def second(text: str) -> str:
        return text

    stage = ScriptedStage(lambda event: DENY if isinstance(event, ToolCall) and event.tool == "second" else None)
    guarded_first, guarded_second = recording_guard(stage).wrap_tools([first, second])

    assert guarded_first("hi") == "hi"
    with pytest.raises(Denied):
        guarded_second("hi")
