"""Personal data with a shape: contact, payment, government and network identifiers.

Checksums and issuer ranges decide where a format has them: Luhn (ISO/IEC 7812), IBAN mod 97 (ISO 13616),
base58check and bech32 for wallets, SSA ranges for US social security numbers.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re

from agentguard.detect.recognizers.engine import Recognizer
from agentguard.detect.recognizers.national import RECOGNIZERS as NATIONAL
from agentguard.detect.recognizers.phone import RECOGNIZERS as PHONES

__all__ = ["RECOGNIZERS", "iban_valid", "luhn_valid"]

_NOT_DIGIT = re.compile("[^0-9]")
_ISSUER = re.compile(
    r"^(?:4[0-9]{12}(?:[0-9]{3}){0,2}|5[1-5][0-9]{14}|2(?:2[2-9]|[3-6][0-9]|7[01])[0-9]{13}|2720[0-9]{12}|3[47][0-9]{13}|"
    r"3(?:0[0-5]|[68][0-9])[0-9]{11}|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}|35(?:2[89]|[3-8][0-9])[0-9]{12}|"
    r"62[0-9]{14,17}|(?:2131|1800)[0-9]{11}|(?:5018|5020|5038|6304|6759|676[1-3])[0-9]{8,15})$"
)
# Country and length: ISO 13616, IBAN registry.
_IBAN_LENGTHS = {
    row[:2]: int(row[2:])
    for row in [
        "AD24",
        "AE23",
        "AL28",
        "AT20",
        "AZ28",
        "BA20",
        "BE16",
        "BG22",
        "BH22",
        "BI27",
        "BR29",
        "BY28",
        "CH21",
        "CR22",
        "CY28",
        "CZ24",
        "DE22",
        "DJ27",
        "DK18",
        "DO28",
        "EE20",
        "EG29",
        "ES24",
        "FI18",
        "FK18",
        "FO18",
        "FR27",
        "GB22",
        "GE22",
        "GI23",
        "GL18",
        "GR27",
        "GT28",
        "HN28",
        "HR21",
        "HU28",
        "IE22",
        "IL23",
        "IQ23",
        "IS26",
        "IT27",
        "JO30",
        "KW30",
        "KZ20",
        "LB28",
        "LC32",
        "LI21",
        "LT20",
        "LU20",
        "LV21",
        "LY25",
        "MC27",
        "MD24",
        "ME22",
        "MK19",
        "MN20",
        "MR27",
        "MT31",
        "MU30",
        "NI28",
        "NL18",
        "NO15",
        "OM23",
        "PK24",
        "PL28",
        "PS29",
        "PT25",
        "QA29",
        "RO24",
        "RS22",
        "RU33",
        "SA24",
        "SC31",
        "SD18",
        "SE24",
        "SI19",
        "SK24",
        "SM27",
        "SO23",
        "ST25",
        "SV28",
        "TL23",
        "TN24",
        "TR26",
        "UA29",
        "VA22",
        "VG24",
        "XK20",
        "YE30",
    ]
}
_CARD_WORD = re.compile(
    r"(?i)\b(?:card|karte|carte|tarjeta|carta|kaart|visa|mastercard|amex|maestro|jcb)\b[^0-9]{0,40}$"
)
_VERSION_WORD = re.compile(r"(?i)(?:\bv|version|ver\.?|release)[ :=]*$")
_SSN_WORD = re.compile(r"(?i)(?:ssn|social security)[^0-9]{0,24}$")
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def luhn_valid(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    total = sum(
        int(d) if i % 2 == 0 else (int(d) * 2 - 9 if d > "4" else int(d) * 2) for i, d in enumerate(digits[::-1])
    )
    return total % 10 == 0


def iban_valid(compact: str) -> bool:
    """ISO 13616: country length and mod 97."""
    from stdnum import iban

    return bool(iban.is_valid(compact, check_country=False))


def _card(value: str, before: str) -> int:
    digits = _NOT_DIGIT.sub("", value)
    issued = _ISSUER.match(digits) or _CARD_WORD.search(before)
    return len(value) if issued and luhn_valid(digits) and len(set(digits)) > 1 else 0


def _iban(value: str, before: str) -> int:
    # The pattern is greedy over following words in capitals; the country says where the number ends.
    length = _IBAN_LENGTHS.get(value[:2].upper())
    if length is None:
        return 0
    seen = 0
    for end, char in enumerate(value, 1):
        seen += char not in " -"
        if seen == length:
            whole = not value[end : end + 1].isalnum()
            return end if whole and iban_valid(value[:end].replace(" ", "").replace("-", "").upper()) else 0
    return 0


def _ssn(value: str, before: str) -> int:
    area, group, serial = value[:3], _NOT_DIGIT.sub("", value)[3:5], value[-4:]
    if area in ("000", "666") or area >= "900" or group == "00" or serial == "0000":
        return 0
    return len(value) if len(value) == 11 or _SSN_WORD.search(before) else 0


def _ipv4(value: str, before: str) -> int:
    octets = value.split(".")
    if value == "0.0.0.0" or octets[0] == "127":  # noqa: S104 - nobody's address
        return 0
    # ``ipaddress`` says the same in ten times the time.
    plain = all(octet == "0" or (octet[0] != "0" and int(octet) < 256) for octet in octets)
    return len(value) if plain and not _VERSION_WORD.search(before[-16:]) else 0


def _ipv6(value: str, before: str) -> int:
    if before[-1:].isalnum() or value.count(":") < 2 or len(value) < 6:
        return 0
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return 0
    return 0 if address.is_loopback or address.is_unspecified else len(value)


def _wallet(value: str, before: str) -> int:
    prefix, mark, _ = value.lower().partition("1")
    segwit = mark and prefix in ("bc", "ltc")
    valid = _bech32_valid(value.lower(), prefix) if segwit else _base58_valid(value)
    return len(value) if valid else 0


def _base58_valid(value: str) -> bool:
    number = 0
    for char in value:
        number = number * 58 + _BASE58.index(char)  # the pattern lets no other through
    if number.bit_length() > 200:
        return False
    raw = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()[:4] == raw[-4:]


def _bech32_valid(value: str, prefix: str) -> bool:
    """BIP 173 and BIP 350 checksums."""
    checksum = 1
    lead = (*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix))
    for symbol in (*lead, *(_BECH32.find(c) for c in value[len(prefix) + 1 :])):
        if symbol < 0:
            return False
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ symbol
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum in (1, 0x2BC830A3)


def _base58check(version: int) -> str:
    raw = bytes([version, *range(1, 21)])
    number = int.from_bytes(raw + hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4], "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return text


def _bic(value: str, before: str) -> int:
    from stdnum import bic

    return len(value) if bic.is_valid(value) else 0


def _email(value: str, before: str) -> int:
    local, _, domain = value.rpartition("@")
    return 0 if local.startswith(".") or ".." in value or domain.startswith("-") else len(value)


_BIRTH = (
    r"(?i:\bborn\b|\bdob\b|date of birth|birth ?date|birthday|geboren|geburtsdatum|né le|née le|date de naissance|"
    r"fecha de nacimiento|nacid[oa] el|data di nascita|nat[oa] il|geboortedatum|data urodzenia|дата рождения)"
)
_DATE = (
    r"[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:[0-9]{4}|[0-9]{2})|"
    r"[0-9]{1,2}(?:st|nd|rd|th|\.)? (?:of )?\pL{3,12},? [0-9]{4}"
)

RECOGNIZERS = (
    Recognizer(
        "pii.email",
        "email",
        r"(?P<v>[\pL\pN_%+][\pL\pN._%+'-]*@(?:[\pL\pN][\pL\pN-]*\.)+\pL{2,24})",
        validator=_email,
        examples=lambda: ("jane.doe+x@example.co.uk", "müller@bücher.example"),
        negatives=lambda: ("user@localhost", "@handle", "a@b"),
    ),
    Recognizer(
        "pii.card",
        "card",
        r"\b(?P<v>(?:[0-9][ -]?){11,18}[0-9])\b",
        validator=_card,
        examples=lambda: ("4111 1111 1111 1111", "378282246310005", "5555-5555-5555-4444"),
        negatives=lambda: ("4111 1111 1111 1112", "1234567812345670", "0000 0000 0000 0000"),
        rank=2,
    ),
    Recognizer(
        "pii.iban",
        "iban",
        r"(?i)\b(?P<v>[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30})\b",
        validator=_iban,
        examples=lambda: ("DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"),
        negatives=lambda: ("DE89 3704 0044 0532 0130 01",),
        rank=3,
    ),
    Recognizer(
        "pii.us-ssn",
        "us-ssn",
        r"\b(?P<v>[0-9]{3}-[0-9]{2}-[0-9]{4}|[0-9]{9}|[0-9]{3} [0-9]{2} [0-9]{4})\b",
        validator=_ssn,
        examples=lambda: ("536-22-1234", "SSN: 536221234"),
        negatives=lambda: ("000-12-3456", "666-12-3456", "912-12-3456", "536221234"),
    ),
    Recognizer(
        "pii.ip",
        "ipv4",
        r"\b(?P<v>[0-9]{1,3}(?:\.[0-9]{1,3}){3})\b",
        validator=_ipv4,
        examples=lambda: ("203.0.113.7",),
        negatives=lambda: ("127.0.0.1", "version 1.2.3.4", "300.1.1.1"),
        rank=2,
    ),
    Recognizer(
        "pii.ip",
        "ipv6",
        r"(?P<v>[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})",
        validator=_ipv6,
        examples=lambda: ("2001:db8::8a2e:370:7334",),
        negatives=lambda: ("::1", "10:11:12", "a::b"),
    ),
    Recognizer(
        "pii.mac",
        "mac",
        r"\b(?P<v>[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5}))\b",
        examples=lambda: ("00:1b:44:11:3a:b7", "00-1B-44-11-3A-B7"),
        negatives=lambda: ("00:1b:44:11:3a",),
    ),
    Recognizer(
        "pii.crypto",
        "bitcoin",
        r"\b(?P<v>[13][1-9A-HJ-NP-Za-km-z]{25,34}|(?i:bc1)[02-9ac-hj-np-zAC-HJ-NP-Z]{11,71})\b",
        validator=_wallet,
        examples=lambda: ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
        negatives=lambda: ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",),
    ),
    Recognizer(
        "pii.crypto",
        "ethereum",
        r"\b(?P<v>0x[0-9A-Fa-f]{40})\b",
        examples=lambda: ("0x" + "52908400098527886E0F7030069857D2E4169EE7",),
        negatives=lambda: ("0x5290",),
    ),
    Recognizer(
        "pii.crypto",
        "litecoin-dogecoin-tron",
        r"\b(?P<v>[LMDT][1-9A-HJ-NP-Za-km-z]{25,34}|(?i:ltc1)[02-9ac-hj-np-zAC-HJ-NP-Z]{11,71})\b",
        validator=_wallet,
        examples=lambda: (_base58check(0x30), _base58check(0x1E), _base58check(0x41)),
        negatives=lambda: (_base58check(0x30)[:-1] + "1",),
    ),
    Recognizer(
        "pii.crypto",
        "monero",
        r"\b(?P<v>[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93})\b",
        examples=lambda: ("4A" + (_base58check(0x30) * 3)[:93],),
        negatives=lambda: ("4A" + (_base58check(0x30) * 3)[:92],),
    ),
    Recognizer(
        "pii.bic",
        "bic",
        r"(?i:\bbic\b|swift)[^\n]{0,30}?\b(?P<v>[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?)\b",
        validator=_bic,
        examples=lambda: ("BIC: COBADEFFXXX", "SWIFT code DEUTDEFF"),
        negatives=lambda: ("BIC: ABCDEF",),
        keywords=("bic", "swift"),
    ),
    Recognizer(
        "pii.date-of-birth",
        "date-of-birth",
        rf"{_BIRTH}[^0-9\n]{{0,20}}(?P<v>{_DATE})\b",
        examples=lambda: ("born on 1980-02-29", "DOB: 02/29/1980", "Geburtsdatum: 29.02.1980", "born 3 March 1980"),
        negatives=lambda: ("released on 1980-02-29", "born in 1980"),
        keywords=("born", "date of birth"),
        score=0.8,
    ),
    Recognizer(
        "pii.driving-licence",
        "driving-licence",
        r"(?i:driver(?:['’]?s)?[ -]licen[cs]e|driving[ -]licen[cs]e|führerschein|permis de conduire|licencia de conducir)[^0-9\n]{0,30}?(?P<v>\b[A-Z]{0,2}[0-9][0-9 -]{4,15}[0-9])\b",
        examples=lambda: ("my driver's license number is F1234567890",),
        negatives=lambda: ("my driver's license has 4 pages",),
        keywords=("driver's license",),
        score=0.8,
    ),
    Recognizer(
        "pii.passport",
        "passport",
        r"(?i:passport|reisepass|passeport|pasaporte|passaporto)[^0-9\n]{0,30}?\b(?P<v>[A-Z]{0,2}[0-9]{6,9})\b",
        examples=lambda: ("passport no. C01234567",),
        negatives=lambda: ("passport photos cost 12",),
        keywords=("passport",),
        score=0.8,
    ),
    *PHONES,
    *NATIONAL,
)
