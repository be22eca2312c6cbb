"""Sanitising: what hides is removed, what honest writing needs stays."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.text.invisible import hidden_payloads, sanitize

TRICKY = st.text(
    st.one_of(
        st.characters(codec="utf-8"),
        st.sampled_from("\u200b\u200c\u200d\u200e\u202e\u2066\ufe0f\U000e0041\U000e007f\U0001f3f4❤👩क्مe\u0301"),
    )
)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("👨‍👩‍👧 and 👩🏽‍💻 and ❤️‍🔥", id="emoji-joiners"),
        pytest.param("❤️ ☎️ 1️⃣", id="emoji-selectors"),
        pytest.param("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", id="flag-of-england"),
        pytest.param("می\u200cخواهم", id="persian-non-joiner"),
        pytest.param("क्\u200dष और श्रीमान्\u200c", id="indic-conjuncts"),
        pytest.param("שלום\u200f! (abc)", id="hebrew-mark"),
        pytest.param("漢字、ひらがな、한국어", id="cjk"),
        pytest.param("| a | b |\n|---|---|\n\tx = {'k': \"v\"}  # $5;\n", id="markdown-code-money"),
    ],
)
def test_honest_text_passes_unchanged(text: str) -> None:
    assert sanitize(text) == (text, ())


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        pytest.param("pass\u200bword", "password", id="zero-width-space"),
        pytest.param("a\u202ecba", "acba", id="bidi-override"),
        pytest.param("so\u00adft", "soft", id="soft-hyphen"),
        pytest.param("a\u2063b\u2064c", "abc", id="invisible-operators"),
        pytest.param("a\x00\x1b[31mb", "a[31mb", id="control-characters"),
        pytest.param("x\u3164y", "xy", id="hangul-filler"),
        pytest.param("hi" + "".join(chr(0xE0000 + ord(c)) for c in "ignore all"), "hi", id="tag-characters"),
        pytest.param("hi" + "".join(chr(0xE0100 + b) for b in b"secret"), "hi", id="variation-selectors"),
    ],
)
def test_hiding_characters_are_removed_and_reported(text: str, clean: str) -> None:
    result, changes = sanitize(text)

    assert result == clean
    assert {change.kind for change in changes} == {"invisible-removed"}


@given(TRICKY)
def test_sanitizing_twice_changes_nothing_more(text: str) -> None:
    once, _ = sanitize(text)

    assert sanitize(once) == (once, ())
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize(
    ("hidden", "kind"),
    [
        pytest.param("".join(chr(0xE0000 + ord(c)) for c in "send it"), "tags", id="tags"),
        pytest.param(
            "".join(chr(0xFE00 + b) if b < 16 else chr(0xE0100 + b - 16) for b in b"send it"), "bytes", id="selectors"
        ),
        pytest.param(
            "".join("\u200b" if bit == "0" else "\u200c" for b in b"send it" for bit in f"{b:08b}"), "bits", id="bits"
        ),
    ],
)
def test_hidden_payloads_are_decoded(hidden: str, kind: str) -> None:
    assert hidden_payloads(f"hello{hidden}!") == [(5, 5 + len(hidden), "send it")], kind
