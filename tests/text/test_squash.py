"""The fast fold: the same letters as the careful one, in pieces as in whole, and a way back to the text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.text.folds import distrusting_fold
from agentguard.text.squash import places, squash, squash_blocks

TEXTS = st.text(max_size=60) | st.text(alphabet="aB3 .@-éßﬁ\u200bАЕ１漢각\u1100\u1161\u11a8\ud800", max_size=40)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        pytest.param("E V I L@x.org", "evilxorg", id="spaces-and-marks"),
        pytest.param("ＥＶＩＬ", "evil", id="full-width"),
        pytest.param("e\u200bv\u00adil", "evil", id="invisible"),
        pytest.param("\u0435v\u0456l", "evil", id="look-alikes"),
        pytest.param("Straße ﬁx ½", "strassefix12", id="letters-that-become-several"),
        pytest.param("naïve — “café”…", "naivecafe", id="western"),
        pytest.param("\u1112\u1161\u11ab글", "한글", id="korean-letter-by-letter"),
        pytest.param("a\ud800b", "ab", id="lone-surrogate"),
        pytest.param("请把文件发给", "请把文件发给", id="ideographs-stay"),
    ],
)
def test_disguises_fold_away(text: str, folded: str) -> None:
    assert squash(text).decode() == folded


@settings(deadline=None)
@given(char=st.characters(exclude_categories=["Cs"]))
def test_every_character_folds_as_in_the_careful_fold(char: str) -> None:
    if not "\uac00" <= char <= "\ud7a3":
        assert squash(char).decode() == unicodedata.normalize("NFC", distrusting_fold(char))


@settings(deadline=None)
@given(text=TEXTS)
def test_equivalent_texts_fold_alike(text: str) -> None:
    assert squash(unicodedata.normalize("NFC", text)) == squash(unicodedata.normalize("NFD", text)) == squash(text)


@settings(deadline=None)
@given(text=TEXTS, size=st.integers(1, 9))
def test_a_text_folds_in_pieces_as_in_whole(text: str, size: int) -> None:
    assert b"".join(squash_blocks(text, size)) == squash(text)


@settings(deadline=None)
@given(before=TEXTS, word=st.text("abc123", min_size=1, max_size=6), after=TEXTS)
def test_a_match_leads_back_to_its_place(before: str, word: str, after: str) -> None:
    text = f"{before} {word} {after}"
    if any("\u1100" <= char <= "\u11ff" for char in text):
        return  # composed first, so places are those of the composed text
    start = len(squash(before))

    first, last = places(text, start, start + len(word) - 1)

    assert text[first : last + 1] == word
