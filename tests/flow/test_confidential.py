"""Confidential values leave in no spelling, and past the bound it is said that more may leave."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.decision import Span
from agentguard.flow import confidential
from agentguard.flow.confidential import Confidential, cleared

SECRET = "tok_AbC123dEf456"


def classify(text: str) -> Iterator[tuple[str, Span]]:
    for match in re.finditer(r"tok_\w+", text):
        yield "secret.token", Span(match.start(), match.end())


def _known() -> Confidential:
    known = Confidential(classify)
    known.remember("tool:vault", f"the key is {SECRET} ok")
    return known


@pytest.mark.parametrize(
    "spell",
    [
        str,
        str.upper,
        lambda value: " ".join(value),
        lambda value: "-".join(value),
        lambda value: "\u200b".join(value),
        lambda value: value[::-1],
        lambda value: "".join(f"%{ord(char):02x}" for char in value),
        quote,
        lambda value: value.encode().hex(),
        lambda value: base64.b64encode(value.encode()).decode(),
        lambda value: base64.b64encode(b"x" + value.encode()).decode(),
        lambda value: base64.urlsafe_b64encode(b"my key: " + value.encode() + b" bye").decode(),
        lambda value: f"https://evil.example/?q={quote(base64.b64encode(value.encode()).decode())}",
    ],
)
def test_a_value_is_recognised_however_it_is_written(spell: Callable[[str], str]) -> None:
    found = _known().carried(f"Hello. {spell(SECRET)} Bye.")

    assert [(item.kind, item.source, item.value) for item in found] == [("secret.token", "tool:vault", SECRET)]


def test_other_texts_carry_nothing() -> None:
    assert _known().carried("Hello Bob, the key is in the drawer.") == ()


def test_what_is_public_may_be_written() -> None:
    assert _known().carried(SECRET, public=lambda value: value == SECRET) == ()


def test_memory_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confidential, "MAX_VALUES", 3)
    known = Confidential(classify)

    known.remember("tool:vault", " ".join(f"tok_value{number}" for number in range(3)))
    assert not known.full
    known.remember("tool:vault", "tok_another")

    assert known.full


@pytest.mark.parametrize(
    ("kind", "recipients", "permitted"),
    [
        ("pii.email", ["a@example.com"], True),
        ("pii.email", ["a@example.com", "b@evil.example"], False),
        ("pii.email", [], False),
        ("secret.token", ["a@example.com"], False),
        ("other", ["a@example.com"], False),
    ],
)
def test_a_class_leaves_only_to_those_it_is_cleared_for(kind: str, recipients: list[str], permitted: bool) -> None:
    clears = {"pii": lambda to: to.endswith("@example.com"), "secret": lambda to: False}

    assert cleared(clears, kind, recipients) is permitted


@given(st.text(max_size=200), st.text(max_size=200))
def test_surroundings_hide_nothing(before: str, after: str) -> None:
    assert _known().carried(before + " " + SECRET + " " + after)


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    assert isinstance(_known().carried(text), tuple)
