"""What the channel keeps across restarts, on every state database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import MetaData
from sqlalchemy.exc import IntegrityError

from agentguard import Home
from agentguard.channel import SpiffeId
from agentguard.channel.envelope import Message, decode_envelope, encode_envelope
from agentguard.channel.journal import Journal
from agentguard.channel.window import Outcome
from agentguard.errors import ChannelError, StoreError
from agentguard.store import begin_immediate, open_state
from agentguard.testing import FakeClock
from tests.channel.forge import RESEARCHER, WRITER
from tests.channel.pairs import echo, pair
from tests.channel.test_frame import envelope

EPOCH = b"e" * 16


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1000.0)


@pytest.fixture
def journal(state_home: Home, clock: FakeClock) -> Iterator[Journal]:
    made = journal_of(state_home, clock)
    yield made
    asyncio.run(made.close())


def journal_of(home: Home, clock: FakeClock, owner: str = WRITER) -> Journal:
    metadata = MetaData()
    Journal.define(metadata)
    return Journal(lambda: open_state(home, metadata), owner=owner, path=home.path, clock=clock)


async def test_what_was_handled_is_known_after_a_restart(journal: Journal) -> None:
    sent = [envelope(3, sender=RESEARCHER, sequence=n, created=1_000_000, ttl=60_000) for n in (1, 2, 3)]
    await asyncio.gather(*(journal.record(each, b"reply") for each in sent))

    found = await journal.handled_before(RESEARCHER, EPOCH)

    assert [(t.id, t.sequence, t.digest, t.reply) for t in found] == [
        (e.id, e.sequence, e.digest, b"reply") for e in sent
    ]
    assert {t.outcome for t in found} == {Outcome.HANDLED}
    assert await journal.handled_before(RESEARCHER, b"f" * 16) == []
    assert await journal.handled_before(WRITER, EPOCH) == []


async def test_handled_twice_in_one_database_is_refused(journal: Journal) -> None:
    sent = envelope(3, sender=RESEARCHER, sequence=7, created=1_000_000, ttl=60_000)
    message = Message(sent.id, SpiffeId.parse(RESEARCHER), SpiffeId.parse(WRITER), "t", b"xxx", 1000.0, 0.0, sent)

    with begin_immediate(journal._engine) as connection:
        journal.record_in(connection, message)
    with pytest.raises(IntegrityError), begin_immediate(journal._engine) as connection:
        journal.record_in(connection, message)

    assert [t.sequence for t in await journal.handled_before(RESEARCHER, EPOCH)] == [7]
    assert journal.has_recorded(sent.id)
    assert not journal.has_recorded(sent.id)


async def test_the_outbox_gives_back_what_was_not_delivered_in_order(journal: Journal, clock: FakeClock) -> None:
    sent = [envelope(1, receiver=WRITER, sequence=n, created=1_000_000 + n, ttl=60_000) for n in (1, 2, 3)]
    for each in sent:
        await journal.keep(each, encode_envelope(each), b"x")
    await journal.delivered(sent[1].id)

    found = await journal.undelivered(WRITER)

    assert [decode_envelope(each.header) for each in found] == [sent[0], sent[2]]
    assert await journal.undelivered(RESEARCHER) == []
    clock.advance(61)
    assert await journal.undelivered(WRITER) == []


async def test_what_expired_is_deleted(journal: Journal, clock: FakeClock) -> None:
    await journal.record(envelope(1, sender=RESEARCHER, sequence=1, created=1_000_000, ttl=1000), None)
    clock.advance(3600)
    await journal.record(envelope(1, sender=RESEARCHER, sequence=2, created=4_600_000, ttl=1000), None)

    assert [t.sequence for t in await journal.handled_before(RESEARCHER, EPOCH)] == [2]


async def test_a_database_that_fails_is_told_to_every_writer_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    def broken() -> object:
        raise StoreError("the disk is gone")

    journal = Journal(broken, owner=WRITER, path=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        await journal.record(envelope(1), None)
    async with pair({"echo": echo}, idempotent=False, journal=journal) as p:
        with pytest.raises(ChannelError):
            await p.link.request("echo", b"x", timeout=0.5)


async def test_messages_of_a_topic_that_is_not_idempotent_are_recorded_before_the_reply(state_home: Home) -> None:
    """A receiver that restarts knows the duplicate, and answers it as before."""
    calls: list[bytes] = []

    async def count(message: Message) -> bytes:
        calls.append(message.payload)
        return b"%d" % len(calls)

    import time

    from agentguard.channel.frame import FrameType
    from tests.channel.raw import raw_peer

    first = journal_of(state_home, time.time)  # type: ignore[arg-type]
    async with pair({"echo": count}, idempotent=False, journal=first) as p, raw_peer(p.server.address) as peer:
        sent = peer.message(1, wants=1)
        answer = await peer.take(FrameType.MSG)
    second = journal_of(state_home, time.time)  # type: ignore[arg-type]
    async with pair({"echo": count}, idempotent=False, journal=second) as p, raw_peer(p.server.address) as again:
        again.message(1, wants=1, id=sent.id, epoch=peer.epoch)
        assert (await again.take(FrameType.MSG)).body == answer.body

    assert calls == [b"x"]
