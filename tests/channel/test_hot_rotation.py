"""The CA, its service and its members in real time: certificates of seconds, CA after CA, and nobody is refused."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agentguard.channel import (
    Authority,
    EnrolmentServer,
    IdentityRecord,
    Membership,
    RotatingIdentity,
    check_peer,
    client_context,
    new_token,
    server_context,
)
from agentguard.store import Home
from tests.channel.test_tls import shake

LEAF_S = 4.0
MEMBERS = 4


def _meet(one: RotatingIdentity, other: RotatingIdentity) -> None:
    """A handshake with every check on both sides. Raises when one refuses the other."""
    client, server = one.current(), other.current()
    ends = shake(client_context(client), server_context(server))
    check_peer(ends[0], client, one, expected=frozenset({server.spiffe_id}))
    check_peer(ends[1], server, other, expected=None)


def _rotate_for(seconds: float, folder: Path, records: list[IdentityRecord]) -> tuple[int, int, int]:
    """Handshakes, rotations and renewals that happened."""
    authority = Authority.create(Home.create(folder / "ca"), "agents.example.org", leaf_s=LEAF_S, record=records.append)
    server = EnrolmentServer(authority, record=records.append)
    sources = []
    for number in range(MEMBERS):
        node = Home.create(folder / f"node{number}")
        token = new_token(authority, authority.agent_id(f"agent-{number}"))
        sources.append(Membership.join(node, token, server.address).source(record=records.append, poll_s=0.3))
    handshakes = rotations = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if all(ca.state != "waits" for ca in authority.schedule()):
            authority.rotate()
            rotations += 1
        for number in range(MEMBERS):
            _meet(sources[number], sources[(number + 1) % MEMBERS])
            handshakes += 1
        time.sleep(0.02)  # the sources' threads share the processor with this loop
    for source in sources:
        source.close()
    server.close()
    authority.close()
    return handshakes, rotations, sum(record.action == "renew" for record in records)


@pytest.mark.long
def test_rotation_of_leaves_and_cas_interrupts_nobody(tmp_path: Path) -> None:
    """Each leaf lives four seconds and each CA signs for about as long, for two minutes."""
    records: list[IdentityRecord] = []

    handshakes, rotations, renewals = _rotate_for(120.0, tmp_path, records)

    print(f"\n{rotations} CAs, {renewals} renewals, {handshakes} handshakes, none refused")  # noqa: T201
    assert rotations >= 20
    assert renewals >= 100
    assert [record for record in records if not record.success] == []


def test_the_first_rotations_interrupt_nobody(tmp_path: Path) -> None:
    records: list[IdentityRecord] = []

    handshakes, rotations, renewals = _rotate_for(6.0, tmp_path, records)

    assert handshakes > 0
    assert rotations >= 1
    assert renewals >= MEMBERS
    assert [record for record in records if not record.success] == []
