"""Reversible tokens that stand in a text for a value, and the keys they open under.

A token is one word of letters, digits and hyphens: the finding's type, an optional hint, a mark, and in base32 the
value encrypted with AES-256-SIV (RFC 5297): ``pii-email-agp4hq6...``. Type and hint are associated data, so neither can
be changed; letters may be copied in any case. Nothing is stored: whoever holds the scope's key opens a token, in any
thread, process or year, and nobody else makes or opens one. Mark ``agp`` is a pseudonym (equal values, equal tokens);
``age`` holds a nonce, so that equal values differ.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from agentguard.errors import ConfigError
from agentguard.keys.envelope import derive

__all__ = ["MAX_VALUE", "Token", "Tokens", "shaped"]

# A longer value makes a token that no model copies without a mistake.
MAX_VALUE = 512
KEY_BYTES = 64
TAG_BYTES = 16
NONCE_BYTES = 9
# Token bytes are a multiple of this, so that base32 has no bits left over: every token has one spelling.
GROUP = 5
MIN_BODY = 32
HINT = 64

_PSEUDONYM, _ENCRYPTED = "agp", "age"
_TOKEN = re.compile(
    rf"(?<![0-9A-Za-z-])((?:pii|secret)(?:-[0-9a-z]{{1,63}}){{1,24}}?)-(ag[pe])([a-z2-7]{{{MIN_BODY},1024}})(?![0-9A-Za-z])",
    re.IGNORECASE | re.ASCII,
)
_NOT_HINT = re.compile("[^0-9a-z]+")


@dataclass(frozen=True, slots=True)
class Token:
    """One token in a text that opened: its range, the value's class (``pii``, ``secret``) and the value."""

    start: int
    end: int
    kind: str
    value: str = field(repr=False)


class Tokens:
    """Makes and opens the tokens of one scope. Thread-safe.

    Args:
        key: the scope's secret, 32 bytes or more.

    Raises:
        ConfigError: a shorter key.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 32:
            raise ConfigError(f"a scope's key needs at least 32 bytes, got {len(key)}")
        self._cipher = AESSIV(derive(key, salt=None, info=b"agentguard token 1", length=KEY_BYTES))

    def pseudonym(self, type_: str, value: str, hint: str = "") -> str | None:
        """The token of ``value``, the same each time; None when the value is too long for one."""
        return self._sealed(type_, value, hint, _PSEUDONYM)

    def encrypted(self, type_: str, value: str, hint: str = "") -> str | None:
        """A token that shows nothing of ``value``, not even that it occurred before; None when it is too long."""
        return self._sealed(type_, value, hint, _ENCRYPTED)

    def find(self, text: str) -> tuple[Token, ...]:
        """The tokens in ``text`` that were made in this scope, in order."""
        return tuple(token for match in _matches(text) if (token := self._opened(match)) is not None)

    def _sealed(self, type_: str, value: str, hint: str, mark: str) -> str | None:
        raw = value.encode("utf-8", "surrogatepass")
        if not 0 < len(raw) <= MAX_VALUE:
            return None
        words = "-".join(filter(None, _NOT_HINT.split(f"{type_} {hint.lower()[:HINT]}")))
        nonce = os.urandom(NONCE_BYTES) if mark == _ENCRYPTED else b""
        padded = raw + b"\x80"
        padded += bytes(-(len(nonce) + TAG_BYTES + len(padded)) % GROUP)
        sealed = nonce + self._cipher.encrypt(padded, [_associated(words, mark), nonce or b"-"])
        return f"{words}-{mark}{base64.b32encode(sealed).decode().lower()}"

    def _opened(self, match: re.Match[str]) -> Token | None:
        words, mark, body = (part.lower() for part in match.groups())
        if len(body) % 8:
            return None
        sealed = base64.b32decode(body.upper())
        nonce, sealed = (sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]) if mark == _ENCRYPTED else (b"", sealed)
        try:
            padded = self._cipher.decrypt(sealed, [_associated(words, mark), nonce or b"-"])
            value = padded[: padded.rindex(b"\x80")].decode("utf-8", "surrogatepass")
        except (InvalidTag, ValueError):
            return None
        return Token(*match.span(), words.partition("-")[0], value)


def shaped(text: str) -> tuple[tuple[int, int], ...]:
    """Where something stands that has a token's form, whether it opens or not."""
    return tuple(match.span() for match in _matches(text))


def _matches(text: str) -> Iterator[re.Match[str]]:
    # Most texts hold no mark; looking for it costs a hundredth of the search.
    if "-ag" in text or "-AG" in text or "-Ag" in text or "-aG" in text:
        yield from _TOKEN.finditer(text)


def _associated(words: str, mark: str) -> bytes:
    return f"{mark}\0{words}".encode()
