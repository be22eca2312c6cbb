"""The ``Size`` stage: lengths are checked before anything reads the text."""

from __future__ import annotations

from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Verdict
from agentguard.event import Event, Leaf, ModelInput, ModelOutput, Path, ToolCall

__all__ = ["Size"]

# Leaves, not characters: a million empty strings cost as much as a long text.
MAX_LEAVES = 100_000


class Size:
    """Refuses texts that are too long. Lengths in code points, summed per message and author.

    A model's input is judged message by message, so that a long honest run does not outgrow the limit.

    Args:
        max_length: a user's message, a tool's arguments, another agent's message.
        tool_result_max: a tool's result.
        output_max: a model's answer.
    """

    name = "size"
    blocking = False

    def __init__(self, *, max_length: int, tool_result_max: int, output_max: int) -> None:
        self._max_length = max_length
        self._tool_result_max = tool_result_max
        self._output_max = output_max

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Deny ``too-large``, or allow."""
        del run
        lengths: dict[tuple[Path, int], int] = {}
        for count, leaf in enumerate(event.leaves()):
            if count >= MAX_LEAVES:
                return _too_large("size.leaves", (), MAX_LEAVES, "parts")
            limit = self._limit(event, leaf)
            if limit is None:
                continue
            part = (leaf.path[:2], limit) if isinstance(event, ModelInput) else ((), limit)
            lengths[part] = lengths.get(part, 0) + len(leaf.text)
            if lengths[part] > limit:
                return _too_large("size.length", leaf.path, limit, "characters")
        return ALLOW

    def _limit(self, event: Event, leaf: Leaf) -> int | None:
        if isinstance(event, ModelOutput):
            return self._output_max
        if leaf.author.startswith("tool:") or leaf.author == "retriever":
            return self._tool_result_max
        if isinstance(event, ToolCall):
            # Arguments hold what the model wrote, up to a whole answer.
            return max(self._output_max, self._max_length)
        if leaf.author == "user" or leaf.author.startswith("agent:"):
            return self._max_length
        # The developer's own prompt and schemas, and answers that were measured when they were given.
        return None


def _too_large(rule: str, path: Path, limit: int, unit: str) -> Verdict:
    message = f"The text is longer than the {limit} {unit} that are accepted."
    return Verdict(
        Effect.DENY,
        findings=(Finding("size.too-large", rule, path=path, message=message),),
        reason="too-large",
        message=message,
        rules=(rule,),
    )
