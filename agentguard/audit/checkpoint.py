"""Signed tree heads: C2SP signed-note and tlog-checkpoint, with Ed25519 (RFC 8032).

The body is origin, size and root, then five extension lines of ours: the chain hash and the number of frames, the
checkpoint's own number, its time, and whether the writer said it was closing. Signing them makes a dropped frame,
a dropped checkpoint and a silent log show without any key.
Sources: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agentguard.audit.merkle import HASH_BYTES
from agentguard.errors import TamperError

__all__ = ["Checkpoint", "Signer", "VerifierKey"]

_ED25519 = b"\x01"
_BODY = re.compile(
    r"(?P<origin>[^\s+]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n"
    r"chain (?P<chain>[A-Za-z0-9+/]{43}=)\nframes (?P<frames>0|[1-9][0-9]{0,18})\n"
    r"number (?P<number>0|[1-9][0-9]{0,18})\ntime (?P<time>0|[1-9][0-9]{0,18})\nstate (?P<state>open|closed)\n"
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a signature covers. ``time`` is nanoseconds since the epoch; ``closed`` means: silence is intended."""

    origin: str
    size: int
    root: bytes
    chain: bytes
    frames: int
    number: int
    time: int
    closed: bool

    def body(self) -> str:
        """The signed text."""
        return (
            f"{self.origin}\n{self.size}\n{_base64(self.root)}\nchain {_base64(self.chain)}\nframes {self.frames}\n"
            f"number {self.number}\ntime {self.time}\nstate {'closed' if self.closed else 'open'}\n"
        )

    @classmethod
    def parse(cls, body: str) -> Checkpoint:
        """Read a body.

        Raises:
            TamperError: not exactly in the form ``body`` writes.
        """
        found = _BODY.fullmatch(body)
        if found is None:
            raise TamperError("a checkpoint is not in the form this log writes")
        checkpoint = cls(
            origin=found["origin"],
            size=int(found["size"]),
            root=_unbase64(found["root"]),
            chain=_unbase64(found["chain"]),
            frames=int(found["frames"]),
            number=int(found["number"]),
            time=int(found["time"]),
            closed=found["state"] == "closed",
        )
        if checkpoint.body() != body:
            raise TamperError("a checkpoint has a second spelling of its content")
        return checkpoint


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with the name it signs under; ``str()`` is the C2SP verifier key (vkey)."""

    name: str
    public: bytes

    @property
    def hash(self) -> bytes:
        """The four bytes that lead a signature to its key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.hash.hex()}+{_base64(_ED25519 + self.public)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read ``name+hash+key``.

        Raises:
            TamperError: not an Ed25519 verifier key, or its hash does not fit.
        """
        name, _, rest = text.strip().partition("+")
        key_hash, _, encoded = rest.partition("+")
        raw = _unbase64(encoded)
        if not name or len(raw) != 1 + 32 or raw[:1] != _ED25519:
            raise TamperError("not a C2SP Ed25519 verifier key (name+hash+key)")
        key = cls(name, raw[1:])
        if key.hash.hex() != key_hash:
            raise TamperError("the verifier key's hash does not fit its name and key")
        return key

    def open(self, note: bytes) -> str:
        """Check the note's one signature and return the text.

        Raises:
            TamperError: unsigned, signed by another key, or changed. A missing signature is a failure, not a skip.
        """
        try:
            text, _, signatures = note.decode("utf-8").rpartition("\n\n")
        except UnicodeDecodeError as error:
            raise TamperError("a signed note is not UTF-8") from error
        found = re.fullmatch(r"\u2014 (\S+) ([A-Za-z0-9+/]+={0,2})\n", signatures)
        if not text or found is None or found[1] != self.name:
            raise TamperError("a checkpoint carries no signature of this log")
        signature = _unbase64(found[2])
        if len(signature) != 4 + 64 or signature[:4] != self.hash:
            raise TamperError("a checkpoint is signed by another key than this log's")
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature[4:], (text + "\n").encode())
        except InvalidSignature as error:
            raise TamperError("a checkpoint's signature does not fit its text") from error
        return text + "\n"


class Signer:
    """Signs notes under ``name`` with an Ed25519 seed."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._private.public_key().public_bytes_raw())

    def sign(self, text: str) -> bytes:
        """The signed note; ``text`` ends with a newline."""
        signature = self.verifier.hash + self._private.sign(text.encode())
        return f"{text}\n\u2014 {self.verifier.name} {_base64(signature)}\n".encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TamperError("a signed note holds broken base64") from error
    # Base64 with stray bits in its last character has two spellings for one value.
    if _base64(data) != text:
        raise TamperError("a signed note holds base64 with a second spelling")
    return data


ZERO_HASH = bytes(HASH_BYTES)
