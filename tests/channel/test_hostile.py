"""Slow, silent, flooding and broken peers: bounded memory and time, and the others are served meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
import struct
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from agentguard.channel import client_context
from agentguard.channel.admission import Admission, TokenBucket, source_of
from agentguard.channel.delivery import Link
from agentguard.channel.envelope import Answer, body_parts
from agentguard.channel.frame import MAX_BODY, FrameType, Hello
from agentguard.channel.limits import Limits
from agentguard.errors import ChannelError, DeliveryFailed
from agentguard.testing import FakeClock
from tests.channel.forge import RESEARCHER, WRITER
from tests.channel.pairs import FAST, FORGE, pair, until
from tests.channel.raw import HELLO, RawPeer, raw_peer
from tests.channel.transport_attackers import ATTACKS, QUICK, Attack, play

# -- before TLS ------------------------------------------------------------------------------------------------------


async def test_a_thousand_silent_sockets_are_cut_off_and_a_good_peer_is_served_meanwhile() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    async with pair(limits=QUICK) as p:
        await p.link.request("echo", b"before")
        silent = []
        for _ in range(1000):
            each = socket.socket()
            each.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                each.connect(p.server.address)
            silent.append(each)
        for _ in range(20):
            assert await p.link.request("echo", b"meanwhile") == b"meanwhile"
        for each in silent:
            each.close()
        await until(lambda: len(p.server.connections) == 1)
        assert await p.link.request("echo", b"after") == b"after"

    assert set(p.server_records.reasons("refuse")) <= {"handshake-timeout", "handshake-aborted", "handshake-failed"}


async def test_handshakes_of_one_source_are_bounded_and_do_not_shut_out_others() -> None:
    limits = replace(QUICK, handshakes=64, handshakes_per_source=8, handshake_s=5.0)
    async with pair(limits=limits) as p:
        silent = [await asyncio.open_connection(*p.server.address) for _ in range(12)]
        await until(lambda: len(p.server_records.of("refuse")) >= 4)
        for _, writer in silent:
            writer.close()

    assert p.server_records.reasons("refuse")[:4] == ["too-many-handshakes-from-source"] * 4


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="plain-http"),
        pytest.param(b"\x16\x03\x01" + b"\xff" * 200, id="garbage-record"),
        pytest.param(b"\x00" * 64, id="zeros"),
    ],
)
async def test_what_is_no_tls_is_refused_and_recorded(data: bytes) -> None:
    async with pair(limits=QUICK) as p:
        reader, writer = await asyncio.open_connection(*p.server.address)
        writer.write(data)
        with contextlib.suppress(OSError):
            assert b"agentguard" not in await reader.read()
        writer.close()
        await until(lambda: p.server_records.of("refuse"))

    (refusal,) = p.server_records.of("refuse")
    assert refusal["presented"] is None
    assert str(refusal["client.address"]).startswith("127.0.0.1:")


def test_the_bucket_of_a_source_is_asked_before_everybodys() -> None:
    """One source cannot spend the common bucket; a quarter of that is kept for addresses known to be good."""
    clock = FakeClock()
    gate = Admission(Limits(accepts_per_s=8, accepts_per_source_per_s=4, handshakes=10_000), clock)
    gate.enter("10.0.0.9")
    gate.leave("10.0.0.9", authenticated=True)
    clock.advance(10)

    def knock(address: str) -> str | None:
        reason = gate.enter(address)
        if reason is None:
            gate.leave(address, authenticated=False)
        return reason

    assert [knock("10.0.0.1") for _ in range(5)] == [None] * 4 + ["source-too-fast"]
    assert [knock(f"10.0.1.{n}") for n in range(3)] == [None, None, "too-many-connects"]
    assert knock("10.0.0.9") is None


def test_sources_cost_bounded_memory() -> None:
    clock = FakeClock()
    gate = Admission(Limits(handshakes=100_000), clock)

    for number in range(10_000):
        gate.enter(f"2001:db8:{number:x}::1")
        clock.advance(1)

    assert len(gate._sources) <= 4096


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("no address", "no address"),
    ],
)
def test_one_host_with_many_addresses_is_one_source(address: str, source: str) -> None:
    assert source_of(address) == source


def test_a_clock_stepping_back_mints_no_tokens() -> None:
    bucket = TokenBucket(1.0, 2.0, now=100.0)
    assert bucket.take(100.0)
    assert bucket.take(100.0)

    assert not bucket.take(50.0)
    assert not bucket.take(50.5)
    assert bucket.take(51.0)


# -- after TLS, before HELLO -----------------------------------------------------------------------------------------


async def test_a_peer_that_never_says_hello_is_cut_off() -> None:
    async with pair(limits=QUICK) as p, raw_peer(p.server.address, hello=None) as peer:
        assert await peer.ended()

    assert p.server_records.reasons("disconnect") == ["hello-timeout"]


@pytest.mark.parametrize("kind", [FrameType.MSG, FrameType.PING, FrameType.ACK])
async def test_nothing_is_taken_before_hello(kind: FrameType) -> None:
    async with pair(limits=QUICK) as p, raw_peer(p.server.address, hello=None) as peer:
        peer.put(kind, b"")
        assert await peer.ended()

    assert p.server_records.reasons("disconnect") == ["frame-invalid"]


async def test_a_hello_larger_than_4_kib_is_not_waited_for() -> None:
    async with pair(limits=QUICK) as p, raw_peer(p.server.address, hello=None) as peer:
        peer.writer.write(struct.pack("!IBBHQ", 5000, 1, 1, 0, 1))
        assert await peer.ended()


# -- with a good certificate and a bad mind --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "what", "reason"), ATTACKS, ids=[name for name, _, _ in ATTACKS])
async def test_rules_broken_by_a_peer_end_its_connection_and_no_other(name: str, what: Attack, reason: str) -> None:
    reasons, served = await play(what)

    assert reasons == [reason]
    assert served >= 20


async def test_one_byte_per_tick_is_no_frame_in_time() -> None:
    async with pair(limits=QUICK) as p, raw_peer(p.server.address) as peer:
        data = struct.pack("!IBBHQ", 100, 1, 2, 0, 2) + bytes(100)
        with contextlib.suppress(OSError):
            for byte in data:
                peer.writer.write(bytes([byte]))
                await asyncio.sleep(0.05)
                if peer.writer.transport.is_closing():
                    break
        await until(lambda: p.server_records.of("disconnect"))

    assert p.server_records.reasons("disconnect") == ["body-timeout"]


async def test_a_peer_that_never_reads_is_cut_off_with_bounded_memory() -> None:
    """Replies of 60 MB are asked for and not read: what waits for it is one write buffer, not 60 MB."""
    handled = 0

    async def large(message: object) -> bytes:
        nonlocal handled
        handled += 1
        return bytes(1024 * 1024)

    async with pair({"large": large}, limits=replace(QUICK, drain_s=2.0, dead_s=10.0)) as p:
        server = p.server

        async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = RawPeer(reader, writer)
            peer.put(FrameType.HELLO, HELLO)
            await peer.take(FrameType.HELLO)
            reader._transport.pause_reading()  # type: ignore[attr-defined]  # this peer reads no more
            for number in range(60):
                peer.message(number + 1, topic="large", wants=1)

        raw = socket.create_connection(server.address)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        context = client_context(FORGE.source(RESEARCHER).current())
        reader, writer = await asyncio.open_connection(sock=raw, ssl=context, server_hostname="")
        await ask(reader, writer)
        await until(lambda: server.connections and not server.connections[0].is_writable)
        await asyncio.sleep(0.5)
        assert handled < 20
        await until(lambda: p.server_records.of("disconnect"))
        writer.transport.abort()

    assert p.server_records.reasons("disconnect") == ["drain-timeout"]


async def test_a_stream_sent_without_credit_is_cut_off() -> None:
    """A server that streams faster than it was asked to: the client's memory is bounded too."""

    class Pushy:
        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = RawPeer(reader, writer)
            peer.put(FrameType.HELLO, Hello(64, 2**22, MAX_BODY, 2**22, 1024))
            frame = await peer.take(FrameType.MSG)
            from agentguard.channel.envelope import read_body

            header, _ = read_body(frame.body, answer=False)
            for index in range(64):
                for flags, parts in body_parts(Answer(header.id, 64 * 1024, index, False), bytes(65536), 1 << 20):  # type: ignore[union-attr]
                    peer.put(FrameType.MSG, b"".join(parts), flags)
            with contextlib.suppress(OSError):
                await reader.read()
            writer.transport.abort()

    from agentguard.channel import server_context

    context = server_context(FORGE.source(WRITER).current())
    async with pair() as p:
        server = await asyncio.start_server(Pushy(), "127.0.0.1", 0, ssl=context)
        host, port = server.sockets[0].getsockname()[:2]
        link = p.client.peer(host, port, WRITER)
        with pytest.raises(DeliveryFailed):
            await _read_slowly(link)
        server.close()

    assert "frame-invalid" in p.client_records.reasons("disconnect")


async def _read_slowly(link: Link) -> int:
    got = 0
    async for piece in link.stream("echo", b"", timeout=3):
        got += len(piece)
        await asyncio.sleep(1)
    return got


# -- ends that are none ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fin", "close-notify", "reset", "mid-frame"])
async def test_an_end_without_goaway_is_truncation_whatever_tls_says(how: str) -> None:
    async with pair(limits=FAST) as p, raw_peer(p.server.address) as peer:
        await until(lambda: p.server.connections)
        transport = peer.writer.transport
        if how == "mid-frame":
            peer.writer.write(struct.pack("!IBBHQ", 100, 1, 2, 0, 2) + b"half")
            await peer.writer.drain()
        if how == "close-notify":
            peer.writer.close()
        elif how == "reset":
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await until(lambda: p.server_records.of("disconnect"))

    assert p.server_records.reasons("disconnect") in (["truncated"], ["connection-lost"])


async def test_a_blocked_peer_is_cut_off_at_its_next_message_and_at_once() -> None:
    """Both ways the block list takes effect on an open connection."""
    async with pair(limits=FAST) as p:
        await p.link.request("echo", b"")
        p.server_source.names.add(FORGE.source(RESEARCHER).current().spiffe_id)
        with pytest.raises(DeliveryFailed):
            await p.link.request("echo", b"", timeout=0.5)
        assert p.server_records.reasons("block-list-hit") == ["blocked"]
        assert "blocked" in p.server_records.reasons("refuse")
        p.server_source.names.clear()
        await p.link.request("echo", b"")
        p.server_source.names.add(FORGE.source(RESEARCHER).current().spiffe_id)
        p.server.recheck()
        await until(lambda: not p.server.connections)


async def test_a_blocked_server_is_not_listened_to() -> None:
    async with pair(limits=FAST) as p:
        await p.link.request("echo", b"")
        p.client_source.names.add(FORGE.source(WRITER).current().spiffe_id)
        with pytest.raises(ChannelError):
            await p.link.request("echo", b"", timeout=0.5)

    assert "blocked" in p.client_records.reasons("block-list-hit")


async def test_one_certificate_at_two_addresses_is_an_alert() -> None:
    source = FORGE.source(RESEARCHER)
    async with pair() as p:
        host, port = p.server.address
        for origin in ("127.0.0.1", "127.0.0.2", "127.0.0.2"):
            context = client_context(source.current())
            _, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname="", local_addr=(origin, 0)
            )
            await until(lambda: p.server.connections)
            writer.transport.abort()
            await until(lambda: not p.server.connections)

    (alert,) = p.server_records.of("alert")
    assert (alert["reason"], alert["elsewhere"]) == ("one-certificate-two-addresses", "127.0.0.1")
    assert str(alert["client.address"]).startswith("127.0.0.2:")


async def test_connections_are_bounded_per_identity_and_in_all() -> None:
    limits = replace(FAST, connections_per_identity=2, connections=3)
    async with pair(limits=limits) as p, contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(raw_peer(p.server.address))
        await until(lambda: len(p.server.connections) == 2)
        third = raw_peer(p.server.address)
        with pytest.raises((EOFError, OSError, ssl.SSLError)):
            await stack.enter_async_context(third)

    assert p.server_records.reasons("refuse") == ["too-many-connections-of-identity"]


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _connect_often(count: int) -> None:
    """Every connection gives back its descriptors, tasks and memory."""
    limits = replace(FAST, connections_per_identity=64, starts_per_identity=20_000)
    async with pair(limits=limits, patience=1200.0) as p:
        await p.link.request("echo", b"")
        before = _descriptors(), len(asyncio.all_tasks())
        for _ in range(count):
            async with raw_peer(p.server.address) as peer:
                peer.message(1)
                await peer.take(FrameType.ACK)
        await until(lambda: len(p.server.connections) == 1)
        await asyncio.sleep(0.2)
        after = _descriptors(), len(asyncio.all_tasks())

        assert after[0] <= before[0] + 4
        assert after[1] <= before[1] + 4
        assert await p.link.request("echo", b"still") == b"still"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open descriptors are listed on Linux only")
async def test_connections_leak_nothing() -> None:
    await _connect_often(100)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open descriptors are listed on Linux only")
async def test_ten_thousand_connections_leak_nothing() -> None:
    await _connect_often(10_000)


async def test_a_flood_of_one_kind_is_counted_in_the_log_not_written() -> None:
    async with pair(limits=QUICK) as p:
        for _ in range(60):
            _, writer = await asyncio.open_connection(*p.server.address)
            writer.write(b"junk" * 10)
            writer.close()
        await until(lambda: len(p.server_records.of("refuse")) >= 10)
        await asyncio.sleep(0.3)
        first = len(p.server_records.of("refuse"))
        await asyncio.sleep(1.0)
        _, writer = await asyncio.open_connection(*p.server.address)
        writer.write(b"junk" * 10)
        writer.close()
        await until(lambda: any(row["omitted"] for row in p.server_records.of("refuse")))

    assert first <= 30


def test_hello_is_what_the_schema_says() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(HELLO), type=Hello) == HELLO
