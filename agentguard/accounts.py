"""Roles and sessions joined to the audit log: each change is on disk before it holds, and no refusal goes unrecorded.

``access`` knows no log: it calls what is handed in. Here is what that is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from agentguard.access import (
    AccessRecord,
    FixedKeys,
    SessionManager,
    SessionRecord,
    SessionStore,
    SigningKeys,
    StoredKeys,
    rewrap_signing_keys,
)
from agentguard.audit import AuditEventType, AuditLog, EventLogger, RotationReport
from agentguard.audit import rotate_kek as rotate_log_kek
from agentguard.errors import ConfigError
from agentguard.keys import KeyFile, KeySource, MasterPassword, home_keys, next_path
from agentguard.store import Home

__all__ = ["AccessLog", "SecureSessionManager", "rotate_kek"]

# What was refused, by the permission that was missing; other permissions are alerts.
_REFUSED = {
    "read_data": AuditEventType.DATA_ACCESS,
    "view_logs": AuditEventType.DATA_ACCESS,
    "write_data": AuditEventType.DATA_MODIFY,
    "execute_agent": AuditEventType.AGENT_EXECUTE,
}


_SESSIONS = {
    "login": AuditEventType.LOGIN,
    "logout": AuditEventType.LOGOUT,
    "refresh-reused": AuditEventType.SECURITY_ALERT,
    "rotate-keys": AuditEventType.PERMISSION_CHANGE,
}


class AccessLog:
    """Writes what role and session managers report into a log: ``RBACManager(home=home, record=AccessLog(log))``.

    Changes are PERMISSION_CHANGE, LOGIN and LOGOUT, on disk when the call returns. Denials are refusals of the kind of
    access that was asked for; the same one again within a second is counted.

    Args:
        log: an open log; it is not closed here.
    """

    def __init__(self, log: AuditLog) -> None:
        self._events = EventLogger(log=log)

    def __call__(self, record: AccessRecord | SessionRecord) -> None:
        """Record one change or denial.

        Raises:
            WriteError: it was not stored, so the change must not happen.
        """
        if isinstance(record, SessionRecord):
            self._record_session(record)
        else:
            self._record_access(record)

    def _record_session(self, record: SessionRecord) -> None:
        optional = {"session": record.session_id, "detail": record.detail, "by": record.by}
        details: dict[str, object] = {"action": record.action, "sessions": record.count}
        details.update({name: value for name, value in optional.items() if value})
        if record.action == "refused":
            self._events.log_refusal(
                AuditEventType.LOGIN, record.user_id, details, reason=record.detail, rules=("session",)
            )
        else:
            alert = record.action == "refresh-reused"
            self._events.log_event(_SESSIONS[record.action], record.user_id, details, success=not alert)

    def _record_access(self, record: AccessRecord) -> None:
        details: dict[str, object] = {"action": record.action, "kind": record.kind, "by": record.by}
        optional = {"tenant": record.tenant, "resource": record.resource, "reason": record.reason}
        details.update({name: value for name, value in optional.items() if value})
        if record.action == "rate-limited":
            self._events.log_refusal(
                AuditEventType.SECURITY_ALERT,
                record.subject,
                details,
                reason="rate-limited",
                rules=(record.detail,),
            )
            return
        if record.action in ("deny", "shadow-deny"):
            self._events.log_refusal(
                _REFUSED.get(record.detail, AuditEventType.SECURITY_ALERT),
                record.subject,
                {**details, "permission": record.detail},
                reason="permission-missing" if record.action == "deny" else "permission-missing-in-shadow",
                rules=(f"permission.{record.detail}",),
            )
            return
        self._events.log_event(AuditEventType.PERMISSION_CHANGE, record.subject, {**details, "role": record.detail})


class SecureSessionManager(SessionManager):
    """Sessions of a home: tokens outlive restarts and work in every worker, and each login and logout is in its log.

    Args:
        secret_key: signs in place of the home's own keys: 32 random bytes or more. When absent the keys are made,
            kept in the home, wrapped under its key encryption key, and changed by ``rotate_keys``.
        home: the project's folder; made when absent, as ``agentguard init`` makes it.
        log: an open audit log to write to, shared with a guard; the home's, opened at the first record, when absent.
        keys: gives the key encryption key instead of the home's.
        previous_keys: secrets that verify still, after ``secret_key`` was changed.
        strict: read the state at every check; else a revocation by another process holds within a second.
        issuer, audience, idle_minutes, absolute_minutes, leeway_seconds, max_sessions_per_user, clock: as
            ``SessionManager``.

    Raises:
        ConfigError: a weak secret, or a number out of range.
        StoreError: the home cannot be used.
    """

    def __init__(
        self,
        secret_key: str | bytes | None = None,
        *,
        home: Home | Path | str = ".agentguard",
        log: AuditLog | None = None,
        keys: KeySource | None = None,
        previous_keys: Iterable[str | bytes] = (),
        issuer: str = "agentguard",
        audience: str = "agentguard",
        idle_minutes: float = 30,
        absolute_minutes: float = 720,
        leeway_seconds: float = 10,
        max_sessions_per_user: int = 100,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        previous = tuple(previous_keys)
        if previous and secret_key is None:
            raise ConfigError("previous_keys go with a secret_key; the home keeps its older keys by itself")
        fixed = FixedKeys(secret_key, previous) if secret_key is not None else None
        found = home if isinstance(home, Home) else Home.create(home)
        self._given_log = log
        self._own_log: AuditLog | None = None
        self._log_keys = keys
        self._opening = threading.Lock()
        self._home = found
        ring: SigningKeys = fixed or StoredKeys(
            found, keys or home_keys(found), overlap_s=absolute_minutes * 60, strict=strict, clock=clock
        )
        super().__init__(
            ring,
            SessionStore(found, strict=strict),
            record=self._written,
            issuer=issuer,
            audience=audience,
            idle_minutes=idle_minutes,
            absolute_minutes=absolute_minutes,
            leeway_seconds=leeway_seconds,
            max_sessions_per_user=max_sessions_per_user,
            clock=clock,
        )

    def close(self) -> None:
        """Close the database, and the log unless it was handed in. A later use opens them again."""
        super().close()
        with self._opening:
            if self._own_log is not None:
                self._own_log.close()
                self._own_log = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _written(self, record: SessionRecord) -> None:
        with self._opening:
            log = self._given_log or self._own_log
            if log is None:
                log = self._own_log = AuditLog.open(self._home, keys=self._log_keys)
        AccessLog(log)(record)


def rotate_kek(home: Home, *, password: str | None = None, new_password: str | None = None) -> RotationReport:
    """Give the home a new key encryption key: the log's keys and those of the sessions are wrapped anew.

    Interrupted, it is run again. Arguments and errors as ``agentguard.audit.rotate_kek``.
    """

    def also(step: str) -> None:
        # Both keys exist now: the log opens with either, and the new one is not in the old one's place yet.
        if step == "re-wrapped":
            rewrap_signing_keys(home, home_keys(home, password=password), _following(home, new_password))

    return rotate_log_kek(home, password=password, new_password=new_password, step=also)


def _following(home: Home, new_password: str | None) -> KeySource:
    if new_password is None:
        return KeyFile(next_path(home.key_path))
    return MasterPassword(new_password, next_path(home.password_path))
