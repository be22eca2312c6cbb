"""Enrolment, the agent's side: joining a trust domain with a token, and staying in it by renewing over the network.

What a member holds is one file of mode 0600 in ``channel/`` of its home, replaced as a whole: key, certificate, bundle,
the root it pinned when it joined, and the newest block list. Every CA that joins the bundle later must be certified by
that root.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from agentguard.channel.blocklist import BlockList
from agentguard.channel.certificate import certified_by, fingerprint, make_request, new_key, pem_of_key
from agentguard.channel.enrolment import JoinToken
from agentguard.channel.files import read_private
from agentguard.channel.identity import Identity, IdentityRecord, now, parse_certificates
from agentguard.channel.protocol import (
    ALPN_CA,
    MAX_REPLY_BYTES,
    REPLIES,
    Granted,
    Join,
    News,
    NewsReply,
    Refused,
    Renew,
    Reply,
    Request,
    Root,
    RootReply,
    receive,
    send,
)
from agentguard.channel.renewal import HALF_LIFE, RotatingIdentity, Standing, moment_of_life
from agentguard.channel.spiffe import SpiffeId
from agentguard.channel.tls import (
    check_certificate,
    client_context,
    refused_handshake,
    strict_context,
    unverified_context,
)
from agentguard.errors import ChannelError, EnrolmentRefused, IdentityError
from agentguard.store import Home, atomic_file, make_private_folder

__all__ = ["Membership", "membership_path"]

Address = tuple[str, int]
Record = Callable[[IdentityRecord], None]

CONNECT_S = 5.0
EXCHANGE_S = 10.0
MAX_FILE_BYTES = 8 * 1024 * 1024


class _File(msgspec.Struct, forbid_unknown_fields=True):
    host: str
    port: int
    chain: str
    key: str
    bundle: str
    root: str
    block_list: str


@dataclass(frozen=True, slots=True)
class Membership:
    """An agent that joined: its identity, its trust domain's root and block list, and where the CA answers.

    Several processes may use the same file: one that finds it renewed by another takes what is there.
    """

    path: Path
    address: Address
    identity: Identity
    root_pem: bytes = field(repr=False)
    block_document: bytes = field(repr=False)

    @classmethod
    def join(cls, home: Home, token: JoinToken, address: Address, *, record: Record | None = None) -> Membership:
        """Become a member: find the CA by the root that the token pins, then spend the token on a certificate.

        Nothing secret is sent before the CA's certificate was verified up to the pinned root.

        Raises:
            EnrolmentRefused: another CA answers, or the CA refuses.
            ChannelError: nobody answers, or not in time.
            StoreError: the result cannot be kept.
        """
        root_pem = _pinned_root(token, address)
        context = strict_context(ssl.PROTOCOL_TLS_CLIENT, root_pem, ALPN_CA)
        key = new_key()
        request = Join(token.secret.hex(), str(token.spiffe_id), make_request(key).decode("ascii"))
        reply = _ask(address, context, token.spiffe_id.trust_domain, request)
        folder = home.path / "channel"
        make_private_folder(folder)
        path = folder / _file_name(token.spiffe_id)
        made = _accepted(reply, pem_of_key(key), token.spiffe_id, root_pem)
        member = cls(path, address, made[0], root_pem, made[1])
        if record is not None:
            record(IdentityRecord("join", str(token.spiffe_id), f"joined at {address[0]}:{address[1]}",
                                  serial=member.identity.serial))  # fmt: skip
        member._save()
        return member

    @classmethod
    def open(cls, home: Home, name: str) -> Membership:
        """The membership of agent ``NAME`` or ``NAME/INSTANCE``.

        Raises:
            IdentityError: it never joined here, or its file is damaged.
        """
        path = membership_path(home, name)
        if not os.path.lexists(path):
            raise IdentityError(f"{name} has not joined from {home.path}; run `agentguard ca join TOKEN`")
        return cls._read(path)

    def source(self, *, record: Record | None = None, poll_s: float = 10.0) -> RotatingIdentity:
        """An identity source that renews at the CA in time, and asks it every ``poll_s`` seconds who is blocked.

        Raises:
            IdentityError: the certificate has expired: join again.
            ChannelError: the CA does not answer.
        """
        live = _Live(self, record)
        return RotatingIdentity(live.renew, live.news, first=live.start(), record=record, poll_s=poll_s)

    @classmethod
    def _read(cls, path: Path) -> Membership:
        try:
            found = msgspec.json.decode(read_private(path, limit=MAX_FILE_BYTES), type=_File)
        except (msgspec.DecodeError, msgspec.ValidationError):
            # Not chained: a parser's message may show a part of the key.
            raise IdentityError(f"{path} is damaged; join again with a new token") from None
        identity = Identity.from_pem(found.chain.encode(), found.key.encode(), found.bundle.encode())
        return cls(path, (found.host, found.port), identity, found.root.encode(), found.block_list.encode())

    def _save(self) -> None:
        identity = self.identity
        parts = (identity.chain_pem, identity.key_pem, identity.roots_pem, self.root_pem, self.block_document)
        content = _File(*self.address, *(part.decode("ascii") for part in parts))
        with atomic_file(self.path) as file:
            file.write(msgspec.json.encode(content))

    def _block_list(self) -> BlockList:
        return _block_list(
            BlockList(self.identity.spiffe_id.trust_domain), self.block_document, self.identity.roots_pem
        )


def membership_path(home: Home, name: str) -> Path:
    """The file of agent ``NAME`` or ``NAME/INSTANCE``.

    Raises:
        IdentityError: no agent name.
    """
    agent, _, instance = name.partition("/")
    return home.path / "channel" / _file_name(SpiffeId.of_agent("any", agent, instance or None))


class _Live:
    """A membership in use: what ``RotatingIdentity`` calls from its thread."""

    def __init__(self, member: Membership, record: Record | None) -> None:
        self._member = member
        self._record = record
        self._blocks = member._block_list()

    def start(self) -> Identity:
        """The identity to begin with: the stored one, or a renewed one when half of its life is over."""
        identity = self._member.identity
        if not identity.valid_at(now()):
            raise IdentityError(f"the certificate of {identity.spiffe_id} has expired; join again with a new token")
        if _half_over(identity):
            self._renewed()
        return self._member.identity

    def renew(self, _present: Identity | None) -> Identity:
        """A fresh certificate: from the file when another process was faster, else from the CA."""
        with _locked(self._member.path):
            stored = Membership._read(self._member.path)
            if stored.identity.serial != self._member.identity.serial and not _half_over(stored.identity):
                self._member = stored
            else:
                self._renewed()
        return self._member.identity

    def news(self) -> Standing:
        """Bundle and block list as the CA says now."""
        identity = self._member.identity
        digest = hashlib.sha256(identity.roots_pem).hexdigest()
        reply = _ask(
            self._member.address, client_context(identity, alpn=ALPN_CA), identity.spiffe_id.trust_domain,
            News(self._blocks.version, digest),
        )  # fmt: skip
        if not isinstance(reply, NewsReply):
            raise ChannelError("the CA's service answered something else than was asked")
        if reply.bundle is not None or reply.block_list is not None:
            self._take(reply)
        return Standing(self._member.identity.roots_pem, self._blocks)

    def _take(self, reply: NewsReply) -> None:
        member = self._member
        bundle = member.identity.roots_pem if reply.bundle is None else reply.bundle.encode()
        _check_bundle(bundle, member.root_pem)
        document = member.block_document if reply.block_list is None else reply.block_list.encode()
        self._blocks = _block_list(self._blocks, document, bundle)
        self._member = replace(
            member, identity=replace(member.identity, roots_pem=bundle), block_document=document
        )  # fmt: skip
        with _locked(member.path):
            # Another process may have renewed meanwhile: its newer leaf must not be overwritten.
            if Membership._read(member.path).identity.serial == member.identity.serial:
                self._member._save()

    def _renewed(self) -> None:
        member, key = self._member, new_key()
        identity = member.identity
        reply = _ask(
            member.address, client_context(identity, alpn=ALPN_CA), identity.spiffe_id.trust_domain,
            Renew(make_request(key).decode("ascii")),
        )  # fmt: skip
        fresh, document = _accepted(reply, pem_of_key(key), identity.spiffe_id, member.root_pem)
        self._blocks = _block_list(self._blocks, document, fresh.roots_pem)
        self._member = replace(member, identity=fresh, block_document=document)
        self._member._save()
        if self._record is not None:
            self._record(IdentityRecord("renew", str(fresh.spiffe_id), "renewed at the CA", serial=fresh.serial))


def _pinned_root(token: JoinToken, address: Address) -> bytes:
    """The root of whoever answers, when it is the one the token names."""
    with _connected(address, unverified_context(ALPN_CA)) as tls:
        reply = _exchanged(tls, Root())
    if not isinstance(reply, RootReply):
        raise ChannelError("the CA's service answered something else than was asked")
    root_pem = reply.root.encode()
    (root, *others) = parse_certificates(root_pem, "the root")
    if others or not hmac.compare_digest(bytes.fromhex(fingerprint(root)), token.root_digest):
        raise EnrolmentRefused(
            "wrong-root", f"{address[0]}:{address[1]} is not the CA the join token was made by; nothing was sent to it"
        )
    return root_pem


def _ask(address: Address, context: ssl.SSLContext, trust_domain: str, request: Request) -> Reply:
    with _connected(address, context) as tls:
        check_certificate(tls, trust_domain, expected=frozenset({SpiffeId(trust_domain, "/ca")}), alpn=ALPN_CA)
        reply = _exchanged(tls, request)
    if isinstance(reply, Refused):
        raise EnrolmentRefused(_harmless(reply.reason[:100]), _harmless(reply.message[:500]))
    return reply


def _harmless(text: str) -> str:
    """Another machine's words, for a terminal: nothing that moves the cursor or hides text."""
    return "".join(letter if letter.isprintable() and letter.isascii() else "?" for letter in text)


@contextlib.contextmanager
def _connected(address: Address, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    try:
        raw = socket.create_connection(address, timeout=CONNECT_S)
    except OSError as error:
        raise ChannelError(
            f"no CA answers at {address[0]}:{address[1]} ({error}); is `agentguard ca serve` up?"
        ) from error
    try:
        with contextlib.closing(context.wrap_socket(raw)) as tls:
            yield tls
    except ssl.SSLError as error:
        raise refused_handshake(error) from error
    except OSError as error:
        raise ChannelError(f"the CA at {address[0]}:{address[1]} did not shake hands ({error})") from error
    finally:
        raw.close()


def _exchanged(tls: ssl.SSLSocket, request: Request) -> Reply:
    deadline = time.monotonic() + EXCHANGE_S
    send(tls, request, deadline=deadline)
    return receive(tls, REPLIES, limit=MAX_REPLY_BYTES, deadline=deadline)


def _accepted(reply: Reply, key_pem: bytes, spiffe_id: SpiffeId, root_pem: bytes) -> tuple[Identity, bytes]:
    """What the CA granted, checked: our key, our name, and a bundle and block list below the pinned root."""
    if not isinstance(reply, Granted):
        raise ChannelError("the CA's service answered something else than was asked")
    bundle = reply.bundle.encode()
    _check_bundle(bundle, root_pem)
    identity = Identity.from_pem(reply.chain.encode(), key_pem, bundle)
    if identity.spiffe_id != spiffe_id:
        raise EnrolmentRefused("other-identity", f"the CA answered with a certificate for {identity.spiffe_id}")
    document = reply.block_list.encode()
    _block_list(BlockList(spiffe_id.trust_domain), document, bundle)
    return identity, document


def _check_bundle(bundle: bytes, root_pem: bytes) -> None:
    (root,) = parse_certificates(root_pem, "the root")
    for authority in parse_certificates(bundle, "the bundle"):
        if not certified_by(authority, root):
            raise EnrolmentRefused("wrong-root", "the bundle holds a CA that the pinned root did not certify")


def _block_list(known: BlockList, document: bytes, bundle: bytes) -> BlockList:
    return known.successor(document, parse_certificates(bundle, "the bundle"))


def _half_over(identity: Identity) -> bool:
    return time.time() >= moment_of_life(identity, HALF_LIFE)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time renews a membership."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _file_name(spiffe_id: SpiffeId) -> str:
    """``agent@NAME.json``, ``agent@NAME@INSTANCE.json``: no segment holds an @, so no two IDs share a file."""
    return spiffe_id.path[1:].replace("/", "@") + ".json"
