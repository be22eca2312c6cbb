"""Who acts, and what happens to a refusal.

PraisonAI turns many exceptions into an answer of ``None``. So a refusal is noted in the entry of the agent that runs,
and raised again when that agent is left; until then no model is called under it once more.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

from agentguard import Conversation, Denied, Principal, current_conversation
from agentguard.adapter import Gate, child_run, runs_tool

__all__ = ["FRAMEWORK", "Entry", "current_entry", "entered", "member_run", "noting"]

FRAMEWORK = "praisonai"


@dataclass(eq=False, slots=True)
class Entry:
    """An agent or a team that was entered, and the team around an agent."""

    owner: object
    run: Conversation
    team: Entry | None = None
    refusal: Denied | None = None

    def refuse(self, refusal: Denied) -> None:
        """Note why it may not go on; the team around it may not either."""
        self.refusal = self.refusal or refusal
        if self.team is not None:
            self.team.refuse(refusal)

    def go_on(self) -> None:
        """Raise what was refused before.

        Raises:
            Denied: something was.
        """
        if self.refusal is not None:
            raise self.refusal
        if self.team is not None:
            self.team.go_on()

    def holds(self, owner: object) -> bool:
        """Whether this is the entry of ``owner``, and not one more made by a tool of its own."""
        return self.owner is owner and current_conversation() is self.run and not runs_tool(self.run)


_entry: ContextVar[Entry | None] = ContextVar("agentguard_praisonai_entry", default=None)
_lock = threading.Lock()
_members: weakref.WeakKeyDictionary[Conversation, dict[str, Conversation]] = weakref.WeakKeyDictionary()


def current_entry() -> Entry | None:
    """The entry in which this code runs."""
    return _entry.get()


@contextmanager
def entered(entry: Entry) -> Iterator[None]:
    """Run an agent or a team; what was refused in it leaves it as it was raised.

    Raises:
        Denied: something was refused, whatever the framework made of it.
    """
    token = _entry.set(entry)
    try:
        with entry.run.active():
            yield
    except Exception:
        if entry.refusal is not None:
            raise entry.refusal from None
        raise
    finally:
        _entry.reset(token)
    if entry.refusal is not None:
        raise entry.refusal


@contextmanager
def noting() -> Iterator[None]:
    """Note a refusal that is raised here in the entry around it; go no further where one was."""
    entry = _entry.get()
    if entry is not None:
        entry.go_on()
    try:
        yield
    except Denied as refusal:
        if entry is not None:
            entry.refuse(refusal)
        raise


def member_run(team: Conversation, gate: Gate) -> Conversation:
    """The run of one agent in a team's run: the same for all its tasks."""
    principal = _principal(gate, team)
    with _lock:
        members = _members.setdefault(team, {})
        if principal.id not in members:
            members[principal.id] = child_run(team, principal, framework=FRAMEWORK)
        return members[principal.id]


def _principal(gate: Gate, outer: Conversation) -> Principal:
    caller = outer.principal
    return replace(gate.principal(), on_behalf_of=caller.on_behalf_of, session=caller.session, tenant=caller.tenant)
