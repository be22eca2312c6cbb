"""One agent run, and what later checks need to know of earlier events.

A ``Conversation`` holds who acts, the words the run was really asked for, and one bounded slot of state per stage.
It decides nothing. Sub-agents get children: a child's trusted request is what its parent was entitled to ask.
"""

from __future__ import annotations

import contextvars
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from agentguard.errors import ConfigError
from agentguard.event import Principal, ToolCall

if TYPE_CHECKING:
    from agentguard.decision import Origin

__all__ = ["ANONYMOUS", "Conversation", "current_conversation"]

T = TypeVar("T")

# Who acts when nobody said so: no roles, so no tool is permitted.
ANONYMOUS = Principal("anonymous", kind="service")

# A request is what a person typed. Past this many characters the oldest words stop being trusted,
# which can only turn a pass into a question.
MAX_REQUEST_CHARS = 200_000

# Texts cut out of events and not yet taken note of. Every event takes them, so only a flood reaches this.
MAX_WITHHELD = 1_000
# Redacted values that no stage has asked for yet: more than are remembered as confidential, so that none is lost.
MAX_CONCEALED = 6_000

# Traces a call's values in a run: the information flow of the guard that watches the run.
Explainer: TypeAlias = "Callable[[Conversation, ToolCall], tuple[Origin, ...]]"


class Conversation:
    """One agent run. Thread-safe; parallel tool calls share it.

    Args:
        principal: the verified identity that acts.
        request: the user's own words; only these, and what ``trust`` adds, count as the user's will.
        parent: the run that started this one.
        framework: name of the adapter's framework, for the record.
        thread: the framework's conversation or session id, for the record.
        id: the framework's run id; random when absent.
    """

    def __init__(
        self,
        *,
        principal: Principal = ANONYMOUS,
        request: str | None = None,
        parent: Conversation | None = None,
        framework: str | None = None,
        thread: str | None = None,
        id: str | None = None,
    ) -> None:
        self.id = id or secrets.token_hex(16)
        self.principal = principal
        self.parent = parent
        self.framework = framework
        self.thread = thread
        self._lock = threading.RLock()
        self._requests: tuple[str, ...] = ()
        self._untrusted: tuple[str, ...] = ()
        self._withheld: list[tuple[str, str]] = []
        self._concealed: list[tuple[str, str, str]] = []
        self._slots: dict[type[object], object] = {}
        self._explainer: Explainer | None = parent._explainer if parent is not None else None
        if request:
            self.trust(request)

    @property
    def requests(self) -> tuple[str, ...]:
        """The trusted request texts, oldest first."""
        return self._requests

    @property
    def quoted(self) -> tuple[str, ...]:
        """Texts inside the request that the user only quoted or pasted: not the user's will."""
        return self._untrusted

    def trust(self, text: str) -> None:
        """Add words of the user to the request. Never call it with text that a tool, file or other agent produced."""
        with self._lock:
            if text in self._requests:
                return
            kept = (*self._requests, text)
            while len(kept) > 1 and sum(map(len, kept)) > MAX_REQUEST_CHARS:
                kept = kept[1:]
            self._requests = kept

    def untrusted(self, text: str) -> None:
        """Mark a quoted mail, pasted document or retrieved passage that stands inside the request."""
        with self._lock:
            self._untrusted = (*self._untrusted, text)

    def withhold(self, author: str, text: str) -> None:
        """Note a text that a stage cut an attack out of: no model reads it, but what stands in it is untrusted."""
        with self._lock:
            self._withheld = [*self._withheld[1 - MAX_WITHHELD :], (author, text)]

    def take_withheld(self) -> list[tuple[str, str]]:
        """The (author, text) pairs withheld since the last time."""
        if not self._withheld:
            return []
        with self._lock:
            taken, self._withheld = self._withheld, []
            return taken

    def conceal(self, author: str, kind: str, value: str) -> None:
        """Note a confidential value of class ``kind`` that a stage redacted from a result: no model may write it."""
        with self._lock:
            if len(self._concealed) < MAX_CONCEALED:
                self._concealed.append((author, kind, value))

    def take_concealed(self) -> list[tuple[str, str, str]]:
        """The (author, class, value) triples concealed since the last time."""
        if not self._concealed:
            return []
        with self._lock:
            taken, self._concealed = self._concealed, []
            return taken

    def child(self, principal: Principal, request: str | None, *, id: str | None = None) -> Conversation:
        """Open a sub-agent's run.

        ``request`` is what the parent asks of it and must be text the parent was entitled to choose. Give ``principal``
        the parent's ``on_behalf_of``, so that the sub-agent acts for the same user.
        """
        return Conversation(
            principal=principal,
            request=request,
            parent=self,
            framework=self.framework,
            thread=self.thread,
            id=id,
        )

    def slot(self, key: type[T], factory: Callable[[], T]) -> T:
        """The state a stage keeps for this run, made on first use. One object per type; the stage bounds its memory."""
        with self._lock:
            found = self._slots.get(key)
            if found is None:
                found = self._slots[key] = factory()
            return found  # type: ignore[return-value]  # stored under its own type

    def explain(self, call: ToolCall) -> tuple[Origin, ...]:
        """The origin table of ``call``, for people: every value among its arguments, where it came from, the verdict.

        Decides nothing and records nothing. The rows hold values; never show them to a model.

        Raises:
            ConfigError: no guard with information flow has opened this run or seen an event of it.
        """
        if self._explainer is None:
            raise ConfigError("no guard watches this run yet; open it with guard.conversation(...) or check an event")
        return self._explainer(self, call)

    def explained_by(self, explainer: Explainer) -> None:
        """Called by the guard: who answers ``explain``. The first one stays."""
        with self._lock:
            self._explainer = self._explainer or explainer

    @contextmanager
    def active(self) -> Iterator[Conversation]:
        """Make this the conversation that ``current_conversation`` finds in this thread or task."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)


_current: contextvars.ContextVar[Conversation | None] = contextvars.ContextVar("agentguard_conversation", default=None)


def current_conversation() -> Conversation | None:
    """The innermost active conversation of this thread or task, or None."""
    return _current.get()
