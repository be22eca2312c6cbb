"""The receiving side: every message is checked, taken at most once, handled in order, recorded and acknowledged.

Order of checks: name, block list, size, time, rate, policy, replay window; then content, handler, record, ACK. Messages
of one sender are handled one after the other, unless their topic was registered as concurrent: those start in order.
A message is handled at least once; its effect happens exactly once when the handler records the message in its own
transaction (``Journal.record_in``), or is idempotent.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from agentguard.channel.admission import TokenBucket
from agentguard.channel.checks import Checks, Inspect
from agentguard.channel.connection import Connection
from agentguard.channel.envelope import Answer, Envelope, Message, Wants, digest
from agentguard.channel.frame import Ack, Cancel, Credit, Nack, NackCode
from agentguard.channel.limits import CLOCK_SKEW_S, Limits
from agentguard.channel.trace import TraceContext
from agentguard.channel.window import Outcome, Replayed, Taken, Window
from agentguard.errors import AgentGuardError, Denied, FrameError

if TYPE_CHECKING:
    from agentguard.channel.identity import IdentitySource
    from agentguard.channel.journal import Journal

__all__ = ["Handler", "Inbox"]

_log = logging.getLogger("agentguard.channel")

Handler: TypeAlias = Callable[[Message], "Awaitable[bytes | None] | AsyncIterator[bytes]"]

# Identities whose rate is remembered.
MAX_RATED = 4096
ACKS_TOGETHER = 32
# How long a sender that was sent back waits before it sends again.
RETRY_AFTER_S = 0.25


@dataclass(frozen=True, slots=True)
class _Topic:
    handler: Handler
    idempotent: bool
    concurrent: bool


@dataclass(slots=True, eq=False)
class _Work:
    """One accepted message on its way through its handler. ``connection`` is the newest one it was asked on."""

    connection: Connection
    envelope: Envelope
    payload: bytes
    taken: Taken
    lane: _Lane
    topic: _Topic
    deadline: float
    task: asyncio.Task[None] | None = None
    is_cancelled: bool = False
    credit: int = 0
    credit_came: asyncio.Future[None] | None = None

    def cancel(self) -> None:
        if not self.is_cancelled:
            self.is_cancelled = True
            if self.task is not None:
                self.task.cancel()


@dataclass(slots=True, eq=False)
class _Lane:
    """What came from one start of one sender. ``until``: wall-clock time after which nothing of it can come again."""

    sender: str
    epoch: bytes
    window: Window = field(default_factory=Window)
    queue: deque[_Work] = field(default_factory=deque)
    works: dict[bytes, _Work] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    until: float = 0.0
    # Messages that came before the lane was read from the journal; None once it was.
    waiting: list[tuple[Connection, Envelope, bytes]] | None = None


@dataclass(slots=True)
class _Rate:
    messages: TokenBucket
    bytes: TokenBucket


class Inbox:
    """Everything that one endpoint receives.

    Args:
        source: says who is blocked.
        inspect: checks the content; None hands payloads on as they came.
        journal: remembers across restarts what was handled; None keeps it in memory.
        wall_clock: seconds since 1970.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        checks: Checks,
        source: IdentitySource,
        inspect: Inspect | None = None,
        journal: Journal | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.held_bytes = 0
        self._limits = limits
        self._checks = checks
        self._source = source
        self._inspect = inspect
        self._journal = journal
        self._wall_clock = wall_clock
        self._loop = asyncio.get_running_loop()
        self._topics: dict[str, _Topic] = {}
        self._lanes: dict[tuple[str, bytes], _Lane] = {}
        self._rates: OrderedDict[str, _Rate] = OrderedDict()
        self._works: dict[tuple[str, bytes], _Work] = {}
        self._acks: dict[Connection, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def on(self, topic: str, handler: Handler, *, idempotent: bool = False, concurrent: bool = False) -> None:
        """Handle messages about ``topic``."""
        self._topics[topic] = _Topic(handler, idempotent, concurrent)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being handled."""
        return not self._works

    # -- a message comes ---------------------------------------------------------------------------------------------

    def came(self, connection: Connection, envelope: Envelope, payload: bytes) -> None:
        """Check a message and take it, or say why not.

        Raises:
            FrameError: the peer broke the rules of the connection.
        """
        connection.unacked_messages += 1
        connection.unacked_bytes += envelope.size
        limits = self._limits
        if connection.unacked_messages > limits.window_messages or connection.unacked_bytes > limits.window_bytes:
            raise FrameError("got more messages than the window allows")
        if self._is_blocked(connection):
            self._checks.record("block-list-hit", payload, reason="blocked", **_about(connection, envelope))
            connection.fail("blocked", "")
            return
        refusal = self._refusal(connection, envelope, payload)
        if refusal is not None:
            self._refuse(connection, envelope, *refusal, payload)
            return
        key = (connection.peer_name, envelope.epoch)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._new_lane(key)
            if lane is None:
                self._refuse(connection, envelope, NackCode.OVERLOADED, "too-many-starts", payload)
                return
        lane.until = max(lane.until, (envelope.created + envelope.ttl) / 1000 + CLOCK_SKEW_S)
        if lane.waiting is not None:
            lane.waiting.append((connection, envelope, payload))
        else:
            self._judge(lane, connection, envelope, payload)

    def _is_blocked(self, connection: Connection) -> bool:
        try:
            return self._source.blocked(connection.peer.spiffe_id, connection.peer.serial)
        except AgentGuardError:
            return True  # not known is refused

    def _refusal(self, connection: Connection, envelope: Envelope, payload: bytes) -> tuple[NackCode, str] | None:
        sender, receiver = connection.peer.spiffe_id, connection.identity.spiffe_id
        if envelope.sender != connection.peer_name:
            return NackCode.DENIED, "spoofed-sender"
        if envelope.receiver != connection.own_name:
            return NackCode.DENIED, "wrong-receiver"
        if envelope.digest and digest(payload) != envelope.digest:
            return NackCode.DENIED, "digest-mismatch"
        now = self._wall_clock()
        created, ttl = envelope.created / 1000, envelope.ttl / 1000
        if ttl > self._limits.max_ttl_s:
            return NackCode.DENIED, "ttl-too-long"
        if created > now + CLOCK_SKEW_S:
            return NackCode.DENIED, "clock-skew"
        if created + ttl + CLOCK_SKEW_S < now:
            return NackCode.EXPIRED, "expired"
        refused = self._checks.refusal(sender, receiver, envelope.topic, envelope.size)
        if refused is not None:
            return NackCode.DENIED, refused[0]
        if envelope.topic not in self._topics:
            return NackCode.UNKNOWN_TOPIC, "unknown-topic"
        return None

    def _new_lane(self, key: tuple[str, bytes]) -> _Lane | None:
        if sum(sender == key[0] for sender, _ in self._lanes) >= self._limits.starts_per_identity:
            return None
        lane = self._lanes[key] = _Lane(*key)
        if self._journal is not None:
            lane.waiting = []
            self._spawn(self._restore(lane, self._journal))
        return lane

    async def _restore(self, lane: _Lane, journal: Journal) -> None:
        try:
            for taken in await journal.handled_before(lane.sender, lane.epoch):
                lane.window.restore(taken)
        except AgentGuardError as error:
            _log.error("what was handled before cannot be read: %s", error)
            waiting, lane.waiting = lane.waiting or [], None
            del self._lanes[lane.sender, lane.epoch]
            for connection, envelope, payload in waiting[:1]:
                self._refuse(connection, envelope, NackCode.UNAVAILABLE, "journal-unavailable", payload)
            for connection, envelope, _ in waiting[1:]:
                self._forget(connection, envelope)
            return
        waiting, lane.waiting = lane.waiting or [], None
        for connection, envelope, payload in waiting:
            self._judge(lane, connection, envelope, payload)

    def _judge(self, lane: _Lane, connection: Connection, envelope: Envelope, payload: bytes) -> None:
        try:
            known = lane.window.judge(envelope)
        except Replayed as error:
            if error.reason == "held":
                # Its sender knows: it was told of the earlier one, and sends all from there on again.
                self._forget(connection, envelope)
            else:
                self._refuse(connection, envelope, NackCode.REPLAYED, error.reason, payload)
            return
        if known is not None and known.outcome is not Outcome.FAILED:
            self._again(lane, connection, envelope, known)
            return
        if (lane.sender, envelope.id) in self._works:
            self._refuse(connection, envelope, NackCode.REPLAYED, "id-reused", payload)
            return
        busy = self._busy(lane, envelope)
        if busy is not None:
            if known is None:
                lane.window.hold = envelope.sequence
            self._nack(connection, envelope, NackCode.OVERLOADED, busy[0], retry_after=busy[1])
            self._checks.record("limit-hit", payload, reason=busy[0], **_about(connection, envelope))
            return
        if known is None:
            known = lane.window.take(envelope)
        known.outcome = Outcome.RUNNING
        self._queue(lane, connection, envelope, payload, known)

    def _busy(self, lane: _Lane, envelope: Envelope) -> tuple[str, float] | None:
        if self._is_closing:
            return "closing", 1.0
        if self.held_bytes + envelope.size > self._limits.inbound_budget:
            return "inbound-budget", RETRY_AFTER_S
        now = self._loop.time()
        rate = self._rate(lane.sender, now)
        if not rate.messages.take(now):
            return "rate", rate.messages.wait(1)
        if not rate.bytes.take(now, envelope.size):
            return "rate", rate.bytes.wait(envelope.size)
        return None

    def _rate(self, sender: str, now: float) -> _Rate:
        rate = self._rates.get(sender)
        if rate is None:
            limits = self._limits
            rate = self._rates[sender] = _Rate(
                TokenBucket(limits.messages_per_s, 2 * limits.messages_per_s, now),
                # One message of full length must fit, or it could never be sent.
                TokenBucket(limits.bytes_per_s, max(2 * limits.bytes_per_s, limits.max_message), now),
            )
            if len(self._rates) > MAX_RATED:
                self._rates.popitem(last=False)
        return rate

    def _again(self, lane: _Lane, connection: Connection, envelope: Envelope, known: Taken) -> None:
        """A duplicate: answered as before, never handled again."""
        work = lane.works.get(known.id)
        if work is not None:
            # Still running: whoever asked last is told. The earlier asking needs no answer any more.
            if work.connection is connection:
                self._forget(connection, envelope)
            else:
                self._forget(work.connection, work.envelope)
                work.connection = connection
        elif known.outcome is Outcome.REFUSED:
            self._nack(connection, envelope, NackCode(known.code), known.reason)
        elif envelope.wants == Wants.ACK:
            self._ack(connection, envelope)
        elif known.reply is not None and envelope.wants == Wants.REPLY:
            self._forget(connection, envelope)
            connection.send_message(Answer(known.id, len(known.reply)), known.reply)
        else:
            self._nack(connection, envelope, NackCode.REPLAYED, "reply-gone")

    # -- a message is handled ----------------------------------------------------------------------------------------

    def _queue(self, lane: _Lane, connection: Connection, envelope: Envelope, payload: bytes, taken: Taken) -> None:
        topic = self._topics[envelope.topic]
        deadline = self._loop.time() + envelope.ttl / 1000
        work = _Work(connection, envelope, payload, taken, lane, topic, deadline)
        work.credit = connection.hello.stream_window
        self.held_bytes += envelope.size
        lane.works[taken.id] = self._works[lane.sender, taken.id] = work
        lane.queue.append(work)
        if lane.task is None:
            # Kept by its lane: a callback at its end would cost one more turn of the loop per message.
            lane.task = self._loop.create_task(self._drain(lane))

    async def _drain(self, lane: _Lane) -> None:
        try:
            while lane.queue:
                work = lane.queue.popleft()
                if work.topic.concurrent:
                    work.task = self._spawn(self._serve(work))
                else:
                    work.task = lane.task
                    await self._serve(work)
        finally:
            lane.task = None
            if lane.queue and not self._is_closing:
                lane.task = self._loop.create_task(self._drain(lane))

    async def _serve(self, work: _Work) -> None:
        """Run one message's handler and answer. Cancelling the task cancels this message only."""
        try:
            reply = await self._handled(work)
        except asyncio.CancelledError:
            task = work.task
            if not work.is_cancelled or task is None:
                self._finished(work, Outcome.FAILED, NackCode.UNAVAILABLE, "closing")
                raise
            task.uncancel()
            self._finished(work, Outcome.FAILED, NackCode.EXPIRED, "cancelled")
        except Denied as refusal:
            reason = refusal.decision.reason or "denied"
            self._checks.record("deny", work.payload, reason=reason, **_about(work.connection, work.envelope))
            self._finished(work, Outcome.REFUSED, NackCode.DENIED, reason)
        except Exception as error:  # noqa: BLE001  # a handler that breaks costs its own message only
            _log.error("the handler of %r failed: %s", work.envelope.topic, type(error).__name__, exc_info=error)
            self._finished(work, Outcome.FAILED, NackCode.HANDLER_ERROR, "handler-error")
        else:
            if work.is_cancelled and work.task is not None:
                # The handler finished although it was told to stop; the next message must not be hit by that.
                work.task.uncancel()
            self._succeeded(work, reply)

    async def _handled(self, work: _Work) -> bytes | None:
        envelope = work.envelope
        if not work.connection.is_writable:
            # Whoever does not read its replies gets no more of them made.
            await work.connection.drained()
        if work.is_cancelled or (envelope.wants != Wants.ACK and self._loop.time() >= work.deadline):
            work.is_cancelled = True
            raise asyncio.CancelledError
        message = _message(work)
        if self._inspect is not None:
            message = await self._inspect(message)
        if message.trace is None:
            result = await self._result(work, message)
        else:
            with message.trace.active():
                result = await self._result(work, message)
        if envelope.wants != Wants.REPLY:
            return None
        if not isinstance(result, bytes):
            raise TypeError(f"a handler answers a request with bytes, got {type(result).__name__}")
        if len(result) > work.connection.hello.max_message:
            raise ValueError(f"the reply has {len(result)} bytes, the peer takes {work.connection.hello.max_message}")
        return result

    async def _result(self, work: _Work, message: Message) -> Any:
        result: Any = work.topic.handler(message)
        if inspect.isawaitable(result):
            result = await result
        if work.envelope.wants == Wants.STREAM:
            await self._stream(work, result)
        return result

    async def _stream(self, work: _Work, result: Any) -> None:
        """Send a streamed reply piece by piece, no faster than its reader takes it."""
        pieces: AsyncIterator[bytes] = _one(result) if isinstance(result, bytes) else aiter(result)
        index = 0
        try:
            async for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    room = await self._stream_room(work)
                    part = bytes(rest[:room])
                    rest = rest[room:]
                    work.credit -= len(part)
                    work.connection.send_message(Answer(work.envelope.id, len(part), index, False), part)
                    index += 1
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()
        work.connection.send_message(Answer(work.envelope.id, 0, index, True), b"")

    async def _stream_room(self, work: _Work) -> int:
        await work.connection.drained()
        while work.credit <= 0:
            work.credit_came = self._loop.create_future()
            await work.credit_came
        return min(work.credit, 64 * 1024)

    # -- a message is answered ---------------------------------------------------------------------------------------

    def _succeeded(self, work: _Work, reply: bytes | None) -> None:
        journal = self._journal
        if work.topic.idempotent or journal is None or journal.has_recorded(work.envelope.id):
            self._acknowledge(work, reply)
            return
        recorded = journal.record(work.envelope, reply)

        def written(done: asyncio.Future[None]) -> None:
            if done.cancelled() or done.exception() is not None:
                # Without a record it may be handled again after a restart, so its sender is not told it is done.
                self._finished(work, Outcome.FAILED, NackCode.HANDLER_ERROR, "not-recorded")
            else:
                self._acknowledge(work, reply)

        recorded.add_done_callback(written)

    def _acknowledge(self, work: _Work, reply: bytes | None) -> None:
        envelope, connection = work.envelope, work.connection
        self._done(work, Outcome.HANDLED)
        if envelope.wants == Wants.ACK:
            self._ack(connection, envelope)
            return
        self._forget(connection, envelope)
        if reply is not None:
            work.lane.window.keep_reply(work.taken, reply)
            connection.send_message(Answer(envelope.id, len(reply)), reply, is_alone=connection.unacked_messages == 0)

    def _finished(self, work: _Work, outcome: Outcome, code: NackCode, reason: str) -> None:
        self._done(work, outcome)
        work.taken.code, work.taken.reason = code.value, reason
        self._nack(work.connection, work.envelope, code, reason)

    def _done(self, work: _Work, outcome: Outcome) -> None:
        work.taken.outcome = outcome
        self.held_bytes -= work.envelope.size
        work.lane.works.pop(work.taken.id, None)
        self._works.pop((work.lane.sender, work.taken.id), None)

    def _refuse(self, connection: Connection, envelope: Envelope, code: NackCode, reason: str, payload: bytes) -> None:
        """Raises FrameError when the peer goes on sending what is refused."""
        self._checks.record("deny", payload, reason=reason, **_about(connection, envelope))
        self._nack(connection, envelope, code, reason)
        connection.spend_control()

    def _nack(
        self, connection: Connection, envelope: Envelope, code: NackCode, reason: str, *, retry_after: float = 0.0
    ) -> None:
        self._forget(connection, envelope)
        connection.send(Nack(envelope.id, code, reason[:64], min(int(retry_after * 1000) + 1, 2**32 - 1)))

    def _ack(self, connection: Connection, envelope: Envelope) -> None:
        self._forget(connection, envelope)
        waiting = self._acks.get(connection)
        if waiting is None:
            self._acks[connection] = [envelope.id]
            self._loop.call_soon(self._flush_acks, connection)
            return
        waiting.append(envelope.id)
        if len(waiting) >= ACKS_TOGETHER:
            connection.send(Ack(waiting.copy()))
            waiting.clear()

    def _flush_acks(self, connection: Connection) -> None:
        waiting = self._acks.pop(connection, None)
        if waiting:
            connection.send(Ack(waiting))

    def _forget(self, connection: Connection, envelope: Envelope) -> None:
        """The peer has room for one message more."""
        connection.unacked_messages -= 1
        connection.unacked_bytes -= envelope.size

    # -- what else a peer says ---------------------------------------------------------------------------------------

    def cancelled(self, connection: Connection, cancel: Cancel) -> None:
        """Nobody waits for the reply any more."""
        work = self._works.get((connection.peer_name, cancel.id))
        if work is not None and work.connection is connection:
            work.cancel()

    def credited(self, connection: Connection, credit: Credit) -> None:
        """The reader of a streamed reply takes more.

        Raises:
            FrameError: there is no such stream, too often.
        """
        work = self._works.get((connection.peer_name, credit.stream))
        if work is None or work.connection is not connection or work.envelope.wants != Wants.STREAM:
            connection.spend_control()
            return
        work.credit = min(work.credit + credit.bytes, connection.hello.stream_window)
        if work.credit_came is not None and not work.credit_came.done():
            work.credit_came.set_result(None)

    def down(self, connection: Connection) -> None:
        """A connection ended: replies that were being streamed over it have no reader; other messages go on."""
        self._acks.pop(connection, None)
        for work in list(self._works.values()):
            if work.connection is connection and work.envelope.wants == Wants.STREAM:
                work.cancel()

    # -- time and the end --------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Cancel requests whose time is over."""
        for work in list(self._works.values()):
            if now >= work.deadline and work.envelope.wants != Wants.ACK:
                work.cancel()

    def purge(self) -> None:
        """Forget senders of whom nothing can come again."""
        now = self._wall_clock()
        for key, lane in list(self._lanes.items()):
            if now > lane.until and not lane.works and lane.waiting is None:
                del self._lanes[key]

    async def close(self, timeout: float) -> None:
        """Take nothing new, finish what is under way for up to ``timeout`` seconds, then cancel it."""
        self._is_closing = True
        until = self._loop.time() + timeout
        while self._works and self._loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        tasks = {*self._tasks, *(lane.task for lane in self._lanes.values() if lane.task is not None)}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=timeout + 1.0)

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _message(work: _Work) -> Message:
    envelope, connection = work.envelope, work.connection
    return Message(
        envelope.id,
        connection.peer.spiffe_id,
        connection.identity.spiffe_id,
        envelope.topic,
        work.payload,
        envelope.created / 1000,
        work.deadline,
        envelope,
        envelope.behalf or None,
        TraceContext.parse(envelope.trace, envelope.trace_state) if envelope.trace else None,
        connection.peer.address,
    )


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


def _about(connection: Connection, envelope: Envelope) -> dict[str, Any]:
    """What a record says of a message: never its payload. The sender is what was presented, not what it claims."""
    peer = connection.peer
    return {
        "peer": connection.peer_name,
        "peer.serial": f"{peer.serial:x}",
        "client.address": peer.address,
        "topic": envelope.topic,
        "message.id": envelope.id.hex(),
        "payload.length": envelope.size,
    }
