"""Who is at the other end of the request being served: what records made meanwhile say of it."""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["PeerContext", "current_peer", "name_peer", "request_context"]


@dataclass(frozen=True, slots=True)
class PeerContext:
    """Address and session of the peer; None where nobody said."""

    ip_address: str | None = None
    session_id: str | None = None


_NOBODY = PeerContext()
_peer: contextvars.ContextVar[PeerContext] = contextvars.ContextVar("agentguard_audit_request", default=_NOBODY)


@contextmanager
def request_context(*, ip_address: str | None = None, session_id: str | None = None) -> Iterator[None]:
    """Name the peer of the current thread or task; what is recorded inside carries it. Absent means null.

    Inside another context the absent one is taken from there: a session opened during a request keeps its address.
    """
    token = name_peer(ip_address=ip_address, session_id=session_id)
    try:
        yield
    finally:
        _peer.reset(token)


def name_peer(*, ip_address: str | None = None, session_id: str | None = None) -> contextvars.Token[PeerContext]:
    """As ``request_context`` for the rest of the current ``contextvars.Context``, when that is the request's own."""
    outer = _peer.get()
    return _peer.set(PeerContext(ip_address or outer.ip_address, session_id or outer.session_id))


def current_peer() -> PeerContext:
    """The peer of the innermost active context."""
    return _peer.get()
