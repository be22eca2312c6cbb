"""Approval by LangGraph's ``interrupt``: an escalated tool call pauses the graph until a person answers.

The question is JSON that names the call, why it was escalated and where its values came from, and ends with a digest.
An answer counts for exactly that call: the policy decides again when the graph goes on, and a deny wins; the yes is
looked up in the guard's state database and used up, so that it runs one call once, whichever process resumes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.runnables.config import ensure_config
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command, Interrupt, interrupt

from agentguard import AdapterError, ApprovalRequest, Conversation, Decision, Effect, Guard

from .checkpoint import saver_of

__all__ = ["APPROVAL_TTL", "ApproveWith", "Asking", "Asks", "asks_of", "resume_with"]

ApproveWith = Literal["interrupt"]
# Seconds for which a question that waits in a checkpoint can be answered: people sleep.
APPROVAL_TTL = 86_400.0


@dataclass(frozen=True, slots=True)
class Asks:
    """How the tools of one agent ask for approval. ``ttl`` is in seconds."""

    ttl: float


def asks_of(guard: Guard, approve_with: ApproveWith | None, ttl: float) -> Asks | None:
    """What ``approve_with`` means for this guard.

    Raises:
        AdapterError: another word, or a guard that asks somebody at once or cannot keep a question.
    """
    if approve_with is None:
        return None
    if approve_with != "interrupt":
        raise AdapterError(f"got approve_with={approve_with!r}; 'interrupt' and None are accepted")
    if not 0 < ttl < float("inf"):
        raise AdapterError(f"got approval_ttl={ttl}; a finite number of seconds above 0 is accepted")
    if not guard.can_ask_later:
        raise AdapterError(
            "approve_with='interrupt' needs a guard without an approver that has a state database: "
            "make it with Guard.from_file or Guard.from_policy and leave approver= out"
        )
    return Asks(ttl)


def resume_with(questions: Iterable[Interrupt], *, approved: bool) -> Command[Any]:
    """What to invoke the graph with once a person has answered: the same answer to each of these questions.

    ``agent.invoke(resume_with(paused["__interrupt__"], approved=True), config)``
    """
    return Command(resume={q.id: {"approved": approved is True, "digest": q.value["digest"]} for q in questions})


@dataclass(slots=True)
class Asking:
    """One tool call on its way through the guard, should it have to wait for a person."""

    guard: Guard
    asks: Asks | None
    tool: BaseTool
    used: str | None = field(default=None, init=False)

    def applies(self, decision: Decision) -> bool:
        """Whether this decision pauses the graph: somebody must approve, and the graph can wait."""
        waits = decision.effect is Effect.REQUIRE_APPROVAL and not decision.allowed
        return self.asks is not None and waits and saver_of(ensure_config()) is not None

    def settled(self, decision: Decision, run: Conversation) -> Decision:
        """The decision with the answer. Pauses the graph when there is none yet."""
        request = self._question(decision, run)
        try:
            answer = interrupt(request.payload)
        except GraphBubbleUp:
            self.guard.ask_later(request)
            raise
        return self._noted(self.guard.answer(decision, request, _approved(answer), run=run), answer)

    async def asettled(self, decision: Decision, run: Conversation) -> Decision:
        """As ``settled``, without blocking the event loop."""
        request = self._question(decision, run)
        try:
            answer = interrupt(request.payload)
        except GraphBubbleUp:
            await asyncio.to_thread(self.guard.ask_later, request)
            raise
        return self._noted(await self.guard.aanswer(decision, request, _approved(answer), run=run), answer)

    def paused(self) -> None:
        """The tool itself pauses the graph after it was approved: it will start again, and may use the yes again."""
        if self.used is not None:
            self.guard.give_back(self.used)

    def _question(self, decision: Decision, run: Conversation) -> ApprovalRequest:
        ttl = APPROVAL_TTL if self.asks is None else self.asks.ttl
        return self.guard.question(decision, run, schema=_schema_digest(self.tool), ttl=ttl)

    def _noted(self, decision: Decision, answer: object) -> Decision:
        self.used = _approved(answer) if decision.allowed else None
        return decision


def _approved(answer: object) -> str | None:
    """The digest that an answer says yes to. Anything but a full yes to a named question is a no."""
    if not isinstance(answer, dict) or answer.get("approved") is not True:
        return None
    digest = answer.get("digest")
    return digest if isinstance(digest, str) else None


def _schema_digest(tool: BaseTool) -> str:
    schema: Any = tool.tool_call_schema
    shown = schema if isinstance(schema, dict) else schema.model_json_schema()
    return hashlib.sha256(json.dumps(shown, sort_keys=True, default=str).encode()).hexdigest()
