"""What the channel asks others about: whether a message is permitted, what its content may be, and where to record.

The channel holds no policy. Whatever raises, or takes too long to answer, has said no.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from agentguard.channel.envelope import Message, digest
from agentguard.channel.spiffe import SpiffeId
from agentguard.errors import Denied
from agentguard.event import Json

__all__ = ["ANY_TOPIC", "Authorize", "Checks", "Inspect", "Record"]

_log = logging.getLogger("agentguard.channel")

# Asked when a connection is made, before there is a message: may these two talk about anything at all?
ANY_TOPIC = ""


class Authorize(Protocol):
    """Says whether ``sender`` may send ``receiver`` a message of ``size`` bytes about ``topic``; None is a yes."""

    def __call__(self, sender: SpiffeId, receiver: SpiffeId, topic: str, size: int, /) -> Denied | None: ...


# Gives the message as the handler may see it.  Raises Denied.
Inspect: TypeAlias = Callable[[Message], Awaitable[Message]]
Record: TypeAlias = Callable[[Mapping[str, Json]], None]

# Events of one kind about one peer: a hostile peer must not be able to fill the log. The rest is counted.
RECORDS_PER_S = 10.0
MAX_KINDS = 1024


@dataclass(slots=True)
class _Count:
    until: float
    left: float
    omitted: int = 0


class Checks:
    """The hooks of one endpoint, made fail-closed.

    Args:
        authorize: the policy's answer. It must not block: it is called on the event loop.
        record: takes audit records; None where there is no log.
        budget_s: seconds after which an answer comes too late and counts as a no.
    """

    def __init__(self, authorize: Authorize, *, record: Record | None = None, budget_s: float = 0.1) -> None:
        self._authorize = authorize
        self._record = record
        self._budget = budget_s
        self._kinds: OrderedDict[tuple[object, ...], _Count] = OrderedDict()

    def refusal(self, sender: SpiffeId, receiver: SpiffeId, topic: str, size: int) -> tuple[str, Denied | None] | None:
        """The reason why it is not permitted, with the policy's own refusal when it gave one; None when it is."""
        started = time.perf_counter()
        try:
            denied = self._authorize(sender, receiver, topic, size)
            if denied is not None and not isinstance(denied, Denied):
                raise TypeError(f"authorize answered with a {type(denied).__name__}")
        except Exception as error:  # noqa: BLE001  # failing closed is the point
            _log.error("authorize failed and was taken as a deny: %r", error)
            return "authorize-failed", None
        if denied is None:
            if time.perf_counter() - started <= self._budget:
                return None
            _log.error("authorize took longer than %.3f s and was taken as a deny", self._budget)
            return "authorize-timeout", None
        return denied.decision.reason or "denied", denied

    def may_talk(self, one: SpiffeId, other: SpiffeId) -> bool:
        """Whether one of the two may send the other anything."""
        return self.refusal(one, other, ANY_TOPIC, 0) is None or self.refusal(other, one, ANY_TOPIC, 0) is None

    def record(self, event: str, payload: bytes | None = None, /, **fields: Json) -> None:
        """Record an event of the channel; a flood of one kind from one peer is counted instead of written.

        Of a ``payload`` the digest is recorded.
        """
        if self._record is None:
            return
        now = time.monotonic()
        key = (event, fields.get("reason"), fields.get("peer"), str(fields.get("address", "")).rpartition(":")[0])
        count = self._kinds.get(key)
        if count is None or now >= count.until:
            omitted = count.omitted if count else 0
            self._kinds[key] = _Count(now + 1.0, RECORDS_PER_S - 1)
            self._kinds.move_to_end(key)
            if len(self._kinds) > MAX_KINDS:
                self._kinds.popitem(last=False)
        elif count.left >= 1:
            count.left -= 1
            omitted = 0
        else:
            count.omitted += 1
            return
        if payload is not None:
            fields["payload.sha256"] = digest(payload).hex()
        try:
            self._record({"type": "channel", "event": event, **fields, "omitted": omitted})
        except Exception as error:  # noqa: BLE001  # what to do without a log is the guard's decision, per message
            _log.error("an event of the channel was not recorded: %s", type(error).__name__)
