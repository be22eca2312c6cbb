"""Alerts in the state database: grouped, acknowledged, kept as history; and the outbox of what is still to be told.

One row is one group: a subject and a kind of anomaly, for as long as it goes on. Another occurrence raises its count,
and its severity when that is higher; people are told again only then. A group that was quiet for ``QUIET_S`` is
closed by the next occurrence, which opens another. The outbox row of every channel is written in the transaction of
the alert, so that what is undelivered survives a restart; what finds no room in it is counted in the alert's row.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agentguard.event import Json
from agentguard.store import begin_immediate, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData

__all__ = ["SEVERITIES", "Alert", "AlertBook", "Message", "Parcel"]

SEVERITIES = ("medium", "high", "critical")
# A kind of anomaly that has not shown for so long has ended.
QUIET_S = 6 * 3600.0
# Alerts that may wait to be delivered on one channel: a receiver that is away for a week fills no disk.
MAX_WAITING = 1_000
# Groups kept as history; the oldest acknowledged ones go first.
MAX_HISTORY = 100_000


@dataclass(frozen=True, slots=True)
class Message:
    """What an alert says; every text in it has been through the redactor."""

    subject: str
    kind: str
    severity: str
    text: str
    details: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Alert:
    """One group. Times are seconds since 1970; ``dropped`` counts deliveries that found no room."""

    id: str
    subject: str
    kind: str
    severity: str
    text: str
    details: dict[str, Json]
    count: int
    first_at: float
    last_at: float
    acked_at: float | None
    acked_by: str
    normal: bool
    dropped: int

    def as_json(self) -> dict[str, Json]:
        """The alert for machines, times in ISO 8601."""
        return {
            "id": self.id,
            "subject": self.subject,
            "kind": self.kind,
            "severity": self.severity,
            "text": self.text,
            "count": self.count,
            "first": _iso(self.first_at),
            "last": _iso(self.last_at),
            "acknowledged": _iso(self.acked_at) if self.acked_at is not None else None,
            "acknowledged_by": self.acked_by or None,
            "details": self.details,
        }


@dataclass(frozen=True, slots=True)
class Parcel:
    """An alert that one channel has to deliver, claimed by one process."""

    id: str
    channel: str
    attempts: int
    alert: Alert


class AlertBook:
    """The alerts of one home. Thread-safe; processes share it.

    Args:
        engine: opens the database whose schema ``define`` is part of; called once.
        channels: names of the channels that every alert is delivered on.
        clock: seconds since 1970.
    """

    def __init__(
        self, engine: Callable[[], Engine], *, channels: Sequence[str] = (), clock: Callable[[], float] = time.time
    ) -> None:
        self._open = engine
        self._channels = tuple(channels)
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: Engine | None = None

    @staticmethod
    def define(metadata: MetaData) -> None:
        """Add the tables to the schema of the state database."""
        from sqlalchemy import Boolean, Column, Float, Integer, String, Table, Text

        Table(
            "alert",
            metadata,
            Column("id", String(32), primary_key=True),
            Column("subject", String(512), nullable=False, index=True),
            Column("kind", String(32), nullable=False),
            Column("severity", Integer, nullable=False),
            Column("text", Text, nullable=False),
            Column("details", Text, nullable=False),
            Column("count", Integer, nullable=False),
            Column("first_at", Float, nullable=False),
            Column("last_at", Float, nullable=False, index=True),
            Column("acked_at", Float),
            Column("acked_by", String(128), nullable=False),
            Column("normal", Boolean, nullable=False),
            Column("dropped", Integer, nullable=False),
        )
        Table(
            "alert_outbox",
            metadata,
            Column("id", String(32), primary_key=True),
            Column("alert", String(32), nullable=False, index=True),
            Column("channel", String(200), nullable=False),
            Column("attempts", Integer, nullable=False),
            Column("next_at", Float, nullable=False, index=True),
            Column("error", String(200), nullable=False),
        )

    def note(self, message: Message, *, at: float) -> tuple[Alert, bool]:
        """Add an occurrence; True when people are told: a new group, or a higher severity of one.

        Raises:
            StoreError: the database cannot be used.
        """
        from sqlalchemy import text

        rank = SEVERITIES.index(message.severity)
        values = {"subject": message.subject, "kind": message.kind, "since": at - QUIET_S}
        with self._changing() as connection:
            found = connection.execute(
                text(
                    f"SELECT {_COLUMNS} FROM alert WHERE subject = :subject AND kind = :kind "  # noqa: S608
                    "AND last_at >= :since ORDER BY last_at DESC LIMIT 1"
                ),
                values,
            ).one_or_none()
            if found is None:
                alert_id, told = secrets.token_hex(16), True
                connection.execute(text(_INSERT), _row(alert_id, message, rank, at))
                self._trim(connection)
            else:
                alert_id, told = found.id, rank > found.severity
                connection.execute(
                    text(_UPDATE if told else _COUNT),
                    {**_row(alert_id, message, rank, at), "last_at": max(at, found.last_at)},
                )
            if told:
                self._post(connection, alert_id)
            row = connection.execute(text(f"SELECT {_COLUMNS} FROM alert WHERE id = :id"), {"id": alert_id}).one()  # noqa: S608
        return _alert(row), told

    def list(self, *, unacknowledged: bool = False, since: float = 0.0, limit: int = 1_000) -> list[Alert]:
        """Alerts, newest first.

        Raises:
            StoreError: the database cannot be used.
        """
        from sqlalchemy import text

        only = "AND acked_at IS NULL " if unacknowledged else ""
        with storage_errors(self._engine), self._engine.begin() as connection:
            rows = connection.execute(
                text(
                    f"SELECT {_COLUMNS} FROM alert WHERE last_at >= :since {only}"  # noqa: S608
                    "ORDER BY last_at DESC, id LIMIT :limit"
                ),
                {"since": since, "limit": limit},
            ).all()
        return [_alert(row) for row in rows]

    def acknowledge(self, alert_id: str, *, by: str, normal: bool = False) -> bool:
        """Take an alert as seen; False when there is none. ``normal``: what it shows is usual from now on.

        Raises:
            StoreError: the database cannot be used.
        """
        from sqlalchemy import text

        with self._changing() as connection:
            done = connection.execute(
                text(
                    "UPDATE alert SET acked_at = COALESCE(acked_at, :now), acked_by = :by, normal = normal OR :normal "
                    "WHERE id = :id"
                ),
                {"now": self._clock(), "by": by[:128], "normal": normal, "id": alert_id},
            )
            connection.execute(text("DELETE FROM alert_outbox WHERE alert = :id"), {"id": alert_id})
        return done.rowcount > 0

    def accepted(self, subject: str, kind: str, *, since: float) -> bool:
        """Whether a person said after ``since`` that such an anomaly of this subject is normal."""
        from sqlalchemy import text

        with storage_errors(self._engine), self._engine.begin() as connection:
            found = connection.execute(
                text(
                    "SELECT 1 FROM alert WHERE subject = :subject AND kind = :kind AND normal AND acked_at >= :since "
                    "LIMIT 1"
                ),
                {"subject": subject, "kind": kind, "since": since},
            ).first()
        return found is not None

    # -- the outbox -----------------------------------------------------------------------------------------------

    def claim(self, channel: str, *, lease_s: float) -> Parcel | None:
        """The next alert to deliver on a channel. Nobody else gets it until the lease ends.

        Raises:
            StoreError: the database cannot be used.
        """
        from sqlalchemy import text

        now = self._clock()
        with self._changing() as connection:
            found = connection.execute(
                text(
                    "SELECT id, alert, attempts FROM alert_outbox WHERE channel = :channel AND next_at <= :now "
                    "ORDER BY next_at LIMIT 1"
                ),
                {"channel": channel, "now": now},
            ).one_or_none()
            if found is None:
                return None
            connection.execute(
                text("UPDATE alert_outbox SET next_at = :until, attempts = attempts + 1 WHERE id = :id"),
                {"until": now + lease_s, "id": found.id},
            )
            row = connection.execute(
                text(f"SELECT {_COLUMNS} FROM alert WHERE id = :id"),  # noqa: S608
                {"id": found.alert},
            ).one()
        return Parcel(found.id, channel, int(found.attempts) + 1, _alert(row))

    def delivered(self, parcel: Parcel) -> None:
        """Strike a parcel out."""
        from sqlalchemy import text

        with self._changing() as connection:
            connection.execute(text("DELETE FROM alert_outbox WHERE id = :id"), {"id": parcel.id})

    def failed(self, parcel: Parcel, *, wait_s: float, error: str) -> None:
        """Try again after ``wait_s`` seconds. The error is kept for people, without any address of ours in it."""
        from sqlalchemy import text

        with self._changing() as connection:
            connection.execute(
                text("UPDATE alert_outbox SET next_at = :next, error = :error WHERE id = :id"),
                {"next": self._clock() + wait_s, "error": error[:200], "id": parcel.id},
            )

    def waiting(self) -> dict[str, int]:
        """How many alerts wait on each channel."""
        from sqlalchemy import text

        with storage_errors(self._engine), self._engine.begin() as connection:
            rows = connection.execute(text("SELECT channel, COUNT(*) FROM alert_outbox GROUP BY channel")).all()
        return {str(channel): int(count) for channel, count in rows}

    def dropped(self) -> int:
        """How many deliveries found no room."""
        from sqlalchemy import text

        with storage_errors(self._engine), self._engine.begin() as connection:
            return int(connection.execute(text("SELECT COALESCE(SUM(dropped), 0) FROM alert")).scalar_one())

    def close(self) -> None:
        """Close the database's connections."""
        with self._lock:
            if self._opened is not None:
                self._opened.dispose()

    def _post(self, connection: Connection, alert_id: str) -> None:
        from sqlalchemy import text

        for channel in self._channels:
            waiting = connection.execute(
                text("SELECT COUNT(*) FROM alert_outbox WHERE channel = :channel"), {"channel": channel}
            ).scalar_one()
            if waiting >= MAX_WAITING:
                connection.execute(text("UPDATE alert SET dropped = dropped + 1 WHERE id = :id"), {"id": alert_id})
                continue
            connection.execute(
                text(
                    "INSERT INTO alert_outbox (id, alert, channel, attempts, next_at, error) "
                    "VALUES (:id, :alert, :channel, 0, :now, '')"
                ),
                {"id": secrets.token_hex(16), "alert": alert_id, "channel": channel, "now": self._clock()},
            )

    def _trim(self, connection: Connection) -> None:
        from sqlalchemy import text

        excess = connection.execute(text("SELECT COUNT(*) FROM alert")).scalar_one() - MAX_HISTORY
        if excess > 0:
            oldest = "SELECT id FROM alert ORDER BY CASE WHEN acked_at IS NULL THEN 1 ELSE 0 END, last_at LIMIT :excess"
            for statement in (
                f"DELETE FROM alert_outbox WHERE alert IN ({oldest})",  # noqa: S608
                f"DELETE FROM alert WHERE id IN ({oldest})",  # noqa: S608
            ):
                connection.execute(text(statement), {"excess": excess})

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        engine = self._engine
        with storage_errors(engine), begin_immediate(engine) as connection:
            yield connection

    @property
    def _engine(self) -> Engine:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened


_COLUMNS = "id, subject, kind, severity, text, details, count, first_at, last_at, acked_at, acked_by, normal, dropped"
_INSERT = (
    f"INSERT INTO alert ({_COLUMNS}) VALUES (:id, :subject, :kind, :severity, :text, :details, 1, :at, :at, "  # noqa: S608
    "NULL, '', :normal, 0)"
)
_COUNT = "UPDATE alert SET count = count + 1, last_at = :last_at WHERE id = :id"
# What is more severe than what somebody acknowledged is not acknowledged.
_UPDATE = (
    "UPDATE alert SET count = count + 1, last_at = :last_at, severity = :severity, text = :text, details = :details, "
    "acked_at = NULL, normal = :normal WHERE id = :id"
)


def _row(alert_id: str, message: Message, rank: int, at: float) -> dict[str, object]:
    return {
        "id": alert_id,
        "subject": message.subject,
        "kind": message.kind,
        "severity": rank,
        "text": message.text,
        "details": json.dumps(message.details),
        "at": at,
        "normal": False,
    }


def _alert(row: object) -> Alert:
    found = row._mapping  # type: ignore[attr-defined]  # a SQLAlchemy row
    return Alert(
        id=found["id"],
        subject=found["subject"],
        kind=found["kind"],
        severity=SEVERITIES[found["severity"]],
        text=found["text"],
        details=json.loads(found["details"]),
        count=int(found["count"]),
        first_at=float(found["first_at"]),
        last_at=float(found["last_at"]),
        acked_at=None if found["acked_at"] is None else float(found["acked_at"]),
        acked_by=found["acked_by"],
        normal=bool(found["normal"]),
        dropped=int(found["dropped"]),
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
