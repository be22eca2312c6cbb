"""Amounts worked out from what the user named; and what no arithmetic of the user's explains."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.flow.calculation import MAX_OPERANDS, Calculation

PAID = ["84.5", "1250.0", "7"]


@pytest.mark.parametrize(
    ("request_text", "value"),
    [
        ("Return the difference between the 60.00 we agreed on and what they sent.", "24.5"),
        ("They raised the price by 20%. Pay the plumber the new price.", "1500"),
        ("Tip the guide 10 % of the bill.", "8.45"),
        ("Pay the 8% tax on it and a fee of 4.50.", "104.5"),
        ("Pay the deposit plus an additional 25.", "109.50"),
        ("Split the 90 by 3 and pay Jonas his part, each the same.", "30"),
        ("Überweise die Differenz zu 1.000,00", "250"),
        ("Paie 15 pour cent de la facture.", "187.5"),
        ("Págale el 50% de la factura, por ciento exacto.", "42.25"),
    ],
)
def test_what_the_request_lets_one_work_out(request_text: str, value: str) -> None:
    assert Calculation([request_text]).explains(value, PAID)


@pytest.mark.parametrize(
    ("request_text", "value", "why"),
    [
        ("Pay the plumber.", "84.5", "no calculation was asked for"),
        ("Pay the plumber 60.", "24.5", "two numbers alone ask for no difference"),
        ("Return the difference.", "1165.5", "both operands from records: no number of the user's takes part"),
        ("Pay 10% more.", "10000", "no operand reaches it"),
        ("Return the difference to 84.50.", "0", "nothing is left"),
        ("Return the difference to 60.", "-24.5", "an amount below zero"),
        ("Return the difference to 60.", "24.5e0x", "no number"),
        ("Return the difference to 60.", "NaN", "no number"),
        ("Return the difference noted on 2026-05-17 at 10:30.", "67.5", "parts of a date or time are no operands"),
        ("Return the difference to account 60A7.", "24.5", "a part of an account is no operand"),
    ],
)
def test_what_it_does_not(request_text: str, value: str, why: str) -> None:
    assert Calculation([request_text]).explains(value, PAID) is None, why


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_difference_is_explained_whichever_is_larger(record: int, named: int) -> None:
    left, right = Decimal(record) / 100, Decimal(named) / 100
    explained = Calculation([f"Send back the difference to {right}"]).explains(str(abs(left - right)), [str(left)])
    assert (explained is not None) == (left != right)


@given(st.text(max_size=80), st.text(max_size=20), st.lists(st.text(max_size=12), max_size=5))
def test_any_text_is_answered(request_text: str, value: str, amounts: list[str]) -> None:
    assert Calculation([request_text]).explains(value, amounts) is None or any(map(str.isdigit, value))


def test_amounts_past_the_bound_are_not_tried() -> None:
    many = [str(number) for number in range(1_000, 1_000 + MAX_OPERANDS)]

    assert Calculation(["the difference to 3"]).explains("4997", [*many[1:], "5000"])
    assert Calculation(["the difference to 3"]).explains("4997", [*many, "5000"]) is None
