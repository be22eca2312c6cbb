"""The way through the guard as LangChain's hooks need it, and the memory of what has passed.

``Scope`` remembers what passed during one hook, so that an outer hook sees that an inner one, nearer to the model or
tool, has already checked the same words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeVar

from langchain_core.messages import BaseMessage
from langgraph.errors import GraphBubbleUp

from agentguard import Conversation, Decision, Event, Guard, Leaf
from agentguard.adapter import Gate as AnyGate
from agentguard.adapter import Passage

from .events import texts_of

if TYPE_CHECKING:
    from .approval import Asking, Asks

__all__ = ["Gate", "Scope", "note_pause", "note_rewritten", "outside_scopes", "release", "scope"]

T = TypeVar("T")
E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Gate(AnyGate):
    """The guard as one hook of one agent sees it. A graph may pause for an answer, and every open scope is told."""

    asks: Asks | None = None

    interrupts: ClassVar[tuple[type[BaseException], ...]] = (GraphBubbleUp,)

    def ask(self, value: T, passage: Passage[T, E], run: Conversation, asking: Asking | None) -> T:
        """As ``admit``; with ``asking``, an escalated call may pause the graph for a person's answer.

        Raises:
            Denied: it may not go on.
        """

        def settle(decision: Decision) -> Decision:
            return asking.settled(decision, run) if asking is not None and asking.applies(decision) else decision

        return self.admit(value, passage, run, settle)

    async def aask(self, value: T, passage: Passage[T, E], run: Conversation, asking: Asking | None) -> T:
        """As ``ask``, without blocking the event loop."""

        async def settle(decision: Decision) -> Decision:
            if asking is None or not asking.applies(decision):
                return decision
            return await asking.asettled(decision, run)

        return await self.aadmit(value, passage, run, settle)

    def passed(self, event: Event) -> None:
        """Note in every open scope that the texts of ``event`` have passed."""
        release(self.guard, event)


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
