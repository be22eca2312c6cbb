"""Roles and sessions joined to the audit log: each change is on disk before it holds, and no refusal goes unrecorded.

``access`` knows no log: it calls what is handed in. Here is what that is.
"""

from __future__ import annotations

from agentguard.access import AccessRecord
from agentguard.audit import AuditEventType, AuditLog, EventLogger

__all__ = ["AccessLog"]

# What was refused, by the permission that was missing; other permissions are alerts.
_REFUSED = {
    "read_data": AuditEventType.DATA_ACCESS,
    "view_logs": AuditEventType.DATA_ACCESS,
    "write_data": AuditEventType.DATA_MODIFY,
    "execute_agent": AuditEventType.AGENT_EXECUTE,
}


class AccessLog:
    """Writes what an ``RBACManager`` reports into an audit log: ``RBACManager(home=home, record=AccessLog(log))``.

    Changes are PERMISSION_CHANGE and on disk when the call returns. Denials are refusals of the kind of access that was
    asked for; the same one again within a second is counted.

    Args:
        log: an open log; it is not closed here.
    """

    def __init__(self, log: AuditLog) -> None:
        self._events = EventLogger(log=log)

    def __call__(self, record: AccessRecord) -> None:
        """Record one change or denial.

        Raises:
            WriteError: it was not stored, so the change must not happen.
        """
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
