"""Security middleware for LLM agents: one guard for every prompt, answer, tool call, tool result and agent message.

This module is the table of contents. Names load on first use (PEP 562), so that ``import agentguard`` costs next
to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentguard.conversation import Conversation, current_conversation
    from agentguard.decision import ALLOW, Decision, Effect, Finding, Rewrite, Span, Stage, Verdict, combine
    from agentguard.errors import (
        AdapterError,
        AgentGuardError,
        AuditError,
        ConfigError,
        DecryptError,
        Denied,
        KeySourceError,
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

__version__ = "0.1.0"

_HOMES = {
    "agentguard.conversation": ("Conversation", "current_conversation"),
    "agentguard.decision": (
        "ALLOW",
        "Decision",
        "Effect",
        "Finding",
        "Rewrite",
        "Span",
        "Stage",
        "Verdict",
        "combine",
    ),
    "agentguard.errors": (
        "AdapterError",
        "AgentGuardError",
        "AuditError",
        "ConfigError",
        "DecryptError",
        "Denied",
        "KeySourceError",
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
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "ALLOW",
    "AdapterError",
    "AgentGuardError",
    "AgentMessage",
    "AuditError",
    "ConfigError",
    "Conversation",
    "Decision",
    "DecryptError",
    "Denied",
    "Effect",
    "Event",
    "Finding",
    "Guard",
    "Json",
    "KeySourceError",
    "Label",
    "Leaf",
    "Message",
    "ModelInput",
    "ModelOutput",
    "PolicyError",
    "Principal",
    "RateLimited",
    "Rewrite",
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
    "WriteError",
    "combine",
    "current_conversation",
    "json_copy",
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
