"""``GuardMiddleware``: the guard in a ``create_agent`` agent.

The checks themselves run as near to the model and the tool as can be: the middleware hands on a guarded model and a
guarded tool, so middleware that stands between cannot change anything unseen, and streamed tokens are checked too.
On the way back it checks whatever did not come through them: an answer a middleware made up, or a cached result.
"""

import inspect
import json
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, NotRequired, TypeVar, cast

from langchain.agents import create_agent
from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ExtendedModelResponse,
    ModelRequest,
    ModelResponse,
    PrivateStateAttr,
)
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables.config import ensure_config
from langgraph.prebuilt.tool_node import ToolCallRequest
from langgraph.types import Command

from agentguard import (
    AdapterError,
    Conversation,
    Denied,
    Guard,
    Message,
    ModelInput,
    ModelOutput,
    ToolCall,
    ToolResult,
    UnsupportedValueError,
)
from agentguard.adapter import Passage

from .approval import APPROVAL_TTL, ApproveWith, asks_of
from .canary import prove_hooks
from .checkpoint import refuse_raw_saver, saver_of
from .events import ModelResult, encode, model_output, texts_of
from .gate import Gate, Scope, scope
from .model import OUTPUT, OnDeny, blocked_message, checked, wrap_model
from .runs import RUN_CHANNEL, RunKey, RunRegistry, acting, application_run, opened, resumed
from .tool import denied_message, result_passage, wrap_tool
from .versions import warn_untested

__all__ = ["GuardMiddleware", "GuardState", "tool_wrappers"]

T = TypeVar("T")

# Guarded copies of models and tools kept per middleware. Agents have a handful; dynamic ones must not pile up.
KEPT_COPIES = 64

# Conversations of running agents, found by guard and run id.
KEPT = RunRegistry()


class GuardState(AgentState[Any]):
    """The agent's state, with the id of its conversation where neither caller nor model can read or set it."""

    agentguard_run: NotRequired[Annotated[str, PrivateStateAttr]]


class GuardMiddleware(AgentMiddleware[Any, Any, Any]):
    """Every model input, model output, tool call and tool result of an agent passes ``guard``.

    ``create_agent(model, tools, middleware=[GuardMiddleware(guard)])`` is enough for all modes, streaming included.
    Middleware further in that swaps in a *different* model or tool object has the input of that object unchecked:
    ``guarded_agent`` places a second instance innermost, which closes this too.

    A rewritten message is also replaced, under its own id, in the agent's state. A checkpointer stores the words as
    they came, before the model is first called: give it ``guarded_checkpointer(saver, guard)``. A raw one is refused.

    Args:
        guard: decides.
        agent: the acting agent's id, as the policy names it; default ``guard.agent``. The name in LangChain's metadata
            is not used: whoever passes a config can set it.
        on_deny: what a refused model call becomes: an answer that says so and ends the run, or ``Denied``.
            A refused tool call is always answered with an error ``ToolMessage``.
        name: distinct per agent when more than one is attached.
        allow_raw_checkpoints: accept a checkpointer that stores messages as they came.
        approve_with, approval_ttl: as in ``guarded_tool``.

    Raises:
        AdapterError: a setting cannot be used, or this LangChain does not call our hooks.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        agent: str | None = None,
        on_deny: OnDeny = "message",
        name: str = "AgentGuard",
        allow_raw_checkpoints: bool = False,
        approve_with: ApproveWith | None = None,
        approval_ttl: float = APPROVAL_TTL,
    ) -> None:
        prove_hooks()
        warn_untested()
        gate = Gate(guard, agent, asks_of(guard, approve_with, approval_ttl))
        self._attach(gate, on_deny, name, allow_raw_checkpoints)

    @classmethod
    def unproven(cls, guard: Guard) -> "GuardMiddleware":
        """For the self-test itself."""
        made = cls.__new__(cls)
        made._attach(Gate(guard), "raise", "AgentGuard", raw=False)
        return made

    def _attach(self, gate: Gate, on_deny: OnDeny, name: str, raw: bool) -> None:
        super().__init__()
        self._raw = raw
        self.guard = gate.guard
        self.tools = []
        self._gate = gate
        self._on_deny = checked(on_deny)
        self._name = name
        self._copies = _Copies()

    @property
    def name(self) -> str:
        """The name LangChain tells middleware apart by."""
        return self._name

    @property
    def state_schema(self) -> type[GuardState]:  # type: ignore[override]  # a property, so that reading it is noticed
        """The state this middleware adds. Reading it is how ``create_agent`` begins to build with us.

        Raises:
            AdapterError: it builds with a checkpointer that stores messages as they came.
        """
        if not self._raw:
            refuse_raw_saver(_saver_being_built_with(), self.guard)
        return GuardState

    # -- the run -------------------------------------------------------------------------------------------------

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """Open the run's conversation; its trusted request is the last human message."""
        return self._gate.attempt(lambda: self._open(state), ModelInput(()), lambda: None)

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        """As ``before_agent``."""
        slow = self._is_lost(state)
        return await self._gate.aattempt(lambda: self._open(state), ModelInput(()), lambda: None, slow=slow)

    def _open(self, state: Any) -> dict[str, Any] | None:
        self._refuse_raw_saver()
        if application_run() is not None:
            return None
        messages = state.get("messages", ())
        # The entry message's id tells this run, entered by two instances, from an earlier turn of the thread.
        entry = str(getattr(messages[-1], "id", None)) if messages else ""
        known = RunKey.parse(state.get(RUN_CHANNEL))
        if known is not None and known.entry == entry:
            self._conversation(state)
            return None
        run = opened(self.guard, self._gate.agent, ensure_config(), messages, KEPT)
        key = RunKey.of(run, entry)
        KEPT.put(self._kept(key), run)
        return {RUN_CHANNEL: str(key)}

    def _refuse_raw_saver(self) -> None:
        """A checkpointer of the graph around us, one set after the agent was built, or of a graph built by hand."""
        if not self._raw:
            refuse_raw_saver(saver_of(ensure_config()), self.guard)

    def _conversation(self, state: Any) -> Conversation:
        self._refuse_raw_saver()
        run = application_run()
        if run is not None:
            return run
        key = RunKey.parse(state.get(RUN_CHANNEL) if isinstance(state, Mapping) else None)
        run = KEPT.get(self._kept(key)) if key is not None else None
        if run is None:
            run = resumed(self.guard, self._gate.agent, ensure_config(), key, _messages(state), kept=KEPT)
            if key is not None:
                KEPT.put(self._kept(key), run)
        return run

    def _is_lost(self, state: Any) -> bool:
        """Whether finding the conversation means to read a history again: it was opened in another process."""
        key = RunKey.parse(state.get(RUN_CHANNEL) if isinstance(state, Mapping) else None)
        try:
            return key is not None and application_run() is None and KEPT.get(self._kept(key)) is None
        except AdapterError:
            # Somebody forged a principal; the work itself refuses and records that.
            return False

    def _kept(self, key: RunKey) -> object:
        """Where a run is kept: whoever resumes another's thread acts as themselves, without the other's request."""
        return self.guard, key, acting(self.guard, self._gate.agent, ensure_config())

    # -- the model -----------------------------------------------------------------------------------------------

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]) -> Any:
        """Call a guarded model; check what comes back unless it came from there."""
        try:
            ready, run = self._gate.attempt(
                self._model_ready(request), ModelInput(()), lambda: (request, Conversation())
            )
            with run.active(), scope(self.guard) as within:
                answer = _Answer(handler(ready))
                found = [self._gate.admit(part, OUTPUT, run) for part in answer.unchecked(within)]
                return answer.finished(found, _cleaned(request, within))
        except Denied as refusal:
            return self._blocked(refusal)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """As ``wrap_model_call``."""
        try:
            start = self._model_ready(request)
            slow = self._is_lost(request.state)
            ready, run = await self._gate.aattempt(start, ModelInput(()), lambda: (request, Conversation()), slow=slow)
            with run.active(), scope(self.guard) as within:
                answer = _Answer(await handler(ready))
                found = [await self._gate.aadmit(part, OUTPUT, run) for part in answer.unchecked(within)]
                return answer.finished(found, _cleaned(request, within))
        except Denied as refusal:
            return self._blocked(refusal)

    def _model_ready(self, request: ModelRequest[Any]) -> Callable[[], tuple[ModelRequest[Any], Conversation]]:
        def ready() -> tuple[ModelRequest[Any], Conversation]:
            model = self._copies.of(request.model, lambda m: wrap_model(m, self.guard, agent=self._gate.agent))
            return request.override(model=model), self._conversation(request.state)

        return ready

    def _blocked(self, refusal: Denied) -> AIMessage:
        if self._on_deny == "raise":
            raise refusal
        return blocked_message(refusal)

    # -- the tools -----------------------------------------------------------------------------------------------

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Call a guarded tool; check what comes back unless it came from there."""
        call = request.tool_call
        try:
            start, nearest = self._tool_ready(request), ToolCall(call["name"], {}, call["id"])
            ready, run = self._gate.attempt(start, nearest, lambda: (request, Conversation()))
            if ready.tool is None:
                ready = self._gate.admit(ready, UNKNOWN_TOOL, run)
            with run.active(), scope(self.guard) as within:
                result = handler(ready)
                if within.pause is not None:
                    raise within.pause
                passage = result_passage(nearest)
                return result if _covered(within, nearest, result) else self._gate.admit(result, passage, run)
        except Denied as refusal:
            return denied_message(self.guard, refusal, call["name"], call["id"] or "")

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """As ``wrap_tool_call``."""
        call = request.tool_call
        try:
            start, nearest = self._tool_ready(request), ToolCall(call["name"], {}, call["id"])
            slow = self._is_lost(request.state)
            ready, run = await self._gate.aattempt(start, nearest, lambda: (request, Conversation()), slow=slow)
            if ready.tool is None:
                ready = await self._gate.aadmit(ready, UNKNOWN_TOOL, run)
            with run.active(), scope(self.guard) as within:
                result = await handler(ready)
                if within.pause is not None:
                    raise within.pause
                passage = result_passage(nearest)
                return result if _covered(within, nearest, result) else await self._gate.aadmit(result, passage, run)
        except Denied as refusal:
            return denied_message(self.guard, refusal, call["name"], call["id"] or "")

    def _tool_ready(self, request: ToolCallRequest) -> Callable[[], tuple[ToolCallRequest, Conversation]]:
        def ready() -> tuple[ToolCallRequest, Conversation]:
            run = self._conversation(request.state)
            if request.tool is None:
                return request, run
            tool = self._copies.of(request.tool, lambda t: wrap_tool(t, self._gate))
            return request.override(tool=tool), run

        return ready


def tool_wrappers(guard: Guard, *, agent: str | None = None, **options: Any) -> dict[str, Any]:
    """The hooks for a ``ToolNode`` built by hand: ``ToolNode(tools, **tool_wrappers(guard))``.

    Open a conversation around the graph (``with guard.conversation(principal, prompt): graph.invoke(...)``): without
    one, each call stands alone and nobody's request stands behind it. Compile the graph with a guarded checkpointer.

    Args:
        guard: decides.
        agent: who acts when no conversation is open.
        options: ``approve_with``, ``approval_ttl``, ``allow_raw_checkpoints``, as in ``GuardMiddleware``.

    Raises:
        AdapterError: a setting cannot be used, or this LangChain does not call our hooks.
    """
    hooks = GuardMiddleware(guard, agent=agent, **options)
    return {"wrap_tool_call": hooks.wrap_tool_call, "awrap_tool_call": hooks.awrap_tool_call}


def _messages(state: Any) -> Sequence[BaseMessage]:
    return state.get("messages", ()) if isinstance(state, Mapping) else getattr(state, "messages", ())


def _saver_being_built_with() -> object:
    """The ``checkpointer`` of the ``create_agent`` call that is reading us; it shows it to middleware nowhere else."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not create_agent.__code__:
        frame = frame.f_back
    return None if frame is None else frame.f_locals.get("checkpointer")


# A call of a tool that the graph does not know. It will not run, but its name and arguments go on into an answer.
UNKNOWN_TOOL: Passage[ToolCallRequest, ToolCall] = Passage(
    event=lambda request: ToolCall(
        request.tool_call["name"], cast(Any, encode(request.tool_call["args"])), request.tool_call["id"]
    ),
    apply=lambda request, _, after: request.override(tool_call={**request.tool_call, "args": after.args}),
    nearest=lambda: ToolCall("unknown", {}),
)


class _Copies:
    """Guarded copies by the object they were made of. Thread-safe; the least recently used goes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The original is kept beside its copy: while it lives, its id is nobody else's.
        self._made: OrderedDict[int, tuple[object, Any]] = OrderedDict()

    def of(self, original: T, make: Callable[[T], T]) -> T:
        with self._lock:
            if id(original) not in self._made:
                self._made[id(original)] = (original, make(original))
                if len(self._made) > KEPT_COPIES:
                    self._made.popitem(last=False)
            self._made.move_to_end(id(original))
            return cast(T, self._made[id(original)][1])


class _Answer:
    """What a model handler gave back, in whichever of its three forms."""

    def __init__(self, given: Any) -> None:
        self._command = given.command if isinstance(given, ExtendedModelResponse) else None
        inner = given.model_response if isinstance(given, ExtendedModelResponse) else given
        self._response = ModelResponse(result=[inner]) if isinstance(inner, AIMessage) else inner

    def unchecked(self, within: Scope) -> list[ModelResult]:
        """The messages of an answer that says something the guard has not passed in this call.

        The last answer carries the structured response, so that both are rewritten alike. A tool message in an answer
        only repeats that response: it is the model's word, and no tool has run.
        """
        messages = self._response.result
        if all(self._known(message, within) for message in messages if not isinstance(message, ToolMessage)):
            return []
        structured, last = self._response.structured_response, self._last_answer
        return [ModelResult(m, structured=structured if index == last else None) for index, m in enumerate(messages)]

    @property
    def _last_answer(self) -> int | None:
        found = [i for i, message in enumerate(self._response.result) if not isinstance(message, ToolMessage)]
        return found[-1] if found else None

    def finished(self, found: Sequence[Any], cleaned: Sequence[BaseMessage]) -> Any:
        """The answer with its checked parts, and the state's messages that the guard has rewritten."""
        response = self._response
        if found:
            last = self._last_answer
            structured = response.structured_response if last is None else found[last].structured
            response = ModelResponse(result=[part.message for part in found], structured_response=structured)
        command = self._command
        if cleaned:
            command = _merged(command, cleaned)
        return response if command is None else ExtendedModelResponse(model_response=response, command=command)

    def _known(self, message: BaseMessage, within: Scope) -> bool:
        # ``create_agent`` writes the agent's own name into the answer.
        result = ModelResult(message.model_copy(update={"name": None}), structured=self._response.structured_response)
        try:
            return within.covers(model_output(result), *_json_texts(message.text))
        except UnsupportedValueError:
            return False


def _merged(command: Any, cleaned: Sequence[BaseMessage]) -> Any:
    if command is None:
        return Command(update={"messages": list(cleaned)})
    update = dict(command.update or {})
    return replace(command, update={**update, "messages": [*cleaned, *update.get("messages", ())]})


def _json_texts(text: str) -> Sequence[str]:
    """The texts inside an answer that is JSON: what a structured response read from it may say."""
    try:
        event = ModelOutput(Message("assistant", json.loads(text)))
    except (ValueError, RecursionError):
        return ()
    return tuple(texts_of(event.leaves()))


def _cleaned(request: ModelRequest[Any], within: Scope) -> list[BaseMessage]:
    """The state's own messages that the guard rewrote on their way to the model, under their own ids."""
    pairs = [(message, within.rewritten.get(message.id or "")) for message in request.state.get("messages", ())]
    return [pair[1] for message, pair in pairs if pair is not None and pair[0] == message]


def _covered(within: Scope, call: ToolCall, result: Any) -> bool:
    try:
        return within.covers(ToolResult(call.tool, {}, encode(result), call.call_id), call.tool)
    except UnsupportedValueError:
        return False
