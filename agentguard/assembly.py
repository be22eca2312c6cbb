"""From a policy and a home folder to a guard: the default stages, in one visible list.

Policy, detection, access, flow and audit do not know each other; here, and only here, their settings are built from
the compiled policy.
"""

from __future__ import annotations

import functools
import os
import pwd
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal

from agentguard.access import (
    Access,
    AgentGrants,
    PendingApprovals,
    Permission,
    ProcessCounter,
    RateLimit,
    Rates,
    RateSettings,
    RBACManager,
    Response,
    RiskStates,
    Role,
    StoreCounter,
)
from agentguard.access.rbac import BUILT_IN
from agentguard.audit import AuditEventType, AuditLog, EventLogger, decision_record, repeat_key
from agentguard.audit.record import encode
from agentguard.conversation import Conversation, current_conversation
from agentguard.decision import Decision, Span, Stage
from agentguard.detect import Content, ContentRules, Size, StreamRedactor, redact
from agentguard.detect.recognizers import Choice, own_recognizer
from agentguard.detect.recognizers.registry import CLASSES
from agentguard.errors import ConfigError, KeySourceError, WriteError
from agentguard.event import Event, Json, ToolCall, ToolResult
from agentguard.flow import ArgLabels, Flow, ToolLabels, Vocabulary
from agentguard.keys import DataKeyEntry, DataKeyring, KeyAccess, KeySource, KeyVault, home_keys
from agentguard.policy import Arguments, Policy
from agentguard.policy.compiled import ArgRule, RateRule, RecognizerRules, ToolRule
from agentguard.policy.glob import Globs
from agentguard.store import Home, open_state

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

__all__ = [
    "AuditSink",
    "SecureAPIKeyManager",
    "SecurityAuditLogger",
    "default_stages",
    "open_sink",
    "pending_approvals",
    "redacted",
    "rewrites_output",
    "roles_of",
    "rotate_data_key",
    "shadow_rule",
    "stream_factory",
]

# Labels of thousands of tools must not make the record of a start too large to be taken.
MAX_LABEL_BYTES = 1024 * 1024


def default_stages(policy: Policy, *, home: Home | None) -> list[Stage]:
    """The order of checks. Each stage sees the event as the ones before it left it.

    Without a home nothing is read or written: rates are counted in this process alone, for a dry run.
    Content stands before Arguments and Flow, so that constraints and provenance judge the texts that will be used.
    """
    return [
        *_response(policy, home),
        Size(
            max_length=policy.input.max_length,
            tool_result_max=policy.input.tool_result_max,
            output_max=policy.output.max_length,
        ),
        _rates(policy, home),
        Access(roles_of(policy), policy.tools, _grants(policy)),
        Content(content_rules(policy)),
        Arguments(policy),
        _flow(policy),
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


def _flow(policy: Policy) -> Flow:
    return Flow(
        {name: _labels(rule) for name, rule in policy.tools.items()},
        vocabulary=Vocabulary(policy.flow.languages, policy.flow.verbs, policy.flow.objects),
        memory=policy.flow.memory,
        classify=_classifier(policy),
        # A streamed answer is only redacted: what would be refused must be held back whole.
        answers=policy.output.markup != "off",
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


def roles_of(policy: Policy) -> RBACManager:
    """The policy's roles beside the three built-in ones, which permit no tool; a policy may redefine those."""
    roles = {role.name: role for role in BUILT_IN}
    for rule in policy.roles.values():
        roles[rule.name] = Role(
            rule.name,
            permissions=frozenset(Permission(name) for name in rule.permissions),
            inherits=rule.inherits,
            tools=rule.tools,
            deny=rule.deny,
            shadow=rule.mode == "shadow",
        )
    manager = RBACManager(roles.values())
    for agent in policy.agents.values():
        for name in agent.roles:
            manager.assign_role(agent.name, name, kind="agent")
    return manager


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

    def close(self) -> None:
        """Flush and close the log."""
        self.log.close()


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


def stream_factory(policy: Policy) -> Callable[[], StreamRedactor] | None:
    """Makes filters for streamed answers, when redaction is all that can happen to an answer.

    Markup and invisible characters are judged on the whole text only: with those rules on, an answer is held back.
    """
    if policy.output.markup != "off" or policy.input.unicode != "off":
        return None
    choice = _choice(policy.recognizers)
    denied = policy.recognizers.deny if "secret" in policy.output.redact else ()
    return lambda: StreamRedactor(policy.output.redact, registered=denied, choice=choice)


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
    return {name: AgentGrants(rule.roles, rule.may_message) for name, rule in policy.agents.items()}


def _rates(policy: Policy, home: Home | None) -> Rates:
    settings = RateSettings(
        tools={name: _limit(rule.rate) for name, rule in policy.tools.items() if rule.rate is not None},
        model=_limit(policy.rates.model) if policy.rates.model else None,
        message=_limit(policy.rates.message) if policy.rates.message else None,
        default=_limit(policy.rates.default) if policy.rates.default else None,
    )
    shared = any(limit.scope == "store" for limit in settings.limits())
    process = ProcessCounter()
    if not shared:
        return Rates(settings, process=process)
    return Rates(settings, process=process, store=process if home is None else _store_counter(home))


def _limit(rule: RateRule) -> RateLimit:
    return RateLimit(count=rule.count, seconds=rule.seconds, burst=rule.burst, scope=rule.scope)


def pending_approvals(home: Home) -> PendingApprovals:
    """Where questions to a person wait in the home's state database; it is opened at the first question."""

    def opened() -> Engine:
        from sqlalchemy import MetaData

        metadata = MetaData()
        PendingApprovals.define(metadata)
        # FULL: a used approval must not come back after a power cut.
        return open_state(home, metadata)

    return PendingApprovals(opened)


def _store_counter(home: Home) -> StoreCounter:
    from sqlalchemy import MetaData

    metadata = MetaData()
    StoreCounter.define(metadata)
    # A count lost in a power cut costs at most one refill; a sync per call would cost every call.
    return StoreCounter(open_state(home, metadata, synchronous="NORMAL"))


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
