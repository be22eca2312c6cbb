"""A policy's own guard without a home: it decides as the real one does, records nothing and counts in memory.

What ``policy test`` and ``policy explain`` run. Shadow modes are taken off first: the question is always what the
policy would do once it is enforced.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace

from agentguard.assembly import default_stages
from agentguard.conversation import Conversation
from agentguard.decision import Decision, Stage
from agentguard.event import Event
from agentguard.guard import Guard
from agentguard.policy import Policy

__all__ = ["Nowhere", "dry_guard", "dry_stages", "enforced"]


def enforced(policy: Policy) -> Policy:
    """The policy with every shadow mode taken off."""
    return replace(
        policy,
        mode="enforce",
        tools={name: replace(rule, mode="enforce") for name, rule in policy.tools.items()},
        roles={name: replace(rule, mode="enforce") for name, rule in policy.roles.items()},
    )


def dry_stages(policy: Policy) -> list[Stage]:
    """The default stages for ``policy`` enforced, with counts of their own."""
    return default_stages(enforced(policy), home=None)


def dry_guard(policy: Policy) -> Guard:
    """A guard that decides as ``policy`` enforced would, with counts of its own and nobody to ask; leaves no trace."""
    return Guard(stages=dry_stages(policy), audit=Nowhere(), policy_digest=policy.digest)


class Nowhere:
    """Takes every record and keeps none."""

    congested = False

    def record(self, decision: Decision, event: Event, run: Conversation, /, *, durable: bool) -> Future[int]:
        """Answer at once."""
        receipt: Future[int] = Future()
        receipt.set_result(0)
        return receipt

    def close(self) -> None:
        """There is nothing to close."""
