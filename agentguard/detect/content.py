"""The ``Content`` stage: every leaf read once: hidden characters, injection, secrets and personal data, markup.

What one leaf needs done becomes one rewrite. Findings keep their place in the leaf as it was received.
Developers' system messages are not judged for injection; tool schemas are, as text of a tool.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Rewrite, Span, Verdict
from agentguard.detect import injection
from agentguard.detect.edit import Edit, applied
from agentguard.detect.markup import inspect_markup
from agentguard.detect.media import is_media
from agentguard.detect.operators import Operators, Scoped
from agentguard.detect.recognizers.engine import LIMIT, Match
from agentguard.detect.recognizers.own import BUILT_IN, Choice
from agentguard.detect.recognizers.registry import CLASSES
from agentguard.detect.redaction import find, visible
from agentguard.detect.registered import RegisteredSecrets
from agentguard.errors import ConfigError
from agentguard.event import Event, Leaf, ModelInput, ModelOutput, ToolCall, ToolResult
from agentguard.text.invisible import dishonest_spans, without
from agentguard.text.view import View

__all__ = ["Content", "ContentRules", "InjectionAction", "MarkupAction", "UnicodeAction"]

InjectionAction: TypeAlias = Literal["block", "strip", "quarantine", "report", "off"]
UnicodeAction: TypeAlias = Literal["strip", "block", "off"]
MarkupAction: TypeAlias = Literal["block", "strip", "off"]

REMOVED = "[removed: suspected instruction]"
QUARANTINED = "[quarantined: suspected instruction]"
# The history of a run comes back with every model call; what was read once is remembered, within these bounds.
CACHE_ENTRIES = 4096
# Places of invisible characters that are told of; all are removed.
MAX_HIDDEN = 50
CACHE_CHARS = 8_000_000
# A rule may hide deep in a result; a hit below this weight alone does not name a sentence to remove.
STRIP_WEIGHT = 0.2
# Only short single values take their meaning from the dictionary key they stand under.
KEYED_LENGTH = 500
_SECRET_KEY = re.compile(r"(?i)pass|pwd|secret|token|key|auth|credential")
_SENTENCE_END = re.compile(r"[.!?。！？।](?=\s|$)|[\n。！？।]")  # noqa: RUF001 - full-width marks end sentences too


@dataclass(frozen=True, slots=True)
class ContentRules:
    """What the stage does, per channel. Class names are ``secret`` and ``pii``.

    ``redact_args`` maps tool, then argument, to classes; ``"*"`` stands for every other tool or argument.
    ``hosts``: the only hosts that links and images of an answer may lead to; None allows what carries no data.
    ``thresholds``: by who wrote the text (``user``, ``tool``, ``agent``, ``retriever``), where it is not ``threshold``.
    ``registered``: secret values of the application, removed in any encoding wherever secrets are redacted.
    ``choice``: the application's own recognizers, and values that may stay.

    Raises:
        ConfigError: an unknown action, class or threshold.
    """

    injection_user: InjectionAction = "block"
    injection_tool: InjectionAction = "strip"
    injection_agent: InjectionAction = "strip"
    threshold: str | float = "balanced"
    thresholds: Mapping[str, str | float] = field(default_factory=dict)
    unicode: UnicodeAction = "strip"
    redact_input: frozenset[str] = frozenset({"secret"})
    redact_results: frozenset[str] = frozenset({"secret"})
    redact_output: frozenset[str] = frozenset({"secret", "pii"})
    redact_args: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    markup: MarkupAction = "block"
    hosts: frozenset[str] | None = None
    registered: tuple[str, ...] = ()
    choice: Choice = BUILT_IN

    def __post_init__(self) -> None:
        for threshold in (self.threshold, *self.thresholds.values()):
            injection.threshold_value(threshold)
        if unknown := set(self.thresholds) - {"user", "tool", "agent", "retriever"}:
            raise ConfigError(f"thresholds {sorted(unknown)}: use user, tool, agent, retriever")
        for value, kind in (
            (self.injection_user, InjectionAction),
            (self.injection_tool, InjectionAction),
            (self.injection_agent, InjectionAction),
            (self.unicode, UnicodeAction),
            (self.markup, MarkupAction),
        ):
            if value not in get_args(kind):
                raise ConfigError(f"action {value!r}: use one of {', '.join(get_args(kind))}")
        per_arg = [classes for args in self.redact_args.values() for classes in args.values()]
        for classes in (self.redact_input, self.redact_results, self.redact_output, *per_arg):
            if strange := set(classes) - set(CLASSES):
                raise ConfigError(f"redact {sorted(strange)}: use {', '.join(sorted(CLASSES))}")

    def action(self, channel: injection.Channel) -> InjectionAction:
        """What to do about an injection in text by ``channel``."""
        if channel in ("system", "assistant"):
            return "off"
        return {"user": self.injection_user, "agent": self.injection_agent}.get(channel, self.injection_tool)

    def threshold_in(self, channel: injection.Channel) -> float:
        """The score from which text by ``channel`` counts as an attack."""
        known = channel if channel in ("user", "agent", "retriever") else "tool"
        return injection.threshold_value(self.thresholds.get(known, self.threshold))

    def arg_classes(self, tool: str, arg: str) -> frozenset[str]:
        """The classes to redact in one argument of one tool."""
        args = self.redact_args.get(tool, self.redact_args.get("*", {}))
        return args.get(arg, args.get("*", frozenset()))


@dataclass(frozen=True, slots=True)
class _Task:
    """How one leaf is read; with the text, the key of the cache."""

    channel: injection.Channel
    action: InjectionAction
    classes: frozenset[str]
    markup: MarkupAction
    key: str
    text: str = field(repr=False)
    scope: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Outcome:
    findings: tuple[Finding, ...] = ()
    text: str | None = field(default=None, repr=False)
    reason: str = ""


class Content:
    """Read every leaf of an event under ``rules``; ``operators`` write what stands in a redacted value's place."""

    name = "content"
    blocking = False

    def __init__(self, rules: ContentRules, operators: Operators | None = None) -> None:
        self.rules = rules
        self._operators = operators or Operators()
        self._registered = RegisteredSecrets(rules.registered)
        self._cache = _Cache()

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """One pass over the leaves; the first reason to deny names the verdict, all findings are kept."""
        findings: list[Finding] = []
        rewrites: list[Rewrite] = []
        reason = ""
        operator = self._operators.at(run)
        for leaf in event.leaves():
            if not leaf.text or is_media(leaf.text):
                continue
            outcome = self._read(self._task(event, leaf, operator), operator)
            findings += [_placed(finding, leaf) for finding in outcome.findings]
            reason = reason or outcome.reason
            if outcome.text is not None:
                rewrites.append(Rewrite(leaf.path, outcome.text))
                if _is_read(event, leaf) and any(each.type.startswith("injection") for each in outcome.findings):
                    run.withhold(leaf.author, leaf.text)
                if isinstance(event, ToolResult):
                    for each in outcome.findings:
                        if each.span is not None and each.type.startswith(_CLASSES):
                            run.conceal(leaf.author, each.type, leaf.text[each.span.start : each.span.end])
        if reason:
            rules = tuple(dict.fromkeys(finding.rule for finding in findings))
            return Verdict(Effect.DENY, tuple(findings), reason=reason, message=_MESSAGES[reason], rules=rules)
        if not findings and not rewrites:
            return ALLOW
        return Verdict(findings=tuple(findings), obligations=tuple(rewrites))

    def _task(self, event: Event, leaf: Leaf, operator: Scoped) -> _Task:
        schema = isinstance(event, ModelInput) and leaf.path[0] == "tools"
        channel = "tool" if schema else injection.channel_of(leaf.author)
        judged = isinstance(event, ModelOutput | ToolCall) or leaf.kind == "number"
        return _Task(
            channel,
            "off" if judged else self.rules.action(channel),
            self._classes(event, leaf, schema),
            self.rules.markup if isinstance(event, ModelOutput) and "calls" not in leaf.path[:2] else "off",
            _secret_key(leaf),
            leaf.text,
            operator.scope,
        )

    def _classes(self, event: Event, leaf: Leaf, schema: bool) -> frozenset[str]:
        if isinstance(event, ToolCall):
            return self.rules.arg_classes(event.tool, str(leaf.path[1]))
        if isinstance(event, ModelOutput):
            return (
                self._call_classes(event, leaf) if leaf.path[:2] == ("message", "calls") else self.rules.redact_output
            )
        if isinstance(event, ToolResult) or leaf.author.startswith("tool:"):
            return self.rules.redact_results
        return frozenset() if schema else self.rules.redact_input

    def _call_classes(self, event: ModelOutput, leaf: Leaf) -> frozenset[str]:
        """A call inside an answer is redacted as the tool's arguments will be: it shows what the tool would get."""
        index, rest = leaf.path[2], leaf.path[3:]
        call = event.message.calls[index] if isinstance(index, int) else None
        if not isinstance(call, dict) or rest[:1] != ("args",) or len(rest) < 2:
            return frozenset()
        return self.rules.arg_classes(str(call.get("name")), str(rest[1]))

    def _read(self, task: _Task, operator: Scoped) -> _Outcome:
        outcome = self._cache.get(task)
        if outcome is None:
            outcome = self._judge(task, operator)
            self._cache.put(task, outcome)
        return outcome

    def _judge(self, task: _Task, operator: Scoped) -> _Outcome:
        findings: list[Finding] = []
        commands: list[Edit] = []
        reason, seen = self._visible(task.text, findings)
        reason = reason or self._injection(task, findings, commands)
        edits: list[Edit] = []
        reason = reason or self._values(task, seen, operator, findings, edits)
        reason = reason or self._markup(task, seen, findings, edits)
        if reason:
            return _Outcome(tuple(findings), None, reason)
        if commands:
            # Sentences are cut out of the text as it came, so everything else is done there too.
            placed = [Edit(*seen.span(edit.start, edit.end), edit.text) for edit in edits]
            hidden = [Edit(start, end, "") for start, end in dishonest_spans(task.text)] if seen.parent else []
            text = applied(task.text, [*commands, *placed, *hidden])
        else:
            text = applied(seen.text, edits)
        return _Outcome(tuple(findings), None if text == task.text else text)

    def _visible(self, text: str, findings: list[Finding]) -> tuple[str, View]:
        """The text without what a reader could not see: what is left after that is what everything else judges."""
        original = View(text)
        if self.rules.unicode == "off":
            return "", original
        spans = dishonest_spans(text)
        findings += [Finding("hidden.characters", "invisible", span=Span(*span)) for span in spans[:MAX_HIDDEN]]
        if spans and self.rules.unicode == "block":
            return "hidden-text", original
        # Where everything stood is worked out when something is found.
        return "", View.replaced(
            original, "visible", without(text, spans), lambda: (Edit(start, end, "") for start, end in spans)
        )

    def _injection(self, task: _Task, findings: list[Finding], edits: list[Edit]) -> str:
        if task.action == "off":
            return ""
        report = injection.inspect(task.text, task.channel)
        if report.truncated:
            findings.append(Finding("limit.expansion", "decoding-limit"))
            return "limit-exceeded"
        if report.score < self.rules.threshold_in(task.channel):
            return ""
        findings += [Finding(h.type, h.rule, h.weight, span=Span(h.start, h.end)) for h in report.hits]
        if task.action == "block":
            return "injection"
        if task.action == "quarantine":
            edits.append(Edit(0, len(task.text), QUARANTINED))
        elif task.action == "strip":
            edits += self._stripped(task, report.hits)
        return ""

    def _stripped(self, task: _Task, hits: Iterable[injection.Hit]) -> list[Edit]:
        """The sentences with hits; the whole leaf when what would be left still reads as an attack."""
        edits = [Edit(*_sentence(task.text, h.start, h.end), REMOVED) for h in hits if h.weight >= STRIP_WEIGHT]
        left = applied(task.text, edits)
        if not edits or injection.inspect(left, task.channel).score >= self.rules.threshold_in(task.channel):
            return [Edit(0, len(task.text), QUARANTINED)]
        return edits

    def _values(self, task: _Task, seen: View, operator: Scoped, findings: list[Finding], edits: list[Edit]) -> str:
        if not task.classes:
            return ""
        registered = self._registered if "secret" in task.classes else None
        for match in _find(task, seen.text, registered, self.rules.choice, operator):
            span = Span(*seen.span(match.start, match.end))
            findings.append(Finding(match.type, match.rule, match.score, span=span))
            if match.type == LIMIT:
                return "limit-exceeded"
            value = visible(seen.text[match.start : match.end])
            edits.append(Edit(match.start, match.end, operator(match.type, value)))
        return ""

    def _markup(self, task: _Task, seen: View, findings: list[Finding], edits: list[Edit]) -> str:
        if task.markup == "off":
            return ""
        found = inspect_markup(seen.text, hosts=self.rules.hosts)
        findings += [Finding(f.type, f.rule, span=Span(*seen.span(f.start, f.end))) for f in found]
        if found and task.markup == "block":
            return "active-markup"
        edits += [Edit(f.start, f.end, f.replacement) for f in found]
        return ""


_CLASSES = ("secret.", "pii.")
_OTHERS = frozenset({"tool", "agent", "retriever"})

_MESSAGES = {
    "hidden-text": "The text holds invisible characters that could hide instructions.",
    "injection": "The text looks like an attempt to override the agent's instructions.",
    "limit-exceeded": "The text is too crowded or too deeply encoded to be examined.",
    "active-markup": "The answer holds active markup or a link that could carry data out.",
}


class _Cache:
    """Least recently used outcomes, bounded by entries and by characters. Thread-safe."""

    def __init__(self) -> None:
        self._outcomes: OrderedDict[_Task, _Outcome] = OrderedDict()
        self._chars = 0
        self._lock = threading.Lock()

    def get(self, task: _Task) -> _Outcome | None:
        with self._lock:
            outcome = self._outcomes.get(task)
            if outcome is not None:
                self._outcomes.move_to_end(task)
            return outcome

    def put(self, task: _Task, outcome: _Outcome) -> None:
        with self._lock:
            if len(task.text) > CACHE_CHARS or task in self._outcomes:
                return
            self._outcomes[task] = outcome
            self._chars += len(task.text)
            while len(self._outcomes) > CACHE_ENTRIES or self._chars > CACHE_CHARS:
                oldest, _ = self._outcomes.popitem(last=False)
                self._chars -= len(oldest.text)


def _is_read(event: Event, leaf: Leaf) -> bool:
    """Whether a model reads the text as somebody else's."""
    return not isinstance(event, ToolCall | ModelOutput) and leaf.author.partition(":")[0] in _OTHERS


def _placed(finding: Finding, leaf: Leaf) -> Finding:
    return Finding(finding.type, finding.rule, finding.score, leaf.path, finding.span, finding.message)


def _secret_key(leaf: Leaf) -> str:
    """The dictionary key a short value stands under, when the key names a secret."""
    key = leaf.path[-1] if leaf.path else ""
    if leaf.kind == "key" or not isinstance(key, str) or len(leaf.text) > KEYED_LENGTH or not _SECRET_KEY.search(key):
        return ""
    return key


def _find(
    task: _Task, text: str, registered: RegisteredSecrets | None, choice: Choice, operator: Scoped
) -> tuple[Match, ...]:
    """Matches in the text, read behind its key when the key says what the value is."""
    plain = find(text, task.classes, registered, choice, operator.spans)
    if plain or not task.key:
        return plain
    lead = f'"{task.key}": "'
    keyed = find(f'{lead}{text}"', task.classes, choice=choice, spans=operator.spans)
    inside = [m for m in keyed if m.start >= len(lead) and m.end <= len(lead) + len(text)]
    return tuple(Match(m.type, m.rule, m.start - len(lead), m.end - len(lead), m.score) for m in inside)


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """Grow a span to the sentence or line around it."""
    before = max((m.end() for m in _SENTENCE_END.finditer(text, max(0, start - 1000), start)), default=None)
    low = max(0, start - 1000) if before is None else before
    after = _SENTENCE_END.search(text, max(start, end - 1), end + 1000)
    high = min(len(text), end + 1000) if after is None else (after.start() if after[0] == "\n" else after.end())
    while low < start and text[low].isspace():
        low += 1
    return low, max(high, end)
