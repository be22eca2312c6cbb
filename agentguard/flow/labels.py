"""What a policy says about one tool: what it does, how far its output is trusted, who may set its arguments.

Every default is the strict one: output is untrusted, and an argument that nobody described belongs to the user.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from agentguard.event import Label

__all__ = ["USER", "ArgLabels", "ToolLabels"]

# The source name that means the words of the user's own request.
USER = "user"

_USER_ONLY = (USER,)


@dataclass(frozen=True, slots=True)
class ArgLabels:
    """One argument.

    Args:
        sink: kind of thing the value selects (recipient, path, url, id, amount ...); None when not given.
        sources: who may set it: ``user`` and names of tools; None when not given.
        content: the value is a body of text, not a choice of target.
        constrained: the policy lists every permitted value itself (``one_of``).
    """

    sink: str | None = None
    sources: tuple[str, ...] | None = None
    content: bool = False
    constrained: bool = False


@dataclass(frozen=True, slots=True)
class ToolLabels:
    """One tool.

    Args:
        side_effect: read, write, send, destructive, money or access.
        output: integrity of what it returns.
        free_text: names of the fields of a mixed output that anybody may have written.
        egress: its arguments leave the machine although it only reads (a web fetch).
        args: rows of single arguments.
        approval_when_untrusted: a person confirms every call once the run has read untrusted text.
        inbound: outsiders choose even its structured fields (who sent a mail, who shared a file).
        object: object families, or words, of which a request for this tool must speak.
        verbs: further phrases that ask for this tool.
        intent: the request must ask for this action.
        repeat_asks: one call more than the request asked for is put to a person.
        clears: classes of confidential data that may leave by this tool, each with a test of the recipient.
    """

    side_effect: str
    output: Label = Label.UNTRUSTED
    free_text: frozenset[str] = frozenset()
    egress: bool = False
    args: Mapping[str, ArgLabels] = field(default_factory=dict)
    approval_when_untrusted: bool = False
    inbound: bool = False
    object: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    intent: bool = True
    repeat_asks: bool = True
    clears: Mapping[str, Callable[[str], bool]] = field(default_factory=dict)

    @property
    def acts(self) -> bool:
        """Whether a call changes or reveals something outside the run."""
        return self.side_effect != "read" or self.egress

    def sources_for(self, arg: str) -> tuple[str, ...] | None:
        """Who may set ``arg``; None when it is no sink and anybody may."""
        row = self.args.get(arg)
        if row is None:
            return _USER_ONLY if self.acts else None
        if row.sources is not None:
            return row.sources
        if row.content or row.constrained:
            return None
        return _USER_ONLY if self.acts or row.sink else None

    def lists(self, arg: str) -> bool:
        """Whether the policy itself lists every value that ``arg`` may take."""
        row = self.args.get(arg)
        return row is not None and row.constrained

    def sink_of(self, arg: str) -> str | None:
        """The kind of sink ``arg`` is, when the policy names one."""
        row = self.args.get(arg)
        return row.sink if row else None
