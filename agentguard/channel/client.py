"""``AgentClient``: one warm connection to each peer, made when it is needed and made again when it ends."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from agentguard.channel.connection import Connection
from agentguard.channel.delivery import Link
from agentguard.channel.endpoint import Endpoint, as_spiffe_id
from agentguard.channel.identity import Identity, IdentitySource
from agentguard.channel.spiffe import SpiffeId
from agentguard.channel.tls import client_context, refused_handshake
from agentguard.errors import AgentGuardError, ChannelError, IdentityError, PeerRefused

__all__ = ["AgentClient"]

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
# A peer that refuses us, or is not whom we expect, stays so; a few times, since both sides may be rotating just now.
REFUSALS = 3


@dataclass(slots=True)
class _Way:
    host: str
    port: int
    expected: frozenset[SpiffeId]
    dialing: asyncio.Task[Any] | None = None
    refusals: int = 0


class AgentClient(Endpoint):
    """Sends for one agent. See ``Endpoint`` for the arguments; handlers registered with ``on`` serve what peers send.

    ::

        async with AgentClient(source, authorize=authorize) as client:
            writer = client.peer("127.0.0.1", 7443, "spiffe://example.org/agent/writer")
            reply = await writer.request("draft", b"Twelve lines about lamps.")
    """

    def __init__(self, source: IdentitySource, **settings: Any) -> None:
        super().__init__(source, **settings)
        self._identity: Identity | None = None
        self._context: ssl.SSLContext | None = None
        self._ways: dict[Link, _Way] = {}

    def peer(self, host: str, port: int, name: SpiffeId | str) -> Link:
        """The way to the peer that must present ``name`` at this address; the same one each time it is asked for.

        Raises:
            IdentityError: no SPIFFE ID, or no valid identity of our own.
        """
        receiver = as_spiffe_id(name)
        key = (host, port, receiver)
        link = self._links.get(key)
        if link is None:
            link = self._links[key] = self._new_link(receiver)
            self._ways[link] = _Way(host, port, frozenset({receiver}))
        return link

    async def connect(self, host: str, port: int, names: SpiffeId | str | Iterable[SpiffeId | str]) -> Link:
        """Connect now; the peer must present one of ``names``. Messages of this link go to the one it presented.

        Raises:
            PeerRefused: it presented another identity, or refused ours.
            ChannelError: it cannot be reached in time.
        """
        given = [names] if isinstance(names, SpiffeId | str) else list(names)
        expected = frozenset(map(as_spiffe_id, given))
        if not expected:
            raise IdentityError("say whom you expect there: at least one SPIFFE ID")
        connection = await self._dial(_Way(host, port, expected))
        link = self.peer(host, port, connection.peer.spiffe_id)
        if link.connection is None or not link.connection.is_up:
            self._adopt(connection, link)
        elif link.connection is not connection:
            connection.goaway("unused")
        return link

    def _use(self, identity: Identity) -> None:
        self._context = client_context(identity)
        self._identity = identity

    def _link_for(self, connection: Connection) -> Link | None:
        return None  # attached by whoever dialled

    def _adopt(self, connection: Connection, link: Link) -> None:
        self._connections[connection] = link
        link.attach(connection)

    # -- connecting --------------------------------------------------------------------------------------------------

    def wanted(self, link: Link) -> None:
        """Connect, unless that is under way."""
        way = self._ways.get(link)
        if way is not None and way.dialing is None and not self._is_closing:
            way.dialing = self._spawn(self._keep_dialing(link, way))

    async def _keep_dialing(self, link: Link, way: _Way) -> None:
        pause = FIRST_PAUSE_S
        try:
            while link.pending and link.connection is None:
                try:
                    connection = await self._dial(way)
                except PeerRefused as error:
                    way.refusals += 1
                    if way.refusals >= REFUSALS:
                        way.refusals = 0
                        link.fail_all(error)
                except AgentGuardError:
                    pass  # not there now: messages wait until they are too old
                else:
                    way.refusals = 0
                    self._adopt(connection, link)
                    return
                # Jitter, so that the peers of a server that restarts do not all come at once.
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, LONGEST_PAUSE_S)
        finally:
            way.dialing = None

    async def _dial(self, way: _Way) -> Connection:
        """One attempt: a connection that is up.

        Raises:
            PeerRefused: either side refused the other.
            ChannelError: it did not come up.
        """
        if self._identity is None:
            raise ChannelError("the client is not started; use it in `async with`")
        self._source.current()  # raises when ours has expired meanwhile
        connection = _Dialled(
            identity=self._identity,
            source=self._source,
            owner=self,
            limits=self.limits,
            expected=way.expected,
            scratch=self._scratch,
        )
        limits = self.limits
        try:
            async with asyncio.timeout(limits.connect_s + limits.handshake_s + limits.hello_s):
                await self.loop.create_connection(
                    lambda: connection,
                    way.host,
                    way.port,
                    ssl=self._context,
                    server_hostname="",
                    ssl_handshake_timeout=limits.handshake_s,
                    ssl_shutdown_timeout=limits.close_s,
                )
                await asyncio.shield(connection.came_up)
        except (OSError, ssl.SSLError) as error:
            if isinstance(error, ssl.SSLError):
                refusal = refused_handshake(error)
                self._refused(refusal, f"{way.host}:{way.port}")
                raise refusal from error
            if isinstance(error, TimeoutError):
                connection.abort("connect-timeout")
            raise ChannelError(
                f"{way.host}:{way.port} cannot be reached ({error.strerror or type(error).__name__})"
            ) from error
        return connection

    def peer_refused(self, connection: Connection, refusal: PeerRefused) -> None:
        """As ``Endpoint``; whoever dialled is told."""
        super().peer_refused(connection, refusal)
        if isinstance(connection, _Dialled) and not connection.came_up.done():
            connection.refuse(refusal)

    def connection_up(self, connection: Connection) -> None:
        """As ``Endpoint``; whoever dialled is told."""
        super().connection_up(connection)
        if isinstance(connection, _Dialled) and not connection.came_up.done():
            connection.came_up.set_result(None)

    def _went_down(self, connection: Connection, link: Link | None, reason: str) -> None:
        if isinstance(connection, _Dialled) and not connection.came_up.done():
            if reason in _REFUSED:
                error: AgentGuardError = PeerRefused(reason, connection.peer_name or None)
            else:
                error = ChannelError(f"the connection ended before it was up ({reason})")
            connection.refuse(error)


# Reasons that mean "not you", told by the peer or by TLS.
_REFUSED = {"refused-by-peer", "blocked", "not-permitted"}


class _Dialled(Connection):
    """A connection somebody waits for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.came_up: asyncio.Future[None] = self._loop.create_future()

    def refuse(self, error: AgentGuardError) -> None:
        """It will not come up."""
        self.came_up.set_exception(error)
        self.came_up.exception()  # whoever dialled may have heard it from TLS already
