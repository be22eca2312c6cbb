"""What becomes of a call that needs a person: asked at once, through a queue, or later by whoever resumes it.

Only a full yes, in time, to exactly this call permits it; an approver that breaks has approved nothing. After a wait
the policy decides again, and its deny wins over the yes.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from agentguard.access.approval import DEFAULT_TTL, ApprovalRequest
from agentguard.access.pending import PendingApprovals
from agentguard.access.queue import Question, QueueApprover
from agentguard.conversation import Conversation
from agentguard.decision import Decision, Effect, Finding
from agentguard.errors import ConfigError, StageError
from agentguard.event import Event, ToolCall

__all__ = ["Approver", "Escalations"]

_log = logging.getLogger("agentguard")

# Asks a person about one escalated call, given as it would run. May be sync or async; only ``True`` is a yes.
Approver = Callable[[ApprovalRequest], "bool | Awaitable[bool]"]

# How often a waiting call looks for its answer: soon at first, then once a second.
FIRST_LOOK_S = 0.05
LAST_LOOK_S = 1.0

_NOT_APPROVED = {
    "approval-refused": "Nobody approved this call.",
    "approval-unknown": "No open question matches this approval.",
    "approval-mismatch": "The approval was given for another call.",
    "approval-expired": "The approval came too late.",
    "approval-used": "The approval has been used already.",
    "approval-own": "The requester may not approve its own call.",
    "approval-tenant": "Whoever approved this call belongs to another tenant.",
    "approval-role": "Whoever approved this call does not hold the role that it asks for.",
}


class Escalations:
    """Turns an escalated decision into an answered one.

    Args:
        approver: a function that asks somebody, or a queue; without one an escalation stays refused.
        approvals: where questions wait that an adapter asks and resumes itself.
        policy_digest: the policy an approval is bound to.
        reconsider: decides about an event again, after a wait.

    Raises:
        ConfigError: the approver can ask nobody.
    """

    def __init__(
        self,
        *,
        approver: Approver | QueueApprover | None,
        approvals: PendingApprovals | None,
        policy_digest: str,
        reconsider: Callable[[Event, Conversation], Decision],
    ) -> None:
        if approver is not None and not callable(approver) and not isinstance(approver, QueueApprover):
            raise ConfigError(f"approver is a {type(approver).__name__}; pass a function that takes an ApprovalRequest")
        self._approver = approver
        self._approvals = approvals
        self._policy_digest = policy_digest
        self._reconsider = reconsider

    @property
    def can_wait(self) -> bool:
        """Whether an adapter may let a call wait: nobody else answers, and there is a place to wait in."""
        return self._approver is None and self._approvals is not None

    def asks(self, decision: Decision) -> bool:
        """Whether somebody is to be asked about this decision."""
        return (
            decision.effect is Effect.REQUIRE_APPROVAL
            and decision.mode == "enforce"
            and self._approver is not None
            and isinstance(decision.event, ToolCall)
        )

    def settle(self, decision: Decision, event: Event, run: Conversation) -> Decision:
        """Ask, wait, and say what follows. ``event`` is the call as it came in."""
        try:
            if isinstance(self._approver, QueueApprover):
                question = self._put(self._approver, decision, run)
                question = self._waited(self._approver, question)
                return self._resumed(self._approver, question, decision, event, run)
            approver, request = self._question_now(decision, run)
            answer = approver(request)
            if inspect.isawaitable(answer):
                answer = _run_to_end(answer)
        except Exception as error:  # noqa: BLE001  # an approver that breaks has approved nothing
            return _broken(decision, error)
        return _answered(decision, answer is True and not request.expired(time.time()))

    async def asettle(self, decision: Decision, event: Event, run: Conversation) -> Decision:
        """As ``settle``, without blocking the event loop."""
        try:
            if isinstance(self._approver, QueueApprover):
                question = await asyncio.to_thread(self._put, self._approver, decision, run)
                question = await self._awaited(self._approver, question)
                return await asyncio.to_thread(self._resumed, self._approver, question, decision, event, run)
            approver, request = self._question_now(decision, run)
            answer = await asyncio.to_thread(approver, request)
            if inspect.isawaitable(answer):
                answer = await answer
        except Exception as error:  # noqa: BLE001  # an approver that breaks has approved nothing
            return _broken(decision, error)
        return _answered(decision, answer is True and not request.expired(time.time()))

    def question(
        self, decision: Decision, run: Conversation, *, schema: str = "", ttl: float = DEFAULT_TTL
    ) -> ApprovalRequest:
        """What to ask a person about an escalated call.

        Raises:
            ConfigError: ``decision`` is not about a tool call, or ``ttl`` (seconds) is out of range.
        """
        if not isinstance(decision.event, ToolCall):
            raise ConfigError(f"got a decision about a {type(decision.event).__name__}; only tool calls are approved")
        return ApprovalRequest.of(
            decision.event,
            run,
            policy_digest=self._policy_digest,
            findings=decision.findings,
            origins=decision.origins,
            schema=schema,
            ttl=ttl,
        )

    def keep(self, request: ApprovalRequest) -> None:
        """Keep a question that an adapter asks, so that a later answer to it can count.

        Raises:
            ConfigError: there is no place where questions wait.
        """
        if self._approvals is None:
            raise ConfigError("this guard keeps no questions; make it with Guard.from_file, or pass approvals=")
        self._approvals.keep(request)

    def settled(self, decision: Decision, request: ApprovalRequest, digest: str | None) -> Decision:
        """What follows from an answer that an adapter brings: the ``digest`` approved, or None."""
        if decision.effect is not Effect.REQUIRE_APPROVAL:
            return decision
        if digest is None:
            return _answered(decision, approved=False)
        try:
            refusal = "approval-unknown" if self._approvals is None else self._approvals.use(request, digest)
        except Exception as error:  # noqa: BLE001  # a yes that cannot be looked up is no yes
            _log.error("the approval could not be looked up, so nothing was approved: %s", type(error).__name__)
            refusal = "approval-unknown"
        return _answered(decision, approved=True) if refusal is None else _refused(decision, refusal)

    def give_back(self, digest: str) -> None:
        """Let a yes count again: the call it was used for paused itself."""
        if self._approvals is not None:
            self._approvals.give_back(digest)

    def close(self) -> None:
        """Close the databases where questions wait."""
        if self._approvals is not None:
            self._approvals.close()
        if isinstance(self._approver, QueueApprover):
            self._approver.queue.close()

    def _question_now(self, decision: Decision, run: Conversation) -> tuple[Approver, ApprovalRequest]:
        if self._approver is None or isinstance(self._approver, QueueApprover):
            raise StageError("there is nobody to ask")
        return self._approver, self.question(decision, run)

    # -- through a queue -------------------------------------------------------------------------------------------

    def _put(self, approver: QueueApprover, decision: Decision, run: Conversation) -> Question:
        return approver.ask(self.question(decision, run, ttl=approver.expires))

    def _waited(self, approver: QueueApprover, question: Question) -> Question:
        for pause in _pauses(approver.wait):
            if question.answer is not None:
                break
            time.sleep(pause)
            found = approver.queue.find(question.digest)
            question = question if found is None else found
        return question

    async def _awaited(self, approver: QueueApprover, question: Question) -> Question:
        for pause in _pauses(approver.wait):
            if question.answer is not None:
                break
            await asyncio.sleep(pause)
            found = await asyncio.to_thread(approver.queue.find, question.digest)
            question = question if found is None else found
        return question

    def _resumed(
        self, approver: QueueApprover, question: Question, decision: Decision, event: Event, run: Conversation
    ) -> Decision:
        """The call as it stands now. The yes is used up last, so that what is denied anyway uses none."""
        if question.answer is None:
            told = f"A person must approve this call first (question {question.digest[:16]}); make it again later."
            return replace(decision, reason="approval-pending", message=told)
        if question.answer.approved:
            again = self._reconsider(event, run)
            if again.effect is Effect.DENY:
                return again
            decision = replace(again, id=decision.id)
        refusal = approver.queue.use(self.question(decision, run, ttl=approver.expires), question.digest)
        by = question.answer.by.id
        said = Finding(
            "access.answered", f"approver.{by}", message=f"answered by {by}, question {question.digest[:16]}"
        )
        decision = replace(decision, findings=(*decision.findings, said))
        return _answered(decision, approved=True) if refusal is None else _refused(decision, refusal)


def _pauses(wait: float) -> list[float]:
    """How long to sleep between looks, ``wait`` seconds in all."""
    pauses, left, pause = [], wait, FIRST_LOOK_S
    while left > 0:
        pauses.append(min(pause, left))
        left -= pauses[-1]
        pause = min(pause * 1.5, LAST_LOOK_S)
    return pauses


def _answered(decision: Decision, approved: bool) -> Decision:
    if approved:
        return replace(decision, effect=Effect.ALLOW, reason="approved", message="")
    return _refused(decision, "approval-refused")


def _refused(decision: Decision, reason: str) -> Decision:
    return replace(decision, effect=Effect.DENY, reason=reason, message=_NOT_APPROVED[reason])


def _broken(decision: Decision, error: Exception) -> Decision:
    _log.error("the approver failed, so nothing was approved: %s", type(error).__name__)
    return _answered(decision, approved=False)


def _run_to_end(answer: Awaitable[bool]) -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_ended(answer))
    if inspect.iscoroutine(answer):
        answer.close()
    _log.error("check() inside an event loop cannot wait for an async approver; use acheck()")
    return False


async def _ended(answer: Awaitable[bool]) -> bool:
    return await answer
