"""``RemotePeer``: another agent, asked from any thread or event loop, every word in both directions under the guard.

What is asked is checked as the asking agent's own message, what comes back as untrusted text in the run that asked.
Pieces of a streamed reply go through the guard's stream filter; where the policy judges answers whole, they are held
back until the last one is there.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from agentguard.conversation import Conversation, current_conversation
from agentguard.errors import UnsupportedValueError
from agentguard.event import AgentMessage, Json
from agentguard.messaging import MessageGuard, decode_content, encode_content, user_of

if TYPE_CHECKING:
    from agentguard.channel.delivery import Link
    from agentguard.channel.identity import IdentitySource
    from agentguard.channel.limits import Limits
    from agentguard.channel.spiffe import SpiffeId

__all__ = ["RemotePeer"]

DEFAULT_TIMEOUT_S = 120.0


class RemotePeer:
    """One remote agent over mutual TLS. Thread-safe; close it, or use ``with``.

    Args:
        guards: checks and records, and knows who may be asked what.
        source: our identity.
        address: host and port.
        peer: the SPIFFE ID that must be presented there.
        limits: bounds of the channel.

    Raises:
        IdentityError: ``peer`` is no SPIFFE ID, or there is no valid identity.
    """

    def __init__(
        self,
        guards: MessageGuard,
        source: IdentitySource,
        address: tuple[str, int],
        peer: SpiffeId | str,
        *,
        limits: Limits | None = None,
    ) -> None:
        from agentguard.channel.loop import LoopThread

        self._guards = guards
        self._agent = source.current().spiffe_id.agent
        self._client = guards.client(source, limits=limits)
        self._loop = LoopThread()
        try:
            self._link: Link = self._loop.call(self._start(address, peer), 10.0)
        except BaseException:
            self._loop.stop()
            raise

    @property
    def peer(self) -> SpiffeId:
        """Who is asked."""
        return self._link.receiver

    def ask(self, topic: str, content: Json, *, timeout: float = DEFAULT_TIMEOUT_S) -> Json:
        """Ask and wait for the reply, from a thread without an event loop, in the conversation that is active.

        Raises:
            Denied: policy forbids the topic, or refused the content or the reply.
            DeliveryFailed, Overloaded: the peer refused it, did not answer in time, or cannot be reached.
        """
        return self._loop.call(self._ask(topic, content, current_conversation(), timeout), timeout + 10.0)

    async def aask(self, topic: str, content: Json, *, timeout: float = DEFAULT_TIMEOUT_S) -> Json:
        """As ``ask``, from a coroutine."""
        return await asyncio.wrap_future(self._loop.submit(self._ask(topic, content, current_conversation(), timeout)))

    async def stream(self, topic: str, content: Json, *, timeout: float = DEFAULT_TIMEOUT_S) -> AsyncIterator[str]:
        """Ask and iterate over the pieces of a streamed text.

        Raises:
            Denied, DeliveryFailed, Overloaded: as ``ask``.
        """
        run = current_conversation()
        pieces = self._stream(topic, content, run, timeout)
        try:
            while (piece := await asyncio.wrap_future(self._loop.submit(_next(pieces)))) is not None:
                yield piece
        finally:
            await asyncio.wrap_future(self._loop.submit(_close(pieces)))

    def close(self) -> None:
        """End the connection in order."""
        try:
            self._loop.call(self._client.close(2.0), 15.0)
        finally:
            self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- on the channel's loop -----------------------------------------------------------------------------------------

    async def _start(self, address: tuple[str, int], peer: SpiffeId | str) -> Link:
        await self._client.start()
        return self._client.peer(*address, peer)

    async def _ask(self, topic: str, content: Json, run: Conversation | None, timeout: float) -> Json:
        payload, behalf = await self._outgoing(topic, content, run)
        reply = await self._link.request(topic, payload, timeout=timeout, behalf=behalf)
        return await self._reply(topic, decode_content(reply), run)

    async def _stream(self, topic: str, content: Json, run: Conversation | None, timeout: float) -> AsyncIterator[str]:
        payload, behalf = await self._outgoing(topic, content, run)
        redactor = self._guards.guard.stream_filter()
        whole = ""
        # The channel may cut a piece anywhere.
        decoder = codecs.getincrementaldecoder("utf-8")()
        pieces = self._link.stream(topic, payload, timeout=timeout, behalf=behalf)
        async for piece in pieces:
            try:
                text = decoder.decode(piece)
            except UnicodeDecodeError as error:
                raise UnsupportedValueError("a streamed reply is no UTF-8 text") from error
            whole += text
            if redactor is not None and (shown := redactor.feed(text)):
                yield shown
        checked = await self._reply(topic, whole, run)
        if redactor is None:
            yield str(checked)
        elif rest := redactor.flush():
            yield rest

    async def _outgoing(self, topic: str, content: Json, run: Conversation | None) -> tuple[bytes, str | None]:
        message = AgentMessage(self._agent, self.peer.agent, topic, content)
        user = user_of(run)
        return encode_content(await self._guards.outgoing(message, run)), user.id if user else None

    async def _reply(self, topic: str, content: Json, run: Conversation | None) -> Json:
        return await self._guards.reply(AgentMessage(self.peer.agent, self._agent, topic, content), run)


async def _next(pieces: Any) -> str | None:
    try:
        piece: str = await anext(pieces)
    except StopAsyncIteration:
        return None
    return piece


async def _close(pieces: Any) -> None:
    await pieces.aclose()
