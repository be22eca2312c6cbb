"""What a stage answers, what the guard concludes, and the rules for combining answers.

Terms follow XACML 3.0 (effect, obligation) and Presidio (finding, span, score). Combining is deny-overrides:
a stage more never permits more.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from agentguard.conversation import Conversation
from agentguard.errors import Denied, RateLimited
from agentguard.event import Event, Path

__all__ = [
    "ALLOW",
    "Decision",
    "Effect",
    "Finding",
    "Letter",
    "Obligation",
    "Origin",
    "Rewrite",
    "Span",
    "Stage",
    "Verdict",
    "combine",
]


class Effect(enum.Enum):
    """What happens to the event. ``rank`` is its strength in combining: the higher wins."""

    rank: int

    def __new__(cls, value: str, rank: int) -> Effect:
        effect = object.__new__(cls)
        effect._value_ = value
        effect.rank = rank
        return effect

    ALLOW = ("allow", 0)
    REQUIRE_APPROVAL = ("require_approval", 1)
    DENY = ("deny", 2)


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range ``[start, end)`` of code points in the leaf's text as the stage received it."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a check saw. Holds where and what kind, never the matched text.

    ``type`` is dotted, general first (``secret.github-token``, ``injection.override``, ``access.tool``);
    ``rule`` is the id of the recognizer or policy rule; ``score`` is 0..1.
    """

    type: str
    rule: str
    score: float = 1.0
    path: Path = ()
    span: Span | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Obligation: the leaf at ``path`` must read ``text`` before the event goes on."""

    path: Path
    text: str


class Letter(enum.Enum):
    """Where the value of an argument came from; ``value`` says it in words, ``name`` is its letter in records."""

    P = "stands in the user's request"
    T = "returned by a trusted tool"
    M = "made by an own call"
    S = "field of a record the request points at"
    s = "field of a record the request does not point at"
    N = "found nowhere"
    U = "stands only in untrusted text"
    FREE = "no sink: anybody may set it"


@dataclass(frozen=True, slots=True)
class Origin:
    """One row of the origin table of a call: one value, where it came from, and what follows.

    ``argument`` is the argument's name, ``path`` leads to the value and ``kind`` says what it selects (the sink:
    ``recipient``, ``path`` ...; ``content`` for bodies). ``source`` says where the evidence stands (``user``,
    ``tool:<name>``, ``agent:<id>`` ..., empty when nowhere), ``span`` where in that text, and ``excerpt`` is the
    sentence around it. ``stood`` lists every (letter, source) under which the value was found, the deciding one
    included, so that other ``sources`` can be judged without the value. ``reason`` is the code when it did not pass.
    ``value`` and ``excerpt`` are for people only: never hand them to a model.
    """

    argument: str
    path: Path
    letter: Letter
    effect: Effect
    value: str
    source: str = ""
    span: Span | None = None
    excerpt: str = ""
    kind: str | None = None
    stood: tuple[tuple[Letter, str], ...] = ()
    reason: str = ""

    @property
    def meaning(self) -> str:
        """The origin in words."""
        return self.letter.value


# The obligations the guard can fulfil. Any other object in ``Verdict.obligations`` is a deny.
Obligation: TypeAlias = Rewrite


@dataclass(frozen=True, slots=True)
class Verdict:
    """One stage's answer.

    ``reason`` is a stable kebab-case code (``tool-not-permitted``); ``message`` one sentence safe to show a model;
    ``rules`` the ids of the policy rules that decided. ``shadow`` marks an answer to record but not to enforce.
    ``origins`` is the origin table of a call, rows that passed included: it holds values and is for people.
    """

    effect: Effect = Effect.ALLOW
    findings: tuple[Finding, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    reason: str = ""
    message: str = ""
    rules: tuple[str, ...] = ()
    retry_after: float | None = None
    shadow: bool = False
    origins: tuple[Origin, ...] = field(default=(), repr=False)


ALLOW = Verdict()


@runtime_checkable
class Stage(Protocol):
    """One check. Reads the event, returns findings and an effect; says no by returning, not by raising.

    ``blocking`` is True when the next ``inspect`` may wait for a disk or a lock; ``acheck`` then leaves the event loop.
    A stage that raises, or runs past its time, is a deny with finding ``stage-failed``.
    """

    name: str

    @property
    def blocking(self) -> bool: ...

    def inspect(self, event: Event, run: Conversation, /) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """The frozen outcome for one event.

    ``effect`` is what the rules say; ``event`` is the event as it may go on. In shadow mode (``mode``) the effect
    is recorded and the event goes on unchanged, so ask ``allowed``, not ``effect``, whether to proceed.
    ``origins`` is as in ``Verdict``: for people and records, never for a model.
    """

    effect: Effect
    event: Event
    id: str
    mode: Literal["enforce", "shadow"] = "enforce"
    findings: tuple[Finding, ...] = ()
    rules: tuple[str, ...] = ()
    reason: str = ""
    message: str = ""
    stage: str = ""
    rewritten: bool = False
    retry_after: float | None = None
    elapsed_ns: int = 0
    stage_ns: tuple[tuple[str, int], ...] = field(default=(), compare=False)
    cause: BaseException | None = field(default=None, compare=False, repr=False)
    origins: tuple[Origin, ...] = field(default=(), repr=False)

    @property
    def allowed(self) -> bool:
        """Whether the caller may go on with ``event``."""
        return self.mode == "shadow" or self.effect is Effect.ALLOW

    def raise_if_denied(self) -> None:
        """Turn a refusal into an exception.

        Raises:
            RateLimited: the refusal was a rate limit.
            Denied: any other refusal, an escalation without approval included; a failed stage is its ``__cause__``.
        """
        if self.allowed:
            return
        if self.retry_after is not None:
            raise RateLimited(self, retry_after=self.retry_after) from self.cause
        raise Denied(self) from self.cause


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """Join answers: the strongest effect wins and names reason, message and wait; findings, rules and origins add up.

    Answers marked ``shadow`` keep their findings and lose their effect and obligations. Obligations are kept in order.
    """
    strongest = ALLOW
    findings: list[Finding] = []
    obligations: list[Obligation] = []
    rules: list[str] = []
    origins: list[Origin] = []
    for verdict in verdicts:
        findings.extend(verdict.findings)
        origins.extend(verdict.origins)
        if verdict.shadow:
            continue
        obligations.extend(verdict.obligations)
        rules.extend(rule for rule in verdict.rules if rule not in rules)
        if verdict.effect.rank > strongest.effect.rank:
            strongest = verdict
    return Verdict(
        effect=strongest.effect,
        findings=tuple(findings),
        obligations=tuple(obligations),
        reason=strongest.reason,
        message=strongest.message,
        rules=tuple(rules),
        retry_after=strongest.retry_after,
        origins=tuple(origins),
    )
