"""Amounts and dates in four languages' habits, and when two of them differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.flow.contradiction import AMOUNT, DATE, Figures


@pytest.mark.parametrize(
    ("request_text", "value"),
    [
        ("Pay 1,250.00 dollars", "1250"),
        ("Überweise 1.250,00 €", "1250.00"),
        ("Paie 1 250,50 euros", "1250.5"),
        ("Zahle CHF 1'250", "1250"),
        ("Send $2k", "2000"),
        ("transfer €1.250", "1250"),
        ("the amount of 75", "75"),
        ("Pay 10 EUR or 20 EUR", "20.00"),
    ],
)
def test_an_amount_is_known_in_any_notation(request_text: str, value: str) -> None:
    assert not Figures([request_text]).contradicted_by(value, AMOUNT)
    assert Figures([request_text]).holds(value, AMOUNT)


@pytest.mark.parametrize(
    ("request_text", "value", "kind"),
    [
        ("Pay 50 euros", "60", AMOUNT),
        ("Pay $1,250.00", "12500", AMOUNT),
        ("Zahle 12,50 €", "1250", AMOUNT),
        ("Meet on May 3rd", "2026-05-04", DATE),
        ("Termin am 3. Mai 2026", "2026-05-04", DATE),
        ("le 3 mai", "2026-06-03", DATE),
        ("el 3 de mayo de 2026", "2027-05-03", DATE),
        ("at 3pm", "16:00", DATE),
        ("um 14:30", "2026-05-03T15:30", DATE),
        ("on Friday", "2026-11-26", DATE),
    ],
)
def test_another_figure_contradicts(request_text: str, value: str, kind: str) -> None:
    assert Figures([request_text]).contradicted_by(value, kind)


@pytest.mark.parametrize(
    ("request_text", "value", "kind"),
    [
        ("Pay the bill", "60", AMOUNT),
        ("Pay the 3 bills of customer 1042", "60", AMOUNT),
        ("Pay 50 euros", "", AMOUNT),
        ("Pay 50 euros", "all", AMOUNT),
        ("Meet tomorrow", "2026-05-04", DATE),
        ("Meet on 3/4/2026", "2026-04-03", DATE),
        ("Meet on 3/4/2026", "2026-03-04", DATE),
        ("Meet on May 3rd", "May 3", DATE),
        ("Meet on Friday", "2026-11-27", DATE),
        ("at 3pm", "15:00", DATE),
        ("um 14 Uhr", "14:00", DATE),
        ("à 14h30", "14:30", DATE),
        ("Pay 50 euros", "60", "url"),
    ],
)
def test_what_agrees_or_cannot_be_placed_contradicts_nothing(request_text: str, value: str, kind: str) -> None:
    assert not Figures([request_text]).contradicted_by(value, kind)


@given(st.text(max_size=200), st.text(max_size=80), st.sampled_from([AMOUNT, DATE]))
def test_any_text_is_read(text: str, value: str, kind: str) -> None:
    figures = Figures([text])

    assert not (figures.contradicted_by(value, kind) and kind == AMOUNT and figures.holds(value, kind))


@given(st.integers(min_value=1, max_value=10**9))
def test_an_amount_never_contradicts_itself(cents: int) -> None:
    amount = f"{cents // 100}.{cents % 100:02d}"

    assert not Figures([f"pay {amount} EUR"]).contradicted_by(amount, AMOUNT)


@given(st.dates())
def test_a_day_never_contradicts_itself(day: object) -> None:
    assert not Figures([f"on {day}"]).contradicted_by(str(day), DATE)
