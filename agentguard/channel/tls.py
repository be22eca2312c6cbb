"""TLS contexts for agents, and what is checked of a peer between the handshake and the first application byte.

TLS 1.3 only (RFC 8446), certificates required on both sides, strict X.509 checks, the own trust domain's bundle and
no system roots, no session tickets: a resumed session skips the certificate checks and accepts an expired certificate
(as in CVE-2025-23419). OpenSSL accepts a foreign trust domain and none or two URI names, Python a missing ALPN:
``check_peer`` does not.
"""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from agentguard.channel.certificate import UNREADABLE
from agentguard.channel.identity import Identity, IdentitySource, LeafProblem, check_leaf, now, presented_uris
from agentguard.channel.spiffe import SpiffeId
from agentguard.errors import AgentGuardError, IdentityError, PeerRefused

__all__ = [
    "ALPN",
    "Peer",
    "check_certificate",
    "check_peer",
    "client_context",
    "refused_handshake",
    "server_context",
    "strict_context",
    "unverified_context",
]

ALPN = "agentguard/1"


@dataclass(frozen=True, slots=True)
class Peer:
    """The verified other side of a connection; ``address`` is where it came from, "" when unknown."""

    spiffe_id: SpiffeId
    serial: int
    not_after: datetime
    address: str = ""


def server_context(identity: Identity, *, alpn: str = ALPN) -> ssl.SSLContext:
    """The context of a listener that lets in holders of certificates of its own trust domain only.

    A CA cannot be taken out of a context: make a new one when the identity or the bundle changes, and after ``fork``.

    Raises:
        IdentityError: the identity cannot be loaded.
    """
    return _context(ssl.PROTOCOL_TLS_SERVER, identity, alpn)


def client_context(identity: Identity, *, alpn: str = ALPN) -> ssl.SSLContext:
    """The context of a client. Names are checked by ``check_peer``: URI names are out of ``check_hostname``'s reach.

    Raises:
        IdentityError: the identity cannot be loaded.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity, alpn)


def strict_context(side: int, roots_pem: bytes, alpn: str) -> ssl.SSLContext:
    """A context with every setting but an own certificate.

    Built from ``SSLContext`` itself: ``create_default_context`` loads the system's roots, asks no client for a
    certificate and writes session keys where the environment variable ``SSLKEYLOGFILE`` says.
    """
    context = ssl.SSLContext(side)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    # Partial chain: an issuing CA in the bundle is an anchor, so that one that leaves the bundle is refused although
    # the root above it stays.
    context.verify_flags = (
        ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_TRUSTED_FIRST | ssl.VERIFY_X509_PARTIAL_CHAIN
    )  # fmt: skip
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if side == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    context.post_handshake_auth = False
    context.set_alpn_protocols([alpn])
    try:
        context.load_verify_locations(cadata=roots_pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise IdentityError("the bundle cannot be loaded; it must be PEM certificates of CAs") from error
    return context


def unverified_context(alpn: str) -> ssl.SSLContext:
    """A client's context that believes everybody: to fetch what is checked by its digest, and to say nothing secret."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols([alpn])
    return context


def check_peer(
    tls: ssl.SSLObject | ssl.SSLSocket,
    identity: Identity,
    source: IdentitySource,
    *,
    expected: frozenset[SpiffeId] | None,
    address: str = "",
    alpn: str = ALPN,
) -> Peer:
    """Judge the other side after the handshake, before any application byte is read or written.

    Args:
        tls: with the handshake done, from one of this module's contexts.
        identity: the own one: peers of its trust domain only are let in.
        source: knows who is blocked.
        expected: the identities a client means to reach; None on the side that accepts, where the policy admits.
        address: where the peer is, for the record.
        alpn: the protocol that must have been agreed on.

    Raises:
        PeerRefused: a check failed; ``reason`` says which, ``presented`` the name in the certificate.
    """
    peer = check_certificate(
        tls, identity.spiffe_id.trust_domain, expected=expected, address=address, alpn=alpn
    )  # fmt: skip
    if _blocked(source, peer):
        raise PeerRefused("blocked", str(peer.spiffe_id))
    return peer


def check_certificate(
    tls: ssl.SSLObject | ssl.SSLSocket,
    trust_domain: str,
    *,
    expected: frozenset[SpiffeId] | None,
    address: str = "",
    alpn: str = ALPN,
) -> Peer:
    """As ``check_peer``, for who has no identity and no block list yet.

    Raises:
        PeerRefused: a check failed.
    """
    leaf = _leaf_of(tls)
    presented = _presented(leaf)
    if tls.selected_alpn_protocol() != alpn or tls.version() != "TLSv1.3":
        raise PeerRefused("wrong-protocol", presented)
    try:
        spiffe_id = check_leaf(leaf)
    except LeafProblem as error:
        raise PeerRefused(error.reason, presented) from error
    if spiffe_id.trust_domain != trust_domain:
        raise PeerRefused("wrong-trust-domain", presented)
    if expected is not None and spiffe_id not in expected:
        raise PeerRefused("unexpected-identity", presented)
    if leaf.not_valid_after_utc <= now():
        raise PeerRefused("expired", presented)
    return Peer(spiffe_id, leaf.serial_number, leaf.not_valid_after_utc, address)


def refused_handshake(error: ssl.SSLError | OSError) -> PeerRefused:
    """Why a handshake failed, in the words ``check_peer`` uses; ``refused-by-peer`` when the other side ended it.

    The name in the certificate is unknown: OpenSSL hands out no certificate that it refused.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return PeerRefused(_VERIFY_REASONS.get(error.verify_code, "chain-invalid"), None)
    word = getattr(error, "reason", None) or ""
    known = _HANDSHAKE_REASONS.get(word)
    if known is None:
        known = "refused-by-peer" if "_ALERT_" in word else "handshake-failed"
    return PeerRefused(known, None)


# openssl/x509_vfy.h
_VERIFY_REASONS = {
    2: "unknown-ca",
    7: "bad-signature",
    9: "not-yet-valid",
    10: "expired",
    18: "self-signed",
    19: "unknown-ca",
    20: "unknown-ca",
    21: "unknown-ca",
    24: "not-a-ca",
    25: "path-too-long",
    26: "wrong-usage",
    32: "not-a-ca",
    47: "name-constraint",
    48: "name-constraint",
    79: "not-a-ca",
    82: "wrong-usage",
    85: "missing-authority-key-id",
}
_HANDSHAKE_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no-certificate",
    "UNSUPPORTED_PROTOCOL": "wrong-tls-version",
    "WRONG_SSL_VERSION": "wrong-tls-version",
    "TLSV1_ALERT_PROTOCOL_VERSION": "wrong-tls-version",
    "HTTP_REQUEST": "not-tls",
    "HTTPS_PROXY_REQUEST": "not-tls",
    "WRONG_VERSION_NUMBER": "not-tls",
    "PACKET_LENGTH_TOO_LONG": "not-tls",
    "BAD_RECORD_TYPE": "not-tls",
    "NO_SHARED_CIPHER": "wrong-tls-version",
}


def _context(side: int, identity: Identity, alpn: str) -> ssl.SSLContext:
    context = strict_context(side, identity.roots_pem, alpn)
    with _key_path(identity.chain_pem + b"\n" + identity.key_pem) as path:
        try:
            # A password callback that gives nothing: an encrypted key must not make OpenSSL ask on the terminal.
            context.load_cert_chain(path, password=lambda: b"")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise IdentityError("the certificate and its key cannot be loaded") from error
    return context


@contextmanager
def _key_path(pem: bytes) -> Iterator[str]:
    """A path to the key, for ``load_cert_chain``: a memory file without a name, or a 0600 file that goes at once."""
    if sys.platform == "linux" and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("agentguard", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, pem)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    descriptor, name = tempfile.mkstemp(prefix="agentguard.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        yield name
    finally:
        Path(name).unlink(missing_ok=True)


def _leaf_of(tls: ssl.SSLObject | ssl.SSLSocket) -> x509.Certificate:
    try:
        der = tls.getpeercert(binary_form=True)
    except ValueError as error:
        raise PeerRefused("handshake-failed", None) from error
    if not der:
        raise PeerRefused("no-certificate", None)
    try:
        return x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        raise PeerRefused("malformed", None) from error


def _presented(leaf: x509.Certificate) -> str | None:
    """The names in a certificate nobody checked yet, escaped and short: they go into records."""
    uris = presented_uris(leaf)
    return ascii(" ".join(uris)[:200])[1:-1] if uris else None


def _blocked(source: IdentitySource, peer: Peer) -> bool:
    try:
        return source.blocked(peer.spiffe_id, peer.serial)
    except AgentGuardError as error:
        raise PeerRefused("block-list-unavailable", str(peer.spiffe_id)) from error
