"""Messages between two real endpoints: delivered, in order, at least once, and given up in time on both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from agentguard.channel.envelope import Message
from agentguard.channel.frame import FrameType, NackCode
from agentguard.channel.limits import Limits
from agentguard.channel.trace import TraceContext, current_trace
from agentguard.errors import ChannelError, ConfigError, DeliveryFailed, Denied, Overloaded
from tests.channel.forge import RESEARCHER, WRITER
from tests.channel.pairs import FAST, denied, echo, pair, until
from tests.channel.raw import raw_peer


async def test_a_request_is_answered_and_a_message_acknowledged() -> None:
    seen: list[Message] = []

    async def note(message: Message) -> None:
        seen.append(message)

    async with pair({"echo": echo, "note": note}) as p:
        assert await p.link.request("echo", b"hi", behalf="anna") == b"hi"
        await p.link.send("note", b"one way", behalf="anna")

    assert [(m.payload, str(m.sender), str(m.receiver), m.behalf) for m in seen] == [
        (b"one way", RESEARCHER, WRITER, "anna")
    ]
    assert seen[0].address.startswith("127.0.0.1:")
    assert p.server_records.of("connect")[0]["peer"] == RESEARCHER
    assert p.client_records.of("connect")[0]["peer"] == WRITER
    assert p.server_records.reasons("disconnect") == ["closing"]


@pytest.mark.parametrize("size", [0, 1, 65_536, 1024 * 1024, 2 * 1024 * 1024])
async def test_payloads_of_any_permitted_size(size: int) -> None:
    async with pair() as p:
        assert await p.link.request("echo", bytes(size)) == bytes(size)


async def test_a_payload_over_the_limit_is_refused_before_it_is_sent() -> None:
    async with pair() as p:
        with pytest.raises(DeliveryFailed) as refused:
            await p.link.request("echo", bytes(2 * 1024 * 1024 + 1))

    assert refused.value.reason == "too-large"


async def test_a_streamed_reply_comes_piece_by_piece_and_no_faster_than_it_is_read() -> None:
    """The writer of the stream waits for its reader: at most one window is under way."""
    made: list[int] = []

    async def numbers(message: Message) -> AsyncIterator[bytes]:
        for number in range(64):
            made.append(number)
            yield bytes([number]) * 1024

    limits = replace(FAST, stream_window=8 * 1024)
    async with pair({"numbers": numbers}, limits=limits) as p:
        found = []
        async for piece in p.link.stream("numbers", b""):
            found.append(piece)
            if len(found) == 1:
                await asyncio.sleep(0.2)
                assert len(made) <= 10

    assert b"".join(found) == b"".join(bytes([n]) * 1024 for n in range(64))


async def test_leaving_a_stream_stops_the_other_side() -> None:
    ended = asyncio.Event()

    async def endless(message: Message) -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"on and on"
                await asyncio.sleep(0.001)
        finally:
            ended.set()

    async with pair({"endless": endless}) as p:
        stream = p.link.stream("endless", b"")
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]  # a generator
        await asyncio.wait_for(ended.wait(), 5)
        await until(lambda: p.link.pending == 0)


async def test_messages_of_one_sender_are_handled_in_order_one_after_the_other() -> None:
    begun: list[int] = []
    running = 0

    async def slow(message: Message) -> bytes:
        nonlocal running
        running += 1
        assert running == 1
        begun.append(int(message.payload))
        await asyncio.sleep(0.001)
        running -= 1
        return b""

    async with pair({"slow": slow}) as p:
        await asyncio.gather(*(p.link.request("slow", b"%d" % n) for n in range(200)))

    assert begun == list(range(200))


async def test_concurrent_topics_run_side_by_side() -> None:
    gate = asyncio.Event()

    async def wait(message: Message) -> bytes:
        if message.payload == b"last":
            gate.set()
        await gate.wait()
        return message.payload

    async with pair({"wait": wait}, concurrent=True) as p:
        found = await asyncio.gather(*(p.link.request("wait", name) for name in (b"first", b"last")))

    assert found == [b"first", b"last"]


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_giving_up_cancels_the_handler_and_only_that_one(how: str) -> None:
    """Whoever stops waiting stops the work too; the next message of the same sender is handled as ever."""
    stopped = asyncio.Event()

    async def stuck(message: Message) -> bytes:
        try:
            await asyncio.sleep(3600)
        finally:
            stopped.set()
        return b""

    async with pair({"stuck": stuck, "echo": echo}) as p:
        if how == "timeout":
            with pytest.raises(DeliveryFailed) as late:
                await p.link.request("stuck", b"", timeout=0.2)
            assert late.value.reason == "timeout"
        else:
            task = asyncio.create_task(p.link.request("stuck", b""))
            await until(lambda: p.link.pending)
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.wait_for(stopped.wait(), 5)
        assert await p.link.request("echo", b"next") == b"next"
        await until(lambda: p.link.pending == 0)


async def test_a_handler_that_swallows_its_cancellation_hurts_nobody_else() -> None:
    async def stubborn(message: Message) -> bytes:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return b"as I like"
        return b""

    async with pair({"stubborn": stubborn, "echo": echo}) as p:
        with pytest.raises(DeliveryFailed):
            await p.link.request("stubborn", b"", timeout=0.1)
        for _ in range(3):
            assert await p.link.request("echo", b"next") == b"next"


async def test_a_failing_handler_is_an_error_for_a_request_and_tried_again_for_a_message() -> None:
    calls = 0

    async def broken(message: Message) -> bytes:
        nonlocal calls
        calls += 1
        raise RuntimeError("secret detail")

    async with pair({"broken": broken}) as p:
        with pytest.raises(DeliveryFailed, match="handler-error") as failed:
            await p.link.request("broken", b"")
        assert calls == 1
        assert "secret" not in str(failed.value)
        with pytest.raises(DeliveryFailed):
            await p.link.send("broken", b"")

    assert calls == 1 + 1 + FAST.handler_retries
    assert p.client_records.reasons("delivery-failed") == ["handler-error", "handler-error"]


async def test_an_unknown_topic_is_refused() -> None:
    async with pair() as p:
        with pytest.raises(DeliveryFailed) as refused:
            await p.link.request("nonsense", b"")

    assert refused.value.reason == "unknown-topic"


@pytest.mark.parametrize("side", ["sender", "receiver"])
@pytest.mark.parametrize("answer", ["deny", "raise", "slow", "nonsense"])
async def test_either_side_alone_refuses_what_policy_does_not_permit(side: str, answer: str) -> None:
    """Deny, an error, a late answer and an answer of the wrong type are all a no; each is recorded."""
    handled: list[bytes] = []

    async def note(message: Message) -> bytes:
        handled.append(message.payload)
        return b""

    def policy(sender: object, receiver: object, topic: str, size: int) -> object:
        if topic != "forbidden":
            return None
        if answer == "raise":
            raise RuntimeError("broken")
        if answer == "slow":
            import time

            time.sleep(0.15)  # what a policy that blocks does to the loop
            return None
        return denied() if answer == "deny" else "yes"

    async with pair({"forbidden": note}, **{f"{'client' if side == 'sender' else 'server'}_authorize": policy}) as p:  # type: ignore[arg-type]
        with pytest.raises(Denied if side == "sender" else DeliveryFailed):
            await p.link.request("forbidden", b"")

    assert handled == []
    reason = {"deny": "message-not-permitted", "slow": "authorize-timeout"}.get(answer, "authorize-failed")
    records = p.client_records if side == "sender" else p.server_records
    assert records.reasons("deny") == [reason]


async def test_a_sender_over_its_rate_is_slowed_down_and_loses_nothing() -> None:
    """A retryable refusal holds the later messages of the pair: order stays, each is handled once."""
    handled: list[int] = []

    async def note(message: Message) -> None:
        handled.append(int(message.payload))

    limits = replace(FAST, messages_per_s=100.0)
    async with pair({"note": note}, limits=limits) as p:
        await asyncio.gather(*(p.link.send("note", b"%d" % n) for n in range(260)))

    assert handled == list(range(260))
    assert "rate" in p.server_records.reasons("limit-hit")


async def test_a_receiver_that_stays_busy_is_overloaded_at_the_deadline() -> None:
    gate = asyncio.Event()

    async def stuck(message: Message) -> bytes:
        await gate.wait()
        return b""

    limits = replace(FAST, window_messages=2, outbox=4)
    async with pair({"stuck": stuck}, limits=limits) as p:
        waiting = [asyncio.create_task(p.link.request("stuck", b"", timeout=10)) for _ in range(2)]
        await until(lambda: p.link.pending == 2)
        with pytest.raises(Overloaded):
            await p.link.request("stuck", b"", timeout=0.2)
        more = [asyncio.create_task(p.link.request("stuck", b"", timeout=10)) for _ in range(2)]
        await until(lambda: p.link.pending == 4)
        with pytest.raises(Overloaded):
            await p.link.request("stuck", b"", timeout=0.2)
        gate.set()
        assert await asyncio.gather(*waiting, *more) == [b""] * 4


async def test_nobody_there_is_told_at_the_deadline_and_a_late_start_still_gets_the_message() -> None:
    async with pair() as p:
        host, _port = p.server.address
        lost = p.client.peer(host, 1, WRITER)
        with pytest.raises(DeliveryFailed) as unreachable:
            await lost.request("echo", b"", timeout=0.3)
        assert unreachable.value.reason == "unreachable"
        with pytest.raises(ChannelError):
            await p.client.connect(host, 1, WRITER)


async def test_the_trace_goes_on_in_what_a_handler_sends() -> None:
    seen: list[TraceContext | None] = []

    async def note(message: Message) -> bytes:
        seen.append(current_trace())
        return b""

    start = TraceContext.start()
    async with pair({"note": note}) as p:
        with start.active():
            await p.link.request("note", b"")
        await p.link.request("note", b"")

    assert seen[0] is not None
    assert (seen[0].trace_id, seen[0].span_id != start.span_id) == (start.trace_id, True)
    assert seen[1] is None


@pytest.mark.parametrize(
    ("parent", "valid"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", False),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", False),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", False),
        ("", False),
    ],
)
def test_trace_parents_are_read_as_the_standard_says(parent: str, valid: bool) -> None:
    found = TraceContext.parse(parent)

    assert (found is not None) is valid
    assert found is None or found.traceparent == parent


async def test_a_server_sends_to_a_peer_that_came() -> None:
    got: list[bytes] = []

    async def note(message: Message) -> None:
        got.append(message.payload)

    async with pair() as p:
        p.client.on("note", note)
        waiting = asyncio.create_task(p.server.peer(RESEARCHER).send("note", b"early"))
        await p.link.request("echo", b"")
        await waiting
        await p.server.peer(RESEARCHER).send("note", b"later")

    assert got == [b"early", b"later"]


async def test_closing_finishes_what_is_under_way() -> None:
    async def slow(message: Message) -> bytes:
        await asyncio.sleep(0.3)
        return b"done"

    async with pair({"slow": slow}) as p:
        asked = asyncio.create_task(p.link.request("slow", b""))
        await until(lambda: p.server.connections and not p.server.inbox.is_idle)
        await p.server.close(timeout=5)
        assert await asked == b"done"

    assert p.client_records.reasons("disconnect") == ["closing"]


async def test_a_connection_in_age_is_replaced_without_loss() -> None:
    """GOAWAY, drain, reconnect: requests go on over the next connection."""
    async with pair(limits=replace(FAST, max_age_s=0.3)) as p:
        for _ in range(60):
            assert await p.link.request("echo", b"x") == b"x"
            await asyncio.sleep(0.05)

    assert len(p.server_records.of("connect")) >= 2
    assert set(p.server_records.reasons("disconnect")) <= {"age", "closing"}


@pytest.mark.parametrize("handled", [False, True])
async def test_a_cut_connection_is_made_again_and_the_message_handled_once(handled: bool) -> None:
    """Killed while the handler runs, or after it: the duplicate is answered, not handled again."""
    calls = 0

    async def count(message: Message) -> bytes:
        nonlocal calls
        calls += 1
        if handled:
            p.server.connections[0].abort("killed")
        else:
            await asyncio.sleep(0.2)
        return b"%d" % calls

    async with pair({"count": count}) as p:
        asked = asyncio.create_task(p.link.request("count", b""))
        if not handled:
            await until(lambda: calls)
            p.server.connections[0].abort("killed")
        assert await asked == b"1"

    assert calls == 1


async def test_limits_that_contradict_each_other_are_refused() -> None:
    for fields in ({"max_message": 8 * 1024 * 1024}, {"max_body": 2**32}, {"hello_s": 0}, {"dead_s": 5.0}):
        with pytest.raises(ConfigError):
            Limits(**fields)


# -- replay, reordering, spoofing: a peer with a good certificate and a bad mind ---------------------------------------


async def test_a_duplicate_gets_the_same_answer_and_is_handled_once() -> None:
    calls: list[bytes] = []

    async def note(message: Message) -> bytes:
        calls.append(message.payload)
        return b"reply"

    async with pair({"echo": note}) as p, raw_peer(p.server.address) as peer:
        sent = peer.message(1, wants=1)
        first = await peer.take(FrameType.MSG)
        for _ in range(2):
            peer.message(1, wants=1, id=sent.id)
            assert (await peer.take(FrameType.MSG)).body == first.body
        # And over another connection.
        async with raw_peer(p.server.address) as other:
            other.message(1, wants=1, id=sent.id, epoch=peer.epoch)
            assert (await other.take(FrameType.MSG)).body == first.body

    assert calls == [b"x"]


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        pytest.param({"sender": WRITER}, NackCode.DENIED, "spoofed-sender", id="spoofed-sender"),
        pytest.param({"sender": RESEARCHER + "/2"}, NackCode.DENIED, "spoofed-sender", id="other-instance"),
        pytest.param({"receiver": RESEARCHER}, NackCode.DENIED, "wrong-receiver", id="meant-for-another"),
        pytest.param({"digest": bytes(32)}, NackCode.DENIED, "digest-mismatch", id="digest-mismatch"),
        pytest.param({"created": 0}, NackCode.EXPIRED, "expired", id="from-1970"),
        pytest.param({"created": "-1h"}, NackCode.EXPIRED, "expired", id="clock-an-hour-behind"),
        pytest.param({"created": "+1h"}, NackCode.DENIED, "clock-skew", id="clock-an-hour-ahead"),
        pytest.param({"ttl": 2**32 - 1}, NackCode.DENIED, "ttl-too-long", id="ttl-of-weeks"),
        pytest.param({"sequence": 4}, NackCode.REPLAYED, "reordered", id="reordered"),
        pytest.param({"sequence": 5}, NackCode.REPLAYED, "id-reused", id="sequence-reused"),
        pytest.param({"sequence": 6, "id": "same"}, NackCode.REPLAYED, "id-reused", id="id-reused"),
        pytest.param({"topic": "other"}, NackCode.UNKNOWN_TOPIC, "unknown-topic", id="unknown-topic"),
    ],
)
async def test_messages_that_lie_are_refused_and_recorded(
    fields: dict[str, object], code: NackCode, reason: str
) -> None:
    import time

    handled: list[bytes] = []

    async def note(message: Message) -> None:
        handled.append(message.payload)

    async with pair({"echo": note}) as p, raw_peer(p.server.address) as peer:
        first = peer.message(5, payload=b"honest")
        await peer.take(FrameType.ACK)
        if isinstance(fields.get("created"), str):
            fields = {"created": int((time.time() + (3700 if fields["created"] == "+1h" else -3700)) * 1000)}
        if fields.get("id") == "same":
            fields = {**fields, "id": first.id}
        peer.message(**{"sequence": 6, "payload": b"lie", **fields})  # type: ignore[arg-type]
        nack = await peer.nack()

    assert (nack.code, nack.reason) == (code, reason)
    assert handled == [b"honest"]
    assert p.server_records.reasons("deny") == [reason]
    assert p.server_records.of("deny")[0]["peer"] == RESEARCHER


async def test_what_is_older_than_the_window_is_refused_not_guessed() -> None:
    async with pair() as p, raw_peer(p.server.address) as peer:
        first = peer.message(1)
        await peer.take(FrameType.ACK)
        peer.message(5000)
        await peer.take(FrameType.ACK)
        for n in range(4100):
            peer.message(5001 + n)
            await peer.take(FrameType.ACK)
        peer.message(1, id=first.id)
        nack = await peer.nack()

    assert (nack.code, nack.reason) == (NackCode.REPLAYED, "out-of-window")


async def test_a_sender_cannot_open_starts_without_end() -> None:
    limits = replace(FAST, starts_per_identity=4)
    async with pair(limits=limits) as p, raw_peer(p.server.address) as peer:
        for n in range(5):
            peer.message(1, epoch=bytes([n]) * 16)
        nack = await peer.nack()

    assert (nack.code, nack.reason) == (NackCode.OVERLOADED, "too-many-starts")
