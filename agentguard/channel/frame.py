"""Frames: how messages and control signals are cut out of the byte stream of one connection.

A frame is a header of 16 bytes (network byte order: u32 length of the body, u8 version, u8 type, u16 flags, u64
sequence) and a body. Sequences count from 1 in each direction without a gap. Every field is checked before anything is
allocated for the body; the first frame that breaks a rule ends the stream. Control bodies are MessagePack arrays with a
fixed schema, without extension types.
"""

from __future__ import annotations

import enum
import struct
from typing import Annotated, Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from agentguard.errors import FrameError

__all__ = [
    "ANSWER",
    "Ack",
    "CONTINUED",
    "Cancel",
    "Control",
    "Credit",
    "Frame",
    "FrameDecoder",
    "FrameType",
    "Goaway",
    "HEADER_BYTES",
    "Hello",
    "MAX_BODY",
    "MAX_CONTROL_BODY",
    "MORE",
    "Nack",
    "NackCode",
    "Ping",
    "VERSION",
    "decode_control",
    "encode_frame",
    "encode_header",
    "encode_start",
]

VERSION: Final = 1
_HEADER: Final = struct.Struct("!IBBHQ")
# With the length that a message's body begins with.
_START: Final = struct.Struct("!IBBHQH")
HEADER_BYTES: Final = _HEADER.size
# Before a peer has said HELLO, and for control frames always: nothing honest is longer.
MAX_CONTROL_BODY: Final = 4 * 1024
# Hard cap for message frames, whatever the settings say: a length of 4 GiB is never believed.
MAX_BODY: Final = 16 * 1024 * 1024


class FrameType(enum.IntEnum):
    """What a frame is. ``PONG`` answers ``PING`` with the same body."""

    HELLO = 1
    MSG = 2
    ACK = 3
    NACK = 4
    CREDIT = 5
    PING = 6
    PONG = 7
    GOAWAY = 8
    CANCEL = 9


# Flags, of MSG frames only. Plain numbers: an enum's operators cost more than reading the frame.
# The payload goes on in the next MSG frame; this is such a frame; the body starts with an ``Answer``.
MORE: Final = 1
CONTINUED: Final = 2
ANSWER: Final = 4

_TYPES: Final = {int(kind): kind for kind in FrameType}
_MSG_FLAGS: Final = MORE | CONTINUED | ANSWER
# The only frames that may come before the connection is up.
_BEFORE_HELLO: Final = frozenset({FrameType.HELLO, FrameType.GOAWAY})


class Frame(NamedTuple):
    """One frame. ``body`` is a private copy."""

    type: FrameType
    flags: int
    sequence: int
    body: bytes


def encode_header(kind: FrameType, sequence: int, length: int, flags: int = 0) -> bytes:
    """The header of a frame whose body has ``length`` bytes."""
    return _HEADER.pack(length, VERSION, kind, flags, sequence)


def encode_start(sequence: int, length: int, flags: int, head: int) -> bytes:
    """The header of a MSG frame of ``length`` bytes, and the length of the message's own header behind it."""
    return _START.pack(length, VERSION, 2, flags, sequence, head)


def encode_frame(kind: FrameType, sequence: int, body: bytes, flags: int = 0) -> bytes:
    """A whole frame."""
    return _HEADER.pack(len(body), VERSION, kind, flags, sequence) + body


class FrameDecoder:
    """Cuts frames out of bytes as they arrive, in whatever pieces.

    It never holds more than one incomplete frame, ``max_body`` plus a header, beside the piece just fed.

    Args:
        max_body: longest body of a MSG frame in bytes, at most ``MAX_BODY``; other frames have ``MAX_CONTROL_BODY``.
            Raise it when the connection is up; until ``opened`` is set only HELLO and GOAWAY are accepted.
    """

    __slots__ = ("_expected", "_partial", "failure", "max_body", "opened")

    def __init__(self, *, max_body: int, opened: bool = False) -> None:
        self.max_body = min(max_body, MAX_BODY)
        self.opened = opened
        self.failure: FrameError | None = None
        self._partial = bytearray()
        self._expected = 1

    @property
    def partial(self) -> int:
        """Bytes of an incomplete frame that wait for the rest."""
        return len(self._partial)

    @property
    def awaited(self) -> int:
        """Length of the body that the incomplete frame announces; 0 while its header is not whole."""
        return int.from_bytes(self._partial[:4], "big") if len(self._partial) >= HEADER_BYTES else 0

    @property
    def last(self) -> int:
        """Sequence of the last frame."""
        return self._expected - 1

    def feed(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """The frames that ``data`` completes. What came before a broken frame is returned; then ``failure`` is set.

        Raises:
            FrameError: the stream has failed before.
        """
        if self.failure is not None:
            raise self.failure
        if not self._partial:
            with memoryview(data) as view:
                frames, consumed, failure = self._cut(view)
                if failure is None and consumed < len(view):
                    self._partial += view[consumed:]
        else:
            self._partial += data
            with memoryview(self._partial) as view:
                frames, consumed, failure = self._cut(view)
            if failure is not None:
                self._partial = bytearray()
            elif consumed:
                del self._partial[:consumed]
        self.failure = failure
        return frames

    def _cut(self, view: memoryview) -> tuple[list[Frame], int, FrameError | None]:
        frames: list[Frame] = []
        start, end = 0, len(view)
        while end - start >= HEADER_BYTES:
            length, version, kind, flags, sequence = _HEADER.unpack_from(view, start)
            known = _TYPES.get(kind)
            # The usual frame first; everything else is judged field by field.
            if not (
                known is FrameType.MSG
                and version == VERSION
                and length <= self.max_body
                and sequence == self._expected
                and flags <= _MSG_FLAGS
                and self.opened
            ):
                fault = self._fault(length, version, known, flags, sequence)
                if fault:
                    return frames, start, FrameError(fault)
            stop = start + HEADER_BYTES + length
            if stop > end:
                break
            frames.append(Frame(known, flags, sequence, bytes(view[start + HEADER_BYTES : stop])))  # type: ignore[arg-type]  # no fault: known
            if known is FrameType.HELLO:
                # What follows in the same piece is judged by the limits of a connection that is up.
                self.opened = True
            self._expected += 1
            start = stop
        return frames, start, None

    def _fault(self, length: int, version: int, kind: FrameType | None, flags: int, sequence: int) -> str:
        if version != VERSION:
            return f"got frame version {version}; this side speaks {VERSION}"
        if kind is None:
            return "got a frame of unknown type"
        if flags and (kind is not FrameType.MSG or flags & ~_MSG_FLAGS):
            return f"got unknown flags {flags:#06x} on a {kind.name} frame"
        if not self.opened and kind not in _BEFORE_HELLO:
            return f"got a {kind.name} frame before HELLO"
        if self.opened and kind is FrameType.HELLO and self._expected > 1:
            return "got a second HELLO"
        limit = self.max_body if kind is FrameType.MSG else MAX_CONTROL_BODY
        if length > limit:
            return f"got a {kind.name} frame of {length} bytes; at most {limit} are accepted"
        if sequence != self._expected:
            return f"got frame {sequence} where {self._expected} was due"
        return ""


# -- control bodies ------------------------------------------------------------------------------------------------

_Id: TypeAlias = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
_Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=256)]
_Size: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class NackCode(enum.StrEnum):
    """Why a message was not taken. ``overloaded`` and ``unavailable`` may be sent again after a while."""

    DENIED = "denied"
    EXPIRED = "expired"
    TOO_LARGE = "too-large"
    UNKNOWN_TOPIC = "unknown-topic"
    REPLAYED = "replayed"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    HANDLER_ERROR = "handler-error"


class Hello(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """First frame of each side: how much it takes. Window: messages and payload bytes not yet acknowledged."""

    window_messages: Annotated[int, msgspec.Meta(ge=1, le=65_536)]
    window_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
    max_body: Annotated[int, msgspec.Meta(ge=MAX_CONTROL_BODY, le=MAX_BODY)]
    max_message: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]
    stream_window: Annotated[int, msgspec.Meta(ge=1, le=2**32 - 1)]


class Ack(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """Messages that were handled (their ids); batched."""

    ids: Annotated[list[_Id], msgspec.Meta(min_length=1, max_length=128)]


class Nack(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """One message that was not handled. ``reason`` is a stable code for people; ``retry_after`` in milliseconds."""

    id: _Id
    code: NackCode
    reason: _Text = ""
    retry_after: _Size = 0


class Credit(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """The reader of a streamed reply takes ``bytes`` more. ``stream`` is the request's id."""

    stream: _Id
    bytes: _Size


class Ping(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """Are you there? Answered by PONG with the same number."""

    number: _Count


class Goaway(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """The end is near. ``last`` is the last frame taken; ``code`` says why: ``closing``, ``age``, or an error code."""

    last: _Count
    code: _Text
    message: _Text = ""


class Cancel(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """Nobody waits for the reply to this request any more."""

    id: _Id


Control: TypeAlias = Hello | Ack | Nack | Credit | Ping | Goaway | Cancel
_C = TypeVar("_C", Hello, Ack, Nack, Credit, Ping, Goaway, Cancel)
_DECODERS: Final = {kind: msgspec.msgpack.Decoder(kind) for kind in (Hello, Ack, Nack, Credit, Ping, Goaway, Cancel)}


def decode_control(kind: type[_C], body: bytes) -> _C:
    """Read the body of a control frame.

    Raises:
        FrameError: the body does not have the shape of ``kind``.
    """
    try:
        found: _C = _DECODERS[kind].decode(body)  # type: ignore[assignment]  # the decoder of this very type
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"got a malformed {kind.__name__.upper()} frame") from error
    return found
