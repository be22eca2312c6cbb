"""Who acts in a request that reaches a server, and in which conversation."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import replace

from agentguard import Conversation, Principal, current_conversation
from agentguard.adapter import Gate

from .link import FRAMEWORK

__all__ = ["Caller", "Runs"]

# Says who calls, from what the server's own authentication has verified; None: the agent the guard was attached for.
Caller = Callable[[], "Principal | str | None"]


class Runs:
    """The conversations of a server's connections: one each for who calls, so that its calls are seen together."""

    def __init__(self, gate: Gate, caller: Caller | None = None) -> None:
        self._gate = gate
        self._caller = caller
        self._lock = threading.Lock()
        self._runs: weakref.WeakKeyDictionary[object, dict[Principal, Conversation]] = weakref.WeakKeyDictionary()

    def of(self, connection: object | None) -> Conversation:
        """The conversation of a request on ``connection``. One that the application opened goes before."""
        opened = current_conversation()
        if opened is not None:
            return opened
        who = self._caller() if self._caller is not None else None
        principal = self._gate.principal() if who is None else Principal(who) if isinstance(who, str) else who
        if connection is None:
            return Conversation(principal=principal, framework=FRAMEWORK)
        with self._lock:
            known = self._runs.setdefault(connection, {})
            if principal not in known:
                known[replace(principal)] = Conversation(principal=principal, framework=FRAMEWORK)
            return known[principal]
