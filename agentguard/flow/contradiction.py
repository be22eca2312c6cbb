"""Amounts and dates as people write them, and whether two texts name different ones.

Guarantee: a value contradicts a text only when the text names at least one figure of that kind, the value holds one
too, and under no reading of either do they agree. What cannot be placed ("tomorrow") contradicts nothing. Numbers are
read in the habits of English, German, French and Spanish writers: ``1,250.00``, ``1.250,00``, ``1 250,00``, ``1'250``;
an ambiguous one has several readings.

Time is linear in the text; no more than ``MAX_FIGURES`` figures of a text are kept.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import islice

from agentguard.flow.vocabulary import folded

__all__ = ["AMOUNT", "DATE", "MAX_FIGURES", "Figures", "is_calendar_word"]

AMOUNT = "amount"
DATE = "date"
MAX_FIGURES = 500

_MARK = r"[$€£¥₹₿]"
_UNIT = (
    r"(?:usd|eur|euros?|gbp|chf|jpy|cad|aud|mxn|dollars?|bucks?|pounds?|pfund|quid|francs?|franken|pesos?|dolares|dolar|"
    r"yen|rupees?|cents?|sterling|btc|eth)"
)
_NUMBER = r"\d{1,3}(?:[.,' \u00a0\u202f\u2019]\d{3}){1,5}(?:[.,]\d{1,2})?|\d{1,15}(?:[.,]\d{1,8})?"
_MARKED = re.compile(
    rf"(?:{_MARK}|(?<![a-z]){_UNIT})\s{{0,2}}(-?(?:{_NUMBER}))(\s?k\b|\s?(?:m|mio|million|millions|thousand|tausend|mille|mil)\b)?"
    rf"|(?<![\w.,])(-?(?:{_NUMBER}))(\s?k|\s?(?:m|mio|million|millions|thousand|tausend|mille|mil)(?![a-z]))?\s{{0,2}}(?:{_MARK}|{_UNIT}(?![a-z]))"
)
_STATED = re.compile(rf"(?:amount|betrag|montant|importe|sum|summe|somme)\s(?:of|von|de|is|:)?\s{{0,2}}({_NUMBER})")
_TWO_PLACES = re.compile(r"(?<![\w.,:/-])(\d{1,3}(?:[.,' ]\d{3}){0,5}[.,]\d{2})(?![\w:/-]|[.,]\d)")
_PLAIN = re.compile(rf"-?(?:{_NUMBER})")
_SCALE = {"k": 1000, "thousand": 1000, "tausend": 1000, "mille": 1000, "mil": 1000}

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar janner janvier enero ene", "february feb februar fevrier febrero", "march mar marz maerz mars marzo",
            "april apr avril abril", "may mai mayo", "june jun juni juin junio", "july jul juli juillet julio",
            "august aug aout agosto ago", "september sep sept septembre septiembre setiembre",
            "october oct oktober okt octobre octubre", "november nov novembre noviembre",
            "december dec dezember dez decembre diciembre dic",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_WEEKDAYS = {
    name: number
    for number, names in enumerate(
        (
            "monday montag lundi lunes", "tuesday dienstag mardi martes", "wednesday mittwoch mercredi miercoles",
            "thursday donnerstag jeudi jueves", "friday freitag vendredi viernes", "saturday samstag sonnabend samedi sabado",
            "sunday sonntag dimanche domingo",
        )
    )
    for name in names.split()
}  # fmt: skip
_MONTH = "(" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")(?![a-z])\.?"
_ISO = re.compile(r"(?<!\d)(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_NUMERIC = re.compile(r"(?<![\d.])(\d{1,2})([./-])(\d{1,2})(?:\2(\d{4}|\d{2})(?!\d)|\.(?!\d)|(?![\d.,/-]))")
_DAY_MONTH = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|\.)?\s{{0,2}}(?:of\s|de\s)?{_MONTH}(?:,?\s(?:de\s|del\s)?(\d{{4}})(?!\d))?"
)
_MONTH_DAY = re.compile(rf"(?<![a-z]){_MONTH}\s(?:the\s)?(\d{{1,2}})(?:st|nd|rd|th)?(?![\d:])(?:,?\s(\d{{4}})(?!\d))?")
_WEEKDAY = re.compile("(?<![a-z])(" + "|".join(_WEEKDAYS) + ")s?(?![a-z])")
_CLOCK = re.compile(r"(?<![\d:.,])(\d{1,2})(?:[:h.](\d{2}))(?::\d{2}(?:\.\d+)?)?(?![\d.,])\s{0,2}(am|pm|a\.m|p\.m)?")
_HOUR = re.compile(r"(?<![\d:.,])(\d{1,2})\s{0,2}(am|pm|a\.m|p\.m|uhr|h|o clock|oclock)(?![a-z\d])")
_NOON = re.compile(r"(?<![a-z])(noon|midday|mittag|midi|mediodia|midnight|mitternacht|minuit|medianoche)(?![a-z])")
_RELATIVE = re.compile(
    r"(?<![a-z])(?:today|tomorrow|tonight|yesterday|next|heute|morgen|ubermorgen|gestern|nachste\w{0,2}|demain|aujourd|hier|prochaine?|"
    r"manana|hoy|ayer|proxim[oa]|days?|weeks?|months?|tage?n?|wochen?|monate?n?|jours?|semaines?|mois|dias?|semanas?|mes|meses)(?![a-z])"
)


@dataclass(frozen=True, slots=True)
class _Day:
    month: int
    day: int
    year: int | None = None

    def agrees(self, other: _Day) -> bool:
        """Whether both may be the same day; a missing year is any year."""
        same = (self.month, self.day) == (other.month, other.day)
        return same and (self.year is None or other.year is None or self.year == other.year)

    def weekday(self) -> int | None:
        return None if self.year is None else datetime.date(self.year, self.month, self.day).weekday()


class Figures:
    """The amounts, days and times that texts name.

    Args:
        texts: what to read: the user's request, an argument, or untrusted text.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._amounts: set[Decimal] = set()
        # One set of readings per date: 3/4 may be either day.
        self._days: list[frozenset[_Day]] = []
        self._weekdays: set[int] = set()
        self._times: set[tuple[int, int]] = set()
        self._relative = False
        for text in texts:
            self._read(folded(text))

    @property
    def named(self) -> int:
        """How many figures are named."""
        return len(self._amounts) + len(self._days) + len(self._times)

    @property
    def empty(self) -> bool:
        """Whether no amount, day or time of day is named at all: then nothing is contradicted."""
        return not (self._amounts or self._days or self._weekdays or self._times)

    @property
    def dated(self) -> int:
        """How many days and times of day are named."""
        return len(self._days) + len(self._times)

    @property
    def times(self) -> frozenset[tuple[int, int]]:
        """The times of day that are named, as (hour, minute)."""
        return frozenset(self._times)

    def contradicted_by(self, value: str, kind: str) -> bool:
        """Whether ``value`` (an argument of kind ``amount`` or ``date``) holds a figure other than those named here."""
        if kind == AMOUNT:
            held = _argument_amounts(value)
            return bool(self._amounts and held) and self._amounts.isdisjoint(held)
        return kind == DATE and self._contradicts_date(Figures([value]))

    def holds(self, value: str, kind: str) -> bool:
        """Whether the figure in ``value`` stands here in any notation."""
        if kind == AMOUNT:
            return not self._amounts.isdisjoint(_argument_amounts(value))
        other = Figures([value])
        if other._days:
            return any(self._has(readings) for readings in other._days)
        return not self._times.isdisjoint(other._times) or not self._weekdays.isdisjoint(other._weekdays)

    def _contradicts_date(self, argument: Figures) -> bool:
        if self._times and argument._times and self._times.isdisjoint(argument._times):
            return True
        if self._relative or not (self._days or self._weekdays) or not argument._days:
            return False
        return not any(self._has(readings) or self._falls(readings) for readings in argument._days)

    def _has(self, readings: frozenset[_Day]) -> bool:
        return any(day.agrees(known) for day in readings for row in self._days for known in row)

    def _falls(self, readings: frozenset[_Day]) -> bool:
        """Whether one of the days may be a weekday named here."""
        return any(
            (weekday := day.weekday()) in self._weekdays or (weekday is None and self._weekdays) for day in readings
        )

    def _read(self, text: str) -> None:
        self._amounts.update(islice(_amounts(text), MAX_FIGURES))
        self._days.extend(islice(_days(text), MAX_FIGURES))
        self._weekdays.update(_WEEKDAYS[match[1]] for match in _WEEKDAY.finditer(text))
        self._times.update(islice(_times(text), MAX_FIGURES))
        self._relative = self._relative or _RELATIVE.search(text) is not None


def is_calendar_word(word: str) -> bool:
    """Whether the folded word is a month or a day of the week."""
    return word in _MONTHS or word in _WEEKDAYS


def _amounts(text: str) -> Iterator[Decimal]:
    """Every reading of every number that is plainly a sum of money."""
    for match in _MARKED.finditer(text):
        yield from _scaled(match[1] or match[3], match[2] or match[4])
    for pattern in (_STATED, _TWO_PLACES):
        for match in pattern.finditer(text):
            yield from _readings(match[1])


def _argument_amounts(value: str) -> set[Decimal]:
    """An argument of kind amount is a number with or without its currency."""
    text = folded(value)[:200]
    found = set(islice(_amounts(text), MAX_FIGURES))
    for match in islice(_PLAIN.finditer(text), MAX_FIGURES):
        found.update(_readings(match[0]))
    return found


def _scaled(number: str, scale: str | None) -> Iterator[Decimal]:
    factor = 1 if not scale else _SCALE.get(scale.strip(), 1_000_000)
    for reading in _readings(number):
        yield reading * factor


def _readings(number: str) -> set[Decimal]:
    """1.250 may be a thousand or one and a quarter; 1,250.00 and 1.250,00 are clear. The sign is left out."""
    bare = re.sub(r"[ '\u00a0\u202f\u2019-]", "", number)
    forms = {bare.replace(",", ""), bare.replace(".", "").replace(",", ".")}
    found: set[Decimal] = set()
    for form in forms:
        try:
            found.add(Decimal(form))
        except InvalidOperation:
            continue
    last = max(bare.rfind("."), bare.rfind(","))
    if last >= 0 and len(bare) - last - 1 != 3:
        # Two digits behind the last mark are cents, in every habit.
        whole = re.sub(r"[.,]", "", bare[:last])
        return {Decimal(f"{whole or '0'}.{bare[last + 1 :]}")}
    return found


def _days(text: str) -> Iterator[frozenset[_Day]]:
    for match in _ISO.finditer(text):
        yield from _valid({(int(match[1]), int(match[2]), int(match[3]))})
    for match in _NUMERIC.finditer(text):
        first, second, year = int(match[1]), int(match[3]), _year(match[4])
        if match[2] == "." or match[4] or match[2] == "/":
            yield from _valid({(year, second, first)} | ({(year, first, second)} if match[2] != "." else set()))
    for match in _DAY_MONTH.finditer(text):
        yield from _valid({(_year(match[3]), _MONTHS[match[2]], int(match[1]))})
    for match in _MONTH_DAY.finditer(text):
        yield from _valid({(_year(match[3]), _MONTHS[match[1]], int(match[2]))})


def _year(text: str | None) -> int | None:
    if not text:
        return None
    return int(text) if len(text) == 4 else 2000 + int(text)


def _valid(readings: set[tuple[int | None, int, int]]) -> Iterator[frozenset[_Day]]:
    found: set[_Day] = set()
    for year, month, day in readings:
        try:
            # A leap year admits every day there is.
            datetime.date(year or 2000, month, day)
        except ValueError:
            continue
        found.add(_Day(month, day, year))
    if found:
        yield frozenset(found)


def _times(text: str) -> Iterator[tuple[int, int]]:
    for match in _CLOCK.finditer(text):
        yield from _hour(int(match[1]), int(match[2]), match[3])
    for match in _HOUR.finditer(text):
        yield from _hour(int(match[1]), 0, match[2])
    for match in _NOON.finditer(text):
        yield (12, 0) if match[1].startswith(("noon", "midd", "mitta", "midi", "medio")) else (0, 0)


def _hour(hour: int, minute: int, half: str | None) -> Iterator[tuple[int, int]]:
    half = (half or "")[:1]
    if half in ("a", "p") and 1 <= hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    if hour < 24 and minute < 60:
        yield hour, minute
