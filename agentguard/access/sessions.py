"""Sessions of users: signed tokens on one side, state in the home's database on the other.

A token is good while its session is: not revoked, not idle too long, not past its end. What the application keeps in a
session stays in the database, encrypted; a token carries names and times only. Refresh tokens are used once: a second
use revokes the session, as one of the two users stole it (RFC 9700 section 4.14.2).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn, TypeAlias

import msgspec

from agentguard.access.assignment import Kind
from agentguard.access.sessionstore import SessionStore, StoredSession
from agentguard.access.signing import SigningKeys
from agentguard.access.token import TokenCodec, TokenKind
from agentguard.conversation import current_conversation
from agentguard.errors import (
    ConfigError,
    DecryptError,
    RefreshReused,
    SessionError,
    SessionIdle,
    SessionRevoked,
    SessionUnknown,
    TokenExpired,
)
from agentguard.event import Json, Principal, json_copy

__all__ = ["Session", "SessionManager", "SessionRecord", "SessionTokens"]

Action: TypeAlias = Literal["login", "logout", "refresh-reused", "refused", "rotate-keys"]

MAX_DATA_BYTES = 64 * 1024
MAX_ID_CHARS = 256
MAX_ROLES = 64
# What a session's last use may lag behind, so that not every use is a write; never more than a tenth of what may idle.
TOUCH_S = 60.0

_KINDS = ("user", "agent", "service")


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What happened to sessions, for the audit log. ``session_id`` is None where it is about several."""

    action: Action
    user_id: str
    session_id: str | None = None
    detail: str = ""
    count: int = 1
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A live session. Times are seconds since 1970; ``expires_at`` is its end, whatever its tokens say."""

    id: str
    user_id: str
    kind: Kind
    tenant: str | None
    roles: tuple[str, ...]
    created_at: float
    seen_at: float
    expires_at: float
    _data: bytes = field(repr=False)

    @property
    def data(self) -> dict[str, Json]:
        """What the application keeps in it: a fresh copy each time."""
        found: dict[str, Json] = msgspec.json.decode(self._data)
        return found

    @property
    def principal(self) -> Principal:
        """Who acts in it, for ``guard.conversation(session.principal, prompt)``."""
        return Principal(self.user_id, self.kind, self.roles, session=self.id, tenant=self.tenant)


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """The tokens of a session. ``refresh`` is for one use, against the next pair."""

    session_id: str
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int


class SessionManager:
    """Opens, checks, refreshes and revokes sessions. Thread-safe; any number of processes share a store.

    Args:
        keys: sign the tokens.
        store: keeps the sessions.
        record: called inside every change, and with every refusal; when it raises, the change does not happen.
        issuer, audience: stand in every token and are compared exactly.
        idle_minutes: a session that nobody used for so long is over. Its last use may be known a tenth too early.
        absolute_minutes: no session lives longer, however often it is refreshed.
        leeway_seconds: how far another host's clock may be ahead.
        max_sessions_per_user: one more ends the oldest.
        clock: seconds since 1970.

    Raises:
        ConfigError: a number out of range, an empty issuer or audience.
    """

    def __init__(
        self,
        keys: SigningKeys,
        store: SessionStore,
        *,
        record: Callable[[SessionRecord], None],
        issuer: str = "agentguard",
        audience: str = "agentguard",
        idle_minutes: float = 30,
        absolute_minutes: float = 720,
        leeway_seconds: float = 10,
        max_sessions_per_user: int = 100,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not 0 < idle_minutes <= absolute_minutes < float("inf"):
            raise ConfigError(
                f"got idle {idle_minutes}, absolute {absolute_minutes} minutes; need 0 < idle <= absolute"
            )
        if not 0 <= leeway_seconds <= 300 or max_sessions_per_user < 1:
            raise ConfigError("leeway_seconds is 0 to 300, max_sessions_per_user 1 or more")
        for name, value in (("issuer", issuer), ("audience", audience)):
            _check_name(name, value)
        self._keys = keys
        self._store = store
        self._record = record
        self._idle_s = idle_minutes * 60
        self._absolute_s = absolute_minutes * 60
        self._max_sessions = max_sessions_per_user
        self._touch_s = min(TOUCH_S, self._idle_s / 10)
        self._audience = audience
        self._clock = clock
        self._codec = TokenCodec(keys, issuer=issuer, audience=audience, leeway_s=leeway_seconds, clock=clock)

    # -- opening ---------------------------------------------------------------------------------------------------

    def create_session_token(
        self, user_id: str, session_data: Mapping[str, object] | None = None, expires_in_minutes: float = 30
    ) -> str:
        """Open a session that ends with its one token, and return the token.

        Raises:
            ConfigError: an unusable id, data without JSON form or over 64 KiB, a time out of range.
            StoreError, WriteError: it was not stored or not recorded, so there is no session.
        """
        row, claims = self._open(user_id, session_data, minutes=expires_in_minutes, lasting=False)
        return self._codec.make("access", {**claims, "exp": int(row.expires_at)})

    def open_session(
        self,
        user_id: str,
        session_data: Mapping[str, object] | None = None,
        *,
        expires_in_minutes: float = 30,
        kind: Kind = "user",
        roles: Sequence[str] = (),
        tenant: str | None = None,
    ) -> SessionTokens:
        """Open a session that ``refresh`` prolongs, up to ``absolute_minutes``.

        Args:
            expires_in_minutes: the life of one access token.
            roles: what the login vouches for; roles that are assigned are looked up at each check and not needed here.

        Raises:
            ConfigError, StoreError, WriteError: as ``create_session_token``.
        """
        row, claims = self._open(
            user_id, session_data, minutes=expires_in_minutes, lasting=True, kind=kind, roles=roles, tenant=tenant
        )
        return self._tokens(row, claims, expires_in_minutes)

    def refresh(self, refresh_token: str, *, expires_in_minutes: float = 30) -> SessionTokens:
        """Exchange a refresh token for the next pair. Counts as a use of the session.

        Raises:
            RefreshReused: it was used before; the session is revoked.
            SessionError: it is no good; the class says why.
            StoreError, WriteError: nothing was changed.
        """
        seconds = self._life(expires_in_minutes)
        claims = self._read("refresh", refresh_token)
        generation = claims.get("generation")
        now = self._clock()
        row = self._row(claims, fresh=True)
        self._live(row, now)
        if type(generation) is not int or generation > row.generation:
            self._refuse(row.user_id, SessionUnknown("the token is of a session that is not the one kept here"))
        if not self._store.advance(row.id, generation, now):
            row = self._row(claims, fresh=True)
            if row.generation == generation:
                self._live(row, now)
            self._reused(row)
        return self._tokens(row.advanced(now), self._claims(row.id, row.user_id, now), seconds / 60)

    # -- checking --------------------------------------------------------------------------------------------------

    def authenticate(self, token: str) -> Session:
        """The session of a genuine token. Counts as a use of it.

        Raises:
            SessionError: there is none; the class says why. Recorded.
            StoreError: the state cannot be read, so nobody is let in.
        """
        return self._session(self._read("access", token))

    async def aauthenticate(self, token: str) -> Session:
        """As ``authenticate``, without blocking the event loop."""
        return await asyncio.to_thread(self.authenticate, token)

    def validate_session_token(self, token: str) -> tuple[bool, dict[str, Any] | None]:
        """Whether the token is good, and its claims with ``user_id``, ``session_id`` and ``data``; else None.

        ``authenticate`` says why not.

        Raises:
            StoreError: the state cannot be read, so nobody is let in.
        """
        try:
            claims = self._read("access", token)
            session = self._session(claims)
        except SessionError:
            return False, None
        return True, {**claims, "user_id": session.user_id, "data": session.data}

    # -- revoking --------------------------------------------------------------------------------------------------

    def revoke_token(self, token: str) -> bool:
        """Log out: end the session of a token, its refresh tokens included. False when it had ended already.

        A token whose time is over ends its session still.

        Raises:
            SessionError: it is no token of ours.
            StoreError, WriteError: nothing was changed.
        """
        claims = self._read("access", token, expired=True)
        return self._end(claims["session_id"], claims["sub"])

    def revoke_session(self, session_id: str) -> bool:
        """End one session; False when there is none that lives."""
        row = self._store.read(session_id)
        return row is not None and self._end(row.id, row.user_id)

    def revoke_user(self, user_id: str, *, kind: Kind | None = None, tenant: str | None = None) -> int:
        """End every session of a user; how many. Those of a kind, or in a tenant, when given.

        Raises:
            StoreError, WriteError: nothing was changed.
        """
        return self._store.revoke(
            self._clock(),
            lambda count: self._note("logout", user_id, detail="user-revoked", count=count),
            user_id=user_id,
            kind=kind,
            tenant=tenant,
        )

    def revoke_all(self) -> int:
        """End every session; how many.

        Raises:
            StoreError, WriteError: nothing was changed.
        """
        return self._store.revoke(
            self._clock(), lambda count: self._note("logout", "*", detail="all-revoked", count=count)
        )

    def rotate_keys(self, *, retire: bool = False) -> str:
        """Sign with a new key from now on; return its id. Tokens of the older keys stay good until they end.

        Args:
            retire: an older key may be known to others: its tokens are refused from now on, and all sessions revoked.

        Raises:
            ConfigError: the keys come from a secret of the application.
            StoreError, KeySourceError, WriteError: the home cannot be used.
        """
        self._note("rotate-keys", "*", detail="retired" if retire else "overlapping")
        key_id = self._keys.rotate(retire=retire)
        if retire:
            self.revoke_all()
        return key_id

    def sessions(self, user_id: str | None = None) -> tuple[StoredSession, ...]:
        """The live sessions, newest first: of everybody, or of one user. Without what the application keeps there.

        Raises:
            StoreError: the state cannot be read.
        """
        now = self._clock()
        return tuple(row for row in self._store.all(user_id) if row.problem(now) is None)

    def close(self) -> None:
        """Close the database. A later use opens it again."""
        self._store.close()
        self._keys.close()

    # -- one session -----------------------------------------------------------------------------------------------

    def _open(
        self,
        user_id: str,
        data: Mapping[str, object] | None,
        *,
        minutes: float,
        lasting: bool,
        kind: Kind = "user",
        roles: Sequence[str] = (),
        tenant: str | None = None,
    ) -> tuple[StoredSession, dict[str, object]]:
        seconds = self._life(minutes)
        _check_name("user id", user_id)
        if tenant is not None:
            _check_name("tenant", tenant)
        if kind not in _KINDS:
            raise ConfigError(f"got the kind {str(kind)[:40]!r}; use {', '.join(_KINDS)}")
        now, session_id = self._clock(), secrets.token_hex(16)
        key_id, sealed = self._sealed(session_id, data, roles)
        row = StoredSession(
            id=session_id,
            user_id=user_id,
            kind=kind,
            tenant=tenant,
            created_at=now,
            seen_at=now,
            expires_at=now + (self._absolute_s if lasting else seconds),
            idle_s=self._idle_s,
            generation=0,
            revoked_at=None,
            key_id=key_id,
            sealed=sealed,
        )
        self._store.add(row, self._max_sessions, lambda ended: self._note_login(row, ended))
        return row, self._claims(session_id, user_id, now)

    def _sealed(self, session_id: str, data: Mapping[str, object] | None, roles: Sequence[str]) -> tuple[str, bytes]:
        if isinstance(roles, str) or len(roles) > MAX_ROLES:
            raise ConfigError(f"roles is a list of at most {MAX_ROLES} names")
        for role in roles:
            _check_name("role", role)
        kept = json_copy(dict(data or {}))
        encoded = msgspec.json.encode({"data": kept, "roles": list(roles)})
        if len(encoded) > MAX_DATA_BYTES:
            raise ConfigError(f"session data has {len(encoded)} bytes; {MAX_DATA_BYTES} are accepted")
        key_id, _ = self._keys.signing()
        cipher = self._keys.sealing(key_id)
        if cipher is None:
            raise SessionUnknown("the signing key was retired meanwhile; log in again")
        return key_id, cipher.seal(encoded, associated_data=session_id.encode())

    def _session(self, claims: Mapping[str, Any]) -> Session:
        now = self._clock()
        row = self._row(claims)
        if row.problem(now) is not None:
            # What is remembered may be half a second old: others may have used it since.
            row = self._row(claims, fresh=True)
        self._live(row, now)
        if now - row.seen_at >= self._touch_s and not self._store.touch(row.id, now):
            row = self._row(claims, fresh=True)
            self._live(row, now)
        return self._opened(row)

    def _opened(self, row: StoredSession) -> Session:
        if row.opened is None:
            cipher = self._keys.sealing(row.key_id)
            if cipher is None:
                self._refuse(row.user_id, SessionRevoked("the key of this session was retired; log in again"))
            try:
                kept = msgspec.json.decode(cipher.open(row.sealed, associated_data=row.id.encode()))
            except (DecryptError, msgspec.DecodeError):
                self._refuse(row.user_id, SessionUnknown("the session's state was changed; log in again"))
            row.opened = (tuple(kept["roles"]), msgspec.json.encode(kept["data"]))
        roles, data = row.opened
        return Session(
            row.id, row.user_id, row.kind, row.tenant, roles, row.created_at, row.seen_at, row.expires_at, data
        )

    def _row(self, claims: Mapping[str, Any], *, fresh: bool = False) -> StoredSession:
        row = self._store.read(claims["session_id"]) if fresh else self._store.recall(claims["session_id"])
        if row is None or row.user_id != claims["sub"]:
            self._refuse(claims["sub"], SessionUnknown("there is no such session any more; log in again"))
        return row

    def _live(self, row: StoredSession, now: float) -> None:
        problem = row.problem(now)
        if problem == "revoked":
            self._refuse(row.user_id, SessionRevoked("the session was ended; log in again"))
        if problem == "expired":
            self._refuse(row.user_id, TokenExpired("the session's time is over; log in again"))
        if problem == "idle":
            self._refuse(row.user_id, SessionIdle("the session was not used for too long; log in again"))

    def _tokens(self, row: StoredSession, claims: Mapping[str, object], minutes: float) -> SessionTokens:
        now = self._clock()
        end = int(min(now + self._life(minutes), row.expires_at))
        access = self._codec.make("access", {**claims, "exp": end})
        refresh = {
            **claims,
            "jti": secrets.token_hex(16),
            "exp": int(row.expires_at),
            "generation": row.generation,
        }
        return SessionTokens(row.id, access, self._codec.make("refresh", refresh), max(0, end - int(now)))

    def _claims(self, session_id: str, user_id: str, now: float) -> dict[str, object]:
        issued = int(now)
        return {
            "sub": user_id,
            "jti": secrets.token_hex(16),
            "iat": issued,
            "nbf": issued,
            "session_id": session_id,
        }

    def _life(self, minutes: float) -> float:
        if not 0 < minutes * 60 <= self._absolute_s:
            raise ConfigError(
                f"got {minutes} minutes; above 0 and up to absolute_minutes ({self._absolute_s / 60:g}) are accepted"
            )
        return minutes * 60

    def _end(self, session_id: str, user_id: str) -> bool:
        done = self._store.revoke(
            self._clock(), lambda _count: self._note("logout", user_id, session_id), session_id=session_id
        )
        return done > 0

    def _reused(self, row: StoredSession) -> NoReturn:
        # Revoked, perhaps, by whoever came first with the same token: it was used twice all the same.
        self._store.revoke(
            self._clock(),
            lambda _count: self._note("refresh-reused", row.user_id, row.id),
            session_id=row.id,
        )
        raise RefreshReused("the refresh token was used before; the session is revoked, log in again")

    # -- recording -------------------------------------------------------------------------------------------------

    def _read(self, kind: TokenKind, token: str, *, expired: bool = False) -> dict[str, Any]:
        try:
            return self._codec.read(kind, token, expired=expired)
        except SessionError as error:
            # Whoever sent this said who they are, and proved nothing.
            self._note("refused", "unknown", detail=error.code)
            raise

    def _refuse(self, user_id: str, error: SessionError) -> NoReturn:
        self._note("refused", user_id, detail=error.code)
        raise error

    def _note_login(self, row: StoredSession, ended: Sequence[str]) -> None:
        for session_id in ended:
            self._note("logout", row.user_id, session_id, detail="too-many-sessions")
        self._note("login", row.user_id, row.id)

    def _note(
        self, action: Action, user_id: str, session_id: str | None = None, *, detail: str = "", count: int = 1
    ) -> None:
        run = current_conversation()
        self._record(
            SessionRecord(action, user_id, session_id, detail, count, by=run.principal.id if run is not None else None)
        )


def _check_name(what: str, value: object) -> None:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= MAX_ID_CHARS:
        raise ConfigError(f"got an unusable {what}; 1 to {MAX_ID_CHARS} printable characters are accepted")
