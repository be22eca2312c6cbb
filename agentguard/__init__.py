"""Security middleware for LLM agents: one guard for every prompt, answer, tool call, tool result and agent message.

This module is the table of contents. Names load on first use (PEP 562), so that ``import agentguard`` costs next
to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentguard.access import (
        ApprovalRequest,
        Assignment,
        Grant,
        Permission,
        RBACManager,
        Role,
        Session,
        SessionTokens,
        ask_terminal,
        rate_limit_security,
    )
    from agentguard.accounts import AccessLog, SecureSessionManager
    from agentguard.assembly import SecurityAuditLogger
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
        BadSignature,
        CasesError,
        ConfigError,
        DecryptError,
        Denied,
        KeySourceError,
        MissingClaim,
        PolicyError,
        RateLimited,
        RefreshReused,
        SecurityError,
        SessionError,
        SessionIdle,
        SessionRevoked,
        SessionUnknown,
        StageError,
        StoreError,
        TamperError,
        TokenExpired,
        TokenMalformed,
        TokenNotYetValid,
        TokenOversized,
        ToolFailedError,
        UnknownKey,
        UnsupportedValueError,
        WriteError,
        WrongAudience,
        WrongIssuer,
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
    from agentguard.http import (
        SecurityHeaders,
        SecurityHeadersASGI,
        SecurityHeadersWSGI,
        add_security_headers,
        csp_nonce,
    )
    from agentguard.keys import DataEncryption
    from agentguard.policy import Policy
    from agentguard.store import Home
    from agentguard.wrapping import error_text

__version__ = "0.1.0"

# Where each public name lives; the imports above say the same to type checkers, and a test compares them.
_HOMES = {
    "agentguard.access": (
        "ApprovalRequest",
        "Assignment",
        "Grant",
        "Permission",
        "RBACManager",
        "Role",
        "Session",
        "SessionTokens",
        "ask_terminal",
        "rate_limit_security",
    ),
    "agentguard.accounts": ("AccessLog", "SecureSessionManager"),
    "agentguard.assembly": ("SecurityAuditLogger",),
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
        "BadSignature",
        "CasesError",
        "ConfigError",
        "DecryptError",
        "Denied",
        "KeySourceError",
        "MissingClaim",
        "PolicyError",
        "RateLimited",
        "RefreshReused",
        "SecurityError",
        "SessionError",
        "SessionIdle",
        "SessionRevoked",
        "SessionUnknown",
        "StageError",
        "StoreError",
        "TamperError",
        "TokenExpired",
        "TokenMalformed",
        "TokenNotYetValid",
        "TokenOversized",
        "ToolFailedError",
        "UnknownKey",
        "UnsupportedValueError",
        "WriteError",
        "WrongAudience",
        "WrongIssuer",
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
    "agentguard.http": (
        "SecurityHeaders",
        "SecurityHeadersASGI",
        "SecurityHeadersWSGI",
        "add_security_headers",
        "csp_nonce",
    ),
    "agentguard.keys": ("DataEncryption",),
    "agentguard.policy": ("Policy",),
    "agentguard.store": ("Home",),
    "agentguard.wrapping": ("error_text",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ALLOW",
    "ANONYMOUS",
    "AccessLog",
    "AdapterError",
    "AgentGuardError",
    "AgentMessage",
    "ApprovalRequest",
    "Assignment",
    "AuditError",
    "AuditEventType",
    "AuditLog",
    "BadSignature",
    "CasesError",
    "ConfigError",
    "Conversation",
    "DataEncryption",
    "Decision",
    "DecryptError",
    "Denied",
    "Effect",
    "Event",
    "Finding",
    "Grant",
    "Guard",
    "Home",
    "Json",
    "KeySourceError",
    "Label",
    "Leaf",
    "Letter",
    "Message",
    "MissingClaim",
    "ModelInput",
    "ModelOutput",
    "Origin",
    "OutputSecurityFilter",
    "Permission",
    "Policy",
    "PolicyError",
    "Principal",
    "PromptSecurityValidator",
    "RBACManager",
    "RateLimited",
    "RefreshReused",
    "Rewrite",
    "Role",
    "SecureSessionManager",
    "SecurityAuditLogger",
    "SecurityError",
    "SecurityHeaders",
    "SecurityHeadersASGI",
    "SecurityHeadersWSGI",
    "Session",
    "SessionError",
    "SessionIdle",
    "SessionRevoked",
    "SessionTokens",
    "SessionUnknown",
    "Span",
    "Stage",
    "StageError",
    "StoreError",
    "StreamFilter",
    "TamperError",
    "TokenExpired",
    "TokenMalformed",
    "TokenNotYetValid",
    "TokenOversized",
    "ToolCall",
    "ToolFailedError",
    "ToolResult",
    "UnknownKey",
    "UnsupportedValueError",
    "Verdict",
    "WriteError",
    "WrongAudience",
    "WrongIssuer",
    "add_security_headers",
    "ask_terminal",
    "combine",
    "csp_nonce",
    "current_conversation",
    "error_text",
    "json_copy",
    "rate_limit_security",
    "request_context",
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
