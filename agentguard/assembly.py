"""From a policy and a home folder to a guard: the default stages, in one visible list.

Policy, detection, access, flow and audit do not know each other; here, and only here, their settings are built from
the compiled policy.
"""

from __future__ import annotations

import functools
import os
import pwd
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal

from agentguard.access import (
    Access,
    AgentGrants,
    ApprovalQueue,
    Assignment,
    Counter,
    FailoverCounter,
    MessageGrant,
    MessageRights,
    PendingApprovals,
    ProcessCounter,
    QueueApprover,
    RateLimit,
    Rates,
    RateSettings,
    RBACManager,
    RedisCounter,
    Response,
    RiskStates,
    Role,
    StoreCounter,
    Terms,
)
from agentguard.access.role import BUILT_IN
from agentguard.accounts import AccessLog
from agentguard.audit import AuditEventType, AuditLog, EventLogger, decision_record, repeat_key
from agentguard.audit.record import encode
from agentguard.channel.identity import IdentityRecord
from agentguard.conversation import Conversation, current_conversation
from agentguard.decision import Decision, Span, Stage
from agentguard.detect import (
    Content,
    ContentRules,
    OperatorRule,
    Operators,
    Restore,
    Size,
    StreamRedactor,
    redact,
)
from agentguard.detect.recognizers import Choice, own_recognizer
from agentguard.detect.recognizers.registry import CLASSES
from agentguard.errors import ConfigError, KeySourceError, WriteError
from agentguard.event import Event, Json, Principal, ToolCall, ToolResult
from agentguard.flow import ArgLabels, Flow, ToolLabels, Vocabulary
from agentguard.keys import DataEncryption, DataKeyEntry, DataKeyring, KeyAccess, KeySource, KeyVault, home_keys
from agentguard.policy import Arguments, Pins, Policy
from agentguard.policy.compiled import ArgRule, RateRule, RecognizerRules, RedactionRule, ToolRule
from agentguard.policy.glob import Globs
from agentguard.store import Home, open_state
from agentguard.store.files import check_file

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

__all__ = [
    "AuditSink",
    "SecureAPIKeyManager",
    "approval_queue",
    "SecurityAuditLogger",
    "default_stages",
    "identity_log",
    "message_rights",
    "open_sink",
    "pending_approvals",
    "queue_approver",
    "redaction_operators",
    "redis_url",
    "redacted",
    "rewrites_output",
    "roles_of",
    "rotate_data_key",
    "shadow_rule",
    "stream_factory",
]

# Labels of thousands of tools must not make the record of a start too large to be taken.
MAX_LABEL_BYTES = 1024 * 1024


def default_stages(
    policy: Policy, *, home: Home | None, log: AuditLog | None = None, operators: Operators | None = None
) -> list[Stage]:
    """The order of checks. Each stage sees the event as the ones before it left it.

    Without a home nothing is read or written: rates are counted in this process alone, for a dry run. Without a log
    roles assigned at run time are those of this process.
    Restore and Content stand before Arguments and Flow, so that constraints and provenance judge the texts that will
    be used. ``operators``: as ``redaction_operators`` makes them; made here when absent.
    """
    operators = operators or redaction_operators(policy, home)
    return [
        *_response(policy, home),
        Size(
            max_length=policy.input.max_length,
            tool_result_max=policy.input.tool_result_max,
            output_max=policy.output.max_length,
        ),
        _rates(policy, home),
        Access(roles_of(policy, home=home, log=log), policy.tools, _grants(policy)),
        # Before Content, which may rewrite a definition. A dry run is shown none.
        *([Pins(policy)] if home is not None and any(rule.pin for rule in policy.tools.values()) else []),
        Restore(operators, _restored_args(policy)),
        Content(content_rules(policy), operators),
        Arguments(policy),
        _flow(policy, operators),
    ]


def _response(policy: Policy, home: Home | None) -> list[Stage]:
    """Only where monitoring may answer with more than an alert; and never in a dry run, which has no state."""
    if home is None or policy.monitor is None or policy.monitor.response == "alert":
        return []

    def opened() -> Engine:
        from sqlalchemy import MetaData

        metadata = MetaData()
        RiskStates.define(metadata)
        return open_state(home, metadata)

    return [Response(RiskStates(opened))]


def redaction_operators(policy: Policy, home: Home | None) -> Operators:
    """What stands in a redacted value's place. Its keys come from the home's; without a home they are random.

    Raises:
        KeySourceError: an operator needs a key, and the home's is missing or open to others.
    """
    rules = {
        name: OperatorRule(rule.operator, rule.scope, rule.keep)
        for name, rule in policy.redaction.items()
        if rule != RedactionRule()
    }
    return Operators(rules) if home is None else Operators(rules, lambda: home_keys(home).kek())


def _restored_args(policy: Policy) -> dict[str, dict[str, frozenset[str]]]:
    args = {
        name: {arg.name: arg.restore for arg in rule.args.values() if arg.restore}
        for name, rule in policy.tools.items()
    }
    return {name: restored for name, restored in args.items() if restored}


def _flow(policy: Policy, operators: Operators) -> Flow:
    return Flow(
        {name: _labels(rule) for name, rule in policy.tools.items()},
        vocabulary=Vocabulary(policy.flow.languages, policy.flow.verbs, policy.flow.objects),
        memory=policy.flow.memory,
        classify=_classifier(policy),
        # A streamed answer is only redacted: what would be refused must be held back whole.
        answers=policy.output.markup != "off",
        # A pseudonym has the origin of the value it stands for.
        revealed=operators.revealed,
    )


def _classifier(policy: Policy) -> Callable[[str], Iterator[tuple[str, Span]]]:
    """Secrets and personal data in a text, by their dotted class."""
    choice = _choice(policy.recognizers)

    def classified(text: str) -> Iterator[tuple[str, Span]]:
        for name in sorted(CLASSES, reverse=True):
            for found in choice.scan(text, frozenset({name})):
                yield found.type, Span(found.start, found.end)

    return classified


@functools.lru_cache(maxsize=16)
def _choice(rules: RecognizerRules) -> Choice:
    """The policy's own recognizers and the values it lets stay; compiled once for all that use them."""
    return Choice(
        (
            own_recognizer(
                own.name,
                own.pattern,
                kind=own.kind,
                keywords=own.keywords,
                examples=own.examples,
                look_alikes=own.look_alikes,
            )
            for own in rules.own
        ),
        rules.allowed,
    )


def roles_of(
    policy: Policy, *, home: Home | None = None, log: AuditLog | None = None, strict: bool = False
) -> RBACManager:
    """The policy's roles beside the three built-in ones, which permit no tool; a policy may redefine those.

    With a home and its log, further assignments are kept there, and each change and denial is recorded.
    """
    roles = {role.name: role for role in BUILT_IN}
    for rule in policy.roles.values():
        roles[rule.name] = Role(
            rule.name,
            permissions=rule.permissions,
            inherits=rule.inherits,
            tools=rule.tools,
            deny=rule.deny,
            shadow=rule.mode == "shadow",
            deny_permissions=rule.deny_permissions,
            resources=rule.resources,
        )
    return RBACManager(
        roles.values(),
        permissions=policy.permissions,
        home=home if log is not None else None,
        record=AccessLog(log) if log is not None else None,
        strict=strict,
        granted=[
            Assignment(agent.name, name, kind="agent", tenant="*")
            for agent in policy.agents.values()
            for name in agent.roles
        ],
    )


def shadow_rule(policy: Policy) -> Callable[[Event, Conversation], bool] | None:
    """Says which events the policy puts in shadow mode by their tool; None when there are none."""
    tools = frozenset(name for name, rule in policy.tools.items() if rule.mode == "shadow")
    if not tools:
        return None
    return lambda event, _run: isinstance(event, ToolCall | ToolResult) and event.tool in tools


def open_sink(policy: Policy, home: Home) -> AuditSink:
    """Open the home's audit log for decisions."""
    return AuditSink(AuditLog.open(home), payloads=policy.audit.payloads, policy_digest=policy.digest)


class AuditSink:
    """Puts decisions into an audit log, as records that name the policy they were made by."""

    def __init__(self, log: AuditLog, *, payloads: Literal["digest", "full"], policy_digest: str = "") -> None:
        self.log = log
        self._policy_digest = policy_digest
        self._payloads: Literal["digest", "full"] = payloads

    @property
    def congested(self) -> bool:
        """Whether ``record`` may have to wait for room in the log's queue."""
        return self.log.congested

    def record(self, decision: Decision, event: Event, run: Conversation, /, *, durable: bool) -> Future[int]:
        """Append; the future resolves when the record is durable. Raises ``WriteError`` when it cannot be taken."""
        try:
            record = decision_record(decision, event, run, payloads=self._payloads)
            repeats = repeat_key(record)
            record["policy.digest"] = self._policy_digest or None
            return self.log.append(record, durable=durable, repeats=repeats)
        except ConfigError as error:
            raise WriteError("the decision has no record that the log could hold, so it was not stored") from error

    def configured(self, policy: Policy, stages: list[Stage]) -> None:
        """Record durably which policy rules from now on.

        Raises:
            WriteError: the log does not take it, so nothing may run.
        """
        record: dict[str, Json] = {
            "type": "configuration",
            "policy.digest": policy.digest,
            "mode": policy.mode,
            "stages": [stage.name for stage in stages],
            # What later decisions rest on: with it a changed policy can be judged by them.
            "labels": _recorded_labels(policy),
            "flow": policy.flow.labels(),
            "texts": policy.texts_digest,
        }
        self.log.append(record, durable=True).result()

    def note(self, record: Mapping[str, Json]) -> None:
        """Append a record that is no decision: an event of the channel.

        Raises:
            WriteError: it cannot be taken.
        """
        self.log.append({**record, "policy.digest": self._policy_digest or None}, durable=False)

    def close(self) -> None:
        """Flush and close the log."""
        self.log.close()


def identity_log(log: AuditLog) -> Callable[[IdentityRecord], None]:
    """A ``record`` for the channel: what happens to identities is on disk when the call returns.

    What is called raises ``WriteError`` when it was not stored, and then it must not happen. Refusals are queued: who
    knocks must not make us wait for the disk.
    """

    def record(happened: IdentityRecord) -> None:
        stored: dict[str, Json] = {
            "type": "identity",
            "event": f"identity-{happened.action}",
            "disposition": "Allowed" if happened.success else "Blocked",
            "reason": happened.detail,
            "principal.id": happened.subject or None,
            "certificate.serial": None if happened.serial is None else f"{happened.serial:x}",
            "by": happened.by,
        }
        pending = log.append(stored, durable=happened.success)
        if happened.success:
            pending.result()

    return record


def _recorded_labels(policy: Policy) -> Json:
    labels: dict[str, Json] = {name: rule.labels() for name, rule in policy.tools.items()}
    return labels if len(encode(labels)) <= MAX_LABEL_BYTES else None


def content_rules(policy: Policy) -> ContentRules:
    """The policy's rules for texts."""
    injection = policy.input.injection
    return ContentRules(
        injection_user=injection.user,
        injection_tool=injection.tool,
        injection_agent=injection.agent,
        threshold=injection.threshold,
        thresholds=injection.thresholds,
        unicode=policy.input.unicode,
        redact_input=policy.input.redact,
        redact_results=policy.input.redact,
        redact_output=policy.output.redact,
        redact_args={
            # A tool nobody declared never runs, but what an answer would hand it is shown and kept.
            "*": {"*": policy.output.redact},
            **{
                name: {arg.name: arg.redact for arg in rule.args.values() if arg.redact}
                for name, rule in policy.tools.items()
            },
        },
        markup=policy.output.markup,
        hosts=frozenset(policy.output.allow_hosts),
        registered=policy.recognizers.deny,
        choice=_choice(policy.recognizers),
    )


def rewrites_output(policy: Policy) -> bool:
    """Whether an answer may be changed or refused for its text."""
    return bool(policy.output.redact) or policy.output.markup != "off" or policy.input.unicode != "off"


def stream_factory(
    policy: Policy, operators: Operators, stages: Sequence[Stage]
) -> Callable[[Conversation], StreamRedactor] | None:
    """Makes filters for streamed answers: what they let go is the beginning of what the stages make of the whole.

    None when that cannot be told from a part: tokens of ``encrypt`` differ each time they are made.
    """
    if any(policy.redaction[name].operator == "encrypt" for name in policy.output.redact):
        return None
    choice = _choice(policy.recognizers)
    denied = policy.recognizers.deny if "secret" in policy.output.redact else ()
    flows = [stage for stage in stages if isinstance(stage, Flow)]

    def filtered(run: Conversation) -> StreamRedactor:
        operator = operators.at(run)
        return StreamRedactor(
            policy.output.redact,
            registered=denied,
            choice=choice,
            operator=operator,
            spans=operator.spans,
            markup=policy.output.markup,
            hosts=frozenset(policy.output.allow_hosts),
            unicode=policy.input.unicode,
            overflow="wait",
            shows=lambda text: all(flow.shows(text, run) for flow in flows),
        )

    return filtered


def redacted(text: str) -> str:
    """Without the secrets and personal data that the recognizers know."""
    return redact(text, frozenset({"secret", "pii"}))


class SecurityAuditLogger(EventLogger):
    """An ``EventLogger`` that removes what the recognizers know, secrets and personal data, unless told otherwise."""

    default_redact = staticmethod(redacted)


class SecureAPIKeyManager(KeyVault):
    """A ``KeyVault`` that records every access in the home's audit log: service and version, never a value.

    Args:
        master_password, home: as ``KeyVault``. Without a home the keys live in this object, and nothing is recorded
            unless a log is given.
        log: an open log to record in instead, shared with a guard; it is not closed by this object.

    Raises:
        MissingPasswordError (ValueError), WeakPasswordError, WrongPasswordError: as ``KeyVault``.
        ForgedError, StoreError: as ``KeyVault``.
        KeySourceError, TamperError: the home's log does not open.
    """

    def __init__(
        self, master_password: str | None = None, *, home: Home | Path | str | None = None, log: AuditLog | None = None
    ) -> None:
        found = home if home is None or isinstance(home, Home) else Home.open(home)
        self._own_log: AuditLog | None = None
        if log is None and found is not None:
            log = self._own_log = AuditLog.open(found, keys=_log_keys(found, master_password))
        try:
            super().__init__(master_password, home=found, record=None if log is None else _key_record(log))
        except BaseException:
            self._close_log()
            raise

    def close(self) -> None:
        """As ``KeyVault.close``; a log that was opened here is flushed and closed."""
        super().close()
        self._close_log()

    def _close_log(self) -> None:
        if self._own_log is not None:
            self._own_log.close()


def _log_keys(home: Home, password: str | None) -> KeySource:
    """A home made with a master password may have the vault's: then one password opens both."""
    try:
        return home_keys(home)
    except KeySourceError:
        if not password:
            raise
        return home_keys(home, password=password)


def rotate_data_key(home: Home) -> DataKeyEntry:
    """Add a key to the home's keyring, recorded in its audit log before it counts.

    Raises:
        KeySourceError, StoreError, TamperError, WriteError: keyring or log cannot be used; there is no new key.
    """
    with AuditLog.open(home) as log:
        return DataKeyring.open(home).rotate(
            record=lambda key_id: _log_key_event(log, "data-key-rotate", {"key_id": key_id}, reads=False)
        )


def _key_record(log: AuditLog) -> Callable[[KeyAccess], None]:
    def record(access: KeyAccess) -> None:
        details: dict[str, Json] = {"service": access.service, "version": access.version, "reason": access.reason}
        reads = access.action in ("get", "list", "open")
        _log_key_event(log, f"api-key-{access.action}", details, reads=reads, success=access.success)

    return record


def _log_key_event(log: AuditLog, action: str, details: dict[str, Json], *, reads: bool, success: bool = True) -> None:
    run = current_conversation()
    EventLogger(log=log, redact=redacted).log_event(
        AuditEventType.DATA_ACCESS if reads else AuditEventType.DATA_MODIFY,
        run.principal.id if run else f"os:{pwd.getpwuid(os.geteuid()).pw_name}",
        {"action": action, **details},
        success,
    )


def _grants(policy: Policy) -> dict[str, AgentGrants]:
    return {
        name: AgentGrants(
            rule.roles, {to: MessageGrant(each.topics, each.max_size) for to, each in rule.may_message.items()}
        )
        for name, rule in policy.agents.items()
    }


def message_rights(policy: Policy) -> MessageRights:
    """Who may send whom what, for the channel."""
    return MessageRights({name: grants.may_message for name, grants in _grants(policy).items()})


def _rates(policy: Policy, home: Home | None) -> Rates:
    settings = RateSettings(
        tools={name: _limit(rule.rate) for name, rule in policy.tools.items() if rule.rate is not None},
        model=_limit(policy.rates.model) if policy.rates.model else None,
        message=_limit(policy.rates.message) if policy.rates.message else None,
        default=_limit(policy.rates.default) if policy.rates.default else None,
        costs={name: rule.cost for name, rule in policy.tools.items()},
    )
    process = ProcessCounter()
    counters: dict[str, Counter] = {"process": process}
    for scope in {limit.scope for limit in settings.limits()} - {"process"}:
        if home is None:
            counters[scope] = process
            continue
        shared = RedisCounter(redis_url(policy, home)) if scope == "redis" else StoreCounter.of(home)
        counters[scope] = FailoverCounter(shared, process if policy.rates.when_down == "local" else None)
    return Rates(settings, counters=counters)


def redis_url(policy: Policy, home: Home) -> str:
    """Where rates of scope redis count; raises ``ConfigError`` when nothing says so."""
    if policy.rates.redis is not None:
        return policy.rates.redis
    path = home.path / "redis.url"
    if not path.exists():
        raise ConfigError(f"a rate has scope redis; set rates.redis, or write the server's URL into {path} (mode 600)")
    check_file(path)
    return path.read_text("utf-8", "replace").strip()


def _limit(rule: RateRule) -> RateLimit:
    return RateLimit(count=rule.count, seconds=rule.seconds, burst=rule.burst, scope=rule.scope, per=rule.per)


def approval_queue(policy: Policy, home: Home, log: AuditLog) -> ApprovalQueue:
    """The home's questions to people; roles are those of the policy and the home, read anew for every answer."""

    def opened() -> tuple[Engine, DataEncryption]:
        from sqlalchemy import MetaData

        metadata = MetaData()
        ApprovalQueue.define(metadata)
        # FULL: a used approval must not come back after a power cut.
        return open_state(home, metadata), DataEncryption.from_home(home)

    return ApprovalQueue(opened, roles=_HeldRoles(roles_of(policy, home=home, log=log, strict=True)))


def queue_approver(policy: Policy, home: Home, log: AuditLog) -> QueueApprover | None:
    """Asks through the queue, when the policy says so."""
    if policy.approval.approver != "queue":
        return None
    rules = policy.approval
    own = rules.own == "allow"
    roles = {name: rule.approver or rules.role for name, rule in policy.tools.items()}
    return QueueApprover(
        approval_queue(policy, home, log),
        terms=lambda tool: Terms(roles.get(tool, rules.role), own),
        wait=rules.wait,
        expires=rules.expires,
    )


class _HeldRoles:
    """The roles a principal holds, with those they inherit from."""

    def __init__(self, rbac: RBACManager) -> None:
        self._rbac = rbac

    def __call__(self, principal: Principal) -> tuple[str, ...]:
        known = {role.name: role for role in self._rbac.roles}
        found = dict.fromkeys(self._rbac.roles_for(principal))
        for name in (pending := list(found)):
            fresh = [parent for parent in known[name].inherits if parent not in found] if name in known else []
            found.update(dict.fromkeys(fresh))
            pending.extend(fresh)
        return tuple(found)

    def close(self) -> None:
        """Close the roles' database."""
        self._rbac.close()


def pending_approvals(home: Home) -> PendingApprovals:
    """Where questions to a person wait in the home's state database; it is opened at the first question."""

    def opened() -> Engine:
        from sqlalchemy import MetaData

        metadata = MetaData()
        PendingApprovals.define(metadata)
        # FULL: a used approval must not come back after a power cut.
        return open_state(home, metadata)

    return PendingApprovals(opened)


def _labels(rule: ToolRule) -> ToolLabels:
    return ToolLabels(
        side_effect=rule.side_effect,
        output=rule.output,
        free_text=rule.free_text,
        egress=rule.egress,
        args={name: _arg_labels(arg) for name, arg in rule.args.items()},
        approval_when_untrusted=rule.approval == "when-untrusted",
        inbound=rule.inbound,
        object=rule.object,
        verbs=rule.verbs,
        intent=rule.intent == "required",
        repeat_asks=rule.repeat == "ask",
        clears={name: Globs.allow(globs, atomic=True).match for name, globs in rule.clears.items()},
    )


def _arg_labels(rule: ArgRule) -> ArgLabels:
    # The compiled policy has filled the defaults in: no sink means a body, or a choice among values that it lists.
    if rule.sink is None:
        return ArgLabels(content=rule.content, constrained=not rule.content)
    return ArgLabels(sink=rule.sink, sources=rule.sources)
