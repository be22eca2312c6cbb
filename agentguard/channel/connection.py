"""One mutual-TLS connection: frames in and out, and every limit that does not need to know what a message says.

A connection is up only after both HELLOs, since a TLS 1.3 client is done before the server has judged its certificate.
The peer is checked before a byte is read or written. Frames written in one turn of the event loop go out together.
An end without GOAWAY is abnormal, whatever TLS says: asyncio reports the same end with and without close_notify.
"""

from __future__ import annotations

import asyncio
import enum
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, cast

import msgspec

from agentguard.channel.admission import TokenBucket
from agentguard.channel.envelope import Answer, Assembler, Envelope, body_parts
from agentguard.channel.frame import (
    ANSWER,
    CONTINUED,
    MAX_CONTROL_BODY,
    Ack,
    Cancel,
    Control,
    Credit,
    Frame,
    FrameDecoder,
    FrameType,
    Goaway,
    Hello,
    Nack,
    Ping,
    decode_control,
    encode_header,
    encode_start,
)
from agentguard.channel.limits import HIGH_WATER, Limits
from agentguard.channel.tls import Peer, check_peer, refused_handshake
from agentguard.errors import ChannelError, FrameError, PeerRefused

if TYPE_CHECKING:
    from agentguard.channel.identity import Identity, IdentitySource
    from agentguard.channel.spiffe import SpiffeId

__all__ = ["Connection", "Owner", "State", "address_text"]

# One read takes what TLS has, up to this; shared by all connections of an endpoint.
SCRATCH_BYTES = 256 * 1024
# Frames gathered in one turn of the loop are written at the latest here.
GATHER_BYTES = 64 * 1024

_ENCODER = msgspec.msgpack.Encoder()


class State(enum.Enum):
    """Where a connection stands. ``DRAINING``: a GOAWAY was sent or came; what is under way is finished."""

    TLS = "tls"
    HELLO = "hello"
    UP = "up"
    DRAINING = "draining"
    CLOSED = "closed"


class Owner(Protocol):
    """What a connection tells its endpoint. Called on the event loop; must not raise."""

    def peer_known(self, connection: Connection, peer: Peer) -> str | None:
        """The peer passed every check of its certificate; a text is the reason to refuse it all the same."""

    def peer_refused(self, connection: Connection, refusal: PeerRefused) -> None: ...

    def connection_up(self, connection: Connection) -> None: ...

    def connection_down(self, connection: Connection, reason: str) -> None: ...

    def message_came(self, connection: Connection, envelope: Envelope, payload: bytes) -> None: ...

    def answer_came(self, connection: Connection, answer: Answer, payload: bytes) -> None: ...

    def ack_came(self, connection: Connection, ack: Ack) -> None: ...

    def nack_came(self, connection: Connection, nack: Nack) -> None: ...

    def credit_came(self, connection: Connection, credit: Credit) -> None: ...

    def cancel_came(self, connection: Connection, cancel: Cancel) -> None: ...

    def goaway_came(self, connection: Connection, goaway: Goaway) -> None: ...

    def writable(self, connection: Connection) -> None: ...


class Connection(asyncio.BufferedProtocol):
    """The protocol of one TLS transport.

    Args:
        identity: our own, as of the context of this connection.
        source: says who is blocked.
        owner: is told what happens.
        limits: bounds.
        expected: identities a client means to reach; None on the side that accepts.
        scratch: where bytes are read into; connections of one loop share it, since it is emptied before the next read.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        source: IdentitySource,
        owner: Owner,
        limits: Limits,
        expected: frozenset[SpiffeId] | None,
        scratch: memoryview,
    ) -> None:
        self.identity = identity
        self.limits = limits
        self.state = State.TLS
        self.is_client = expected is not None
        # How many of the peer's messages are not yet acknowledged.
        self.unacked_messages = 0
        self.unacked_bytes = 0
        self.is_writable = True
        self.close_reason = ""
        # Whether the other side said GOAWAY.
        self.is_asked_to_go = False
        self.address = ""
        # The two names as they stand in envelopes.
        self.own_name = str(identity.spiffe_id)
        self.peer_name = ""
        self._source = source
        self._owner = owner
        self._expected = expected
        self._scratch = scratch
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None
        # What the peer takes; the least until it has said so.
        self.hello = Hello(1, 1, MAX_CONTROL_BODY, 1, 1)
        self._decoder = FrameDecoder(max_body=MAX_CONTROL_BODY)
        self._assembler = Assembler(max_message=limits.max_message)
        self._sequence = 0
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._corked = False
        self._turn_scheduled = False
        self._told_down = False
        self._drained: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        now = self._loop.time()
        self._controls = TokenBucket(limits.controls_per_s, limits.controls_per_s, now)
        self._heard = now
        self._pinged = 0
        self._hello_until: float | None = None
        self._frame_until: float | None = None
        self._frame_begun = 0
        self._frame_since = 0.0
        self._message_until: float | None = None
        self._drain_until: float | None = None
        self._old_at = now + limits.max_age_s

    # -- what others look at -----------------------------------------------------------------------------------------

    @property
    def peer(self) -> Peer:
        """The verified other side.

        Raises:
            ChannelError: the handshake is not done, or was refused.
        """
        if self._peer is None:
            raise ChannelError("the connection has no verified peer yet")
        return self._peer

    @property
    def is_up(self) -> bool:
        """Whether messages may be sent."""
        return self.state is State.UP

    @property
    def is_closed(self) -> bool:
        """Whether nothing is read or written any more."""
        return self.state is State.CLOSED

    @property
    def is_armed(self) -> bool:
        """Whether a deadline runs that is looked at in short steps."""
        return not (
            self._hello_until is None
            and self._frame_until is None
            and self._message_until is None
            and self._drain_until is None
        )

    # -- asyncio's calls ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.address = address_text(transport.get_extra_info("peername"))
        try:
            self._peer = check_peer(
                transport.get_extra_info("ssl_object"),
                self.identity,
                self._source,
                expected=self._expected,
                address=self.address,
            )
            self.peer_name = str(self._peer.spiffe_id)
            reason = self._owner.peer_known(self, self._peer)
            if reason is not None:
                raise PeerRefused(reason, str(self._peer.spiffe_id))
        except PeerRefused as refusal:
            self._told_down = True
            self._owner.peer_refused(self, refusal)
            self.abort(refusal.reason)
            return
        now = self._loop.time()
        left = (min(self._peer.not_after, self.identity.not_after) - datetime.now(UTC)).total_seconds()
        # What is under way is finished while both certificates are still good.
        self._old_at = now + max(0.0, min(self.limits.max_age_s, left - min(self.limits.drain_s, left / 2)))
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self.state = State.HELLO
        self._hello_until = now + self.limits.hello_s
        limits = self.limits
        self.send(
            Hello(
                limits.window_messages, limits.window_bytes, limits.max_body, limits.max_message, limits.stream_window
            )
        )

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        if self.state is State.CLOSED:
            return
        now = self._heard = self._loop.time()
        self._pinged = 0
        self._corked = True
        try:
            for frame in self._decoder.feed(self._scratch[:nbytes]):
                self._frame(frame)
                if self.is_closed:
                    return
            if self._decoder.failure is not None:
                raise self._decoder.failure
        except FrameError as error:
            self.fail("frame-invalid", str(error))
            return
        finally:
            self._corked = False
            self._flush()
        if not self._decoder.partial:
            self._frame_until = None
        else:
            if self._frame_until is None or self._frame_begun != self._decoder.last:
                self._frame_begun, self._frame_since = self._decoder.last, now
            self._frame_until = self._frame_since + self.limits.body_time(self._decoder.awaited)

    def eof_received(self) -> None:
        if not self.close_reason:
            self.close_reason = "truncated"

    def pause_writing(self) -> None:
        self.is_writable = False
        self._drain_until = self._loop.time() + self.limits.drain_s

    def resume_writing(self) -> None:
        self.is_writable = True
        self._drain_until = None
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None
        self._owner.writable(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = State.CLOSED
        if not self.close_reason:
            self.close_reason = "truncated" if exc is None else "connection-lost"
            if isinstance(exc, ssl.SSLError):
                self.close_reason = refused_handshake(exc).reason
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if not self._closed.done():
            self._closed.set_result(None)
        self._tell_down()

    # -- sending -----------------------------------------------------------------------------------------------------

    def send(self, control: Control, *, pong: bool = False) -> None:
        """Queue a control frame."""
        kind = FrameType.PONG if pong else _TYPES[type(control)]
        self._put(kind, 0, (_ENCODER.encode(control),))
        self._written()

    def send_message(self, header: Envelope | Answer, payload: bytes, *, is_alone: bool = False) -> None:
        """Queue a message, in several frames when it is longer than the peer takes in one.

        ``is_alone``: no other message is likely to follow in this turn of the loop, so it goes out at once.
        """
        head = _ENCODER.encode(header)
        length = 2 + len(head) + len(payload)
        if length <= self.hello.max_body:
            if self.state is State.CLOSED:
                return
            self._sequence += 1
            flags = ANSWER if type(header) is Answer else 0
            self._out += (encode_start(self._sequence, length, flags, len(head)), head, payload)
            self._out_bytes += length
        else:
            for flags, parts in body_parts(header, payload, self.hello.max_body):
                self._put(FrameType.MSG, flags, parts)
        self._written(is_alone)

    async def drained(self) -> None:
        """Wait until the peer reads again. Returns at once when it does, or when the connection is closed."""
        if self.is_writable or self.state is State.CLOSED:
            return
        if self._drained is None:
            self._drained = self._loop.create_future()
        await asyncio.shield(self._drained)

    def _put(self, kind: FrameType, flags: int, parts: tuple[bytes, ...]) -> None:
        if self.state is State.CLOSED:
            return
        self._sequence += 1
        length = sum(map(len, parts))
        self._out.append(encode_header(kind, self._sequence, length, flags))
        self._out.extend(parts)
        self._out_bytes += length

    def _written(self, is_alone: bool = False) -> None:
        """Flush now, or at the end of this turn of the loop together with what else is written until then."""
        if self._out_bytes >= GATHER_BYTES or (is_alone and not self._corked and not self._turn_scheduled):
            self._flush()
        elif not self._corked and not self._turn_scheduled:
            self._turn_scheduled = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._turn_scheduled = False
        self._flush()

    def _flush(self) -> None:
        if not self._out or self._transport is None:
            return
        data = b"".join(self._out)
        self._out.clear()
        self._out_bytes = 0
        if self.state is not State.CLOSED:
            self._transport.write(data)

    # -- receiving ---------------------------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> None:
        kind = frame.type
        if kind is FrameType.MSG:
            self._message(frame)
        elif kind is FrameType.ACK:
            self._owner.ack_came(self, decode_control(Ack, frame.body))
        elif kind is FrameType.NACK:
            self._owner.nack_came(self, decode_control(Nack, frame.body))
        elif kind is FrameType.CREDIT:
            self._owner.credit_came(self, decode_control(Credit, frame.body))
        elif kind is FrameType.HELLO:
            self._opened(decode_control(Hello, frame.body))
        else:
            self.spend_control()
            self._control(frame)

    def _control(self, frame: Frame) -> None:
        if frame.type is FrameType.PING:
            self.send(decode_control(Ping, frame.body), pong=True)
        elif frame.type is FrameType.PONG:
            decode_control(Ping, frame.body)
        elif frame.type is FrameType.CANCEL:
            self._owner.cancel_came(self, decode_control(Cancel, frame.body))
        else:
            goaway = decode_control(Goaway, frame.body)
            self.is_asked_to_go = True
            self.close_reason = self.close_reason or goaway.code[:64] or "closing"
            if self.state is State.UP:
                self.state = State.DRAINING
            self._owner.goaway_came(self, goaway)

    def spend_control(self) -> None:
        """Count one control frame that nothing paid for.

        Raises:
            FrameError: they come too fast.
        """
        if not self._controls.take(self._loop.time()):
            raise FrameError("got too many control frames")

    def _opened(self, hello: Hello) -> None:
        self.hello = hello
        self._hello_until = None
        self._decoder.max_body = self.limits.max_body
        if self.state is State.HELLO:
            self.state = State.UP
            self._owner.connection_up(self)

    def _message(self, frame: Frame) -> None:
        found = self._assembler.add(frame)
        if found is None:
            if not frame.flags & CONTINUED:
                self._message_until = self._loop.time() + self.limits.body_time(self._assembler.awaited)
            return
        self._message_until = None
        header, payload = found
        if type(header) is Answer:
            self._owner.answer_came(self, header, payload)
        elif type(header) is Envelope:
            self._owner.message_came(self, header, payload)

    # -- time --------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Look at every deadline."""
        if self.state is State.CLOSED:
            return
        for until, reason in (
            (self._hello_until, "hello-timeout"),
            (self._frame_until, "body-timeout"),
            (self._message_until, "body-timeout"),
            (self._drain_until, "drain-timeout"),
        ):
            if until is not None and now >= until:
                self.fail(reason, "")
                return
        quiet = now - self._heard
        if quiet >= self.limits.dead_s:
            self.fail("peer-silent", "")
        elif self.state is State.UP and now >= self._old_at:
            self.goaway("age")
        elif quiet >= self.limits.ping_s * (self._pinged + 1):
            self._pinged += 1
            self.send(Ping(self._pinged))

    # -- the end -----------------------------------------------------------------------------------------------------

    def goaway(self, code: str) -> None:
        """Announce the end: nothing new is sent, what is under way is finished by the endpoint, which then closes."""
        if self.state in (State.UP, State.HELLO):
            self.state = State.DRAINING
            self.close_reason = self.close_reason or code
            self.send(Goaway(self._decoder.last, code))
            self._owner.goaway_came(self, Goaway(self._decoder.last, code))

    def fail(self, code: str, message: str) -> None:
        """Say why, once, and end at once. Unsent bytes are dropped."""
        if self.state is not State.CLOSED:
            self.close_reason = code
            if self.is_writable and self._peer is not None:
                self.send(Goaway(self._decoder.last, code, message[:256]))
                self._flush()
            self.abort(code)

    def close(self) -> None:
        """End in order: what was written goes out, for as long as the close time allows."""
        self._flush()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._loop.call_later(self.limits.close_s, self._abort_late)

    def abort(self, reason: str) -> None:
        """End now."""
        self.close_reason = self.close_reason or reason
        self.state = State.CLOSED
        if self._transport is not None:
            self._transport.abort()
        self._tell_down()

    def _tell_down(self) -> None:
        if not self._told_down:
            self._told_down = True
            self._owner.connection_down(self, self.close_reason)

    def _abort_late(self) -> None:
        if not self._closed.done() and self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the transport is gone, at most the close time."""
        await asyncio.wait({self._closed}, timeout=self.limits.close_s + 1.0)


_TYPES: dict[type, FrameType] = {
    Hello: FrameType.HELLO,
    Ack: FrameType.ACK,
    Nack: FrameType.NACK,
    Credit: FrameType.CREDIT,
    Ping: FrameType.PING,
    Goaway: FrameType.GOAWAY,
    Cancel: FrameType.CANCEL,
}


def address_text(name: object) -> str:
    """``host:port`` of a socket's peer name; "" when there is none."""
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) and len(name) >= 2 else ""
