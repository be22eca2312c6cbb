"""The ``Rates`` stage: how often a principal may call a tool, a model, or write to another agent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentguard.access.ratelimit import Counter, RateLimit, rate_key
from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Verdict
from agentguard.errors import ConfigError
from agentguard.event import AgentMessage, Event, ModelInput, ToolCall

__all__ = ["RateSettings", "Rates"]


@dataclass(frozen=True, slots=True)
class RateSettings:
    """Limits. ``tools`` by name; ``default`` for each tool that has none of its own; ``costs`` of one call, by tool."""

    tools: Mapping[str, RateLimit]
    model: RateLimit | None = None
    message: RateLimit | None = None
    default: RateLimit | None = None
    costs: Mapping[str, int] = field(default_factory=dict)

    def limits(self) -> list[RateLimit]:
        """Every limit that is set."""
        return [*self.tools.values(), *filter(None, (self.model, self.message, self.default))]


class Rates:
    """Spends one action per model call and agent message, and the cost of a tool per tool call.

    The count belongs to a verified identity (whose, the limit says), never to an argument. An attempt that a later
    stage refuses has still been spent: probing is what a limit is for.

    Args:
        settings: the limits.
        counters: what counts the limits of each scope.

    Raises:
        ConfigError: a limit has a scope that nothing counts.
    """

    name = "rates"
    # An attempt is spent once, also when the guard decides about it again after a person approved it.
    spends = True

    def __init__(self, settings: RateSettings, *, counters: Mapping[str, Counter]) -> None:
        scopes = {limit.scope for limit in settings.limits()}
        if missing := scopes - counters.keys():
            raise ConfigError(f"a rate has scope {min(missing)} and nothing counts it; open one or use scope: process")
        self._settings = settings
        self._counters = dict(counters)
        self.blocking = any(self._counters[scope].blocking for scope in scopes)

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Deny ``rate-limited`` with ``retry_after``, or allow.

        Raises:
            StoreError: the count is down; the guard makes that a deny.
        """
        rule, limit = self._limit(event)
        if limit is None:
            return ALLOW
        cost = self._settings.costs.get(event.tool, 1) if isinstance(event, ToolCall) else 1
        wait = self._counters[limit.scope].take(f"{rule}|{rate_key(run.principal, limit.per)}", limit, cost)
        return ALLOW if wait is None else _refusal(rule, wait)

    def close(self) -> None:
        """Close the counters' connections, where they have some."""
        for counter in self._counters.values():
            close = getattr(counter, "close", None)
            if close is not None:
                close()

    def _limit(self, event: Event) -> tuple[str, RateLimit | None]:
        if isinstance(event, ToolCall):
            own = self._settings.tools.get(event.tool)
            # Names that no rule knows share one count, so that inventing names opens no new bucket.
            return (f"tools.{event.tool}.rate", own) if own else ("rates.default", self._settings.default)
        if isinstance(event, ModelInput) and event.is_call:
            return "rates.model", self._settings.model
        if isinstance(event, AgentMessage):
            return "rates.message", self._settings.message
        return "", None


def _refusal(rule: str, wait: float) -> Verdict:
    message = f"Too many calls; try again in {max(1, math.ceil(wait))} seconds."
    return Verdict(
        Effect.DENY,
        findings=(Finding("access.rate-limited", rule, message=message),),
        reason="rate-limited",
        message=message,
        rules=(rule,),
        retry_after=wait,
    )
