"""Cases: what a policy must permit, ask about and refuse, written down as runs of an agent and kept with the policy.

A case is one run: who acts, what the user asked, and the steps in order. Results and messages are what the agent
read; every call is judged by the policy's own guard, as enforced, and compared with what was expected. Nothing runs,
nothing is recorded. ::

    version: 1
    policy: agentguard.yaml              # relative to this file
    cases:
      - name: the reply goes to the customer
        agent: support
        user: {id: u17, roles: [clerk]}  # optional: on whose behalf
        request: Mail customer 1042 that the refund was approved.
        quoted: ["..."]                  # optional: passages of the request that somebody else wrote
        steps:
          - result: {tool: lookup_customer, args: {id: 1042}, content: {email: anna@example.com}}
          - message: {sender: a, receiver: b, topic: t, content: "..."}
          - request: And tell her that it takes three days.
          - call: {tool: send_mail, args: {to: anna@example.com, body: "..."}}
            expect: allow                # allow | ask | deny
            reason: origin-untrusted     # optional
            arguments: {to: allow}       # optional

A call that a ``result`` of the same tool follows was done: it was allowed, or a person said yes to an ``ask``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from agentguard.conversation import Conversation
from agentguard.decision import Decision, Effect, Origin
from agentguard.dryrun import dry_guard
from agentguard.errors import CasesError, ConfigError
from agentguard.event import AgentMessage, Principal, ToolCall, ToolResult
from agentguard.policy import Policy
from agentguard.policy.document import Document, read, read_file
from agentguard.policy.validation import validated

__all__ = ["Case", "CaseFile", "CaseOutcome", "Expectation", "Step", "StepOutcome", "Word"]

Word: TypeAlias = Literal["allow", "ask", "deny"]
_Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=1024)]

_WORDS: dict[Effect, Word] = {Effect.ALLOW: "allow", Effect.REQUIRE_APPROVAL: "ask", Effect.DENY: "deny"}
_RANKS: dict[Word, int] = {"allow": 0, "ask": 1, "deny": 2}
_KINDS = ("call", "result", "message", "request")


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _UserRow(_Row):
    id: _Name
    roles: list[_Name] = []


class _CallRow(_Row):
    tool: _Name
    args: dict[str, Any] = {}


class _ResultRow(_Row):
    tool: _Name
    content: Any
    args: dict[str, Any] | None = None
    error: bool = False


class _MessageRow(_Row):
    sender: _Name
    receiver: _Name
    topic: str = ""
    content: Any


class _StepRow(_Row):
    call: _CallRow | None = None
    result: _ResultRow | None = None
    message: _MessageRow | None = None
    request: str | None = None
    expect: Word | None = None
    reason: str | None = None
    arguments: dict[str, Word] = {}


class _CaseRow(_Row):
    name: _Name
    agent: _Name
    user: _UserRow | None = None
    request: str | None = None
    quoted: list[str] = []
    steps: list[_StepRow]


class _File(_Row):
    version: Literal[1]
    policy: str | None = None
    cases: list[_CaseRow]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one step must come to; ``reason`` None and an argument not named mean that any will do."""

    effect: Word
    reason: str | None = None
    arguments: dict[str, Word] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens in a run: an event the guard judges, or further words of the user (a text)."""

    event: ToolCall | ToolResult | AgentMessage | str
    expected: Expectation | None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What the guard made of one step.

    ``effect`` is what the policy says when enforced; ``arguments`` the verdict on each argument of a call, and
    ``origins`` where its values came from. ``faults`` says in words what differs from the expectation.
    """

    step: Step
    effect: Word
    decision: Decision
    arguments: dict[str, Word] = field(default_factory=dict)
    origins: tuple[Origin, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it came out as expected."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """The steps of one case that were judged, in order."""

    case: Case
    steps: tuple[StepOutcome, ...]

    @property
    def passed(self) -> bool:
        """Whether every step came out as expected."""
        return all(step.passed for step in self.steps)


@dataclass(frozen=True, slots=True)
class Case:
    """One run of an agent with what each of its calls must come to."""

    name: str
    principal: Principal
    request: str | None
    quoted: tuple[str, ...]
    steps: tuple[Step, ...]
    line: int | None = None

    def run(self, policy: Policy) -> CaseOutcome:
        """Judge the steps by a guard of ``policy``, in a run of their own."""
        outcomes = []
        with dry_guard(policy) as guard, guard.conversation(self.principal, self.request) as run:
            for passage in self.quoted:
                run.untrusted(passage)
            for step in self.steps:
                if isinstance(step.event, str):
                    run.trust(step.event)
                    continue
                outcomes.append(_outcome(step, guard.check(step.event, run=run), run))
        return CaseOutcome(self, tuple(outcomes))


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A file of cases. ``policy_path`` is the policy it names, resolved against the file; None when it names none."""

    cases: tuple[Case, ...]
    policy_path: Path | None = None
    path: str | None = None

    @classmethod
    def from_file(cls, path: Path | str) -> CaseFile:
        """Load a file.

        Raises:
            CasesError: it is missing, unreadable, or no valid file of cases; with line and column.
        """
        name = str(path)
        return cls.parse(read_file(name, missing="no such file of cases", error=CasesError), path=name)

    @classmethod
    def parse(cls, text: str, *, path: str | None = None) -> CaseFile:
        """Load from text; ``path`` is for messages, and what the policy's path is relative to.

        Raises:
            CasesError: as ``from_file``.
        """
        document = read(text, path=path, error=CasesError)
        file = validated(document, _File, noun="a file of cases")
        folder = Path(path).parent if path else Path()
        return cls(
            cases=tuple(_Loader(document).cases(file)),
            policy_path=folder / file.policy if file.policy is not None else None,
            path=path,
        )

    def policy(self) -> Policy:
        """The policy that the file names.

        Raises:
            CasesError: it names none.
            PolicyError: the policy does not load.
        """
        if self.policy_path is None:
            raise CasesError("names no policy; write `policy: agentguard.yaml`, or pass --policy", path=self.path)
        return Policy.from_file(self.policy_path)

    def run(self, policy: Policy | None = None) -> Iterator[CaseOutcome]:
        """Run every case, by ``policy`` or the one that the file names.

        Raises:
            CasesError, PolicyError: as ``policy``; or a case names an agent or tool that the policy does not.
        """
        rules = policy or self.policy()
        for case in self.cases:
            self._known(case, rules)
        return (case.run(rules) for case in self.cases)

    def _known(self, case: Case, policy: Policy) -> None:
        """A misspelt agent or tool would be refused whatever the rules say: such a case tests nothing."""
        if case.principal.kind == "agent" and case.principal.id not in policy.agents:
            raise CasesError(
                f"the agent {case.principal.id[:60]!r} is not in the policy", path=self.path, line=case.line
            )
        for step in case.steps:
            if not isinstance(step.event, ToolCall) or step.event.tool in policy.tools or step.expected is None:
                continue
            if step.expected.reason != "tool-not-permitted":
                raise CasesError(
                    f"the tool {step.event.tool[:60]!r} is not in the policy; if that is the point, expect it: "
                    "reason: tool-not-permitted",
                    path=self.path,
                    line=step.line,
                )


class _Loader:
    """Builds cases from checked rows; what spans several rows fails at its line."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def cases(self, file: _File) -> Iterator[Case]:
        if not file.cases:
            self._document.fail(("cases",), "an empty list of cases tests nothing; write one")
        seen: dict[str, int] = {}
        for index, row in enumerate(file.cases):
            if row.name in seen:
                self._document.fail(("cases", index, "name"), f"the name {row.name[:60]!r} stands twice")
            seen[row.name] = index
            yield self._case(index, row)

    def _case(self, index: int, row: _CaseRow) -> Case:
        steps = [self._step(("cases", index, "steps", at), step) for at, step in enumerate(row.steps)]
        if not any(step.expected for step in steps):
            self._document.fail(("cases", index, "steps"), "no step of this case expects anything; write a call")
        user = Principal(row.user.id, kind="user", roles=tuple(row.user.roles)) if row.user else None
        return Case(
            name=row.name,
            principal=Principal(row.agent, on_behalf_of=user),
            request=row.request,
            quoted=tuple(row.quoted),
            steps=tuple(_joined(row.steps, steps)),
            line=self._document.line("cases", index),
        )

    def _step(self, place: tuple[str | int, ...], row: _StepRow) -> Step:
        kinds = [kind for kind in _KINDS if getattr(row, kind) is not None]
        if len(kinds) != 1:
            self._document.fail(place, f"a step is one of {', '.join(_KINDS)}; got {', '.join(kinds) or 'none'}")
        if row.call and row.expect is None:
            self._document.fail(place, "the key 'expect' is missing; accepted: allow, ask, deny")
        if row.expect is None and (row.reason is not None or row.arguments):
            self._document.fail(place, "reason and arguments belong to an `expect`")
        if row.request is not None and row.expect is not None:
            self._document.fail((*place, "expect"), "words of the user are not judged; expect belongs to a call")
        if row.expect == "ask" and not row.call:
            self._document.fail((*place, "expect"), "only a call can ask; accepted here: allow, deny")
        for name in row.arguments:
            if not row.call or name not in row.call.args:
                self._document.fail((*place, "arguments", name), f"the call has no argument {name[:60]!r}", key=True)
        try:
            event = _event(row)
        except ConfigError as error:
            self._document.fail(place, str(error))
        expected = Expectation(row.expect, row.reason, dict(row.arguments)) if row.expect else None
        return Step(event, expected, self._document.line(*place))


def _event(row: _StepRow) -> ToolCall | ToolResult | AgentMessage | str:
    if row.call:
        return ToolCall(row.call.tool, row.call.args)
    if row.result:
        return ToolResult(row.result.tool, row.result.args or {}, row.result.content, is_error=row.result.error)
    if row.message:
        return AgentMessage(row.message.sender, row.message.receiver, row.message.topic, row.message.content)
    return row.request or ""


def _joined(rows: list[_StepRow], steps: list[Step]) -> list[Step]:
    """Give a call and its result one id, and the result the call's arguments where it names none.

    Calls may run in parallel: a result belongs to the first call of its tool that is still open and was not to be
    refused; where it names arguments, to one with those.
    """
    joined = list(steps)
    pending: list[int] = []
    for index, (row, step) in enumerate(zip(rows, steps, strict=True)):
        event = step.event
        if isinstance(event, ToolCall):
            joined[index] = replace(step, event=replace(event, call_id=f"call-{index}"))
            if row.expect != "deny":
                pending.append(index)
        elif isinstance(event, ToolResult):
            any_args = row.result is None or row.result.args is None
            for at in pending:
                call = joined[at].event
                if isinstance(call, ToolCall) and call.tool == event.tool and (any_args or call.args == event.args):
                    joined[index] = replace(step, event=replace(event, args=call.args, call_id=call.call_id))
                    pending.remove(at)
                    break
    return joined


def _outcome(step: Step, decision: Decision, run: Conversation) -> StepOutcome:
    effect = _WORDS[decision.effect]
    if not isinstance(step.event, ToolCall):
        return StepOutcome(step, effect, decision, faults=tuple(_faults(step, effect, decision, {})))
    # A stage before the flow may have refused the call; where its values come from is told all the same.
    origins = decision.origins or run.explain(step.event)
    arguments = _verdicts(step.event, decision, origins)
    return StepOutcome(step, effect, decision, arguments, origins, tuple(_faults(step, effect, decision, arguments)))


def _faults(step: Step, effect: Word, decision: Decision, arguments: dict[str, Word]) -> Iterator[str]:
    expected = step.expected
    if expected is None:
        if effect != "allow":
            yield f"it was refused ({decision.reason}), so no agent reads it; write `expect: deny` if that is meant"
        return
    if effect != expected.effect:
        yield f"expected {expected.effect}, got {effect}" + (f" ({decision.reason})" if decision.reason else "")
    elif expected.reason is not None and decision.reason != expected.reason:
        yield f"expected reason {expected.reason}, got {decision.reason or 'none'}"
    for name, wanted in expected.arguments.items():
        if arguments[name] != wanted:
            yield f"argument {name}: expected {wanted}, got {arguments[name]}"


def _verdicts(call: ToolCall, decision: Decision, origins: tuple[Origin, ...]) -> dict[str, Word]:
    """The strictest word on each argument: of where its values came from, and of the policy's constraints."""
    found: dict[str, Word] = dict.fromkeys(call.args, "allow")
    for origin in origins:
        found[origin.argument] = max(found.get(origin.argument, "allow"), _WORDS[origin.effect], key=_RANKS.__getitem__)
    for finding in decision.findings:
        if finding.type == "policy.argument" and len(finding.path) > 1 and finding.path[1] in found:
            found[str(finding.path[1])] = "deny"
    return found
