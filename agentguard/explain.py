"""Why a call passes or not: the answer of every stage, the policy's lines that decided, and where each value came from.

A call is explained by the policy's own stages, as enforced. Every stage is asked, also past the first deny, so that
one look shows all that stands in the way.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from agentguard.conversation import Conversation
from agentguard.decision import Decision, Effect, Origin, Stage, Verdict
from agentguard.dryrun import Nowhere, dry_stages, enforced
from agentguard.errors import ConfigError
from agentguard.event import Event, Principal, ToolCall, ToolResult
from agentguard.guard import Guard
from agentguard.policy import Policy
from agentguard.policy.check import place_of
from agentguard.policy.document import Document, Step

__all__ = ["Explanation", "StageAnswer", "explain", "line_of", "parsed_results"]


@dataclass(frozen=True, slots=True)
class StageAnswer:
    """What one stage said, and how long it took. ``reason`` is empty where it had nothing against the call."""

    name: str
    effect: Effect
    reason: str = ""
    messages: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    rewritten: bool = False
    elapsed_ns: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision on one call, stage by stage; ``origins`` is the origin table of its arguments."""

    decision: Decision
    stages: tuple[StageAnswer, ...]
    origins: tuple[Origin, ...] = ()
    withheld: tuple[ToolResult, ...] = ()


def explain(
    policy: Policy,
    call: ToolCall,
    *,
    principal: Principal,
    request: str | None = None,
    quoted: Iterable[str] = (),
    results: Iterable[ToolResult] = (),
) -> Explanation:
    """Decide about ``call`` in a run of its own, as ``policy`` enforced would, and tell why.

    Args:
        request: the user's words; ``quoted`` passages of them count as somebody else's.
        results: what the agent had read before, in order; those that a check withholds are in ``withheld``.
    """
    stages = [_Watched(stage) for stage in dry_stages(enforced(policy))]
    withheld: list[ToolResult] = []
    with (
        Guard(stages=stages, audit=Nowhere(), policy_digest=policy.digest) as guard,
        guard.conversation(principal, request) as run,
    ):
        for passage in quoted:
            run.untrusted(passage)
        for result in results:
            if not guard.check(result, run=run).allowed:
                withheld.append(result)
        for stage in stages:
            stage.answers.clear()
        decision = guard.check(call, run=run)
        # The guard stops at the first deny; the rest is asked here, about the call as it then stood.
        asked = decision.event
        for stage in stages:
            if not stage.answers:
                stage.ask(asked, run)
        origins = decision.origins or run.explain(call)
    return Explanation(decision, tuple(stage.answers[-1] for stage in stages), origins, tuple(withheld))


class _Watched:
    """A stage that keeps what it answered."""

    def __init__(self, stage: Stage) -> None:
        self.name = stage.name
        self.blocking = stage.blocking
        self.answers: list[StageAnswer] = []
        self._stage = stage
        origins = getattr(stage, "origins", None)
        if origins is not None:
            self.origins = origins

    def ask(self, event: Event, run: Conversation) -> None:
        """Inspect for the answer alone; a stage that breaks would refuse."""
        try:
            self.inspect(event, run)
        except Exception as error:  # noqa: BLE001  # as the guard does: whatever a stage raises is a deny
            self.answers.append(StageAnswer(self.name, Effect.DENY, "stage-failed", (type(error).__name__,)))

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        started = time.perf_counter_ns()
        verdict = self._stage.inspect(event, run)
        said = dict.fromkeys([verdict.message, *(finding.message for finding in verdict.findings)])
        self.answers.append(
            StageAnswer(
                name=self.name,
                effect=verdict.effect,
                reason=verdict.reason,
                messages=tuple(message for message in said if message),
                rules=verdict.rules,
                rewritten=bool(verdict.obligations),
                elapsed_ns=time.perf_counter_ns() - started,
            )
        )
        return verdict


def line_of(document: Document, rule: str) -> int | None:
    """The line of the policy on which a rule id (``tools.send_mail.args.to.allow``) stands, or its nearest row.

    Names may hold dots themselves; the longest names that the file has are taken.
    """
    steps: list[Step] = []
    rest = rule.split(".")
    while rest:
        for length in range(len(rest), 0, -1):
            name = ".".join(rest[:length])
            if (*steps, name) in document.keys:
                steps.append(name)
                rest = rest[length:]
                break
        else:
            break
    if not steps and rule:
        return None
    line, _ = place_of(document, tuple(steps))
    return line


def parsed_results(documents: object) -> list[ToolResult]:
    """Results of a file: a list of ``{tool, content, args}``.

    Raises:
        ConfigError: it is no such list.
    """
    if not isinstance(documents, list):
        raise ConfigError("results are a list of {tool: ..., content: ...}")
    found = []
    for row in documents:
        if not isinstance(row, dict) or not isinstance(row.get("tool"), str) or "content" not in row:
            raise ConfigError("a result is a mapping with tool and content, and optionally args")
        if unknown := set(row) - {"tool", "content", "args", "error"}:
            raise ConfigError(
                f"unknown key {min(map(str, unknown))!r} in a result; accepted: tool, content, args, error"
            )
        args = row.get("args") or {}
        found.append(ToolResult(row["tool"], args, row["content"], is_error=row.get("error") is True))
    return found
