"""``PromptSecurityValidator``: is this prompt an attack, and what personal data or secrets does it hold?

Length first, then repetition, then the injection grammar on every view of the text. Sanitising removes invisible and
control characters and normalises to NFC; it never escapes for a sink it does not know.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentguard.decision import Finding, Span
from agentguard.detect.injection import assess, threshold_of
from agentguard.detect.redaction import scan_text
from agentguard.errors import ConfigError
from agentguard.text.invisible import Change, sanitize

__all__ = ["PromptReport", "PromptSecurityValidator"]

ALL_CLASSES = frozenset({"secret", "pii"})
# A run of one repeated unit is suspicious from this many characters on, when it is most of the text.
MIN_REPEATED = 400
MAX_PERIOD = 1_000


@dataclass(frozen=True, slots=True)
class PromptReport:
    """What was found. ``findings`` explain a refusal; ``score`` is the injection score in 0..1."""

    ok: bool
    reason: str | None
    findings: tuple[Finding, ...]
    score: float


class PromptSecurityValidator:
    """Validates prompts of users.

    Args:
        max_length: longest prompt, in code points.
        threshold: ``strict``, ``balanced``, ``permissive``, or a score in 0..1.

    Raises:
        ConfigError: ``max_length`` below 1, or a threshold that is neither.
    """

    def __init__(self, max_length: int = 10_000, *, threshold: str | float = "balanced") -> None:
        if max_length < 1:
            raise ConfigError(f"got max_length={max_length}; at least 1 is accepted")
        try:
            self._threshold = threshold_of(threshold)
        except KeyError as error:
            raise ConfigError(f"got threshold={threshold!r}; strict, balanced, permissive or a number") from error
        self.max_length = max_length

    def validate_prompt(self, prompt: str) -> tuple[bool, str | None]:
        """``(True, None)``, or ``(False, reason)``; the reason names the rule and never quotes the prompt."""
        report = self.inspect(prompt)
        return report.ok, report.reason

    def inspect(self, prompt: str) -> PromptReport:
        """The same with findings and their places."""
        if len(prompt) > self.max_length:
            return _refused("size.length", f"longer than {self.max_length} characters")
        run = longest_repetition(prompt)
        if run is not None:
            finding = Finding("repetition", "repetition", span=Span(*run))
            return PromptReport(False, "repetition: most of the prompt is one unit repeated", (finding,), 0.0)
        found = assess(prompt, "user")
        if found.incomplete:
            return _refused("scan-limit", "encoded so often that it cannot be checked")
        if found.score < self._threshold:
            return PromptReport(True, None, (), found.score)
        findings = tuple(
            Finding(f"injection.{s.family}", f"injection.{s.family}", s.weight, span=Span(s.start, s.end))
            for s in found.signals
        )
        families = ", ".join(dict.fromkeys(signal.family for signal in found.signals))
        return PromptReport(False, f"injection: {families} (score {found.score:.2f})", findings, found.score)

    def sanitize_prompt(self, prompt: str) -> str:
        """The prompt without characters that have no honest use. Idempotent."""
        return sanitize(prompt)[0]

    def sanitize_report(self, prompt: str) -> tuple[str, tuple[Change, ...]]:
        """The same, with what was changed and where."""
        return sanitize(prompt)

    def detect_sensitive_data(self, text: str) -> list[str]:
        """The types of secrets and personal data in ``text``, each once, in order of appearance."""
        return list(dict.fromkeys(finding.type for finding in self.find_sensitive_data(text)))

    def find_sensitive_data(self, text: str) -> tuple[Finding, ...]:
        """The same with places and scores."""
        matches = scan_text(text, ALL_CLASSES).matches
        return tuple(Finding(m.type, f"recognizer.{m.type}", m.score, span=Span(m.start, m.end)) for m in matches)


def longest_repetition(text: str) -> tuple[int, int] | None:
    """A run with a period of at most ``MAX_PERIOD`` that is most of the text and at least ``MIN_REPEATED`` long.

    Linear: from anchors at fixed distances the period is read off the next occurrence of the following characters, and
    a run found is skipped.
    """
    needed = max(MIN_REPEATED, len(text) // 2)
    anchor = 0
    stride = max(1, needed // 4)
    while anchor + 32 < len(text):
        probe = text[anchor : anchor + 16]
        # Overlapping occurrences count, so that one repeated character has period one.
        again = text.find(probe, anchor + 1, anchor + MAX_PERIOD + 16)
        if again > 0:
            start, end = _run(text, anchor, again - anchor)
            if end - start >= max(needed, 3 * (again - anchor)):
                return start, end
            anchor = max(anchor + stride, end - stride)
        else:
            anchor += stride
    return None


def _run(text: str, anchor: int, period: int) -> tuple[int, int]:
    """How far the text repeats with ``period`` around ``anchor``, to a whole period's precision."""
    unit = text[anchor : anchor + period]
    end = anchor + period
    while text.startswith(unit, end):
        end += period
    start = anchor
    while start >= period and text.startswith(unit, start - period):
        start -= period
    return start, end


def _refused(rule: str, reason: str) -> PromptReport:
    return PromptReport(False, f"{rule}: {reason}", (Finding(rule, rule),), 0.0)
