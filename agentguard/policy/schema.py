"""The policy file's shape, version 1: pydantic models that refuse whatever they do not know.

Defaults are the secure choice. The models hold text as written; ``compile`` in ``compiled.py`` checks what spans
several rows and builds what the stages look things up in.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "AgentRow",
    "ArgRow",
    "AuditRow",
    "InjectionRow",
    "InputRow",
    "OutputRow",
    "PolicyFile",
    "RateRow",
    "RatesRow",
    "RoleRow",
    "ThresholdsRow",
    "ToolRow",
]

Mode: TypeAlias = Literal["enforce", "shadow"]
Redactable: TypeAlias = Literal["secret", "pii"]
PermissionName: TypeAlias = Literal["read_data", "write_data", "execute_agent", "manage_agents", "view_logs", "admin"]
SinkName: TypeAlias = Literal[
    "recipient", "account", "amount", "date", "url", "id", "person", "channel", "secret", "attachment", "path",
    "command", "value",
]  # fmt: skip
SideEffect: TypeAlias = Literal["read", "write", "send", "destructive", "money", "access"]
TypeName: TypeAlias = Literal["string", "integer", "number", "boolean", "array", "object"]
InjectionAction: TypeAlias = Literal["block", "strip", "quarantine", "report", "off"]
Threshold: TypeAlias = Literal["strict", "balanced", "permissive"] | Annotated[float, Field(gt=0, le=1)]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _rate_from_text(value: object) -> object:
    return {"limit": value} if isinstance(value, str) else value


class RateRow(_Row):
    """``5/minute``, or the same with a burst (default: the count) and a scope (default: exact across processes)."""

    limit: str
    burst: Count | None = None
    scope: Literal["process", "store"] = "store"


RateField: TypeAlias = Annotated[RateRow, BeforeValidator(_rate_from_text)]


class RoleRow(_Row):
    """What a role may do. ``deny`` wins over any ``tools`` of any role; both take globs."""

    permissions: list[PermissionName] = []
    inherits: list[Name] = []
    tools: list[Name] = []
    deny: list[Name] = []
    mode: Mode = "enforce"


class AgentRow(_Row):
    """An agent: its roles, and the agents it may send messages to."""

    roles: list[Name] = []
    may_message: list[Name] = []


class ArgRow(_Row):
    """One argument of a tool. Every constraint given must hold."""

    sink: SinkName | None = None
    content: bool = False
    sources: list[Name] | None = None
    allow: list[str] | None = None
    deny: list[str] = []
    one_of: list[str | int | float | bool] | None = None
    type: TypeName | None = None
    max_length: Count | None = None
    min: int | float | None = None
    max: int | float | None = None
    pattern: str | None = None
    under: str | None = None
    redact: list[Redactable] = []
    required: bool = False


class ToolRow(_Row):
    """A tool that may exist at all. Which role may call it stands under ``roles``."""

    side_effect: SideEffect
    output: Literal["trusted", "mixed", "untrusted"] = "untrusted"
    free_text: list[Name] = []
    egress: bool = False
    args: dict[Name, ArgRow] = {}
    extra_args: Literal["deny", "allow"] = "allow"
    approval: Literal["never", "always", "when-untrusted"] = "never"
    rate: RateField | None = None
    mode: Mode = "enforce"


class ThresholdsRow(_Row):
    """Thresholds of single channels, where they differ from ``threshold``."""

    user: Threshold | None = None
    tool: Threshold | None = None
    agent: Threshold | None = None
    retriever: Threshold | None = None


class InjectionRow(_Row):
    """What happens to text that gives orders it has no right to give, by who wrote it."""

    user: InjectionAction = "block"
    tool: InjectionAction = "strip"
    agent: InjectionAction = "strip"
    threshold: Threshold = "balanced"
    thresholds: ThresholdsRow = ThresholdsRow()


class InputRow(_Row):
    """What a model, or a tool, may be handed. Lengths in code points."""

    max_length: Count = 10_000
    tool_result_max: Count = 1_000_000
    injection: InjectionRow = InjectionRow()
    unicode: Literal["strip", "block", "off"] = "strip"
    redact: list[Redactable] = ["secret"]


class OutputRow(_Row):
    """What a model's answer may hold. Links and images may point to ``allow_hosts`` only when ``markup`` is on."""

    max_length: Count = 100_000
    redact: list[Redactable] = ["secret", "pii"]
    markup: Literal["block", "strip", "off"] = "block"
    allow_hosts: list[Name] = []


class RatesRow(_Row):
    """Limits per principal: model calls, agent messages, and ``default`` for each tool without a rate of its own."""

    model: RateField | None = None
    message: RateField | None = None
    default: RateField | None = None


class AuditRow(_Row):
    """``digest`` records no payload text. ``unsafe-open`` lets an action happen that could not be recorded."""

    payloads: Literal["digest", "full"] = "digest"
    fail: Literal["closed", "unsafe-open"] = "closed"


class PolicyFile(_Row):
    """The whole file."""

    version: Literal[1]
    mode: Mode = "enforce"
    roles: dict[Name, RoleRow] = {}
    agents: dict[Name, AgentRow] = {}
    tools: dict[Name, ToolRow] = {}
    input: InputRow = InputRow()
    output: OutputRow = OutputRow()
    rates: RatesRow = RatesRow()
    audit: AuditRow = AuditRow()
