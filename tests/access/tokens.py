"""Sessions for tests: a manager over a home, a clock, and tokens made by hand."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt

from agentguard.access import FixedKeys, SessionManager, SessionRecord, SessionStore, SigningKeys, StoredKeys
from agentguard.keys import KeyFile
from agentguard.store import Home

SECRET = "0123456789abcdef0123456789abcdef-for-tests"


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Desk(SessionManager):
    """A session manager of one home, as one process has it; remembers what it recorded."""

    def __init__(
        self, home: Home, clock: Clock, *, keys: SigningKeys | None = None, strict: bool = True, **settings: Any
    ) -> None:
        self.keys: SigningKeys = keys or StoredKeys(
            home, KeyFile(home.key_path), overlap_s=12 * 3600, strict=strict, clock=clock
        )
        self.store = SessionStore(home, strict=strict)
        self.records: list[SessionRecord] = []
        super().__init__(self.keys, self.store, record=self.records.append, clock=clock, **settings)


def fixed() -> FixedKeys:
    """Keys that a test knows."""
    return FixedKeys(SECRET)


def spelt(part: object) -> str:
    """One part of a token."""
    raw = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def read_header(token: str) -> dict[str, Any]:
    """The header of a token, unverified."""
    return dict(jwt.get_unverified_header(token))


def read_claims(token: str) -> dict[str, Any]:
    """The claims of a token, unverified."""
    return dict(jwt.decode(token, options={"verify_signature": False}))


def signed(header: dict[str, Any], claims: object, key: bytes) -> str:
    """A token with these parts, its signature genuine under ``key``."""
    body = f"{spelt(header)}.{spelt(claims)}"
    mac = jwt.get_algorithm_by_name("HS256").sign(body.encode(), key)
    return f"{body}.{spelt(mac)}"
