"""``PromptSecurityValidator``: is this prompt fit to be sent to a model?

Checks in order of cost: type and length, hidden text, repetition, then injection, SQL and script forms in every
reading. A refusal names the finding's type, rule, place and score, never the matched words.
"""

from __future__ import annotations

from dataclasses import dataclass

from agentguard.decision import Finding, Span
from agentguard.detect import injection
from agentguard.detect.recognizers import scan
from agentguard.detect.repetition import repeated_run
from agentguard.errors import ConfigError
from agentguard.text.invisible import hidden_payloads, sanitize

__all__ = ["Inspection", "PromptSecurityValidator"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """The answer of ``PromptSecurityValidator.inspect``: ``score`` is injection's, ``reason`` None when accepted."""

    ok: bool
    reason: str | None
    findings: tuple[Finding, ...] = ()
    score: float = 0.0


class PromptSecurityValidator:
    """Accept or refuse a user's prompt.

    Args:
        max_length: code points a prompt may have.
        threshold: ``strict``, ``balanced``, ``permissive`` or a score in (0, 1] from which a prompt is refused.

    Raises:
        ConfigError: a setting is out of range.
    """

    def __init__(self, max_length: int = 10_000, threshold: str | float = "balanced") -> None:
        if max_length < 1:
            raise ConfigError(f"max_length {max_length}: use at least 1")
        self.max_length = max_length
        self.threshold = injection.threshold_value(threshold)

    def validate_prompt(self, prompt: str) -> tuple[bool, str | None]:
        """``(True, None)`` or ``(False, reason)``."""
        result = self.inspect(prompt)
        return result.ok, result.reason

    def sanitize_prompt(self, prompt: str) -> str:
        """Without invisible and control characters that have no honest use, in NFC. Never escapes, never rewords."""
        return sanitize(prompt)[0]

    def detect_sensitive_data(self, text: str) -> list[str]:
        """The types of secrets and personal data in the text, sorted, each once."""
        return sorted({match.type for match in scan(text)})

    def inspect(self, prompt: object, *, channel: injection.Channel = "user") -> Inspection:
        """The full answer, with every finding and its place in the prompt."""
        if not isinstance(prompt, str):
            return Inspection(False, f"not-text: a prompt is text, got {type(prompt).__name__}")
        if len(prompt) > self.max_length:
            finding = Finding(
                "limit.length", "max-length", message=f"{len(prompt)} code points, {self.max_length} allowed"
            )
            return Inspection(False, f"too-large: {finding.message}", (finding,))
        findings = [*_hidden(prompt), *_repetition(prompt)]
        report = injection.inspect(prompt, channel, payloads=True)
        findings += [Finding(h.type, h.rule, h.weight, span=Span(h.start, h.end)) for h in report.hits]
        if report.truncated:
            findings.append(Finding("limit.expansion", "decoding-limit", message="nested encodings exceed the limit"))
        refusal = next((f for f in findings if f.type.startswith(("hidden.", "repetition", "limit."))), None)
        if refusal is None and report.score >= self.threshold:
            refusal = max((f for f in findings if f.span), key=lambda f: f.score)
        reason = None if refusal is None else _reason(refusal, report.score)
        return Inspection(refusal is None, reason, tuple(findings), report.score)


def _hidden(prompt: str) -> list[Finding]:
    return [
        Finding("hidden.payload", "invisible-text", span=Span(start, end)) for start, end, _ in hidden_payloads(prompt)
    ]


def _repetition(prompt: str) -> list[Finding]:
    run = repeated_run(prompt)
    return [] if run is None else [Finding("repetition", f"period-{run.period}", span=Span(run.start, run.end))]


def _reason(finding: Finding, score: float) -> str:
    place = f" at characters {finding.span.start}-{finding.span.end}" if finding.span else ""
    scored = f", score {score:.2f}" if finding.type.startswith(("injection.", "payload.")) else ""
    return f"{finding.type}: rule {finding.rule}{place}{scored}"
