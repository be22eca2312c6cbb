"""What every framework adapter is built on: one way through the guard, and the proof that a hook fires.

An adapter translates: a framework's value into an event, the decision back into the framework's own answer. Everything
between is here, once: whatever goes wrong on the way, in reading a value, in deciding or in rebuilding it, is recorded
through ``Guard.failed`` and refused. Nothing here knows a framework, and nothing here decides.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar, Generic, TypeVar

from agentguard.conversation import ANONYMOUS, Conversation, current_conversation
from agentguard.decision import Decision, Rewrite, Verdict
from agentguard.errors import AdapterError
from agentguard.event import Event, Json, ModelInput, ModelOutput, Principal, ToolCall, ToolResult
from agentguard.guard import Guard
from agentguard.testing import RecordingSink, ScriptedStage

__all__ = [
    "REFUSED",
    "Canary",
    "Gate",
    "Passage",
    "agent_run",
    "answer_content",
    "answer_text",
    "child_run",
    "hook_run",
    "human_author",
    "inside_tool",
    "require_supported",
    "runs_tool",
    "untested_versions",
]

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E", bound=Event)

# Said where a policy refuses without words of its own.
REFUSED = "This was refused by policy."


@dataclass(frozen=True, slots=True)
class Passage(Generic[T, E]):
    """How one kind of value becomes an event, and reads an event back.

    ``apply`` gets the value, the event made of it and the event as it may go on, and gives the value as it may go on.
    ``nearest`` is the event recorded when ``event`` fails.
    """

    event: Callable[[T], E]
    apply: Callable[[T, E, E], T]
    nearest: Callable[[], E]


@dataclass(frozen=True, slots=True)
class Gate:
    """The guard as one hook of one agent sees it. ``agent`` is the name the policy knows the agent by."""

    guard: Guard
    agent: str | None = None

    # What a framework raises to pause a run: neither a failure nor an answer.
    interrupts: ClassVar[tuple[type[BaseException], ...]] = ()

    def admit(
        self,
        value: T,
        passage: Passage[T, E],
        run: Conversation,
        settle: Callable[[Decision], Decision] | None = None,
    ) -> T:
        """``value`` as it may go on. ``settle`` may answer what the guard wants a person to answer.

        Raises:
            Denied: it may not.
        """
        try:
            event = passage.event(value)
            decision = self.guard.check(event, run=run)
            if settle is not None:
                decision = settle(decision)
            result = self._applied(value, passage, event, decision)
        except self.interrupts:
            raise
        except Exception as error:  # noqa: BLE001  # our own failure must be a refusal, not an open door
            decision, result = self.guard.failed(passage.nearest(), error, run=run), value
        _raise_if_denied(decision)
        return result

    async def aadmit(
        self,
        value: T,
        passage: Passage[T, E],
        run: Conversation,
        settle: Callable[[Decision], Awaitable[Decision]] | None = None,
    ) -> T:
        """As ``admit``, without blocking the event loop."""
        try:
            event = passage.event(value)
            decision = await self.guard.acheck(event, run=run)
            if settle is not None:
                decision = await settle(decision)
            result = self._applied(value, passage, event, decision)
        except self.interrupts:
            raise
        except Exception as error:  # noqa: BLE001  # as in admit
            decision, result = await self.guard.afailed(passage.nearest(), error, run=run), value
        _raise_if_denied(decision)
        return result

    def attempt(self, work: Callable[[], R], nearest: Event, otherwise: Callable[[], R]) -> R:
        """Do work of ours that may fail; a failure is recorded and refused. In shadow mode ``otherwise()`` stands in.

        Raises:
            Denied: the work failed.
        """
        try:
            return work()
        except Exception as error:  # noqa: BLE001  # as in admit
            _raise_if_denied(self.guard.failed(nearest, error, run=Conversation()))
            return otherwise()

    async def aattempt(
        self, work: Callable[[], R], nearest: Event, otherwise: Callable[[], R], *, slow: bool = False
    ) -> R:
        """As ``attempt``, without blocking the event loop; ``slow`` work leaves it."""
        try:
            return await asyncio.to_thread(work) if slow else work()
        except Exception as error:  # noqa: BLE001  # as in admit
            _raise_if_denied(await self.guard.afailed(nearest, error, run=Conversation()))
            return otherwise()

    def principal(self) -> Principal:
        """Who acts when no conversation says so: the agent this hook was attached for, else the guard's."""
        name = self.agent or self.guard.agent
        return Principal(name) if name else ANONYMOUS

    def passed(self, event: Event) -> None:
        """Told of every event that may go on, as it goes on."""

    def _applied(self, value: T, passage: Passage[T, E], event: E, decision: Decision) -> T:
        if not decision.allowed:
            return value
        result = passage.apply(value, event, decision.event)  # type: ignore[arg-type]  # the guard keeps an event's kind
        self.passed(decision.event)
        return result


def _raise_if_denied(decision: Decision) -> None:
    if not decision.allowed and not decision.message:
        decision = dataclasses.replace(decision, message=REFUSED)
    decision.raise_if_denied()


# -- which conversation an agent run is ------------------------------------------------------------------------------

# The run of the tool that is being executed: an agent that starts inside it was called by another agent.
_tool_run: ContextVar[Conversation | None] = ContextVar("agentguard_tool_run", default=None)


# The runs that adapters opened, by who acts in them: another agent inside one was called by it.
_opened: weakref.WeakKeyDictionary[Conversation, str] = weakref.WeakKeyDictionary()


def agent_run(gate: Gate, *, framework: str, request: Sequence[str], thread: str | None = None) -> Conversation:
    """The conversation of an agent run that starts now.

    The one the application opened, if it did; else a child, where another agent's tool started this one; else a new
    one whose trusted request is ``request``: what the framework says a person typed.
    """
    outer = current_conversation()
    if outer is None:
        run = Conversation(principal=gate.principal(), framework=framework, thread=thread)
        for text in request:
            run.trust(text)
        _opened[run] = run.principal.id
        return run
    if outer is not _tool_run.get() and _opened.get(outer) in (None, gate.principal().id):
        return outer
    caller = outer.principal
    principal = dataclasses.replace(
        gate.principal(), on_behalf_of=caller.on_behalf_of, session=caller.session, tenant=caller.tenant
    )
    return child_run(outer, principal, framework=framework)


def hook_run(gate: Gate, *, framework: str) -> Conversation:
    """The active conversation, else one for a call outside any agent: nobody's request stands behind it."""
    return current_conversation() or Conversation(principal=gate.principal(), framework=framework)


@contextmanager
def inside_tool(run: Conversation) -> Iterator[None]:
    """Run a tool: what starts inside it belongs to ``run``, and an agent started inside becomes its child."""
    token = _tool_run.set(run)
    try:
        with run.active():
            yield
    finally:
        _tool_run.reset(token)


def runs_tool(run: Conversation) -> bool:
    """Whether ``run`` is executing a tool here."""
    return run is _tool_run.get()


def human_author(run: Conversation) -> str:
    """Who wrote the human messages of an agent's run: of one that another agent called, it was that agent."""
    if run.parent is not None and run.framework is not None:
        return f"agent:{run.parent.principal.id}"
    return "user"


def child_run(parent: Conversation, principal: Principal, *, framework: str, id: str | None = None) -> Conversation:
    """The conversation of an agent that another agent called: it may do what the parent was entitled to ask for.

    The words the parent's model wrote for it are not the user's, so it inherits the parent's trusted request, and what
    the parent knew to be quoted, and nothing more. ``id`` names the conversation when it is not new.
    """
    run = Conversation(principal=principal, parent=parent, framework=framework, thread=parent.thread, id=id)
    for text in parent.requests:
        run.trust(text)
    for text in parent.quoted:
        run.untrusted(text)
    return run


# -- answers that are parsed later -----------------------------------------------------------------------------------


def answer_content(text: str) -> Json:
    """An answer's text as the checks read it: with the JSON in it opened, where escapes could hide what it says.

    Frameworks parse structured answers after the model was checked, and JSON can spell any letter as ``\\u0041``.
    """
    found = _json_in(text)
    return text if found is None else {"text": text, "json": found[2]}


def answer_text(text: str, after: Json) -> str:
    """The answer's text once ``answer_content(text)`` came back as ``after``.

    Raises:
        AdapterError: both the words around the JSON and those in it were replaced.
    """
    found = _json_in(text)
    if found is None or not isinstance(after, dict):
        return str(after)
    start, end, parsed = found
    if after["json"] == parsed:
        return str(after["text"])
    if after["text"] == text or (not text[:start].strip() and not text[end:].strip()):
        return text[:start] + json.dumps(after["json"], ensure_ascii=False) + text[end:]
    raise AdapterError("an answer was replaced both in its JSON and around it, so it cannot be put together again")


def _json_in(text: str) -> tuple[int, int, Json] | None:
    if "\\" not in text:
        return None
    for opening, closing in ("{}", "[]"):
        start, end = text.find(opening), text.rfind(closing) + 1
        if 0 <= start < end:
            try:
                return start, end, json.loads(text[start:end])
            except (ValueError, RecursionError):
                continue
    return None


# -- versions --------------------------------------------------------------------------------------------------------


def require_supported(extra: str, floors: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse to go on without a framework that calls our hooks.

    Args:
        extra: what to install: ``agentguard[extra]``.
        floors: first version, by package, in which every hook in use exists.

    Raises:
        AdapterError: a package is absent or below its floor.
    """
    for package, floor in floors.items():
        found = _installed(package)
        if found is None or found < floor:
            wanted = ".".join(map(str, floor))
            raise AdapterError(f"install agentguard[{extra}] ({package} >= {wanted} not found)")


def untested_versions(adapter: str, limits: Mapping[str, tuple[int, ...]]) -> None:
    """Warn about versions that the conformance suite has not run on. ``limits``: the first of these, by package."""
    newer = [name for name, limit in limits.items() if (found := _installed(name)) is not None and found >= limit]
    if newer:
        warnings.warn(
            f"{adapter} has not been tested with this version of {', '.join(newer)}; "
            "the self-test at attach still runs",
            stacklevel=3,
        )


def _installed(package: str) -> tuple[int, ...] | None:
    try:
        parts = re.findall(r"\d+", version(package))[:3]
    except PackageNotFoundError:
        return None
    return tuple(int(part) for part in [*parts, "0", "0"][:3])


# -- the self-test ---------------------------------------------------------------------------------------------------


class Canary:
    """A guard that replaces one word wherever it stands, and notes what it was shown.

    Some releases of agent frameworks accept hooks and never call them. At attach, an adapter runs a canary agent, in
    memory, with a scripted model and tool of its own, through the framework's real machinery: an event that does not
    arrive, or the word in what comes back, refuses the attach.
    """

    word = "agentguard-canary"
    safe = "seen"

    def __init__(self) -> None:
        self._stage = ScriptedStage(self._masked)
        self.guard = Guard(stages=[self._stage], audit=RecordingSink(), agent="canary")

    def prove(
        self,
        mode: str,
        run: Callable[[Guard], Any],
        *,
        expected: Iterable[type] = (ModelInput, ModelOutput, ToolCall, ToolResult),
    ) -> None:
        """Run the canary agent; ``run`` builds it with the guard and gives what its caller gets.

        Raises:
            AdapterError: the run failed, a hook did not fire, or fired without effect.
        """
        self._stage.seen.clear()
        try:
            answer = run(self.guard)
        except Exception as error:
            raise AdapterError(
                f"the {mode} self-test failed: this framework does not run our hooks as expected"
            ) from error
        missing = sorted(kind.__name__ for kind in set(expected) - {type(event) for event in self._stage.seen})
        if missing:
            raise AdapterError(
                f"the {mode} self-test saw no {', '.join(missing)}: this framework does not call our hooks"
            )
        if self.word in repr(answer):
            raise AdapterError(f"the {mode} self-test: a text came back as if it had not been checked")

    def prove_async(self, mode: str, run: Callable[[Guard], Awaitable[Any]], **options: Any) -> None:
        """As ``prove``, in an event loop of its own, on a thread: the caller may be inside one.

        Raises:
            AdapterError: as ``prove``.
        """

        async def awaited(guard: Guard) -> Any:
            return await run(guard)

        self.prove(mode, lambda guard: _in_thread(lambda: asyncio.run(awaited(guard))), **options)

    @classmethod
    def _masked(cls, event: Event) -> Verdict:
        found = [leaf for leaf in event.leaves() if leaf.kind == "text" and cls.word in leaf.text]
        return Verdict(obligations=tuple(Rewrite(leaf.path, leaf.text.replace(cls.word, cls.safe)) for leaf in found))


def _in_thread(work: Callable[[], R]) -> R:
    answers: list[R] = []
    errors: list[Exception] = []

    def body() -> None:
        try:
            answers.append(work())
        except Exception as error:  # noqa: BLE001  # handed to the waiting thread
            errors.append(error)

    thread = threading.Thread(target=body, name="agentguard-canary")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return answers[0]
