"""Enrolment, the CA's side: join tokens, and the service that answers agents that join, renew and ask for news.

A token is bound to one identity, lives ten minutes, works once and carries SHA-256 of the root, by which the joining
side recognises the CA. The service speaks TLS 1.3 on an address of its own. Who joins proves a token, who renews its
present certificate; a renewal is for the same identity, with a fresh key, and only for a leaf of the issuance log.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import logging
import secrets
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509

from agentguard.channel.authority import Authority
from agentguard.channel.certificate import LeafKey, fingerprint, read_request
from agentguard.channel.identity import IdentityRecord
from agentguard.channel.protocol import (
    ALPN_CA,
    MAX_REQUEST_BYTES,
    REQUESTS,
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
from agentguard.channel.sightings import Sightings
from agentguard.channel.spiffe import SpiffeId
from agentguard.channel.tls import Peer, check_peer, refused_handshake, server_context
from agentguard.errors import AgentGuardError, ChannelError, EnrolmentRefused, IdentityError, PeerRefused

__all__ = ["TOKEN_S", "EnrolmentServer", "JoinToken", "new_token"]

TOKEN_S = 600.0
_log = logging.getLogger("agentguard")

_PREFIX = "agj1"
_SECRET_BYTES = 32
_PIN_BYTES = 32

HANDSHAKE_S = 5.0
EXCHANGE_S = 10.0
# Connections served at once; what comes on top is closed before TLS begins. One address may hold half of them: whoever
# occupies its share with silence keeps no other host from renewing.
MAX_CONNECTIONS = 64
MAX_PER_ADDRESS = 32
# Refusals recorded a second: whoever knocks without end must not fill the log. The rest is counted.
MAX_RECORDS_PER_S = 5


@dataclass(frozen=True, slots=True)
class JoinToken:
    """``agj1.<secret and pin>.<trust domain>/<path>``: a secret for one join, and which CA to give it to."""

    spiffe_id: SpiffeId
    secret: bytes = field(repr=False)
    root_digest: bytes

    @classmethod
    def parse(cls, text: str) -> JoinToken:
        """Read a token as `agentguard ca issue --token` printed it.

        Raises:
            IdentityError: no token, or a damaged one. The message holds nothing of it.
        """
        prefix, _, rest = text.strip().partition(".")
        packed, _, name = rest.partition(".")
        try:
            raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if prefix != _PREFIX or len(raw) != _SECRET_BYTES + _PIN_BYTES:
            raise IdentityError("that is no join token, or a damaged one; `agentguard ca issue NAME --token` makes one")
        return cls(SpiffeId.parse(f"spiffe://{name}"), raw[:_SECRET_BYTES], raw[_SECRET_BYTES:])

    def __str__(self) -> str:
        packed = base64.urlsafe_b64encode(self.secret + self.root_digest).decode("ascii").rstrip("=")
        return f"{_PREFIX}.{packed}.{str(self.spiffe_id).removeprefix('spiffe://')}"


def new_token(
    authority: Authority, spiffe_id: SpiffeId, *, life_s: float = TOKEN_S, by: str | None = None,
    record: Callable[[IdentityRecord], None] | None = None, clock: Callable[[], float] = time.time,
) -> JoinToken:  # fmt: skip
    """Make a token; the CA keeps its digest only.

    Raises:
        IdentityError: not an identity that this CA gives out.
        StoreError: it cannot be kept.
    """
    authority.agent_id(str(spiffe_id))
    token = JoinToken(spiffe_id, secrets.token_bytes(_SECRET_BYTES), authority.root_digest)
    if record is not None:
        record(IdentityRecord("token", str(spiffe_id), f"join token for {life_s:g} seconds", by=by))
    now = clock()
    authority.register.keep_token(token.secret, spiffe_id, now=now, expires_at=now + life_s)
    return token


class EnrolmentServer:
    """Answers agents that join, renew or ask for news. Threads: one that accepts, one a connection, at most
    64 in all and 32 for one address.

    Args:
        authority: issues; its own identity ``spiffe://<trust domain>/ca`` is what clients look for.
        host, port: where to listen; port 0 takes a free one.
        record: told of every join and every refusal.
        clock: seconds since 1970, for tokens.

    Raises:
        ChannelError: the address cannot be listened on.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        record: Callable[[IdentityRecord], None] | None = None,
        clock: Callable[[], float] = time.time,
        handshake_s: float = HANDSHAKE_S,
        exchange_s: float = EXCHANGE_S,
    ) -> None:
        self._authority = authority
        self._record = record
        self._clock = clock
        self._handshake_s = handshake_s
        self._exchange_s = exchange_s
        self._refusals = Refusals()
        self._sightings = Sightings()
        self._room = Room()
        self._stopping = False
        self._workers: set[threading.Thread] = set()
        self._closed = threading.Event()
        try:
            self._listener = socket.create_server((host, port), backlog=MAX_CONNECTIONS)
        except OSError as error:
            raise ChannelError(f"cannot listen on {host}:{port} ({error.strerror}); choose another address") from error
        try:
            self._source = authority.source(authority.service_id)
            self._context = self._fresh_context()
        except BaseException:
            self._listener.close()
            raise
        self._source.subscribe(self._changed)
        self._thread = threading.Thread(target=self._accept, name="agentguard-ca", daemon=True)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it listens on."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def close(self) -> None:
        """Stop accepting, and wait for the exchanges under way, which end by their deadline."""
        self._closed.set()
        # Closing alone does not wake a blocked accept on every platform.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10.0)
        for worker in list(self._workers):
            worker.join(timeout=self._handshake_s + self._exchange_s)
        self._source.close()

    def stop(self) -> None:
        """Have ``wait`` return soon. Safe in a signal handler, where setting an event could wait for itself."""
        self._stopping = True

    def wait(self) -> None:
        """Block until ``stop`` or ``close``."""
        while not self._stopping and not self._closed.wait(0.5):
            continue

    def _changed(self) -> None:
        self._context = self._fresh_context()

    def _fresh_context(self) -> ssl.SSLContext:
        context = server_context(self._source.current(), alpn=ALPN_CA)
        # Who joins has no certificate yet; one that is shown must be good all the same.
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                raw, address = self._listener.accept()
            except OSError:
                if self._closed.is_set():
                    return
                # Out of file descriptors: give those in use time to end.
                self._closed.wait(0.1)
                continue
            if not self._room.enter(address[0]):
                raw.close()
                continue
            worker = threading.Thread(target=self._serve, args=(raw, address[0]), daemon=True)
            self._workers.add(worker)
            worker.start()

    def _serve(self, raw: socket.socket, address: str) -> None:
        try:
            raw.settimeout(self._handshake_s)
            with contextlib.closing(self._context.wrap_socket(raw, server_side=True)) as tls:
                self._exchange(tls, address)
        except (ssl.SSLError, OSError) as error:
            self._refuse(address, refused_handshake(error).reason, "")
        except PeerRefused as error:
            self._refuse(address, error.reason, error.presented or "")
        except AgentGuardError as error:
            self._refuse(address, error.code, "")
        except Exception:  # noqa: BLE001  # a defect of ours is a refusal, recorded, and the service goes on
            _log.exception("a request to the CA failed")
            self._refuse(address, "failed", "")
        finally:
            with contextlib.suppress(OSError):
                raw.close()
            self._workers.discard(threading.current_thread())
            self._room.leave(address)

    def _exchange(self, tls: ssl.SSLSocket, address: str) -> None:
        deadline = time.monotonic() + self._exchange_s
        try:
            peer = self._peer(tls, address)
        except PeerRefused:
            send(tls, Refused("refused", "the CA refused this certificate; its audit log says why"), deadline=deadline)
            raise
        request = receive(tls, REQUESTS, limit=MAX_REQUEST_BYTES, deadline=deadline)
        try:
            reply: Reply = self._answer(request, peer, tls, address)
        except EnrolmentRefused as error:
            subject = request.identity[:200] if isinstance(request, Join) else str(peer.spiffe_id if peer else "")
            self._refuse(address, error.reason, ascii(subject)[1:-1])
            reply = Refused(error.reason, error.message)
        send(tls, reply, deadline=deadline)

    def _peer(self, tls: ssl.SSLSocket, address: str) -> Peer | None:
        if tls.getpeercert(binary_form=True) is None:
            if tls.selected_alpn_protocol() != ALPN_CA:
                raise PeerRefused("wrong-protocol")
            return None
        peer = check_peer(
            tls, self._source.current(), self._source, expected=None, address=address, alpn=ALPN_CA
        )  # fmt: skip
        elsewhere = self._sightings.elsewhere(peer)
        if elsewhere is not None:
            self._alert(peer, f"a certificate is used from {address} and from {elsewhere}: two hosts may hold its key")
        return peer

    def _answer(self, request: Request, peer: Peer | None, tls: ssl.SSLSocket, address: str) -> Reply:
        if isinstance(request, Root):
            return RootReply(self._authority.root_pem.decode("ascii"))
        if isinstance(request, Join):
            return self._join(request, address)
        if peer is None:
            raise EnrolmentRefused("no-certificate", "only holders of a certificate may ask for this")
        if isinstance(request, Renew):
            return self._renew(request, peer, tls)
        return self._news(request)

    def _join(self, request: Join, address: str) -> Reply:
        key = _proven(request.request)
        try:
            secret = bytes.fromhex(request.token)
        except ValueError:
            secret = b""
        refusal = self._authority.register.use_token(secret, request.identity, self._clock())
        if refusal is not None:
            raise EnrolmentRefused(refusal, _TOKEN_MESSAGES[refusal])
        reply = self._grant(SpiffeId.parse(request.identity), key, how="join", by=address)
        if self._record is not None:
            self._record(IdentityRecord("join", request.identity, "joined with a token", by=address))
        return reply

    def _renew(self, request: Renew, peer: Peer, tls: ssl.SSLSocket) -> Reply:
        key = _proven(request.request)
        shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True) or b"")
        subject = str(peer.spiffe_id)
        if not self._authority.register.knows(peer.serial, fingerprint(shown)):
            self._alert(peer, "a certificate that this CA never issued was shown: its key may be in foreign hands")
            raise EnrolmentRefused("never-issued", "this CA did not issue the certificate that was shown")
        reply = self._grant(peer.spiffe_id, key, how="renew", by=subject)
        if not self._authority.register.renewed(peer.serial, self._clock()):
            self._alert(peer, "a certificate was renewed a second time: two processes may hold its key")
        return reply

    def _grant(self, spiffe_id: SpiffeId, key: LeafKey, *, how: str, by: str) -> Granted:
        try:
            granted = self._authority.grant(spiffe_id, key, how="join" if how == "join" else "renew", by=by)
        except IdentityError as error:
            raise EnrolmentRefused("not-granted", str(error)) from error
        return Granted(
            granted.chain_pem.decode("ascii"), self._authority.bundle().decode("ascii"),
            self._authority.signed_block_list().decode("ascii"),
        )  # fmt: skip

    def _news(self, request: News) -> Reply:
        standing = self._authority.standing()
        known = hashlib.sha256(standing.bundle_pem).hexdigest() == request.bundle
        # The list is signed anew by each issuing CA: with a new bundle it goes along.
        fresh = not known or standing.block_list.version != request.version
        return NewsReply(
            None if known else standing.bundle_pem.decode("ascii"),
            self._authority.signed_block_list().decode("ascii") if fresh else None,
        )

    def _alert(self, peer: Peer, detail: str) -> None:
        if self._record is not None:
            self._record(
                IdentityRecord("alert", str(peer.spiffe_id), detail, serial=peer.serial, by=peer.address, success=False)
            )

    def _refuse(self, address: str, reason: str, presented: str) -> None:
        if self._record is None:
            return
        more = self._refusals.take()
        if more is None:
            return
        detail = reason if not more else f"{reason}; {more} more were not recorded"
        with contextlib.suppress(AgentGuardError):
            self._record(IdentityRecord("refuse", presented, detail, by=address, success=False))


class Room:
    """Counts the connections that are served, in all and by address."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Take a place; False when there is none for this address."""
        with self._lock:
            if self._served.total() >= MAX_CONNECTIONS or self._served[address] >= MAX_PER_ADDRESS:
                return False
            self._served[address] += 1
            return True

    def leave(self, address: str) -> None:
        """Give the place back."""
        with self._lock:
            self._served[address] -= 1
            if not self._served[address]:
                del self._served[address]


class Refusals:
    """Lets five records through a second, and counts the others.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._second = 0
        self._taken = 0
        self._dropped = 0

    def take(self) -> int | None:
        """How many were dropped before this one, which may be recorded; None when it may not."""
        second = int(self._clock())
        with self._lock:
            if second != self._second:
                self._second, self._taken = second, 0
            if self._taken >= MAX_RECORDS_PER_S:
                self._dropped += 1
                return None
            self._taken += 1
            dropped, self._dropped = self._dropped, 0
            return dropped


_TOKEN_MESSAGES = {
    "token-unknown": "no such join token was made here",
    "token-expired": "the join token has expired; make a new one with `agentguard ca issue NAME --token`",
    "token-used": "the join token was used before; if that was not you, treat it as an incident",
    "token-mismatch": "the join token was made for another identity, and is used up now",
}


def _proven(request: str) -> LeafKey:
    try:
        return read_request(request.encode())
    except IdentityError as error:
        raise EnrolmentRefused("request-invalid", str(error)) from error
