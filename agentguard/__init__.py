"""Security middleware for LLM agents: one guard for every prompt, answer, tool call, tool result and agent message.

This module is the table of contents. Names load on first use (PEP 562), so that ``import agentguard`` costs next
to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentguard.access import ApprovalRequest, Permission, RBACManager, Role, ask_terminal, rate_limit_security
    from agentguard.assembly import SecurityAuditLogger
    from agentguard.audit import AuditEventType, AuditLog, request_context
    from agentguard.channel import CertificateFiles, IdentitySource, SpiffeId, open_identity
    from agentguard.channel.blocking import SecureAgentCommunication
    from agentguard.channel.client import AgentClient
    from agentguard.channel.limits import Limits
    from agentguard.channel.server import AgentServer
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
        ChannelError,
        ConfigError,
        DecryptError,
        DeliveryFailed,
        Denied,
        EnrolmentRefused,
        FrameError,
        IdentityError,
        KeySourceError,
        Overloaded,
        PeerRefused,
        PolicyError,
        RateLimited,
        SecurityError,
        StageError,
        StoreError,
        TamperError,
        ToolFailedError,
        UnsupportedValueError,
        WriteError,
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
    from agentguard.keys import DataEncryption
    from agentguard.messaging import MessageGuard
    from agentguard.policy import Policy
    from agentguard.remote import RemotePeer
    from agentguard.store import Home
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
    "agentguard.assembly": ("SecurityAuditLogger",),
    "agentguard.audit": ("AuditEventType", "AuditLog", "request_context"),
    "agentguard.channel": ("CertificateFiles", "IdentitySource", "SpiffeId", "open_identity"),
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
        "ChannelError",
        "ConfigError",
        "DecryptError",
        "DeliveryFailed",
        "Denied",
        "EnrolmentRefused",
        "FrameError",
        "IdentityError",
        "KeySourceError",
        "Overloaded",
        "PeerRefused",
        "PolicyError",
        "RateLimited",
        "SecurityError",
        "StageError",
        "StoreError",
        "TamperError",
        "ToolFailedError",
        "UnsupportedValueError",
        "WriteError",
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
    "agentguard.keys": ("DataEncryption",),
    "agentguard.policy": ("Policy",),
    "agentguard.store": ("Home",),
    "agentguard.wrapping": ("error_text",),
    "agentguard.channel.blocking": ("SecureAgentCommunication",),
    "agentguard.channel.client": ("AgentClient",),
    "agentguard.channel.server": ("AgentServer",),
    "agentguard.channel.limits": ("Limits",),
    "agentguard.messaging": ("MessageGuard",),
    "agentguard.remote": ("RemotePeer",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ALLOW",
    "ANONYMOUS",
    "AdapterError",
    "AgentClient",
    "AgentGuardError",
    "AgentMessage",
    "AgentServer",
    "ApprovalRequest",
    "AuditError",
    "AuditEventType",
    "AuditLog",
    "CasesError",
    "CertificateFiles",
    "ChannelError",
    "ConfigError",
    "Conversation",
    "DataEncryption",
    "Decision",
    "DecryptError",
    "DeliveryFailed",
    "Denied",
    "Effect",
    "EnrolmentRefused",
    "Event",
    "Finding",
    "FrameError",
    "Guard",
    "Home",
    "IdentityError",
    "IdentitySource",
    "Json",
    "KeySourceError",
    "Label",
    "Leaf",
    "Letter",
    "Limits",
    "Message",
    "MessageGuard",
    "ModelInput",
    "ModelOutput",
    "Origin",
    "OutputSecurityFilter",
    "Overloaded",
    "PeerRefused",
    "Permission",
    "Policy",
    "PolicyError",
    "Principal",
    "PromptSecurityValidator",
    "RBACManager",
    "RateLimited",
    "RemotePeer",
    "Rewrite",
    "Role",
    "SecureAgentCommunication",
    "SecurityAuditLogger",
    "SecurityError",
    "Span",
    "SpiffeId",
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
    "WriteError",
    "ask_terminal",
    "combine",
    "current_conversation",
    "error_text",
    "json_copy",
    "open_identity",
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
