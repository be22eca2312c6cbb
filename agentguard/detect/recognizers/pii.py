"""Personal data that a pattern plus a check can tell: contact, money and network identifiers."""

from __future__ import annotations

import hashlib
import ipaddress

from agentguard.detect.recognizers.engine import Recognizer

__all__ = ["PII"]

_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# Issuer ranges by first digits and length: ISO/IEC 7812, as the schemes publish them.
_CARD_LENGTHS = {"34": (15,), "37": (15,), "4": (13, 16, 19), "5": (16,), "2": (16,), "6": (16, 19), "3": (14, 16)}


def _digits(value: str) -> str:
    return "".join(c for c in value if c.isdigit())


def _card(value: str) -> bool:
    """Luhn check (ISO/IEC 7812-1 annex B), known issuer, right length, not one repeated digit."""
    digits = _digits(value)
    lengths = _CARD_LENGTHS.get(digits[:2]) or _CARD_LENGTHS.get(digits[:1])
    if lengths is None or len(digits) not in lengths or len(set(digits)) == 1:
        return False
    total = 0
    for index, char in enumerate(reversed(digits)):
        doubled = int(char) * (1 + index % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _iban(value: str) -> bool:
    from stdnum import iban

    return bool(iban.is_valid(value))


def _phone(value: str) -> bool:
    import phonenumbers

    try:
        number = phonenumbers.parse(value, None if value.lstrip("(").startswith(("+", "00")) else "US")
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.is_valid_number(number))


def _ssn(value: str) -> bool:
    """Numbers that were never issued are no SSN (SSA rules since 2011)."""
    area, group, serial = value[:3], value[4:6], value[7:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _address(value: str) -> bool:
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_unspecified or found.is_multicast or found.is_reserved)


def _bitcoin(value: str) -> bool:
    """Base58Check, or the shape of bech32 (BIP 173)."""
    if value.startswith("bc1"):
        return any(c.isdigit() for c in value[4:])
    number = 0
    for char in value:
        number = number * 58 + _BASE58.index(char)
    raw = number.to_bytes(25, "big") if number < 1 << 200 else b""
    return bool(raw) and hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


PII: tuple[Recognizer, ...] = (
    Recognizer(
        "pii.email",
        r"[A-Za-z0-9_%+][A-Za-z0-9._%+'-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}\b",
        score=0.95,
        example="anna.<L6>@example.com",
    ),
    Recognizer("pii.card", r"\b\d(?:[ -]?\d){12,18}\b", _card, 0.95, "4111 1111 1111 1111"),
    Recognizer(
        "pii.iban",
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b",
        _iban,
        0.95,
        "DE89 3704 0044 0532 0130 00",
    ),
    Recognizer("pii.ssn", r"\b\d{3}-\d{2}-\d{4}\b", _ssn, 0.9, "536-22-1234"),
    Recognizer(
        "pii.phone",
        r"(?:\+|\b00)\d{1,3}[ .\-]?(?:\(\d{1,5}\)[ .\-]?)?(?:\d[ .\-/]?){5,13}\d\b|(?:\(\d{3}\) ?|\b\d{3}[.\- ])\d{3}[.\- ]\d{4}\b",
        _phone,
        0.85,
        "+44 20 7946 0958",
    ),
    Recognizer("pii.ip-address", rf"\b(?:{_OCTET}\.){{3}}{_OCTET}\b", _address, 0.8, "8.8.4.4"),
    Recognizer(
        "pii.ipv6-address",
        r"(?i)\b(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}\b|\b(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}\b",
        _address,
        0.8,
        "2a00:1450:4001:81b::200e",
    ),
    Recognizer("pii.mac-address", r"(?i)\b(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}\b", None, 0.85, "3c:22:fb:<h2>:<h2>:<h2>"),
    Recognizer(
        "pii.bitcoin-address",
        r"\b(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[a-z0-9]{25,62})\b",
        _bitcoin,
        0.9,
        "1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
    ),
    Recognizer("pii.ethereum-address", r"\b0x[0-9a-fA-F]{40}\b", None, 0.9, "0x<h40>"),
)
