"""Edits of a policy's text: what they change is what was asked for, and nothing else."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard import ConfigError
from agentguard.policy.document import read
from agentguard.policy.patch import Patch
from agentguard.policy.yaml_text import comment, holds, scalar

WANTED = ["user", "a b"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("row: {sink: x, sources: [user]}  # kept\n", id="flow"),
        pytest.param("row: {sink: x, sources: [ 'user', \"]\" ], z: 1}\n", id="flow-with-quotes"),
        pytest.param("row:\n  sink: x\n  sources: [user,\n    'it''s']\n  z: 1\n", id="flow-over-lines"),
        pytest.param("row: {sink: x}\n", id="absent-in-flow"),
        pytest.param("row: {}\n", id="absent-in-empty-flow"),
        pytest.param("row:\n  sink: x # kept\n  z: 1\n", id="absent-in-block"),
        pytest.param("a: 1\nrow: {\n  sink: x\n}\nb: 2", id="absent-in-flow-over-lines"),
    ],
)
def test_a_list_is_set_and_the_rest_stays(text: str) -> None:
    document = read(text)
    expected = json.loads(json.dumps(document.value))
    expected["row"]["sources"] = WANTED
    patch = Patch(text, document)

    assert patch.set_list(("row", "sources"), WANTED)

    assert read(patch.text()).value == expected
    assert ("# kept" in text) == ("# kept" in patch.text())


def test_a_list_of_lines_is_added_to() -> None:
    text = "row:\n  sources:\n    - user # mine\n    - x\n"
    patch = Patch(text, read(text))

    assert patch.set_list(("row", "sources"), ["user", "x", "y"])

    assert yaml.safe_load(patch.text()) == {"row": {"sources": ["y", "user", "x"]}}
    assert "# mine" in patch.text()


def test_a_comment_inside_a_list_is_never_lost() -> None:
    text = "row: {sources: [user, # why\n  x]}\n"
    patch = Patch(text, read(text))

    assert not patch.set_list(("row", "sources"), WANTED)
    assert patch.text() == text


def test_notes_stand_above_their_keys() -> None:
    text = "a:\n  b: {c: 1, d: 2}\n"
    patch = Patch(text, read(text))
    patch.note(("a", "b"), ["one", "two"])
    patch.note(("a", "b", "d"), ["three"])

    assert patch.text() == "a:\n  # one\n  # two\n  # three\n  b: {c: 1, d: 2}\n"


def test_windows_line_ends_are_counted_right() -> None:
    text = "a: 1\r\nrow: {x: 2}\r\n"
    patch = Patch(text, read(text))
    patch.set_list(("row", "sources"), WANTED)

    assert read(patch.text()).value == {"a": 1, "row": {"x": 2, "sources": WANTED}}


def test_line_breaks_that_editors_do_not_count_are_refused() -> None:
    text = "a: 'x\u2028y'\n"

    with pytest.raises(ConfigError, match="plain line ends"):
        Patch(text, read(text))


@settings(deadline=None)
@given(
    st.text() | st.integers() | st.floats() | st.booleans() | st.sampled_from(["no", "1:30", "0x1", "~", "null", ""])
)
def test_what_can_be_written_is_read_back_the_same(value: str | int | float | bool) -> None:
    if not holds(value):
        return

    found = read(f"a: {scalar(value)}\nb: [{scalar(value)}]").value

    assert found == {"a": value, "b": [value]}
    assert type(found["a"]) is type(value)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_a_comment_is_one_printable_line(text: str) -> None:
    assert comment(text).isprintable()
    assert read(f"a: 1 # {comment(text)}\n").value == {"a": 1}
