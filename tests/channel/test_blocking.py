"""``SecureAgentCommunication``: its call shapes, and every flaw that a naive version of it has."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agentguard import ConfigError
from agentguard.channel import client_context
from agentguard.channel.blocking import SecureAgentCommunication, SecureListener
from agentguard.channel.frame import FrameType, Hello, encode_frame
from agentguard.errors import ChannelError, DeliveryFailed, IdentityError, PeerRefused
from tests.channel.forge import RESEARCHER, WRITER, Forge, Leaf
from tests.channel.pairs import FAST, FORGE, Records
from tests.channel.raw import HELLO

QUICK = replace(FAST, handshake_s=0.5, hello_s=0.5, body_s=0.5, connect_s=1.0)


def write(folder: Path, leaf: Leaf, forge: Forge = FORGE) -> tuple[Path, Path, Path]:
    """Certificate, key and CA as files."""
    folder.mkdir(exist_ok=True)
    paths = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
    for path, content in zip(paths, (leaf.chain_pem, leaf.key_pem, forge.root.pem), strict=True):
        path.write_bytes(content)
        path.chmod(0o600)
    return paths


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def writer(tmp_path: Path, records: Records) -> Iterator[SecureAgentCommunication]:
    cert, key, ca = write(tmp_path / "writer", FORGE.issuing.leaf([WRITER]))
    with SecureAgentCommunication(cert, key, ca_path=ca, peers=[RESEARCHER], record=records, limits=QUICK) as made:
        yield made


@pytest.fixture
def listener(writer: SecureAgentCommunication) -> SecureListener:
    return writer.create_secure_server("127.0.0.1", 0)


@pytest.fixture
def researcher(tmp_path: Path) -> Iterator[SecureAgentCommunication]:
    cert, key, ca = write(tmp_path / "researcher", FORGE.issuing.leaf([RESEARCHER]))
    with SecureAgentCommunication(cert, key, ca_path=ca, peers=[WRITER], limits=QUICK) as made:
        yield made


def test_two_agents_exchange_texts(
    writer: SecureAgentCommunication, listener: SecureListener, researcher: SecureAgentCommunication
) -> None:
    """The client connects, both know whom they talk with, and order is kept in both directions."""
    client = researcher.create_secure_client(*listener.address)
    served = listener.accept()

    for number in range(100):
        researcher.send_encrypted_message(client, f"question {number} äöü 🦊" if number % 32 == 0 else str(number))
        if number % 32 == 31 or number == 99:
            got = [writer.receive_encrypted_message(served) for _ in range(number % 32 + 1)]
            assert got[0].startswith("question")
    writer.send_encrypted_message(served, "an answer of a megabyte" * 40_000)

    assert len(researcher.receive_encrypted_message(client)) == 23 * 40_000
    assert (str(client.peer), str(served.peer)) == (WRITER, RESEARCHER)
    client.close()
    with pytest.raises(ChannelError, match="closed the connection"):
        served.receive(timeout=5)


def test_clients_without_a_certificate_of_this_ca_are_refused(listener: SecureListener, records: Records) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE

    answer = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(listener.address) as plain,
        context.wrap_socket(plain) as tls,
    ):
        tls.sendall(b"hello")
        answer = tls.recv(1)

    assert answer == b""
    _wait(lambda: records.reasons("refuse") == ["no-certificate"])
    with pytest.raises(DeliveryFailed):
        listener.accept(timeout=0.1)


def test_certificates_nobody_expects_are_refused_on_both_sides(
    tmp_path: Path, listener: SecureListener, researcher: SecureAgentCommunication
) -> None:
    stranger = "spiffe://example.org/agent/stranger"
    cert, key, ca = write(tmp_path / "stranger", FORGE.issuing.leaf([stranger]))
    other = SecureAgentCommunication(cert, key, ca_path=ca, peers=[WRITER], limits=QUICK)
    with other, pytest.raises(ChannelError):
        other.create_secure_client(*listener.address)
    with pytest.raises(PeerRefused) as refused:
        researcher.create_secure_client(*listener.address, peer=stranger)

    assert refused.value.reason == "unexpected-identity"
    assert refused.value.presented == WRITER


def test_without_a_ca_or_a_peer_nothing_is_set_up(tmp_path: Path) -> None:
    cert, key, ca = write(tmp_path / "writer", FORGE.issuing.leaf([WRITER]))

    with pytest.raises(ConfigError, match="ca_path"):
        SecureAgentCommunication(cert, key, peers=[RESEARCHER])
    with pytest.raises(ConfigError, match="nobody may talk"):
        SecureAgentCommunication(cert, key, ca_path=ca)
    with pytest.raises(IdentityError):
        SecureAgentCommunication(cert, tmp_path / "missing", ca_path=ca, peers=[RESEARCHER])


def test_silent_and_slow_clients_hold_nobody_up(
    listener: SecureListener, researcher: SecureAgentCommunication, records: Records
) -> None:
    """A handshake that never ends, and one byte at a time: others are accepted meanwhile, and both are cut off."""
    silent = [socket.create_connection(listener.address) for _ in range(5)]
    try:
        started = time.monotonic()
        client = researcher.create_secure_client(*listener.address)
        listener.accept(timeout=5)
        client.send("not held up")
        assert time.monotonic() - started < 5

        _wait(lambda: len([r for r in records.reasons("refuse") if r == "handshake-timeout"]) == 5)
    finally:
        for each in silent:
            each.close()


def _raw_client(listener: SecureListener) -> ssl.SSLSocket:
    context = client_context(FORGE.source(RESEARCHER).current())
    tls = context.wrap_socket(socket.create_connection(listener.address), server_hostname=None)
    tls.settimeout(5)
    return tls


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("length of 4 GiB", struct.pack("!IBBHQ", 2**32 - 1, 1, 2, 0, 2), "frame-invalid"),
        ("half a header, then nothing", b"\x00\x00", "body-timeout"),
        ("half a message, then nothing", struct.pack("!IBBHQ", 1000, 1, 2, 0, 2) + b"x" * 10, "body-timeout"),
    ],
)
def test_lengths_are_not_believed_and_half_messages_are_no_messages(
    listener: SecureListener, records: Records, name: str, data: bytes, reason: str
) -> None:
    import msgspec

    with _raw_client(listener) as tls:
        tls.sendall(encode_frame(FrameType.HELLO, 1, msgspec.msgpack.encode(HELLO)) + data)
        served = listener.accept(timeout=5)
        with pytest.raises(DeliveryFailed) as cut:
            served.receive(timeout=5)

    assert cut.value.reason == "truncated"
    assert records.reasons("disconnect") == [reason]


def test_an_end_in_the_middle_is_told_from_an_end_in_order(listener: SecureListener) -> None:
    import msgspec

    tls = _raw_client(listener)
    tls.sendall(encode_frame(FrameType.HELLO, 1, msgspec.msgpack.encode(HELLO)))
    served = listener.accept(timeout=5)
    tls.close()

    with pytest.raises(DeliveryFailed, match="cut"):
        served.receive(timeout=5)
    with pytest.raises(DeliveryFailed, match="cut"):
        served.receive(timeout=5)


def test_receiving_ends_in_time(listener: SecureListener, researcher: SecureAgentCommunication) -> None:
    client = researcher.create_secure_client(*listener.address)

    with pytest.raises(DeliveryFailed) as late:
        client.receive(timeout=0.1)

    assert late.value.reason == "timeout"


def test_a_receiver_that_does_not_receive_slows_its_sender_down(
    listener: SecureListener, researcher: SecureAgentCommunication
) -> None:
    """Nothing is queued without bound, and nothing is lost."""
    client = researcher.create_secure_client(*listener.address)
    served = listener.accept()
    sent = 0

    def send() -> None:
        nonlocal sent
        for number in range(200):
            client.send(str(number), timeout=20)
            sent += 1

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.5)
    assert sent <= 64
    assert [served.receive(timeout=20) for _ in range(200)] == [str(n) for n in range(200)]
    thread.join(20)
    assert sent == 200


def test_after_close_nothing_works_and_the_port_is_free_at_once(
    tmp_path: Path, writer: SecureAgentCommunication, listener: SecureListener, researcher: SecureAgentCommunication
) -> None:
    address = listener.address
    client = researcher.create_secure_client(*address)
    listener.close()
    with pytest.raises(ChannelError):
        client.receive(timeout=5)
    again = writer.create_secure_server(*address)
    assert again.address == address
    writer.close()
    with pytest.raises(ChannelError, match="closed"):
        writer.create_secure_server("127.0.0.1", 0)


def _wait(condition: object, patience: float = 10.0) -> None:
    until = time.monotonic() + patience
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_window_of_a_hello_must_be_sane() -> None:
    import msgspec

    from agentguard.channel.frame import decode_control
    from agentguard.errors import FrameError

    for wrong in ((0, 1, 4096, 1, 1), (1, 0, 4096, 1, 1), (1, 1, 2**31, 1, 1)):
        with pytest.raises(FrameError):
            decode_control(Hello, msgspec.msgpack.encode(wrong))
