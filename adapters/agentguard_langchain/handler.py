"""``GuardCallbackHandler``: deny and audit for LangChain chains; it rewrites model input and passages only.

A callback hears of things; it stands in nobody's way except by raising. What that means here:

* the handler is synchronous, because LangChain swallows what an asynchronous handler raises in many paths,
  and ``raise_error`` is set, because by default it swallows everything;
* a model's answer, a tool call or a tool result that the guard would rewrite is refused instead;
* streamed tokens have reached their reader before the answer is checked.

Guarded models and tools in the same chain are recognised and not checked twice.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from agentguard import AdapterError, Conversation, Event, Guard, ModelInput, ToolCall, error_text
from agentguard.adapter import Passage, human_author

from .canary import prove_hooks
from .events import ModelRequest, ModelResult, encode, model_input, model_input_applied, model_output
from .gate import Gate
from .model import OUTPUT, is_described_as_guarded
from .retriever import checked_already, cleaned_documents
from .runs import ephemeral
from .tool import is_being_guarded, result_passage
from .versions import warn_untested

__all__ = ["GuardCallbackHandler"]

T = TypeVar("T")
E = TypeVar("E", bound=Event)

# Calls that started and have not ended. A run that dies without an end must not keep its arguments for ever.
OPEN_CALLS = 4096


class GuardCallbackHandler(BaseCallbackHandler):
    """The guard for chains: ``chain.invoke(x, config={"callbacks": [GuardCallbackHandler(guard, ...)]})``.

    Args:
        guard: decides.
        agent: who acts when no conversation is open.
        observe_output_only: accept that answers are refused after their tokens were streamed, and never rewritten.

    Raises:
        AdapterError: the guard changes or refuses answers and ``observe_output_only`` was not named.
    """

    raise_error = True
    # In this thread and before anything runs, not beside it.
    run_inline = True

    def __init__(self, guard: Guard, *, agent: str | None = None, observe_output_only: bool = False) -> None:
        if guard.rewrites_output and not observe_output_only:
            raise AdapterError(
                "this guard changes or refuses model output, which a callback cannot do once tokens are streamed; "
                "use guarded_model or guarded_agent, or pass observe_output_only=True to deny late and rewrite nothing"
            )
        prove_hooks()
        warn_untested()
        self.guard = guard
        self._gate = Gate(guard, agent)
        self._lock = threading.Lock()
        self._calls: OrderedDict[UUID, ToolCall | None] = OrderedDict()

    # -- models

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        """Check the input; a rewrite is written into the caller's own messages, the only place the model reads."""
        if is_described_as_guarded(serialized, self.guard):
            self._note(run_id, None)
            return
        options = kwargs.get("invocation_params") or {}
        run = self._run(ModelInput(()))
        quoted = run.quoted
        passage = Passage(
            event=lambda request: model_input(request, human=human_author(run), quoted=quoted),
            apply=lambda request, before, after: _rewritten_in_place(request, before, after, quoted),
            nearest=lambda: ModelInput(()),
        )
        for batch in messages:
            self._gate.admit(ModelRequest(batch, options), passage, run)

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any) -> None:
        """Check the prompts of a completion model. A prompt that needs rewriting is refused."""
        passage = Passage(event=model_input, apply=_unchanged, nearest=lambda: ModelInput(()))
        run = self._run(ModelInput(()))
        for prompt in prompts:
            self._gate.admit(ModelRequest([HumanMessage(prompt)], {}), passage, run)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Check the answer. One that needs rewriting is refused."""
        if self._forget(run_id, ToolCall("", {})) is None:
            return
        passage = Passage(event=model_output, apply=_unchanged, nearest=OUTPUT.nearest)
        run = self._run(OUTPUT.nearest())
        for generation in (item for items in response.generations for item in items):
            if isinstance(generation, ChatGeneration):
                result = ModelResult.of(generation, response.llm_output)
            else:
                result = ModelResult(AIMessage(generation.text), generation.generation_info, response.llm_output)
            self._gate.admit(result, passage, run)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Forget the call."""
        self._forget(run_id, None)

    # -- tools

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Check the call. One that needs rewriting is refused."""
        name = str(serialized.get("name") or "unknown")
        if is_being_guarded(name, self.guard):
            self._note(run_id, None)
            return
        args = {"input": input_str} if inputs is None else inputs
        passage: Passage[dict[str, Any], ToolCall] = Passage(
            event=lambda given: ToolCall(name, encode(given), kwargs.get("tool_call_id")),  # type: ignore[arg-type]
            apply=_unchanged,
            nearest=lambda: ToolCall(name, {}),
        )
        self._gate.admit(args, passage, self._run(ToolCall(name, {})))
        self._note(run_id, passage.event(args))

    def on_tool_end(self, output: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Check the result. One that needs rewriting is refused."""
        self._check_result(output, run_id, is_error=False)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Check the error's text, which a framework may show to a model."""
        self._check_result(error_text(error), run_id, is_error=True)

    def _check_result(self, value: Any, run_id: UUID, *, is_error: bool) -> None:
        call = self._forget(run_id, ToolCall("unknown", {}))
        if call is None:
            return
        checked = result_passage(call, is_error=is_error)
        passage = Passage(event=checked.event, apply=_unchanged, nearest=checked.nearest)
        self._gate.admit(value, passage, self._run(checked.nearest()))

    # -- retrievers

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Check the passages and mark them as nobody's own words; what is rewritten or refused changes in the list."""
        if not checked_already(self.guard, run_id):
            found = cleaned_documents(self._gate, documents)
            if len(found) != len(documents) or any(new is not old for new, old in zip(found, documents, strict=True)):
                documents[:] = found

    # -- open calls

    def _run(self, nearest: Event) -> Conversation:
        return self._gate.attempt(lambda: ephemeral(self.guard, self._gate.agent), nearest, Conversation)

    def _note(self, run_id: UUID, call: ToolCall | None) -> None:
        with self._lock:
            self._calls[run_id] = call
            while len(self._calls) > OPEN_CALLS:
                self._calls.popitem(last=False)

    def _forget(self, run_id: UUID, unknown: ToolCall | None) -> ToolCall | None:
        """The call that started under this id; None when a guarded model or tool takes care of it."""
        with self._lock:
            return self._calls.pop(run_id, unknown)


def _unchanged(value: T, before: Event, after: Event) -> T:
    if before != after:
        raise AdapterError("a callback cannot rewrite this; guard the model or the tool itself")
    return value


def _rewritten_in_place(
    request: ModelRequest, before: ModelInput, after: ModelInput, quoted: Sequence[str]
) -> ModelRequest:
    if before == after:
        return request
    if before.tools != after.tools:
        raise AdapterError("a callback cannot rewrite tool schemas; guard the model itself")
    applied = model_input_applied(request, before, after, quoted=quoted)
    for old, new in zip(request.messages, applied.messages, strict=True):
        if new is old:
            continue
        # LangChain may show callbacks a copy of a message that has content blocks; changing the copy changes nothing.
        if not isinstance(old.content, str):
            raise AdapterError("a callback cannot rewrite content blocks; guard the model itself")
        for name in type(new).model_fields:
            setattr(old, name, getattr(new, name))
    return request
