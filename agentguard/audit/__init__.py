"""The audit log: encrypted, tamper-evident, written by many processes, verifiable offline.

``AuditLog`` appends, queries and proves; ``verify`` checks a log from end to end; ``rotate_kek``, ``shred_before`` and
``begin_generation`` change its keys, make old records unreadable, and begin anew after a proven loss; ``EventLogger``
is the simple form for applications; ``decision_record`` is what the guard records.
"""

from agentguard.audit.generation import NewGeneration, begin_generation
from agentguard.audit.log import AuditLog
from agentguard.audit.logger import AuditEventType, EventLogger
from agentguard.audit.proof import ConsistencyProof, InclusionProof
from agentguard.audit.reader import LogRecord
from agentguard.audit.record import decision_record, repeat_key
from agentguard.audit.request import request_context
from agentguard.audit.rotation import RotationReport, rotate_kek
from agentguard.audit.shred import ShredReport, shred_before
from agentguard.audit.verify import Verdict, VerifyReport, verify

__all__ = [
    "AuditEventType",
    "AuditLog",
    "ConsistencyProof",
    "InclusionProof",
    "NewGeneration",
    "RotationReport",
    "ShredReport",
    "LogRecord",
    "EventLogger",
    "Verdict",
    "VerifyReport",
    "begin_generation",
    "decision_record",
    "repeat_key",
    "request_context",
    "rotate_kek",
    "shred_before",
    "verify",
]
