"""One certificate at two addresses."""

from __future__ import annotations

from datetime import UTC, datetime

from agentguard.channel import Peer, Sightings, SpiffeId
from agentguard.channel.sightings import MAX_CERTIFICATES
from tests.channel.forge import RESEARCHER

NAME = SpiffeId.parse(RESEARCHER)


def peer(serial: int, address: str) -> Peer:
    return Peer(NAME, serial, datetime.now(UTC), address)


def test_each_new_address_of_a_certificate_is_told_once() -> None:
    sightings = Sightings()

    told = [sightings.elsewhere(peer(1, address)) for address in ("a", "a", "b", "a", "b", "c")]

    assert told == [None, None, "a", None, None, "b"]


def test_certificates_and_unknown_addresses_are_told_apart() -> None:
    sightings = Sightings()

    told = [sightings.elsewhere(peer(serial, address)) for serial, address in ((1, "a"), (2, "b"), (1, ""), (2, "b"))]

    assert told == [None] * 4


def test_memory_is_bounded_and_what_is_in_use_stays() -> None:
    sightings = Sightings()
    for serial in range(MAX_CERTIFICATES):
        sightings.elsewhere(peer(serial, "a"))
    sightings.elsewhere(peer(0, "a"))

    sightings.elsewhere(peer(MAX_CERTIFICATES, "a"))

    assert len(sightings._seen) == MAX_CERTIFICATES
    assert sightings.elsewhere(peer(0, "b")) == "a"
    assert sightings.elsewhere(peer(1, "b")) is None


def test_a_certificate_that_wanders_does_not_grow() -> None:
    sightings = Sightings()

    told = [sightings.elsewhere(peer(1, str(number))) for number in range(50)]

    assert sum(place is not None for place in told) == 49
    assert len(sightings._seen[1]) == 8
