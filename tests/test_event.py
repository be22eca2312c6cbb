"""Events: private JSON copies whose every text can be listed and replaced."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard import (
    AgentMessage,
    ConfigError,
    Event,
    Json,
    Message,
    ModelInput,
    ModelOutput,
    ToolCall,
    ToolResult,
    UnsupportedValueError,
    json_copy,
)

JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def _events(content: Json) -> list[Event]:
    message = Message("assistant", content, ({"name": "t", "args": {"a": content}, "id": "1"},), {"copy": content})
    return [
        ModelInput((message, Message("user", "hello")), ({"name": "t", "description": content},)),
        ModelOutput(message, structured=content),
        ToolCall("t", {"a": content}),
        ToolResult("t", {}, content),
        AgentMessage("a", "b", "topic", content),
    ]


@given(content=JSON)
def test_every_leaf_can_be_replaced_at_its_own_path(content: Json) -> None:
    """Paths lead back: replacing each leaf that is a value by a marker leaves only markers."""
    for event in _events(content):
        paths = [leaf.path for leaf in event.leaves() if leaf.kind != "key"]

        replaced = event.with_texts(dict.fromkeys(paths, "X"))

        assert {leaf.text for leaf in replaced.leaves() if leaf.kind != "key"} <= {"X"}
        assert [leaf.path for leaf in replaced.leaves() if leaf.kind != "key"] == paths


@given(content=JSON)
def test_replacing_nothing_changes_nothing(content: Json) -> None:
    for event in _events(content):
        same = event.with_texts({leaf.path: leaf.text for leaf in event.leaves() if leaf.kind == "text"})

        assert same == event


@given(content=JSON)
def test_every_string_of_the_content_is_a_leaf(content: Json) -> None:
    """No text is out of a check's sight, dictionary keys included."""
    texts = {leaf.text for leaf in ToolResult("t", {}, content).leaves()}

    def strings(value: Json) -> set[str]:
        if isinstance(value, str):
            return {value}
        if isinstance(value, list):
            return set().union(*map(strings, value)) if value else set()
        if isinstance(value, dict):
            return set(value) | (set().union(*map(strings, value.values())) if value else set())
        return set()

    assert strings(content) <= texts


def test_the_callers_later_changes_do_not_reach_the_event() -> None:
    args: dict[str, Json] = {"to": ["a@example.com"]}
    call = ToolCall("send", args)

    recipients = args["to"]
    assert isinstance(recipients, list)
    recipients.append("evil@example.net")

    assert call.args == {"to": ["a@example.com"]}


def test_a_key_can_be_replaced_and_keeps_its_value() -> None:
    result = ToolResult("t", {}, {"secret": {"inner": 1}})
    key = next(leaf for leaf in result.leaves() if leaf.kind == "key")

    replaced = result.with_texts({key.path: "[gone]"})

    assert replaced.content == {"[gone]": {"inner": 1}}


def test_two_keys_masked_alike_keep_both_values() -> None:
    result = ToolResult("t", {}, {"a": 1, "b": 2})
    keys = [leaf.path for leaf in result.leaves() if leaf.kind == "key"]

    content = result.with_texts(dict.fromkeys(keys, "[gone]")).content

    assert isinstance(content, dict)
    assert sorted(json.dumps(value) for value in content.values()) == ["1", "2"]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(("args", "missing"), id="absent-key"),
        pytest.param(("args",), id="not-a-leaf"),
        pytest.param(("args", "a", 0), id="inside-a-text"),
        pytest.param(("nowhere", 1), id="no-such-root"),
    ],
)
def test_a_path_to_nowhere_is_refused(path: tuple[str | int, ...]) -> None:
    with pytest.raises(ConfigError, match="no text stands"):
        ToolCall("t", {"a": "x"}).with_texts({path: "y"})


class _Colour(enum.Enum):
    RED = "red"


class _Shouting(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "harmless"


@dataclasses.dataclass
class _Point:
    x: int


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param((1, 2), [1, 2], id="tuple"),
        pytest.param(pathlib.PurePosixPath("/a/b"), "/a/b", id="path"),
        pytest.param(datetime.date(2026, 1, 2), "2026-01-02", id="date"),
        pytest.param(_Colour.RED, "red", id="enum"),
        pytest.param(_Point(3), {"x": 3}, id="dataclass"),
        pytest.param({1: "a"}, {"1": "a"}, id="integer-key"),
        pytest.param(_Shouting("rm -rf"), "rm -rf", id="str-subclass-shows-its-real-text"),
    ],
)
def test_values_with_a_json_form_are_copied_into_it(value: object, expected: Json) -> None:
    assert json_copy(value) == expected
    assert type(json_copy(value)) is type(expected)


def _nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="arbitrary-object"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param(float("nan"), id="nan"),
        pytest.param({("a",): 1}, id="tuple-key"),
        pytest.param(_nested(100), id="too-deep"),
        pytest.param(lambda: None, id="function"),
    ],
)
def test_values_no_check_could_read_are_refused(value: object) -> None:
    with pytest.raises(UnsupportedValueError):
        json_copy(value)
