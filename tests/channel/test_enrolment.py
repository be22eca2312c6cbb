"""Joining with a token and renewing over the network, against a real service on loopback."""

from __future__ import annotations

import json
import multiprocessing
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.channel import (
    Authority,
    EnrolmentServer,
    IdentityRecord,
    JoinToken,
    Membership,
    SpiffeId,
    client_context,
    new_token,
    open_identity,
    server_context,
)
from agentguard.channel.certificate import leaf_certificate, make_request, new_key, pem_of_certificate, pem_of_key
from agentguard.channel.enrolment import Refusals, Room
from agentguard.channel.identity import Identity
from agentguard.channel.membership import _ask, membership_path
from agentguard.channel.protocol import (
    ALPN_CA,
    REPLIES,
    REQUESTS,
    Join,
    News,
    Refused,
    Renew,
    Root,
    RootReply,
    receive,
    send,
)
from agentguard.channel.tls import strict_context, unverified_context
from agentguard.errors import AgentGuardError, ChannelError, EnrolmentRefused, FrameError, IdentityError
from agentguard.store import Home
from tests.channel.forge import DOMAIN, RESEARCHER, WRITER, Forge

NAME = SpiffeId.parse(RESEARCHER)


class Domain:
    """A CA with its service, and a node that may join."""

    def __init__(self, home: Home, node: Home, *, leaf_s: float = 3600.0) -> None:
        self.offset = 0.0
        self.records: list[IdentityRecord] = []
        self.node_records: list[IdentityRecord] = []
        self.home, self.node = home, node
        self.authority = Authority.create(home, DOMAIN, leaf_s=leaf_s, record=self.records.append)
        self.server = EnrolmentServer(
            self.authority, record=self.records.append, clock=self.clock, handshake_s=2.0, exchange_s=2.0
        )

    def clock(self) -> float:
        return time.time() + self.offset

    def token(self, name: str = RESEARCHER) -> JoinToken:
        return new_token(self.authority, SpiffeId.parse(name), record=self.records.append)

    def join(self, token: JoinToken | None = None) -> Membership:
        return Membership.join(
            self.node, token or self.token(), self.server.address, record=self.node_records.append
        )  # fmt: skip

    def refusals(self) -> list[str]:
        # The service records after it has answered.
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            found = [record.detail for record in self.records if record.action == "refuse"]
            if found:
                return found
            time.sleep(0.01)
        return []

    def close(self) -> None:
        self.server.close()
        self.authority.close()


@pytest.fixture
def domain(state_home: Home, tmp_path: Path) -> Iterator[Domain]:
    made = Domain(state_home, Home.create(tmp_path / "node"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    folder = tmp_path_factory.mktemp("shared")
    made = Domain(Home.create(folder / "ca"), Home.create(folder / "node"))
    yield made
    made.close()


# Tokens


def test_a_token_reads_back_and_hides_its_secret() -> None:
    token = JoinToken(NAME, bytes(range(32)), bytes(32))

    assert JoinToken.parse(f" {token}\n") == token
    assert "secret" not in repr(token)


@given(st.text() | st.text("agj1.ABCdef-_", max_size=200))
def test_what_is_no_token_is_an_identity_error_that_shows_nothing_of_it(text: str) -> None:
    with pytest.raises(IdentityError) as error:
        JoinToken.parse(text)
    assert len(text) < 12 or text not in str(error.value)


def test_a_token_joins_once(domain: Domain) -> None:
    token = domain.token()

    member = domain.join(token)
    with pytest.raises(EnrolmentRefused) as second:
        domain.join(token)

    assert member.identity.spiffe_id == NAME
    assert second.value.reason == "token-used"
    assert [record.action for record in domain.records][-1] == "refuse"
    assert [record.action for record in domain.node_records] == ["join"]


def test_a_token_expires(domain: Domain) -> None:
    token = domain.token()

    domain.offset = 601
    with pytest.raises(EnrolmentRefused) as refused:
        domain.join(token)

    assert refused.value.reason == "token-expired"


def test_a_token_is_for_one_identity_and_a_wrong_use_ends_it(domain: Domain) -> None:
    token = domain.token()

    with pytest.raises(EnrolmentRefused) as wrong:
        domain.join(replace(token, spiffe_id=SpiffeId.parse(WRITER)))
    with pytest.raises(EnrolmentRefused) as right:
        domain.join(token)

    assert (wrong.value.reason, right.value.reason) == ("token-mismatch", "token-used")
    assert domain.authority.issued()[0].spiffe_id == f"spiffe://{DOMAIN}/ca"


def test_a_made_up_token_is_refused_and_recorded_with_where_it_came_from(domain: Domain) -> None:
    forged = replace(domain.token(), secret=bytes(32))

    with pytest.raises(EnrolmentRefused) as refused:
        domain.join(forged)

    assert refused.value.reason == "token-unknown"
    record = next(record for record in domain.records if record.action == "refuse")
    assert (record.subject, record.detail, record.by, record.success) == (
        RESEARCHER,
        "token-unknown",
        "127.0.0.1",
        False,
    )


def test_only_the_tokens_digest_is_stored(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "ca")
    authority = Authority.create(home, DOMAIN)
    token = new_token(authority, NAME)
    authority.close()

    stored = b"".join(path.read_bytes() for path in home.path.rglob("state.db*"))

    assert token.secret not in stored
    assert token.secret.hex().encode() not in stored


@pytest.mark.parametrize("name", [f"spiffe://{DOMAIN}/ca", "spiffe://elsewhere.example/agent/x"])
def test_no_token_for_names_that_are_not_given_out(domain: Domain, name: str) -> None:
    with pytest.raises(IdentityError):
        new_token(domain.authority, SpiffeId.parse(name))


def test_a_blocked_identity_cannot_join(domain: Domain) -> None:
    token = domain.token()
    domain.authority.block(NAME, reason="stolen")

    with pytest.raises(EnrolmentRefused) as refused:
        domain.join(token)

    assert refused.value.reason == "not-granted"


def _join(folder: str, token: str, address: tuple[str, int], start: object, results: object) -> None:
    node = Home.create(folder)
    start.wait()  # type: ignore[attr-defined]
    try:
        Membership.join(node, JoinToken.parse(token), address)
        results.put("joined")  # type: ignore[attr-defined]
    except EnrolmentRefused as error:
        results.put(error.reason)  # type: ignore[attr-defined]


def test_of_four_processes_with_one_token_exactly_one_joins(domain: Domain, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(4), context.Queue()
    token = str(domain.token())
    workers = [
        context.Process(
            target=_join, args=(str(tmp_path / f"node{number}"), token, domain.server.address, start, results)
        )
        for number in range(4)
    ]

    for worker in workers:
        worker.start()
    found = sorted(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(30)

    assert found == ["joined", "token-used", "token-used", "token-used"]
    assert sum(entry.how == "join" for entry in domain.authority.issued()) == 1


# The pin


def test_another_ca_is_recognised_and_told_nothing(domain: Domain, tmp_path: Path) -> None:
    """A machine in the middle with a CA of its own: the token's secret never leaves."""
    impostor = Domain(Home.create(tmp_path / "impostor"), domain.node)
    token = domain.token()

    with pytest.raises(EnrolmentRefused) as refused:
        Membership.join(domain.node, token, impostor.server.address)

    assert refused.value.reason == "wrong-root"
    assert impostor.refusals() == []
    impostor.close()
    domain.join(token)


def test_the_right_root_with_another_servers_certificate_is_recognised(domain: Domain) -> None:
    """The root is public: an agent of the domain shows it, and its own certificate, as if it were the CA."""
    thief = domain.authority.identity(SpiffeId.parse(WRITER))
    context = server_context(thief, alpn=ALPN_CA)
    context.verify_mode = ssl.CERT_NONE
    listening = socket.create_server(("127.0.0.1", 0))
    heard: list[object] = []

    def serve() -> None:
        for _ in range(2):
            raw, _ = listening.accept()
            try:
                with context.wrap_socket(raw, server_side=True) as tls:
                    heard.append(receive(tls, REQUESTS, limit=9999, deadline=time.monotonic() + 5))
                    send(tls, RootReply(domain.authority.root_pem.decode()), deadline=time.monotonic() + 5)
            except (OSError, AgentGuardError):
                raw.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    with pytest.raises(ChannelError, match="unexpected-identity"):
        Membership.join(domain.node, domain.token(), listening.getsockname())

    thread.join(10)
    listening.close()
    assert heard == [Root()]


def test_a_refusals_words_cannot_move_the_terminals_cursor(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain.server, "_join", lambda *_: Refused("no\x1b[2J", "go away\n\u202egnihton"))

    with pytest.raises(EnrolmentRefused) as refused:
        domain.join()

    assert str(refused.value) == "go away??gnihton (no?[2J)"


def test_nobody_there_is_one_clear_line(domain: Domain) -> None:
    token = domain.token()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()

    with pytest.raises(ChannelError, match="no CA answers"):
        Membership.join(domain.node, token, address)


# Renewal


def _ask_as(domain: Domain, identity: Identity, request: Renew | News) -> object:
    return _ask(domain.server.address, client_context(identity, alpn=ALPN_CA), DOMAIN, request)


def _renewal() -> Renew:
    return Renew(make_request(new_key()).decode())


def test_a_member_renews_with_a_fresh_key(domain: Domain) -> None:
    member = domain.join()
    source = member.source(record=domain.node_records.append, poll_s=3600)
    before = source.current()

    source.renew()

    after = source.current()
    assert after.spiffe_id == before.spiffe_id
    assert after.serial != before.serial
    assert after.key_pem != before.key_pem
    assert Membership.open(domain.node, "researcher").identity == after
    source.close()


def test_a_renewal_is_for_the_name_in_the_certificate(domain: Domain) -> None:
    """The request has no place for a name: whoever asks gets its own."""
    member = domain.join()

    reply = _ask_as(domain, member.identity, _renewal())

    assert isinstance(reply, Refused) is False
    assert [entry.spiffe_id for entry in domain.authority.issued() if entry.how == "renew"] == [RESEARCHER]


def test_a_renewal_with_the_same_key_is_refused(domain: Domain) -> None:
    request = _renewal()
    member = domain.join()
    _ask_as(domain, member.identity, request)

    with pytest.raises(EnrolmentRefused, match="fresh key"):
        _ask_as(domain, member.identity, request)


@pytest.mark.parametrize("target", ["identity", "serial"])
def test_a_stolen_leaf_cannot_be_renewed_once_it_is_blocked(domain: Domain, target: str) -> None:
    member = domain.join()
    domain.authority.block(NAME if target == "identity" else member.identity.serial, reason="stolen")

    with pytest.raises(EnrolmentRefused):
        _ask_as(domain, member.identity, _renewal())

    assert domain.refusals() == ["blocked"]


def test_an_expired_leaf_cannot_be_renewed(domain: Domain) -> None:
    row = domain.authority._signing()
    issuer, key = x509.load_pem_x509_certificate(row.certificate), new_key()
    now = time.time()
    leaf = leaf_certificate(
        key.public_key(), NAME, issuer, domain.authority._key(row), start=now - 50, end=now - 1
    )  # fmt: skip
    expired = Identity.from_pem(pem_of_certificate(leaf, issuer), pem_of_key(key), domain.authority.bundle())

    with pytest.raises(ChannelError):
        _ask_as(domain, expired, _renewal())

    assert domain.refusals() == ["expired"]


def test_a_leaf_that_the_ca_never_issued_gives_a_stolen_ca_key_away(domain: Domain) -> None:
    row = domain.authority._signing()
    issuer, key = x509.load_pem_x509_certificate(row.certificate), new_key()
    now = time.time()
    minted = leaf_certificate(
        key.public_key(), NAME, issuer, domain.authority._key(row), start=now - 50, end=now + 999
    )  # fmt: skip
    identity = Identity.from_pem(pem_of_certificate(minted, issuer), pem_of_key(key), domain.authority.bundle())

    with pytest.raises(EnrolmentRefused) as refused:
        _ask_as(domain, identity, _renewal())

    assert refused.value.reason == "never-issued"
    assert any("never issued" in record.detail for record in domain.records if record.action == "alert")


def test_a_leaf_that_is_renewed_twice_raises_an_alert(domain: Domain) -> None:
    """A thief who renews once more cannot be told from the owner; that there are two shows."""
    member = domain.join()

    _ask_as(domain, member.identity, _renewal())
    _ask_as(domain, member.identity, _renewal())

    assert sum("second time" in record.detail for record in domain.records) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address")
def test_a_certificate_that_shows_at_two_addresses_raises_an_alert_once(domain: Domain) -> None:
    """A stolen leaf with its key, used beside its owner: nobody is refused, somebody is told."""
    member = domain.join()
    context = client_context(member.identity, alpn=ALPN_CA)

    for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"):
        with (
            socket.create_connection(domain.server.address, timeout=5, source_address=(address, 0)) as raw,
            context.wrap_socket(raw) as tls,
        ):
            send(tls, News(0, ""), deadline=time.monotonic() + 5)
            receive(tls, REPLIES, limit=99_999, deadline=time.monotonic() + 5)

    (alert,) = [record for record in domain.records if record.action == "alert"]
    assert alert.detail.startswith("a certificate is used from 127.0.0.2 and from 127.0.0.1")
    assert (alert.subject, alert.serial) == (RESEARCHER, member.identity.serial)


@pytest.mark.parametrize("request_", [_renewal(), News(0, "")], ids=["renew", "news"])
def test_without_a_certificate_nothing_but_the_root_and_joining_is_answered(
    domain: Domain, request_: Renew | News
) -> None:
    context = strict_context(ssl.PROTOCOL_TLS_CLIENT, domain.authority.root_pem, ALPN_CA)

    with pytest.raises(EnrolmentRefused) as refused:
        _ask(domain.server.address, context, DOMAIN, request_)

    assert refused.value.reason == "no-certificate"


def test_an_agents_protocol_is_not_spoken_here(domain: Domain) -> None:
    """A connection led astray (ALPACA): the CA's service answers its own protocol's name only."""
    member = domain.join()

    with pytest.raises(ChannelError):
        _ask(domain.server.address, client_context(member.identity), DOMAIN, _renewal())

    assert domain.refusals() == ["wrong-protocol"]


# News


def test_a_member_hears_of_blocks_and_of_new_cas(domain: Domain) -> None:
    source = domain.join().source(poll_s=3600)
    writer = SpiffeId.parse(WRITER)
    heard: list[int] = []
    source.subscribe(lambda: heard.append(1))

    domain.authority.block(writer, reason="stolen")
    source.refresh()
    blocked = source.blocked(writer, 1)
    domain.authority.rotate()
    source.refresh()
    source.refresh()

    assert blocked
    assert source.current().roots_pem.count(b"BEGIN CERTIFICATE") == 2
    assert heard == [1, 1]
    source.close()


def test_what_a_member_heard_outlives_a_restart(domain: Domain) -> None:
    source = domain.join().source(poll_s=3600)
    domain.authority.block(SpiffeId.parse(WRITER), reason="stolen")
    source.refresh()
    source.close()

    again = open_identity(domain.node, "researcher", poll_s=3600)

    assert again.blocked(SpiffeId.parse(WRITER), 1)
    again.close()


def test_a_member_whose_certificate_expired_must_join_again(domain: Domain) -> None:
    member = domain.join()
    now = time.time()
    row, key = domain.authority._signing(), new_key()
    issuer = x509.load_pem_x509_certificate(row.certificate)
    leaf = leaf_certificate(key.public_key(), NAME, issuer, domain.authority._key(row), start=now - 50, end=now - 1)
    expired = Identity.from_pem(pem_of_certificate(leaf, issuer), pem_of_key(key), domain.authority.bundle())
    replace(member, identity=expired)._save()

    with pytest.raises(IdentityError, match="join again"):
        open_identity(domain.node, "researcher")


def test_a_damaged_membership_is_one_clear_line_without_the_key(domain: Domain) -> None:
    member = domain.join()
    path = membership_path(domain.node, "researcher")
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(IdentityError, match="join again") as error:
        Membership.open(domain.node, "researcher")
    assert error.value.__cause__ is None
    assert member.identity.key_pem.splitlines()[1].decode() not in str(error.value)


def test_a_membership_is_a_private_file(domain: Domain) -> None:
    domain.join()

    path = membership_path(domain.node, "researcher")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o644)
    with pytest.raises(IdentityError, match="chmod 600"):
        Membership.open(domain.node, "researcher")


def test_two_processes_of_one_agent_do_not_renew_against_each_other(domain: Domain) -> None:
    """The second finds what the first was given, instead of renewing a leaf that was renewed already."""
    member = domain.join()
    first, second = member.source(poll_s=3600), member.source(poll_s=3600)

    first.renew()
    second.renew()

    assert second.current().serial == first.current().serial
    assert not any(record.action == "alert" for record in domain.records)
    first.close()
    second.close()


# Hostile bytes


@given(body=st.binary(max_size=200), length=st.integers(0, 2**32 - 1) | st.none())
@settings(max_examples=50)
def test_any_bytes_from_anybody_are_refused_and_the_service_lives(
    shared: Domain, body: bytes, length: int | None
) -> None:
    granted = len(shared.authority.issued())

    with (
        socket.create_connection(shared.server.address, timeout=5) as raw,
        unverified_context(ALPN_CA).wrap_socket(raw) as tls,
    ):
        tls.sendall(struct.pack(">I", len(body) if length is None else length) + body)
    with (
        socket.create_connection(shared.server.address, timeout=5) as raw,
        unverified_context(ALPN_CA).wrap_socket(raw) as tls,
    ):
        send(tls, Root(), deadline=time.monotonic() + 5)
        answer = receive(tls, REPLIES, limit=9999, deadline=time.monotonic() + 5)

    assert isinstance(answer, RootReply)
    assert len(shared.authority.issued()) == granted


def test_a_request_larger_than_the_limit_is_not_read(domain: Domain) -> None:
    with (
        socket.create_connection(domain.server.address, timeout=5) as raw,
        unverified_context(ALPN_CA).wrap_socket(raw) as tls,
    ):
        tls.sendall(struct.pack(">I", 2**32 - 1))
        with pytest.raises((FrameError, ChannelError)):
            receive(tls, REPLIES, limit=1000, deadline=time.monotonic() + 5)

    assert domain.refusals() == ["frame-invalid"]


@pytest.mark.parametrize("greeting", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_says_nothing_or_half_a_hello_is_cut_off(domain: Domain, greeting: bytes) -> None:
    with socket.create_connection(domain.server.address, timeout=10) as raw:
        raw.sendall(greeting)
        started = time.monotonic()

        try:
            while raw.recv(100):
                pass
        except ConnectionResetError:
            pass

    assert time.monotonic() - started < 9


def test_one_byte_at_a_time_does_not_move_the_deadline(domain: Domain) -> None:
    started = time.monotonic()
    with (
        socket.create_connection(domain.server.address, timeout=10) as raw,
        unverified_context(ALPN_CA).wrap_socket(raw) as tls,
    ):
        try:
            for _ in range(100):
                tls.sendall(b"\0")
                tls.settimeout(0.2)
                try:
                    if not tls.recv(1):
                        break
                except TimeoutError:
                    continue
        except OSError:
            pass

    assert time.monotonic() - started < 9
    assert "channel-failed" in "".join(domain.refusals()) or domain.refusals() == ["frame-invalid"]


def test_more_connections_than_there_is_room_for_are_closed_at_once(domain: Domain) -> None:
    """And the service answers again when they are gone."""
    silent = [socket.create_connection(domain.server.address, timeout=5) for _ in range(32)]
    time.sleep(0.2)  # until each is accepted
    with socket.create_connection(domain.server.address, timeout=5) as one_more:
        assert one_more.recv(10) == b""
    for connection in silent:
        connection.close()

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            domain.join()
            return
        except ChannelError:
            time.sleep(0.05)
    pytest.fail("the service did not recover")


def test_one_address_cannot_take_every_place() -> None:
    room = Room()

    first = [room.enter("192.0.2.1") for _ in range(40)]
    others = [room.enter(f"192.0.2.{number}") for number in range(2, 40)]
    room.leave("192.0.2.1")

    assert (sum(first), sum(others)) == (32, 32)
    assert room.enter("192.0.2.1")


def test_knocking_without_end_does_not_fill_the_log() -> None:
    """Five records a second; the next one says how many were left out."""
    now = [100.0]
    refusals = Refusals(clock=lambda: now[0])

    first = [refusals.take() for _ in range(40)]
    now[0] += 1
    second = refusals.take()

    assert first == [0] * 5 + [None] * 35
    assert second == 35


def test_a_defect_of_ours_is_a_refusal_and_the_service_goes_on(
    domain: Domain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(domain.server, "_answer", lambda *_: 1 / 0)

    with pytest.raises(ChannelError):
        domain.join()

    assert domain.refusals() == ["failed"]
    assert "a request to the CA failed" in caplog.text
    monkeypatch.undo()
    domain.join()


# One call


def test_one_call_gives_an_identity_beside_the_ca(domain: Domain) -> None:
    source = open_identity(domain.home, "writer")

    assert str(source.current().spiffe_id) == WRITER
    source.close()


def test_a_home_without_ca_and_membership_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(IdentityError, match="agentguard ca join TOKEN"):
        open_identity(Home.create(tmp_path / "bare"), "writer")


def test_a_foreign_domains_member_cannot_join_the_news(domain: Domain) -> None:
    foreign = Forge.make("elsewhere.example").identity("spiffe://elsewhere.example/agent/x")

    with pytest.raises(ChannelError):
        _ask_as(domain, replace(foreign, roots_pem=domain.authority.bundle()), News(0, ""))


def test_a_join_message_with_more_fields_than_there_are_is_refused(domain: Domain) -> None:
    """The CA sets every extension: there is no field to ask for one."""
    body = json.dumps({"type": "join", "token": "", "identity": RESEARCHER, "request": "", "lifetime": 9}).encode()
    with (
        socket.create_connection(domain.server.address, timeout=5) as raw,
        unverified_context(ALPN_CA).wrap_socket(raw) as tls,
    ):
        tls.sendall(struct.pack(">I", len(body)) + body)
        with pytest.raises(ChannelError):
            receive(tls, REPLIES, limit=1000, deadline=time.monotonic() + 5)

    assert domain.refusals() == ["frame-invalid"]


def test_a_join_with_a_broken_request_does_not_spend_the_token(domain: Domain) -> None:
    token = domain.token()
    context = strict_context(ssl.PROTOCOL_TLS_CLIENT, domain.authority.root_pem, ALPN_CA)

    with pytest.raises(EnrolmentRefused) as refused:
        _ask(domain.server.address, context, DOMAIN, Join(token.secret.hex(), RESEARCHER, "garbage"))

    assert refused.value.reason == "request-invalid"
    domain.join(token)
