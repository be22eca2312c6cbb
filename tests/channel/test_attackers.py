"""Every row of the attacker matrix, what a ticket from before would be worth, and where session keys do not go."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from agentguard.channel import check_peer, client_context, server_context
from agentguard.errors import PeerRefused
from tests.channel.attackers import ATTACKERS, Attacker, Listener, World, attack_server, faults, lenient, main
from tests.channel.forge import RESEARCHER, WRITER, Forge
from tests.channel.test_tls import shake

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("attacker", ATTACKERS, ids=lambda attacker: f"{attacker.name} ({attacker.side})")
def test_an_attacker_is_refused_for_the_exact_reason_before_any_byte(attacker: Attacker) -> None:
    """And is not up, even where its handshake ended: TLS 1.3 clients end theirs before the server has judged."""
    outcome = attacker.attempt()

    assert faults(attacker, outcome) == []


def test_clients_whose_handshake_succeeds_are_still_refused() -> None:
    """What makes HELLO necessary: without it these clients would think that they are connected."""
    row = next(row for row in ATTACKERS if row.name == "expired certificate" and row.side == "client")

    outcome = row.attempt()

    assert outcome.shaken
    assert not outcome.up


def test_the_honest_pair_gets_through() -> None:
    """The matrix can fail: the same harness lets a good certificate in."""
    world = World.make()
    good = lenient(world.forge.identity(RESEARCHER), ssl.PROTOCOL_TLS_CLIENT)

    outcome = attack_server(good, server=world.server)

    assert (outcome.reason, outcome.up, outcome.handled) == ("", True, b"payload")


def test_the_report_names_every_attacker(capsys: pytest.CaptureFixture[str]) -> None:
    code = main()

    told = capsys.readouterr().out
    assert code == 0
    assert all(row.name in told and row.reason in told for row in ATTACKERS)


def _session_of(context: ssl.SSLContext, listener: Listener) -> ssl.SSLSession | None:
    """What a client keeps after a good connection, to resume it with."""
    import socket

    with socket.create_connection(listener.address, timeout=5) as raw, context.wrap_socket(raw) as tls:
        assert tls.recv(100) == b"hello"
        session = tls.session
        tls.sendall(b"x")
    listener.finish()
    return session


@pytest.mark.parametrize("tickets", [0, 2], ids=["as-built", "control: with tickets it would work"])
def test_a_session_from_before_is_worth_nothing(tickets: int) -> None:
    """CVE-2025-23419 and its like: a resumed session is never verified again. The control shows it."""
    world = World.make()
    server = server_context(world.server.identity)
    if tickets:
        server.num_tickets = tickets
        server.options &= ~ssl.OP_NO_TICKET
    client = lenient(world.forge.identity(RESEARCHER), ssl.PROTOCOL_TLS_CLIENT)
    client.options &= ~ssl.OP_NO_TICKET

    session = _session_of(client, Listener(server, world.server))

    assert session is not None
    assert session.has_ticket is bool(tickets)


def test_a_session_does_not_outlive_a_block() -> None:
    world = World.make()
    identity = world.forge.identity(RESEARCHER)
    client = lenient(identity, ssl.PROTOCOL_TLS_CLIENT)
    session = _session_of(client, Listener(server_context(world.server.identity), world.server))
    world.server.serials.add(identity.serial)

    outcome = attack_server(client, server=world.server, session=session)

    assert (outcome.reason, outcome.up) == ("blocked", False)


KEYLOG = """
import ssl
from tests.channel.forge import Forge, RESEARCHER, WRITER
from tests.channel.test_tls import shake
from agentguard.channel import client_context, server_context
forge = Forge.make()
shake(client_context(forge.identity(RESEARCHER)), server_context(forge.identity(WRITER)))
if {control}:
    ssl.create_default_context()
"""


@pytest.mark.parametrize("control", [False, True], ids=["as-built", "control: the default context writes it"])
def test_sslkeylogfile_gets_no_keys(tmp_path: Path, control: bool) -> None:
    log = tmp_path / "keys.log"
    environment = {**os.environ, "SSLKEYLOGFILE": str(log), "PYTHONPATH": str(ROOT)}

    subprocess.run([sys.executable, "-c", KEYLOG.format(control=control)], env=environment, check=True, timeout=60)

    assert log.exists() is control


def test_a_block_list_that_is_unknown_refuses_everybody() -> None:
    from agentguard.errors import IdentityError

    class Unsure(type(World.make().server)):  # type: ignore[misc]
        def blocked(self, *_: object) -> bool:
            raise IdentityError("the list is too old")

    forge = Forge.make()
    unsure = Unsure(forge.identity(WRITER))
    _, server = shake(client_context(forge.identity(RESEARCHER)), server_context(unsure.identity))

    with pytest.raises(PeerRefused) as refused:
        check_peer(server, unsure.identity, unsure, expected=None)
    assert refused.value.reason == "block-list-unavailable"


def test_a_peer_before_its_handshake_is_refused() -> None:
    forge = Forge.make()
    source = forge.source()
    fresh = client_context(source.identity).wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO())

    with contextlib.suppress(ssl.SSLWantReadError):
        fresh.do_handshake()

    with pytest.raises(PeerRefused, match="handshake-failed"):
        check_peer(fresh, source.identity, source, expected=None)
