"""The audit log: encrypted, tamper-evident, written by many processes, verifiable offline.

``AuditLog`` appends and queries; ``verify`` checks a log from end to end; ``SecurityAuditLogger`` is the simple form
for applications; ``decision_record`` and ``is_durable`` are what the guard records and how urgently.
"""

from agentguard.audit.log import AuditLog
from agentguard.audit.logger import AuditEventType, SecurityAuditLogger, request_context
from agentguard.audit.reader import LogRecord
from agentguard.audit.record import decision_record, is_durable
from agentguard.audit.verify import Verdict, VerifyReport, verify

__all__ = [
    "AuditEventType",
    "AuditLog",
    "LogRecord",
    "SecurityAuditLogger",
    "Verdict",
    "VerifyReport",
    "decision_record",
    "is_durable",
    "request_context",
    "verify",
]
