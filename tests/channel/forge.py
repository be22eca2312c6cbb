"""Certificates of every kind, good and bad, made in memory; and an identity source that holds one of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agentguard.channel import Identity, SpiffeId

Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
DOMAIN = "example.org"
RESEARCHER = f"spiffe://{DOMAIN}/agent/researcher"
WRITER = f"spiffe://{DOMAIN}/agent/writer"
HOUR = dt.timedelta(hours=1)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


@dataclass
class Ca:
    """A CA that signs whatever it is told to."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @classmethod
    def root(cls, text: str = "root", **how: object) -> Ca:
        key = new_key()
        return cls(_ca(name(text), key, name(text), key, None, **how), key)  # type: ignore[arg-type]

    def issuing(self, text: str = "issuing", **how: object) -> Ca:
        key = new_key()
        made = _ca(name(text), key, self.certificate.subject, self.key, self.certificate, **how)  # type: ignore[arg-type]
        return Ca(made, key, (self.certificate, *self.above))

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def leaf(  # every rule a leaf can break is an argument
        self,
        uris: Sequence[str] = (RESEARCHER,),
        *,
        start: dt.timedelta = -dt.timedelta(minutes=1),
        end: dt.timedelta = HOUR,
        ca: bool = False,
        cert_sign: bool = False,
        digital_signature: bool = True,
        extended: Sequence[x509.ObjectIdentifier] | None = BOTH,
        authority: bool = True,
        key_id: bool = True,
        key: Key | None = None,
        subject: str = "agent",
        dns: Sequence[str] = (),
        signer: ec.EllipticCurvePrivateKey | None = None,
    ) -> Leaf:
        key = key or new_key()
        moment = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment + start)
            .not_valid_after(moment + end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(_usage(digital_signature, cert_sign), critical=True)
        )
        if key_id:
            builder = builder.add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )  # fmt: skip
        if authority:
            public = self.key.public_key()
            builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        if extended is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
        names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns)]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject)
        return Leaf(builder.sign(signer or self.key, hashes.SHA256()), key, (self.certificate, *self.above))


@dataclass
class Leaf:
    certificate: x509.Certificate
    key: Key
    above: tuple[x509.Certificate, ...]

    @property
    def chain_pem(self) -> bytes:
        # Without the root, as X.509-SVID asks.
        sent = [self.certificate, *(ca for ca in self.above if ca.subject != ca.issuer)]
        return b"".join(each.public_bytes(Encoding.PEM) for each in sent)

    @property
    def key_pem(self) -> bytes:
        return key_pem(self.key)

    def identity(self, *anchors: Ca) -> Identity:
        """A proper identity.  Raises IdentityError for a bad leaf: ``unchecked`` does not."""
        return Identity.from_pem(self.chain_pem, self.key_pem, b"".join(ca.pem for ca in anchors))

    def unchecked(self, *anchors: Ca, spiffe_id: str = RESEARCHER) -> Identity:
        """What an attacker holds: whatever the leaf says, it is loaded into a context and sent."""
        made = self.certificate
        return Identity(
            SpiffeId.parse(spiffe_id), self.chain_pem, self.key_pem, b"".join(ca.pem for ca in anchors),
            made.not_valid_before_utc, made.not_valid_after_utc, made.serial_number,
        )  # fmt: skip


@dataclass
class HeldIdentity:
    """An identity source for tests: what it holds is set from outside."""

    identity: Identity
    serials: set[int] = field(default_factory=set)
    names: set[SpiffeId] = field(default_factory=set)
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def current(self) -> Identity:
        return self.identity

    def blocked(self, spiffe_id: SpiffeId, serial: int, /) -> bool:
        return serial in self.serials or spiffe_id in self.names

    def subscribe(self, changed: Callable[[], None], /) -> Callable[[], None]:
        self.listeners.append(changed)
        return lambda: self.listeners.remove(changed)

    def close(self) -> None:
        pass

    def replace(self, identity: Identity) -> None:
        self.identity = identity
        for changed in list(self.listeners):
            changed()


@dataclass
class Forge:
    """A root and an issuing CA of one trust domain."""

    root: Ca
    issuing: Ca

    @classmethod
    def make(cls, domain: str = DOMAIN) -> Forge:
        root = Ca.root(f"root of {domain}")
        return cls(root, root.issuing(f"issuing of {domain}", domain=domain, path_length=0))

    def identity(self, uri: str = RESEARCHER) -> Identity:
        return self.issuing.leaf([uri]).identity(self.root)

    def source(self, uri: str = RESEARCHER) -> HeldIdentity:
        return HeldIdentity(self.identity(uri))


def _usage(digital_signature: bool, cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature, content_commitment=False, key_encipherment=not digital_signature,
        data_encipherment=False, key_agreement=False, key_cert_sign=cert_sign, crl_sign=cert_sign,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _ca(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    above: x509.Certificate | None,
    *,
    domain: str | None = None,
    path_length: int | None = None,
    end: dt.timedelta = dt.timedelta(days=7),
) -> x509.Certificate:
    moment = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - dt.timedelta(days=2))
        .not_valid_after(moment + end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(True, True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if above is not None:
        public = signer.public_key()
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
    if domain is not None:
        permitted = [x509.UniformResourceIdentifier(domain)]
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    return builder.sign(signer, hashes.SHA256())
