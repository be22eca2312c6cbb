"""An application's own recognizers, and values that may stay."""

from __future__ import annotations

import pytest

from agentguard.detect.recognizers import Choice, own_recognizer
from agentguard.detect.redaction import redact
from agentguard.detect.stream import StreamRedactor
from agentguard.errors import ConfigError

SECRET = frozenset({"secret"})
PII = frozenset({"pii"})


def employee(**changes: object) -> Choice:
    settings: dict[str, object] = {"kind": "pii", "examples": ["employee EMP-123456"], "keywords": ["Employee"]}
    return Choice([own_recognizer("employee-id", "EMP-(?P<v>[0-9]{6})", **(settings | changes))])  # type: ignore[arg-type]


def test_the_group_is_taken_out_and_the_keyword_decides() -> None:
    choice = employee()

    assert redact("employee EMP-123456", PII, choice=choice) == "employee EMP-[redacted:pii.employee-id]"
    assert redact("order EMP-123456", PII, choice=choice) == "order EMP-123456"
    assert redact("employee EMP-123456", SECRET, choice=choice) == "employee EMP-123456"


def test_a_pattern_never_crosses_a_line_end_whatever_it_says() -> None:
    choice = Choice([own_recognizer("code-name", r"falcon\s+[0-9]+", examples=["falcon 7"])])

    assert redact("falcon\n7", SECRET, choice=choice) == "falcon\n7"
    assert redact("falcon  7", SECRET, choice=choice) == "[redacted:secret.code-name]"


def test_streams_know_the_choice() -> None:
    choice = Choice([own_recognizer("plan", "plan [a-z ]+ end", examples=["plan a b end"])])
    text = "the plan " + "goes on and on " * 30 + " end is here\n"
    redactor = StreamRedactor(choice=choice)

    out = "".join(redactor.feed(c) for c in text) + redactor.flush()

    assert out == redact(text, SECRET | PII, choice=choice)
    assert "goes on" not in out


def test_an_allowed_value_stays_and_no_other() -> None:
    choice = Choice(allowed=lambda value: value == "support@example.com")

    out = redact("support@example.com, jane@example.com, s\u200bupport@example.com", PII, choice=choice)

    assert out == "support@example.com, [redacted:pii.email], [redacted:pii.email]"


@pytest.mark.parametrize(
    ("name", "pattern", "settings", "said"),
    [
        pytest.param("x", "(?=a)", {"examples": ["a"]}, "does not compile", id="look-around"),
        pytest.param("x", "a*", {"examples": ["a"]}, "empty text", id="matches-the-empty-text"),
        pytest.param("x", r"\Aab", {"examples": ["ab"]}, "line's edges", id="anchored-to-the-text"),
        pytest.param("x", "ab", {"examples": ["ba"]}, "example 1", id="example-fails"),
        pytest.param("x", "ab", {"examples": []}, "example", id="no-example"),
        pytest.param("x", "ab", {"examples": ["ab"], "look_alikes": ["cab"]}, "look-alike 1", id="look-alike-found"),
        pytest.param("x", "ab", {"examples": ["ab"], "keywords": ["id"]}, "example 1", id="keyword-missing"),
        pytest.param("x", "ab", {"examples": ["ab"], "kind": "keys"}, "pii or secret", id="unknown-class"),
        pytest.param("email", "ab", {"examples": ["ab"]}, "built-in", id="built-in-name"),
        pytest.param("My Id", "ab", {"examples": ["ab"]}, "lower-case", id="name-with-space"),
    ],
)
def test_a_recognizer_that_could_not_work_is_refused(
    name: str, pattern: str, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        own_recognizer(name, pattern, **settings)  # type: ignore[arg-type]
