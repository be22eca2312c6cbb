"""The policy as the stages use it: frozen values with dictionary look-ups, built once at load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from agentguard.event import Json, Label
from agentguard.policy.constraint import Constraint, OneLine

__all__ = [
    "AgentRule",
    "ApprovalRules",
    "ArgRule",
    "AuditRules",
    "FlowRules",
    "InjectionRules",
    "InputRules",
    "MessageRule",
    "MonitorRules",
    "OutputRules",
    "OwnRecognizer",
    "RateRule",
    "RateRules",
    "RecognizerRules",
    "RedactionRule",
    "RoleRule",
    "ToolRule",
]


InjectionAction: TypeAlias = Literal["block", "strip", "quarantine", "report", "off"]
CleanAction: TypeAlias = Literal["block", "strip", "off"]


@dataclass(frozen=True, slots=True)
class RateRule:
    """``count`` per ``seconds``, at most ``burst`` at once; ``scope``: who shares the count; ``per``: whose it is."""

    count: int
    seconds: float
    burst: int
    scope: Literal["process", "store", "redis"] = "store"
    per: Literal["principal", "session", "tenant", "tool"] = "principal"


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
    deny_permissions: frozenset[str] = frozenset()
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageRule:
    """What an agent may send another one: globs of topics, and bytes."""

    topics: tuple[str, ...]
    max_size: int


@dataclass(frozen=True, slots=True)
class AgentRule:
    """An agent's roles and the agents it may send messages to."""

    name: str
    roles: tuple[str, ...] = ()
    may_message: Mapping[str, MessageRule] = field(default_factory=lambda: MappingProxyType({}))
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
    restore: frozenset[str] = frozenset()
    required: bool = False
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ToolRule:
    """One tool. ``args`` holds the arguments that have a row; ``arg`` answers for the others too.

    ``intent`` and ``repeat`` are the tool's own or the file's; ``clears`` maps classes of confidential data to globs
    of recipients. ``constraints`` is a digest of what the ``Arguments`` stage holds calls to,
    ``pin`` one of the tool's definition.
    """

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
    inbound: bool = False
    object: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    intent: Literal["required", "off"] = "required"
    repeat: Literal["ask", "allow"] = "ask"
    clears: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    constraints: str = ""
    cost: int = 1
    approver: str = ""
    pin: str = ""

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

    def labels(self) -> dict[str, Json]:
        """What information flow goes by, and the digest of the constraints: enough to tell what a change touches."""
        return {
            "side_effect": self.side_effect,
            "output": self.output.value,
            "free_text": [*sorted(self.free_text)],
            "egress": self.egress,
            "inbound": self.inbound,
            "object": [*self.object],
            "verbs": [*self.verbs],
            "intent": self.intent,
            "repeat": self.repeat,
            "clears": {name: [*globs] for name, globs in self.clears.items()},
            "approval": self.approval,
            "constraints": self.constraints,
            "args": {
                name: {
                    "sink": rule.sink,
                    "sources": [*rule.sources],
                    "content": rule.content,
                    "one_line": any(isinstance(each.check, OneLine) for each in rule.constraints),
                }
                for name, rule in self.args.items()
            },
        }


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
class OwnRecognizer:
    """A format of the application's own: an RE2 pattern, and the words of which one must stand before it."""

    name: str
    kind: Literal["secret", "pii"]
    pattern: str
    keywords: tuple[str, ...]
    examples: tuple[str, ...]
    look_alikes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecognizerRules:
    """Formats beside the built-in ones, texts always taken out, and what is asked of a value that it may stay."""

    own: tuple[OwnRecognizer, ...] = ()
    deny: tuple[str, ...] = ()
    allowed: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class RedactionRule:
    """What stands in the place of one class's values, where it is the same or opens again, and what may be read."""

    operator: Literal["tag", "mask", "hash", "pseudonym", "encrypt", "remove"] = "tag"
    scope: Literal["session", "tenant"] = "session"
    keep: bool = False

    @property
    def reversible(self) -> bool:
        """Whether the value can come back."""
        return self.operator in ("pseudonym", "encrypt")


@dataclass(frozen=True, slots=True)
class RateRules:
    """``default`` is for each tool without its own; ``redis`` is where scope redis counts, None: as the home says."""

    model: RateRule | None = None
    message: RateRule | None = None
    default: RateRule | None = None
    redis: str | None = None
    when_down: Literal["deny", "local"] = "deny"


@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """How a person is asked: ``wait`` and ``expires`` in seconds; ``role`` is empty when any user may answer."""

    approver: Literal["none", "queue"] = "none"
    wait: int = 300
    expires: int = 86_400
    role: str = ""
    own: Literal["deny", "allow"] = "deny"


@dataclass(frozen=True, slots=True)
class AuditRules:
    """What the log keeps, and what happens when it cannot."""

    payloads: Literal["digest", "full"] = "digest"
    fail: Literal["closed", "unsafe-open"] = "closed"


@dataclass(frozen=True, slots=True)
class MonitorRules:
    """What an anomaly of at least ``severity`` does to its principal, for how many seconds, and who is told."""

    response: Literal["alert", "slow", "ask", "suspend"] = "alert"
    severity: Literal["medium", "high", "critical"] = "high"
    seconds: float = 3600.0
    deliver: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowRules:
    """What is remembered of a run (characters), and the words in which requests ask for actions."""

    memory: int = 2_000_000
    languages: tuple[str, ...] = ("en", "de", "fr", "es")
    verbs: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    objects: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def labels(self) -> dict[str, Json]:
        """The words, as they are recorded when the policy takes effect."""
        return {
            "languages": [*self.languages],
            "verbs": {name: [*phrases] for name, phrases in self.verbs.items()},
            "objects": {name: [*words] for name, words in self.objects.items()},
        }
