"""Which conversation an event belongs to, and who acts in it.

One conversation per agent run, found again through an id kept in the graph's own private state, or through the
thread when a run continues one. A sub-agent that runs inside a tool gets a child: the words its parent's model wrote
for it are not the user's, so it inherits the parent's trusted request and nothing more.
"""

from __future__ import annotations

import hashlib
import json
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables.config import ensure_config

from agentguard import (
    ANONYMOUS,
    AdapterError,
    Conversation,
    Guard,
    Json,
    Principal,
    ToolResult,
    current_conversation,
    json_copy,
)
from agentguard.adapter import child_run, runs_tool

from .events import AUTHOR_MARK, DOCUMENT_BLOCKS, encode

__all__ = [
    "FRAMEWORK",
    "PRINCIPAL_KEY",
    "RUN_CHANNEL",
    "RunKey",
    "RunRegistry",
    "acting",
    "ephemeral",
    "application_run",
    "note_passages",
    "opened",
    "resumed",
]

FRAMEWORK = "langchain"
# The agent's private state that names its conversation; it holds ids and no text.
RUN_CHANNEL = "agentguard_run"
# The only configurable entry that names a person, and only as a ``Principal``: no text a client sends becomes one.
PRINCIPAL_KEY = "agentguard_principal"
# Conversations kept for runs that continue. A run whose conversation was dropped goes on with less trust, never more.
KEPT_RUNS = 4096

# Passages remembered per guard. A forgotten one stands among the user's words, so the bounds are wide.
KEPT_PASSAGES = 1024
KEPT_PASSAGE_CHARS = 4_000_000
# A shorter text without a space is a value, an address or a number: the user may write the same one, and mean it.
MIN_VALUE_CHARS = 40


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


@dataclass(frozen=True, slots=True)
class RunKey:
    """What an agent's private state says of its run: the conversation, a mark of who acts in it, and its entry message.

    It lets a run that is resumed in another process go on as the same conversation, if the same principal resumes it.
    """

    conversation: str
    owner: str
    entry: str

    @classmethod
    def of(cls, run: Conversation, entry: str) -> RunKey:
        """The key of ``run``, entered by the message with the id ``entry``."""
        return cls(run.id, owner_mark(run.principal), entry)

    @classmethod
    def parse(cls, text: object) -> RunKey | None:
        """The key that ``str`` wrote; None for anything else."""
        parts = text.split("/", 2) if isinstance(text, str) else []
        return cls(*parts) if len(parts) == 3 else None

    def __str__(self) -> str:
        return f"{self.conversation}/{self.owner}/{self.entry}"


def owner_mark(principal: Principal | None) -> str:
    """A digest of who acts and for whom; a new session of the same user is the same owner."""
    names: list[object] = []
    while principal is not None:
        names += [principal.kind, principal.id, principal.tenant]
        principal = principal.on_behalf_of
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:32]


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
    guard: Guard,
    agent: str | None,
    config: Mapping[str, Any],
    messages: Sequence[BaseMessage],
    kept: RunRegistry,
    *,
    id: str | None = None,
) -> Conversation:
    """The conversation of an agent run that starts now, its trusted request being the last human message.

    ``id`` names the conversation when it is not new.

    Raises:
        AdapterError: as ``acting``.
    """
    principal = acting(guard, agent, config)
    outer = current_conversation()
    if outer is not None:
        if not runs_tool(outer):
            return outer
        return child_run(outer, principal, framework=FRAMEWORK, id=id)
    thread = (config.get("configurable") or {}).get("thread_id")
    key = (guard, thread, principal)
    run = kept.get(key) if thread is not None else None
    if run is None:
        shown = None if thread is None else str(thread)
        run = Conversation(principal=principal, framework=FRAMEWORK, thread=shown, id=id)
        if thread is not None:
            kept.put(key, run)
    if messages and isinstance(messages[-1], HumanMessage):
        _trust(run, messages[-1])
        for text in _passages_in(guard, run):
            run.untrusted(text)
    return run


def resumed(
    guard: Guard,
    agent: str | None,
    config: Mapping[str, Any],
    key: RunKey | None,
    messages: Sequence[BaseMessage],
    *,
    kept: RunRegistry,
) -> Conversation:
    """The conversation of a run that was opened elsewhere, as far as its checkpoint can say what was in it.

    Its request is the message it was entered by, and the tool results of its history are read again. Somebody else
    than its owner, or a history without that message, gets a conversation of their own that trusts nothing.

    Raises:
        AdapterError: as ``acting``.
    """
    if key is None or key.owner != owner_mark(acting(guard, agent, config)):
        return opened(guard, agent, config, (), kept)
    entry = [i for i, m in enumerate(messages) if isinstance(m, HumanMessage) and m.id == key.entry][-1:]
    run = opened(guard, agent, config, [messages[i] for i in entry], kept, id=key.conversation)
    if run.id == key.conversation:
        for result in _results(messages[entry[0] :] if entry else ()):
            guard.check(result, run=run)
    return run


def _results(messages: Sequence[BaseMessage]) -> Iterator[ToolResult]:
    """The answered calls in a history, each once."""
    calls = {call["id"]: call for m in messages if isinstance(m, AIMessage) for call in m.tool_calls}
    for message in messages:
        if isinstance(message, ToolMessage) and (call := calls.pop(message.tool_call_id, None)):
            yield ToolResult(call["name"], cast(Any, encode(call["args"])), _content(message), call["id"])


def _content(message: ToolMessage) -> Json:
    """A result in its first form: LangChain writes what a tool returns into the message as JSON."""
    if not isinstance(message.content, str):
        return encode(message.content)
    try:
        parsed = json.loads(message.content)
    except (ValueError, RecursionError):
        return message.content
    return json_copy(parsed) if isinstance(parsed, dict | list) else message.content


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
        # The same name every time: a graph that pauses for approval goes on in another call of this function.
        id=None if thread is None else hashlib.sha256(f"langgraph thread {thread}".encode()).hexdigest()[:32],
    )


def application_run() -> Conversation | None:
    """The conversation the application itself opened around the agent, if any."""
    run = current_conversation()
    return None if run is None or runs_tool(run) else run


class _Passages:
    """Texts that retrievers found lately. Thread-safe, bounded by count and by characters."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: OrderedDict[str, None] = OrderedDict()
        self._chars = 0

    def add(self, text: str) -> None:
        with self._lock:
            if text in self._texts:
                self._texts.move_to_end(text)
                return
            self._texts[text] = None
            self._chars += len(text)
            while len(self._texts) > KEPT_PASSAGES or self._chars > KEPT_PASSAGE_CHARS:
                self._chars -= len(self._texts.popitem(last=False)[0])

    def within(self, requests: Sequence[str]) -> list[str]:
        """Those that stand in one of ``requests``."""
        with self._lock:
            texts = list(self._texts)
        return [text for text in texts if any(text in request for request in requests)]


_passages: weakref.WeakKeyDictionary[Guard, _Passages] = weakref.WeakKeyDictionary()


def note_passages(guard: Guard, run: Conversation, texts: Sequence[str]) -> None:
    """Mark what a retriever found as quoted material: in ``run``, and in messages that agents are entered by later.

    A chain retrieves before it builds the prompt, so before the agent's conversation is open.
    """
    kept = _passages.setdefault(guard, _Passages())
    for text in texts:
        if len(text.split()) > 1 or len(text) >= MIN_VALUE_CHARS:
            run.untrusted(text)
            kept.add(text)


def _passages_in(guard: Guard, run: Conversation) -> list[str]:
    kept = _passages.get(guard)
    return kept.within(run.requests) if kept is not None else []


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
