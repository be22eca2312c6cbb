"""W3C Trace Context (version 00): the ids that tie what several agents do for one request together.

The context travels in the envelope; on the receiving side it is current while the handler runs, so that whatever the
handler sends carries on the same trace.
"""

from __future__ import annotations

import contextvars
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["TraceContext", "current_trace"]

# Trace Context section 3.2.2: lower-case hex, ids of zeros are invalid.
_PARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
# Section 3.3.1.5 asks for at least 512; what is longer is dropped whole.
MAX_STATE = 512


@dataclass(frozen=True, slots=True)
class TraceContext:
    """``trace_id`` 32 hex digits, ``span_id`` 16; ``flags`` bit 0: sampled; ``state`` is handed on unread."""

    trace_id: str
    span_id: str
    flags: int = 0
    state: str = ""

    @classmethod
    def start(cls) -> TraceContext:
        """A new trace."""
        return cls(secrets.token_hex(16), secrets.token_hex(8))

    @classmethod
    def parse(cls, parent: str, state: str = "") -> TraceContext | None:
        """Read a ``traceparent`` header; None when it is none: a broken context is dropped, never repaired."""
        found = _PARENT.fullmatch(parent)
        if found is None:
            return None
        kept = state if len(state) <= MAX_STATE and state.isascii() and state.isprintable() else ""
        return cls(found[1], found[2], int(found[3], 16), kept)

    @property
    def traceparent(self) -> str:
        """The header's form."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def child(self) -> TraceContext:
        """The same trace, one span further."""
        return TraceContext(self.trace_id, secrets.token_hex(8), self.flags, self.state)

    @contextmanager
    def active(self) -> Iterator[TraceContext]:
        """Make this the context that ``current_trace`` finds."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)


_current: contextvars.ContextVar[TraceContext | None] = contextvars.ContextVar("agentguard_trace", default=None)


def current_trace() -> TraceContext | None:
    """The context of the message that is being handled in this task, or what the application made active."""
    return _current.get()
