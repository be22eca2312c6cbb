"""``SecureAgentCommunication``: the channel for programs without an event loop.

A thin face on ``AgentServer`` and ``AgentClient``, which run in one background thread: time-outs, acknowledgements and
answers to PING do not depend on whether the program is reading. A text is received whole or not at all, once,
in order, with the sender's verified name.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentguard.channel.checks import Authorize, Record
from agentguard.channel.client import AgentClient
from agentguard.channel.connection import Connection
from agentguard.channel.delivery import Link
from agentguard.channel.endpoint import as_spiffe_id
from agentguard.channel.envelope import Message
from agentguard.channel.files import CertificateFiles
from agentguard.channel.identity import IdentitySource
from agentguard.channel.limits import Limits
from agentguard.channel.loop import LoopThread
from agentguard.channel.server import AgentServer
from agentguard.channel.spiffe import SpiffeId
from agentguard.decision import Decision, Effect
from agentguard.errors import ChannelError, ConfigError, DeliveryFailed, Denied
from agentguard.event import AgentMessage

__all__ = ["SecureAgentCommunication", "SecureListener", "SecureSocket"]

TOPIC = "text"
# Texts that came and were not received yet, per peer; the sender waits for room.
MAX_WAITING = 64
# Peers that came and were not accepted yet.
MAX_ACCEPTING = 64
DEFAULT_TIMEOUT_S = 30.0


class SecureSocket:
    """A conversation with one verified peer; made by ``SecureAgentCommunication``. Thread-safe.

    ``peer`` is the SPIFFE ID in its certificate.
    """

    def __init__(self, link: Link, loop: LoopThread) -> None:
        self.peer: SpiffeId = link.receiver
        self._link = link
        self._loop = loop
        self._texts: queue.Queue[str | Exception] = queue.Queue()
        # Counted on the loop: how many more may come before the handler waits.
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._ended: Exception | None = None

    def send(self, text: str, *, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        """Send a text and wait until the peer has taken it.

        Raises:
            Denied, DeliveryFailed, Overloaded: as ``Link.send``.
        """
        self._loop.call(self._link.send(TOPIC, text.encode("utf-8"), ttl=timeout), timeout + 5.0)

    def receive(self, *, timeout: float | None = DEFAULT_TIMEOUT_S) -> str:
        """The next text. None waits for ever.

        Raises:
            DeliveryFailed: none came in time (``timeout``), or the connection was cut (``truncated``).
            ChannelError: the peer closed the connection, in order.
        """
        if self._ended is not None and self._texts.empty():
            raise self._ended
        try:
            found = self._texts.get(timeout=timeout)
        except queue.Empty as error:
            raise DeliveryFailed(f"{self.peer} sent nothing in {timeout:g} s", reason="timeout") from error
        if isinstance(found, Exception):
            raise found
        self._loop.soon(self._room.release)
        return found

    def close(self) -> None:
        """Say GOAWAY and end, once what is under way has been taken."""
        self._loop.call(self._close(), 10.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _close(self) -> None:
        connection = self._link.connection
        if connection is not None:
            connection.goaway("closing")
            await connection.wait_closed()

    # -- on the loop -------------------------------------------------------------------------------------------------

    async def take(self, text: str) -> None:
        """Hand a text to whoever receives; wait while nobody does."""
        await self._room.acquire()
        self._texts.put(text)

    def end(self, reason: str) -> None:
        """The connection is gone."""
        if reason in ("closing", "age", "unused"):
            self._ended = ChannelError(f"{self.peer} closed the connection")
        else:
            self._ended = DeliveryFailed(f"the connection to {self.peer} was cut ({reason})", reason="truncated")
        self._texts.put(self._ended)


class SecureListener:
    """What ``create_secure_server`` returns: ``accept`` gives a ``SecureSocket`` per peer that came."""

    def __init__(self, server: _Server, loop: LoopThread) -> None:
        self._server = server
        self._loop = loop

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return self._server.address

    def accept(self, *, timeout: float | None = DEFAULT_TIMEOUT_S) -> SecureSocket:
        """The next peer that was verified and permitted. Slow and hostile ones never hold this up.

        Raises:
            DeliveryFailed: nobody came in time.
        """
        try:
            return self._server.accepted.get(timeout=timeout)
        except queue.Empty as error:
            raise DeliveryFailed(f"no peer came in {timeout:g} s", reason="timeout") from error

    def close(self) -> None:
        """Stop listening and end the connections in order."""
        self._loop.call(self._server.close(2.0), 15.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SecureAgentCommunication:
    """Texts between agents over mutual TLS 1.3, from blocking code.

    Args:
        cert_path: PEM of the own certificate, followed by the CAs above it.
        key_path: PEM of its key, readable by us alone.
        ca_path: PEM of the trust domain's CAs; without it nobody could be verified.
        peers: SPIFFE IDs this agent talks with, in both directions; nobody else is let in.
        authorize: the policy's answer in place of ``peers``, as ``MessageGuard(guard).authorize``.
        record: takes audit records, as ``MessageGuard(guard).record``.
        source: an identity source in place of the three files.
        limits: bounds.

    Raises:
        ConfigError: nobody is permitted, or something is missing.
        IdentityError: the files hold no usable identity.
    """

    def __init__(
        self,
        cert_path: Path | str | None = None,
        key_path: Path | str | None = None,
        *,
        ca_path: Path | str | None = None,
        peers: Iterable[SpiffeId | str] = (),
        authorize: Authorize | None = None,
        record: Record | None = None,
        source: IdentitySource | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._peers = frozenset(map(as_spiffe_id, [peers] if isinstance(peers, str) else peers))
        if not self._peers and authorize is None:
            raise ConfigError("nobody may talk: pass peers=[...] with SPIFFE IDs, or authorize= of a policy")
        if source is None:
            if cert_path is None or key_path is None or ca_path is None:
                raise ConfigError("pass cert_path, key_path and ca_path: without a CA no peer can be verified")
            source = CertificateFiles(cert_path, key_path, ca_path)
        self._source = source
        self._settings: dict[str, Any] = {
            "authorize": authorize or self._authorize, "record": record, "limits": limits or Limits()
        }  # fmt: skip
        self._loop = LoopThread()
        self._client: _Client | None = None
        self._servers: list[SecureListener] = []
        self._is_closed = False

    def create_secure_server(self, host: str, port: int) -> SecureListener:
        """Listen; port 0 picks a free one.

        Raises:
            ChannelError: the address cannot be used.
        """
        server = _Server(self._source, host, port, self._loop, self._settings)
        self._loop.call(server.start(), 10.0)
        listener = SecureListener(server, self._loop)
        self._servers.append(listener)
        return listener

    def create_secure_client(
        self, host: str, port: int, *, peer: SpiffeId | str | Iterable[SpiffeId | str] | None = None
    ) -> SecureSocket:
        """Connect. The server must present ``peer``: one of ``peers`` unless narrowed here.

        Raises:
            PeerRefused: it presented another identity, or refused ours.
            ChannelError: it cannot be reached.
        """
        expected = frozenset(map(as_spiffe_id, [peer] if isinstance(peer, SpiffeId | str) else peer or self._peers))
        if not expected:
            raise ConfigError("say whom you expect there: pass peer=... with a SPIFFE ID")
        return self._loop.call(self._connect(host, port, expected), 30.0)

    def send_encrypted_message(self, sock: SecureSocket, text: str) -> None:
        """As ``sock.send``."""
        sock.send(text)

    def receive_encrypted_message(self, sock: SecureSocket) -> str:
        """As ``sock.receive``."""
        return sock.receive()

    def close(self) -> None:
        """End everything this object made; a second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        for listener in self._servers:
            listener.close()
        if self._client is not None:
            self._loop.call(self._client.close(2.0), 15.0)
        self._loop.stop()
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def _connect(self, host: str, port: int, expected: frozenset[SpiffeId]) -> SecureSocket:
        if self._client is None:
            client = _Client(self._source, self._loop, self._settings)
            await client.start()
            self._client = client
        return self._client.socket_of(await self._client.connect(host, port, expected))

    def _authorize(self, sender: SpiffeId, receiver: SpiffeId, topic: str, size: int, /) -> Denied | None:
        own = self._source.current().spiffe_id
        if (sender if receiver == own else receiver) in self._peers:
            return None
        event = AgentMessage(sender.agent, receiver.agent, topic, None)
        message = "This agent talks with the peers it was given only."
        return Denied(Decision(Effect.DENY, event, "", reason="message-not-permitted", message=message))


class _Sockets:
    """The open conversations of one endpoint, by peer."""

    def __init__(self) -> None:
        self.by_peer: dict[SpiffeId, SecureSocket] = {}

    async def came(self, message: Message) -> None:
        found = self.by_peer.get(message.sender)
        if found is None:
            raise LookupError("the peer has no open conversation")
        await found.take(message.payload.decode("utf-8"))

    def ended(self, connection: Connection, reason: str) -> None:
        if connection.peer_name and (found := self.by_peer.pop(connection.peer.spiffe_id, None)) is not None:
            found.end(reason)


class _Server(AgentServer):
    def __init__(
        self, source: IdentitySource, host: str, port: int, loop: LoopThread, settings: dict[str, Any]
    ) -> None:
        super().__init__(source, host, port, **settings)
        self.accepted: queue.Queue[SecureSocket] = queue.Queue(MAX_ACCEPTING)
        self._runner = loop
        self._sockets_by = _Sockets()
        self.on(TOPIC, self._sockets_by.came, idempotent=True)

    def peer_known(self, connection: Connection, peer: Any) -> str | None:
        """One conversation per peer: a second connection would mix two."""
        if peer.spiffe_id in self._sockets_by.by_peer:
            return "already-connected"
        return "too-many-waiting" if self.accepted.full() else super().peer_known(connection, peer)

    def connection_up(self, connection: Connection) -> None:
        """As ``Endpoint``; the conversation waits for ``accept``."""
        super().connection_up(connection)
        made = SecureSocket(self.peer(connection.peer.spiffe_id), self._runner)
        self._sockets_by.by_peer[connection.peer.spiffe_id] = made
        self.accepted.put_nowait(made)

    def _went_down(self, connection: Connection, link: Link | None, reason: str) -> None:
        self._sockets_by.ended(connection, reason)


class _Client(AgentClient):
    def __init__(self, source: IdentitySource, loop: LoopThread, settings: dict[str, Any]) -> None:
        super().__init__(source, **settings)
        self._runner = loop
        self._sockets_by = _Sockets()
        self.on(TOPIC, self._sockets_by.came, idempotent=True)

    def socket_of(self, link: Link) -> SecureSocket:
        """The conversation over ``link``."""
        found = self._sockets_by.by_peer.get(link.receiver)
        if found is None:
            found = self._sockets_by.by_peer[link.receiver] = SecureSocket(link, self._runner)
        return found

    def _went_down(self, connection: Connection, link: Link | None, reason: str) -> None:
        super()._went_down(connection, link, reason)
        if link is not None:
            self._sockets_by.ended(connection, reason)
