"""The ``Size`` stage: refuse what is too large before anything reads it."""

from __future__ import annotations

from collections import defaultdict

from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Verdict
from agentguard.detect.media import is_media
from agentguard.errors import ConfigError
from agentguard.event import AgentMessage, Event, ModelInput, ModelOutput, Path, ToolCall
from agentguard.text.marks import longest_mark_run

__all__ = ["Size"]

# Images and documents travel as base64 beside the text; a message's text limit is not theirs.
MEDIA_MAX = 20_000_000
# Normalising a run of marks takes quadratic time: 40,000 in a row took a second, 980,000 would take minutes.
MARKS_MAX = 1_000


class Size:
    """Deny ``too-large``: code points over all leaves of one message, result, call or answer.

    Each message of a ModelInput is measured alone, by its author, so a long honest run does not fail by its history.

    Args:
        max_length: for a message a user wrote.
        tool_result_max: for what tools, retrievers, other agents and the developer wrote, and for one tool schema.
        output_max: for a model's answer and for the arguments of one call.

    Raises:
        ConfigError: a limit below 1.
    """

    name = "size"
    blocking = False

    def __init__(self, max_length: int = 10_000, tool_result_max: int = 1_000_000, output_max: int = 1_000_000) -> None:
        for limit in (max_length, tool_result_max, output_max):
            if limit < 1:
                raise ConfigError(f"size limit {limit}: use at least 1")
        self._limits = {"user": max_length, "assistant": output_max}
        self._other = tool_result_max

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Measure before any other stage reads."""
        texts: dict[Path, int] = defaultdict(int)
        media: dict[Path, int] = defaultdict(int)
        authors: dict[Path, str] = {}
        for leaf in event.leaves():
            group = leaf.path[:2] if isinstance(event, ModelInput) else ()
            authors[group] = leaf.author
            (media if is_media(leaf.text) else texts)[group] += len(leaf.text)
            if (run_of_marks := longest_mark_run(leaf.text)) > MARKS_MAX:
                return _too_large(leaf.path, run_of_marks, MARKS_MAX, "combining marks in a row")
        for group, author in authors.items():
            limit = self._limit(event, author)
            for size, allowed in ((texts[group], limit), (media[group], MEDIA_MAX)):
                if size > allowed:
                    return _too_large(group, size, allowed)
        return ALLOW

    def _limit(self, event: Event, author: str) -> int:
        if isinstance(event, ModelOutput | ToolCall):
            return self._limits["assistant"]
        if isinstance(event, AgentMessage):
            return self._other
        return self._limits.get(author, self._other)


def _too_large(path: Path, size: int, allowed: int, unit: str = "characters") -> Verdict:
    message = f"The text has {size} {unit}; {allowed} are allowed here."
    return Verdict(
        effect=Effect.DENY,
        findings=(Finding("limit.length", "size", path=path, message=message),),
        reason="too-large",
        message=message,
        rules=("size",),
    )
