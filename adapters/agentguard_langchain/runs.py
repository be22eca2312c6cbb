"""Which conversation an event belongs to, and who acts in it.

One conversation per agent run, found again through an id kept in the graph's own private state, or through the
thread when a run continues one. A sub-agent that runs inside a tool gets a child: the words its parent's model wrote
for it are not the user's, so it inherits the parent's trusted request and nothing more.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables.config import ensure_config

from agentguard import ANONYMOUS, AdapterError, Conversation, Guard, Principal, current_conversation

from .events import AUTHOR_MARK, DOCUMENT_BLOCKS

__all__ = [
    "PRINCIPAL_KEY",
    "RunRegistry",
    "acting",
    "ephemeral",
    "application_run",
    "human_author",
    "inside_tool",
    "opened",
]

FRAMEWORK = "langchain"
# The only configurable entry that names a person, and only as a ``Principal``: no text a client sends becomes one.
PRINCIPAL_KEY = "agentguard_principal"
# Conversations kept for runs that continue. A run whose conversation was dropped goes on with less trust, never more.
KEPT_RUNS = 4096

_tool_run: ContextVar[Conversation | None] = ContextVar("agentguard_langchain_tool_run", default=None)


class RunRegistry:
    """Conversations by id and by thread, the least recently used dropped first. Thread-safe."""

    def __init__(self, capacity: int = KEPT_RUNS) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._runs: OrderedDict[object, Conversation] = OrderedDict()

    def get(self, key: object) -> Conversation | None:
        """The conversation kept under ``key``."""
        with self._lock:
            run = self._runs.get(key)
            if run is not None:
                self._runs.move_to_end(key)
            return run

    def put(self, key: object, run: Conversation) -> None:
        """Keep ``run`` under ``key``."""
        with self._lock:
            self._runs[key] = run
            self._runs.move_to_end(key)
            while len(self._runs) > self._capacity:
                self._runs.popitem(last=False)


def acting(guard: Guard, agent: str | None, config: Mapping[str, Any]) -> Principal:
    """Who acts: the agent the application named, for the user the application verified.

    Raises:
        AdapterError: something other than a ``Principal`` stands where a verified principal must.
    """
    name = agent or guard.agent
    given = (config.get("configurable") or {}).get(PRINCIPAL_KEY)
    if given is None:
        return Principal(name) if name else ANONYMOUS
    if not isinstance(given, Principal):
        raise AdapterError(
            f"config['configurable'][{PRINCIPAL_KEY!r}] is a {type(given).__name__}; "
            "pass an agentguard Principal that the application has verified"
        )
    if name is None or given.kind != "user":
        return given
    return Principal(name, on_behalf_of=given, session=given.session, tenant=given.tenant)


def opened(
    guard: Guard, agent: str | None, config: Mapping[str, Any], messages: Sequence[BaseMessage], kept: RunRegistry
) -> Conversation:
    """The conversation of an agent run that starts now, its trusted request being the last human message.

    Raises:
        AdapterError: as ``acting``.
    """
    principal = acting(guard, agent, config)
    outer = current_conversation()
    if outer is not None:
        return _child(outer, principal) if outer is _tool_run.get() else outer
    thread = (config.get("configurable") or {}).get("thread_id")
    key = (guard, thread, principal)
    run = kept.get(key) if thread is not None else None
    if run is None:
        run = Conversation(principal=principal, framework=FRAMEWORK, thread=None if thread is None else str(thread))
        if thread is not None:
            kept.put(key, run)
    if messages and isinstance(messages[-1], HumanMessage):
        _trust(run, messages[-1])
    return run


def ephemeral(guard: Guard, agent: str | None) -> Conversation:
    """The active conversation, else one for a call outside any agent: nobody's request stands behind it.

    Raises:
        AdapterError: as ``acting``.
    """
    config = ensure_config()
    thread = (config.get("configurable") or {}).get("thread_id")
    return current_conversation() or Conversation(
        principal=acting(guard, agent, config),
        framework=FRAMEWORK,
        thread=None if thread is None else str(thread),
    )


@contextmanager
def inside_tool(run: Conversation) -> Iterator[None]:
    """Run a tool: what starts inside it belongs to ``run``, and an agent started inside becomes its child."""
    token = _tool_run.set(run)
    try:
        with run.active():
            yield
    finally:
        _tool_run.reset(token)


def application_run() -> Conversation | None:
    """The conversation the application itself opened around the agent, if any."""
    run = current_conversation()
    return None if run is _tool_run.get() else run


def human_author(run: Conversation) -> str:
    """Who wrote the human messages of this run: in a sub-agent's it was the agent that called it."""
    if run.parent is not None and run.framework == FRAMEWORK:
        return f"agent:{run.parent.principal.id}"
    return "user"


def _child(parent: Conversation, principal: Principal) -> Conversation:
    run = Conversation(principal=principal, parent=parent, framework=FRAMEWORK, thread=parent.thread)
    for text in parent.requests:
        run.trust(text)
    for text in parent.quoted:
        run.untrusted(text)
    return run


def _trust(run: Conversation, message: HumanMessage) -> None:
    # By LangGraph's convention, an agent that hands over writes a human message under its own name.
    if message.response_metadata.get(AUTHOR_MARK) == "retriever" or message.name:
        return
    blocks = message.content if isinstance(message.content, list) else [message.content]
    for block in blocks:
        if isinstance(block, str):
            run.trust(block)
        elif block.get("type") in DOCUMENT_BLOCKS:
            continue
        elif isinstance(text := block.get("text"), str):
            run.trust(text)
