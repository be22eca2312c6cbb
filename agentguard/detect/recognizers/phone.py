"""Phone numbers: with a country code, in a form no other number has, or behind a word that announces one.

libphonenumber's data (imported on the first candidate) says which country codes exist, and what is a valid number of the
United States where nothing else announces one. Behind a word, a national number of any region counts by its length.
"""

from __future__ import annotations

import re

from agentguard.detect.recognizers.engine import Recognizer

__all__ = ["RECOGNIZERS"]

_WORD = (
    r"(?:phones?|telephone|tel|call|calling|mobile|cell|cellphone|fax|whatsapp|sms|text|contact|dial|reach|ring|"
    r"answering|messages?|registered|desk|office|hotline|landline|telefon|handy|mobil|rückruf|anrufen|téléphone|"
    r"portable|appel\w*|teléfono|móvil|llam\w*|telefono|cellulare|telefone|celular|telefoon|komórka|telefonu|телефон|тел|"
    r"电话|手机|電話|携帯|전화|هاتف)"
)
_ANNOUNCED = re.compile(rf"(?i)(?:^|[\W\d_]){_WORD}(?:[ .:]*(?:number|no|nr|num|nummer))?[^0-9]{{0,24}}$")
_ORDERED = re.compile(
    r"(?i)(?:order|invoice|ticket|case|id|ref|reference|tracking|account|card|iban|ssn|zip)\b[^0-9]{0,14}$"
)
# (415) 555-0132, 415-555-0132, 415.555.0132; with an extension.
_NANP = re.compile(r"^(?:1[-. ])?(?:\([0-9]{3}\) ?|[0-9]{3}[-.])[0-9]{3}[-.][0-9]{4}(?: ?(?:x|ext\.? ?)[0-9]{1,6})?$")
_NOT_DIGIT = re.compile("[^0-9]")
_GROUP = re.compile("[0-9]+")
_EXTENSION = re.compile(r"(?i) ?(?:x|ext\.? ?)[0-9]{1,6}$")
_DATE = re.compile(
    r"^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}[-./][0-9]{1,2}[-./][0-9]{4}|[0-9]{4}\.[0-9]{2}\.[0-9]{2})"
)
_NUMBER = r"(?:\+|\(|\b)[0-9][0-9 ()./\-]{5,22}[0-9](?: ?(?:x|ext\.? ?)[0-9]{1,6})?"


def _phone(value: str, before: str) -> int:
    if before[-1:].isalnum() or (before[-1:] in ("-", ".", "_", "/", "#", "$", "=") and value[0] not in "+("):
        return 0
    if _DATE.match(value) or value.count("(") != value.count(")") or "  " in value:
        return 0
    if value.startswith(("+", "00")):
        return _international(value)
    if _ORDERED.search(before):
        return 0
    if _NANP.match(value) or _ANNOUNCED.search(before):
        return _national(value)
    return _grouped(value)


def _international(value: str) -> int:
    """A country code that exists, and 8 to 15 digits in all (E.164)."""
    from phonenumbers import COUNTRY_CODE_TO_REGION_CODE

    digits = _NOT_DIGIT.sub("", _EXTENSION.sub("", value)).removeprefix("00")
    known = any(int(digits[:size]) in COUNTRY_CODE_TO_REGION_CODE for size in (1, 2, 3)) if len(digits) >= 3 else False
    return len(value) if known and 8 <= len(digits) <= 15 else 0


def _national(value: str) -> int:
    digits = _NOT_DIGIT.sub("", _EXTENSION.sub("", value))
    return len(value) if 7 <= len(digits) <= 14 and len(set(digits)) > 1 else 0


def _grouped(value: str) -> int:
    """Without a word before it: three groups or more that are a valid number of the United States."""
    import phonenumbers

    digits = _NOT_DIGIT.sub("", value)
    if len(digits) not in (10, 11) or len(_GROUP.findall(value)) < 3 or "." in value or "/" in value:
        return 0
    try:
        number = phonenumbers.parse(value, "US")
    except phonenumbers.NumberParseException:
        return 0
    return len(value) if phonenumbers.is_valid_number(number) else 0


RECOGNIZERS = (
    Recognizer(
        "pii.phone",
        "phone",
        rf"(?P<v>{_NUMBER})\b",
        validator=_phone,
        examples=lambda: (
            "+1 415-555-2671",
            "call 415-555-2671",
            "+49 30 901820",
            "Telefon: 030 901820",
            "(415) 555-0132 x12",
        ),
        negatives=lambda: ("1234567890123456789012", "id 12345678", "2024-03-08 04", "180.48 (290.454"),
        score=0.8,
        rank=0,
    ),
    Recognizer(
        "pii.phone",
        "phone-labelled-behind",
        rf"(?P<v>{_NUMBER})[ \-,]{{1,3}}(?i:office|fax|mobile|cell|home|phone|work)\b",
        examples=lambda: ("(37) 788-063 office",),
        negatives=lambda: ("12 office",),
        validator=lambda value, before: _international(value) if value.startswith("+") else _national(value),
        score=0.7,
        rank=0,
    ),
    Recognizer(
        "pii.phone",
        "phone-next-line",
        rf"(?i)(?:(?m:^)|[^\pL]){_WORD}(?: (?:number|no|nummer))?:[ \t]{{0,8}}\r?\n[ \t]{{0,40}}(?P<v>{_NUMBER})[ \t]{{0,8}}(?:\r?\n|$)",
        trigger=rf"(?i){_WORD}[^\n]*:[ \t]*\r?\n",
        examples=lambda: ("Phone:\n467 3395\n",),
        negatives=lambda: ("Phone:\nnone, 467 3395",),
        validator=lambda value, before: _international(value) if value.startswith("+") else _national(value),
        score=0.7,
        rank=0,
    ),
)
