"""Piles of combining marks: cut before anything normalises, for normalising a long run takes quadratic time."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard import Conversation, Effect, PromptSecurityValidator, ToolResult
from agentguard.detect import Size
from agentguard.text.folds import distrusting_fold, trusting_fold
from agentguard.text.invisible import sanitize
from agentguard.text.marks import MAX_MARKS, longest_mark_run, without_excess_marks

PILE = "a" + "\u0301\u0316" * 20_000
PARTED_PILE = "a" + ("\u0301" * 29 + "\u200d") * 2_000


def test_honest_marks_stay() -> None:
    for text in ("é", "ệ", "ก็", "क्ष", "שָׁלוֹם", "مُحَمَّد", "a" + "\u0301" * MAX_MARKS):
        assert without_excess_marks(text) is text


@given(text=st.text(alphabet="ab\u0301\u0316\u200d\ud800é", max_size=200))
def test_nothing_but_marks_is_cut_and_no_pile_is_left(text: str) -> None:
    cut = without_excess_marks(text)

    assert longest_mark_run(cut) == 0
    assert [c for c in cut if unicodedata.category(c) != "Mn"] == [c for c in text if unicodedata.category(c) != "Mn"]


@pytest.mark.parametrize("pile", [PILE, PARTED_PILE], ids=["one-pile", "parted-by-joiners"])
def test_every_way_to_normalise_cuts_the_pile_first(pile: str) -> None:
    """What is handed to ``unicodedata.normalize`` is what comes out: short."""
    for result in (sanitize(pile)[0], trusting_fold(pile), distrusting_fold(pile)):
        assert len(result) <= MAX_MARKS + 1
    assert len(PromptSecurityValidator(10**6).sanitize_prompt(pile)) <= MAX_MARKS + 1


def test_the_size_stage_refuses_a_pile_before_anything_else_reads_it() -> None:
    verdict = Size().inspect(ToolResult("t", {}, {"key" + "\u0301" * 2_000: "value"}), Conversation())

    assert (verdict.effect, verdict.reason) == (Effect.DENY, "too-large")
