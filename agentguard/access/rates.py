"""The ``Rates`` stage: how often a principal may call a tool, a model, or write to another agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentguard.access.ratelimit import Counter, RateLimit, principal_key
from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Verdict
from agentguard.errors import ConfigError
from agentguard.event import AgentMessage, Event, ModelInput, ToolCall

__all__ = ["RateSettings", "Rates"]


@dataclass(frozen=True, slots=True)
class RateSettings:
    """Limits per principal. ``tools`` by name; ``default`` for each tool that has none of its own."""

    tools: Mapping[str, RateLimit]
    model: RateLimit | None = None
    message: RateLimit | None = None
    default: RateLimit | None = None

    def limits(self) -> list[RateLimit]:
        """Every limit that is set."""
        return [*self.tools.values(), *filter(None, (self.model, self.message, self.default))]


class Rates:
    """Spends one action per tool call, model call and agent message.

    The count belongs to the verified principal together with whom it acts for, never to an argument. An attempt that a
    later stage refuses has still been spent: probing is what a limit is for.

    Args:
        settings: the limits.
        process: counts limits of scope ``process``.
        store: counts limits of scope ``store``.

    Raises:
        ConfigError: a limit has scope ``store`` and there is no store.
    """

    name = "rates"

    def __init__(self, settings: RateSettings, *, process: Counter, store: Counter | None = None) -> None:
        shared = any(limit.scope == "store" for limit in settings.limits())
        if shared and store is None:
            raise ConfigError("a rate has scope store and no state database was given; open one or use scope: process")
        self._settings = settings
        self._process = process
        self._store = store
        self.blocking = (shared and store is not None and store.blocking) or process.blocking

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Deny ``rate-limited`` with ``retry_after``, or allow."""
        rule, limit = self._limit(event)
        if limit is None:
            return ALLOW
        wait = self._counter(limit).take(f"{rule}|{principal_key(run.principal)}", limit)
        return ALLOW if wait is None else _refusal(rule, wait)

    def close(self) -> None:
        """Close the store's connections, if there is a store."""
        close = getattr(self._store, "close", None)
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

    def _counter(self, limit: RateLimit) -> Counter:
        if limit.scope == "store" and self._store is not None:
            return self._store
        return self._process


def _refusal(rule: str, wait: float) -> Verdict:
    message = f"Too many calls; try again in {max(1, round(wait))} seconds."
    return Verdict(
        Effect.DENY,
        findings=(Finding("access.rate-limited", rule, message=message),),
        reason="rate-limited",
        message=message,
        rules=(rule,),
        retry_after=wait,
    )
