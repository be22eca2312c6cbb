"""``guarded_model``: a chat model that cannot be called, streamed or batched past the guard.

The guarded model is an instance of a subclass of the model's own class, so everything that reads its type or its
fields still works. It overrides exactly the methods through which every public one goes, and checks the input in front
of them already, before callbacks hear of it (``entry.py``). Inside them the original
methods run on an unguarded view of the same object, because providers call their own ``_stream`` from ``_generate``
and that must not count twice.

What happens to a streamed answer is told in ``stream.py``.
"""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableWithFallbacks
from langchain_core.runnables.base import RunnableBindingBase

from agentguard import AdapterError, Conversation, Denied, Guard, Message, ModelInput, ModelOutput
from agentguard.adapter import REFUSED, Passage, human_author

from .canary import prove_hooks
from .entry import has_passed, public_methods
from .events import (
    ModelRequest,
    ModelResult,
    model_input,
    model_input_applied,
    model_output,
    model_output_applied,
)
from .gate import Gate, note_rewritten
from .runs import ephemeral
from .stream import Held, blocked_chunk
from .versions import warn_untested

__all__ = [
    "OnDeny",
    "blocked_message",
    "checked",
    "guarded_model",
    "is_described_as_guarded",
    "is_guarded",
    "wrap_model",
]

M = TypeVar("M")
OnDeny = Literal["message", "raise"]


def checked(on_deny: OnDeny) -> OnDeny:
    """``on_deny``, once it is known to be one of its words.

    Raises:
        AdapterError: it is not.
    """
    if on_deny not in get_args(OnDeny):
        raise AdapterError(f"got on_deny={on_deny!r}; message and raise are accepted")
    return on_deny


_GUARDS = "_agentguard_guards"
# A model's own event streams, which would pass our ``_stream`` by. Without them LangChain builds events from ours.
_NATIVE_EVENTS = ("_stream_chat_model_events", "_astream_chat_model_events")


def guarded_model(model: M, guard: Guard, *, agent: str | None = None, on_deny: OnDeny = "raise") -> M:
    """A model like ``model`` whose every input and output passes ``guard``. Guarding twice is guarding once.

    A bound model (``model.bind_tools(...)``) is guarded inside its binding, and so are the models of ``with_retry`` and
    ``with_fallbacks``: every attempt is checked. LangChain's response cache is switched off: an answer it holds may
    have been stored unchecked.

    Args:
        model: a chat model, or one with bindings, retries or fallbacks.
        guard: decides.
        agent: who acts when no conversation is open.
        on_deny: raise ``Denied``, or answer with a message that says so.

    Raises:
        AdapterError: not a chat model, or LangChain does not call our hooks.
    """
    prove_hooks()
    warn_untested()
    return wrap_model(model, guard, agent=agent, on_deny=on_deny)


def wrap_model(model: M, guard: Guard, *, agent: str | None = None, on_deny: OnDeny = "raise") -> M:
    """As ``guarded_model``, without the self-test."""
    options: Any = {"agent": agent, "on_deny": on_deny}
    if isinstance(model, RunnableBindingBase):
        return cast(M, model.model_copy(update={"bound": wrap_model(model.bound, guard, **options)}))
    if isinstance(model, RunnableWithFallbacks):
        others = [wrap_model(other, guard, **options) for other in model.fallbacks]
        first = wrap_model(model.runnable, guard, **options)
        return cast(M, model.model_copy(update={"runnable": first, "fallbacks": others}))
    if not isinstance(model, BaseChatModel):
        raise AdapterError(f"got a {type(model).__name__}; a chat model (BaseChatModel) can be guarded")
    if is_guarded(model, guard):
        return cast(M, model)
    copy = model.model_copy(update={"cache": False})
    guarded = _guarded_class(type(model), _Hooks(Gate(guard, agent), checked(on_deny)))
    object.__setattr__(copy, "__class__", guarded)
    # What callbacks are told of the model. LangChain computes it once per object and keeps it here; a copy brings the
    # unguarded one along.
    copy.__dict__["_serialized"] = {**dumpd(copy), _GUARDS: [id(known) for known in getattr(guarded, _GUARDS)]}
    return cast(M, copy)


def is_guarded(model: object, guard: Guard) -> bool:
    """Whether this very guard already checks ``model``. Told by its class, which no input can reach."""
    return any(known is guard for known in getattr(type(model), _GUARDS, ()))


def is_described_as_guarded(serialized: Mapping[str, Any] | None, guard: Guard) -> bool:
    """Whether the model that callbacks are told of under this description is checked by ``guard``."""
    return id(guard) in (serialized or {}).get(_GUARDS, ())


def blocked_message(refusal: Denied, *, id: str | None = None) -> AIMessage:
    """The answer that stands in for a refused one; it carries the decision's safe words and nothing else."""
    metadata = {"agentguard": {"decision": refusal.decision.id, "reason": refusal.decision.reason}}
    return AIMessage(content=str(refusal) or REFUSED, id=id, response_metadata=metadata)


@dataclass(frozen=True, slots=True)
class _Hooks:
    """What the overriding methods of one guarded class share."""

    gate: Gate
    on_deny: OnDeny

    @property
    def guard(self) -> Guard:
        return self.gate.guard

    # -- in front of callbacks

    def before(self, request: ModelRequest) -> tuple[ModelRequest, ModelInput | None]:
        run, passed = self._run(), _Passed()
        return self._admitted(request, run, passed), passed.event

    async def abefore(self, request: ModelRequest) -> tuple[ModelRequest, ModelInput | None]:
        run, passed = await self._arun(), _Passed()
        return await self._aadmitted(request, run, passed), passed.event

    def refused(self, refusal: Denied) -> AIMessage:
        if self.on_deny == "raise":
            raise refusal
        return blocked_message(refusal)

    # -- whole answers

    def generate(self, call: Callable[[ModelRequest], ChatResult], request: ModelRequest) -> ChatResult:
        try:
            run = self._run()
            result = call(self._admitted(request, run))
            found = [self.gate.admit(ModelResult.of(g, result.llm_output), OUTPUT, run) for g in result.generations]
            return _rebuilt(result, found)
        except Denied as refusal:
            return self._blocked(refusal)

    async def agenerate(self, call: Callable[[ModelRequest], Any], request: ModelRequest) -> ChatResult:
        try:
            run = await self._arun()
            result = await call(await self._aadmitted(request, run))
            found = [
                await self.gate.aadmit(ModelResult.of(g, result.llm_output), OUTPUT, run) for g in result.generations
            ]
            return _rebuilt(result, found)
        except Denied as refusal:
            return self._blocked(refusal)

    # -- streams

    def stream(
        self, call: Callable[[ModelRequest], Iterator[ChatGenerationChunk]], request: ModelRequest
    ) -> Iterator[ChatGenerationChunk]:
        try:
            run = self._run()
            admitted = self._admitted(request, run)
            held = Held(lambda: self.gate.guard.stream_filter(run), shadow=self.gate.guard.mode == "shadow")
            try:
                for chunk in call(admitted):
                    yield from held.take(chunk)
            except BaseException:
                # Also when the consumer stops reading: words that went out are recorded, none follow unchecked.
                self._broken_off(held, run)
                raise
            if not held.chunks:
                return
            whole = self.gate.attempt(held.whole, OUTPUT.nearest(), held.partial)
            yield from held.close(self.gate.admit(whole, _streamed(held), run))
        except Denied as refusal:
            if self.on_deny == "raise":
                raise
            yield blocked_chunk(blocked_message(refusal))

    async def astream(
        self, call: Callable[[ModelRequest], AsyncIterator[ChatGenerationChunk]], request: ModelRequest
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            run = await self._arun()
            admitted = await self._aadmitted(request, run)
            held = Held(lambda: self.gate.guard.stream_filter(run), shadow=self.gate.guard.mode == "shadow")
            try:
                async for chunk in call(admitted):
                    for ready in held.take(chunk):
                        yield ready
            except BaseException:
                await self._abroken_off(held, run)
                raise
            if not held.chunks:
                return
            whole = await self.gate.aattempt(held.whole, OUTPUT.nearest(), held.partial)
            for ready in held.close(await self.gate.aadmit(whole, _streamed(held), run)):
                yield ready
        except Denied as refusal:
            if self.on_deny == "raise":
                raise
            yield blocked_chunk(blocked_message(refusal))

    def _broken_off(self, held: Held, run: Conversation) -> None:
        if any(held.sent.values()):
            with contextlib.suppress(Denied):
                self.gate.admit(held.partial(), OUTPUT, run)

    async def _abroken_off(self, held: Held, run: Conversation) -> None:
        if any(held.sent.values()):
            with contextlib.suppress(Denied):
                await self.gate.aadmit(held.partial(), OUTPUT, run)

    def _run(self) -> Conversation:
        return self.gate.attempt(self._found, ModelInput(()), Conversation)

    async def _arun(self) -> Conversation:
        return await self.gate.aattempt(self._found, ModelInput(()), Conversation)

    def _found(self) -> Conversation:
        return ephemeral(self.gate.guard, self.gate.agent)

    def _admitted(self, request: ModelRequest, run: Conversation, passed: _Passed | None = None) -> ModelRequest:
        passage = _input(run, passed)
        if has_passed(self.guard, lambda: passage.event(request)):
            return request
        return self._noted(request, self.gate.admit(request, passage, run))

    async def _aadmitted(self, request: ModelRequest, run: Conversation, passed: _Passed | None = None) -> ModelRequest:
        passage = _input(run, passed)
        if has_passed(self.guard, lambda: passage.event(request)):
            return request
        return self._noted(request, await self.gate.aadmit(request, passage, run))

    def _noted(self, request: ModelRequest, admitted: ModelRequest) -> ModelRequest:
        note_rewritten(self.gate.guard, request.messages, admitted.messages)
        return admitted

    def _blocked(self, refusal: Denied) -> ChatResult:
        if self.on_deny == "raise":
            raise refusal
        return ChatResult(generations=[ChatGeneration(message=blocked_message(refusal))])


@dataclass(slots=True)
class _Passed:
    """Where the event of an admitted input is left."""

    event: ModelInput | None = None

    def applied(
        self, request: ModelRequest, before: ModelInput, after: ModelInput, quoted: Sequence[str]
    ) -> ModelRequest:
        self.event = after
        return model_input_applied(request, before, after, quoted=quoted)


def _input(run: Conversation, passed: _Passed | None = None) -> Passage[ModelRequest, ModelInput]:
    quoted, kept = run.quoted, passed or _Passed()
    return Passage(
        event=lambda request: model_input(request, human=human_author(run), quoted=quoted),
        apply=lambda request, before, after: kept.applied(request, before, after, quoted),
        nearest=lambda: ModelInput(()),
    )


OUTPUT: Passage[ModelResult, ModelOutput] = Passage(
    event=model_output,
    apply=model_output_applied,
    nearest=lambda: ModelOutput(Message("assistant", "")),
)


def _streamed(held: Held) -> Passage[ModelResult, ModelOutput]:
    return Passage(event=model_output, apply=held.applied, nearest=OUTPUT.nearest)


def _rebuilt(result: ChatResult, found: list[ModelResult]) -> ChatResult:
    generations = [
        old.model_copy(update={"message": new.message, "generation_info": new.info})
        if new.message is old.message
        else ChatGeneration(message=new.message, generation_info=new.info)
        for old, new in zip(result.generations, found, strict=True)
    ]
    output = found[0].output if found else result.llm_output
    return ChatResult(generations=generations, llm_output=output)


# -- the guarded class -----------------------------------------------------------------------------------------------


def _guarded_class(base: type[BaseChatModel], hooks: _Hooks) -> type[BaseChatModel]:
    """A subclass of ``base`` that overrides what ``base`` itself implements of the four methods, and their callers."""
    methods: dict[str, Any] = {"_generate": _generate_of(base, hooks), **public_methods(base, hooks)}
    if base._agenerate is not BaseChatModel._agenerate:
        methods["_agenerate"] = _agenerate_of(base, hooks)
    if base._stream is not BaseChatModel._stream:
        methods["_stream"] = _stream_of(base, hooks)
    if base._astream is not BaseChatModel._astream:
        methods["_astream"] = _astream_of(base, hooks)
    named = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    guarded = types.new_class(base.__name__, (base,), {}, lambda body: body.update(named | methods))
    setattr(guarded, _GUARDS, (*getattr(base, _GUARDS, ()), hooks.gate.guard))
    for name in _NATIVE_EVENTS:
        setattr(guarded, name, None)
    return guarded


def _view(model: BaseChatModel, base: type[BaseChatModel]) -> BaseChatModel:
    """The same object, state shared, as its unguarded class."""
    view = base.__new__(base)
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"):
        object.__setattr__(view, slot, getattr(model, slot))
    return view


def _takes_run_manager(method: object) -> bool:
    return "run_manager" in inspect.signature(cast(Callable[..., Any], method)).parameters


def _options(takes: bool, stop: object, run_manager: object) -> dict[str, Any]:
    return {"stop": stop, "run_manager": run_manager} if takes else {"stop": stop}


def _generate_of(base: type[BaseChatModel], hooks: _Hooks) -> Any:
    takes = _takes_run_manager(base._generate)

    def _generate(
        self: BaseChatModel,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        inner = _view(self, base)._generate
        fixed = _options(takes, stop, run_manager)
        return hooks.generate(lambda r: inner(r.messages, **fixed, **r.options), ModelRequest(messages, kwargs))

    return _generate


def _agenerate_of(base: type[BaseChatModel], hooks: _Hooks) -> Any:
    takes = _takes_run_manager(base._agenerate)

    async def _agenerate(
        self: BaseChatModel,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> ChatResult:
        inner = _view(self, base)._agenerate
        fixed = _options(takes, stop, run_manager)
        return await hooks.agenerate(lambda r: inner(r.messages, **fixed, **r.options), ModelRequest(messages, kwargs))

    return _agenerate


def _stream_of(base: type[BaseChatModel], hooks: _Hooks) -> Any:
    def _stream(
        self: BaseChatModel,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        # Not handed on: providers tell the run manager each raw token themselves, before any check.
        inner = _view(self, base)._stream
        return hooks.stream(lambda r: inner(r.messages, stop=stop, **r.options), ModelRequest(messages, kwargs))

    return _stream


def _astream_of(base: type[BaseChatModel], hooks: _Hooks) -> Any:
    def _astream(
        self: BaseChatModel,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: Any = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        inner = _view(self, base)._astream
        return hooks.astream(lambda r: inner(r.messages, stop=stop, **r.options), ModelRequest(messages, kwargs))

    return _astream
