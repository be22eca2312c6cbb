"""The ``Restore`` stage: values back in the place of their tokens, in the arguments that the policy clears for it.

It stands before every check of a call's arguments, so that constraints, information flow and a person who is asked see
exactly what the tool will get.
"""

from __future__ import annotations

from collections.abc import Mapping

from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Rewrite, Span, Verdict
from agentguard.detect.operators import Operators
from agentguard.detect.pseudonym import shaped
from agentguard.event import Event, ToolCall

__all__ = ["Restore"]


class Restore:
    """Open the tokens of ``cleared`` classes: tool, then argument, to ``secret`` and ``pii``.

    A token in such an argument that opens nowhere in the run's scopes was made up, miscopied, or belongs to another
    session: the call is denied. In any other argument a token stays what it is.
    """

    name = "restore"
    blocking = False

    def __init__(self, operators: Operators, cleared: Mapping[str, Mapping[str, frozenset[str]]]) -> None:
        self._operators = operators
        self._cleared = {tool: dict(args) for tool, args in cleared.items()}

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Rewrite a call's cleared arguments; nothing else is touched."""
        cleared = self._cleared.get(event.tool) if isinstance(event, ToolCall) else None
        if not cleared:
            return ALLOW
        findings: list[Finding] = []
        rewrites: list[Rewrite] = []
        for leaf in event.leaves():
            classes = cleared.get(str(leaf.path[1])) if len(leaf.path) > 1 else None
            places = shaped(leaf.text) if classes else ()
            if not places or not classes:
                continue
            scoped = self._operators.at(run)
            known = set(scoped.spans(leaf.text))
            if strange := [place for place in places if place not in known]:
                return _unknown(leaf.path, strange[0], str(leaf.path[1]), event)
            restored = [token for token in scoped.tokens(leaf.text) if token.kind in classes]
            findings += [
                Finding(f"{token.kind}.restored", "restore", path=leaf.path, span=Span(token.start, token.end))
                for token in restored
            ]
            if restored:
                rewrites.append(Rewrite(leaf.path, scoped.opened(leaf.text, classes)))
        return Verdict(findings=tuple(findings), obligations=tuple(rewrites)) if findings else ALLOW


def _unknown(path: tuple[str | int, ...], place: tuple[int, int], arg: str, event: Event) -> Verdict:
    tool = event.tool if isinstance(event, ToolCall) else ""
    rule = f"tools.{tool}.args.{arg}.restore"
    return Verdict(
        Effect.DENY,
        (Finding("pseudonym.unknown", "restore", path=path, span=Span(*place)),),
        reason="pseudonym-unknown",
        message="An argument holds a pseudonym that was not given out in this session. Copy pseudonyms exactly.",
        rules=(rule,),
    )
