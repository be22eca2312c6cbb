"""Leaf, issuing CA, root and bundle change again and again under load: no message is lost or handled twice."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections import defaultdict
from dataclasses import replace

import pytest

from agentguard import ChannelError
from agentguard.channel.client import AgentClient
from agentguard.channel.envelope import Message
from agentguard.channel.server import AgentServer
from tests.channel.forge import DOMAIN, WRITER, Ca, Forge, HeldIdentity
from tests.channel.pairs import FAST, Records, allow, until
from tests.channel.raw import raw_peer


class Rotating:
    """One agent whose certificate comes from whichever CA is current."""

    def __init__(self, uri: str, forge: Forge) -> None:
        self.uri = uri
        self.leaf = forge.issuing.leaf([uri])
        self.source = HeldIdentity(self.leaf.identity(forge.root))

    def trust(self, *anchors: Ca) -> None:
        """A new bundle, the leaf stays."""
        self.source.replace(self.leaf.identity(*anchors))

    def renew(self, forge: Forge, *anchors: Ca) -> None:
        """A new leaf, the bundle stays."""
        self.leaf = forge.issuing.leaf([self.uri])
        self.source.replace(self.leaf.identity(*anchors))


async def rotate_under_load(rotations: int, peers: int, pause: float) -> tuple[int, int]:
    """Rotate; returns how many messages were handled, and over how many connections."""
    forge = first = Forge.make()
    agents = [Rotating(WRITER, forge), *(Rotating(f"spiffe://{DOMAIN}/agent/peer-{n}", forge) for n in range(peers))]
    handled: dict[str, list[int]] = defaultdict(list)

    async def note(message: Message) -> bytes:
        handled[str(message.sender)].append(int(message.payload))
        return message.payload

    records = Records()
    limits = replace(FAST, max_age_s=max(0.3, 2 * pause), connections_per_identity=8, handshakes_per_source=64)
    server = AgentServer(agents[0].source, "127.0.0.1", 0, authorize=allow, record=records, limits=limits)
    server.on("note", note)
    stop = asyncio.Event()

    async def load(agent: Rotating) -> int:
        async with AgentClient(agent.source, authorize=allow, limits=limits) as client:
            link = client.peer(*server.address, WRITER)
            number = 0
            while not stop.is_set():
                assert await link.request("note", b"%d" % number, timeout=60) == b"%d" % number
                number += 1
            return number

    async with server:
        loads = [asyncio.create_task(load(agent)) for agent in agents[1:]]
        for _ in range(rotations):
            following = Forge.make()
            # The new CA is trusted by all before it signs, and the old one for as long as its leaves are in use.
            for agent in agents:
                agent.trust(forge.root, following.root)
            await asyncio.sleep(pause)
            for agent in agents:
                agent.renew(following, forge.root, following.root)
            await asyncio.sleep(pause)
            for agent in agents:
                agent.trust(following.root)
            forge = following
            await asyncio.sleep(pause)
        stop.set()
        sent = await asyncio.gather(*loads)
        with contextlib.suppress(OSError, EOFError, ChannelError):
            async with raw_peer(server.address, source=first.source()):
                pytest.fail("a certificate of the first CA was let in after all rotations")
        await until(lambda: records.of("refuse"))

    for agent, count in zip(agents[1:], sent, strict=True):
        assert count > 0
        assert handled[agent.uri] == list(range(count))
    return sum(sent), len(records.of("connect"))


async def test_a_few_rotations_lose_and_repeat_nothing() -> None:
    total, connects = await rotate_under_load(rotations=4, peers=4, pause=0.3)

    assert total > 0
    assert connects > 4


@pytest.mark.long
async def test_a_hundred_rotations_with_eight_peers_lose_and_repeat_nothing() -> None:
    total, connects = await rotate_under_load(rotations=100, peers=8, pause=0.25)

    print(f"\n100 rotations, 8 peers: {total} messages over {connects} connections, none lost, none handled twice")  # noqa: T201
    assert connects > 100


async def test_a_new_certificate_of_another_agent_is_not_taken() -> None:
    """Whatever writes the files must not turn one agent into another."""
    forge = Forge.make()
    source = forge.source(WRITER)
    async with AgentServer(source, "127.0.0.1", 0, authorize=allow, limits=FAST) as server:
        before = server._context
        source.replace(forge.identity(f"spiffe://{DOMAIN}/agent/other"))
        await asyncio.sleep(0.1)

        assert server._context is before


async def test_no_connection_outlives_a_certificate() -> None:
    """It is drained while both certificates are good; without a new one the next handshake is refused."""
    forge = Forge.make()
    short = HeldIdentity(forge.issuing.leaf(end=dt.timedelta(seconds=4)).identity(forge.root))
    records = Records()
    server = AgentServer(forge.source(WRITER), "127.0.0.1", 0, authorize=allow, record=records, limits=FAST)
    client = AgentClient(short, authorize=allow, limits=FAST)
    async with server, client:
        link = await client.connect(*server.address, WRITER)
        await until(lambda: link.connection is None)

        assert short.current().not_after > dt.datetime.now(dt.UTC)
    assert records.reasons("disconnect") == ["age"]
