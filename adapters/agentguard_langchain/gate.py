"""One way through the guard for every hook: build the event, ask, apply the answer.

Whatever goes wrong on the way, in reading a value, in deciding or in rebuilding it, is recorded through
``Guard.failed`` and refused. ``Scope`` remembers what passed during one hook, so that an outer hook sees that an inner
one, nearer to the model or tool, has already checked the same words.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from langchain_core.messages import BaseMessage
from langgraph.errors import GraphBubbleUp

from agentguard import Conversation, Decision, Event, Guard, Leaf

from .events import texts_of

if TYPE_CHECKING:
    from .approval import Asking, Asks

__all__ = ["REFUSED", "Gate", "Passage", "Scope", "note_pause", "note_rewritten", "outside_scopes", "release", "scope"]

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E", bound=Event)

# Said where a policy refuses without words of its own.
REFUSED = "This was refused by policy."


@dataclass(frozen=True, slots=True)
class Passage(Generic[T, E]):
    """How one kind of value becomes an event, and reads an event back.

    ``nearest`` is the event recorded when ``event`` fails.
    """

    event: Callable[[T], E]
    apply: Callable[[T, E, E], T]
    nearest: Callable[[], E]


@dataclass(frozen=True, slots=True)
class Gate:
    """The guard as one hook of one agent sees it."""

    guard: Guard
    agent: str | None = None
    asks: Asks | None = None

    def admit(self, value: T, passage: Passage[T, E], run: Conversation, asking: Asking | None = None) -> T:
        """``value`` as it may go on. With ``asking``, an escalated call may pause the graph for a person's answer.

        Raises:
            Denied: it may not.
        """
        try:
            event = passage.event(value)
            decision = self.guard.check(event, run=run)
            if asking is not None and asking.applies(decision):
                decision = asking.settled(decision, run)
            result = _applied(value, passage, event, decision)
            if decision.allowed:
                release(self.guard, decision.event)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001  # our own failure must be a refusal, not an open door
            decision, result = self.guard.failed(passage.nearest(), error, run=run), value
        _raise_if_denied(decision)
        return result

    async def aadmit(self, value: T, passage: Passage[T, E], run: Conversation, asking: Asking | None = None) -> T:
        """As ``admit``, without blocking the event loop."""
        try:
            event = passage.event(value)
            decision = await self.guard.acheck(event, run=run)
            if asking is not None and asking.applies(decision):
                decision = await asking.asettled(decision, run)
            result = _applied(value, passage, event, decision)
            if decision.allowed:
                release(self.guard, decision.event)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001  # as in admit
            decision, result = await self.guard.afailed(passage.nearest(), error, run=run), value
        _raise_if_denied(decision)
        return result

    def attempt(self, work: Callable[[], R], nearest: Event, otherwise: Callable[[], R]) -> R:
        """Do work of ours that may fail; a failure is recorded and refused. In shadow mode ``otherwise()`` stands in.

        Raises:
            Denied: the work failed.
        """
        try:
            return work()
        except Exception as error:  # noqa: BLE001  # as in admit
            _raise_if_denied(self.guard.failed(nearest, error, run=Conversation()))
            return otherwise()

    async def aattempt(
        self, work: Callable[[], R], nearest: Event, otherwise: Callable[[], R], *, slow: bool = False
    ) -> R:
        """As ``attempt``, without blocking the event loop; ``slow`` work leaves it."""
        try:
            return await asyncio.to_thread(work) if slow else work()
        except Exception as error:  # noqa: BLE001  # as in admit
            _raise_if_denied(await self.guard.afailed(nearest, error, run=Conversation()))
            return otherwise()


def _applied(value: T, passage: Passage[T, E], event: E, decision: Decision) -> T:
    if not decision.allowed:
        return value
    return passage.apply(value, event, decision.event)  # type: ignore[arg-type]  # the guard keeps an event's kind


def _raise_if_denied(decision: Decision) -> None:
    if not decision.allowed and not decision.message:
        decision = dataclasses.replace(decision, message=REFUSED)
    decision.raise_if_denied()


# -- what has passed -------------------------------------------------------------------------------------------------

# Words the framework itself puts into an answer when it changes the format of its content.
_STRUCTURE = frozenset({"text", "reasoning", "tool_call", "invalid_tool_call", "v0", "v1"})


def _is_position(leaf: Leaf) -> bool:
    """Whether this is the place LangChain gives a streamed content block."""
    return leaf.kind == "number" and leaf.path[-1:] == ("index",)


@dataclass(slots=True)
class Scope:
    """The texts that passed the guard, by kind of event, while one outer hook was open."""

    guard: Guard
    outer: Scope | None
    texts: dict[type, set[str]] = field(default_factory=dict)
    rewritten: dict[str, tuple[BaseMessage, BaseMessage]] = field(default_factory=dict)
    pause: GraphBubbleUp | None = None

    def covers(self, event: Event, *also: str) -> bool:
        """Whether every text of ``event`` has passed, as an event of its kind, inside this scope."""
        passed = self.texts.get(type(event))
        return passed is not None and texts_of(
            leaf for leaf in event.leaves() if not _is_position(leaf)
        ) <= passed | _STRUCTURE | set(also)


_scope: ContextVar[Scope | None] = ContextVar("agentguard_langchain_scope", default=None)


@contextmanager
def scope(guard: Guard) -> Iterator[Scope]:
    """Open a scope for one hook. It lives in a context variable: no text and no caller can claim to have passed."""
    opened = Scope(guard, _scope.get())
    token = _scope.set(opened)
    try:
        yield opened
    finally:
        _scope.reset(token)


@contextmanager
def outside_scopes() -> Iterator[None]:
    """Run foreign code, a tool: what passes inside it says nothing about the hooks around it."""
    token = _scope.set(None)
    try:
        yield
    finally:
        _scope.reset(token)


def release(guard: Guard, event: Event) -> None:
    """Note in every open scope of ``guard`` that the texts of ``event`` have passed."""
    within = _scope.get()
    texts = texts_of(event.leaves()) if within is not None else frozenset()
    while within is not None:
        if within.guard is guard:
            within.texts.setdefault(type(event), set()).update(texts)
        within = within.outer


def note_pause(pause: GraphBubbleUp) -> None:
    """Note in every open scope that the graph is to pause: early retry middleware takes that for a failure."""
    within = _scope.get()
    while within is not None:
        within.pause = within.pause or pause
        within = within.outer


def note_rewritten(guard: Guard, before: Sequence[BaseMessage], after: Sequence[BaseMessage]) -> None:
    """Note in every open scope of ``guard`` which messages the guard replaced, by their id."""
    changed = {old.id: (old, new) for old, new in zip(before, after, strict=True) if new is not old and old.id}
    within = _scope.get()
    while within is not None and changed:
        if within.guard is guard:
            within.rewritten.update(changed)
        within = within.outer
