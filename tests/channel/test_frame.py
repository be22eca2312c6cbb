"""Frames and envelopes: round trip, any splitting, and that no bytes from a peer raise, allocate or confuse."""

from __future__ import annotations

import contextlib
import random
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.channel.envelope import (
    Answer,
    Assembler,
    Envelope,
    body_parts,
    decode_envelope,
    digest,
    encode_envelope,
    new_id,
)
from agentguard.channel.frame import (
    HEADER_BYTES,
    MAX_CONTROL_BODY,
    Ack,
    Cancel,
    Credit,
    Frame,
    FrameDecoder,
    FrameType,
    Goaway,
    Hello,
    Nack,
    NackCode,
    Ping,
    decode_control,
    encode_frame,
)
from agentguard.errors import FrameError

LIMIT = 64 * 1024
IDS = st.binary(min_size=16, max_size=16)
SIZES = st.integers(0, 2**32 - 1)
BODIES = st.binary(max_size=300)


def decoder(max_body: int = LIMIT) -> FrameDecoder:
    """One that is past HELLO."""
    return FrameDecoder(max_body=max_body, opened=True)


def stream_of(bodies: list[bytes]) -> bytes:
    return b"".join(encode_frame(FrameType.MSG, number, body) for number, body in enumerate(bodies, 1))


def envelope(size: int, **fields: object) -> Envelope:
    given: dict[str, object] = {
        "id": new_id(), "sender": "spiffe://a/agent/b", "receiver": "spiffe://a/agent/c", "topic": "t", "wants": 0,
        "created": 1, "ttl": 1000, "epoch": b"e" * 16, "sequence": 1, "skipped": 0, "size": size,
        "digest": digest(b"x" * size), **fields,
    }  # fmt: skip
    return Envelope(**given)  # type: ignore[arg-type]


# -- frames ----------------------------------------------------------------------------------------------------------


@given(st.lists(BODIES, min_size=1, max_size=6), st.data())
def test_any_splitting_gives_the_same_frames(bodies: list[bytes], data: st.DataObject) -> None:
    stream = stream_of(bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    cutter = decoder()

    found = [
        frame
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for frame in cutter.feed(stream[start:end])
    ]

    assert [frame.body for frame in found] == bodies
    assert cutter.partial == 0


def test_every_split_point_of_a_stream() -> None:
    bodies = [b"", b"a", b"bc" * 40, b"d" * 7]
    stream = stream_of(bodies)

    for cut in range(len(stream) + 1):
        cutter = decoder()
        assert [frame.body for frame in cutter.feed(stream[:cut]) + cutter.feed(stream[cut:])] == bodies


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        pytest.param((2**32 - 1, 1, 2, 0, 1), "4294967295 bytes", id="length-4-GiB"),
        pytest.param((LIMIT + 1, 1, 2, 0, 1), "at most", id="length-over-the-limit"),
        pytest.param((MAX_CONTROL_BODY + 1, 1, 6, 0, 1), "at most", id="long-control-frame"),
        pytest.param((0, 0, 2, 0, 1), "version 0", id="version-0"),
        pytest.param((0, 2, 2, 0, 1), "version 2", id="version-2"),
        pytest.param((0, 1, 0, 0, 1), "unknown type", id="type-0"),
        pytest.param((0, 1, 10, 0, 1), "unknown type", id="type-10"),
        pytest.param((0, 1, 2, 8, 1), "unknown flags", id="unknown-flag"),
        pytest.param((0, 1, 6, 1, 1), "unknown flags", id="flag-on-control"),
        pytest.param((0, 1, 2, 0, 0), "frame 0 where 1", id="sequence-0"),
        pytest.param((0, 1, 2, 0, 2), "frame 2 where 1", id="sequence-gap"),
        pytest.param((0, 1, 2, 0, 2**64 - 1), "where 1", id="sequence-huge"),
    ],
)
def test_a_broken_header_ends_the_stream_before_its_body(header: tuple[int, ...], fault: str) -> None:
    cutter = decoder()

    assert cutter.feed(struct.pack("!IBBHQ", *header)) == []

    assert cutter.failure is not None
    assert fault in str(cutter.failure)
    assert cutter.partial == 0
    with pytest.raises(FrameError):
        cutter.feed(b"")


@given(st.integers(0, 2**32 - 1), st.integers(0, 255), st.integers(0, 255), st.integers(0, 65535), SIZES)
def test_fuzzed_header_fields_give_a_frame_a_wait_or_a_fault(
    length: int, version: int, kind: int, flags: int, sequence: int
) -> None:
    cutter = decoder()

    cutter.feed(struct.pack("!IBBHQ", length, version, kind, flags, sequence))

    honest = version == 1 and 2 <= kind <= 9 and sequence == 1
    if not honest:
        # HELLO is judged by its place, everything else by its fields.
        assert cutter.failure is not None or kind == FrameType.HELLO
    assert cutter.partial <= HEADER_BYTES


def test_what_came_before_a_broken_frame_is_handed_out() -> None:
    cutter = decoder()

    found = cutter.feed(stream_of([b"good"]) + b"\xff" * HEADER_BYTES)

    assert [frame.body for frame in found] == [b"good"]
    assert cutter.failure is not None


@pytest.mark.parametrize("kind", [kind for kind in FrameType if kind not in (FrameType.HELLO, FrameType.GOAWAY)])
def test_nothing_is_accepted_before_hello(kind: FrameType) -> None:
    cutter = FrameDecoder(max_body=LIMIT)

    assert cutter.feed(encode_frame(kind, 1, b"")) == []

    assert "before HELLO" in str(cutter.failure)


def test_a_second_hello_is_refused() -> None:
    cutter = FrameDecoder(max_body=LIMIT)

    cutter.feed(encode_frame(FrameType.HELLO, 1, b"") + encode_frame(FrameType.HELLO, 2, b""))

    assert "second HELLO" in str(cutter.failure)


def _random_frames(count: int) -> None:
    """Random bytes, and random frames with one good field after the other: no crash, no memory beyond the limit."""
    draw = random.Random(count)
    cutter = decoder(8 * 1024)
    ceiling = 0
    tracemalloc.start()
    try:
        for _ in range(count):
            header = [draw.getrandbits(32), draw.getrandbits(8), draw.getrandbits(8), draw.getrandbits(16),
                      draw.getrandbits(64)]  # fmt: skip
            good = draw.getrandbits(5)
            values = (draw.randrange(9000), 1, draw.randrange(1, 11), draw.randrange(16), cutter.last + 1)
            for index, value in enumerate(values):
                if good & 1 << index:
                    header[index] = value
            cutter.feed(struct.pack("!IBBHQ", *header) + draw.randbytes(draw.randrange(64)))
            if cutter.failure is not None:
                cutter = decoder(8 * 1024)
            assert cutter.partial <= 8 * 1024 + HEADER_BYTES
        ceiling = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ceiling < 1024 * 1024


def test_random_frames_cost_bounded_memory() -> None:
    _random_frames(20_000)


@pytest.mark.long
def test_a_million_random_frames_cost_bounded_memory() -> None:
    _random_frames(1_000_000)


# -- control bodies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Hello, Ack, Nack, Credit, Ping, Goaway, Cancel])
@given(body=st.binary(max_size=200))
def test_no_control_body_raises_anything_else(kind: type[Ping], body: bytes) -> None:
    try:
        found = decode_control(kind, body)
    except FrameError:
        return
    assert isinstance(found, kind)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x91\xc7\x04\x01\x00\x00\x00\x00", id="extension-type"),
        pytest.param(b"\x92\x01\x02", id="field-too-many"),
        pytest.param(b"\x90", id="field-missing"),
        pytest.param(b"\x91\xff", id="negative"),
        pytest.param(b"\x91\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", id="float"),
        pytest.param(b"\x91" * 5000 + b"\x01", id="nested"),
        pytest.param(b"\x91\x01\x01", id="trailing-bytes"),
    ],
)
def test_a_control_body_has_a_fixed_schema(body: bytes) -> None:
    with pytest.raises(FrameError):
        decode_control(Ping, body)


def test_control_bodies_round_trip() -> None:
    import msgspec

    sent: Hello | Ack | Nack | Credit | Ping | Goaway | Cancel
    for sent in (
        Hello(64, 4096, 65536, 4096, 10),
        Ack([b"i" * 16]),
        Nack(b"i" * 16, NackCode.OVERLOADED, "rate", 20),
        Credit(b"i" * 16, 5),
        Ping(7),
        Goaway(3, "closing"),
        Cancel(b"i" * 16),
    ):
        assert decode_control(type(sent), msgspec.msgpack.encode(sent)) == sent  # type: ignore[type-var]  # each its own


# -- messages over several frames ------------------------------------------------------------------------------------


def frames_of(header: Envelope | Answer, payload: bytes, max_body: int) -> list[Frame]:
    bodies = body_parts(header, payload, max_body)
    return [Frame(FrameType.MSG, flags, n, b"".join(parts)) for n, (flags, parts) in enumerate(bodies, 1)]


@given(st.integers(0, 5000), st.integers(512, 2000))
def test_a_message_of_any_length_round_trips(size: int, max_body: int) -> None:
    payload = bytes(size)
    sent = envelope(size)
    joiner = Assembler(max_message=5000)

    found = [joiner.add(frame) for frame in frames_of(sent, payload, max_body)]

    assert found[-1] == (sent, payload)
    assert all(each is None for each in found[:-1])
    assert joiner.held == 0


@given(IDS, st.binary(max_size=64), st.booleans())
def test_an_answer_round_trips(correlation: bytes, payload: bytes, last: bool) -> None:
    sent = Answer(correlation, len(payload), 3, last)

    (frame,) = frames_of(sent, payload, 4096)

    assert Assembler(max_message=64).add(frame) == (sent, payload)


def test_an_announced_size_over_the_limit_is_refused_at_the_first_frame() -> None:
    first, *_ = frames_of(envelope(2**32 - 1, digest=bytes(32)), bytes(4000), 1024)

    with pytest.raises(FrameError, match="4294967295 bytes"):
        Assembler(max_message=1_000_000).add(first)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param([1], id="continuation-first"),
        pytest.param([0, 0], id="begun-twice"),
        pytest.param([0, 1, 1, 1, 1], id="more-than-announced"),
    ],
)
def test_mixed_frames_are_refused(order: list[int]) -> None:
    frames = frames_of(envelope(2000), bytes(2000), 1024)
    joiner = Assembler(max_message=10_000)

    def add_all() -> None:
        for index in order:
            joiner.add(frames[index])

    with pytest.raises(FrameError):
        add_all()


@given(st.binary(max_size=400), st.integers(0, 7))
def test_no_message_body_raises_anything_else(body: bytes, flags: int) -> None:
    joiner = Assembler(max_message=1000)

    with contextlib.suppress(FrameError):
        joiner.add(Frame(FrameType.MSG, flags, 1, body))
    assert joiner.held <= 1000


@given(IDS, st.integers(0, 2**63 - 1), st.text(min_size=1, max_size=128), st.text(max_size=64))
def test_envelopes_round_trip(id: bytes, sequence: int, topic: str, behalf: str) -> None:
    sent = envelope(3, id=id, sequence=sequence, topic=topic, behalf=behalf)

    assert decode_envelope(encode_envelope(sent)) == sent


def test_ids_are_time_ordered_and_of_version_7() -> None:
    ids = [new_id() for _ in range(100)]

    assert len(set(ids)) == 100
    assert all(each[6] >> 4 == 7 and each[8] >> 6 == 2 for each in ids)
    assert ids[0][:6] <= ids[-1][:6]
