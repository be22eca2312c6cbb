"""Published attacks on JSON Web Tokens, one test each; and that no text is taken for a token that is none."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentguard.access import FixedKeys
from agentguard.errors import (
    BadSignature,
    ConfigError,
    MissingClaim,
    SessionError,
    SessionRevoked,
    TokenExpired,
    TokenMalformed,
    TokenNotYetValid,
    TokenOversized,
    UnknownKey,
    WrongAudience,
    WrongIssuer,
)
from agentguard.store import Home
from tests.access.tokens import SECRET, Clock, Desk, fixed, read_claims, read_header, signed, spelt


@pytest.fixture
def clock() -> Clock:
    """A clock under control."""
    return Clock()


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    """A manager whose key the test knows."""
    made = Desk(Home.create(tmp_path / "home"), clock, keys=fixed())
    yield made
    made.close()


@pytest.fixture
def token(desk: Desk) -> str:
    """A good token."""
    made = desk.create_session_token("ann")
    assert desk.authenticate(made).user_id == "ann"
    return made


def key() -> bytes:
    """What the tokens of the tests are signed with."""
    return fixed().signing()[1]


def refused(desk: Desk, token: object) -> SessionError:
    """The error of ``authenticate``; the tuple form agrees; neither shows the token or a key."""
    with pytest.raises(SessionError) as caught:
        desk.authenticate(token)  # type: ignore[arg-type]
    assert desk.validate_session_token(token) == (False, None)  # type: ignore[arg-type]
    told = "".join(traceback.format_exception(caught.value)) + repr(desk.records)
    assert SECRET not in told
    assert key().hex() not in told
    if isinstance(token, str) and len(token) > 60:
        assert token not in told
        assert all(part not in told for part in token.split(".") if len(part) > 20)
    return caught.value


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "", "none ", "HS256 ", "hs256", None, 0, ["HS256"]]
)
@pytest.mark.parametrize("signature", ["", "kept"])
def test_attack_alg_none_in_all_spellings(desk: Desk, token: str, algorithm: object, signature: str) -> None:
    """RFC 8725 section 2.1; CVE-2015-9235."""
    _, payload, mac = token.split(".")
    forged = f"{spelt({**read_header(token), 'alg': algorithm})}.{payload}.{mac if signature else ''}"

    assert isinstance(refused(desk, forged), BadSignature)


def test_attack_no_alg_at_all(desk: Desk, token: str) -> None:
    header = {name: value for name, value in read_header(token).items() if name != "alg"}

    assert isinstance(refused(desk, f"{spelt(header)}.{token.split('.', 1)[1]}"), BadSignature)


def test_attack_signature_removed(desk: Desk, token: str) -> None:
    """CVE-2020-28042: an empty signature of a signed token."""
    assert isinstance(refused(desk, token.rsplit(".", 1)[0] + "."), BadSignature)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256", "EdDSA", "HS384", "HS512"])
def test_attack_key_confusion(desk: Desk, token: str, algorithm: str) -> None:
    """RFC 8725 section 2.1; CVE-2016-5431: another algorithm than ours is never tried, whatever it was signed with."""
    made = {**read_header(token), "alg": algorithm}
    if algorithm == "RS256":
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        forged = jwt.encode(read_claims(token), private, algorithm="RS256", headers=made)
    else:
        forged = signed(made, read_claims(token), key())

    assert isinstance(refused(desk, forged), BadSignature)


def test_attack_public_key_as_hmac_secret(desk: Desk, token: str) -> None:
    """The PEM of a public key is no secret; a token under it is under another key."""
    public = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    assert isinstance(refused(desk, signed(read_header(token), read_claims(token), pem)), BadSignature)


@pytest.mark.parametrize(
    "key_id",
    [
        pytest.param("../../../../dev/null", id="path"),
        pytest.param("/proc/sys/kernel/randomize_va_space", id="absolute-path"),
        pytest.param("' UNION SELECT 'aaaa' -- ", id="sql"),
        pytest.param("x'; DROP TABLE session_key; --", id="sql-drop"),
        pytest.param("$(id)", id="shell"),
        pytest.param("http://attacker.example/key", id="url"),
        pytest.param("0" * 32, id="well-formed-and-unknown"),
        pytest.param("", id="empty"),
        pytest.param("a" * 32 + "\n", id="line-break"),
        pytest.param(None, id="null"),
        pytest.param(7, id="number"),
        pytest.param({"a": 1}, id="object"),
    ],
)
def test_attack_kid_injection(tmp_path: Path, clock: Clock, key_id: object) -> None:
    """RFC 8725 section 3.10, against keys in a database: signed with the key that each trick would yield."""
    stored = Desk(Home.create(tmp_path / "stored"), clock)
    token = stored.create_session_token("ann")
    for secret in (b"", b"aaaa", b"\x00", b"2\n"):
        forged = signed({**read_header(token), "kid": key_id}, read_claims(token), secret or b"\x00" * 32)
        with pytest.raises(UnknownKey):
            stored.authenticate(forged)

    assert stored.authenticate(token).user_id == "ann"
    stored.close()


def test_attack_kid_absent(desk: Desk, token: str) -> None:
    header = {name: value for name, value in read_header(token).items() if name != "kid"}

    assert isinstance(refused(desk, signed(header, read_claims(token), key())), UnknownKey)


@pytest.mark.parametrize(
    "parameter",
    [
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jku": "https://attacker.example/jwks.json"},
        {"x5u": "https://attacker.example/cert.pem"},
        {"x5c": ["MIIB"]},
        {"x5t": "AAAA"},
        {"crit": ["exp"]},
        {"crit": []},
        {"crit": ["b64"], "b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A128GCM"},
    ],
    ids=lambda found: "+".join(found),
)
def test_attack_header_that_brings_a_key_or_a_critical_extension(
    desk: Desk, token: str, parameter: dict[str, Any]
) -> None:
    """CVE-2018-0114 (jwk), jku and x5u redirection, RFC 7515 section 4.1.11 (crit): refused though signed by us."""
    forged = signed({**read_header(token), **parameter}, read_claims(token), key())

    assert isinstance(refused(desk, forged), TokenMalformed)


@pytest.mark.parametrize(
    "secret",
    [
        pytest.param("", id="empty"),
        pytest.param("hunter2", id="short"),
        pytest.param("x" * 31, id="a-byte-too-short"),
        pytest.param("a" * 64, id="one-letter"),
        pytest.param("abc" * 20, id="three-letters"),
        pytest.param(b"\x00" * 32, id="zeros"),
    ],
)
def test_attack_weak_key(secret: str | bytes) -> None:
    """RFC 7518 section 3.2; RFC 8725 section 3.5: guessed offline, so refused at the start. The secret is not shown."""
    with pytest.raises(ConfigError, match="weak") as caught:
        FixedKeys(secret)

    assert not secret or str(secret) not in str(caught.value)
    with pytest.raises(ConfigError, match="weak"):
        FixedKeys(SECRET, previous=[secret])


def test_attack_replay_after_revoke(desk: Desk, token: str) -> None:
    assert desk.revoke_token(token)

    assert isinstance(refused(desk, token), SessionRevoked)
    assert desk.revoke_token(token) is False


@pytest.mark.parametrize(
    ("ahead", "error"),
    [
        pytest.param(0.0, None, id="in-step"),
        pytest.param(9.0, None, id="other-host-a-little-ahead"),
        pytest.param(12.0, TokenNotYetValid, id="beyond-the-leeway"),
        pytest.param(-1799.0, None, id="last-second"),
        pytest.param(-1801.0, TokenExpired, id="no-leeway-for-expiry"),
    ],
)
def test_attack_clock_skew(desk: Desk, clock: Clock, ahead: float, error: type[SessionError] | None) -> None:
    """``ahead``: how far the clock of the host that signed is ahead of the one that checks, in seconds."""
    token = desk.create_session_token("ann")
    clock.now -= ahead

    if error is None:
        assert desk.authenticate(token).user_id == "ann"
    else:
        assert isinstance(refused(desk, token), error)


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_each_time_of_the_future_counts(desk: Desk, clock: Clock, token: str, claim: str) -> None:
    later = {**read_claims(token), claim: clock.now + 60}

    assert isinstance(refused(desk, signed(read_header(token), later, key())), TokenNotYetValid)


@pytest.mark.parametrize("part", ["header", "payload"])
def test_attack_duplicate_member(desk: Desk, token: str, part: str) -> None:
    """RFC 7519 section 4: parsers differ in which they take, so none is."""
    header, payload = json.dumps(read_header(token)), json.dumps(read_claims(token))
    doubled = '{"sub":"admin",' + payload[1:] if part == "payload" else '{"alg":"none",' + header[1:]
    parts = (header, doubled) if part == "payload" else (doubled, payload)
    body = ".".join(spelt(text.encode()) for text in parts)
    mac = spelt(jwt.get_algorithm_by_name("HS256").sign(body.encode(), key()))

    assert isinstance(refused(desk, f"{body}.{mac}"), TokenMalformed)


@pytest.mark.parametrize("size", [4097, 1_000_000])
def test_attack_huge_token(desk: Desk, token: str, size: int) -> None:
    """Refused by its length, unread."""
    assert isinstance(refused(desk, token + "A" * (size - len(token))), TokenOversized)


def test_attack_deeply_nested_payload(desk: Desk, token: str) -> None:
    """No RecursionError gets out."""
    nested = b"[" * 1400 + b"]" * 1400
    body = f"{token.split('.', maxsplit=1)[0]}.{spelt(nested)}"
    mac = spelt(jwt.get_algorithm_by_name("HS256").sign(body.encode(), key()))

    assert isinstance(refused(desk, f"{body}.{mac}"), TokenMalformed)


def test_attack_token_of_another_audience(tmp_path: Path, clock: Clock) -> None:
    """RFC 8725 section 3.9: same home, same keys, another service."""
    home = Home.create(tmp_path / "home")
    shop, bank = Desk(home, clock, audience="shop"), Desk(home, clock, audience="bank")
    token = shop.create_session_token("ann")

    with pytest.raises(WrongAudience):
        bank.authenticate(token)
    assert shop.authenticate(token).user_id == "ann"
    shop.close()
    bank.close()


@pytest.mark.parametrize(
    "audience", [["agentguard"], ["agentguard", "other"], "agentguard ", "Agentguard", "*", "", None, 1]
)
def test_only_exactly_our_audience_counts(desk: Desk, token: str, audience: object) -> None:
    forged = signed(read_header(token), {**read_claims(token), "aud": audience}, key())

    assert isinstance(refused(desk, forged), WrongAudience)


def test_attack_token_of_another_issuer(desk: Desk, token: str) -> None:
    forged = signed(read_header(token), {**read_claims(token), "iss": "agentguard.example"}, key())

    assert isinstance(refused(desk, forged), WrongIssuer)


def test_attack_refresh_token_as_access_token_and_back(desk: Desk) -> None:
    """RFC 8725 section 3.11: explicit types."""
    tokens = desk.open_session("ann")

    assert isinstance(refused(desk, tokens.refresh), TokenMalformed)
    with pytest.raises(TokenMalformed):
        desk.refresh(tokens.access)
    assert isinstance(refused(desk, signed({**read_header(tokens.access), "typ": "JWT"}, {}, key())), TokenMalformed)


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "jti", "iat", "nbf", "exp", "session_id"])
def test_each_required_claim_is_required(desk: Desk, token: str, claim: str) -> None:
    claims = {name: value for name, value in read_claims(token).items() if name != claim}

    error = refused(desk, signed(read_header(token), claims, key()))

    assert isinstance(error, MissingClaim)
    assert error.claim == claim


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("exp", "9999999999"),
        ("exp", True),
        ("exp", None),
        ("exp", -1),
        ("exp", 1e300),
        ("exp", [1]),
        ("nbf", "0"),
        ("iat", {}),
        ("sub", 7),
        ("sub", ["ann"]),
        ("jti", None),
        ("session_id", 1),
    ],
)
def test_claims_of_another_type_are_refused(desk: Desk, token: str, claim: str, value: object) -> None:
    """A text is no time, true is no number."""
    forged = signed(read_header(token), {**read_claims(token), claim: value}, key())

    assert isinstance(refused(desk, forged), TokenMalformed)


@pytest.mark.parametrize("number", ["1e400", "Infinity", "NaN", "-Infinity", "9" * 2000])
def test_attack_endless_expiry(desk: Desk, token: str, number: str) -> None:
    """1e400 is JSON and reads as infinity."""
    payload = json.dumps({**read_claims(token), "exp": 0}).replace('"exp": 0', f'"exp": {number}')
    body = f"{token.split('.', maxsplit=1)[0]}.{spelt(payload.encode())}"
    mac = spelt(jwt.get_algorithm_by_name("HS256").sign(body.encode(), key()))

    assert isinstance(refused(desk, f"{body}.{mac}"), TokenMalformed)


def test_attack_changed_claims(desk: Desk, token: str) -> None:
    header, _, mac = token.split(".")
    changed = spelt({**read_claims(token), "sub": "admin"})

    assert isinstance(refused(desk, f"{header}.{changed}.{mac}"), BadSignature)


def test_a_signature_has_one_spelling(desk: Desk, token: str) -> None:
    """The spare bits of its last digit are no way to a second token of the same session."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = digits[digits.index(token[-1]) ^ 1]

    assert isinstance(refused(desk, token[:-1] + other), BadSignature)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda t: t + "=", id="padded"),
        pytest.param(lambda t: t + "\n", id="line-break"),
        pytest.param(lambda t: " " + t, id="space"),
        pytest.param(lambda t: "Bearer " + t, id="scheme"),
        pytest.param(lambda t: t.replace(".", "..", 1), id="empty-part"),
        pytest.param(lambda t: t + ".x", id="four-parts"),
        pytest.param(lambda t: t + ".a.b", id="jwe"),
        pytest.param(lambda t: t.split(".")[0], id="one-part"),
        pytest.param(lambda t: t.replace(".", "\u2024"), id="look-alike-dots"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda _: "..", id="dots"),
        pytest.param(lambda t: t.encode(), id="bytes"),
        pytest.param(lambda _: None, id="none"),
        pytest.param(lambda t: [t], id="list"),
        pytest.param(lambda t: json.dumps({"protected": t.split(".")[0], "payload": "", "signature": ""}), id="json"),
    ],
)
def test_other_forms_are_refused(desk: Desk, token: str, change: Callable[[str], object]) -> None:
    assert isinstance(refused(desk, change(token)), TokenMalformed)


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b'"ann"', b"{", b"\xff\xfe", b'{"a":1}x'])
def test_payloads_that_are_no_object_are_refused(desk: Desk, token: str, payload: bytes) -> None:
    body = f"{token.split('.', maxsplit=1)[0]}.{spelt(payload)}"
    mac = spelt(jwt.get_algorithm_by_name("HS256").sign(body.encode(), key()))

    assert isinstance(refused(desk, f"{body}.{mac}"), TokenMalformed)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,50}"))
def test_no_text_raises_anything_else(desk: Desk, text: str) -> None:
    with pytest.raises(SessionError):
        desk.authenticate(text)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_character_is_caught(desk: Desk, token: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCabc019-_.=").filter(lambda c: c != token[place]))

    with pytest.raises(SessionError):
        desk.authenticate(token[:place] + other + token[place + 1 :])
