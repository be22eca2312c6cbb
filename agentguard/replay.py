"""Recorded decisions judged again by another policy, as far as the records tell.

Who acted, for whom, which tool and where every value stood is always recorded, so access and sources can be judged
without any payload. Constraints on values are judged where payloads were recorded in full, or where the change does
not touch them. Whatever the records do not tell is said to be unknown: nothing is guessed. Rates are not replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
# Findings of information flow that speak of the run, not of one value.
_RUN_FINDINGS = frozenset({"flow.intent-missing", "flow.repeated", "flow.approval"})
_FLOW_KEYS = (
    "side_effect", "output", "free_text", "egress", "inbound", "object", "verbs", "intent", "repeat", "clears", "args",
)  # fmt: skip
_TRUST = {"untrusted": 0, "mixed": 1, "trusted": 2}
_TEXT_KEYS = ("output", "free_text")
_ORIGIN_KEYS = ("side_effect", "output", "free_text", "egress", "inbound")


@dataclass(frozen=True, slots=True)
class _Part:
    """What one part of the checks comes to: at least ``low``, at most ``high``; known when they are the same."""

    low: Effect
    high: Effect
    reason: str = ""
    why: str = ""


def _known(effect: Effect, reason: str = "", why: str = "") -> _Part:
    return _Part(effect, effect, reason, why)


def _unknown(why: str, low: Effect = Effect.ALLOW, high: Effect = Effect.DENY) -> _Part:
    return _Part(low, high, why=why)


_PASS = _known(Effect.ALLOW)


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
        is_first: whether a call is known to be the first of its tool in its run, so that it repeats nothing.
    """

    def __init__(
        self,
        policy: Policy,
        recorded: Mapping[str, RecordedPolicy],
        *,
        is_first: Callable[[RecordedDecision], bool] = lambda _decision: False,
    ) -> None:
        self._is_first = is_first
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
        replay = cls(policy, RecordedPolicy.read(log), is_first=lambda each: each.first_of_run(log))
        for decision in RecordedDecision.read(log, since=since, until=until):
            if decision.event in ("tool_call", "agent_message"):
                yield replay.judge(decision)

    def judge(self, decision: RecordedDecision) -> Replayed:
        """What the policy makes of one recorded decision."""
        before = Effect.REQUIRE_APPROVAL if decision.reason in _ASKED else decision.effect
        if decision.reason in _NO_RULE:
            return Replayed(decision, before, None, why=_NO_RULE[decision.reason])
        found = _joined(list(self._parts(decision)))
        after = found.low if found.low is found.high else None
        return Replayed(decision, before, after, found.reason, found.why)

    def _parts(self, decision: RecordedDecision) -> Iterator[_Part]:
        event = _event(decision)
        run = Conversation(principal=decision.principal)
        verdict = self._access.inspect(event, run)
        yield _known(verdict.effect, verdict.reason, verdict.message)
        rule = self._policy.tools.get(decision.tool)
        if rule is None or verdict.effect is Effect.DENY or decision.event != "tool_call":
            return
        old = self._recorded.get(decision.policy_digest)
        if decision.args is not None:
            found = self._texts.check(event, run=run)
            yield _known(found.effect, found.reason, found.message)
        else:
            yield self._content(decision, old)
            yield self._arguments(decision, rule, old)
            if rule.approval == "always":
                yield _known(Effect.REQUIRE_APPROVAL, "approval-required", "the policy asks each time")
        yield from _Flow(self._policy, rule, decision, old, self._is_first).parts()

    def _content(self, decision: RecordedDecision, old: RecordedPolicy | None) -> _Part:
        """The checks of texts: they carry over while the policy's rules for texts are the same."""
        if _stopped_before(decision, "content"):
            return _unknown("it was refused before its texts were checked, and no payload was recorded")
        if old is None or old.texts != self._policy.texts_digest:
            return _unknown("the rules for texts changed, and no payload was recorded")
        if decision.stage in ("size", "content") and decision.effect is Effect.DENY:
            return _known(Effect.DENY, decision.reason, "its texts are refused as before")
        return _PASS

    def _arguments(self, decision: RecordedDecision, rule: ToolRule, old: RecordedPolicy | None) -> _Part:
        """The constraints: they carry over while the tool's are the same."""
        known = {path_step(name) for name in rule.args}
        extra = next((row.argument for row in decision.origins if row.argument not in known), None)
        if rule.extra_args == "deny" and extra is not None:
            return _known(Effect.DENY, "argument-not-permitted", f"the argument {extra} has no row")
        if not rule.required and rule.extra_args == "allow" and not any(arg.constraints for arg in rule.args.values()):
            return _PASS
        if _stopped_before(decision, "arguments"):
            return _unknown("it was refused before its constraints were checked, and no payload was recorded")
        labels = old.labels.get(decision.tool) if old else None
        if labels is None or labels.get("constraints") != rule.constraints or _more_lines(labels, rule):
            return _unknown("the constraints changed, and no payload was recorded")
        if "policy.argument" in decision.findings:
            return _known(Effect.DENY, "argument-not-permitted", "a constraint refuses it as before")
        return _PASS


class _Flow:
    """Judges the origins of one call by changed labels."""

    def __init__(
        self,
        policy: Policy,
        rule: ToolRule,
        decision: RecordedDecision,
        old: RecordedPolicy | None,
        is_first: Callable[[RecordedDecision], bool],
    ) -> None:
        self._is_first = is_first
        self._policy = policy
        self._rule = rule
        self._decision = decision
        self._old = old

    def parts(self) -> Iterator[_Part]:
        """One part a value, and one for each rule that looks at the run as a whole."""
        if _stopped_before(self._decision, "flow"):
            yield _unknown("it was refused before its values were traced")
            return
        if not self._decision.complete:
            yield _unknown("not every value's origin was recorded")
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
            return _unknown(f"labels changed that {row.reason} depends on")
        if rule.sink is None and (row.letter is Letter.FREE or not self._acts()):
            return _PASS
        if rule.sink is None:
            return _unknown(f"the argument {row.argument} was traced as a {row.kind}, and no more as a body of text")
        if row.letter is Letter.FREE or row.kind != rule.sink:
            return _unknown(f"the argument {row.argument} was not traced as a {rule.sink} at the time")
        return self._part(row, self._by_sources(row, rule))

    def _part(self, row: RecordedOrigin, effect: Effect | None) -> _Part:
        if effect is Effect.ALLOW:
            return _PASS
        why = f"labels changed of what set the argument {row.argument}"
        if effect is None:
            return _unknown(why, low=Effect.REQUIRE_APPROVAL if row.letter is Letter.N else Effect.ALLOW)
        # What a tool returned that is now trusted more may vouch for the value too; the record names one place only.
        if self._loosened():
            return _unknown(why, high=effect)
        reason = row.reason or ("origin-untrusted" if effect is Effect.DENY else "origin-unknown")
        where = ", ".join(source or "nowhere" for _, source in row.stood)
        return _known(effect, reason, f"the argument {row.argument} was set from {where}")

    def _acts(self) -> bool:
        return self._rule.side_effect != "read" or self._rule.egress

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
        if letter_now is Letter.U and row.letter is Letter.U:
            return row.effect  # a question where the user had delegated, else a refusal
        if letter_now is Letter.S and self._guarded(rule) and self._policy.tools[tool].inbound:
            return None  # it passes when the request names the sender, which nobody recorded
        return None if letter_now is None else _worth(letter_now, tool, rule)

    def _letter_now(self, letter: Letter, tool: str) -> Letter | None:
        new = self._policy.tools.get(tool)
        if self._same(tool, _ORIGIN_KEYS):
            return letter
        if new is None or new.output is Label.UNTRUSTED:
            return Letter.U
        if letter is Letter.U and not self._loosened():
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
        others = [kind.removeprefix("flow.") for kind in self._decision.findings if kind in _RUN_FINDINGS]
        if self._acts():
            yield self._intent(others)
            yield self._repeat(others)
            yield self._texts()
        yield self._when_untrusted(others)

    def _intent(self, others: list[str]) -> _Part:
        if self._rule.intent == "off" or self._rule.side_effect == "read":
            return _PASS
        if not self._like_before("side_effect", "object", "verbs", "intent") or not self._same_words():
            return _unknown("nobody recorded whether the request asked for this")
        if "intent-missing" not in others:
            return _PASS
        exact = self._decision.reason == "intent-missing" and not self._tightened() and not self._loosened()
        effect = self._decision.effect if exact else Effect.DENY
        low = effect if exact else Effect.REQUIRE_APPROVAL
        return _Part(low, effect, "intent-missing", "the request did not ask for it")

    def _repeat(self, others: list[str]) -> _Part:
        if self._rule.repeat == "allow" or self._rule.side_effect == "read":
            return _PASS
        if self._is_first(self._decision):
            return _PASS
        unknown = _unknown("nobody recorded how often the request asked for this", high=Effect.REQUIRE_APPROVAL)
        if not self._like_before("side_effect", "object", "verbs", "repeat") or not self._same_words():
            return unknown
        if "repeated" in others:
            return _known(Effect.REQUIRE_APPROVAL, "repeated", "the request asked for fewer")
        # Calls are counted only when nothing else speaks against them.
        doubted = any(kind.startswith("flow.") and kind != "flow.approval" for kind in self._decision.findings)
        return unknown if doubted else _PASS

    def _texts(self) -> _Part:
        """Copied titles, other figures, confidential data: new ones may be found where labels changed."""
        if not self._like_before("side_effect", "egress"):
            return _unknown("nobody recorded what this tool's texts held")
        if not self._like_before("clears"):
            return _unknown("clears changed, and no payload was recorded")
        if self._tightened():
            why = "labels changed, and more text is now untrusted than was compared with"
            return _unknown(why, high=Effect.REQUIRE_APPROVAL)
        return _PASS

    def _when_untrusted(self, others: list[str]) -> _Part:
        if self._rule.approval != "when-untrusted":
            return _PASS
        read = any(letter is Letter.U for row in self._decision.origins for letter, _ in row.stood)
        if "approval" in others or (read and not self._loosened()):
            return _known(Effect.REQUIRE_APPROVAL, "approval-when-untrusted", "untrusted text had been read")
        same = self._like_before("approval") and not self._tightened()
        if same and self._decision.effect is Effect.ALLOW:
            return _PASS
        return _unknown("nobody recorded whether untrusted text had been read", high=Effect.REQUIRE_APPROVAL)

    def _like_before(self, *keys: str) -> bool:
        return self._same(self._decision.tool, keys)

    def _same_words(self) -> bool:
        return self._old is not None and self._old.flow == self._policy.flow.labels()

    def _tightened(self) -> bool:
        """Whether some tool's results are trusted less than they were."""
        return not self._labels_stand() and any(not self._same(t, _TEXT_KEYS) for t in self._trusted_before())

    def _trusted_before(self) -> list[str]:
        labels = self._old.labels if self._old else {}
        return [tool for tool, row in labels.items() if row.get("output") != "untrusted"]


def _more_lines(labels: Mapping[str, Json], rule: ToolRule) -> bool:
    """Whether an argument must now be one line that could have more."""
    args = labels.get("args")
    rows = args if isinstance(args, dict) else {}
    now = rule.labels()["args"]
    assert isinstance(now, dict)  # noqa: S101  # made two lines above
    return any(_one_line(row) and not _one_line(rows.get(name)) for name, row in now.items())


def _one_line(row: Json) -> bool:
    return isinstance(row, dict) and row.get("one_line") is True


def _worth(letter: Letter, tool: str, rule: ArgRule) -> Effect:
    if letter is Letter.U:
        return Effect.DENY
    if letter is Letter.s:
        return Effect.REQUIRE_APPROVAL
    passes = tool in rule.sources or (letter is Letter.M and rule.sink == "id")
    return Effect.ALLOW if passes else Effect.REQUIRE_APPROVAL


def _joined(parts: list[_Part]) -> _Part:
    """Deny overrides: of the parts' bounds the highest count; where they differ, the first wide part says why."""
    low = max((part.low for part in parts), key=lambda effect: effect.rank)
    high = max((part.high for part in parts), key=lambda effect: effect.rank)
    if low is not high:
        wide = next(part for part in parts if part.high is high and part.low is not high)
        return _Part(low, high, why=wide.why)
    return next(part for part in parts if part.low is high)


_ORDER = ("size", "rates", "access", "pins", "content", "arguments", "flow")


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
