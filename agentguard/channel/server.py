"""``AgentServer``: listens, and answers peers whose certificate and policy permit it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from typing import Any

from agentguard.channel.admission import Admission
from agentguard.channel.connection import Connection, address_text
from agentguard.channel.delivery import Link
from agentguard.channel.endpoint import Endpoint, as_spiffe_id
from agentguard.channel.identity import Identity, IdentitySource
from agentguard.channel.spiffe import SpiffeId
from agentguard.channel.tls import refused_handshake, server_context
from agentguard.errors import ChannelError, PeerRefused

__all__ = ["AgentServer"]

BACKLOG = 128
# Other connections get their turn between so many.
ACCEPTS_PER_TURN = 16


class AgentServer(Endpoint):
    """Serves one agent on one address. See ``Endpoint`` for the other arguments.

    Args:
        host: the address to listen on.
        port: 0 picks a free one; see ``address``.

    ::

        async with AgentServer(source, "127.0.0.1", 7443, authorize=authorize) as server:
            server.on("draft", write)
            await server.serve_forever()
    """

    def __init__(self, source: IdentitySource, host: str, port: int, **settings: Any) -> None:
        super().__init__(source, **settings)
        self._host = host
        self._port = port
        self._sockets: list[socket.socket] = []
        self._identity: Identity | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens.

        Raises:
            ChannelError: it does not.
        """
        if not self._sockets:
            raise ChannelError("the server does not listen; start it first")
        name = self._sockets[0].getsockname()
        return name[0], name[1]

    async def start(self) -> None:
        """Listen.

        Raises:
            IdentityError: there is no valid identity.
            ChannelError: the address cannot be used.
        """
        await super().start()
        admission = Admission(self.limits, self.loop.time)
        try:
            found = await self.loop.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, _, _, _, address in dict.fromkeys(found):
                self._sockets.append(_bound(family, address))
        except OSError as error:
            await self.close(0)
            raise ChannelError(
                f"cannot listen on {self._host}:{self._port} ({error.strerror or error}); choose another address"
            ) from error
        for listening in self._sockets:
            self._listen(listening, admission)

    async def serve_forever(self) -> None:
        """Wait until the task is cancelled."""
        await asyncio.get_running_loop().create_future()

    async def close(self, timeout: float = 5.0) -> None:
        """Stop listening, then as ``Endpoint.close``."""
        for listening in self._sockets:
            if listening.fileno() >= 0:
                self.loop.remove_reader(listening.fileno())
                listening.close()
        await super().close(timeout)

    def peer(self, name: SpiffeId | str) -> Link:
        """The way to a peer, over the connection it makes; messages wait until it comes.

        Raises:
            IdentityError: no SPIFFE ID.
        """
        receiver = as_spiffe_id(name)
        link = self._links.get(receiver)
        if link is None:
            link = self._links[receiver] = self._new_link(receiver)
            for connection in self._connections:
                if connection.is_up and connection.peer.spiffe_id == receiver:
                    self._connections[connection] = link
                    if link.connection is None:
                        link.attach(connection)
        return link

    def _use(self, identity: Identity) -> None:
        # Handshakes that have begun keep the old context; the next one accepted gets the new.
        self._context = server_context(identity)
        self._identity = identity

    def _link_for(self, connection: Connection) -> Link | None:
        return self._links.get(connection.peer.spiffe_id)

    # -- accepting ---------------------------------------------------------------------------------------------------

    def _listen(self, listening: socket.socket, admission: Admission) -> None:
        # A reader, not sock_accept: a task that is cancelled while it is handed a socket would lose that socket.
        self.loop.add_reader(listening.fileno(), self._accept, listening, admission)

    def _accept(self, listening: socket.socket, admission: Admission) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if self._is_closing or listening.fileno() < 0:
                return
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # Out of file descriptors: those in use must go first.
                self.loop.remove_reader(listening.fileno())
                self.loop.call_later(0.1, self._resume, listening, admission)
                return
            accepted.setblocking(False)
            self._admit(accepted, address, admission)

    def _resume(self, listening: socket.socket, admission: Admission) -> None:
        if not self._is_closing and listening.fileno() >= 0:
            self._listen(listening, admission)

    def _admit(self, accepted: socket.socket, address: Any, admission: Admission) -> None:
        host = str(address[0])
        reason = "too-many-connections" if len(self._connections) >= self.limits.connections else None
        if reason is None:
            reason = admission.enter(host)
        if reason is not None:
            self._refused(PeerRefused(reason), address_text(address))
            accepted.close()
            return
        shaking = self._spawn(self._handshake(accepted, host, address_text(address), admission))
        shaking.add_done_callback(functools.partial(_end_refused, accepted))

    async def _handshake(self, accepted: socket.socket, host: str, address: str, admission: Admission) -> None:
        connection = Connection(
            identity=self._identity or self._source.current(),
            source=self._source,
            owner=self,
            limits=self.limits,
            expected=None,
            scratch=self._scratch,
        )
        try:
            with contextlib.suppress(OSError):
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self.limits.handshake_s,
                ssl_shutdown_timeout=self.limits.close_s,
            )
        except (OSError, ssl.SSLError) as error:
            # Not every loop has taken the socket over when the other side is gone at once.
            accepted.close()
            self._refused(_refusal(error), address)
        finally:
            admission.leave(host, authenticated=bool(connection.peer_name))


def _end_refused(accepted: socket.socket, shaking: asyncio.Task[Any]) -> None:
    """Close what no transport has taken over: a handshake that was cancelled, at the server's end, before it began."""
    if shaking.cancelled() and accepted.fileno() >= 0:
        accepted.close()


def _bound(family: int, address: Any) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _refusal(error: OSError) -> PeerRefused:
    if isinstance(error, ConnectionAbortedError):
        return PeerRefused("handshake-timeout")
    if isinstance(error, ConnectionError) and not isinstance(error, ssl.SSLError):
        return PeerRefused("handshake-aborted")
    return refused_handshake(error)
