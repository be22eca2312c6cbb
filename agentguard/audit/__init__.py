"""The audit log: encrypted, tamper-evident, written by many processes, verifiable offline.

``AuditLog`` appends and queries; ``verify`` checks a log from end to end; ``EventLogger`` is the simple form
for applications; ``decision_record`` is what the guard records.
"""

from agentguard.audit.log import AuditLog
from agentguard.audit.logger import AuditEventType, EventLogger, request_context
from agentguard.audit.reader import LogRecord
from agentguard.audit.record import decision_record
from agentguard.audit.verify import Verdict, VerifyReport, verify

__all__ = [
    "AuditEventType",
    "AuditLog",
    "LogRecord",
    "EventLogger",
    "Verdict",
    "VerifyReport",
    "decision_record",
    "request_context",
    "verify",
]
