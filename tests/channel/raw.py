"""A peer that speaks frames by hand: with a proper certificate, and no manners."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agentguard.channel import client_context
from agentguard.channel.envelope import Envelope, body_parts, digest, new_id
from agentguard.channel.frame import (
    MAX_BODY,
    Frame,
    FrameDecoder,
    FrameType,
    Goaway,
    Hello,
    Nack,
    decode_control,
    encode_frame,
)
from tests.channel.forge import RESEARCHER, WRITER, HeldIdentity
from tests.channel.pairs import FORGE

HELLO = Hello(64, 4 * 1024 * 1024, MAX_BODY, 4 * 1024 * 1024, 256 * 1024)


@dataclass
class RawPeer:
    """One connection. ``frames`` holds what came and was not taken yet."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    epoch: bytes = field(default_factory=lambda: os.urandom(16))
    sequence: int = 0
    decoder: FrameDecoder = field(default_factory=lambda: FrameDecoder(max_body=MAX_BODY))
    frames: list[Frame] = field(default_factory=list)

    def put(self, kind: FrameType, body: Any = b"", flags: int = 0) -> None:
        self.sequence += 1
        data = body if isinstance(body, bytes) else msgspec.msgpack.encode(body)
        self.writer.write(encode_frame(kind, self.sequence, data, flags))

    def message(self, sequence: int = 1, payload: bytes = b"x", **fields: Any) -> Envelope:
        """Send a message; whatever field is given is sent as it is."""
        given: dict[str, Any] = {
            "id": new_id(), "sender": RESEARCHER, "receiver": WRITER, "topic": "echo", "wants": 0,
            "created": int(time.time() * 1000), "ttl": 60_000, "epoch": self.epoch, "sequence": sequence, "skipped": 0,
            "size": len(payload), "digest": digest(payload), **fields,
        }  # fmt: skip
        made = Envelope(**given)
        for flags, parts in body_parts(made, payload, 65536):
            self.put(FrameType.MSG, b"".join(parts), flags)
        return made

    async def take(self, kind: FrameType) -> Frame:
        """The next frame of this kind; others are dropped.

        Raises EOFError when the connection ends first.
        """
        while True:
            while self.frames:
                frame = self.frames.pop(0)
                if frame.type is kind:
                    return frame
            data = await self.reader.read(65536)
            if not data:
                raise EOFError
            self.frames += self.decoder.feed(data)

    async def nack(self) -> Nack:
        return decode_control(Nack, (await self.take(FrameType.NACK)).body)

    async def goaway(self) -> Goaway:
        return decode_control(Goaway, (await self.take(FrameType.GOAWAY)).body)

    async def ended(self) -> bool:
        """Wait for the end; whether a GOAWAY came before it."""
        try:
            await self.goaway()
        except (EOFError, OSError):
            return False
        try:
            while await self.reader.read(65536):
                pass
        except OSError:
            pass
        return True


@asynccontextmanager
async def raw_peer(
    address: tuple[str, int], *, source: HeldIdentity | None = None, hello: Hello | None = HELLO
) -> AsyncIterator[RawPeer]:
    """Connect as the researcher; without ``hello`` the connection stays as TLS left it."""
    identity = (source or FORGE.source(RESEARCHER)).current()
    reader, writer = await asyncio.open_connection(*address, ssl=client_context(identity), server_hostname="")
    peer = RawPeer(reader, writer)
    try:
        if hello is not None:
            peer.put(FrameType.HELLO, hello)
            await peer.take(FrameType.HELLO)
        yield peer
    finally:
        writer.transport.abort()
