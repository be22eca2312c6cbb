"""Envelopes: what stands in front of a payload, and the message a handler is given.

The body of a MSG frame is a u16 length, a header as a MessagePack array with a fixed schema, and payload bytes. A
payload that is longer than a frame goes on in frames without a header; its full size is stated first and checked before
any of it is kept. The digest is SHA-256 over the payload; messages that are kept in a database carry it. Inside TLS it
would protect nothing, and at 64 KB it costs as much as sending.
"""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Iterator
from typing import Annotated, Final, TypeAlias

import msgspec

from agentguard.channel.frame import ANSWER, CONTINUED, MORE, Frame
from agentguard.channel.spiffe import SpiffeId
from agentguard.channel.trace import TraceContext
from agentguard.conversation import Conversation
from agentguard.errors import FrameError

__all__ = [
    "Answer",
    "Assembler",
    "Envelope",
    "Message",
    "Wants",
    "body_parts",
    "decode_envelope",
    "digest",
    "encode_envelope",
    "encode_head",
    "new_id",
    "read_body",
]

_LENGTH: Final = struct.Struct("!H")

_Id: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Wants:
    """What the sender waits for, as ``Envelope.wants``."""

    ACK = 0
    REPLY = 1
    STREAM = 2


class Envelope(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False):
    """The header of a message. ``created`` is in milliseconds since 1970, ``ttl`` in milliseconds.

    ``sequence`` counts the messages of one sender to one receiver since the sender started; ``epoch`` is drawn at
    random at that start. ``skipped`` is the highest sequence that the sender has given up on. ``behalf`` is the user
    whom the sender says it acts for.
    """

    id: _Id
    sender: Annotated[str, msgspec.Meta(max_length=2048)]
    receiver: Annotated[str, msgspec.Meta(max_length=2048)]
    topic: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    wants: Annotated[int, msgspec.Meta(ge=0, le=2)]
    created: _Count
    ttl: _Size
    epoch: _Id
    sequence: _Count
    skipped: _Count
    size: _Size
    digest: Annotated[bytes, msgspec.Meta(max_length=32)]
    trace: Annotated[str, msgspec.Meta(max_length=55)] = ""
    trace_state: Annotated[str, msgspec.Meta(max_length=512)] = ""
    behalf: Annotated[str, msgspec.Meta(max_length=256)] = ""


class Answer(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False):
    """The header of a reply, or of one piece of a streamed reply; ``correlation`` is the id of the request.

    Pieces are numbered from 0; ``last`` marks the end, and one without ``last`` announces more.
    """

    correlation: _Id
    size: _Size
    index: _Size = 0
    last: bool = True


_ENCODER: Final = msgspec.msgpack.Encoder()
_ENVELOPE: Final = msgspec.msgpack.Decoder(Envelope)
_ANSWER: Final = msgspec.msgpack.Decoder(Answer)


_pool = b""
_pool_at = 0
_POOL_BYTES = 4090


def new_id() -> bytes:
    """A time-ordered id of 16 bytes: UUID version 7 (RFC 9562 section 5.7)."""
    global _pool, _pool_at
    if _pool_at >= len(_pool):
        # One system call for many ids. A child process must not draw what its parent has drawn: see below.
        _pool, _pool_at = os.urandom(_POOL_BYTES), 0
    drawn = _pool[_pool_at : _pool_at + 10]
    _pool_at += 10
    moment = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    return b"%b%c%c%c%b" % (moment, 0x70 | drawn[0] & 0x0F, drawn[1], 0x80 | drawn[2] & 0x3F, drawn[3:])


def _empty_pool() -> None:
    global _pool
    _pool = b""


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_empty_pool)


def digest(payload: bytes) -> bytes:
    """SHA-256 of the payload."""
    return hashlib.sha256(payload).digest()


def encode_envelope(header: Envelope) -> bytes:
    """The header alone, for the durable outbox."""
    return _ENCODER.encode(header)


def decode_envelope(data: bytes) -> Envelope:
    """Read what ``encode_envelope`` wrote.

    Raises:
        FrameError: it is no envelope.
    """
    try:
        return _ENVELOPE.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError("the header of a kept message cannot be read") from error


def encode_head(header: Envelope | Answer) -> bytes:
    """The header with its length in front, as a body begins."""
    head = _ENCODER.encode(header)
    return _LENGTH.pack(len(head)) + head


def body_parts(header: Envelope | Answer, payload: bytes, max_body: int) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """The bodies, as (flags, parts), of the frames that carry a message."""
    head = encode_head(header)
    kind = ANSWER if type(header) is Answer else 0
    room = max_body - len(head)
    if len(payload) <= room:
        yield kind, (head, payload)
        return
    yield kind | MORE, (head, payload[:room])
    for start in range(room, len(payload), max_body):
        more = MORE if start + max_body < len(payload) else 0
        yield kind | more | CONTINUED, (payload[start : start + max_body],)


def read_body(body: bytes, *, answer: bool) -> tuple[Envelope | Answer, bytes]:
    """Read the body of the first frame of a message: its header, and as much of the payload as is in it.

    Raises:
        FrameError: the header does not have its shape.
    """
    if len(body) < _LENGTH.size:
        raise FrameError("got a message without a header")
    (length,) = _LENGTH.unpack_from(body)
    end = _LENGTH.size + length
    if end > len(body):
        raise FrameError("got a message whose header is longer than its frame")
    try:
        header = (_ANSWER if answer else _ENVELOPE).decode(body[_LENGTH.size : end])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError("got a message with a malformed header") from error
    return header, body[end:]


class Assembler:
    """Joins the frames of one message; at most one message is under way per connection.

    Args:
        max_message: longest payload in bytes; a header that announces more is refused before any of it is kept.
    """

    __slots__ = ("_header", "_parts", "_size", "max_message")

    def __init__(self, *, max_message: int) -> None:
        self.max_message = max_message
        self._header: Envelope | Answer | None = None
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def held(self) -> int:
        """Payload bytes of the unfinished message."""
        return self._size

    @property
    def awaited(self) -> int:
        """Payload bytes that the unfinished message announced."""
        return self._header.size if self._header is not None else 0

    def add(self, frame: Frame) -> tuple[Envelope | Answer, bytes] | None:
        """The message that ``frame`` completes, if it does.

        Raises:
            FrameError: frames of two messages are mixed, or the size is not the one announced.
        """
        flags = frame.flags
        if flags in (0, ANSWER) and self._header is None:
            whole, part = read_body(frame.body, answer=flags == ANSWER)
            if whole.size > self.max_message or len(part) != whole.size:
                raise FrameError("got a message whose size is not the one it announced, or is not accepted")
            return whole, part
        header: Envelope | Answer | None
        if flags & CONTINUED:
            header = self._header
            if header is None or (flags & ANSWER != 0) != (type(header) is Answer):
                raise FrameError("got the continuation of a message that was not begun")
            part = frame.body
        elif self._header is not None:
            raise FrameError("got a new message in the middle of another one")
        else:
            header, part = read_body(frame.body, answer=flags & ANSWER != 0)
            if header.size > self.max_message:
                raise FrameError(f"got a message of {header.size} bytes; at most {self.max_message} are accepted")
        return self._join(header, part, more=flags & MORE != 0)

    def _join(self, header: Envelope | Answer, part: bytes, *, more: bool) -> tuple[Envelope | Answer, bytes] | None:
        self._size += len(part)
        if self._size > header.size or (more and not part) or (more and self._size == header.size):
            raise FrameError("got a message whose size is not the one it announced")
        self._parts.append(part)
        if more:
            self._header = header
            return None
        if self._size != header.size:
            raise FrameError("got a message whose size is not the one it announced")
        payload = b"".join(self._parts)
        self._header, self._parts, self._size = None, [], 0
        return header, payload


class Message(msgspec.Struct, frozen=True, eq=False):
    """A message as a handler sees it. ``sender`` is the name in the peer's certificate, nothing the message says.

    ``behalf`` is the user whom the sender says it acts for, None when it names none. ``deadline`` is the event loop's
    time after which nobody waits for the reply; ``envelope`` the header as it came; ``run`` the conversation in which a
    guard checked the content, None when none did.
    """

    id: bytes
    sender: SpiffeId
    receiver: SpiffeId
    topic: str
    payload: bytes
    created: float
    deadline: float
    envelope: Envelope
    behalf: str | None = None
    trace: TraceContext | None = None
    address: str = ""
    run: Conversation | None = None
