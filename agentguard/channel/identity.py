"""One agent's certificate with its key, the rules a leaf must keep, and the protocol of whatever provides both.

Leaf rules: X.509-SVID specification sections 2 to 4, with the key types narrowed to P-256 and Ed25519.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from agentguard.channel.certificate import UNREADABLE
from agentguard.channel.spiffe import SpiffeId
from agentguard.errors import IdentityError

__all__ = [
    "Identity",
    "IdentityRecord",
    "IdentitySource",
    "LeafProblem",
    "check_leaf",
    "parse_certificates",
    "presented_uris",
]

E = TypeVar("E", bound=x509.ExtensionType)

# A bundle or chain larger than this is not ours: it is read before anything in it is trusted.
MAX_PEM_BYTES = 256 * 1024


class LeafProblem(IdentityError):
    """A leaf breaks a rule. ``reason`` is the rule's short name, as ``PeerRefused.reason`` has it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class IdentityRecord:
    """What happened to an identity, for the audit log.

    ``subject`` is the SPIFFE ID concerned, or what was presented for one; ``by`` who asked for it: a SPIFFE ID, an
    address or the operating system's user, None when it happened by itself.
    """

    action: Literal["init", "issue", "renew", "join", "token", "block", "unblock", "rotate", "refuse", "alert"]
    subject: str
    detail: str
    serial: int | None = None
    by: str | None = None
    success: bool = True


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified name with the means to prove it.

    ``chain_pem`` is the leaf followed by the CAs above it, ``roots_pem`` the bundle by which peers of the same trust
    domain are verified. ``not_before`` and ``not_after`` are aware, in UTC. Made by ``from_pem``.
    """

    spiffe_id: SpiffeId
    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)
    roots_pem: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime
    serial: int

    @classmethod
    def from_pem(cls, chain_pem: bytes, key_pem: bytes, roots_pem: bytes) -> Identity:
        """Read and check what belongs together. Times are read, not judged: see ``valid_at``.

        Raises:
            IdentityError: something is not PEM, the leaf breaks a rule (``LeafProblem``), the key is another one's, or
                the bundle holds no CA or something that is none.
        """
        leaf = parse_certificates(chain_pem, "the certificate chain")[0]
        spiffe_id = check_leaf(leaf)
        _check_key(leaf, key_pem)
        for anchor in parse_certificates(roots_pem, "the bundle"):
            if not _is_ca(anchor):
                # With a leaf as trust anchor, whoever holds its key could not be told from a CA.
                raise IdentityError("the bundle holds a certificate that is no CA; it may hold CAs only")
        return cls(
            spiffe_id, chain_pem, key_pem, roots_pem, leaf.not_valid_before_utc, leaf.not_valid_after_utc,
            leaf.serial_number,
        )  # fmt: skip

    def valid_at(self, moment: datetime) -> bool:
        """Whether the leaf's time has come and not passed."""
        return self.not_before <= moment < self.not_after


class IdentitySource(Protocol):
    """Provides one agent's current identity and says whom to refuse. Every method may be called from any thread."""

    def current(self) -> Identity:
        """The identity to use now.

        Raises:
            IdentityError: there is none that is valid now; an expired leaf is never returned.
        """
        ...

    def blocked(self, spiffe_id: SpiffeId, serial: int, /) -> bool:
        """Whether a peer may not speak, by its name or by its certificate. Asked at the handshake and on every message.

        Raises:
            IdentityError: that is not known; whoever asks refuses.
        """
        ...

    def subscribe(self, changed: Callable[[], None], /) -> Callable[[], None]:
        """Have ``changed`` called, from any thread, after a new identity, bundle or block list; returns the way out."""
        ...

    def close(self) -> None:
        """Stop renewing and watching. ``current`` raises from then on."""
        ...


def parse_certificates(pem: bytes, what: str) -> list[x509.Certificate]:
    """The certificates of a PEM text, at least one.

    Raises:
        IdentityError: none, too large, or not readable. ``what`` names the text in the message.
    """
    if len(pem) > MAX_PEM_BYTES:
        raise IdentityError(f"{what} has {len(pem)} bytes, more than {MAX_PEM_BYTES}")
    try:
        return x509.load_pem_x509_certificates(pem)
    except UNREADABLE as error:
        raise IdentityError(f"{what} holds no readable PEM certificate") from error


def presented_uris(leaf: x509.Certificate) -> list[str]:
    """The URI names of a certificate, unchecked; none when they cannot be read."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, *UNREADABLE):
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def check_leaf(leaf: x509.Certificate) -> SpiffeId:
    """Hold a certificate to the rules of an agent's leaf; its times and its issuer are not looked at.

    Raises:
        LeafProblem: it breaks one; ``reason`` says which.
    """
    try:
        # Extensions that cannot be read are told apart here; _is_ca takes them for no CA.
        _ = leaf.extensions
        if _is_ca(leaf):
            raise LeafProblem("ca-leaf", "the certificate is a CA's; an agent's has CA:false")
        _check_usage(leaf)
        _extension(leaf, x509.AuthorityKeyIdentifier, "missing-authority-key-id")
        public = leaf.public_key()
    except UNREADABLE as error:
        raise LeafProblem("malformed", "the certificate cannot be read") from error
    if not isinstance(public, Ed25519PublicKey) and not (
        isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1)
    ):
        raise LeafProblem("wrong-key-type", "the certificate's key is neither P-256 nor Ed25519")
    uris = presented_uris(leaf)
    if len(uris) != 1:
        raise LeafProblem("not-one-identity", f"the certificate has {len(uris)} URI names; an agent's has exactly one")
    try:
        return SpiffeId.parse(uris[0])
    except IdentityError as error:
        raise LeafProblem("malformed-identity", str(error)) from error


def _check_usage(leaf: x509.Certificate) -> None:
    found = _extension(leaf, x509.KeyUsage, "wrong-usage")
    usage = found.value
    if not found.critical or not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise LeafProblem(
            "wrong-usage", "the key usage must be critical, with digitalSignature, without keyCertSign and cRLSign"
        )
    extended = set(_extension(leaf, x509.ExtendedKeyUsage, "wrong-usage").value)
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= extended:
        raise LeafProblem("wrong-usage", "the extended key usage must name serverAuth and clientAuth")


def _extension(leaf: x509.Certificate, kind: type[E], reason: str) -> x509.Extension[E]:
    try:
        return leaf.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound as error:
        raise LeafProblem(reason, f"the certificate lacks the extension {kind.__name__}") from error


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False


def _check_key(leaf: x509.Certificate, key_pem: bytes) -> None:
    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not chained: a parser's message may show a part of the key.
        raise IdentityError("the private key is no readable, unencrypted PEM key") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise IdentityError("the private key is not the one the certificate was made for")


def now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)
