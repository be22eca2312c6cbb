"""What is said between the CA's service and agents that join or renew: one request and one reply a connection.

A frame is a 32-bit length, big-endian, and that many bytes of JSON with a fixed schema. Lengths are checked before
anything is allocated, and a whole exchange has one deadline, which no trickle of bytes can move.
"""

from __future__ import annotations

import contextlib
import ssl
import struct
import time
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from agentguard.channel.tls import refused_handshake
from agentguard.errors import ChannelError, FrameError

__all__ = [
    "ALPN_CA",
    "MAX_REPLY_BYTES",
    "MAX_REQUEST_BYTES",
    "REPLIES",
    "REQUESTS",
    "Granted",
    "Join",
    "News",
    "NewsReply",
    "Refused",
    "Renew",
    "Reply",
    "Request",
    "Root",
    "RootReply",
    "receive",
    "send",
]

# A name of its own: a connection meant for an agent cannot be led to the CA, nor the other way round (ALPACA).
ALPN_CA = "agentguard-ca/1"
MAX_REQUEST_BYTES = 16 * 1024
# A full block list, with room.
MAX_REPLY_BYTES = 8 * 1024 * 1024

T = TypeVar("T")


class Root(msgspec.Struct, tag="root", forbid_unknown_fields=True):
    """Asks for the root's certificate; answered to everybody."""


class Join(msgspec.Struct, tag="join", forbid_unknown_fields=True):
    """Asks for a first certificate; ``token`` is the secret in hex, ``request`` PKCS #10 in PEM."""

    token: str
    identity: str
    request: str


class Renew(msgspec.Struct, tag="renew", forbid_unknown_fields=True):
    """Asks for a certificate for the identity that the connection proves."""

    request: str


class News(msgspec.Struct, tag="news", forbid_unknown_fields=True):
    """Asks what changed since this block list and this bundle (SHA-256, hex)."""

    version: int
    bundle: str


class RootReply(msgspec.Struct, tag="root", forbid_unknown_fields=True):
    """The root's certificate, PEM."""

    root: str


class Granted(msgspec.Struct, tag="granted", forbid_unknown_fields=True):
    """A certificate chain, the bundle and the signed block list."""

    chain: str
    bundle: str
    block_list: str


class NewsReply(msgspec.Struct, tag="news", forbid_unknown_fields=True):
    """What changed; None for what did not."""

    bundle: str | None
    block_list: str | None


class Refused(msgspec.Struct, tag="refused", forbid_unknown_fields=True):
    """No, and why."""

    reason: str
    message: str


Request = Root | Join | Renew | News
Reply = RootReply | Granted | NewsReply | Refused
REQUESTS: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)
REPLIES: msgspec.json.Decoder[Reply] = msgspec.json.Decoder(Reply)


def send(tls: ssl.SSLSocket, message: Request | Reply, *, deadline: float) -> None:
    """Send one frame.

    Args:
        deadline: monotonic seconds.

    Raises:
        ChannelError: the deadline passed, or the connection broke.
    """
    body = msgspec.json.encode(message)
    with _broken():
        tls.settimeout(_left(deadline))
        tls.sendall(struct.pack(">I", len(body)) + body)


def receive(tls: ssl.SSLSocket, schema: msgspec.json.Decoder[T], *, limit: int, deadline: float) -> T:
    """Read one frame of at most ``limit`` bytes.

    Raises:
        FrameError: too long, cut short, or not of the schema.
        PeerRefused: the other side ended the connection with an alert.
        ChannelError: the deadline passed, or the connection broke.
    """
    (length,) = struct.unpack(">I", _exactly(tls, 4, deadline))
    if length > limit:
        raise FrameError(f"a frame has at most {limit} bytes here, its header says {length}")
    try:
        return schema.decode(_exactly(tls, length, deadline))
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise FrameError("a frame does not hold what it should") from error


def _exactly(tls: ssl.SSLSocket, count: int, deadline: float) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        with _broken():
            tls.settimeout(_left(deadline))
            piece = tls.recv(min(count - len(parts), 65536))
        if not piece:
            raise FrameError(f"the connection ended after {len(parts)} of {count} bytes")
        parts += piece
    return bytes(parts)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("deadline")
    return left


@contextlib.contextmanager
def _broken() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ChannelError("the other side took too long") from error
    except OSError as error:
        if isinstance(error, ssl.SSLError) and "_ALERT_" in (error.reason or ""):
            # A TLS 1.3 client learns at its first read what the server thought of its certificate.
            raise refused_handshake(error) from error
        raise ChannelError(f"the connection broke ({type(error).__name__})") from error
