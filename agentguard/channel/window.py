"""Which messages of one sender were taken already: the replay window of one (sender, epoch).

Sequences may only grow. What was seen is answered as it was answered before; what is older than the window, or claims
the sequence or the id of another message, is refused, not guessed about.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from dataclasses import dataclass

from agentguard.channel.envelope import Envelope

__all__ = ["Outcome", "Replayed", "Taken", "Window"]

# Messages whose outcome is remembered.
WINDOW = 4096
# Replies kept for a sender that has to ask again. One that is larger is not kept: asking again then fails.
KEPT_REPLY_BYTES = 256 * 1024


class Outcome(enum.Enum):
    """What became of a message. ``FAILED``: its handler did not finish; it may be sent again."""

    RUNNING = "running"
    HANDLED = "handled"
    REFUSED = "refused"
    FAILED = "failed"


class Replayed(Exception):
    """The message is none that the sender may send now. ``reason`` is a short stable word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True, eq=False)
class Taken:
    """A message that was accepted, and what became of it. ``reply`` is None when there is none, or none was kept."""

    id: bytes
    sequence: int
    digest: bytes
    outcome: Outcome = Outcome.RUNNING
    reply: bytes | None = None
    code: str = ""
    reason: str = ""


class Window:
    """The messages of one sender since it started."""

    __slots__ = ("_ids", "_replies", "_reply_bytes", "_taken", "high", "hold")

    def __init__(self) -> None:
        # Highest sequence taken. ``hold``: the one that was sent back to be sent again; later ones wait for it.
        self.high = 0
        self.hold: int | None = None
        self._taken: OrderedDict[int, Taken] = OrderedDict()
        self._ids: set[bytes] = set()
        # Those with a kept reply, oldest first.
        self._replies: deque[Taken] = deque()
        self._reply_bytes = 0

    def __len__(self) -> int:
        return len(self._taken)

    def judge(self, envelope: Envelope) -> Taken | None:
        """The same message as it was taken before; None when it is new and in order.

        Raises:
            Replayed: neither; ``held`` when it has to wait for an earlier one, which its sender will send again.
        """
        if envelope.sequence > self.high:
            if envelope.id in self._ids:
                raise Replayed("id-reused")
            if self.hold is not None and envelope.sequence != self.hold and envelope.skipped < self.hold:
                raise Replayed("held")
            return None
        taken = self._taken.get(envelope.sequence)
        if taken is None:
            raise Replayed("out-of-window" if envelope.sequence + WINDOW <= self.high else "reordered")
        if taken.id != envelope.id or taken.digest != envelope.digest:
            raise Replayed("id-reused")
        return taken

    def take(self, envelope: Envelope) -> Taken:
        """Accept a new message."""
        self.hold = None
        self.high = envelope.sequence
        return self.restore(Taken(envelope.id, envelope.sequence, envelope.digest))

    def restore(self, taken: Taken) -> Taken:
        """Remember a message, oldest first."""
        self.high = max(self.high, taken.sequence)
        self._taken[taken.sequence] = taken
        self._ids.add(taken.id)
        if len(self._taken) > WINDOW:
            self._ids.discard(self._taken.popitem(last=False)[1].id)
        return taken

    def keep_reply(self, taken: Taken, reply: bytes) -> None:
        """Remember the reply too, as long as there is room; older replies make way."""
        if len(reply) > KEPT_REPLY_BYTES:
            return
        taken.reply = reply
        self._replies.append(taken)
        self._reply_bytes += len(reply)
        while self._reply_bytes > KEPT_REPLY_BYTES or len(self._replies) > WINDOW:
            oldest = self._replies.popleft()
            self._reply_bytes -= len(oldest.reply or b"")
            oldest.reply = None
