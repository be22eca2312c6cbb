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
    from agentguard.accounts import (
        AccessLog,
        SecureSessionManager,
    )
    from agentguard.assembly import (
        SecureAPIKeyManager,
        SecurityAuditLogger,
    )
    from agentguard.audit import (
        AuditEventType,
        AuditLog,
        request_context,
    )
    from agentguard.channel import (
        CertificateFiles,
        IdentitySource,
        SpiffeId,
        open_identity,
    )
    from agentguard.channel.blocking import (
        SecureAgentCommunication,
    )
    from agentguard.channel.client import (
        AgentClient,
    )
    from agentguard.channel.limits import (
        Limits,
    )
    from agentguard.channel.server import (
        AgentServer,
    )
    from agentguard.conversation import (
        ANONYMOUS,
        Conversation,
        current_conversation,
    )
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
    from agentguard.detect import (
        OutputSecurityFilter,
        PromptSecurityValidator,
    )
    from agentguard.errors import (
        AdapterError,
        AgentGuardError,
        AuditError,
        BadSignature,
        CasesError,
        ChannelError,
        ConfigError,
        DecryptError,
        DeliveryFailed,
        Denied,
        EnrolmentRefused,
        FileAbsentError,
        FileRefusedError,
        ForgedError,
        FrameError,
        IdentityError,
        KeyAbsentError,
        KeyExpiredError,
        KeySourceError,
        MissingClaim,
        MissingPasswordError,
        Overloaded,
        OversizedError,
        PeerRefused,
        PolicyError,
        RateLimited,
        RefreshReused,
        ReplayedError,
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
        WeakKeyError,
        WeakPasswordError,
        WriteError,
        WrongAudience,
        WrongIssuer,
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
    from agentguard.guard import (
        Guard,
        StreamFilter,
    )
    from agentguard.http import (
        SecurityHeaders,
        SecurityHeadersASGI,
        SecurityHeadersWSGI,
        add_security_headers,
        csp_nonce,
    )
    from agentguard.keys import (
        DataEncryption,
        DataKeyring,
        KeyReport,
    )
    from agentguard.messaging import (
        MessageGuard,
    )
    from agentguard.monitor import (
        verify_webhook,
    )
    from agentguard.policy import (
        Policy,
    )
    from agentguard.posture import (
        security_audit_checklist,
    )
    from agentguard.remote import (
        RemotePeer,
    )
    from agentguard.store import (
        Home,
    )
    from agentguard.watching import (
        SecurityAnomalyDetector,
    )
    from agentguard.wrapping import (
        error_text,
    )

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
    "agentguard.accounts": (
        "AccessLog",
        "SecureSessionManager",
    ),
    "agentguard.assembly": (
        "SecureAPIKeyManager",
        "SecurityAuditLogger",
    ),
    "agentguard.audit": (
        "AuditEventType",
        "AuditLog",
        "request_context",
    ),
    "agentguard.channel": (
        "CertificateFiles",
        "IdentitySource",
        "SpiffeId",
        "open_identity",
    ),
    "agentguard.channel.blocking": ("SecureAgentCommunication",),
    "agentguard.channel.client": ("AgentClient",),
    "agentguard.channel.limits": ("Limits",),
    "agentguard.channel.server": ("AgentServer",),
    "agentguard.conversation": (
        "ANONYMOUS",
        "Conversation",
        "current_conversation",
    ),
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
    "agentguard.detect": (
        "OutputSecurityFilter",
        "PromptSecurityValidator",
    ),
    "agentguard.errors": (
        "AdapterError",
        "AgentGuardError",
        "AuditError",
        "BadSignature",
        "CasesError",
        "ChannelError",
        "ConfigError",
        "DecryptError",
        "DeliveryFailed",
        "Denied",
        "EnrolmentRefused",
        "FileAbsentError",
        "FileRefusedError",
        "ForgedError",
        "FrameError",
        "IdentityError",
        "KeyAbsentError",
        "KeyExpiredError",
        "KeySourceError",
        "MissingClaim",
        "MissingPasswordError",
        "Overloaded",
        "OversizedError",
        "PeerRefused",
        "PolicyError",
        "RateLimited",
        "RefreshReused",
        "ReplayedError",
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
        "WeakKeyError",
        "WeakPasswordError",
        "WriteError",
        "WrongAudience",
        "WrongIssuer",
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
    "agentguard.guard": (
        "Guard",
        "StreamFilter",
    ),
    "agentguard.http": (
        "SecurityHeaders",
        "SecurityHeadersASGI",
        "SecurityHeadersWSGI",
        "add_security_headers",
        "csp_nonce",
    ),
    "agentguard.keys": (
        "DataEncryption",
        "DataKeyring",
        "KeyReport",
    ),
    "agentguard.messaging": ("MessageGuard",),
    "agentguard.monitor": ("verify_webhook",),
    "agentguard.policy": ("Policy",),
    "agentguard.posture": ("security_audit_checklist",),
    "agentguard.remote": ("RemotePeer",),
    "agentguard.store": ("Home",),
    "agentguard.watching": ("SecurityAnomalyDetector",),
    "agentguard.wrapping": ("error_text",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ALLOW",
    "ANONYMOUS",
    "AccessLog",
    "AdapterError",
    "AgentClient",
    "AgentGuardError",
    "AgentMessage",
    "AgentServer",
    "ApprovalRequest",
    "Assignment",
    "AuditError",
    "AuditEventType",
    "AuditLog",
    "BadSignature",
    "CasesError",
    "CertificateFiles",
    "ChannelError",
    "ConfigError",
    "Conversation",
    "DataEncryption",
    "DataKeyring",
    "Decision",
    "DecryptError",
    "DeliveryFailed",
    "Denied",
    "Effect",
    "EnrolmentRefused",
    "Event",
    "FileAbsentError",
    "FileRefusedError",
    "Finding",
    "ForgedError",
    "FrameError",
    "Grant",
    "Guard",
    "Home",
    "IdentityError",
    "IdentitySource",
    "Json",
    "KeyAbsentError",
    "KeyExpiredError",
    "KeyReport",
    "KeySourceError",
    "Label",
    "Leaf",
    "Letter",
    "Limits",
    "Message",
    "MessageGuard",
    "MissingClaim",
    "MissingPasswordError",
    "ModelInput",
    "ModelOutput",
    "Origin",
    "OutputSecurityFilter",
    "Overloaded",
    "OversizedError",
    "PeerRefused",
    "Permission",
    "Policy",
    "PolicyError",
    "Principal",
    "PromptSecurityValidator",
    "RBACManager",
    "RateLimited",
    "RefreshReused",
    "RemotePeer",
    "ReplayedError",
    "Rewrite",
    "Role",
    "SecureAPIKeyManager",
    "SecureAgentCommunication",
    "SecureSessionManager",
    "SecurityAnomalyDetector",
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
    "SpiffeId",
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
    "WeakKeyError",
    "WeakPasswordError",
    "WriteError",
    "WrongAudience",
    "WrongIssuer",
    "WrongKeyError",
    "WrongPasswordError",
    "add_security_headers",
    "ask_terminal",
    "combine",
    "csp_nonce",
    "current_conversation",
    "error_text",
    "json_copy",
    "open_identity",
    "rate_limit_security",
    "request_context",
    "security_audit_checklist",
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
