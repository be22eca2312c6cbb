"""Folding for comparison: what each fold forgives, and what it must not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.text.folds import distrusting_fold, trusting_fold


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param("Bob@Example.com", "bob@example.com", id="case"),
        pytest.param("ＢＯＢ＠ｅｘ．com", "bob@ex.com", id="width"),
        pytest.param("раураl", "paypal", id="cyrillic-look-alikes"),
        pytest.param("b\u200bo\u00adb", "bob", id="invisible"),
    ],
)
def test_trusting_fold_forgives_what_a_reader_cannot_see(left: str, right: str) -> None:
    assert trusting_fold(left) == trusting_fold(right)


def test_trusting_fold_keeps_punctuation_so_an_address_does_not_stand_in_prose() -> None:
    assert trusting_fold("there@port.to") not in trusting_fold("send the report to Bob")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("t h e r e @ p o r t . t o", id="spaced"),
        pytest.param("the\u200bre@port.to", id="zero-width"),
        pytest.param("thеrе＠pоrt․to", id="homoglyphs"),
        pytest.param("thére-port-tö", id="accents-and-other-punctuation"),
    ],
)
def test_distrusting_fold_recognises_disguised_spellings(text: str) -> None:
    assert distrusting_fold(text) == "thereportto"


@given(st.text())
def test_both_folds_are_idempotent(text: str) -> None:
    for fold in (trusting_fold, distrusting_fold):
        once = fold(text)

        assert fold(once) == once


@given(st.text())
def test_distrusting_fold_holds_letters_and_digits_only(text: str) -> None:
    folded = distrusting_fold(text)

    assert folded == "" or folded.isalnum()
