"""The certificates of the embedded CA: root, issuing CA, leaf; and the request by which a key proves itself.

Every extension is chosen here. What a request asks for is not looked at, but for its key and its signature.
Profiles: RFC 5280 and X.509-SVID; the issuing CA may sign leaves only (path length 0), of its own trust domain only
(a URI name constraint, RFC 5280 section 4.2.1.10).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agentguard.channel.spiffe import SpiffeId
from agentguard.errors import IdentityError

__all__ = [
    "BACKDATED_S",
    "UNREADABLE",
    "CaKey",
    "LeafKey",
    "certified_by",
    "fingerprint",
    "issuing_certificate",
    "key_digest",
    "leaf_certificate",
    "make_request",
    "new_key",
    "pem_of_certificate",
    "pem_of_key",
    "read_request",
    "root_certificate",
]

# What reading a certificate or request of somebody else's can raise; InvalidVersion and DuplicateExtension are no
# ValueErrors.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

CaKey: TypeAlias = ec.EllipticCurvePrivateKey
LeafKey: TypeAlias = ec.EllipticCurvePublicKey | Ed25519PublicKey

# Clocks of two hosts differ; a leaf that is not valid yet on the other one would be refused.
BACKDATED_S = 60.0

# A request for a P-256 key has some 300 bytes; more is not read.
MAX_REQUEST_BYTES = 8192


def new_key() -> CaKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def root_certificate(key: CaKey, trust_domain: str, *, start: float, end: float) -> x509.Certificate:
    """A self-signed root. Times are seconds since 1970."""
    name = _name(f"AgentGuard root CA of {trust_domain}")
    builder = _builder(name, name, key.public_key(), start=start, end=end)
    return _ca(builder, path_length=1).sign(key, SHA256())


def issuing_certificate(
    key: CaKey, root: x509.Certificate, root_key: CaKey, trust_domain: str, *, start: float, end: float
) -> x509.Certificate:
    """A CA that may sign leaves of this trust domain and nothing else."""
    # The serial number keeps apart the names of CAs that follow each other.
    serial = x509.random_serial_number()
    name = _name(f"AgentGuard issuing CA {serial:x}"[:64])
    builder = _builder(name, root.subject, key.public_key(), start=start, end=end, serial=serial)
    permitted = x509.NameConstraints([x509.UniformResourceIdentifier(trust_domain)], None)
    builder = _ca(builder, path_length=0).add_extension(permitted, critical=True)
    return _issued_by(builder, root_key).sign(root_key, SHA256())


def leaf_certificate(
    key: LeafKey, spiffe_id: SpiffeId, issuer: x509.Certificate, issuer_key: CaKey, *, start: float, end: float
) -> x509.Certificate:
    """An agent's certificate. The subject is empty: nothing but the URI name is a name."""
    builder = _builder(x509.Name([]), issuer.subject, key, start=start, end=end)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(spiffe_id))])
    extended = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(extended, critical=False)
        # RFC 5280 section 4.2.1.6: critical when the subject is empty.
        .add_extension(names, critical=True)
    )
    return _issued_by(builder, issuer_key).sign(issuer_key, SHA256())


def make_request(key: CaKey) -> bytes:
    """A PKCS #10 request in PEM: it names nothing and proves that the asker holds the key."""
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256()).public_bytes(
        Encoding.PEM
    )  # fmt: skip


def read_request(pem: bytes) -> LeafKey:
    """The key that a request proves possession of. Its names and extensions are ignored.

    Raises:
        IdentityError: no readable request, not signed by its own key, or a key that is neither P-256 nor Ed25519.
    """
    if len(pem) > MAX_REQUEST_BYTES:
        raise IdentityError(f"a certificate request has at most {MAX_REQUEST_BYTES} bytes, got {len(pem)}")
    try:
        request = x509.load_pem_x509_csr(pem)
        proven, key = request.is_signature_valid, request.public_key()
    except UNREADABLE as error:
        raise IdentityError("the certificate request cannot be read; send PKCS #10 in PEM") from error
    if not proven:
        raise IdentityError("the certificate request is not signed by the key it holds")
    if isinstance(key, Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise IdentityError("the key of the certificate request is neither P-256 nor Ed25519")


def certified_by(certificate: x509.Certificate, above: x509.Certificate) -> bool:
    """Whether the names match and ``above``'s key made the signature."""
    try:
        certificate.verify_directly_issued_by(above)
    except UNREADABLE:
        return False
    return True


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, 64 hex digits."""
    return certificate.fingerprint(SHA256()).hex()


def key_digest(key: LeafKey) -> str:
    """SHA-256 of the public key (SubjectPublicKeyInfo), 64 hex digits."""
    digest = Hash(SHA256())
    digest.update(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def pem_of_key(key: CaKey) -> bytes:
    """The private key in PKCS #8, not encrypted: for memory and for files that only we can read."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def pem_of_certificate(*certificates: x509.Certificate) -> bytes:
    """The certificates one after the other."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: LeafKey, *, start: float, end: float, serial: int | None = None
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder(
        issuer, subject, key, serial or x509.random_serial_number(),
        datetime.fromtimestamp(int(start), UTC), datetime.fromtimestamp(int(end), UTC),
    )  # fmt: skip
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _ca(builder: x509.CertificateBuilder, *, path_length: int) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return builder.add_extension(_usage(signs_certificates=True), critical=True)


def _issued_by(builder: x509.CertificateBuilder, issuer_key: CaKey) -> x509.CertificateBuilder:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return builder.add_extension(identifier, critical=False)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    # An issuing CA signs block lists too: digitalSignature on both.
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs_certificates, crl_sign=signs_certificates, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])
