"""The policy enforcement point: every event passes the stages in one visible order and gets one decision.

Guarantees, each tested:

* a stage that raises, overruns its time or answers with anything but a ``Verdict`` is a deny (``stage-failed``);
* the first deny ends the list; a stage more never permits more; an obligation nobody can fulfil is a deny;
* no record, no action: a decision whose record is not stored is a deny (``audit-failed``);
* ``check`` and ``acheck`` decide alike; ``acheck`` never blocks the event loop on a disk, a lock or a long text.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, Self, TypeVar, overload

from agentguard.access.access import Access
from agentguard.access.approval import DEFAULT_TTL, ApprovalRequest
from agentguard.access.messages import MessageRights
from agentguard.access.pending import PendingApprovals
from agentguard.access.queue import QueueApprover
from agentguard.access.rbac import RBACManager
from agentguard.conversation import Conversation, current_conversation
from agentguard.decision import Decision, Effect, Finding, Rewrite, Stage, Verdict, combine
from agentguard.errors import AgentGuardError, AuditError, ConfigError, StageError, UnsupportedValueError
from agentguard.escalation import Approver, Escalations
from agentguard.event import Event, Json, Principal, ToolCall
from agentguard.wrapping import wrap_callable

if TYPE_CHECKING:
    from agentguard.monitor import AnomalyDetector, Channel
    from agentguard.policy import Policy

__all__ = ["Approver", "DecisionSink", "Guard", "StreamFilter"]

_log = logging.getLogger("agentguard")

# A stage is pure computation over at most some megabytes, or one row of a local database. Far beyond both.
STAGE_BUDGET_S = 10.0
# Events with more text than this are checked off the event loop: about a millisecond of scanning.
INLINE_CHARS = 16_384

Mode = Literal["enforce", "shadow"]
P = ParamSpec("P")
R = TypeVar("R")


class DecisionSink(Protocol):
    """Stores decisions. The future resolves when the record is durable and fails when it cannot become so.

    ``congested`` says that ``record`` may have to wait for room; it is then called off the event loop.

    Raises:
        AuditError: the record was not taken.
    """

    @property
    def congested(self) -> bool: ...

    def record(self, decision: Decision, event: Event, run: Conversation, /, *, durable: bool) -> Future[int]: ...

    def close(self) -> None: ...


class StreamFilter(Protocol):
    """Lets go what of a text that arrives in chunks may be read: the beginning of what checking the whole gives.

    It may have ``stopped`` where the whole will be refused; what it did not let go comes out of the check of the whole.
    """

    @property
    def stopped(self) -> bool: ...

    def feed(self, chunk: str, /) -> str: ...

    def flush(self) -> str: ...


class Guard:
    """One pipeline for every event of one or many agents. Thread-safe; share one per process.

    Args:
        stages: the checks, in order.
        audit: where decisions are recorded.
        mode: ``enforce``, or ``shadow``: decide and record, change nothing.
        agent: the agent name used where a framework gives none.
        side_effects: tool name to side effect; a call of a tool that is not ``read`` (unknown ones included)
            is recorded durably before it may run.
        shadowed: says whether policy puts this one event in shadow mode.
        approver: asks a person about escalated calls, at once or through a queue; without one an escalation is a deny.
        approvals: where questions wait that are answered later, maybe in another process.
        stream: makes a filter for the streamed answers of a run; without one a streamed answer is held back whole.
        stage_budget_s: seconds after which a stage's answer comes too late.
        policy_digest: the policy an approval is bound to.
        unsafe_open: let actions happen although the log does not take their record.
        monitor: listens to every decision, changes none, and is started and closed with the guard.
        rewrites_output: whether some stage may change or refuse what a model answers. Adapters refuse hooks that
            only hear of an answer once it was streamed, unless this is known to be False.
        messages: who may send whom what on the channel between agents; None permits nobody anything.
    """

    def __init__(
        self,
        *,
        stages: Sequence[Stage],
        audit: DecisionSink,
        mode: Mode = "enforce",
        agent: str | None = None,
        side_effects: Mapping[str, str] | None = None,
        shadowed: Callable[[Event, Conversation], bool] | None = None,
        approver: Approver | QueueApprover | None = None,
        approvals: PendingApprovals | None = None,
        stream: Callable[[Conversation], StreamFilter] | None = None,
        stage_budget_s: float = STAGE_BUDGET_S,
        policy_digest: str = "",
        unsafe_open: bool = False,
        rewrites_output: bool = True,
        messages: MessageRights | None = None,
        monitor: AnomalyDetector | None = None,
    ) -> None:
        if not stages:
            raise ConfigError("a guard without stages checks nothing; pass at least one stage or use Guard.from_file")
        if mode not in ("enforce", "shadow"):
            raise ConfigError(f"mode is {mode!r}; use 'enforce' or 'shadow'")
        self.stages = tuple(stages)
        self.mode: Mode = mode
        self.agent = agent
        self.rewrites_output = rewrites_output
        self.messages = messages
        self._audit = audit
        self._side_effects = dict(side_effects or {})
        self._shadowed = shadowed
        self._escalations = Escalations(
            approver=approver,
            approvals=approvals,
            policy_digest=policy_digest,
            reconsider=functools.partial(self._decide, again=True),
        )
        self._stream = stream
        self._budget_ns = int(stage_budget_s * 1e9)
        self._unsafe_open = unsafe_open
        self.monitor = monitor
        self._listener = monitor.listener if monitor is not None else None

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str] = "agentguard.yaml",
        *,
        home: str | os.PathLike[str] = ".agentguard",
        agent: str | None = None,
        approver: Approver | None = None,
        alerts: Mapping[str, Channel] | None = None,
    ) -> Self:
        """The one-line start: a policy file, and the folder that ``agentguard init`` made.

        Raises:
            PolicyError: the file is missing or no valid policy.
            StoreError: the folder is missing, not ours, open to others, or not writable.
            KeySourceError: the key is missing or open to others.
            AuditError: the log cannot be written or was tampered with.
        """
        from agentguard.policy import Policy

        return cls.from_policy(Policy.from_file(path), home=home, agent=agent, approver=approver, alerts=alerts)

    @classmethod
    def from_policy(
        cls,
        policy: Policy,
        *,
        home: str | os.PathLike[str] = ".agentguard",
        agent: str | None = None,
        approver: Approver | None = None,
        alerts: Mapping[str, Channel] | None = None,
    ) -> Self:
        """A guard with the default stages for ``policy``. ``Policy.default()`` permits no tool.

        With a section ``monitor`` in the policy, decisions are watched; ``alerts`` are further channels by name.

        Raises:
            StoreError, KeySourceError, AuditError: as ``from_file``.
        """
        from agentguard import assembly
        from agentguard.store import Home

        opened = Home.open(Path(home))
        sink = assembly.open_sink(policy, opened)
        try:
            operators = assembly.redaction_operators(policy, opened)
            stages = assembly.default_stages(policy, home=opened, log=sink.log, operators=operators)
            sink.configured(policy, stages)
            monitor = None
            if policy.monitor is not None:
                from agentguard.watching import open_monitor

                monitor = open_monitor(policy, opened, channels=alerts)
                monitor.start()
        except BaseException:
            sink.close()
            raise
        if policy.mode == "shadow":
            _log.warning("shadow mode: decisions are recorded and nothing is enforced")
        return cls(
            stages=stages,
            audit=sink,
            mode=policy.mode,
            agent=agent,
            side_effects={name: rule.side_effect for name, rule in policy.tools.items()},
            shadowed=assembly.shadow_rule(policy),
            approver=approver or assembly.queue_approver(policy, opened, sink.log),
            approvals=assembly.pending_approvals(opened),
            stream=assembly.stream_factory(policy, operators, stages),
            policy_digest=policy.digest,
            unsafe_open=policy.audit.fail == "unsafe-open",
            rewrites_output=assembly.rewrites_output(policy),
            messages=assembly.message_rights(policy),
            monitor=monitor,
        )

    # -- deciding ------------------------------------------------------------------------------------------------

    def check(self, event: Event, *, run: Conversation | None = None) -> Decision:
        """Decide about ``event`` and record it. Never raises for a refusal: ask ``decision.allowed``.

        ``run`` defaults to the active conversation; without any, nobody acts and no tool is permitted.
        """
        run = _conversation(run)
        decision = self._decide(event, run)
        if self._escalations.asks(decision):
            decision = self._escalations.settle(decision, event, run)
        return self._recorded(decision, event, run)

    async def acheck(self, event: Event, *, run: Conversation | None = None) -> Decision:
        """As ``check``, without blocking the event loop."""
        run = _conversation(run)
        if _is_long(event) or any(stage.blocking for stage in self.stages):
            decision = await asyncio.to_thread(self._decide, event, run)
        else:
            decision = self._decide(event, run)
        if self._escalations.asks(decision):
            decision = await self._escalations.asettle(decision, event, run)
        return await self._arecorded(decision, event, run)

    def failed(self, event: Event, error: Exception, *, run: Conversation | None = None) -> Decision:
        """Refuse, and record, because something around the guard broke: an adapter, a value no check can read.

        ``event`` is the nearest event that can be built; its texts may be left out.
        """
        run = _conversation(run)
        return self._recorded(self._failure(event, run, error), event, run)

    async def afailed(self, event: Event, error: Exception, *, run: Conversation | None = None) -> Decision:
        """As ``failed``, without blocking the event loop."""
        run = _conversation(run)
        return await self._arecorded(self._failure(event, run, error), event, run)

    @property
    def congested(self) -> bool:
        """Whether the audit log may have to wait for room: ``note`` is then called off an event loop."""
        return self._audit.congested

    def note(self, record: Mapping[str, Json]) -> None:
        """Put an event that is no decision into the audit log, when the sink takes such; it must not wait.

        Raises:
            AuditError: it was not taken.
        """
        note = getattr(self._audit, "note", None)
        if note is not None:
            note(record)

    # -- approvals that come later ---------------------------------------------------------------------------------

    @property
    def can_ask_later(self) -> bool:
        """Whether a call may wait for a person's answer: nobody answers at once, and there is a place to wait in."""
        return self._escalations.can_wait

    def question(
        self, decision: Decision, run: Conversation, *, schema: str = "", ttl: float = DEFAULT_TTL
    ) -> ApprovalRequest:
        """What to ask a person about an escalated call. ``schema`` is the digest of the tool's argument schema.

        Raises:
            ConfigError: ``decision`` is not about a tool call, or ``ttl`` (seconds) is out of range.
        """
        return self._escalations.question(decision, run, schema=schema, ttl=ttl)

    def ask_later(self, request: ApprovalRequest) -> None:
        """Keep the question, so that a later answer to it can count.

        Raises:
            ConfigError: this guard has no place where questions wait.
        """
        self._escalations.keep(request)

    def answer(
        self, decision: Decision, request: ApprovalRequest, digest: str | None, *, run: Conversation
    ) -> Decision:
        """Decide and record an escalated call now that its answer has come: the ``digest`` approved, or None.

        ``decision`` and ``request`` are made anew from what is about to run, so a deny of today's policy wins, and a
        yes to another call, a used or an expired one is a deny with its own reason.
        """
        return self._recorded(self._escalations.settled(decision, request, digest), decision.event, run)

    async def aanswer(
        self, decision: Decision, request: ApprovalRequest, digest: str | None, *, run: Conversation
    ) -> Decision:
        """As ``answer``, without blocking the event loop."""
        settled = await asyncio.to_thread(self._escalations.settled, decision, request, digest)
        return await self._arecorded(settled, decision.event, run)

    def give_back(self, digest: str) -> None:
        """Let a yes count again: the call it was used for paused itself, and will start again from its beginning."""
        self._escalations.give_back(digest)

    # -- tools ---------------------------------------------------------------------------------------------------

    @overload
    def tool(self, function: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def tool(self, /, *, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def tool(self, function: Callable[..., Any] | None = None, /, *, name: str | None = None) -> Any:
        """Decorate a tool: ``@guard.tool`` or ``@guard.tool(name="send_email")``."""
        if function is not None:
            return self.wrap_tool(function)
        return functools.partial(self.wrap_tool, name=name)

    def wrap_tool(self, function: Callable[P, R], *, name: str | None = None) -> Callable[P, R]:
        """Guard a function, coroutine function or (async) generator function, with the same signature.

        A refused call or result raises ``Denied``. A generator's items are checked together before the first is
        handed out. ``name`` is the policy's name for the tool and defaults to the function's.

        Raises:
            ConfigError: no name, or no readable signature.
        """
        return wrap_callable(self, function, name)

    def wrap_tools(self, functions: Iterable[Callable[..., Any]]) -> list[Callable[..., Any]]:
        """Guard several functions under their own names."""
        return [self.wrap_tool(function) for function in functions]

    # -- roles -----------------------------------------------------------------------------------------------------

    @property
    def roles(self) -> RBACManager:
        """The roles by which this guard decides: assign them here, and decorate functions of your own with them.

        Raises:
            ConfigError: none of the stages goes by roles.
        """
        for stage in self.stages:
            if isinstance(stage, Access):
                return stage.rbac
        raise ConfigError("this guard has no Access stage, so no roles; make it with Guard.from_file")

    # -- conversations and streams -------------------------------------------------------------------------------

    @contextmanager
    def conversation(
        self, principal: Principal | str, prompt: str | None = None, *, thread: str | None = None, id: str | None = None
    ) -> Iterator[Conversation]:
        """Open a run for ``principal`` (an agent's name, or a verified ``Principal``) asked to do ``prompt``.

        Only ``prompt`` counts as the user's will; mark what was pasted into it with ``run.untrusted(text)``. ``id``
        names a run that goes on later, so that an approval asked for in its first part counts in its second.
        """
        who = Principal(principal) if isinstance(principal, str) else principal
        run = Conversation(principal=who, request=prompt, parent=current_conversation(), thread=thread, id=id)
        for stage in self.stages:
            explainer = getattr(stage, "origins", None)
            if explainer is not None:
                run.explained_by(explainer)
        with run.active():
            yield run

    def stream_filter(self, run: Conversation | None = None) -> StreamFilter | None:
        """A fresh filter for one streamed answer; None when answers must be held back whole to be checked.

        ``run`` defaults to the active conversation.
        """
        return self._stream(_conversation(run)) if self._stream is not None else None

    def close(self) -> None:
        """Flush and close the audit log, and whatever stages hold open."""
        for stage in self.stages:
            close = getattr(stage, "close", None)
            if close is not None:
                close()
        self._escalations.close()
        if self.monitor is not None:
            self.monitor.close()
        self._audit.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one decision --------------------------------------------------------------------------------------------

    def _decide(self, event: Event, run: Conversation, *, again: bool = False) -> Decision:
        """``again``: after a wait for a person; what was spent when the call first came is not spent twice."""
        trail = _Trail(event, in_shadow=self._in_shadow(event, run))
        for stage in self.stages:
            if again and getattr(stage, "spends", False):
                continue
            trail.add(stage.name, self._inspect(stage, trail.current, run))
            # Shadow mode goes on past a deny, so that the record shows everything that would have been found.
            if trail.denied and not trail.in_shadow:
                break
        return trail.decision()

    def _failure(self, event: Event, run: Conversation, error: Exception) -> Decision:
        reason = error.code if isinstance(error, AgentGuardError) else "stage-failed"
        trail = _Trail(event, in_shadow=self._in_shadow(event, run))
        verdict = _stage_failed("adapter", reason)
        if isinstance(error, UnsupportedValueError):
            # These messages name types only, and say what to pass instead.
            verdict = replace(verdict, message=f"Refused: {error}.")
        trail.add("adapter", _Outcome(verdict, event, error, 0))
        return trail.decision()

    def _inspect(self, stage: Stage, event: Event, run: Conversation) -> _Outcome:
        """Run one stage and apply its obligations. The only place where any exception is turned into a deny."""
        started = time.perf_counter_ns()
        try:
            verdict = stage.inspect(event, run)
            if not isinstance(verdict, Verdict):
                raise StageError(f"stage {stage.name!r} answered with {type(verdict).__name__}, not a Verdict")
            elapsed = time.perf_counter_ns() - started
            if elapsed > self._budget_ns:
                raise StageError(f"stage {stage.name!r} took {elapsed / 1e9:.1f} s, more than its budget")
            rewritten = event if verdict.shadow else _fulfil(verdict, event)
        except Exception as error:  # noqa: BLE001  # failing closed is the point
            _log.error("stage %s failed and was taken as a deny: %s", stage.name, type(error).__name__)
            cause = error if isinstance(error, StageError) else StageError(f"stage {stage.name!r} failed")
            if cause is not error:
                cause.__cause__ = error
            denied = _stage_failed(stage.name, "stage-failed")
            return _Outcome(denied, event, cause, time.perf_counter_ns() - started)
        return _Outcome(verdict, rewritten, None, elapsed)

    def _in_shadow(self, event: Event, run: Conversation) -> bool:
        return self.mode == "shadow" or (self._shadowed is not None and self._shadowed(event, run))

    # -- recording -----------------------------------------------------------------------------------------------

    def _recorded(self, decision: Decision, event: Event, run: Conversation) -> Decision:
        if self._listener is not None:
            self._listener(decision, event, run)
        try:
            receipt = self._record(decision, event, run)
            if receipt is not None:
                receipt.result()
        except AuditError as error:
            return self._unrecorded(decision, event, error)
        return decision

    async def _arecorded(self, decision: Decision, event: Event, run: Conversation) -> Decision:
        if self._listener is not None:
            self._listener(decision, event, run)
        try:
            if self._audit.congested or _is_long(event):
                receipt = await asyncio.to_thread(self._record, decision, event, run)
            else:
                receipt = self._record(decision, event, run)
            if receipt is not None:
                await asyncio.wrap_future(receipt)
        except AuditError as error:
            return self._unrecorded(decision, event, error)
        return decision

    def _record(self, decision: Decision, event: Event, run: Conversation) -> Future[int] | None:
        durable = self._is_durable(decision, event)
        try:
            receipt = self._audit.record(decision, event, run, durable=durable)
        except AuditError:
            raise
        except Exception as error:  # a record that cannot be made is a record that is not stored
            raise AuditError(f"the record could not be made: {type(error).__name__}") from error
        return receipt if durable else None

    def _is_durable(self, decision: Decision, event: Event) -> bool:
        if decision.effect is not Effect.ALLOW or decision.reason == "approved":
            return True
        return isinstance(event, ToolCall) and self._side_effects.get(event.tool) != "read"

    def _unrecorded(self, decision: Decision, event: Event, error: AuditError) -> Decision:
        if self._unsafe_open:
            _log.error("the audit log did not take a record, and the policy lets the action happen: %s", error)
            return decision
        _log.error("the audit log did not take a record, so the action is refused: %s", error)
        return replace(
            decision,
            effect=Effect.DENY,
            event=event,
            reason="audit-failed",
            message="The action could not be recorded, so it was refused.",
            stage="audit",
            rewritten=False,
            cause=error,
        )


@dataclass(frozen=True, slots=True)
class _Outcome:
    verdict: Verdict
    event: Event
    cause: Exception | None
    elapsed_ns: int


class _Trail:
    """What the stages said about one event so far, and the event as it now reads."""

    def __init__(self, event: Event, *, in_shadow: bool) -> None:
        self.current = event
        self.in_shadow = in_shadow
        self._event = event
        self._started = time.perf_counter_ns()
        self._verdicts: list[Verdict] = []
        self._timings: list[tuple[str, int]] = []
        self._decider = ""
        self._cause: Exception | None = None
        self._rank = Effect.ALLOW.rank

    @property
    def denied(self) -> bool:
        """Whether some stage that counts has denied."""
        return self._rank == Effect.DENY.rank

    def add(self, name: str, outcome: _Outcome) -> None:
        verdict = outcome.verdict
        self._verdicts.append(verdict)
        self._timings.append((name, outcome.elapsed_ns))
        self.current = outcome.event
        if not verdict.shadow and verdict.effect.rank > self._rank:
            self._rank, self._decider, self._cause = verdict.effect.rank, name, outcome.cause

    def decision(self) -> Decision:
        verdict = combine(self._verdicts)
        return Decision(
            effect=verdict.effect,
            event=self._event if self.in_shadow else self.current,
            id=secrets.token_hex(8),
            mode="shadow" if self.in_shadow else "enforce",
            findings=verdict.findings,
            rules=verdict.rules,
            reason=verdict.reason,
            message=verdict.message,
            stage=self._decider,
            rewritten=self.current is not self._event and self.current != self._event,
            retry_after=verdict.retry_after,
            elapsed_ns=time.perf_counter_ns() - self._started,
            stage_ns=tuple(self._timings),
            cause=self._cause,
            origins=verdict.origins,
        )


def _conversation(run: Conversation | None) -> Conversation:
    return run or current_conversation() or Conversation()


def _stage_failed(stage: str, reason: str) -> Verdict:
    return Verdict(
        effect=Effect.DENY,
        findings=(Finding("stage-failed", rule=f"stage.{stage}"),),
        reason=reason,
        message="A security check could not be completed, so this was refused.",
        rules=(f"stage.{stage}",),
    )


def _fulfil(verdict: Verdict, event: Event) -> Event:
    texts: dict[tuple[str | int, ...], str] = {}
    for obligation in verdict.obligations:
        if not isinstance(obligation, Rewrite):
            raise StageError(f"nobody can fulfil an obligation of type {type(obligation).__name__}")
        texts[obligation.path] = obligation.text
    return event.with_texts(texts) if texts else event


def _is_long(event: Event) -> bool:
    total = 0
    try:
        for leaf in event.leaves():
            total += len(leaf.text)
            if total > INLINE_CHARS:
                return True
    except ValueError:
        # A number of more digits than Python writes out. Whoever inspects it will refuse it.
        return True
    return False
