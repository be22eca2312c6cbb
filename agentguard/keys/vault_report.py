"""What may be told of an API key without opening it: versions, age, expiry."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from agentguard.keys.vault_state import Head

__all__ = ["KeyReport"]


@dataclass(frozen=True, slots=True)
class KeyReport:
    """The state of one API key.

    ``versions`` can be read; ``age`` is that of the current one; ``due`` says that it is older than was asked for.
    """

    service: str
    version: int
    versions: tuple[int, ...]
    created_at: datetime.datetime
    age: datetime.timedelta
    expires_at: datetime.datetime | None
    expired: bool
    due: bool

    @classmethod
    def of(cls, head: Head, *, now: float, max_age: datetime.timedelta) -> KeyReport:
        """What a head says at this moment (seconds since 1970)."""
        current = head.version(head.current)
        age = datetime.timedelta(seconds=max(0.0, now - current.created_at))
        readable = (version.number for version in head.versions if version.kept(now))
        return cls(
            service=head.service,
            version=head.current,
            versions=tuple(readable),
            created_at=_moment(current.created_at),
            age=age,
            expires_at=None if current.expires_at is None else _moment(current.expires_at),
            expired=current.expires_at is not None and current.expires_at <= now,
            due=age > max_age,
        )


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
