"""Who may not speak although the certificate is good: a signed, numbered list of identities and serial numbers.

The document is one JSON object and a signature by an issuing CA of the bundle, over a label of its own, so that no
certificate and no other document can stand in for it. A list with a smaller number than the one known is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256

from agentguard.channel.certificate import CaKey
from agentguard.channel.spiffe import SpiffeId
from agentguard.errors import IdentityError

__all__ = ["MAX_ENTRIES", "BlockList"]

_LABEL = b"agentguard block list 1\n"
# Blocks of leaves end with the leaf, an hour later: a list this long means that something else is wrong.
MAX_ENTRIES = 10_000
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    trust_domain: str
    version: int
    identities: list[str]
    serials: list[str]


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    content: str
    signature: str


@dataclass(frozen=True, slots=True)
class BlockList:
    """What is blocked, as of ``version``; version 0 blocks nothing and needs no signature.

    An agent's identity blocks all its instances.
    """

    trust_domain: str
    version: int = 0
    identities: frozenset[SpiffeId] = frozenset()
    serials: frozenset[int] = frozenset()

    def blocks(self, spiffe_id: SpiffeId, serial: int) -> bool:
        """Whether this certificate's holder may not speak. Two or three look-ups in sets."""
        if serial in self.serials:
            return True
        if not self.identities:
            return False
        return spiffe_id in self.identities or _agent_of(spiffe_id) in self.identities

    def signed(self, key: CaKey) -> bytes:
        """The document, as it is published.

        Raises:
            IdentityError: more than 10,000 entries.
        """
        if len(self.identities) + len(self.serials) > MAX_ENTRIES:
            raise IdentityError(f"a block list has at most {MAX_ENTRIES} entries; a new issuing CA ends old leaves")
        content = msgspec.json.encode(
            _Content(
                self.trust_domain, self.version, sorted(map(str, self.identities)),
                sorted(f"{serial:x}" for serial in self.serials),
            )
        )  # fmt: skip
        signature = key.sign(_LABEL + content, ec.ECDSA(SHA256()))
        return msgspec.json.encode(_Document(_text(content), _text(signature)))

    def successor(self, document: bytes, signers: Iterable[x509.Certificate]) -> BlockList:
        """The list in ``document``, when it is genuine and not older than this one.

        Raises:
            IdentityError: unreadable, signed by none of ``signers``, of another trust domain, or a rollback.
        """
        found = _opened(document, signers)
        if found.trust_domain != self.trust_domain:
            raise IdentityError(f"the block list is {found.trust_domain!a}'s, not {self.trust_domain}'s")
        if found.version < self.version:
            raise IdentityError(f"the block list was rolled back: got version {found.version}, know {self.version}")
        if found.version == self.version and found != self:
            raise IdentityError(f"two block lists have version {self.version}; one of them is forged")
        return found


def _agent_of(spiffe_id: SpiffeId) -> SpiffeId | None:
    """The agent whose instance this is; None when it is no instance."""
    parts = spiffe_id.path.split("/")
    return SpiffeId(spiffe_id.trust_domain, "/".join(parts[:3])) if parts[1] == "agent" and len(parts) == 4 else None


def _opened(document: bytes, signers: Iterable[x509.Certificate]) -> BlockList:
    if len(document) > MAX_DOCUMENT_BYTES:
        raise IdentityError(f"a block list has at most {MAX_DOCUMENT_BYTES} bytes, got {len(document)}")
    try:
        outer = msgspec.json.decode(document, type=_Document)
        content, signature = _bytes(outer.content), _bytes(outer.signature)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise IdentityError("the block list cannot be read") from error
    # Nothing of the content is read before the signature is good.
    if not any(_made_by(signer, signature, content) for signer in signers):
        raise IdentityError("the block list is not signed by a CA of the bundle")
    try:
        inner = msgspec.json.decode(content, type=_Content)
        return BlockList(
            inner.trust_domain, inner.version, frozenset(map(SpiffeId.parse, inner.identities)),
            frozenset(int(serial, 16) for serial in inner.serials),
        )  # fmt: skip
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as error:
        raise IdentityError("the block list is signed but malformed") from error


def _made_by(signer: x509.Certificate, signature: bytes, content: bytes) -> bool:
    key = signer.public_key()
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, _LABEL + content, ec.ECDSA(SHA256()))
            return True
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, _LABEL + content)
            return True
    except InvalidSignature:
        return False
    return False


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("no base64") from error
