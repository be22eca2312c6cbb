"""Recorded decisions judged again by another policy, as far as the records tell.

Who acted, for whom, which tool and where every value stood is always recorded, so access and sources can be judged
without any payload. Constraints on values are judged where payloads were recorded in full, or where the change does
not touch them. Whatever the records do not tell is said to be unknown: nothing is guessed. Rates are not replayed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from agentguard.access import Access
from agentguard.audit import AuditLog
from agentguard.audit.record import path_step
from agentguard.conversation import Conversation
from agentguard.decision import Effect, Letter
from agentguard.detect import Content, Size
from agentguard.dryrun import Nowhere, dry_stages, enforced
from agentguard.errors import ConfigError
from agentguard.event import AgentMessage, Event, Json, Label, ToolCall
from agentguard.guard import Guard
from agentguard.policy import Arguments, Policy
from agentguard.policy.compiled import ArgRule, ToolRule
from agentguard.recorded import RecordedDecision, RecordedOrigin, RecordedPolicy

__all__ = ["Replay", "Replayed"]

# Answers that say nothing of the rules: something had failed, or it came too often.
_NO_RULE = {
    "rate-limited": "it came too often at the time, and rates are not replayed",
    "stage-failed": "a check had failed",
    "audit-failed": "it could not be recorded at the time",
    "value-unsupported": "a value could not be read",
}
# A person's answer stands for a question that the rules asked.
_ASKED = frozenset({"approved", "approval-refused"})
_ORIGIN_REASONS = frozenset({"", "origin-untrusted", "origin-unknown"})
# Findings of information flow that speak of a value's origin alone, or of the run's first untrusted text.
_ROW_FINDINGS = frozenset({"flow.origin-untrusted", "flow.origin-unknown"})
_FLOW_KEYS = (
    "side_effect", "output", "free_text", "egress", "inbound", "object", "verbs", "intent", "repeat", "clears", "args",
)  # fmt: skip
_TRUST = {"untrusted": 0, "mixed": 1, "trusted": 2}
_TEXT_KEYS = ("output", "free_text")
_ORIGIN_KEYS = ("side_effect", "output", "free_text", "egress", "inbound")


@dataclass(frozen=True, slots=True)
class _Part:
    """What one part of the checks comes to; ``effect`` None: the records do not tell."""

    effect: Effect | None
    reason: str = ""
    why: str = ""


_PASS = _Part(Effect.ALLOW)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One decision judged again. ``before`` and ``after`` are what the rules say, whatever a person answered.

    ``after`` is None where the records do not tell; ``why`` says then what is missing, else what decided.
    """

    decision: RecordedDecision
    before: Effect
    after: Effect | None
    reason: str = ""
    why: str = ""

    @property
    def changed(self) -> bool:
        """Whether the policy decides otherwise than was recorded."""
        return self.after is not None and self.after is not self.before


class Replay:
    """Judges recorded tool calls and agent messages by ``policy``, as enforced.

    Args:
        policy: the changed policy.
        recorded: the policies that were in force, by digest: what they labelled tells what the change touches.
    """

    def __init__(self, policy: Policy, recorded: Mapping[str, RecordedPolicy]) -> None:
        self._policy = enforced(policy)
        self._recorded = recorded
        stages = dry_stages(self._policy)
        self._access = next(stage for stage in stages if isinstance(stage, Access))
        texts = [stage for stage in stages if isinstance(stage, Size | Access | Content | Arguments)]
        self._texts = Guard(stages=texts, audit=Nowhere())

    @classmethod
    def of(
        cls, policy: Policy, log: AuditLog, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Replayed]:
        """Every tool call and agent message of a time range, judged again.

        Raises:
            ConfigError, TamperError, KeySourceError: as ``AuditLog.query``.
        """
        replay = cls(policy, RecordedPolicy.read(log))
        for decision in RecordedDecision.read(log, since=since, until=until):
            if decision.event in ("tool_call", "agent_message"):
                yield replay.judge(decision)

    def judge(self, decision: RecordedDecision) -> Replayed:
        """What the policy makes of one recorded decision."""
        before = Effect.REQUIRE_APPROVAL if decision.reason in _ASKED else decision.effect
        if decision.reason in _NO_RULE:
            return Replayed(decision, before, None, why=_NO_RULE[decision.reason])
        found = _joined(list(self._parts(decision)))
        return Replayed(decision, before, found.effect, found.reason, found.why)

    def _parts(self, decision: RecordedDecision) -> Iterator[_Part]:
        event = _event(decision)
        run = Conversation(principal=decision.principal)
        verdict = self._access.inspect(event, run)
        yield _Part(verdict.effect, verdict.reason, verdict.message)
        rule = self._policy.tools.get(decision.tool)
        if rule is None or verdict.effect is Effect.DENY or decision.event != "tool_call":
            return
        old = self._recorded.get(decision.policy_digest)
        if decision.args is not None:
            found = self._texts.check(event, run=run)
            yield _Part(found.effect, found.reason, found.message)
        else:
            yield self._content(decision, old)
            yield self._arguments(decision, rule, old)
            if rule.approval == "always":
                yield _Part(Effect.REQUIRE_APPROVAL, "approval-required", "the policy asks each time")
        yield from _Flow(self._policy, rule, decision, old).parts()

    def _content(self, decision: RecordedDecision, old: RecordedPolicy | None) -> _Part:
        """The checks of texts: they carry over while the policy's rules for texts are the same."""
        if _stopped_before(decision, "content"):
            return _Part(None, why="it was refused before its texts were checked, and no payload was recorded")
        if old is None or old.texts != self._policy.texts_digest:
            return _Part(None, why="the rules for texts changed, and no payload was recorded")
        if decision.stage in ("size", "content") and decision.effect is Effect.DENY:
            return _Part(Effect.DENY, decision.reason, "its texts are refused as before")
        return _PASS

    def _arguments(self, decision: RecordedDecision, rule: ToolRule, old: RecordedPolicy | None) -> _Part:
        """The constraints: they carry over while the tool's are the same."""
        known = {path_step(name) for name in rule.args}
        extra = next((row.argument for row in decision.origins if row.argument not in known), None)
        if rule.extra_args == "deny" and extra is not None:
            return _Part(Effect.DENY, "argument-not-permitted", f"the argument {extra} has no row")
        if not rule.required and rule.extra_args == "allow" and not any(arg.constraints for arg in rule.args.values()):
            return _PASS
        if _stopped_before(decision, "arguments"):
            return _Part(None, why="it was refused before its constraints were checked, and no payload was recorded")
        labels = old.labels.get(decision.tool) if old else None
        if labels is None or labels.get("constraints") != rule.constraints or _more_lines(labels, rule):
            return _Part(None, why="the constraints changed, and no payload was recorded")
        if "policy.argument" in decision.findings:
            return _Part(Effect.DENY, "argument-not-permitted", "a constraint refuses it as before")
        return _PASS


class _Flow:
    """Judges the origins of one call by changed labels."""

    def __init__(self, policy: Policy, rule: ToolRule, decision: RecordedDecision, old: RecordedPolicy | None) -> None:
        self._policy = policy
        self._rule = rule
        self._decision = decision
        self._old = old

    def parts(self) -> Iterator[_Part]:
        """One part a value, and one for each rule that looks at the run as a whole."""
        if _stopped_before(self._decision, "flow"):
            yield _Part(None, why="it was refused before its values were traced")
            return
        if not self._decision.complete:
            yield _Part(None, why="not every value's origin was recorded")
            return
        for row in self._decision.origins:
            yield self._row(row)
        yield from self._run_rules()

    # -- one value ---------------------------------------------------------------------------------------------------

    def _row(self, row: RecordedOrigin) -> _Part:
        names = [name for name in self._rule.args if path_step(name) == row.argument]
        rule = self._rule.arg(names[0] if names else row.argument)
        if self._untouched(row):
            return self._part(row, row.effect)
        if row.reason not in _ORIGIN_REASONS:
            return _Part(None, why=f"labels changed that {row.reason} depends on")
        if rule.sink is None:
            return _PASS
        if row.letter is Letter.FREE or row.kind != rule.sink:
            return _Part(None, why=f"the argument {row.argument} was not traced as a {rule.sink} at the time")
        return self._part(row, self._by_sources(row, rule))

    def _part(self, row: RecordedOrigin, effect: Effect | None) -> _Part:
        # What a tool returned that is now trusted more may vouch for the value too; the record names one place only.
        if effect is None or (effect is not Effect.ALLOW and self._loosened()):
            return _Part(None, why=f"labels changed of what set the argument {row.argument}")
        if effect is Effect.ALLOW:
            return _PASS
        reason = row.reason or ("origin-untrusted" if effect is Effect.DENY else "origin-unknown")
        where = ", ".join(source or "nowhere" for _, source in row.stood)
        return _Part(effect, reason, f"the argument {row.argument} was set from {where}")

    def _untouched(self, row: RecordedOrigin) -> bool:
        """Whether nothing that this value's verdict rests on has changed."""
        if self._old is None:
            return False
        own = self._same(self._decision.tool, _FLOW_KEYS)
        tools = {source.removeprefix("tool:") for _, source in row.stood if source.startswith("tool:")}
        # What was found nowhere may stand in a text that other labels make untrusted.
        nowhere = row.letter is Letter.N or row.reason not in _ORIGIN_REASONS
        return own and all(self._same(tool, _ORIGIN_KEYS) for tool in tools) and (not nowhere or self._labels_stand())

    def _same(self, tool: str, keys: tuple[str, ...]) -> bool:
        new = self._policy.tools.get(tool)
        old = self._old.labels.get(tool) if self._old else None
        if new is None or old is None:
            return False
        labels = new.labels()
        return all(old.get(key) == labels[key] for key in keys)

    def _by_sources(self, row: RecordedOrigin, rule: ArgRule) -> Effect | None:
        found = [self._stood(row, rule, letter, source) for letter, source in row.stood]
        if not found:
            return None
        if Effect.ALLOW in found:
            return Effect.ALLOW
        if None in found:
            return None
        return Effect.REQUIRE_APPROVAL if Effect.REQUIRE_APPROVAL in found else Effect.DENY

    def _stood(self, row: RecordedOrigin, rule: ArgRule, letter: Letter, source: str) -> Effect | None:
        """What one place where the value stood is worth under the new labels."""
        if letter is Letter.P:
            return Effect.ALLOW if "user" in rule.sources else Effect.REQUIRE_APPROVAL
        if letter is Letter.N:
            # Labels that distrust more may find it in an untrusted text: a question or a refusal, nobody knows.
            return Effect.REQUIRE_APPROVAL if self._labels_stand() else None
        tool = source.removeprefix("tool:")
        if not source.startswith("tool:"):
            return row.effect if row.letter is Letter.U else Effect.DENY
        letter_now = self._letter_now(letter, tool)
        if letter_now is None:
            return None
        return _worth(letter_now, tool, rule, guarded=self._guarded(rule))

    def _letter_now(self, letter: Letter, tool: str) -> Letter | None:
        new = self._policy.tools.get(tool)
        if self._same(tool, _ORIGIN_KEYS):
            return letter
        if new is None or new.output is Label.UNTRUSTED:
            return Letter.U
        # Of a text that was untrusted nothing tells which value in it stood alone.
        if letter is Letter.U or new.output is Label.MIXED or letter is Letter.M:
            return None
        return Letter.T

    def _labels_stand(self) -> bool:
        return self._old is not None and all(self._same(tool, _TEXT_KEYS) for tool in self._old.labels)

    def _loosened(self) -> bool:
        """Whether some tool's results are trusted more than they were."""
        if self._old is None:
            return True
        for tool, old in self._old.labels.items():
            new = self._policy.tools.get(tool)
            if new is None:
                continue
            before, now = _TRUST.get(str(old.get("output")), 0), _TRUST[new.output.value]
            fields = old.get("free_text")
            fewer = not set(fields if isinstance(fields, list) else ()) <= new.free_text
            if now > before or (now == before and fewer):
                return True
        return False

    def _guarded(self, rule: ArgRule) -> bool:
        return self._rule.side_effect in ("money", "access") or rule.sink == "secret"

    # -- the whole run -----------------------------------------------------------------------------------------------

    def _run_rules(self) -> Iterator[_Part]:
        """What depends on the request, earlier calls and all that was read: it carries over while its labels stand."""
        others = [kind for kind in self._decision.findings if kind.startswith("flow.") and kind not in _ROW_FINDINGS]
        if not self._same(self._decision.tool, _FLOW_KEYS[:10]) or not self._same_words():
            yield from self._changed_rules(others)
        elif others and others != ["flow.approval"]:
            # Its strength stands in the record only where this stage decided.
            exact = self._decision.stage == "flow"
            reason = others[0].removeprefix("flow.")
            yield _Part(self._decision.effect if exact else None, reason, "as before")
        yield self._when_untrusted(others)

    def _changed_rules(self, others: list[str]) -> Iterator[_Part]:
        labels = self._old.labels.get(self._decision.tool) if self._old else None
        if self._rule.side_effect == "read" and not self._rule.egress:
            return
        same = labels is not None and labels.get("side_effect") == self._rule.side_effect and self._same_words()
        worded = (
            same and labels is not None and all(labels.get(k) == self._rule.labels()[k] for k in ("object", "verbs"))
        )
        if self._rule.intent == "required" and not (
            worded and labels is not None and labels.get("intent") == "required" and "flow.intent-missing" not in others
        ):
            yield _Part(None, why="nobody recorded whether the request asked for this")
        if self._rule.repeat == "ask" and not (
            same and labels is not None and labels.get("repeat") == "ask" and "flow.repeated" not in others
        ):
            yield _Part(None, why="nobody recorded how often the request asked for this")
        if set(others) - {"flow.intent-missing", "flow.repeated", "flow.approval"}:
            yield _Part(None, why="labels changed that a check of the run depends on")

    def _same_words(self) -> bool:
        return self._old is not None and self._old.flow == self._policy.flow.labels()

    def _when_untrusted(self, others: list[str]) -> _Part:
        if self._rule.approval != "when-untrusted":
            return _PASS
        asked = _Part(Effect.REQUIRE_APPROVAL, "approval-when-untrusted", "untrusted text had been read")
        if "flow.approval" in others or any(
            letter is Letter.U for row in self._decision.origins for letter, _ in row.stood
        ):
            return asked
        labels = self._old.labels.get(self._decision.tool) if self._old else None
        everything = labels is not None and labels.get("approval") == "when-untrusted" and self._labels_stand()
        if everything and self._decision.effect is Effect.ALLOW:
            return _PASS
        return _Part(None, why="nobody recorded whether untrusted text had been read")


def _more_lines(labels: Mapping[str, Json], rule: ToolRule) -> bool:
    """Whether an argument must now be one line that could have more."""
    args = labels.get("args")
    rows = args if isinstance(args, dict) else {}
    now = rule.labels()["args"]
    assert isinstance(now, dict)  # noqa: S101  # made two lines above
    return any(_one_line(row) and not _one_line(rows.get(name)) for name, row in now.items())


def _one_line(row: Json) -> bool:
    return isinstance(row, dict) and row.get("one_line") is True


def _worth(letter: Letter, tool: str, rule: ArgRule, *, guarded: bool) -> Effect:
    if letter is Letter.U:
        return Effect.DENY
    listed = tool in rule.sources
    if letter is Letter.M:
        return Effect.ALLOW if listed or rule.sink == "id" else Effect.REQUIRE_APPROVAL
    if letter is Letter.T:
        return Effect.ALLOW if listed else Effect.REQUIRE_APPROVAL
    return Effect.ALLOW if letter is Letter.S and listed and not guarded else Effect.REQUIRE_APPROVAL


def _joined(parts: list[_Part]) -> _Part:
    """A known deny decides whatever else is unknown; an unknown hides everything weaker."""
    for effect in (Effect.DENY, None, Effect.REQUIRE_APPROVAL):
        for part in parts:
            if part.effect is effect:
                return part
    return _PASS


_ORDER = ("size", "rates", "access", "content", "arguments", "flow")


def _stopped_before(decision: RecordedDecision, stage: str) -> bool:
    """Whether the first deny had ended the list before ``stage``; in shadow mode every stage runs."""
    if decision.mode == "shadow" or decision.effect is not Effect.DENY or decision.reason in _ASKED:
        return False
    return decision.stage not in _ORDER or _ORDER.index(decision.stage) < _ORDER.index(stage)


def _event(decision: RecordedDecision) -> Event:
    if decision.event == "agent_message":
        return AgentMessage(decision.sender, decision.receiver, "", None)
    args: dict[str, Json] = decision.args or {}
    try:
        return ToolCall(decision.tool, args)
    except ConfigError:
        return ToolCall(decision.tool, {})
