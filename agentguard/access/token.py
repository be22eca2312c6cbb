"""Session tokens: JSON Web Tokens of one fixed shape, signed with HMAC-SHA256, and everything else refused.

RFC 7519 with the advice of RFC 8725: one algorithm, an explicit type, required claims, issuer and audience compared,
no header parameter that names or brings a key. What a token may be is decided before its signature is looked at.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn, TypeAlias

import jwt

from agentguard.access.signing import SigningKeys
from agentguard.errors import (
    BadSignature,
    MissingClaim,
    TokenExpired,
    TokenMalformed,
    TokenNotYetValid,
    TokenOversized,
    UnknownKey,
    WrongAudience,
    WrongIssuer,
)

__all__ = ["ALGORITHM", "MAX_TOKEN_CHARS", "TokenCodec", "TokenKind"]

TokenKind: TypeAlias = Literal["access", "refresh"]
Claims: TypeAlias = dict[str, Any]

ALGORITHM = "HS256"
# Ours have some 500. A longer one would only cost time to read.
MAX_TOKEN_CHARS = 4096
# Seconds since 1970 in the year 5138: no token of ours lasts as long.
MAX_TIME = 1e11
# Headers of valid tokens, read once. They differ by key and kind, so a handful is all there ever is.
MAX_HEADERS = 64

_TYPES: Mapping[TokenKind, str] = {"access": "agentguard-session+jwt", "refresh": "agentguard-refresh+jwt"}
_HEADER = frozenset({"alg", "typ", "kid"})
_FORM = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
# 256 bits: 43 digits of which the last carries four, so that each signature has one spelling.
_SIGNATURE = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_KEY_ID = re.compile(r"[0-9a-f]{32}")
_TEXTS = ("iss", "sub", "jti", "session_id")
_TIMES = ("iat", "nbf", "exp")
_REQUIRED = ("iss", "aud", "sub", "jti", "iat", "nbf", "exp", "session_id")
_JWS = jwt.PyJWS(algorithms=[ALGORITHM])


class TokenCodec:
    """Makes and reads the tokens of one issuer for one audience.

    Args:
        keys: what signs, and what signed.
        issuer, audience: compared exactly.
        leeway_s: seconds that another host's clock may be ahead. An expiry gets none.
        clock: seconds since 1970.
    """

    def __init__(
        self, keys: SigningKeys, *, issuer: str, audience: str, leeway_s: float, clock: Callable[[], float]
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._leeway_s = leeway_s
        self._clock = clock
        self._headers: dict[str, tuple[str, str]] = {}

    def make(self, kind: TokenKind, claims: Mapping[str, object]) -> str:
        """Sign ``claims``, to which issuer and audience are added."""
        key_id, key = self._keys.signing()
        return jwt.encode(
            {"iss": self._issuer, "aud": self._audience, **claims},
            key,
            algorithm=ALGORITHM,
            headers={"typ": _TYPES[kind], "kid": key_id},
        )

    def read(self, kind: TokenKind, token: str, *, expired: bool = False) -> Claims:
        """The claims of a genuine token of that kind.

        Args:
            expired: take one whose time is over, too.

        Raises:
            SessionError: it is none; the class says why. Nothing of the token is in the message.
        """
        if not isinstance(token, str):
            raise TokenMalformed(f"got a {type(token).__name__}; a token is text")
        if len(token) > MAX_TOKEN_CHARS:
            raise TokenOversized(f"a token has at most {MAX_TOKEN_CHARS} characters, got {len(token)}")
        parts = _FORM.fullmatch(token)
        if parts is None:
            raise TokenMalformed("not of the form header.payload.signature")
        claims = _object(self._verified(kind, token, parts[1], parts[3]))
        self._check(claims)
        self._check_times(claims, expired=expired)
        return claims

    def _verified(self, kind: TokenKind, token: str, header: str, signature: str) -> bytes:
        found = self._headers.get(header) or self._header(header)
        if found[0] != _TYPES[kind]:
            raise TokenMalformed(f"this is no {kind} token")
        if not _SIGNATURE.fullmatch(signature):
            raise BadSignature("the signature is not one of HMAC-SHA256")
        key = self._keys.verifying(found[1])
        if key is None:
            raise UnknownKey("the token names a key that is not, or no longer, ours; log in again")
        try:
            return _JWS.decode(token, key, algorithms=[ALGORITHM])  # type: ignore[no-any-return]
        except jwt.InvalidSignatureError:
            raise BadSignature("the signature does not fit; somebody made or changed the token") from None
        except jwt.PyJWTError:
            # Not chained, here and below: the library's errors may hold parts of the token.
            raise TokenMalformed("not a signed token") from None

    def _header(self, segment: str) -> tuple[str, str]:
        header = _object(_decoded(segment))
        if header.get("alg") != ALGORITHM:
            raise BadSignature(f"not signed with {ALGORITHM}")
        if unknown := header.keys() - _HEADER:
            # jwk, jku, x5u and x5c bring a key along; crit asks for what we do not do.
            raise TokenMalformed(f"{len(unknown)} header parameters that no token of ours has")
        kind, key_id = header.get("typ"), header.get("kid")
        if kind not in _TYPES.values():
            raise TokenMalformed("the header names another type of token")
        if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
            raise UnknownKey("the header names no key of ours")
        if len(self._headers) >= MAX_HEADERS:
            self._headers = {}
        self._headers[segment] = (str(kind), key_id)
        return str(kind), key_id

    def _check(self, claims: Claims) -> None:
        for name in _REQUIRED:
            if name not in claims:
                raise MissingClaim(name)
        for name in _TEXTS:
            if type(claims[name]) is not str:
                raise TokenMalformed(f"the claim {name} is no text")
        for name in _TIMES:
            # 1e400 is JSON, and infinite: a token that never ends.
            if type(claims[name]) not in (int, float) or not 0 <= claims[name] <= MAX_TIME:
                raise TokenMalformed(f"the claim {name} is no time")
        if claims["iss"] != self._issuer:
            raise WrongIssuer("the token was made by another issuer")
        if claims["aud"] != self._audience:
            raise WrongAudience("the token was made for another audience")

    def _check_times(self, claims: Claims, *, expired: bool) -> None:
        now = self._clock()
        if max(claims["nbf"], claims["iat"]) > now + self._leeway_s:
            raise TokenNotYetValid("the token is from the future; compare the clocks of your hosts")
        if not expired and now >= claims["exp"]:
            raise TokenExpired("the token's time is over; refresh it or log in again")


def _decoded(segment: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        raise TokenMalformed("a part of the token is not base64url") from None


def _object(data: bytes) -> Claims:
    try:
        found = json.loads(data, object_pairs_hook=_unique, parse_constant=_no_number)
    except TokenMalformed:
        raise
    except (ValueError, RecursionError):
        raise TokenMalformed("a part of the token is no JSON") from None
    if not isinstance(found, dict):
        raise TokenMalformed("a part of the token is no JSON object")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # Parsers differ in which of two they take: RFC 7519 section 4.
        raise TokenMalformed("a member of the token's JSON stands there twice")
    return found


def _no_number(_name: str) -> NoReturn:
    raise TokenMalformed("a number of the token is not finite")
