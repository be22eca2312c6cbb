"""Two agents that talk: endpoints with certificates of one forge, permitted to do what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from agentguard import AgentMessage, Decision, Denied, Effect
from agentguard.channel import SpiffeId
from agentguard.channel.client import AgentClient
from agentguard.channel.delivery import Link
from agentguard.channel.envelope import Message
from agentguard.channel.limits import Limits
from agentguard.channel.server import AgentServer
from agentguard.event import Json
from tests.channel.forge import RESEARCHER, WRITER, Forge, HeldIdentity

FORGE = Forge.make()
# Long enough for a machine with other work, short enough that a hang is noticed.
PATIENCE = 20.0
FAST = Limits(messages_per_s=1e6, bytes_per_s=1e12, accepts_per_s=1e4, accepts_per_source_per_s=1e4)


def denied(reason: str = "message-not-permitted") -> Denied:
    return Denied(Decision(Effect.DENY, AgentMessage("a", "b", "t", None), "0" * 16, reason=reason, message="No."))


def allow(sender: SpiffeId, receiver: SpiffeId, topic: str, size: int, /) -> Denied | None:
    return None


@dataclass
class Records:
    """An audit log in memory."""

    rows: list[dict[str, Json]] = field(default_factory=list)

    def __call__(self, record: Mapping[str, Json]) -> None:
        self.rows.append(dict(record))

    def of(self, event: str) -> list[dict[str, Json]]:
        return [row for row in self.rows if row["event"] == event]

    def reasons(self, event: str) -> list[Json]:
        return [row["reason"] for row in self.of(event)]


async def echo(message: Message) -> bytes:
    return message.payload


@dataclass
class Pair:
    server: AgentServer
    client: AgentClient
    link: Link
    server_source: HeldIdentity
    client_source: HeldIdentity
    server_records: Records
    client_records: Records


@asynccontextmanager
async def pair(
    handlers: Mapping[str, Callable[..., Any]] | None = None,
    *,
    limits: Limits = FAST,
    client_limits: Limits | None = None,
    server_authorize: Any = allow,
    client_authorize: Any = allow,
    idempotent: bool = True,
    concurrent: bool = False,
    patience: float = PATIENCE,
    **server_settings: Any,
) -> AsyncIterator[Pair]:
    """A server of the writer's and a client of the researcher's, connected when first used."""
    records = Records(), Records()
    sources = FORGE.source(WRITER), FORGE.source(RESEARCHER)
    server = AgentServer(
        sources[0], "127.0.0.1", 0, authorize=server_authorize, record=records[0], limits=limits, **server_settings
    )
    for topic, handler in (handlers or {"echo": echo}).items():
        server.on(topic, handler, idempotent=idempotent, concurrent=concurrent)
    client = AgentClient(sources[1], authorize=client_authorize, record=records[1], limits=client_limits or limits)
    async with asyncio.timeout(patience), server, client:
        link = client.peer(*server.address, WRITER)
        yield Pair(server, client, link, *sources, *records)


async def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait for something that another task or thread does."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
