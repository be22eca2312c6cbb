"""What one event of a run contributes, taken down in a few microseconds and measured later, on the scoring thread.

``Recorder`` is the only part of monitoring that runs where decisions are made. It appends one tuple to a bounded
queue: the decision's effect and the event itself, a frozen value. When many wait, events are measured at once instead
of kept, so that the queue holds numbers and its memory stays bounded; when it is full, events are dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from agentguard.conversation import Conversation
from agentguard.decision import Decision, Effect
from agentguard.event import AgentMessage, Event, Json, ModelInput, Principal, ToolCall, ToolResult

__all__ = ["Measured", "Measures", "Recorder", "Taken"]

# Events kept whole until they are measured; past this many they are measured by the caller.
MAX_KEPT = 256
MAX_QUEUED = 50_000
# Characters of a token, about; what is compared is the same estimate of the same principal.
CHARS_PER_TOKEN = 4


class Measured(NamedTuple):
    """The numbers of an event; texts only where they name something (tool, recipient)."""

    calls: int = 0
    tool: str = ""
    recipients: tuple[str, ...] = ()
    tokens: int = 0
    read: int = 0
    sent: int = 0
    error: bool = False


# One entry of the queue: seconds since 1970, who, the peer's address, whether it was denied, and what. A plain tuple:
# making anything else costs the caller a microsecond.
Taken: TypeAlias = tuple[float, Principal, "str | None", bool, "Event | Measured"]


@dataclass(frozen=True, slots=True)
class Measures:
    """What the policy says of tools: which arguments name a recipient, and which tools only read."""

    recipients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reading: frozenset[str] = frozenset()

    def of(self, event: Event) -> Measured:
        """The numbers of an event."""
        if isinstance(event, ToolCall):
            sent = 0 if event.tool in self.reading else _length(event.args)
            named = tuple(text for name in self.recipients.get(event.tool, ()) for text in _texts(event.args.get(name)))
            return Measured(1, event.tool, named, sent=sent)
        if isinstance(event, ToolResult):
            return Measured(read=_length(event.content), error=event.is_error)
        if isinstance(event, AgentMessage):
            return Measured(1, "", (f"agent:{event.receiver}",), sent=_length(event.content))
        if isinstance(event, ModelInput):
            length = sum(_length(message.content) for message in event.messages)
            return Measured(int(event.is_call), tokens=length // CHARS_PER_TOKEN if event.is_call else 0)
        return Measured(tokens=_length(event.message.content) // CHARS_PER_TOKEN)


class Recorder:
    """Takes decisions down. Thread-safe; ``__call__`` neither waits nor raises.

    Args:
        measures: how events are measured.
        address: the peer's address in the current request; None when there is none.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        measures: Measures | None = None,
        *,
        address: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.measures = measures or Measures()
        self._address = address
        self._clock = clock
        self._queue: deque[Taken] = deque()
        self._lock = threading.Lock()
        self._dropped = 0

    def __call__(self, decision: Decision, event: Event, run: Conversation, /) -> None:
        """Take one decision down."""
        waiting = len(self._queue)
        if waiting >= MAX_QUEUED:
            with self._lock:
                self._dropped += 1
            return
        denied = decision.effect is Effect.DENY
        kept = event if waiting < MAX_KEPT else self.measures.of(event)
        self._queue.append((self._clock(), run.principal, self._address(), denied, kept))

    def __len__(self) -> int:
        return len(self._queue)

    def take(self) -> tuple[list[Taken], int]:
        """What was taken down since the last time, and how many events were dropped."""
        taken = []
        # Only as many as there are now: a flood must not keep the scoring thread in this loop.
        for _ in range(len(self._queue)):
            taken.append(self._queue.popleft())
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        return taken, dropped

    def measured(self, taken: Taken) -> Measured:
        """The numbers of an entry."""
        return taken[4] if isinstance(taken[4], Measured) else self.measures.of(taken[4])


def _length(value: Json) -> int:
    """Characters of all texts inside, keys too."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        total = 0
        for key, item in value.items():
            total += len(key) + (len(item) if isinstance(item, str) else _length(item))
        return total
    if isinstance(value, list):
        return sum(map(_length, value))
    return 0 if value is None else 8


def _texts(value: Json) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [item for item in value if isinstance(item, str)]
    return []
