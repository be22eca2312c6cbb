"""The strict YAML reader."""

from __future__ import annotations

import pytest

from agentguard.errors import PolicyError
from agentguard.policy.document import read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("a: &x [1]", "anchors", id="anchor"),
        pytest.param("a: *x", "aliases", id="alias-without-anchor"),
        pytest.param('a: &a ["lol"]\nb: &b [*a,*a]\nc: [*b,*b]', "anchors", id="billion-laughs"),
        pytest.param("a: !!python/object/apply:os.system [id]", "tags", id="python-tag"),
        pytest.param("a: !!str 1", "tags", id="standard-tag"),
        pytest.param("!x a: 1", "tags", id="tag-on-a-key"),
        pytest.param("a: 1\na: 2", "stands twice", id="duplicate-key"),
        pytest.param('a: 1\n"a": 2', "stands twice", id="duplicate-key-quoted"),
        pytest.param("1: x", "quotes", id="number-as-key"),
        pytest.param("no: x", "versions", id="norway-as-key"),
        pytest.param("true: x", "must be text", id="boolean-as-key"),
        pytest.param("? [a]\n: x", "must be text", id="list-as-key"),
        pytest.param("<<: {a: 1}", "versions", id="merge-key"),
        pytest.param("a: no", "versions", id="norway-as-value"),
        pytest.param("a: On", "versions", id="on-as-value"),
        pytest.param("a: TRUE", "versions", id="upper-case-true"),
        pytest.param("a: 010", "versions", id="octal"),
        pytest.param("a: 1:30", "versions", id="base-60"),
        pytest.param("a: 1_000", "versions", id="underscore"),
        pytest.param("a: 0x1F", "versions", id="hexadecimal"),
        pytest.param("a: 1e3", "versions", id="exponent"),
        pytest.param("a: .inf", "versions", id="infinity"),
        pytest.param("a: 2024-01-01", "versions", id="date"),
        pytest.param("a: 1\n---\nb: 2", "second", id="two-documents"),
        pytest.param("", "empty", id="empty"),
        pytest.param("# only a comment\n", "empty", id="comment-only"),
        pytest.param("a: [", "YAML", id="unclosed"),
        pytest.param("a: \x00", "YAML", id="nul"),
        pytest.param("a: \ud800", "YAML", id="lone-surrogate"),
        pytest.param("a: " + "[" * 5000, "deeper", id="deep-nesting"),
        pytest.param("a: " + "x" * 2_000_001, "characters", id="too-long"),
    ],
)
def test_refused_yaml_names_the_fault(text: str, words: str) -> None:
    """Whatever YAML versions read differently, and whatever points elsewhere, does not load."""
    with pytest.raises(PolicyError, match=words):
        read(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('a: "no"', "no", id="quoted-no-is-text"),
        pytest.param("a: nobody", "nobody", id="word-that-starts-like-no"),
        pytest.param("a: 5/minute", "5/minute", id="rate"),
        pytest.param("a: 169.254.169.254", "169.254.169.254", id="address"),
        pytest.param("a: true", True, id="true"),
        pytest.param("a: -12", -12, id="negative"),
        pytest.param("a: 0.5", 0.5, id="fraction"),
        pytest.param("a: ~", None, id="null"),
        pytest.param("a: |\n  x\n  y\n", "x\ny\n", id="block"),
    ],
)
def test_plain_yaml_reads_as_every_version_does(text: str, value: object) -> None:
    """What is unambiguous is accepted."""
    assert read(text).value == {"a": value}


def test_places_count_from_one() -> None:
    """Keys and values are found at their own line and column."""
    document = read("a:\n  b: [x,\n    z]\n")

    assert document.keys["a", "b"].line == 2
    assert document.keys["a", "b"].column == 3
    assert document.values["a", "b", 1].line == 3
    assert document.values["a", "b", 1].column == 5


def test_failure_without_a_place_of_its_own_points_at_its_parent() -> None:
    """An error about something absent names the enclosing node."""
    document = read("a:\n  b: 1\n", path="p.yaml")

    with pytest.raises(PolicyError) as caught:
        document.fail(("a", "c", "d"), "gone")

    assert (caught.value.path, caught.value.line, caught.value.column) == ("p.yaml", 2, 3)
