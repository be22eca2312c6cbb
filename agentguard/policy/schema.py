"""The policy file's shape, version 1: pydantic models that refuse whatever they do not know.

Defaults are the secure choice. The models hold text as written; ``compiler.py`` checks what spans several rows and
builds what the stages look things up in. The descriptions are what editors show: docs/agentguard.schema.json.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "AgentRow",
    "ApprovalRow",
    "ArgRow",
    "AuditRow",
    "FlowRow",
    "InjectionRow",
    "InputRow",
    "MessageRow",
    "MonitorRow",
    "OutputRow",
    "PolicyFile",
    "OwnRecognizerRow",
    "RateRow",
    "RatesRow",
    "RecognizersRow",
    "RedactionRow",
    "RedactionsRow",
    "RoleRow",
    "ThresholdsRow",
    "ToolRow",
]

Mode: TypeAlias = Literal["enforce", "shadow"]
Redactable: TypeAlias = Literal["secret", "pii"]
# The standard ones; ``permissions`` declares others. A test compares them with agentguard.access.
PERMISSIONS = ("read_data", "write_data", "execute_agent", "manage_agents", "view_logs", "admin")
SinkName: TypeAlias = Literal[
    "recipient", "account", "amount", "date", "url", "id", "person", "channel", "secret", "attachment", "path",
    "command", "value",
]  # fmt: skip
SideEffect: TypeAlias = Literal["read", "write", "send", "destructive", "money", "access"]
TypeName: TypeAlias = Literal["string", "integer", "number", "boolean", "array", "object"]
InjectionAction: TypeAlias = Literal["block", "strip", "quarantine", "report", "off"]
Threshold: TypeAlias = Literal["strict", "balanced", "permissive"] | Annotated[float, Field(gt=0, le=1)]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=128)]
PermissionName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.:-]{0,63}$")]
Phrase: TypeAlias = Annotated[str, Field(min_length=1, max_length=200)]
Pin: TypeAlias = Annotated[str, Field(pattern="^(required|sha256:[0-9a-f]{64})$")]
Language: TypeAlias = Literal["en", "de", "fr", "es"]
# The verb families of agentguard.flow.vocabulary; a test compares them.
VerbFamily: TypeAlias = Literal[
    "read", "draft", "create", "update", "send", "share", "invite", "pay", "delete", "cancel", "schedule", "run",
    "grant", "revoke", "post", "control",
]  # fmt: skip
Intended: TypeAlias = Literal["required", "off"]
Repeated: TypeAlias = Literal["ask", "allow"]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _rate_from_text(value: object) -> object:
    return {"limit": value} if isinstance(value, str) else value


class RateRow(_Row):
    """``5/minute``, or the same with a burst (default: the count) and a scope (default: exact across processes)."""

    limit: Annotated[str, Field(description="A count per second, minute, hour or day: 5/minute, 100/15 minutes.")]
    burst: Annotated[
        Count | None, Field(description="How many may come at once; the count when absent, and never above it.")
    ] = None
    scope: Annotated[
        Literal["process", "store", "redis"],
        Field(
            description="store: counted exactly across processes. redis: across hosts. "
            "process: in this process's memory."
        ),
    ] = "store"
    per: Annotated[
        Literal["principal", "session", "tenant", "tool"],
        Field(
            description="Whose count it is. principal: an agent and the user it acts for. "
            "tool: everybody's who calls it."
        ),
    ] = "principal"


RateField: TypeAlias = Annotated[RateRow, BeforeValidator(_rate_from_text, json_schema_input_type=str | RateRow)]


class RoleRow(_Row):
    """What a role may do. ``deny`` wins over any ``tools`` of any role; both take globs."""

    permissions: Annotated[
        list[PermissionName],
        Field(
            description="execute_agent is needed to run a model; read_data, write_data, manage_agents, view_logs, "
            "admin and those declared under permissions are for your own code."
        ),
    ] = []
    inherits: Annotated[
        list[Name], Field(description="Roles whose permissions, tools and denials this one adds to its own.")
    ] = []
    tools: Annotated[
        list[Name], Field(description="Tools the role permits: declared names, or globs with * and ? that match one.")
    ] = []
    deny: Annotated[
        list[Name], Field(description="Tools the role denies; a deny in any role held beats every permission.")
    ] = []
    deny_permissions: Annotated[
        list[PermissionName],
        Field(description="Permissions the role denies; a deny in any role held beats every permission."),
    ] = []
    resources: Annotated[
        list[Name],
        Field(
            description="Globs: the role's own permissions, and its denials of permissions, are about these resources "
            "only; all when empty. Tools are not narrowed by it."
        ),
    ] = []
    mode: Annotated[Mode, Field(description="shadow: what only this role denies is recorded and not enforced.")] = (
        "enforce"
    )


class MessageRow(_Row):
    """What an agent may send another one."""

    topics: Annotated[
        list[Name],
        Field(min_length=1, description="What messages may be about: topics, or globs with * and ? that match one."),
    ] = ["*"]
    max_size: Annotated[Count, Field(description="Bytes a message may have on the channel between agents.")] = 1_048_576


def _rows_from_names(value: Any) -> Any:
    return {name: {} for name in value} if isinstance(value, list) and all(map(_is_text, value)) else value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


MessageRows: TypeAlias = Annotated[
    dict[Name, MessageRow],
    BeforeValidator(_rows_from_names, json_schema_input_type=list[Name] | dict[Name, MessageRow]),
]


class AgentRow(_Row):
    """An agent: its roles, and the agents it may send messages to."""

    roles: Annotated[list[Name], Field(description="Roles of the agent with this id.")] = []
    may_message: Annotated[
        MessageRows,
        Field(description="Agents it may send messages to: their names, or a mapping that says about what."),
    ] = {}


class ArgRow(_Row):
    """One argument of a tool. Every constraint given must hold."""

    sink: Annotated[
        SinkName | None,
        Field(description="What the value selects; decides how values are compared. It may be set by `sources` only."),
    ] = None
    content: Annotated[bool, Field(description="A body of text that the model writes: its origin is not judged.")] = (
        False
    )
    sources: Annotated[
        list[Name] | None,
        Field(
            description="Who may set it: user (the words of the request), and tools whose output is trusted or mixed. "
            "[user] when absent."
        ),
    ] = None
    allow: Annotated[
        list[str] | None, Field(description="Globs of which the value must match one; hosts for a url.")
    ] = None
    deny: Annotated[list[str], Field(description="Globs of which the value must match none; hosts for a url.")] = []
    one_of: Annotated[
        list[str | int | float | bool] | None,
        Field(description="The permitted values; the model may choose among them."),
    ] = None
    type: Annotated[TypeName | None, Field(description="The JSON type the value must have.")] = None
    max_length: Annotated[Count | None, Field(description="Longest text, in characters.")] = None
    min: Annotated[int | float | None, Field(description="Smallest number.")] = None
    max: Annotated[int | float | None, Field(description="Largest number.")] = None
    pattern: Annotated[str | None, Field(description="An RE2 pattern that the whole value must match.")] = None
    under: Annotated[
        str | None, Field(description="A folder the path must stay inside; climbing with .. is refused.")
    ] = None
    redact: Annotated[list[Redactable], Field(description="Taken out before the tool gets the value.")] = []
    restore: Annotated[
        list[Redactable],
        Field(description="Classes whose pseudonyms become their values again before the tool gets them."),
    ] = []
    required: Annotated[bool, Field(description="Must be given and not null.")] = False


class ToolRow(_Row):
    """A tool that may exist at all. Which role may call it stands under ``roles``."""

    side_effect: Annotated[
        SideEffect,
        Field(description="What a call does. Anything but read is recorded on disk before it runs."),
    ]
    output: Annotated[
        Literal["trusted", "mixed", "untrusted"],
        Field(
            description="Who may have written what it returns. trusted: only you. mixed: records with free text in "
            "some fields. untrusted: anybody."
        ),
    ] = "untrusted"
    free_text: Annotated[
        list[Name], Field(description="With `output: mixed`: the fields that anybody may have written.")
    ] = []
    egress: Annotated[
        bool,
        Field(description="Its arguments leave the machine although it only reads (a web fetch): judged like a send."),
    ] = False
    inbound: Annotated[
        bool, Field(description="Outsiders choose even its structured fields: who sent a mail, who shared a file.")
    ] = False
    object: Annotated[
        list[Phrase], Field(description="What the request must speak of: object families, or words of your own.")
    ] = []
    verbs: Annotated[list[Phrase], Field(description="Further phrases that ask for this tool.")] = []
    intent: Annotated[
        Intended | None, Field(description="Whether the request must ask for this action; flow.intent when absent.")
    ] = None
    repeat: Annotated[
        Repeated | None, Field(description="What happens to one call more than was asked for; flow.repeat when absent.")
    ] = None
    clears: Annotated[
        dict[Redactable, list[Phrase]],
        Field(description="Classes of confidential data that may leave by this tool, and to which recipients (globs)."),
    ] = {}
    args: Annotated[
        dict[Name, ArgRow],
        Field(description="One row an argument. Without a row, only the user's own words may set an argument."),
    ] = {}
    extra_args: Annotated[
        Literal["deny", "allow"],
        Field(description="deny: an argument without a row is refused. allow: the user's words may set it."),
    ] = "allow"
    approval: Annotated[
        Literal["never", "always", "when-untrusted"],
        Field(
            description="When a person must confirm a call. when-untrusted: once the run has read text of strangers."
        ),
    ] = "never"
    approver: Annotated[
        Name | None, Field(description="Role that whoever approves must hold; approval.role when absent.")
    ] = None
    cost: Annotated[
        Count,
        Field(description="Actions that one call spends: of its own rate, or of rates.default, which tools share."),
    ] = 1
    rate: Annotated[
        RateField | None, Field(description="How often, per agent and the user it acts for; rates.default when absent.")
    ] = None
    pin: Annotated[
        Pin | None,
        Field(
            description="The hash of the definition that was reviewed (`agentguard policy pin` writes it): another one "
            "is refused. required: none was reviewed yet, so the tool is refused."
        ),
    ] = None
    mode: Annotated[Mode, Field(description="shadow: decisions about this tool are recorded and not enforced.")] = (
        "enforce"
    )


class ThresholdsRow(_Row):
    """Thresholds of single channels, where they differ from ``threshold``."""

    user: Annotated[Threshold | None, Field(description="For a user's message.")] = None
    tool: Annotated[Threshold | None, Field(description="For a tool result.")] = None
    agent: Annotated[Threshold | None, Field(description="For another agent's message.")] = None
    retriever: Annotated[Threshold | None, Field(description="For a retrieved document.")] = None


class InjectionRow(_Row):
    """What happens to text that gives orders it has no right to give, by who wrote it."""

    user: Annotated[InjectionAction, Field(description="In a user's message.")] = "block"
    tool: Annotated[InjectionAction, Field(description="In a tool result or a retrieved document.")] = "strip"
    agent: Annotated[InjectionAction, Field(description="In another agent's message.")] = "strip"
    threshold: Annotated[
        Threshold, Field(description="How sure a finding must be: a word, or a score above 0 and up to 1.")
    ] = "balanced"
    thresholds: Annotated[
        ThresholdsRow, Field(description="The same for single writers, where it differs: `{tool: strict}`.")
    ] = ThresholdsRow()


class InputRow(_Row):
    """What a model, or a tool, may be handed. Lengths in code points."""

    max_length: Annotated[Count, Field(description="Characters of a user's message.")] = 10_000
    tool_result_max: Annotated[
        Count, Field(description="Characters of a tool result, a retrieved document, another agent's message.")
    ] = 1_000_000
    injection: Annotated[
        InjectionRow, Field(description="What happens to orders in texts that have no right to give any.")
    ] = InjectionRow()
    unicode: Annotated[
        Literal["strip", "block", "off"],
        Field(description="Invisible and control characters without an honest use. Put off in quotes."),
    ] = "strip"
    redact: Annotated[list[Redactable], Field(description="Taken out of what models read.")] = ["secret"]


class OutputRow(_Row):
    """What a model's answer may hold. Links and images may point to ``allow_hosts`` only when ``markup`` is on."""

    max_length: Annotated[Count, Field(description="Characters of an answer, or of one call's arguments.")] = 100_000
    redact: Annotated[list[Redactable], Field(description="Taken out of what models say.")] = ["secret", "pii"]
    markup: Annotated[
        Literal["block", "strip", "off"],
        Field(description="Active HTML, and images and links that call out: refused, made inert, or let through."),
    ] = "block"
    allow_hosts: Annotated[
        list[Name],
        Field(description="Hosts that images and links may lead to. Empty: no image from outside."),
    ] = []


class RatesRow(_Row):
    """Limits on model calls, agent messages, and ``default`` for each tool without a rate of its own."""

    model: Annotated[RateField | None, Field(description="Calls of a model.")] = None
    message: Annotated[RateField | None, Field(description="Messages to other agents.")] = None
    default: Annotated[RateField | None, Field(description="Each tool without a rate of its own.")] = None
    redis: Annotated[
        str | None,
        Field(
            description="Where scope redis counts: redis://host:6379/0, rediss:// or unix://, without a password. When "
            "absent, the line in redis.url of the project's folder."
        ),
    ] = None
    when_down: Annotated[
        Literal["deny", "local"],
        Field(description="While the count is down. deny: nothing is admitted. local: each process counts for itself."),
    ] = "deny"


class ApprovalRow(_Row):
    """How a person is asked about a call that needs one, where the program gives the guard no approver of its own."""

    approver: Annotated[
        Literal["none", "queue"],
        Field(description="none: such calls are refused. queue: they wait for `agentguard approvals`."),
    ] = "none"
    wait: Annotated[
        int, Field(ge=0, le=3600, description="Seconds a call waits for its answer before it is refused for now.")
    ] = 300
    expires: Annotated[
        int, Field(ge=1, le=2_592_000, description="Seconds for which a question can be answered and its yes be used.")
    ] = 86_400
    role: Annotated[Name | None, Field(description="Role that whoever approves must hold; any user when absent.")] = (
        None
    )
    own: Annotated[
        Literal["deny", "allow"],
        Field(description="Whether the requester may approve: the agent, and where a role is asked for also its user."),
    ] = "deny"


class AuditRow(_Row):
    """``digest`` records no payload text. ``unsafe-open`` lets an action happen that could not be recorded."""

    payloads: Annotated[
        Literal["digest", "full"],
        Field(description="digest: no payload text in the log. full: the text, encrypted."),
    ] = "digest"
    fail: Annotated[
        Literal["closed", "unsafe-open"],
        Field(description="closed: what cannot be recorded does not happen. unsafe-open: it happens."),
    ] = "closed"


class FlowRow(_Row):
    """Information flow: what is remembered of a run, and in which words a request asks for an action."""

    memory: Annotated[
        int, Field(ge=10_000, le=100_000_000, description="Characters of results remembered per run.")
    ] = 2_000_000
    languages: Annotated[
        list[Language], Field(min_length=1, description="Languages in which requests are understood.")
    ] = ["en", "de", "fr", "es"]
    intent: Annotated[
        Intended, Field(description="Whether the request must ask for an action that is more than reading.")
    ] = "required"
    repeat: Annotated[Repeated, Field(description="What happens to one action more than the request asked for.")] = (
        "ask"
    )
    verbs: Annotated[dict[VerbFamily, list[Phrase]], Field(description="Further phrases per verb family.")] = {}
    objects: Annotated[dict[Name, list[Phrase]], Field(description="Further words per object family.")] = {}


class OwnRecognizerRow(_Row):
    """A format of your own. A group named v in the pattern is the value, else the whole match is."""

    kind: Annotated[
        Redactable, Field(alias="class", description="Where it is taken out: wherever this class is redacted.")
    ] = "secret"
    pattern: Annotated[
        str, Field(min_length=1, max_length=1000, description="An RE2 pattern. It never matches a line end.")
    ]
    keywords: Annotated[
        list[Phrase],
        Field(description="Words of which one must stand before the value, at most 60 characters away on its line."),
    ] = []
    examples: Annotated[list[Phrase], Field(min_length=1, description="Texts in which it must find something.")]
    look_alikes: Annotated[list[Phrase], Field(description="Texts in which it must find nothing.")] = []


class RecognizersRow(_Row):
    """What counts as a secret or as personal data beside the built-in formats, and what does not."""

    own: Annotated[dict[Name, OwnRecognizerRow], Field(description="Formats of your own, by name.")] = {}
    deny: Annotated[
        list[Annotated[str, Field(min_length=6, max_length=1000)]],
        Field(description="Texts that are always taken out as secrets, in any encoding: a code name, a host."),
    ] = []
    allow: Annotated[
        list[Name], Field(description="Values that are never taken out, or globs with * and ? that match one.")
    ] = []


class RedactionRow(_Row):
    """How one class is written where it is redacted: an operator, or the same with a scope and what is kept."""

    operator: Annotated[
        Literal["tag", "mask", "hash", "pseudonym", "encrypt", "remove"],
        Field(
            description="tag: its type. mask: asterisks. hash: equal for equal values. pseudonym: a word that opens "
            "again, equal for equal values. encrypt: the same, never equal. remove: nothing."
        ),
    ] = "tag"
    scope: Annotated[
        Literal["session", "tenant"],
        Field(description="Where hashes are equal and pseudonyms open: in one session (else one run), or one tenant."),
    ] = "session"
    keep: Annotated[
        bool, Field(description="Leave the last four digits of a card or account, and the domain of an address.")
    ] = False


def _operator_from_text(value: object) -> object:
    return {"operator": value} if isinstance(value, str) else value


RedactionField: TypeAlias = Annotated[
    RedactionRow, BeforeValidator(_operator_from_text, json_schema_input_type=str | RedactionRow)
]


class RedactionsRow(_Row):
    """What stands in the place of a redacted value."""

    secret: Annotated[RedactionField, Field(description="For secrets.")] = RedactionRow()
    pii: Annotated[RedactionField, Field(description="For personal data.")] = RedactionRow()


class MonitorRow(_Row):
    """Watching for what is unusual, and what is done about it. Without this section nothing is watched."""

    response: Annotated[
        Literal["alert", "slow", "ask", "suspend"],
        Field(
            description="What an anomaly does to its principal: alert tells only; slow lets one call through in ten "
            "seconds; ask has a person approve each call; suspend refuses everything."
        ),
    ] = "alert"
    severity: Annotated[
        Literal["medium", "high", "critical"], Field(description="From which severity on the response is given.")
    ] = "high"
    duration: Annotated[
        str,
        Field(
            pattern="^[1-9][0-9]{0,3}[smhd]$",
            description="How long slow, ask and suspend hold unless a person lifts them: 30m, 1h, 2d.",
        ),
    ] = "1h"
    deliver: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]],
        Field(
            max_length=16,
            description="Where alerts go: https:// (webhook), smtp://host/?to=, syslog://host. Secrets come from the "
            "environment.",
        ),
    ] = []


class PolicyFile(_Row):
    """What agents may do. What is not permitted here is refused; unknown keys, names and words are load errors."""

    version: Annotated[Literal[1], Field(description="The version of this format.")]
    mode: Annotated[
        Mode, Field(description="enforce; or shadow: decide and record, change nothing, the safe way to adopt.")
    ] = "enforce"
    permissions: Annotated[
        list[PermissionName],
        Field(description="Names of permissions of your own, that roles may grant and your code asks for."),
    ] = []
    roles: Annotated[dict[Name, RoleRow], Field(description="Roles, and the tools each permits and denies.")] = {}
    agents: Annotated[dict[Name, AgentRow], Field(description="Agents, by the id of their verified identity.")] = {}
    tools: Annotated[
        dict[Name, ToolRow], Field(description="Tools that may exist at all; without a row a tool does not run.")
    ] = {}
    input: Annotated[InputRow, Field(description="What models and tools may be handed.")] = InputRow()
    output: Annotated[OutputRow, Field(description="What a model's answer may hold.")] = OutputRow()
    redaction: Annotated[
        RedactionsRow, Field(description="What stands in the place of a redacted value, by class.")
    ] = RedactionsRow()
    rates: Annotated[RatesRow, Field(description="How often, per agent and the user it acts for.")] = RatesRow()
    approval: Annotated[ApprovalRow, Field(description="How a person is asked about a call.")] = ApprovalRow()
    audit: Annotated[AuditRow, Field(description="What the log keeps, and what happens when it cannot.")] = AuditRow()
    monitor: Annotated[
        MonitorRow | None, Field(description="Watching for what is unusual: absent, nothing is watched.")
    ] = None
    recognizers: Annotated[
        RecognizersRow, Field(description="Formats of your own, texts always taken out, values never taken out.")
    ] = RecognizersRow()
    flow: Annotated[
        FlowRow, Field(description="Information flow: what is remembered of a run, and how requests are understood.")
    ] = FlowRow()
