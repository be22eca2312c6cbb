"""Which agent may send which other agent messages, about what, and how large: ``agents.*.may_message`` of the policy.

One table answers the ``Access`` stage, which sees the content, and the channel, which asks before there is any.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentguard.access.rbac import tool_matches

__all__ = ["MessageGrant", "MessageRefusal", "MessageRights"]

# Topics come from peers: what is remembered of them is bounded.
MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class MessageGrant:
    """What one agent may send another. ``topics`` are globs; ``max_size`` is in bytes of the payload."""

    topics: tuple[str, ...] = ("*",)
    max_size: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MessageRefusal:
    """Why not: ``message-not-permitted``, ``topic-not-permitted`` or ``message-too-large``, and by which rule."""

    reason: str
    rule: str
    message: str


class MessageRights:
    """The table.

    Args:
        grants: for each sender, what it may send to each receiver.
    """

    def __init__(self, grants: Mapping[str, Mapping[str, MessageGrant]]) -> None:
        self._grants = {sender: dict(receivers) for sender, receivers in grants.items()}
        self._known: dict[tuple[str, str, str], MessageRefusal | None] = {}

    def refusal(self, sender: str, receiver: str, topic: str | None, size: int = 0) -> MessageRefusal | None:
        """Why ``sender`` may not send ``receiver`` this; None when it may. A ``topic`` of None asks about any."""
        grant = self._grants.get(sender, {}).get(receiver)
        if grant is None:
            return MessageRefusal(
                "message-not-permitted",
                f"agents.{_shown(sender)}.may_message",
                f"{_shown(sender)} may not send messages to {_shown(receiver)}.",
            )
        if topic is None:
            return None
        if size > grant.max_size:
            return MessageRefusal(
                "message-too-large",
                f"agents.{sender}.may_message.{receiver}.max_size",
                f"The message has {size} bytes; {grant.max_size} are permitted.",
            )
        key = (sender, receiver, topic)
        if key not in self._known:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[key] = _topic_refusal(sender, receiver, topic, grant)
        return self._known[key]


def _topic_refusal(sender: str, receiver: str, topic: str, grant: MessageGrant) -> MessageRefusal | None:
    if any(tool_matches(glob, topic) for glob in grant.topics):
        return None
    return MessageRefusal(
        "topic-not-permitted",
        f"agents.{sender}.may_message.{receiver}.topics",
        f"{_shown(sender)} may not send {_shown(receiver)} messages about {_shown(topic)}.",
    )


def _shown(name: str) -> str:
    """A name from a peer: printable and short."""
    return "".join(c if c.isprintable() else "?" for c in name[:64])
