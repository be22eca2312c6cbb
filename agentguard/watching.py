"""Joins monitoring to a home and a policy: the state database, the risk states that answer, redaction, delivery.

``assembly`` builds stages; this builds what listens to their decisions. It is loaded only where a policy has a
``monitor`` section, or a command shows alerts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from agentguard.access.risk import RiskLevel, RiskStates, risk_key
from agentguard.assembly import redacted
from agentguard.audit import AuditEventType, AuditLog, EventLogger
from agentguard.audit.request import current_peer
from agentguard.event import Principal
from agentguard.monitor import (
    SEVERITIES,
    Alert,
    AlertBook,
    AnomalyDetector,
    Channel,
    Deliverer,
    Measures,
    MonitorState,
    Recorder,
    channel,
)
from agentguard.policy import Policy
from agentguard.policy.compiled import MonitorRules
from agentguard.store import Home, open_state

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["SecurityAnomalyDetector", "alert_book", "open_monitor", "record_answer", "risk_states"]

# Arguments with these sinks name whom a call reaches.
REACHING = frozenset({"recipient", "account", "channel", "person", "url"})
_LEVELS: dict[str, RiskLevel] = {"slow": "slow", "ask": "ask", "suspend": "suspended"}


def open_monitor(
    policy: Policy,
    home: Home,
    *,
    channels: Mapping[str, Channel] | None = None,
    clock: Callable[[], float] = time.time,
) -> SecurityAnomalyDetector:
    """The detector of a guard, with the policy's channels and further ones by name.

    Raises:
        ConfigError: a channel of the policy cannot be used.
    """
    rules = policy.monitor or MonitorRules()
    known = {url: channel(url) for url in rules.deliver} | dict(channels or {})
    book = alert_book(home, channels=tuple(known))
    states = risk_states(home)
    roles = {name: rule.roles[0] for name, rule in policy.agents.items() if rule.roles}
    return SecurityAnomalyDetector(
        state=MonitorState(_engine(home, MonitorState.define), clock=clock),
        book=book,
        deliverer=Deliverer(book, known),
        recorder=Recorder(_measures(policy), address=lambda: current_peer().ip_address, clock=clock),
        respond=_answer(rules, states) if rules.response != "alert" else None,
        subject=risk_key,
        role=lambda principal: _role(principal, roles),
        clock=clock,
        closing=states.close,
    )


class SecurityAnomalyDetector(AnomalyDetector):
    """An ``AnomalyDetector`` in whose alerts no secret and no personal data stand that the recognizers know.

    Without arguments everything is in memory; a guard with a ``monitor`` section in its policy makes one that keeps
    its state in the home.
    """

    default_redact = staticmethod(redacted)


def alert_book(home: Home, *, channels: tuple[str, ...] = ()) -> AlertBook:
    """The home's alerts."""
    return AlertBook(_engine(home, AlertBook.define), channels=channels)


def risk_states(home: Home) -> RiskStates:
    """The home's risk states."""
    return RiskStates(_engine(home, RiskStates.define))


def record_answer(home: Home, kind: AuditEventType, by: str, details: Mapping[str, object]) -> None:
    """Record in the home's log what a person said to an alert.

    Raises:
        AuditError, KeySourceError: the log does not take it, so it must not happen.
    """
    with AuditLog.open(home) as log:
        EventLogger(log=log, redact=redacted).log_event(kind, by, details)


def _engine(home: Home, define: Callable[..., object]) -> Callable[[], Engine]:
    def opened() -> Engine:
        from sqlalchemy import MetaData

        metadata = MetaData()
        define(metadata)
        return open_state(home, metadata)

    return opened


def _answer(rules: MonitorRules, states: RiskStates) -> Callable[[Alert, str], None]:
    level = _LEVELS[rules.response]
    least = SEVERITIES.index(rules.severity)

    def answer(alert: Alert, principal: str) -> None:
        if SEVERITIES.index(alert.severity) >= least:
            states.raise_to(principal, level, seconds=rules.seconds, alert=alert.id)

    return answer


def _measures(policy: Policy) -> Measures:
    return Measures(
        recipients={
            name: tuple(arg.name for arg in rule.args.values() if arg.sink in REACHING)
            for name, rule in policy.tools.items()
        },
        reading=frozenset(name for name, rule in policy.tools.items() if rule.side_effect == "read"),
    )


def _role(principal: Principal, roles: Mapping[str, str]) -> str:
    found = roles.get(principal.id) if principal.kind == "agent" else None
    return found or (principal.roles[0] if principal.roles else "")
