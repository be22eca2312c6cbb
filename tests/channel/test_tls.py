"""Handshakes between the module's own contexts, in memory."""

from __future__ import annotations

import base64
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.channel import Identity, SpiffeId, check_peer, client_context, server_context
from agentguard.channel.certificate import UNREADABLE, make_request, new_key, read_request
from agentguard.channel.identity import LeafProblem, check_leaf, presented_uris
from agentguard.errors import IdentityError, PeerRefused
from tests.channel.forge import BOTH, RESEARCHER, WRITER, Forge, HeldIdentity


def shake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after the handshake."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_side=False)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for end in (one, other):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return one, other


def test_each_side_learns_the_others_name() -> None:
    forge = Forge.make()
    client, server = forge.source(RESEARCHER), forge.source(WRITER)

    one, other = shake(client_context(client.identity), server_context(server.identity))

    expected = frozenset({SpiffeId.parse(WRITER)})
    assert check_peer(one, client.identity, client, expected=expected).spiffe_id.agent == "writer"
    assert check_peer(other, server.identity, server, expected=None).spiffe_id.agent == "researcher"


def test_without_memory_files_the_key_lies_in_a_private_file_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[int] = []
    load = ssl.SSLContext.load_cert_chain

    def looked(self: ssl.SSLContext, path: str, **how: object) -> None:
        seen.append(Path(path).stat().st_mode & 0o777)
        load(self, path, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", looked)

    client_context(Forge.make().identity())

    assert seen == [0o600]
    assert list(tmp_path.iterdir()) == []


def test_with_memory_files_no_file_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("memory files are Linux's")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))

    client_context(Forge.make().identity())


def test_a_server_with_another_name_is_refused() -> None:
    forge = Forge.make()
    client, server = forge.source(RESEARCHER), forge.source(WRITER)

    one, _ = shake(client_context(client.identity), server_context(server.identity))

    with pytest.raises(PeerRefused) as refused:
        check_peer(one, client.identity, client, expected=frozenset({SpiffeId.parse(RESEARCHER)}))
    assert (refused.value.reason, refused.value.presented) == ("unexpected-identity", WRITER)


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({}, id="P-256"),
        pytest.param({"key": ed25519.Ed25519PrivateKey.generate()}, id="Ed25519"),
        pytest.param({"subject": ""}, id="no-subject-and-critical-names"),
        pytest.param({"dns": ("researcher.example.org",)}, id="a-DNS-name-beside-the-URI"),
        pytest.param({"extended": [*BOTH, ExtendedKeyUsageOID.EMAIL_PROTECTION]}, id="one-more-usage"),
        pytest.param({"key_id": False}, id="no-subject-key-identifier, as cert-manager and Istio make them"),
    ],
)
def test_what_good_cas_differ_in_is_accepted(how: dict[str, Any]) -> None:
    """SPIRE, cert-manager, smallstep and openssl fill in different things; none of these matters."""
    forge = Forge.make()
    client = HeldIdentity(forge.issuing.leaf([RESEARCHER], **how).identity(forge.root))
    server = forge.source(WRITER)

    _, other = shake(client_context(client.identity), server_context(server.identity))

    assert check_peer(other, server.identity, server, expected=None).serial == client.identity.serial


FORGE = Forge.make()
MADE = FORGE.issuing.leaf(dns=("x.example.org",))
LEAF = MADE.certificate.public_bytes(Encoding.DER)
REQUEST = x509.load_pem_x509_csr(make_request(new_key())).public_bytes(Encoding.DER)
CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)


def damaged(der: bytes, changes: list[tuple[int, int]]) -> bytes:
    spoilt = bytearray(der)
    for place, value in changes:
        spoilt[place % len(spoilt)] = value
    return bytes(spoilt)


def pem(kind: str, der: bytes) -> bytes:
    return f"-----BEGIN {kind}-----\n{base64.b64encode(der).decode()}\n-----END {kind}-----\n".encode()


@given(CHANGES)
@settings(max_examples=300)
def test_no_bytes_in_a_certificate_break_the_check(changes: list[tuple[int, int]]) -> None:
    """Whatever parses as a certificate is a good leaf or a LeafProblem with a reason, never another error."""
    try:
        found = x509.load_der_x509_certificate(damaged(LEAF, changes))
    except UNREADABLE:
        return

    assert isinstance(presented_uris(found), list)
    try:
        name = check_leaf(found)
    except LeafProblem:
        return
    assert SpiffeId.parse(str(name)) == name


@given(CHANGES)
@settings(max_examples=200)
def test_no_bytes_in_a_chain_or_bundle_raise_anything_but_an_identity_error(changes: list[tuple[int, int]]) -> None:
    spoilt = pem("CERTIFICATE", damaged(LEAF, changes))
    anchor = pem("CERTIFICATE", damaged(FORGE.root.certificate.public_bytes(Encoding.DER), changes))

    for chain, bundle in ((spoilt, FORGE.root.pem), (MADE.chain_pem, anchor)):
        try:
            client_context(Identity.from_pem(chain, MADE.key_pem, bundle))
        except IdentityError:
            continue


@given(CHANGES)
@settings(max_examples=200)
def test_no_bytes_in_a_request_raise_anything_but_an_identity_error(changes: list[tuple[int, int]]) -> None:
    try:
        read_request(pem("CERTIFICATE REQUEST", damaged(REQUEST, changes)))
    except IdentityError:
        return
