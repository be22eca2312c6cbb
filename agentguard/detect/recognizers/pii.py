"""Personal data with a shape: contact, payment, government and network identifiers.

Checksums and issuer ranges decide where a format has them: Luhn (ISO/IEC 7812), IBAN mod 97 (ISO 13616),
base58check and bech32 for Bitcoin, SSA ranges for US social security numbers. Phone numbers are validated with
the libphonenumber data (imported on the first candidate).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re

from agentguard.detect.recognizers.engine import Recognizer

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
_PHONE_WORD = re.compile(
    r"(?i)(?:phone|tel|call|mobile|cell|fax|whatsapp|sms|text|contact|dial|number|reach)\b[^0-9]{0,24}$"
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
    return len(value) if _ISSUER.match(digits) and luhn_valid(digits) and len(set(digits)) > 1 else 0


def _iban(value: str, before: str) -> int:
    # The pattern is greedy over following words in capitals; the country says where the number ends.
    length = _IBAN_LENGTHS.get(value[:2])
    if length is None:
        return 0
    seen = 0
    for end, char in enumerate(value, 1):
        seen += char != " "
        if seen == length:
            whole = not value[end : end + 1].isalnum()
            return end if whole and iban_valid(value[:end].replace(" ", "")) else 0
    return 0


def _ssn(value: str, before: str) -> int:
    area, group, serial = value[:3], _NOT_DIGIT.sub("", value)[3:5], value[-4:]
    if area in ("000", "666") or area >= "900" or group == "00" or serial == "0000":
        return 0
    return len(value) if len(value) == 11 or _SSN_WORD.search(before) else 0


def _ipv4(value: str, before: str) -> int:
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        return 0
    personal = not (address.is_loopback or address.is_unspecified or _VERSION_WORD.search(before))
    return len(value) if personal else 0


def _ipv6(value: str, before: str) -> int:
    if before[-1:].isalnum() or value.count(":") < 2 or len(value) < 6:
        return 0
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return 0
    return 0 if address.is_loopback or address.is_unspecified else len(value)


def _phone(value: str, before: str) -> int:
    import phonenumbers

    if before[-1:].isalnum() or (before[-1:] in ("-", ".", "_", "/", "#", "$") and not value.startswith("+")):
        return 0
    try:
        number = phonenumbers.parse(value, None if value.startswith("+") else "US")
    except phonenumbers.NumberParseException:
        return 0
    formatted = value.startswith("+") or len(re.findall(r"[0-9]+", value)) >= 3
    if not phonenumbers.is_valid_number(number) or not (formatted or _PHONE_WORD.search(before)):
        return 0
    return len(value)


def _bitcoin(value: str, before: str) -> int:
    valid = _bech32_valid(value.lower()) if value.lower().startswith("bc1") else _base58_valid(value)
    return len(value) if valid else 0


def _base58_valid(value: str) -> bool:
    number = 0
    for char in value:
        number = number * 58 + _BASE58.index(char)
    if number.bit_length() > 200:
        return False
    raw = number.to_bytes(25, "big")
    return hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()[:4] == raw[-4:]


def _bech32_valid(value: str) -> bool:
    """BIP 173 and BIP 350 checksums for the ``bc`` prefix."""
    checksum = 1
    for symbol in (3, 3, 0, 2, 3, *(_BECH32.find(c) for c in value[3:])):
        if symbol < 0:
            return False
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ symbol
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum in (1, 0x2BC830A3)


def _email(value: str, before: str) -> int:
    local, _, domain = value.rpartition("@")
    return 0 if local.startswith(".") or ".." in value or domain.startswith("-") else len(value)


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
        "pii.phone",
        "phone",
        r"(?P<v>(?:\+|\(|\b)[0-9][0-9 ().\-]{6,20}[0-9])\b",
        validator=_phone,
        examples=lambda: ("+1 415-555-2671", "call 415-555-2671", "+49 30 901820"),
        negatives=lambda: ("1234567890123456789012", "id 12345678"),
        score=0.8,
        rank=0,
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
        r"\b(?P<v>[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30})\b",
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
        validator=_bitcoin,
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
)
