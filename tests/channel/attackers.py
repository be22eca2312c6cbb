"""Who tries to get in, and with what: the matrix of bad certificates and bad handshakes, in both directions, as data.

``python -m tests.channel.attackers`` plays each over loopback against the real contexts and checks, and prints who was
refused for which reason. A row is an ``Attacker``; ``ATTACKERS`` may be extended by other modules.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from agentguard.channel import (
    ALPN,
    Identity,
    IdentitySource,
    SpiffeId,
    check_peer,
    client_context,
    refused_handshake,
    server_context,
)
from agentguard.errors import PeerRefused
from tests.channel.forge import DOMAIN, RESEARCHER, WRITER, Ca, Forge, HeldIdentity, Leaf, new_key

HELLO = b"hello"
WAIT_S = 5.0
DAY = dt.timedelta(days=1)


@dataclass
class Outcome:
    """What came of one attempt.

    ``reason``: why the honest side refused, "" when it did not. ``handled``: application bytes that reached the honest
    side's handler or left its client. ``shaken``: the attacker's handshake ended well. ``up``: the attacker was let in.
    """

    reason: str = ""
    presented: str | None = None
    handled: bytes = b""
    shaken: bool = False
    up: bool = False


@dataclass(frozen=True)
class Attacker:
    """One row: a name, the side it plays, the reason it must be refused for, and the attempt itself."""

    name: str
    side: str
    reason: str
    attempt: Callable[[], Outcome] = field(repr=False)


class Listener:
    """An honest server as the transport has it: handshake, ``check_peer``, HELLO, then a handler that reads."""

    def __init__(self, context: ssl.SSLContext, source: IdentitySource) -> None:
        self.outcome = Outcome()
        self._context, self._source = context, source
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._socket.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        raw, address = self._socket.accept()
        raw.settimeout(WAIT_S)
        try:
            with contextlib.closing(self._context.wrap_socket(raw, server_side=True)) as tls:
                check_peer(tls, self._source.current(), self._source, expected=None, address=address[0])
                tls.sendall(HELLO)
                self.outcome.handled += tls.recv(100)
        except PeerRefused as error:
            self.outcome.reason, self.outcome.presented = error.reason, error.presented
        except OSError as error:
            self.outcome.reason = self.outcome.reason or refused_handshake(error).reason
        finally:
            raw.close()

    def finish(self) -> Outcome:
        self._thread.join(WAIT_S)
        self._socket.close()
        return self.outcome


def attack_server(
    context: ssl.SSLContext | None,
    *,
    server: HeldIdentity,
    greeting: bytes = b"",
    session: ssl.SSLSession | None = None,
) -> Outcome:
    """A client with this context against the honest server; ``greeting`` goes out first, in clear."""
    listener = Listener(server_context(server.identity), server)
    shaken = up = False
    with contextlib.suppress(OSError), socket.create_connection(listener.address, timeout=WAIT_S) as raw:
        if greeting:
            raw.sendall(greeting)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(100)
        if context is not None:
            with context.wrap_socket(raw, session=session) as tls:
                shaken = True
                # Impatient: an attacker does not wait for the HELLO.
                tls.sendall(b"payload")
                up = tls.recv(100) == HELLO
    outcome = listener.finish()
    outcome.shaken, outcome.up = shaken, up
    return outcome


def attack_client(context: ssl.SSLContext | None, *, client: HeldIdentity, greeting: bytes = b"") -> Outcome:
    """A server with this context against the honest client, which wants the writer."""
    outcome = Outcome()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        raw, _ = listening.accept()
        raw.settimeout(WAIT_S)
        with contextlib.suppress(OSError), raw:
            if context is None:
                raw.sendall(greeting)
                return
            with context.wrap_socket(raw, server_side=True) as tls:
                outcome.shaken = True
                tls.sendall(HELLO)
                outcome.handled = tls.recv(100)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        with (
            socket.create_connection(listening.getsockname(), timeout=WAIT_S) as raw,
            client_context(client.identity).wrap_socket(raw) as tls,
        ):
            check_peer(tls, client.identity, client, expected=frozenset({SpiffeId.parse(WRITER)}))
            if tls.recv(100) == HELLO:
                tls.sendall(b"message")
                outcome.up = True
    except PeerRefused as error:
        outcome.reason, outcome.presented = error.reason, error.presented
    except OSError as error:
        outcome.reason = refused_handshake(error).reason
    thread.join(WAIT_S)
    listening.close()
    return outcome


def lenient(identity: Identity | None, side: int, *, alpn: Iterable[str] = (ALPN,)) -> ssl.SSLContext:
    """What an attacker builds: believes everybody, sends what it has."""
    context = (server_context if side == ssl.PROTOCOL_TLS_SERVER else client_context)(
        identity or Forge.make().identity()
    )
    context = context if identity is not None else ssl.SSLContext(side)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    return context


@dataclass
class World:
    """An honest trust domain, and what attackers can get hold of: anything, but for its keys."""

    forge: Forge
    server: HeldIdentity
    client: HeldIdentity

    @classmethod
    def make(cls) -> World:
        forge = Forge.make()
        return cls(forge, forge.source(WRITER), forge.source(RESEARCHER))

    def present(self, leaf: Leaf, side: str) -> Outcome:
        """Show a certificate to the honest side."""
        identity = leaf.unchecked(self.forge.root)
        if side == "client":
            return attack_server(lenient(identity, ssl.PROTOCOL_TLS_CLIENT), server=self.server)
        return attack_client(lenient(identity, ssl.PROTOCOL_TLS_SERVER), client=self.client)


def _expired(world: World, uri: str) -> Leaf:
    return world.forge.issuing.leaf([uri], start=-DAY, end=-dt.timedelta(minutes=1))


def _future(world: World, uri: str) -> Leaf:
    return world.forge.issuing.leaf([uri], start=DAY, end=2 * DAY)


def _self_signed(world: World, uri: str) -> Leaf:
    own = Ca.root("loner")
    made = own.leaf([uri], key=own.key, subject="loner")
    return Leaf(made.certificate, own.key, ())


def _unknown_ca(world: World, uri: str) -> Leaf:
    return Forge.make().issuing.leaf([uri])


def _forged_signature(world: World, uri: str) -> Leaf:
    """Our issuing CA's name and key identifier, signed by another key."""
    return world.forge.issuing.leaf([uri], signer=new_key())


def _below_a_leaf(world: World, uri: str) -> Leaf:
    stolen = world.forge.issuing.leaf([uri])
    assert not isinstance(stolen.key, rsa.RSAPrivateKey)
    below = Ca(stolen.certificate, stolen.key, (world.forge.issuing.certificate,))  # type: ignore[arg-type]
    return below.leaf([uri])


def _below_a_ca_of_its_own(world: World, uri: str) -> Leaf:
    return world.forge.issuing.issuing("one more").leaf([uri])


def _expired_ca(world: World, uri: str) -> Leaf:
    return world.forge.root.issuing("old", end=-dt.timedelta(hours=1)).leaf([uri])


def _outside_the_constraint(world: World, uri: str) -> Leaf:
    return world.forge.issuing.leaf([uri.replace(DOMAIN, "elsewhere.example")])


def _foreign_domain(world: World, uri: str) -> Leaf:
    """From a CA of the bundle without a name constraint."""
    return world.forge.root.issuing("unconstrained").leaf([uri.replace(DOMAIN, "elsewhere.example")])


def _leaf(**how: object) -> Callable[[World, str], Leaf]:
    return lambda world, uri: world.forge.issuing.leaf([uri], **how)  # type: ignore[arg-type]


def _names(*uris: str, dns: tuple[str, ...] = ()) -> Callable[[World, str], Leaf]:
    return lambda world, _uri: world.forge.issuing.leaf(uris, dns=dns)


# name, certificate, reason where a client shows it, reason where a server does (the same when None)
CERTIFICATES: tuple[tuple[str, Callable[[World, str], Leaf], str, str | None], ...] = (
    ("expired certificate", _expired, "expired", None),
    ("certificate not yet valid", _future, "not-yet-valid", None),
    ("self-signed certificate", _self_signed, "self-signed", None),
    ("certificate of an unknown CA", _unknown_ca, "unknown-ca", None),
    ("forged signature", _forged_signature, "bad-signature", None),
    ("certificate signed by a stolen leaf", _below_a_leaf, "not-a-ca", None),
    ("certificate of a CA below the issuing CA", _below_a_ca_of_its_own, "path-too-long", None),
    ("certificate of an expired issuing CA", _expired_ca, "expired", None),
    ("no authority key identifier", _leaf(authority=False), "missing-authority-key-id", None),
    (
        "extended key usage for e-mail",
        _leaf(extended=[ExtendedKeyUsageOID.EMAIL_PROTECTION]),
        "wrong-usage",
        None,
    ),
    (
        "extended key usage for servers only",
        _leaf(extended=[ExtendedKeyUsageOID.SERVER_AUTH]),
        "wrong-usage",
        None,
    ),
    (
        "extended key usage for clients only",
        _leaf(extended=[ExtendedKeyUsageOID.CLIENT_AUTH]),
        "wrong-usage",
        None,
    ),
    ("no extended key usage", _leaf(extended=None), "wrong-usage", None),
    ("a CA's certificate", _leaf(ca=True, cert_sign=True), "ca-leaf", None),
    ("CA:true without the usage", _leaf(ca=True), "ca-leaf", None),
    ("leaf that may sign certificates", _leaf(cert_sign=True), "wrong-usage", None),
    ("key that may not sign", _leaf(digital_signature=False), "wrong-usage", None),
    ("RSA key", _leaf(key=rsa.generate_private_key(65537, 2048)), "wrong-key-type", None),
    ("two URI names", _names(RESEARCHER, WRITER), "not-one-identity", None),
    ("no URI name, a DNS name", _names(dns=("writer.example.org",)), "not-one-identity", None),
    ("no name at all", _names(), "not-one-identity", None),
    ("upper-case trust domain", _names("spiffe://Example.org/agent/writer"), "malformed-identity", None),
    ("percent-encoded name", _names(f"spiffe://{DOMAIN}/agent/wr%69ter"), "malformed-identity", None),
    ("name with dots", _names(f"spiffe://{DOMAIN}/agent/../ca"), "malformed-identity", None),
    ("name outside the CA's constraint", _outside_the_constraint, "name-constraint", None),
    ("wrong trust domain, unconstrained CA", _foreign_domain, "wrong-trust-domain", None),
)


def _certificate_rows() -> Iterable[Attacker]:
    for name, make, as_client, as_server in CERTIFICATES:
        for side, uri, reason in (("client", RESEARCHER, as_client), ("server", WRITER, as_server or as_client)):
            yield Attacker(name, side, reason, partial(_shown, make, side, uri))


def _shown(make: Callable[[World, str], Leaf], side: str, uri: str) -> Outcome:
    world = World.make()
    return world.present(make(world, uri), side)


def _no_certificate() -> Outcome:
    return attack_server(lenient(None, ssl.PROTOCOL_TLS_CLIENT), server=World.make().server)


def _old_tls(side: str) -> Outcome:
    world = World.make()
    protocol = ssl.PROTOCOL_TLS_CLIENT if side == "client" else ssl.PROTOCOL_TLS_SERVER
    context = lenient(world.forge.identity(RESEARCHER if side == "client" else WRITER), protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if side == "client":
        return attack_server(context, server=world.server)
    return attack_client(context, client=world.client)


def _clear_text(side: str, text: bytes) -> Outcome:
    world = World.make()
    if side == "client":
        return attack_server(None, server=world.server, greeting=text)
    return attack_client(None, client=world.client, greeting=text)


def _alpn(side: str, *names: str) -> Outcome:
    world = World.make()
    if side == "client":
        context = lenient(world.forge.identity(RESEARCHER), ssl.PROTOCOL_TLS_CLIENT, alpn=names)
        return attack_server(context, server=world.server)
    context = lenient(world.forge.identity(WRITER), ssl.PROTOCOL_TLS_SERVER, alpn=names)
    return attack_client(context, client=world.client)


def _another_agent() -> Outcome:
    """A good certificate of an agent that the client did not ask for."""
    world = World.make()
    other = world.forge.identity(f"spiffe://{DOMAIN}/agent/intern")
    return attack_client(lenient(other, ssl.PROTOCOL_TLS_SERVER), client=world.client)


def _blocked(side: str, *, by: str) -> Outcome:
    """A stolen leaf with its key, after the block."""
    world = World.make()
    stolen = world.forge.identity(RESEARCHER if side == "client" else WRITER)
    for honest in (world.server, world.client):
        if by == "serial":
            honest.serials.add(stolen.serial)
        else:
            honest.names.add(stolen.spiffe_id)
    if side == "client":
        return attack_server(lenient(stolen, ssl.PROTOCOL_TLS_CLIENT), server=world.server)
    return attack_client(lenient(stolen, ssl.PROTOCOL_TLS_SERVER), client=world.client)


def _retired_ca(side: str) -> Outcome:
    """A leaf that ends later than its issuing CA stayed in the bundle; the root above both is the same."""
    forge = Forge.make()
    old, new = (forge.root.issuing(name, domain=DOMAIN, path_length=0) for name in ("old", "new"))
    honest = HeldIdentity(new.leaf([WRITER if side == "client" else RESEARCHER]).identity(new))
    leaf = old.leaf([RESEARCHER if side == "client" else WRITER]).unchecked(new)
    if side == "client":
        return attack_server(lenient(leaf, ssl.PROTOCOL_TLS_CLIENT), server=honest)
    return attack_client(lenient(leaf, ssl.PROTOCOL_TLS_SERVER), client=honest)


BOTH_SIDES = ("client", "server")
ATTACKERS: tuple[Attacker, ...] = (
    Attacker("no certificate", "client", "no-certificate", _no_certificate),
    *(Attacker("TLS 1.2", side, "wrong-tls-version", partial(_old_tls, side)) for side in BOTH_SIDES),
    *(
        Attacker("HTTP in clear", side, "not-tls", partial(_clear_text, side, text))
        for side, text in (
            ("client", b"GET / HTTP/1.1\r\nHost: writer\r\n\r\n"),
            ("server", b"HTTP/1.1 200 OK\r\n\r\n"),
        )
    ),
    *(
        Attacker("a message in clear", side, "not-tls", partial(_clear_text, side, bytes(40) + b"text"))
        for side in BOTH_SIDES
    ),
    *(Attacker("wrong ALPN", side, "wrong-protocol", partial(_alpn, side, "h2")) for side in BOTH_SIDES),
    *(Attacker("no ALPN", side, "wrong-protocol", partial(_alpn, side)) for side in BOTH_SIDES),
    *_certificate_rows(),
    Attacker("another agent than expected", "server", "unexpected-identity", _another_agent),
    *(
        Attacker(f"stolen leaf, {by} blocked", side, "blocked", partial(_blocked, side, by=by))
        for side in BOTH_SIDES
        for by in ("serial", "identity")
    ),
    *(
        Attacker("leaf of a CA that left the bundle", side, "unknown-ca", partial(_retired_ca, side))
        for side in BOTH_SIDES
    ),
)


def faults(attacker: Attacker, outcome: Outcome) -> list[str]:
    """What is wrong with how an attempt ended; nothing when the attacker got nothing."""
    found = []
    if outcome.reason != attacker.reason:
        found.append(f"refused for {outcome.reason!r}, not for {attacker.reason!r}")
    if outcome.handled:
        found.append(f"{len(outcome.handled)} application bytes passed")
    if outcome.up:
        found.append("the connection counted as up")
    return found


def main() -> int:
    """Print the report; 1 when an attacker got through."""
    wrong = 0
    out = sys.stdout
    out.write(f"{'attacker':<44}{'as':<8}{'handshake':<11}{'refused for':<28}presented\n")
    for attacker in ATTACKERS:
        outcome = attacker.attempt()
        found = faults(attacker, outcome)
        wrong += bool(found)
        shaken = "ended" if outcome.shaken else "failed"
        row = (outcome.reason or "-", outcome.presented or "-")
        out.write(f"{attacker.name:<44}{attacker.side:<8}{shaken:<11}{row[0]:<28}{row[1]}\n")
        for fault in found:
            out.write(f"    WRONG: {fault}\n")
    out.write(f"{len(ATTACKERS)} attackers, {wrong} wrong\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
