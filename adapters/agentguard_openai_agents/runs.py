"""Who acts in a run that changes hands.

The conversation of a run belongs to the agent it starts with. An agent that takes over, or that is called as a tool,
acts under its own name as a child: it works on the same request, and nothing the agents wrote counts as the user's.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass, field, replace

from agentguard import Conversation
from agentguard.adapter import Gate, child_run, hook_run, human_author, runs_tool

__all__ = ["FRAMEWORK", "acting_run", "human_of"]

FRAMEWORK = "openai_agents"


@dataclass(slots=True)
class _Cast:
    """The agents of one conversation: who spoke first, and the children of the others."""

    first: str
    handed: dict[str, Conversation] = field(default_factory=dict)
    called: dict[str, Conversation] = field(default_factory=dict)


_lock = threading.Lock()
_casts: weakref.WeakKeyDictionary[Conversation, _Cast] = weakref.WeakKeyDictionary()


def acting_run(gate: Gate) -> Conversation:
    """The conversation in which the agent of ``gate`` acts now."""
    run = hook_run(gate, framework=FRAMEWORK)
    name = gate.principal().id
    with _lock:
        cast = _casts.setdefault(run, _Cast(name))
        if runs_tool(run):
            others = cast.called
        elif cast.first == name:
            return run
        else:
            others = cast.handed
        if name not in others:
            caller = run.principal
            principal = replace(
                gate.principal(), on_behalf_of=caller.on_behalf_of, session=caller.session, tenant=caller.tenant
            )
            others[name] = child_run(run, principal, framework=FRAMEWORK)
        return others[name]


def human_of(run: Conversation) -> str:
    """Who wrote the user messages an agent reads: after a hand-off still the person who wrote them before."""
    parent = run.parent
    with _lock:
        cast = _casts.get(parent) if parent is not None else None
        handed = cast is not None and run in cast.handed.values()
    return human_of(parent) if handed and parent is not None else human_author(run)
