"""The policy as the stages use it: frozen values with dictionary look-ups, built once at load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from agentguard.event import Label
from agentguard.policy.constraint import Constraint

__all__ = [
    "AgentRule",
    "ArgRule",
    "AuditRules",
    "InjectionRules",
    "InputRules",
    "OutputRules",
    "RateRule",
    "RateRules",
    "RoleRule",
    "ToolRule",
]


InjectionAction: TypeAlias = Literal["block", "strip", "quarantine", "report", "off"]
CleanAction: TypeAlias = Literal["block", "strip", "off"]


@dataclass(frozen=True, slots=True)
class RateRule:
    """``count`` per ``seconds``, at most ``burst`` at once; ``scope`` says whether processes share the count."""

    count: int
    seconds: float
    burst: int
    scope: Literal["process", "store"] = "store"


@dataclass(frozen=True, slots=True)
class RoleRule:
    """A role as written; inheritance is checked for unknown names and cycles, not flattened."""

    name: str
    permissions: frozenset[str] = frozenset()
    inherits: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    mode: Literal["enforce", "shadow"] = "enforce"
    line: int | None = None


@dataclass(frozen=True, slots=True)
class AgentRule:
    """An agent's roles and the agents it may send messages to."""

    name: str
    roles: tuple[str, ...] = ()
    may_message: frozenset[str] = frozenset()
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ArgRule:
    """One argument. ``sink`` is None where any origin may set it; ``sources`` are ``user`` and names of tools."""

    name: str
    sink: str | None = None
    content: bool = False
    sources: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    redact: frozenset[str] = frozenset()
    required: bool = False
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ToolRule:
    """One tool. ``args`` holds the arguments that have a row; ``arg`` answers for the others too."""

    name: str
    side_effect: str
    output: Label = Label.UNTRUSTED
    free_text: frozenset[str] = frozenset()
    egress: bool = False
    args: Mapping[str, ArgRule] = field(default_factory=lambda: MappingProxyType({}))
    required: tuple[str, ...] = ()
    extra_args: Literal["deny", "allow"] = "allow"
    approval: Literal["never", "always", "when-untrusted"] = "never"
    rate: RateRule | None = None
    mode: Literal["enforce", "shadow"] = "enforce"
    line: int | None = None

    def arg(self, name: str) -> ArgRule:
        """The rule for ``name``.

        Without a row, an argument of a reading tool may be set by anyone, unless ``egress`` lets it leave the machine;
        an argument of any other tool is a sink that only the user's own words may set.
        """
        rule = self.args.get(name)
        if rule is not None:
            return rule
        if self.side_effect == "read" and not self.egress:
            return ArgRule(name)
        return ArgRule(name, sink="value", sources=("user",))


@dataclass(frozen=True, slots=True)
class InjectionRules:
    """Action per author of the text, and the threshold: a name or a score in 0..1. ``thresholds``: of one author."""

    user: InjectionAction = "block"
    tool: InjectionAction = "strip"
    agent: InjectionAction = "strip"
    threshold: str | float = "balanced"
    thresholds: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputRules:
    """What models and tools may be handed."""

    max_length: int
    tool_result_max: int
    injection: InjectionRules
    unicode: CleanAction
    redact: frozenset[str]


@dataclass(frozen=True, slots=True)
class OutputRules:
    """What a model's answer may hold."""

    max_length: int
    redact: frozenset[str]
    markup: CleanAction
    allow_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RateRules:
    """Limits per principal; ``default`` is for each tool without its own."""

    model: RateRule | None = None
    message: RateRule | None = None
    default: RateRule | None = None


@dataclass(frozen=True, slots=True)
class AuditRules:
    """What the log keeps, and what happens when it cannot."""

    payloads: Literal["digest", "full"] = "digest"
    fail: Literal["closed", "unsafe-open"] = "closed"
