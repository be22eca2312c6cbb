"""Security middleware for LLM agents: one guard for every prompt, answer, tool call, tool result and agent message.

This module is the table of contents. Names load on first use (PEP 562), so that ``import agentguard`` costs next
to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentguard.access import ApprovalRequest, Permission, RBACManager, Role, ask_terminal, rate_limit_security
    from agentguard.assembly import SecureAPIKeyManager, SecurityAuditLogger
    from agentguard.audit import AuditEventType, AuditLog, request_context
    from agentguard.conversation import ANONYMOUS, Conversation, current_conversation
    from agentguard.decision import (
        ALLOW,
        Decision,
        Effect,
        Finding,
        Letter,
        Origin,
        Rewrite,
        Span,
        Stage,
        Verdict,
        combine,
    )
    from agentguard.detect import OutputSecurityFilter, PromptSecurityValidator
    from agentguard.errors import (
        AdapterError,
        AgentGuardError,
        AuditError,
        CasesError,
        ConfigError,
        DecryptError,
        Denied,
        FileAbsentError,
        FileRefusedError,
        ForgedError,
        KeyAbsentError,
        KeyExpiredError,
        KeySourceError,
        MissingPasswordError,
        OversizedError,
        PolicyError,
        RateLimited,
        ReplayedError,
        SecurityError,
        StageError,
        StoreError,
        TamperError,
        ToolFailedError,
        UnsupportedValueError,
        WeakKeyError,
        WeakPasswordError,
        WriteError,
        WrongKeyError,
        WrongPasswordError,
    )
    from agentguard.event import (
        AgentMessage,
        Event,
        Json,
        Label,
        Leaf,
        Message,
        ModelInput,
        ModelOutput,
        Principal,
        ToolCall,
        ToolResult,
        json_copy,
    )
    from agentguard.guard import Guard, StreamFilter
    from agentguard.keys import DataEncryption, DataKeyring, KeyReport
    from agentguard.monitor import verify_webhook
    from agentguard.policy import Policy
    from agentguard.store import Home
    from agentguard.watching import SecurityAnomalyDetector
    from agentguard.wrapping import error_text

__version__ = "0.1.0"

# Where each public name lives; the imports above say the same to type checkers, and a test compares them.
_HOMES = {
    "agentguard.access": (
        "ApprovalRequest",
        "Permission",
        "RBACManager",
        "Role",
        "ask_terminal",
        "rate_limit_security",
    ),
    "agentguard.assembly": ("SecureAPIKeyManager", "SecurityAuditLogger"),
    "agentguard.audit": ("AuditEventType", "AuditLog", "request_context"),
    "agentguard.conversation": ("ANONYMOUS", "Conversation", "current_conversation"),
    "agentguard.decision": (
        "ALLOW",
        "Decision",
        "Effect",
        "Finding",
        "Letter",
        "Origin",
        "Rewrite",
        "Span",
        "Stage",
        "Verdict",
        "combine",
    ),
    "agentguard.detect": ("OutputSecurityFilter", "PromptSecurityValidator"),
    "agentguard.errors": (
        "AdapterError",
        "AgentGuardError",
        "AuditError",
        "CasesError",
        "ConfigError",
        "DecryptError",
        "Denied",
        "FileAbsentError",
        "FileRefusedError",
        "ForgedError",
        "KeyAbsentError",
        "KeyExpiredError",
        "KeySourceError",
        "MissingPasswordError",
        "OversizedError",
        "PolicyError",
        "RateLimited",
        "ReplayedError",
        "SecurityError",
        "StageError",
        "StoreError",
        "TamperError",
        "ToolFailedError",
        "UnsupportedValueError",
        "WeakKeyError",
        "WeakPasswordError",
        "WriteError",
        "WrongKeyError",
        "WrongPasswordError",
    ),
    "agentguard.event": (
        "AgentMessage",
        "Event",
        "Json",
        "Label",
        "Leaf",
        "Message",
        "ModelInput",
        "ModelOutput",
        "Principal",
        "ToolCall",
        "ToolResult",
        "json_copy",
    ),
    "agentguard.guard": ("Guard", "StreamFilter"),
    "agentguard.keys": ("DataEncryption", "DataKeyring", "KeyReport"),
    "agentguard.monitor": ("verify_webhook",),
    "agentguard.policy": ("Policy",),
    "agentguard.store": ("Home",),
    "agentguard.watching": ("SecurityAnomalyDetector",),
    "agentguard.wrapping": ("error_text",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ALLOW",
    "ANONYMOUS",
    "AdapterError",
    "AgentGuardError",
    "AgentMessage",
    "ApprovalRequest",
    "AuditError",
    "AuditEventType",
    "AuditLog",
    "CasesError",
    "ConfigError",
    "Conversation",
    "DataEncryption",
    "DataKeyring",
    "Decision",
    "DecryptError",
    "Denied",
    "Effect",
    "Event",
    "FileAbsentError",
    "FileRefusedError",
    "Finding",
    "ForgedError",
    "Guard",
    "Home",
    "Json",
    "KeyAbsentError",
    "KeyExpiredError",
    "KeyReport",
    "KeySourceError",
    "Label",
    "Leaf",
    "Letter",
    "Message",
    "MissingPasswordError",
    "ModelInput",
    "ModelOutput",
    "Origin",
    "OutputSecurityFilter",
    "OversizedError",
    "Permission",
    "Policy",
    "PolicyError",
    "Principal",
    "PromptSecurityValidator",
    "RBACManager",
    "RateLimited",
    "ReplayedError",
    "Rewrite",
    "Role",
    "SecureAPIKeyManager",
    "SecurityAnomalyDetector",
    "SecurityAuditLogger",
    "SecurityError",
    "Span",
    "Stage",
    "StageError",
    "StoreError",
    "StreamFilter",
    "TamperError",
    "ToolCall",
    "ToolFailedError",
    "ToolResult",
    "UnsupportedValueError",
    "Verdict",
    "WeakKeyError",
    "WeakPasswordError",
    "WriteError",
    "WrongKeyError",
    "WrongPasswordError",
    "ask_terminal",
    "combine",
    "current_conversation",
    "error_text",
    "json_copy",
    "rate_limit_security",
    "request_context",
    "verify_webhook",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'agentguard' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
