"""Amounts that follow by simple arithmetic from numbers the user named and amounts in the user's own records.

"Send them the difference", "10 % of what I paid", "plus a fee of 5": the result stands nowhere, yet nobody but the user
set it. A value is explained only when the request asks for a calculation, one of its numbers takes part, and the
other operand is given by the caller, who must not hand in numbers of untrusted text.

The work is bounded: no more than ``MAX_OPERANDS`` amounts, numbers and percentages each are tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from itertools import islice

from agentguard.flow.vocabulary import folded

__all__ = ["MAX_OPERANDS", "Calculation"]

MAX_OPERANDS = 50
MAX_PERCENTAGES = 5
MAX_NUMBERS = 12

_CENT = Decimal("0.01")
_LARGEST = Decimal(10) ** 12

# Words by which people ask for a sum to be worked out; compared in lower case without accents.
_ASKED = re.compile(
    r"(?<![^\W_])(?:difference|percent|percentage|total|sum|half|twice|double|triple|plus|minus|split|divided?|remainder|"
    r"remaining|each|additional|extra|discount|average|"
    r"differenz|prozent|summe|gesamt\w*|halfte|doppelte?|zuzuglich|abzuglich|restbetrag|jeweils|zusatzlich|rabatt|"
    r"pour cent|somme|moitie|fois|moins|reste|chacune?|supplementaire|remise|"
    r"diferencia|por ciento|suma|mitad|doble|menos|resto|adicional|descuento)(?![^\W_])|\d\s?%"
)
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d{1,4})?|\d{1,3}(?:\.\d{3})+,\d{1,2}|\d{1,9}(?:[.,]\d{1,4})?"
_PERCENT = re.compile(rf"(?<![\w.,])({_NUMBER})\s?(?:%|(?:percent|prozent|pour cent|por ciento)(?![^\W_]))")
# A number that is a part of a date, a time, an account or a word is no operand.
_PLAIN = re.compile(rf"(?<![\w.,:/%@#-])({_NUMBER})(?!\s?%)(?![\w:/%@-]|[.,]\d)")


class Calculation:
    """The numbers of a request, and what may be worked out from them.

    Args:
        texts: the user's own words.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        words = [folded(text) for text in texts]
        self.asked = any(_ASKED.search(text) for text in words)
        self._percentages = _numbers(_PERCENT, words, MAX_PERCENTAGES)
        self._numbers = _numbers(_PLAIN, words, MAX_NUMBERS)

    def explains(self, value: str, amounts: Iterable[str]) -> str | None:
        """The formula by which ``value`` follows from the request and ``amounts``; None when there is none.

        The result is rounded to cents, as people do. The formula holds values: it is for people, not for a model.
        """
        wanted = _decimal(value)
        if not self.asked or wanted is None:
            return None
        known = dict.fromkeys(amount for text in amounts if (amount := _decimal(text)) is not None)
        for formula, result in self._results(list(islice(known, MAX_OPERANDS))):
            if result > 0 and result.quantize(_CENT) == wanted.quantize(_CENT):
                return formula
        return None

    def _results(self, amounts: list[Decimal]) -> Iterator[tuple[str, Decimal]]:
        for base in [*amounts, *self._numbers]:
            for percentage in self._percentages:
                part = base * percentage / 100
                shares = ((f"{percentage}% of {base}", part), *_both(f"{base} and {percentage}% of it", base, part))
                yield from shares
                for formula, share in shares:
                    yield from self._joined(formula, share)
            yield from self._joined(str(base), base)
            for count in self._numbers:
                if count != base and count == int(count) and 2 <= count <= 100:
                    yield f"{base} times {count}", base * count
                    yield f"{base} by {count}", base / count

    def _joined(self, formula: str, left: Decimal) -> Iterator[tuple[str, Decimal]]:
        for number in self._numbers:
            if number != left:
                yield from _both(f"{formula} and {number}", left, number)


def _both(formula: str, left: Decimal, right: Decimal) -> tuple[tuple[str, Decimal], ...]:
    return (f"sum of {formula}", left + right), (f"difference of {formula}", abs(left - right))


def _numbers(pattern: re.Pattern[str], texts: Sequence[str], limit: int) -> list[Decimal]:
    found = (_decimal(match[1]) for text in texts for match in pattern.finditer(text))
    return list(dict.fromkeys(islice((number for number in found if number is not None), limit)))


def _decimal(text: str) -> Decimal | None:
    """1,250.50 and 1.250,50 and 1250,5 and 1250.5; None for what is no amount above zero."""
    bare = text.strip().lstrip("$€£¥")
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", bare):
        bare = bare.replace(",", "")
    elif re.fullmatch(r"\d{1,3}(?:\.\d{3})+,\d{1,2}", bare):
        bare = bare.replace(".", "")
    try:
        number = Decimal(bare.replace(",", "."))
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 < number < _LARGEST else None
