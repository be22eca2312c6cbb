"""What servers and clients share: connections, links, deadlines, audit, and what a new identity or policy changes.

One endpoint belongs to one event loop and one identity source. Errors of one peer never reach another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from agentguard.channel.checks import Authorize, Checks, Inspect, Record
from agentguard.channel.connection import SCRATCH_BYTES, Connection, State
from agentguard.channel.delivery import Link
from agentguard.channel.envelope import Answer, Envelope
from agentguard.channel.frame import Ack, Cancel, Credit, Goaway, Nack
from agentguard.channel.identity import Identity, IdentitySource
from agentguard.channel.inbox import Handler, Inbox
from agentguard.channel.limits import TICK_S, Limits
from agentguard.channel.sightings import Sightings
from agentguard.channel.spiffe import SpiffeId
from agentguard.channel.tls import Peer
from agentguard.decision import Decision, Effect
from agentguard.errors import AgentGuardError, ChannelError, ConfigError, Denied, PeerRefused
from agentguard.event import AgentMessage

if TYPE_CHECKING:
    from agentguard.channel.journal import Journal

__all__ = ["Endpoint", "as_spiffe_id"]

_log = logging.getLogger("agentguard.channel")

# How often all connections are looked at, for idle times and age.
ROUND_S = 1.0


class Endpoint:
    """Base of ``AgentServer`` and ``AgentClient``. Use it as an async context manager, or ``start`` and ``close`` it.

    Args:
        source: our identity, and whom to refuse.
        authorize: the policy's answer about a message; asked before it is queued here, and again where it arrives.
        inspect: checks the content of what arrives; None hands payloads on as they came.
        record: takes audit records.
        journal: makes durable what must survive a restart; None keeps it in memory.
        limits: bounds.
    """

    def __init__(
        self,
        source: IdentitySource,
        *,
        authorize: Authorize,
        inspect: Inspect | None = None,
        record: Record | None = None,
        journal: Journal | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self._source = source
        self._checks = Checks(authorize, record=record, budget_s=self.limits.authorize_s)
        self._inspect = inspect
        self._journal = journal
        self._topics: list[tuple[str, Handler, bool, bool]] = []
        # Drawn at random at each start: what came before a restart is told from what came after.
        self._epoch = os.urandom(16)
        self._scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._connections: dict[Connection, Link | None] = {}
        self._links: dict[object, Link] = {}
        self._draining: dict[Connection, float] = {}
        self._sightings = Sightings()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._inbox: Inbox | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._ticks_per_round = max(1, int(min(ROUND_S, self.limits.ping_s / 2) / TICK_S))
        self._unsubscribe: Callable[[], None] | None = None
        self._is_closing = False
        self._own_id: SpiffeId | None = None

    # -- for applications --------------------------------------------------------------------------------------------

    def on(self, topic: str, handler: Handler, *, idempotent: bool = False, concurrent: bool = False) -> None:
        """Handle messages about ``topic``.

        Args:
            handler: gets a ``Message``; returns the reply of a request, or an async iterator over its pieces.
            idempotent: handling a message twice does no harm, so that nothing is written before it is acknowledged.
            concurrent: the next message of the same sender need not wait until this one is handled.

        Raises:
            ConfigError: no name for a topic.
        """
        if not 0 < len(topic) <= 128:
            raise ConfigError(f"a topic is named with 1 to 128 characters, got {len(topic)}")
        if self._inbox is not None:
            self._inbox.on(topic, handler, idempotent=idempotent, concurrent=concurrent)
        self._topics.append((topic, handler, idempotent, concurrent))

    @property
    def spiffe_id(self) -> SpiffeId:
        """Our own name.

        Raises:
            IdentityError: there is no valid identity now.
        """
        return self._source.current().spiffe_id

    @property
    def connections(self) -> list[Connection]:
        """Live connections, for tests and monitoring."""
        return list(self._connections)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it works in.

        Raises:
            ChannelError: it was not started.
        """
        if self._loop is None:
            raise ChannelError("the endpoint is not started; use it in `async with`")
        return self._loop

    @property
    def inbox(self) -> Inbox:
        """What handles the messages that come.

        Raises:
            ChannelError: it was not started.
        """
        if self._inbox is None:
            raise ChannelError("the endpoint is not started; use it in `async with`")
        return self._inbox

    async def start(self) -> None:
        """Begin to work in the running loop.

        Raises:
            IdentityError: there is no valid identity.
            ChannelError: it was started before.
        """
        if self._loop is not None:
            raise ChannelError("an endpoint is started once; make a new one")
        self._loop = asyncio.get_running_loop()
        self._take(self._source.current())
        self._inbox = Inbox(
            limits=self.limits, checks=self._checks, source=self._source, inspect=self._inspect, journal=self._journal
        )
        for topic, handler, idempotent, concurrent in self._topics:
            self._inbox.on(topic, handler, idempotent=idempotent, concurrent=concurrent)
        self._unsubscribe = self._source.subscribe(self._changed)
        self._timer = self._loop.call_later(TICK_S, self._tick)

    async def close(self, timeout: float = 5.0) -> None:
        """Take nothing new, finish what is under way for up to ``timeout`` seconds, say GOAWAY and end."""
        if self._loop is None or self._is_closing:
            return
        self._is_closing = True
        for connection in list(self._connections):
            connection.goaway("closing")
        until = self._loop.time() + timeout
        if self._inbox is not None:
            await self._inbox.close(timeout)
        while any(not link.is_quiet for link in self._links.values()) and self._loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        for link in self._links.values():
            link.close()
        if self._unsubscribe is not None:
            self._unsubscribe()
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        ending = list(self._connections)
        for connection in ending:
            connection.close()
        if ending:
            await asyncio.gather(*(connection.wait_closed() for connection in ending))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.limits.close_s)
        if self._journal is not None:
            await self._journal.close()

    def recheck(self) -> None:
        """Policy or block list changed: end connections to peers that are not permitted any more. Thread-safe."""
        self._changed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- identity and policy -----------------------------------------------------------------------------------------

    def _take(self, identity: Identity) -> None:
        if self._own_id is not None and identity.spiffe_id != self._own_id:
            raise ChannelError(f"the new identity is {identity.spiffe_id}, this endpoint is {self._own_id}'s")
        self._use(identity)
        self._own_id = identity.spiffe_id

    def _use(self, identity: Identity) -> None:
        """Make what depends on the identity; overridden."""
        raise NotImplementedError

    def _changed(self) -> None:
        """From any thread: something about identities or permissions is new."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(self._review)

    def _review(self) -> None:
        try:
            self._take(self._source.current())
        except AgentGuardError as error:
            _log.error("the new identity cannot be used, the old one stays: %s", error)
        for connection in list(self._connections):
            if connection.state is State.TLS:
                continue
            peer = connection.peer
            if self._is_blocked(peer):
                reason = "blocked"
            elif not self._checks.may_talk(peer.spiffe_id, connection.identity.spiffe_id):
                reason = "not-permitted"
            else:
                continue
            self._checks.record("drop", reason=reason, **_about(peer))
            connection.fail(reason, "")

    def _is_blocked(self, peer: Peer) -> bool:
        try:
            return self._source.blocked(peer.spiffe_id, peer.serial)
        except AgentGuardError:
            return True  # not known is refused

    # -- what connections tell (Owner) -------------------------------------------------------------------------------

    def peer_known(self, connection: Connection, peer: Peer) -> str | None:
        """Admit a peer whose certificate is in order, or say why not."""
        if self._is_closing:
            return "closing"
        same = [other for other in self._connections if other.peer.spiffe_id == peer.spiffe_id]
        if len(self._connections) >= self.limits.connections:
            return "too-many-connections"
        if len(same) >= self.limits.connections_per_identity:
            return "too-many-connections-of-identity"
        if not self._checks.may_talk(peer.spiffe_id, connection.identity.spiffe_id):
            return "not-permitted"
        host = replace(peer, address=_host(peer.address))
        if not connection.is_client and (elsewhere := self._sightings.elsewhere(host)) is not None:
            self._checks.record("alert", reason="one-certificate-two-addresses", elsewhere=elsewhere, **_about(peer))
        self._connections[connection] = None
        return None

    def peer_refused(self, connection: Connection, refusal: PeerRefused) -> None:
        """Record a refusal with what was presented."""
        self._connections.pop(connection, None)
        self._refused(refusal, connection.address)

    def _refused(self, refusal: PeerRefused, address: str) -> None:
        self._checks.record(
            "refuse", reason=refusal.reason, peer=None, presented=refusal.presented, **{"client.address": address}
        )

    def connection_up(self, connection: Connection) -> None:
        """Both sides have said HELLO."""
        self._checks.record("connect", reason="", **_about(connection.peer))
        link = self._link_for(connection)
        self._connections[connection] = link
        if link is not None and (link.connection is None or not link.connection.is_up):
            link.attach(connection)

    def connection_down(self, connection: Connection, reason: str) -> None:
        """It ended, for whatever reason."""
        link = self._connections.pop(connection, None)
        self._draining.pop(connection, None)
        if connection.peer_name:
            self._checks.record("disconnect", reason=reason, **_about(connection.peer))
        if self._inbox is not None:
            self._inbox.down(connection)
        if link is not None:
            link.detach(connection, reason)
            other = next((each for each, of in self._connections.items() if of is link and each.is_up), None)
            if other is not None:
                link.attach(other)
        self._went_down(connection, link, reason)

    def message_came(self, connection: Connection, envelope: Envelope, payload: bytes) -> None:
        """A message of the peer's."""
        self.inbox.came(connection, envelope, payload)

    def answer_came(self, connection: Connection, answer: Answer, payload: bytes) -> None:
        """A reply, or a piece of one; a peer that was blocked meanwhile is not listened to any more."""
        if self._is_blocked(connection.peer):
            self._checks.record("block-list-hit", reason="blocked", **_about(connection.peer))
            connection.fail("blocked", "")
            return
        link = self._connections.get(connection)
        if link is None:
            connection.spend_control()
        else:
            link.answered(connection, answer, payload)

    def ack_came(self, connection: Connection, ack: Ack) -> None:
        """Messages of ours were handled."""
        link = self._connections.get(connection)
        if link is None:
            for _ in ack.ids:
                connection.spend_control()
        else:
            link.acked(connection, ack)

    def nack_came(self, connection: Connection, nack: Nack) -> None:
        """A message of ours was not handled."""
        link = self._connections.get(connection)
        if link is None:
            connection.spend_control()
        else:
            link.nacked(connection, nack)

    def credit_came(self, connection: Connection, credit: Credit) -> None:
        """The reader of a streamed reply takes more."""
        self.inbox.credited(connection, credit)

    def cancel_came(self, connection: Connection, cancel: Cancel) -> None:
        """Nobody waits for a reply any more."""
        self.inbox.cancelled(connection, cancel)

    def goaway_came(self, connection: Connection, goaway: Goaway) -> None:
        """The connection ends soon, by our wish or the peer's: what is under way is finished."""
        self._draining.setdefault(connection, self.loop.time() + self.limits.drain_s)

    def writable(self, connection: Connection) -> None:
        """The peer reads again."""
        link = self._connections.get(connection)
        if link is not None:
            link.pump()

    def _link_for(self, connection: Connection) -> Link | None:
        """The link that may send over this connection; overridden."""
        raise NotImplementedError

    def _went_down(self, connection: Connection, link: Link | None, reason: str) -> None:
        """A connection is gone; overridden by whoever makes new ones."""

    def _new_link(self, receiver: SpiffeId) -> Link:
        return Link(
            sender=self.spiffe_id,
            receiver=receiver,
            epoch=self._epoch,
            limits=self.limits,
            outbound=self,
            journal=self._journal,
        )

    # -- what links need (Outbound) ----------------------------------------------------------------------------------

    def permit(self, link: Link, topic: str, size: int) -> None:
        """Ask the policy before a message is queued.

        Raises:
            Denied: it is not permitted, or the policy could not be asked.
        """
        sender = self._own_id or self.spiffe_id
        refused = self._checks.refusal(sender, link.receiver, topic, size)
        if refused is None:
            return
        reason, denied = refused
        self._checks.record(
            "deny", reason=reason, peer=str(link.receiver), topic=topic[:128], **{"payload.length": size}
        )
        raise denied or _denial(reason, sender, link.receiver, topic)

    def wanted(self, link: Link) -> None:
        """There is something to send and no connection; servers wait until the peer comes."""

    def failed(self, link: Link, envelope: Envelope, reason: str) -> None:
        """Record that a message was given up."""
        self._checks.record(
            "delivery-failed",
            reason=reason,
            peer=str(link.receiver),
            topic=envelope.topic,
            **{"message.id": envelope.id.hex(), "payload.sha256": envelope.digest.hex()},
        )

    # -- time --------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self.loop.time()
        self._ticks += 1
        for link in list(self._links.values()):
            if link.pending:
                link.tick(now)
        if not self.inbox.is_idle:
            self.inbox.tick(now)
        is_round = self._ticks % self._ticks_per_round == 0
        for connection in list(self._connections):
            if is_round or connection.is_armed:
                connection.tick(now)
        for connection, until in list(self._draining.items()):
            self._drain(connection, now >= until)
        if is_round:
            self.inbox.purge()
        self._timer = self.loop.call_later(TICK_S, self._tick)

    def _drain(self, connection: Connection, is_late: bool) -> None:
        link = self._connections.get(connection)
        is_quiet = connection.unacked_messages == 0 and (link is None or link.is_quiet)
        # Whoever said GOAWAY lets the other side close: only that side knows when nothing more is on its way.
        if is_late or (is_quiet and connection.is_asked_to_go):
            self._draining.pop(connection, None)
            connection.close()

    def _spawn(self, coroutine: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def as_spiffe_id(name: SpiffeId | str) -> SpiffeId:
    """A SPIFFE ID given as such or as text.

    Raises:
        IdentityError: it is none.
    """
    return name if isinstance(name, SpiffeId) else SpiffeId.parse(name)


def _about(peer: Peer) -> dict[str, Any]:
    return {"peer": str(peer.spiffe_id), "peer.serial": f"{peer.serial:x}", "client.address": peer.address}


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _denial(reason: str, sender: SpiffeId, receiver: SpiffeId, topic: str) -> Denied:
    event = AgentMessage(sender.agent, receiver.agent, topic, None)
    message = "The message could not be checked, so it was refused."
    return Denied(Decision(Effect.DENY, event, os.urandom(8).hex(), reason=reason, message=message, stage="channel"))
