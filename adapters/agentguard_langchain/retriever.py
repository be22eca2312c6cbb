"""``guarded_retriever``: passages are checked before anybody reads them, and never count as the user's words.

The guarded retriever is an instance of a subclass of the retriever's own class. Each document is read as material on
its way into a prompt: what the guard redacts or strips is rewritten, and a document it refuses is left out.
"""

from __future__ import annotations

import functools
import threading
import types
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from agentguard import AdapterError, Conversation, Denied, Guard, Message, ModelInput
from agentguard.adapter import Passage

from .canary import prove_hooks
from .events import decode, encode
from .gate import Gate
from .runs import ephemeral, note_passages
from .versions import warn_untested

__all__ = ["acleaned_documents", "checked_already", "cleaned_documents", "guarded_retriever"]

R = TypeVar("R", bound=BaseRetriever)

_GUARDS = "_agentguard_guards"
# Retrievals remembered as checked, until the callbacks of the same retrieval have been told of it.
KEPT_RETRIEVALS = 4096


def guarded_retriever(retriever: R, guard: Guard, *, agent: str | None = None) -> R:
    """A retriever like ``retriever`` whose every document passes ``guard``. Guarding twice is guarding once.

    Its passages are marked with ``run.untrusted``: standing in a prompt, they are quoted material. A single value (no
    space, shorter than 40 characters) is not: a user may write the same one.

    Args:
        retriever: any retriever.
        guard: decides.
        agent: who acts when no conversation is open.

    Raises:
        AdapterError: not a retriever, or LangChain does not call our hooks.
    """
    prove_hooks()
    warn_untested()
    if not isinstance(retriever, BaseRetriever):
        raise AdapterError(f"got a {type(retriever).__name__}; a retriever (BaseRetriever) can be guarded")
    if any(known is guard for known in getattr(type(retriever), _GUARDS, ())):
        return retriever
    copy = retriever.model_copy()
    object.__setattr__(copy, "__class__", _guarded_class(type(retriever), Gate(guard, agent)))
    return copy


def checked_already(guard: Guard, run_id: UUID) -> bool:
    """Whether a guarded retriever has checked what the retrieval with this id found."""
    return _checked.take((id(guard), run_id))


# -- documents -------------------------------------------------------------------------------------------------------


def cleaned_documents(gate: Gate, documents: Sequence[Document]) -> list[Document]:
    """The documents as they may be read, without those that may not; all are marked as nobody's own words."""
    run = _run(gate)
    if not documents:
        return []
    try:
        found = gate.admit(list(documents), _DOCUMENTS, run)
    except Denied:
        several = documents if len(documents) > 1 else ()
        found = [kept for document in several for kept in _alone(gate, document, run)]
    return _marked(gate, run, found)


async def acleaned_documents(gate: Gate, documents: Sequence[Document]) -> list[Document]:
    """As ``cleaned_documents``, without blocking the event loop."""
    run = _run(gate)
    if not documents:
        return []
    try:
        found = await gate.aadmit(list(documents), _DOCUMENTS, run)
    except Denied:
        several = documents if len(documents) > 1 else ()
        found = [kept for document in several for kept in await _aalone(gate, document, run)]
    return _marked(gate, run, found)


def _run(gate: Gate) -> Conversation:
    return gate.attempt(lambda: ephemeral(gate.guard, gate.agent), ModelInput((), is_call=False), Conversation)


def _alone(gate: Gate, document: Document, run: Conversation) -> list[Document]:
    try:
        return gate.admit([document], _DOCUMENTS, run)
    except Denied:
        return []


async def _aalone(gate: Gate, document: Document, run: Conversation) -> list[Document]:
    try:
        return await gate.aadmit([document], _DOCUMENTS, run)
    except Denied:
        return []


def _marked(gate: Gate, run: Conversation, documents: list[Document]) -> list[Document]:
    note_passages(gate.guard, run, [document.page_content for document in documents])
    return documents


def _event(documents: Sequence[Document]) -> ModelInput:
    return ModelInput(tuple(Message("retriever", encode(document)) for document in documents), is_call=False)


def _applied(documents: list[Document], before: ModelInput, after: ModelInput) -> list[Document]:
    parts = zip(documents, before.messages, after.messages, strict=True)
    return [decode(document, old.content, new.content) for document, old, new in parts]


_DOCUMENTS: Passage[list[Document], ModelInput] = Passage(
    event=_event, apply=_applied, nearest=lambda: ModelInput((), is_call=False)
)


class _Checked:
    """Ids of retrievals, each taken out once. Thread-safe, bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: OrderedDict[object, None] = OrderedDict()

    def add(self, key: object) -> None:
        with self._lock:
            self._ids[key] = None
            while len(self._ids) > KEPT_RETRIEVALS:
                self._ids.popitem(last=False)

    def take(self, key: object) -> bool:
        with self._lock:
            if key not in self._ids:
                return False
            del self._ids[key]
            return True


_checked = _Checked()


# -- the guarded class -----------------------------------------------------------------------------------------------


def _guarded_class(base: Any, gate: Gate) -> Any:
    methods: dict[str, Any] = {"_get_relevant_documents": _get_of(base, gate)}
    if base._aget_relevant_documents is not BaseRetriever._aget_relevant_documents:
        methods["_aget_relevant_documents"] = _aget_of(base, gate)
    named = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    guarded = types.new_class(base.__name__, (base,), {}, lambda body: body.update(named | methods))
    # What LangChain reads from the signature of the method we have just replaced.
    for name in ("_new_arg_supported", "_expects_other_args"):
        setattr(guarded, name, getattr(base, name))
    setattr(guarded, _GUARDS, (*getattr(base, _GUARDS, ()), gate.guard))
    return guarded


def _view(retriever: Any, base: Any) -> Any:
    """The same object, state shared, as its unguarded class: one form of it may be made of the other."""
    view = base.__new__(base)
    for slot in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"):
        object.__setattr__(view, slot, getattr(retriever, slot))
    return view


def _get_of(base: Any, gate: Gate) -> Any:
    @functools.wraps(base._get_relevant_documents)
    def _get_relevant_documents(self: Any, query: str, **kwargs: Any) -> list[Document]:
        found = cleaned_documents(gate, _view(self, base)._get_relevant_documents(query, **kwargs))
        _note_checked(gate, kwargs)
        return found

    return _get_relevant_documents


def _aget_of(base: Any, gate: Gate) -> Any:
    @functools.wraps(base._aget_relevant_documents)
    async def _aget_relevant_documents(self: Any, query: str, **kwargs: Any) -> list[Document]:
        found = await acleaned_documents(gate, await _view(self, base)._aget_relevant_documents(query, **kwargs))
        _note_checked(gate, kwargs)
        return found

    return _aget_relevant_documents


def _note_checked(gate: Gate, kwargs: dict[str, Any]) -> None:
    run_id = getattr(kwargs.get("run_manager"), "run_id", None)
    if run_id is not None:
        _checked.add((id(gate.guard), run_id))
