"""``AgentServer``: listens, and answers peers whose certificate and policy permit it."""

from __future__ import annotations

import asyncio
import contextlib
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
                self._sockets.append(_listen(family, address))
        except OSError as error:
            await self.close(0)
            raise ChannelError(
                f"cannot listen on {self._host}:{self._port} ({error.strerror or error}); choose another address"
            ) from error
        for listening in self._sockets:
            self._spawn(self._accept(listening, admission))

    async def serve_forever(self) -> None:
        """Wait until the task is cancelled."""
        await asyncio.get_running_loop().create_future()

    async def close(self, timeout: float = 5.0) -> None:
        """Stop listening, then as ``Endpoint.close``."""
        for listening in self._sockets:
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

    async def _accept(self, listening: socket.socket, admission: Admission) -> None:
        while not self._is_closing:
            try:
                accepted, address = await self.loop.sock_accept(listening)
            except OSError:
                if listening.fileno() < 0:
                    return
                # Out of file descriptors: those in use must go first.
                await asyncio.sleep(0.1)
                continue
            host = str(address[0])
            reason = "too-many-connections" if len(self._connections) >= self.limits.connections else None
            if reason is None:
                reason = admission.enter(host)
            if reason is not None:
                self._refused(PeerRefused(reason), address_text(address))
                accepted.close()
                continue
            self._spawn(self._handshake(accepted, host, address_text(address), admission))

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
            self._refused(_refusal(error), address)
        finally:
            admission.leave(host, authenticated=bool(connection.peer_name))


def _listen(family: int, address: Any) -> socket.socket:
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
