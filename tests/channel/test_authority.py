"""The embedded CA: what its leaves are, what it refuses to sign, and how one issuing CA follows another."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from agentguard.channel import (
    Authority,
    IdentityRecord,
    SpiffeId,
    check_peer,
    client_context,
    refused_handshake,
    server_context,
)
from agentguard.channel.certificate import leaf_certificate, make_request, new_key, read_request
from agentguard.channel.identity import Identity, check_leaf
from agentguard.errors import ConfigError, IdentityError, PeerRefused, StoreError
from agentguard.store import Home
from tests.channel.forge import DOMAIN, RESEARCHER, WRITER, Ca, HeldIdentity, name
from tests.channel.forge import key_pem as pem_of
from tests.channel.test_tls import shake

HOUR = 3600.0


class Clock:
    """Seconds since 1970 that tests move."""

    def __init__(self) -> None:
        self.offset = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset


@pytest.fixture
def home(state_home: Home) -> Home:
    """SQLite, and PostgreSQL."""
    return state_home


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records() -> list[IdentityRecord]:
    return []


@pytest.fixture
def authority(home: Home, clock: Clock, records: list[IdentityRecord]) -> Iterator[Authority]:
    made = Authority.create(home, DOMAIN, record=records.append, clock=clock)
    yield made
    made.close()


def leaf_of(identity: Identity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.chain_pem)


def test_a_leaf_is_what_its_profile_says(authority: Authority) -> None:
    """RFC 5280 and X.509-SVID: one URI name, no subject, one hour, a minute in the past, both usages."""
    leaf = leaf_of(authority.identity(SpiffeId.parse(RESEARCHER)))

    found = {type(extension.value).__name__: extension for extension in leaf.extensions}
    assert check_leaf(leaf) == SpiffeId.parse(RESEARCHER)
    assert set(found) == {
        "BasicConstraints", "KeyUsage", "ExtendedKeyUsage", "SubjectAlternativeName", "AuthorityKeyIdentifier",
        "SubjectKeyIdentifier",
    }  # fmt: skip
    assert found["SubjectAlternativeName"].critical
    assert leaf.subject == x509.Name([])
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert dt.timedelta(seconds=3659) <= life <= dt.timedelta(seconds=3661)
    assert leaf.not_valid_before_utc <= dt.datetime.now(dt.UTC) - dt.timedelta(seconds=59)


def test_the_issuing_ca_may_sign_leaves_of_its_domain_only(authority: Authority) -> None:
    issuing = x509.load_pem_x509_certificates(authority.bundle())[0]

    basic = issuing.extensions.get_extension_for_class(x509.BasicConstraints)
    constraint = issuing.extensions.get_extension_for_class(x509.NameConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert constraint.critical
    assert constraint.value.permitted_subtrees == [x509.UniformResourceIdentifier(DOMAIN)]
    assert issuing.not_valid_after_utc - issuing.not_valid_before_utc < dt.timedelta(days=7, minutes=2)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param("spiffe://elsewhere.example/agent/x", "trust domain", id="another-domain"),
        pytest.param(f"spiffe://{DOMAIN}/ca", "own identity", id="the-CA-itself"),
        pytest.param(f"spiffe://{DOMAIN}/ca/x", "own identity", id="below-the-CA"),
    ],
)
def test_names_that_are_not_given_out(authority: Authority, asked: str, told: str) -> None:
    with pytest.raises(IdentityError, match=told):
        authority.identity(SpiffeId.parse(asked))


def test_a_request_is_believed_its_key_and_nothing_else(authority: Authority) -> None:
    """The request asks for another name, CA:true and ten years; the CA sets every extension itself."""
    key = new_key()
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name("root"))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(WRITER)]), critical=False)
        .sign(key, SHA256())
    )

    granted = authority.grant(
        SpiffeId.parse(RESEARCHER), read_request(asked.public_bytes(Encoding.PEM)), how="join", by="test"
    )

    assert check_leaf(x509.load_pem_x509_certificate(granted.chain_pem)) == SpiffeId.parse(RESEARCHER)


def _signed_by_another() -> bytes:
    """The public key of one, the signature of another: nobody who holds the key asked."""
    der = bytearray(x509.load_pem_x509_csr(make_request(new_key())).public_bytes(Encoding.DER))
    der[-1] ^= 1
    try:
        return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)
    except ValueError:
        return b"broken"


@pytest.mark.parametrize(
    "request_pem",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"garbage", id="garbage"),
        pytest.param(b"x" * 10_000, id="too-large"),
        pytest.param(_signed_by_another(), id="no-possession"),
        pytest.param(
            x509.CertificateSigningRequestBuilder()
            .subject_name(name("x"))
            .sign(rsa.generate_private_key(65537, 2048), SHA256())
            .public_bytes(Encoding.PEM),
            id="rsa",
        ),
    ],
)
def test_a_request_that_proves_nothing_is_refused(request_pem: bytes) -> None:
    with pytest.raises(IdentityError):
        read_request(request_pem)


def test_a_key_gets_one_certificate_only(authority: Authority) -> None:
    key = new_key().public_key()
    authority.grant(SpiffeId.parse(RESEARCHER), key, how="join")

    with pytest.raises(IdentityError, match="fresh key"):
        authority.grant(SpiffeId.parse(RESEARCHER), key, how="renew")


def test_every_issuance_is_recorded_and_in_the_log(authority: Authority, records: list[IdentityRecord]) -> None:
    identity = authority.identity(SpiffeId.parse(RESEARCHER), by="somebody")

    (entry,) = authority.issued()
    assert (entry.serial, entry.spiffe_id, entry.how, entry.by) == (identity.serial, RESEARCHER, "local", "somebody")
    assert [record.action for record in records] == ["init", "issue"]
    assert records[-1].serial == identity.serial


def test_what_cannot_be_recorded_is_not_issued(home: Home, clock: Clock) -> None:
    def full(_record: IdentityRecord) -> None:
        raise StoreError("disk full")

    Authority.create(home, DOMAIN, clock=clock).close()
    authority = Authority(home, record=full, clock=clock)

    with pytest.raises(StoreError, match="disk full"):
        authority.identity(SpiffeId.parse(RESEARCHER))
    with pytest.raises(StoreError, match="disk full"):
        authority.block(SpiffeId.parse(WRITER), reason="x")
    assert authority.blocks() == []
    authority.close()


def test_a_second_ca_in_one_home_is_refused_and_leaves_nothing(
    home: Home, authority: Authority, records: list[IdentityRecord]
) -> None:
    before = authority.bundle(), sorted((home.path / "ca").iterdir())

    with pytest.raises(IdentityError, match="CA already"):
        Authority.create(home, DOMAIN, record=records.append)

    assert (authority.bundle(), sorted((home.path / "ca").iterdir())) == before
    assert [record.action for record in records] == ["init"]
    authority.identity(SpiffeId.parse(RESEARCHER))


@pytest.mark.parametrize("leaf_s", [0.0, 86_401.0, float("nan")])
def test_a_leafs_life_is_bounded(home: Home, leaf_s: float) -> None:
    with pytest.raises(ConfigError):
        Authority.create(home, DOMAIN, leaf_s=leaf_s)


def test_keys_are_files_that_only_we_read(home: Home, authority: Authority) -> None:
    files = list((home.path / "ca").iterdir())

    assert len(files) == 2
    assert (home.path / "ca").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    if home.state_path.exists():
        assert b"PRIVATE" not in home.state_path.read_bytes()


def test_a_key_file_that_was_opened_to_others_is_refused(home: Home, authority: Authority) -> None:
    for file in (home.path / "ca").iterdir():
        file.chmod(0o644)

    with pytest.raises(IdentityError, match="chmod 600"):
        authority.identity(SpiffeId.parse(RESEARCHER))


def test_where_the_keys_are_not_agents_are_told_to_join(home: Home, authority: Authority) -> None:
    """Another host with the same database."""
    for file in (home.path / "ca").iterdir():
        file.unlink()

    with pytest.raises(IdentityError, match="agentguard ca join"):
        authority.identity(SpiffeId.parse(RESEARCHER))


@pytest.mark.parametrize("content", [b"", b"garbage", pem_of(rsa.generate_private_key(65537, 2048))])
def test_a_damaged_key_file_is_one_clear_line(home: Home, authority: Authority, content: bytes) -> None:
    for file in (home.path / "ca").iterdir():
        file.write_bytes(content)

    with pytest.raises(IdentityError, match="restore it from your backup"):
        authority.identity(SpiffeId.parse(RESEARCHER))


# Blocks


def test_a_blocked_identity_gets_no_certificate(authority: Authority) -> None:
    authority.block(SpiffeId.parse(RESEARCHER), reason="stolen", by="operator")

    with pytest.raises(IdentityError, match="blocked"):
        authority.identity(SpiffeId.parse(f"{RESEARCHER}/2"))


def test_blocks_are_numbered_and_can_be_lifted(authority: Authority, records: list[IdentityRecord]) -> None:
    first = authority.block(SpiffeId.parse(RESEARCHER), reason="stolen")
    second = authority.block(0xABC, reason="lost")
    third = authority.lift(SpiffeId.parse(RESEARCHER))

    assert (first, second, third) == (1, 2, 3)
    assert authority.standing().block_list.serials == {0xABC}
    authority.identity(SpiffeId.parse(RESEARCHER))
    assert [record.action for record in records if "block" in record.action] == ["block", "block", "unblock"]
    with pytest.raises(IdentityError, match="is not blocked"):
        authority.lift(SpiffeId.parse(RESEARCHER))


def test_a_block_is_known_at_once_in_this_process(authority: Authority) -> None:
    source = authority.source(SpiffeId.parse(RESEARCHER), poll_s=3600)
    heard: list[bool] = []
    source.subscribe(lambda: heard.append(source.blocked(SpiffeId.parse(WRITER), 1)))
    before = source.blocked(SpiffeId.parse(WRITER), 1)

    authority.block(SpiffeId.parse(WRITER), reason="stolen")

    assert (before, heard) == (False, [True])
    source.close()


def test_a_block_by_another_process_is_known_after_a_poll(home: Home, authority: Authority) -> None:
    source = authority.source(SpiffeId.parse(RESEARCHER), poll_s=3600)
    other = Authority(home)
    other.block(SpiffeId.parse(WRITER), reason="stolen")
    other.close()

    source.refresh()

    assert source.blocked(SpiffeId.parse(WRITER), 1)
    source.close()


def test_serial_numbers_whose_leaf_has_ended_leave_the_list(authority: Authority, clock: Clock) -> None:
    authority.block(1, reason="old")

    clock.offset = 26 * HOUR
    authority.block(2, reason="new")

    assert authority.standing().block_list.serials == {2}


# Rotation


def _accepts(server: Identity, client: Identity) -> str:
    """ "" when they shake hands, else why not."""
    try:
        one, other = shake(client_context(client), server_context(server))
        check_peer(other, server, HeldIdentity(server), expected=None)
        check_peer(one, client, HeldIdentity(client), expected=None)
    except ssl.SSLError as error:
        return refused_handshake(error).reason
    except PeerRefused as error:
        return error.reason
    return ""


def test_a_new_ca_is_trusted_before_it_signs_and_the_old_one_after_it_stopped(
    authority: Authority, clock: Clock
) -> None:
    """The table of the rotation: who signs, and how many CAs the bundle holds, hour by hour."""
    old = authority._signing().serial
    rotation = authority.rotate()
    seen = []

    for hours in (0, 0.9, 1.1, 1.9, 2.1):
        clock.offset = hours * HOUR
        bundle = x509.load_pem_x509_certificates(authority.bundle())
        seen.append((hours, "old" if authority._signing().serial == old else "new", len(bundle)))

    assert seen == [(0, "old", 2), (0.9, "old", 2), (1.1, "new", 2), (1.9, "new", 2), (2.1, "new", 1)]
    assert rotation.old_leaves_at - rotation.signs_from == HOUR


def test_leaves_of_both_cas_get_along_and_the_old_one_is_refused_afterwards(home: Home, clock: Clock) -> None:
    """OpenSSL goes by the real time, so the CA's hours lie around it: rotation an hour ago, the end in an hour."""
    clock.offset = -1.1 * HOUR
    authority = Authority.create(home, DOMAIN, clock=clock)
    authority.rotate()
    clock.offset = -0.5 * HOUR
    old = authority.identity(SpiffeId.parse(WRITER))
    clock.offset = 0
    new = authority.identity(SpiffeId.parse(RESEARCHER))

    during = (_accepts(old, new), _accepts(new, old))
    clock.offset = HOUR
    afterwards = _accepts(replace(new, roots_pem=authority.bundle()), old)

    assert during == ("", "")
    assert afterwards == "unknown-ca"
    authority.close()


def test_a_compromised_ca_is_refused_at_once_and_agents_here_get_new_leaves(authority: Authority) -> None:
    source = authority.source(SpiffeId.parse(WRITER), poll_s=3600)
    old = source.current()

    authority.rotate(compromised=True)
    deadline = time.monotonic() + 10
    while source.current().serial == old.serial and time.monotonic() < deadline:
        time.sleep(0.01)  # the source's own thread renews

    fresh = source.current()
    assert fresh.serial != old.serial
    assert _accepts(fresh, fresh) == ""
    assert _accepts(fresh, old) == "unknown-ca"
    source.close()


def test_a_compromised_ca_takes_a_waiting_successor_along(authority: Authority, clock: Clock) -> None:
    authority.rotate()
    last = authority.rotate(compromised=True)

    for hours in (0, 1.5, 3):
        clock.offset = hours * HOUR
        assert authority._signing().serial == last.serial
        assert len(x509.load_pem_x509_certificates(authority.bundle())) == 1


def test_a_rotation_under_way_is_not_begun_again(authority: Authority) -> None:
    authority.rotate()

    with pytest.raises(IdentityError, match="waits for its time already"):
        authority.rotate()


def test_the_issuing_ca_is_followed_by_itself_at_half_of_its_life(
    authority: Authority, clock: Clock, records: list[IdentityRecord]
) -> None:
    clock.offset = 3.6 * 24 * HOUR

    authority.standing()
    authority.standing()

    assert [record.detail for record in records if record.action == "rotate"] == ["half-life"]


def test_near_the_roots_end_no_ca_follows_another_without_end(authority: Authority, clock: Clock) -> None:
    """CAs that end with the root cannot be prolonged: halving the rest again and again would make one a second."""
    clock.offset = 358.5 * 24 * HOUR
    authority.rotate()
    clock.offset = 364 * 24 * HOUR

    for _ in range(5):
        authority.standing()
    assert len(authority.schedule()) <= 4


def test_an_offline_root_signs_when_it_is_brought_back(tmp_path: Path, home: Home, clock: Clock) -> None:
    path = tmp_path / "root.key"
    authority = Authority.create(home, DOMAIN, root_key=path, clock=clock)
    kept = path.read_bytes()
    path.unlink()
    clock.offset = 4 * 24 * HOUR
    authority.standing()  # nothing it could do by itself

    with pytest.raises(IdentityError, match="cannot be opened"):
        authority.rotate()
    path.write_bytes(kept)
    path.chmod(0o600)
    authority.rotate(root_key=path)

    assert len(authority.schedule()) == 3
    authority.close()


def test_a_ca_that_slept_through_its_issuing_ca_goes_on_with_a_new_one(authority: Authority, clock: Clock) -> None:
    clock.offset = 30 * 24 * HOUR

    authority.identity(SpiffeId.parse(RESEARCHER))

    assert [ca.state for ca in authority.schedule()] == ["trusted", "left", "signs"]


def test_a_foreign_root_key_certifies_nothing(tmp_path: Path, authority: Authority) -> None:
    path = tmp_path / "other.key"
    path.write_bytes(pem_of(new_key()))
    path.chmod(0o600)

    with pytest.raises(IdentityError, match="not the root's key"):
        authority.rotate(root_key=path)


def test_an_expired_ca_issues_nothing(tmp_path: Path, home: Home, clock: Clock) -> None:
    authority = Authority.create(home, DOMAIN, root_key=tmp_path / "root.key", clock=clock)

    clock.offset = 7.1 * 24 * HOUR

    with pytest.raises(IdentityError, match="issuing CA has expired"):
        authority.identity(SpiffeId.parse(RESEARCHER))
    authority.close()


def _rotate(folder: str, start: object, results: object) -> None:
    authority = Authority(Home.open(folder))
    start.wait()  # type: ignore[attr-defined]
    try:
        authority.rotate()
        results.put("rotated")  # type: ignore[attr-defined]
    except IdentityError:
        results.put("refused")  # type: ignore[attr-defined]


def test_of_four_processes_exactly_one_rotates(home: Home, authority: Authority) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_rotate, args=(str(home.path), start, results)) for _ in range(4)]

    for worker in workers:
        worker.start()
    found = sorted(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(30)

    assert found == ["refused", "refused", "refused", "rotated"]
    assert len(authority.schedule()) == 3
    assert len(list((home.path / "ca").iterdir())) == 3


def test_a_stolen_issuing_key_cannot_leave_its_trust_domain(home: Home, authority: Authority) -> None:
    """What a thief mints outside the name constraint, OpenSSL refuses."""
    row = authority._signing()
    stolen = authority._key(row)
    issuer = x509.load_pem_x509_certificate(row.certificate)
    key = new_key()
    now = time.time()
    minted = leaf_certificate(
        key.public_key(), SpiffeId.parse("spiffe://elsewhere.example/agent/boss"), issuer, stolen,
        start=now - 60, end=now + HOUR,
    )  # fmt: skip
    thief = Ca(issuer, stolen)
    assert thief.pem in authority.bundle()
    honest = authority.identity(SpiffeId.parse(WRITER))
    forged = Identity(
        SpiffeId.parse(RESEARCHER), minted.public_bytes(Encoding.PEM) + row.certificate, pem_of(key),
        honest.roots_pem, honest.not_before, honest.not_after, minted.serial_number,
    )  # fmt: skip

    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        shake(client_context(forged), server_context(honest))


def test_no_key_material_is_in_the_repository() -> None:
    root = Path(__file__).resolve().parents[2]
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    begin = b"-----BEGIN " + b"PRIVATE KEY-----\n"
    allowed = {"tests/detect"}  # examples of what the recognizers find

    found = [
        path
        for path in listed.stdout.splitlines()
        if (root / path).is_file() and begin in (root / path).read_bytes() and not path.startswith(tuple(allowed))
    ]
    assert found == []
