"""The ``Response`` stage and the risk states it reads: what monitoring answers to an anomaly.

A risk state belongs to one principal and lies in the state database, so that it holds for every process and across
restarts. Monitoring sets it; this stage alone reads it. ``suspended`` denies every event, ``ask`` sends tool calls to a
person, ``slow`` lets one call through in so many seconds. A state ends by itself at its expiry, or is lifted by a
person. A state that cannot be read is a deny, like every failure of a stage.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from agentguard.access.ratelimit import principal_key
from agentguard.access.rbac import delegation
from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Verdict
from agentguard.errors import ConfigError
from agentguard.event import Event, Principal, ToolCall
from agentguard.store import storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table

__all__ = ["Response", "Risk", "RiskLevel", "RiskStates", "risk_key"]

RiskLevel = Literal["slow", "ask", "suspended"]
_ORDER: dict[str, int] = {"slow": 0, "ask": 1, "suspended": 2}

# A change made by another process holds here within so many seconds.
REFRESH_S = 1.0
# Seconds between two calls of a principal that is slowed down.
SLOW_S = 10.0


@dataclass(frozen=True, slots=True)
class Risk:
    """One principal's state. Times are seconds since 1970; ``alert`` names the alert that led to it."""

    principal: str
    level: RiskLevel
    since: float
    until: float
    alert: str = ""


class RiskStates:
    """The risk states of one home. Thread-safe.

    Args:
        engine: opens the database whose schema ``define`` is part of; called once.
        clock: seconds since 1970.
    """

    def __init__(self, engine: Callable[[], Engine], *, clock: Callable[[], float] = time.time) -> None:
        self._open = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: Engine | None = None
        self._cached: dict[str, Risk] = {}
        self._fresh_until = float("-inf")

    @staticmethod
    def define(metadata: MetaData) -> Table:
        """Add the table to the schema of the state database."""
        from sqlalchemy import Column, Float, Integer, String, Table

        return Table(
            "risk",
            metadata,
            Column("principal", String(512), primary_key=True),
            Column("level", String(16), nullable=False),
            Column("rank", Integer, nullable=False),
            Column("since", Float, nullable=False),
            Column("until", Float, nullable=False),
            Column("alert", String(64), nullable=False),
        )

    def raise_to(self, principal: str, level: RiskLevel, *, seconds: float, alert: str = "") -> None:
        """Set a state for so many seconds; a stronger or longer one that holds already is kept.

        Raises:
            ConfigError: no such level, or no time.
            StoreError: the database cannot be used.
        """
        from sqlalchemy import text

        if level not in _ORDER or not seconds > 0:
            raise ConfigError(f"got level {level!r} for {seconds} s; accepted: {', '.join(_ORDER)}, seconds above 0")
        now = self._clock()
        values = {
            "principal": principal,
            "level": level,
            "rank": _ORDER[level],
            "now": now,
            "until": now + seconds,
            "alert": alert,
        }
        with storage_errors(self._engine), self._engine.begin() as connection:
            connection.execute(text(_RAISE), values)
        self._fresh_until = float("-inf")

    def lift(self, principal: str) -> bool:
        """End a principal's state; False when it has none.

        Raises:
            StoreError: the database cannot be used.
        """
        from sqlalchemy import text

        with storage_errors(self._engine), self._engine.begin() as connection:
            done = connection.execute(text("DELETE FROM risk WHERE principal = :p"), {"p": principal})
        self._fresh_until = float("-inf")
        return done.rowcount > 0

    def all(self) -> list[Risk]:
        """Every state that holds now.

        Raises:
            StoreError: the database cannot be used.
        """
        from sqlalchemy import text

        with storage_errors(self._engine), self._engine.begin() as connection:
            rows = connection.execute(
                text("SELECT principal, level, since, until, alert FROM risk WHERE until > :now ORDER BY since"),
                {"now": self._clock()},
            ).all()
        return [Risk(r[0], cast("RiskLevel", r[1]), float(r[2]), float(r[3]), r[4]) for r in rows]

    def of(self, principal: str) -> Risk | None:
        """The state of a principal as known within the last second.

        Raises:
            StoreError: the database cannot be used.
        """
        now = self._clock()
        with self._lock:
            # A clock set back must not keep an old answer.
            if not self._fresh_until - REFRESH_S <= now < self._fresh_until:
                self._cached = {risk.principal: risk for risk in self.all()}
                self._fresh_until = now + REFRESH_S
            risk = self._cached.get(principal)
        return risk if risk is not None and risk.until > now else None

    def close(self) -> None:
        """Close the database's connections."""
        if self._opened is not None:
            self._opened.dispose()

    @property
    def _engine(self) -> Engine:
        if self._opened is None:
            self._opened = self._open()
        return self._opened


# Stronger wins; of two alike the longer. What has expired loses to anything.
_RAISE = (
    "INSERT INTO risk (principal, level, rank, since, until, alert) "
    "VALUES (:principal, :level, :rank, :now, :until, :alert) ON CONFLICT (principal) DO UPDATE SET "
    "level = :level, rank = :rank, since = :now, until = :until, alert = :alert "
    "WHERE risk.until <= :now OR risk.rank < :rank OR (risk.rank = :rank AND risk.until < :until)"
)


class Response:
    """Answers by the risk state of the principal and of everybody it acts for; the strongest counts.

    Args:
        states: where they are kept.
        clock: monotonic seconds, for slowing down.
    """

    name = "response"
    blocking = True

    def __init__(self, states: RiskStates, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._states = states
        self._clock = clock
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Deny ``principal-suspended`` or ``principal-slowed``, ask ``principal-watched``, or allow."""
        risks = [risk for link in delegation(run.principal) if (risk := self._states.of(risk_key(link)))]
        if not risks:
            return ALLOW
        risk = max(risks, key=lambda risk: _ORDER[risk.level])
        if risk.level == "suspended":
            return _verdict(Effect.DENY, "principal-suspended", "This principal is suspended after an anomaly.")
        if not isinstance(event, ToolCall):
            return ALLOW
        if risk.level == "ask":
            message = "After an anomaly, a person must approve each call of this principal."
            return _verdict(Effect.REQUIRE_APPROVAL, "principal-watched", message)
        return self._slowed(risk)

    def close(self) -> None:
        """Close the store's connections."""
        self._states.close()

    def _slowed(self, risk: Risk) -> Verdict:
        now = self._clock()
        with self._lock:
            wait = self._next.get(risk.principal, now) - now
            if wait > 0:
                message = f"This principal is slowed down after an anomaly; try again in {max(1, round(wait))} seconds."
                return _verdict(Effect.DENY, "principal-slowed", message, wait)
            # Only principals with a state get here: as many as there are alerts.
            self._next = {key: at for key, at in self._next.items() if at > now}
            self._next[risk.principal] = now + SLOW_S
        return ALLOW


def risk_key(principal: Principal) -> str:
    """One text per verified identity, without whom it acts for."""
    return principal_key(Principal(principal.id, principal.kind, tenant=principal.tenant))


def _verdict(effect: Effect, reason: str, message: str, wait: float | None = None) -> Verdict:
    return Verdict(
        effect,
        findings=(Finding(f"access.{reason}", "monitor.response", message=message),),
        reason=reason,
        message=message,
        rules=("monitor.response",),
        retry_after=wait,
    )
