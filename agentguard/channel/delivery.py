"""The sending side: messages to one receiver, in order, at least once, until they are acknowledged or too old.

What was sent and not acknowledged when a connection ends is sent again on the next one, with the same id and sequence.
A message that the receiver sends back to be sent again later (``overloaded``, ``unavailable``) holds all later ones.
Nothing waits for ever: each message has a time to live, each request a deadline, and giving up tells the receiver.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agentguard.channel.envelope import Answer, Envelope, Wants, decode_envelope, digest, encode_envelope, new_id
from agentguard.channel.frame import Ack, Cancel, Credit, Nack, NackCode
from agentguard.channel.limits import Limits
from agentguard.channel.trace import current_trace
from agentguard.errors import AgentGuardError, ChannelError, DeliveryFailed, FrameError, Overloaded

if TYPE_CHECKING:
    from agentguard.channel.connection import Connection
    from agentguard.channel.journal import Journal
    from agentguard.channel.spiffe import SpiffeId

__all__ = ["Link", "Outbound"]

# The receiver said so itself: sending it again changes nothing.
_FINAL = {NackCode.DENIED, NackCode.EXPIRED, NackCode.TOO_LARGE, NackCode.UNKNOWN_TOPIC, NackCode.REPLAYED}
# What a message costs beside its payload, in the peer's window.
DEFAULT_TTL_S = 60.0
DEFAULT_TIMEOUT_S = 30.0


class Outbound(Protocol):
    """What a link needs of its endpoint."""

    def permit(self, link: Link, topic: str, size: int) -> None:
        """Raises Denied when policy forbids it."""

    def wanted(self, link: Link) -> None:
        """There is something to send and no connection that is up."""

    def failed(self, link: Link, envelope: Envelope, reason: str) -> None:
        """A message was given up."""


@dataclass(slots=True, eq=False)
class _Outgoing:
    envelope: Envelope
    payload: bytes
    deadline: float
    done: asyncio.Future[bytes]
    stream: _ReplyStream | None = None
    # On the current connection, and not sent back since.
    is_sent: bool = False
    is_kept: bool = False
    is_ready: bool = True
    attempts: int = 0

    @property
    def is_over(self) -> bool:
        return self.done.done()


class _ReplyStream:
    """Pieces of a streamed reply that its reader has not taken yet; bounded by the window the sender was given."""

    def __init__(self, window: int) -> None:
        self.index = 0
        self.is_whole = False
        self._window = window
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._taken = 0
        self._came: asyncio.Future[None] | None = None

    def add(self, answer: Answer, payload: bytes) -> None:
        """Raises FrameError when the sender breaks the rules."""
        if self.is_whole or answer.index != self.index:
            raise FrameError("got a piece of a streamed reply out of order")
        self.index += 1
        self._held += len(payload)
        if self._held + self._taken > self._window:
            raise FrameError("got more of a streamed reply than was asked for")
        if payload:
            self._pieces.append(payload)
        self.is_whole = answer.last
        self.wake()

    def wake(self) -> None:
        if self._came is not None and not self._came.done():
            self._came.set_result(None)

    async def piece(self, done: asyncio.Future[bytes]) -> tuple[bytes | None, int]:
        """The next piece and how much the sender may send anew; None at the end. Raises what ``done`` failed with."""
        while not self._pieces:
            if done.done():
                done.result()
                return None, 0
            self._came = asyncio.get_running_loop().create_future()
            await self._came
        piece = self._pieces.popleft()
        self._held -= len(piece)
        self._taken += len(piece)
        if self._taken < self._window // 4:
            return piece, 0
        grant, self._taken = self._taken, 0
        return piece, grant


class Link:
    """The way to one receiver; made by ``AgentClient.peer`` or ``AgentServer.peer``.

    ``receiver`` is the SPIFFE ID messages go to. All methods are for the event loop's thread.
    """

    def __init__(
        self, *, sender: SpiffeId, receiver: SpiffeId, epoch: bytes, limits: Limits, outbound: Outbound,
        journal: Journal | None = None,
    ) -> None:  # fmt: skip
        self.receiver = receiver
        self.connection: Connection | None = None
        self._sender = str(sender)
        self._receiver = str(receiver)
        self._epoch = epoch
        self._limits = limits
        self._outbound = outbound
        self._journal = journal
        self._loop = asyncio.get_running_loop()
        self._sequence = 0
        self._skipped = 0
        self._entries: dict[bytes, _Outgoing] = {}
        self._unsent: deque[_Outgoing] = deque()
        self._room: deque[asyncio.Future[None]] = deque()
        self._flying = 0
        self._flying_bytes = 0
        self._resume_at = 0.0
        self._resume: asyncio.TimerHandle | None = None
        self._is_closed = False

    # -- for applications --------------------------------------------------------------------------------------------

    async def send(
        self, topic: str, payload: bytes, *, ttl: float = DEFAULT_TTL_S, durable: bool = False,
        behalf: str | None = None,
    ) -> None:  # fmt: skip
        """Send and wait until the receiver has handled and recorded it.

        Args:
            ttl: seconds for which delivery is tried, across reconnects.
            durable: keep it in the state database until then, so that it survives this process too.
            behalf: the user whom this agent acts for.

        Raises:
            Denied: policy forbids it, here.
            DeliveryFailed: the receiver refused it, or ``ttl`` passed; ``reason`` says which.
            Overloaded: the receiver had no room for it in time.
        """
        entry = await self._submit(topic, payload, Wants.ACK, ttl, behalf, durable=durable)
        try:
            await entry.done
        except asyncio.CancelledError:
            self._give_up(entry, None)
            raise

    async def request(
        self, topic: str, payload: bytes, *, timeout: float = DEFAULT_TIMEOUT_S, behalf: str | None = None
    ) -> bytes:
        """Send and wait for the reply. Giving up, by ``timeout`` (seconds) or cancellation, stops the other side too.

        Raises:
            Denied, DeliveryFailed, Overloaded: as ``send``.
        """
        entry = await self._submit(topic, payload, Wants.REPLY, timeout, behalf)
        try:
            return await entry.done
        except asyncio.CancelledError:
            self._give_up(entry, None)
            raise

    async def stream(
        self, topic: str, payload: bytes, *, timeout: float = DEFAULT_TIMEOUT_S, behalf: str | None = None
    ) -> AsyncIterator[bytes]:
        """Send and iterate over the pieces of the reply as they come. Leaving the loop stops the other side.

        Raises:
            Denied, DeliveryFailed, Overloaded: as ``send``; ``truncated`` when the connection ended in the middle.
        """
        entry = await self._submit(topic, payload, Wants.STREAM, timeout, behalf)
        pieces = entry.stream or _ReplyStream(0)
        try:
            while True:
                piece, grant = await pieces.piece(entry.done)
                if piece is None:
                    return
                if grant and not entry.is_over and self.connection is not None:
                    self.connection.send(Credit(entry.envelope.id, grant))
                yield piece
        finally:
            if not entry.is_over:
                self._give_up(entry, None)

    async def resume(self) -> int:
        """Take up what an earlier process kept for this receiver and did not deliver; returns how many.

        Raises:
            ChannelError: there is no state database, or messages were sent before.
            StoreError: it cannot be read.
        """
        if self._journal is None or self._sequence:
            raise ChannelError("call resume() first, on an endpoint with a journal")
        now = self._loop.time()
        stored = await self._journal.undelivered(self._receiver)
        for each in stored:
            envelope = decode_envelope(each.header)
            left = (envelope.created + envelope.ttl) / 1000 - time.time()
            entry = _Outgoing(envelope, each.payload, now + max(0.0, left), self._future(), is_kept=True)
            self._entries[envelope.id] = entry
            self._unsent.append(entry)
        self.pump()
        return len(stored)

    @property
    def pending(self) -> int:
        """Messages that are not acknowledged yet."""
        return len(self._entries)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way on the current connection."""
        return self._flying == 0

    # -- submitting --------------------------------------------------------------------------------------------------

    async def _submit(
        self, topic: str, payload: bytes, wants: int, ttl: float, behalf: str | None, *, durable: bool = False
    ) -> _Outgoing:
        limits = self._limits
        if len(payload) > limits.max_message:
            raise DeliveryFailed(
                f"the message has {len(payload)} bytes; at most {limits.max_message} are sent", reason="too-large"
            )
        if not 0 < ttl <= limits.max_ttl_s:
            raise ChannelError(f"a message may live up to {limits.max_ttl_s:g} s; got {ttl!r}")
        if durable and self._journal is None:
            raise ChannelError("a durable message needs a state database; give the endpoint a journal")
        self._outbound.permit(self, topic, len(payload))
        deadline = self._loop.time() + ttl
        while len(self._entries) >= limits.outbox:
            await self._wait_for_room(deadline)
        if self._is_closed:
            raise ChannelError("the endpoint is closed")
        envelope = self._envelope(topic, payload, wants, ttl, behalf, has_digest=durable)
        entry = _Outgoing(envelope, payload, deadline, self._future())
        if wants == Wants.STREAM:
            entry.stream = _ReplyStream(limits.stream_window)
        self._entries[envelope.id] = entry
        self._unsent.append(entry)
        if durable and self._journal is not None:
            await self._keep(entry, self._journal)
        self.pump()
        return entry

    def _envelope(
        self, topic: str, payload: bytes, wants: int, ttl: float, behalf: str | None, *, has_digest: bool
    ) -> Envelope:
        self._sequence += 1
        trace = current_trace()
        if trace is not None:
            trace = trace.child()
        return Envelope(
            new_id(),
            self._sender,
            self._receiver,
            topic,
            wants,
            time.time_ns() // 1_000_000,
            int(ttl * 1000),
            self._epoch,
            self._sequence,
            self._skipped,
            len(payload),
            digest(payload) if has_digest else b"",
            trace.traceparent if trace else "",
            trace.state if trace else "",
            behalf or "",
        )

    async def _keep(self, entry: _Outgoing, journal: Journal) -> None:
        entry.is_ready, entry.is_kept = False, True
        try:
            await journal.keep(entry.envelope, encode_envelope(entry.envelope), entry.payload)
        except BaseException:
            entry.is_kept = False
            self._give_up(entry, None)
            raise
        entry.is_ready = True

    async def _wait_for_room(self, deadline: float) -> None:
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._room.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        except TimeoutError as error:
            raise Overloaded(f"{self._receiver} did not take earlier messages in time; send less at once") from error
        finally:
            if not waiter.done():
                self._room.remove(waiter)

    def _future(self) -> asyncio.Future[bytes]:
        return self._loop.create_future()

    # -- sending -----------------------------------------------------------------------------------------------------

    def attach(self, connection: Connection) -> None:
        """Send over this connection from now on; what the last one left unacknowledged goes again."""
        if self.connection is not connection:
            self._rewind_all()
            self.connection = connection
        self.pump()

    def detach(self, connection: Connection, reason: str) -> None:
        """The connection is gone, or takes nothing new."""
        if self.connection is not connection:
            return
        self.connection = None
        self._rewind_all()
        if self._entries:
            self._outbound.wanted(self)

    def pump(self) -> None:
        """Send what the receiver has room for."""
        connection = self.connection
        if connection is None:
            if self._unsent:
                self._outbound.wanted(self)
            return
        if not connection.is_up:
            return  # it drains; what is left goes over the next one, in order
        if self._resume_at:
            if self._loop.time() < self._resume_at:
                return
            self._resume_at = 0.0
        hello = connection.hello
        while self._unsent and connection.is_writable:
            entry = self._unsent[0]
            if entry.is_over:
                self._unsent.popleft()
                continue
            size = len(entry.payload)
            if size > hello.max_message:
                self._unsent.popleft()
                self._fail(
                    entry, DeliveryFailed(f"{self._receiver} takes {hello.max_message} bytes", reason="too-large")
                )
                continue
            if (
                not entry.is_ready
                or self._flying >= hello.window_messages
                or self._flying_bytes + size > hello.window_bytes
            ):
                return
            self._unsent.popleft()
            self._fly(connection, entry)

    def _fly(self, connection: Connection, entry: _Outgoing) -> None:
        entry.is_sent = True
        entry.attempts += 1
        self._flying += 1
        self._flying_bytes += len(entry.payload)
        envelope = entry.envelope
        if envelope.skipped < self._skipped and envelope.epoch == self._epoch:
            fields = {name: getattr(envelope, name) for name in envelope.__struct_fields__}
            envelope = entry.envelope = Envelope(**{**fields, "skipped": self._skipped})
        connection.send_message(envelope, entry.payload, is_alone=self._flying == 1)

    def _rewind_all(self) -> None:
        self._flying = self._flying_bytes = 0
        self._resume_at = 0.0
        for entry in list(self._entries.values()):
            entry.is_sent = False
            if entry.is_over:
                del self._entries[entry.envelope.id]
            elif entry.stream is not None and entry.stream.index:
                self._fail(entry, DeliveryFailed("the connection ended in the middle of the reply", reason="truncated"))
        self._unsent = deque(self._entries.values())

    def _rewind(self, sequence: int) -> None:
        """The receiver took nothing from ``sequence`` on: all of it goes again, in order."""
        for entry in list(self._entries.values()):
            if entry.is_sent and entry.envelope.epoch == self._epoch and entry.envelope.sequence > sequence:
                self._land(entry)
                if entry.is_over:
                    self._drop(entry)
        self._unsent = deque(entry for entry in self._entries.values() if not entry.is_sent)

    def _land(self, entry: _Outgoing) -> None:
        if entry.is_sent:
            entry.is_sent = False
            self._flying -= 1
            self._flying_bytes -= len(entry.payload)

    # -- what comes back ---------------------------------------------------------------------------------------------

    def acked(self, connection: Connection, ack: Ack) -> None:
        """Raises FrameError when acknowledgements come for nothing, too often."""
        for id in ack.ids:
            entry = self._entries.get(id)
            if entry is None or entry.envelope.wants != Wants.ACK:
                connection.spend_control()
                continue
            self._settle(entry, b"")
        self.pump()

    def answered(self, connection: Connection, answer: Answer, payload: bytes) -> None:
        """Raises FrameError when a reply comes for nothing, too often, or a streamed one breaks the rules."""
        entry = self._entries.get(answer.correlation)
        if entry is None or entry.envelope.wants == Wants.ACK or not entry.is_sent:
            connection.spend_control()
            return
        if entry.stream is None:
            if not answer.last or answer.index:
                raise FrameError("got a streamed reply to a request for a whole one")
            self._settle(entry, payload)
        elif entry.is_over:
            if answer.last:
                self._settle(entry, b"")
            return
        else:
            entry.stream.add(answer, payload)
            if not answer.last:
                return
            self._settle(entry, b"")
            entry.stream.wake()
        if self._unsent:
            self.pump()

    def nacked(self, connection: Connection, nack: Nack) -> None:
        """Raises FrameError when refusals come for nothing, too often."""
        entry = self._entries.get(nack.id)
        if entry is None:
            connection.spend_control()
            return
        self._land(entry)
        if nack.code in (NackCode.OVERLOADED, NackCode.UNAVAILABLE):
            self._rewind(entry.envelope.sequence)
            self._hold(nack.retry_after / 1000)
        gives_up = nack.code is NackCode.HANDLER_ERROR and (
            entry.envelope.wants != Wants.ACK or entry.attempts > self._limits.handler_retries
        )
        if entry.is_over:
            self._drop(entry)
        elif gives_up or nack.code in _FINAL:
            self._fail(entry, _failure(nack, self._receiver))
        else:
            self._unsent = deque(each for each in self._entries.values() if not each.is_sent)
        self.pump()

    def _hold(self, seconds: float) -> None:
        self._resume_at = self._loop.time() + seconds
        if self._resume is not None:
            self._resume.cancel()
        self._resume = self._loop.call_later(seconds + 0.001, self.pump)

    # -- the end of a message ----------------------------------------------------------------------------------------

    def _settle(self, entry: _Outgoing, payload: bytes) -> None:
        self._land(entry)
        if not entry.done.done():
            entry.done.set_result(payload)
        self._drop(entry)

    def _fail(self, entry: _Outgoing, error: AgentGuardError) -> None:
        """End a message without success. One that is under way stays until the receiver has let go of it."""
        if not entry.done.done():
            reason = error.reason if isinstance(error, DeliveryFailed) else error.code
            self._outbound.failed(self, entry.envelope, reason)
            entry.done.set_exception(error)
            entry.done.exception()  # one that nobody waits for any more was recorded above
        if entry.stream is not None:
            entry.stream.wake()
        if not entry.is_sent:
            self._drop(entry)

    def _give_up(self, entry: _Outgoing, error: AgentGuardError | None) -> None:
        if entry.is_sent and self.connection is not None:
            self.connection.send(Cancel(entry.envelope.id))
        if error is not None:
            self._fail(entry, error)
        else:
            entry.done.cancel()
            if not entry.is_sent:
                self._drop(entry)

    def _drop(self, entry: _Outgoing) -> None:
        if self._entries.pop(entry.envelope.id, None) is None:
            return
        gave_up = entry.done.cancelled() or entry.done.exception() is not None
        if gave_up and entry.envelope.epoch == self._epoch:
            # Perhaps never taken: later ones must not wait for it over there.
            self._skipped = max(self._skipped, entry.envelope.sequence)
        if len(self._unsent) > 2 * len(self._entries) + 64:
            self._unsent = deque(each for each in self._unsent if not each.is_over)
        if entry.is_kept and self._journal is not None:
            self._journal.delivered(entry.envelope.id)
        while self._room:
            waiter = self._room.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break

    def tick(self, now: float) -> None:
        """Give up what is too old."""
        for entry in list(self._entries.values()):
            if now >= entry.deadline and not entry.is_over:
                self._give_up(entry, self._too_late(entry))

    def _too_late(self, entry: _Outgoing) -> AgentGuardError:
        connection = self.connection
        if entry.attempts == 0 and connection is not None and connection.is_up:
            return Overloaded(f"{self._receiver} had no room for the message in time; send less at once")
        reason = "expired" if entry.envelope.wants == Wants.ACK else "timeout"
        if connection is None:
            reason = "unreachable"
        return DeliveryFailed(f"{self._receiver} did not answer in time ({reason})", reason=reason)

    def fail_all(self, error: AgentGuardError) -> None:
        """The receiver cannot be reached at all."""
        for entry in list(self._entries.values()):
            if not entry.is_over:
                self._fail(entry, error)

    def close(self) -> None:
        """Give everything up; durable messages stay in the database."""
        self._is_closed = True
        if self._resume is not None:
            self._resume.cancel()
        for entry in list(self._entries.values()):
            entry.is_kept = False
            entry.is_sent = False
            if not entry.is_over:
                self._fail(entry, DeliveryFailed("the endpoint was closed", reason="closed"))


def _failure(nack: Nack, receiver: str) -> AgentGuardError:
    reason = nack.reason or nack.code.value
    return DeliveryFailed(f"{receiver} refused the message: {nack.code.value} ({reason})", reason=nack.code.value)
