"""Application events in the audit log: who logged in, read, changed or was refused what.

Free-form details are cleaned before they are written: fields with a telling name are removed, every text at any depth
goes through the redactor that is handed in, and what is too long is replaced by its length and digest. The caller's
objects are never touched. When the redactor fails the details are dropped, never the event.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import enum
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from agentguard.audit.log import AuditLog
from agentguard.audit.record import digest
from agentguard.errors import ConfigError
from agentguard.event import Json, json_copy
from agentguard.keys import KeySource
from agentguard.store import Home

__all__ = ["AuditEventType", "EventLogger", "current_address", "request_context"]

MAX_FIELD_BYTES = 8 * 1024
MAX_DETAILS_BYTES = 64 * 1024

REMOVED = "[redacted:field-name]"
# Compared without case, dashes and underscores; a name counts when it contains one of these.
_SECRET_NAME = re.compile(
    "password|passwd|passphrase|secret|token|apikey|accesskey|privatekey|credential|authorization|cookie|sessionkey"
)


class AuditEventType(enum.Enum):
    """Kinds of application event."""

    LOGIN = "login"
    LOGOUT = "logout"
    DATA_ACCESS = "data_access"
    DATA_MODIFY = "data_modify"
    AGENT_EXECUTE = "agent_execute"
    PERMISSION_CHANGE = "permission_change"
    SECURITY_ALERT = "security_alert"


@dataclass(frozen=True, slots=True)
class _Request:
    ip_address: str | None = None
    session_id: str | None = None


_NO_REQUEST = _Request()
_request: contextvars.ContextVar[_Request] = contextvars.ContextVar("agentguard_audit_request", default=_NO_REQUEST)


@contextmanager
def request_context(*, ip_address: str | None = None, session_id: str | None = None) -> Iterator[None]:
    """Name the peer of the current thread or task; events recorded inside carry it. Absent means null."""
    token = _request.set(_Request(ip_address, session_id))
    try:
        yield
    finally:
        _request.reset(token)


def current_address() -> str | None:
    """The peer's address that ``request_context`` named for this thread or task."""
    return _request.get().ip_address


class EventLogger:
    """Records application events in an encrypted, tamper-evident log.

    Args:
        log_file: the database; its key is kept in ``<log_file>.home/``, mode 0700. Both are made when absent.
        log: an open log to write to instead, shared with a guard; it is not closed by this logger.
        keys: gives the key encryption key instead of the key file.
        redact: cleans one text; called in the caller's thread for every text in the details, keys included.

    Raises:
        StoreError: the file or its folder cannot be used.
        KeySourceError: the key is missing or another one.
    """

    # What cleans texts when nothing was handed in. Detection lies above this package and sets it in a subclass.
    default_redact: Callable[[str], str] = staticmethod(str)

    def __init__(
        self,
        log_file: Path | str = "security_audit.db",
        *,
        log: AuditLog | None = None,
        keys: KeySource | None = None,
        redact: Callable[[str], str] | None = None,
    ) -> None:
        self._owned = log is None
        self._log = log if log is not None else AuditLog.open(Home.beside(log_file), keys=keys)
        self._redact = redact or self.default_redact

    def log_event(
        self, event_type: AuditEventType, user_id: str, details: Mapping[str, object], success: bool = True
    ) -> None:
        """Record an event; returns once it is on disk, except for a successful DATA_ACCESS, which is queued.

        Raises:
            WriteError: the event was not stored: what it should have recorded must not happen.
        """
        pending, durable = self._append(event_type, user_id, details, success)
        if durable:
            pending.result()

    async def alog_event(
        self, event_type: AuditEventType, user_id: str, details: Mapping[str, object], success: bool = True
    ) -> None:
        """As ``log_event``, without blocking the event loop."""
        pending, durable = await asyncio.to_thread(self._append, event_type, user_id, details, success)
        if durable:
            await asyncio.wrap_future(pending)

    def query_logs(
        self,
        filters: Mapping[str, object] | None = None,
        start_time: datetime.datetime | None = None,
        end_time: datetime.datetime | None = None,
    ) -> list[dict[str, Json]]:
        """Events of a time range, ends included, in which every filter's field is present and equal.

        Raises:
            ConfigError: a time without a zone.
            TamperError: the log does not open.
        """
        self._log.flush()
        wanted = {name: _plain(value) for name, value in (filters or {}).items()}
        where = {name: value for name, value in wanted.items() if name in _INDEXED and isinstance(value, str)}
        end = end_time + datetime.timedelta(microseconds=1) if end_time is not None else None
        found = self._log.query(
            start=start_time, end=end, where={"type": "application", **where}, predicate=_equals(wanted)
        )
        return [_event(record.data) for record in found]

    def close(self) -> None:
        """Close the log, unless it was handed in."""
        if self._owned:
            self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(
        self, event_type: AuditEventType, user_id: str, details: Mapping[str, object], success: bool
    ) -> tuple[Future[int], bool]:
        event_type = AuditEventType(event_type)
        request = _request.get()
        record: dict[str, Json] = {
            "type": "application",
            "event_type": event_type.value,
            "user_id": str(user_id),
            "success": bool(success),
            "ip_address": request.ip_address,
            "session_id": request.session_id,
            "details": self._cleaned(details),
        }
        durable = not success or event_type is not AuditEventType.DATA_ACCESS
        return self._log.append(record, durable=durable), durable

    def _cleaned(self, details: Mapping[str, object]) -> Json:
        try:
            cleaned = self._clean(json_copy(details))
        except Exception as error:  # noqa: BLE001  # whatever the redactor or the values raise: the event is kept
            return {"dropped": type(error).__name__}
        return _capped(cleaned, MAX_DETAILS_BYTES)

    def _clean(self, value: Json) -> Json:
        if isinstance(value, str):
            return _capped(self._redact(value), MAX_FIELD_BYTES)
        if isinstance(value, list):
            return [self._clean(item) for item in value]
        if isinstance(value, dict):
            return {
                self._redact(key): REMOVED if _holds_secret(key, item) else self._clean(item)
                for key, item in value.items()
            }
        return value


_INDEXED = ("event_type", "user_id")


def _holds_secret(key: str, value: Json) -> bool:
    name = re.sub(r"[\W_]", "", key).lower()
    # ``tokens: 512`` counts; ``tokens: ["..."]`` does not.
    is_count = name.endswith("tokens") and isinstance(value, int | float)
    return not is_count and _SECRET_NAME.search(name) is not None


def _capped(value: Json, limit: int) -> Json:
    sha256, length, _ = digest(value)
    return value if length <= limit else {"omitted": "too long", "length": length, "sha256": sha256}


def _plain(value: object) -> Json:
    try:
        return json_copy(value)
    except ConfigError as error:
        raise ConfigError("a filter's value has no JSON form; pass text, numbers or an AuditEventType") from error


def _equals(wanted: Mapping[str, Json]) -> Callable[[dict[str, Json]], bool]:
    def matches(data: dict[str, Json]) -> bool:
        event = _event(data)
        # None is what an absent value looks like: it equals nothing.
        return all(event.get(name) is not None and event[name] == value for name, value in wanted.items())

    return matches


def _event(data: Mapping[str, Json]) -> dict[str, Json]:
    names = ("event_id", "event_type", "user_id", "success", "ip_address", "session_id", "details")
    return {"timestamp": data.get("time"), **{name: data.get(name) for name in names}}
