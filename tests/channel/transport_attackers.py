"""Peers with a good certificate and a bad mind: what they send, as data, and what must come of it.

``python -m tests.channel.transport_attackers`` plays each over loopback against a real server, beside a good peer, and
prints for which reason it was cut off and how many requests of the good peer were answered meanwhile.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Callable
from dataclasses import replace

from agentguard.channel.envelope import Answer, Envelope, body_parts
from agentguard.channel.frame import MORE, Ack, Cancel, Credit, FrameType, Nack, NackCode, Ping
from tests.channel.pairs import FAST, Pair, pair, until
from tests.channel.raw import HELLO, RawPeer, raw_peer

__all__ = ["ATTACKS", "QUICK", "Attack", "attack", "play"]

Attack = bytes | Callable[[RawPeer], None]

QUICK = replace(
    FAST, handshake_s=0.4, hello_s=0.4, body_s=0.4, body_rate=1e6, drain_s=0.4, ping_s=0.3, dead_s=1.0,
    handshakes=2000, handshakes_per_source=2000,
)  # fmt: skip


def _sequence_gap(peer: RawPeer) -> None:
    peer.sequence += 1
    peer.put(FrameType.PING, Ping(1))


def _window(peer: RawPeer) -> None:
    for number in range(80):
        peer.message(number + 1, topic="stuck", wants=1)


def _pings(peer: RawPeer) -> None:
    for number in range(500):
        peer.put(FrameType.PING, Ping(number))


def _acks(peer: RawPeer) -> None:
    for _ in range(5):
        peer.put(FrameType.ACK, Ack([bytes([n]) * 16 for n in range(100)]))


def _answers(peer: RawPeer) -> None:
    for number in range(300):
        for flags, parts in body_parts(Answer(number.to_bytes(16, "big"), 1), b"x", 4096):
            peer.put(FrameType.MSG, b"".join(parts), flags)


def _credits(peer: RawPeer) -> None:
    for _ in range(300):
        peer.put(FrameType.CREDIT, Credit(b"x" * 16, 1))


def _nacks(peer: RawPeer) -> None:
    for _ in range(300):
        peer.put(FrameType.NACK, Nack(b"x" * 16, NackCode.DENIED))


def _cancels(peer: RawPeer) -> None:
    for _ in range(300):
        peer.put(FrameType.CANCEL, Cancel(b"x" * 16))


def _spoofs(peer: RawPeer) -> None:
    for number in range(300):
        peer.message(number + 1, sender="spiffe://example.org/agent/other")


def _endless_message(peer: RawPeer) -> None:
    (first, *_) = body_parts(peer_envelope(peer, 3_000_000), bytes(3_000_000), 65536)
    peer.put(FrameType.MSG, b"".join(first[1]), first[0])


def peer_envelope(peer: RawPeer, size: int) -> Envelope:
    from tests.channel.test_frame import envelope

    return envelope(size)


ATTACKS: list[tuple[str, Attack, str]] = [
    ("a length of 4 GiB", struct.pack("!IBBHQ", 2**32 - 1, 1, 2, 0, 2), "frame-invalid"),
    ("an unknown type", struct.pack("!IBBHQ", 0, 1, 99, 0, 2), "frame-invalid"),
    ("an unknown version", struct.pack("!IBBHQ", 0, 9, 2, 0, 2), "frame-invalid"),
    ("a sequence gap", _sequence_gap, "frame-invalid"),
    ("garbage", b"\xff" * 100, "frame-invalid"),
    ("a second HELLO", lambda peer: peer.put(FrameType.HELLO, HELLO), "frame-invalid"),
    ("a header without its end", b"\x00\x00\x00", "body-timeout"),
    ("a body without its end", struct.pack("!IBBHQ", 100_000, 1, 2, 0, 2) + b"x", "body-timeout"),
    ("a message without its end", lambda peer: _half_message(peer), "body-timeout"),
    ("a message of more than is accepted", _endless_message, "frame-invalid"),
    ("more messages than the window", _window, "frame-invalid"),
    ("a flood of PING", _pings, "frame-invalid"),
    ("a flood of ACK for nothing", _acks, "frame-invalid"),
    ("a flood of NACK for nothing", _nacks, "frame-invalid"),
    ("a flood of replies to nothing", _answers, "frame-invalid"),
    ("a flood of CREDIT for nothing", _credits, "frame-invalid"),
    ("a flood of CANCEL", _cancels, "frame-invalid"),
    ("a flood of messages with a spoofed sender", _spoofs, "frame-invalid"),
    ("malformed MessagePack", lambda peer: peer.put(FrameType.PING, b"\xc1"), "frame-invalid"),
    ("silence, not even PONG", lambda peer: None, "peer-silent"),
]  # fmt: skip


def _half_message(peer: RawPeer) -> None:
    (first, *_) = body_parts(peer_envelope(peer, 200_000), bytes(200_000), 65536)
    assert first[0] & MORE
    peer.put(FrameType.MSG, b"".join(first[1]), first[0])


async def attack(p: Pair, what: Attack) -> None:
    async with raw_peer(p.server.address) as peer:
        if isinstance(what, bytes):
            peer.writer.write(what)
        else:
            what(peer)
        await peer.ended()


async def play(what: Attack) -> tuple[list[object], int]:
    """Attack a server that serves a good peer meanwhile: the reasons for which connections ended, and the replies."""
    gate = asyncio.Event()

    async def stuck(message: object) -> bytes:
        await gate.wait()
        return b""

    async def echo(message: object) -> bytes:
        return b"served"

    served = 0
    async with pair({"echo": echo, "stuck": stuck}, limits=QUICK, client_limits=FAST) as p:
        await p.link.request("echo", b"")
        hurt = asyncio.create_task(attack(p, what))
        while served < 20 or not hurt.done():
            served += await p.link.request("echo", b"") == b"served"
        await hurt
        gate.set()
        await until(lambda: len(p.server.connections) == 1)
        await until(lambda: p.server.inbox.held_bytes == 0)
        return [*p.server_records.reasons("disconnect")], served


def main() -> int:
    """Print the report; 1 when an attacker was not cut off for the reason it must be."""
    out, wrong = sys.stdout, 0
    out.write(f"{'a verified peer that sends':<44}{'was cut off for':<20}replies to the good peer meanwhile\n")
    for name, what, reason in ATTACKS:
        reasons, served = asyncio.run(play(what))
        is_right = reasons == [reason]
        wrong += not is_right
        out.write(f"{name:<44}{', '.join(map(str, reasons)):<20}{served}{'' if is_right else '  WRONG'}\n")
    out.write(f"{len(ATTACKS)} attackers, {wrong} wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
