"""The ``Content`` stage: sanitise, detect and redact, in one pass over every text of an event.

Who wrote a text decides what is looked for (``event.py``): the same words are normal in a user's prompt and an attack
in a tool's result. Findings point into the text as it came in; all changes of one text are one rewrite.
Texts that were judged before (a conversation's history comes with every model call) are answered from a bounded cache.
"""

from __future__ import annotations

import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Rewrite, Span, Verdict
from agentguard.detect.injection import Channel, Injection, Signal, assess, threshold_of
from agentguard.detect.markup import inspect_markup, neutralize
from agentguard.detect.redaction import Edit, apply_edits, scan_text, tag
from agentguard.event import Event, Leaf, ModelInput, ModelOutput, ToolCall
from agentguard.text.invisible import dishonest_spans

__all__ = ["Content", "ContentRules"]

InjectionAction: TypeAlias = Literal["block", "strip", "quarantine", "report", "off"]
CleanAction: TypeAlias = Literal["block", "strip", "off"]

REMOVED = "[removed: suspected instruction]"
QUARANTINED = "[withheld: suspected instruction in this text]"
# Characters of text whose judgement is remembered. The oldest go first.
CACHE_CHARS = 4_000_000


@dataclass(frozen=True, slots=True)
class ContentRules:
    """What the policy says about texts.

    ``redact`` classes are ``secret`` and ``pii``; ``args`` gives them per tool and argument. ``threshold`` is
    ``strict``, ``balanced``, ``permissive`` or a score in 0..1.
    """

    injection_user: InjectionAction = "block"
    injection_tool: InjectionAction = "strip"
    injection_agent: InjectionAction = "strip"
    threshold: str | float = "balanced"
    unicode: CleanAction = "strip"
    redact_input: frozenset[str] = frozenset({"secret"})
    redact_output: frozenset[str] = frozenset({"secret", "pii"})
    redact_args: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)
    markup: CleanAction = "block"
    allow_hosts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be done with one text."""

    channel: Channel | None = None
    injection: InjectionAction = "off"
    unicode: CleanAction = "off"
    redact: frozenset[str] = frozenset()
    markup: CleanAction = "off"

    @property
    def idle(self) -> bool:
        return self.injection == "off" and self.unicode == "off" and not self.redact and self.markup == "off"


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What came of one text: findings without a path, the reason of a deny, and the new text if it changed."""

    findings: tuple[Finding, ...] = ()
    reason: str = ""
    text: str | None = None


_CLEAN = _Judgement()
_MESSAGES = {
    "injection-suspected": "The text tries to give instructions it has no right to give, so it was refused.",
    "unicode-not-permitted": "The text holds invisible or control characters without an honest use.",
    "markup-not-permitted": "The text holds active markup, or an image or link that could carry data out.",
    "scan-limit": "The text is built so that it cannot be checked within limits.",
}


class Content:
    """Sanitises, detects and redacts.

    Args:
        rules: the policy's settings for texts.
    """

    name = "content"
    blocking = False

    def __init__(self, rules: ContentRules) -> None:
        self._rules = rules
        self._threshold = threshold_of(rules.threshold)
        self._cache = _Cache()
        system = _Task(redact=rules.redact_input)
        self._tasks = {
            "user": _Task("user", rules.injection_user, rules.unicode, rules.redact_input),
            "tool": _Task("tool", rules.injection_tool, rules.unicode, rules.redact_input),
            "agent": _Task("agent", rules.injection_agent, rules.unicode, rules.redact_input),
            "system": system,
            "assistant": system,
            "schema": _Task("tool", rules.injection_tool, rules.unicode),
        }
        self._output = _Task(unicode=rules.unicode, redact=rules.redact_output, markup=rules.markup)

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Deny ``injection-suspected``, ``unicode-not-permitted``, ``markup-not-permitted`` or ``scan-limit``;
        else allow, with rewrites.
        """
        del run
        findings: list[Finding] = []
        rewrites: list[Rewrite] = []
        for leaf in event.leaves():
            task = self._task(event, leaf)
            if task.idle or len(leaf.text) < 2:
                continue
            judged = self._judged(leaf, task)
            if judged is _CLEAN:
                continue
            findings.extend(_at(finding, leaf) for finding in judged.findings)
            if judged.reason:
                return _denied(judged.reason, tuple(findings))
            if judged.text is not None:
                rewrites.append(Rewrite(leaf.path, judged.text))
        return Verdict(findings=tuple(findings), obligations=tuple(rewrites)) if findings or rewrites else ALLOW

    def _task(self, event: Event, leaf: Leaf) -> _Task:
        if isinstance(event, ModelOutput):
            return self._argument_of_output(event, leaf) if leaf.path[:2] == ("message", "calls") else self._output
        if isinstance(event, ToolCall):
            return self._argument(event.tool, leaf.path[1] if len(leaf.path) > 1 else "")
        if isinstance(event, ModelInput) and leaf.path[0] == "tools":
            return self._tasks["schema"]
        kind = leaf.author.partition(":")[0]
        return self._tasks.get(kind, self._tasks["tool"])

    def _argument(self, tool: str, name: str | int) -> _Task:
        classes = self._rules.redact_args.get(tool, {}).get(str(name), frozenset())
        return _Task(unicode=self._rules.unicode, redact=classes)

    def _argument_of_output(self, event: ModelOutput, leaf: Leaf) -> _Task:
        """A call inside an answer shows what the tool would get: the rules of the tool's arguments hold."""
        index = leaf.path[2] if len(leaf.path) > 2 else 0
        call = event.message.calls[index] if isinstance(index, int) else None
        tool = call.get("name") if isinstance(call, dict) else None
        argument = leaf.path[4] if len(leaf.path) > 4 and leaf.path[3] == "args" else ""
        return self._argument(str(tool), argument)

    def _judged(self, leaf: Leaf, task: _Task) -> _Judgement:
        found = self._cache.get(leaf.text, task)
        if found is None:
            found = self._judge(leaf.text, task)
            self._cache.put(leaf.text, task, found)
        return found

    def _judge(self, text: str, task: _Task) -> _Judgement:
        findings: list[Finding] = []
        edits: list[Edit] = []
        reason = ""
        spans = dishonest_spans(text) if task.unicode != "off" else []
        if spans:
            findings.extend(Finding("unicode.invisible", "input.unicode", span=Span(*span)) for span in spans[:20])
            edits.extend((start, end, "") for start, end in spans)
            reason = "unicode-not-permitted" if task.unicode == "block" else ""
        if task.redact:
            scan = scan_text(text, task.redact)
            for m in scan.matches:
                findings.append(Finding(m.type, f"recognizer.{m.type}", m.score, span=Span(m.start, m.end)))
                edits.append((m.start, m.end, tag(m.type, text[m.start : m.end])))
            reason = reason or ("scan-limit" if scan.truncated else "")
        if task.markup != "off" and (issues := inspect_markup(text, self._rules.allow_hosts)):
            findings.extend(Finding(f"markup.{i.kind}", "output.markup", span=Span(i.start, i.end)) for i in issues)
            edits.extend(neutralize(text, issues))
            reason = reason or ("markup-not-permitted" if task.markup == "block" else "")
        if task.channel is not None and task.injection != "off":
            reason = self._injected(text, task, findings, edits) or reason
        if not findings:
            return _normalised(text, task)
        return _Judgement(tuple(findings), reason, None if reason else _changed(text, edits, task))

    def _injected(self, text: str, task: _Task, findings: list[Finding], edits: list[Edit]) -> str:
        """Add what the injection check says; the reason when it is a deny."""
        assert task.channel is not None  # noqa: S101  # the caller has just tested it
        found = assess(text, task.channel)
        if found.incomplete:
            return "scan-limit"
        if found.score < self._threshold:
            return ""
        findings.extend(_signal_finding(signal, found) for signal in found.signals[:20])
        if task.injection == "strip":
            edits.extend(_stripped(text, found.signals))
        elif task.injection == "quarantine":
            edits.append((0, len(text), QUARANTINED))
        return "injection-suspected" if task.injection == "block" else ""


def _signal_finding(signal: Signal, found: Injection) -> Finding:
    rule = f"injection.{signal.family}"
    return Finding(rule, rule, round(found.score, 3), span=Span(signal.start, signal.end))


def _stripped(text: str, signals: tuple[Signal, ...]) -> list[Edit]:
    """Remove from the line a signal stands in to the end of its paragraph: an order's next sentence belongs to it."""
    edits: list[Edit] = []
    for signal in signals:
        start = text.rfind("\n", 0, signal.start)
        end = text.find("\n\n", signal.end)
        edits.append((start + 1, end if end >= 0 else len(text), REMOVED))
    merged: list[Edit] = []
    for edit in sorted(edits):
        if merged and edit[0] <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], edit[1]), REMOVED)
        else:
            merged.append(edit)
    return merged


def _normalised(text: str, task: _Task) -> _Judgement:
    if task.unicode == "off" or text.isascii() or unicodedata.is_normalized("NFC", text):
        return _CLEAN
    return _Judgement(text=unicodedata.normalize("NFC", text))


def _changed(text: str, edits: list[Edit], task: _Task) -> str | None:
    result = apply_edits(text, edits)
    if task.unicode != "off":
        # Removing one character can leave a joiner without the neighbour that made it honest.
        while again := dishonest_spans(result):
            result = apply_edits(result, ((start, end, "") for start, end in again))
        result = unicodedata.normalize("NFC", result)
    return result if result != text else None


def _at(finding: Finding, leaf: Leaf) -> Finding:
    return Finding(finding.type, finding.rule, finding.score, leaf.path, finding.span, finding.message)


def _denied(reason: str, findings: tuple[Finding, ...]) -> Verdict:
    return Verdict(
        Effect.DENY,
        findings=findings or (Finding(f"content.{reason}", f"content.{reason}"),),
        reason=reason,
        message=_MESSAGES[reason],
        rules=tuple(dict.fromkeys(finding.rule for finding in findings)) or (f"content.{reason}",),
    )


class _Cache:
    """Judgements by text and task, the least recently used dropped first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, _Task], _Judgement] = OrderedDict()
        self._chars = 0

    def get(self, text: str, task: _Task) -> _Judgement | None:
        with self._lock:
            found = self._kept.get((text, task))
            if found is not None:
                self._kept.move_to_end((text, task))
            return found

    def put(self, text: str, task: _Task, judged: _Judgement) -> None:
        if len(text) > CACHE_CHARS // 4:
            return
        with self._lock:
            if (text, task) not in self._kept:
                self._chars += len(text)
            self._kept[text, task] = judged
            while self._chars > CACHE_CHARS:
                (dropped, _), _ = self._kept.popitem(last=False)
                self._chars -= len(dropped)
