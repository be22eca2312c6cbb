"""Delivery to real receivers: an HTTP server, an SMTP server, UDP and Unix sockets, a function."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import MetaData

from agentguard import verify_webhook
from agentguard.errors import ConfigError
from agentguard.monitor import Alert, AlertBook, Callback, Deliverer, Mail, Syslog, Webhook, channel
from agentguard.monitor.alert import Message
from agentguard.monitor.delivery import FIRST_WAIT_S, LONGEST_WAIT_S, _wait
from agentguard.store import Home, open_state

SECRET = b"made-up webhook secret"
NOW = 1_767_600_000.0
ALERT = Alert(
    id="0123456789abcdef", subject='principal:t/agent/"a]\\', kind="calls", severity="high", text="a: 500\ncalls",
    details={"observed": 500.0}, count=2, first_at=NOW, last_at=NOW + 60, acked_at=None, acked_by="", normal=False,
    dropped=0,
)  # fmt: skip


class Receiver:
    """A real HTTP server that answers with the given statuses in turn, the last one for ever."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.path, dict(self.headers), body))
                status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/alerts?team=sec"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def receiving(*statuses: int) -> Iterator[Receiver]:
    receiver = Receiver(*statuses)
    try:
        yield receiver
    finally:
        receiver.close()


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def book_of(home: Home, clock: Clock, *channels: str) -> AlertBook:
    metadata = MetaData()
    AlertBook.define(metadata)
    return AlertBook(lambda: open_state(home, metadata), channels=channels, clock=clock)


# -- webhook ----------------------------------------------------------------------------------------------------------


def test_a_webhook_is_signed_over_time_and_body() -> None:
    with receiving(204) as receiver:
        Webhook(receiver.url, SECRET, clock=lambda: NOW).send(ALERT)

    (path, headers, body), = receiver.requests  # fmt: skip
    signature = headers["AgentGuard-Signature"]
    assert path == "/alerts?team=sec"
    assert json.loads(body)["text"] == ALERT.text
    assert verify_webhook(body, signature, SECRET, now=NOW)
    assert not verify_webhook(body + b" ", signature, SECRET, now=NOW)
    assert not verify_webhook(body, signature, b"another secret!!", now=NOW)
    assert not verify_webhook(body, signature, SECRET, now=NOW + 301)
    assert not verify_webhook(body, signature.replace(f"t={int(NOW)}", f"t={int(NOW) + 200}"), SECRET, now=NOW + 400)


@pytest.mark.parametrize("header", ["", "t=1", "v1=00", "t=x,v1=y", "t=²,v1=é", "nonsense", ",,,=,"])
def test_a_header_that_is_none_verifies_nothing(header: str) -> None:
    assert not verify_webhook(b"{}", header, SECRET)


@pytest.mark.parametrize("status", [302, 400, 500], ids=["redirect", "refused", "broken"])
def test_any_answer_but_2xx_is_a_failure_and_no_redirect_is_followed(status: int) -> None:
    with receiving(status) as receiver:
        with pytest.raises(ConnectionError):
            Webhook(receiver.url, SECRET).send(ALERT)

        assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        pytest.param("http://example.com/x", SECRET, id="readable-on-the-way"),
        pytest.param("https://user@example.com/x", SECRET, id="a-user"),
        pytest.param("https://example.com/x", b"short", id="a-short-secret"),
        pytest.param("ftp://example.com/x", SECRET, id="another-scheme"),
    ],
)
def test_a_webhook_that_would_leak_is_refused(url: str, secret: bytes) -> None:
    with pytest.raises(ConfigError):
        Webhook(url, secret)


# -- mail and syslog --------------------------------------------------------------------------------------------------


class Inbox:
    def __init__(self) -> None:
        self.mails: list[Any] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        self.mails.append(envelope)
        return "250 OK"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_mail_arrives_with_one_line_of_subject() -> None:
    inbox = Inbox()
    server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        Mail("127.0.0.1", server.port, to=("sec@example.com",), sender="ag@example.com").send(ALERT)
    finally:
        server.stop()

    (mail,) = inbox.mails
    text = mail.content.decode()
    assert mail.rcpt_tos == ["sec@example.com"]
    assert "Subject: [agentguard] high: a: 500?calls\r\n" in text
    assert '"severity": "high"' in text


@pytest.mark.parametrize(
    "address", ["nobody", "a@b.example\nBcc: c@d.example", "a@b.example, c@d.example", "<a@b.example>"]
)
def test_an_address_that_is_more_than_one_is_refused(address: str) -> None:
    with pytest.raises(ConfigError):
        Mail("127.0.0.1", 25, to=(address,), sender="ag@example.com")


def test_syslog_by_udp_is_one_line_of_rfc_5424() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        Syslog(("127.0.0.1", receiver.getsockname()[1])).send(ALERT)
        line = receiver.recv(65_536).decode()

    assert line.startswith("<107>1 2026-01-05T08:01:00.000Z ")
    assert 'subject="principal:t/agent/\\"a\\]\\\\"' in line
    assert line.endswith(" a: 500?calls")


def test_syslog_to_a_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(10)
        Syslog(path).send(ALERT)
        line = receiver.recv(65_536).decode()

    assert 'kind="calls"' in line


# -- channels by URL --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://example.com/alerts", Webhook),
        ("smtp://localhost:2525/?to=a@b.example&from=c@d.example", Mail),
        ("smtp://ag@mail.example.com/?to=a@b.example", Mail),
        ("syslog://log.example.com:1514", Syslog),
        ("syslog:///dev/log", Syslog),
    ],
)
def test_a_url_makes_its_channel(url: str, kind: type[object]) -> None:
    made = channel(url, environ={"AGENTGUARD_WEBHOOK_SECRET": SECRET.decode(), "AGENTGUARD_SMTP_PASSWORD": "made-up"})

    assert isinstance(made, kind)


@pytest.mark.parametrize(
    "url",
    ["https://example.com/alerts", "smtp://localhost/", "smtp://a:b@mail.example.com/?to=a@b.example", "carrier:pigeon",
     "https://[broken", "https://example.com:99999/", ""],
    ids=["no-secret", "nobody-to-send-to", "a-password-in-it", "no-such-scheme", "unreadable", "port", "empty"],
)  # fmt: skip
def test_a_url_that_makes_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        channel(url, environ={})

    assert not url or url not in str(refused.value)


# -- the deliverer ----------------------------------------------------------------------------------------------------


def test_a_receiver_that_comes_back_gets_the_alert(state_home: Home) -> None:
    clock = Clock()
    book = book_of(state_home, clock, "hook")
    book.note(Message("principal:a", "calls", "high", "text", {}), at=NOW)
    with receiving(500, 503, 200) as receiver:
        deliverer = Deliverer(book, {"hook": Webhook(receiver.url, SECRET)})
        done = []
        for _ in range(3):
            done.append(deliverer.deliver_due())
            clock.now += LONGEST_WAIT_S

    assert done == [0, 0, 1]
    assert book.waiting() == {}
    book.close()


def test_nothing_is_tried_again_before_its_wait_is_over(state_home: Home) -> None:
    clock = Clock()
    book = book_of(state_home, clock, "hook")
    book.note(Message("principal:a", "calls", "high", "text", {}), at=NOW)
    with receiving(500) as receiver:
        deliverer = Deliverer(book, {"hook": Webhook(receiver.url, SECRET)})
        for _ in range(5):
            deliverer.deliver_due()

        assert len(receiver.requests) == 1
    book.close()


@pytest.mark.parametrize("attempts", [1, 2, 5, 12, 1_000])
def test_waits_grow_and_are_bounded(attempts: int) -> None:
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts - 1, 20))

    assert all(longest / 2 <= _wait(attempts) <= longest for _ in range(20))


def test_one_channel_that_fails_holds_up_no_other(state_home: Home) -> None:
    got: list[Alert] = []

    def broken(_alert: Alert) -> None:
        raise RuntimeError("no")

    book = book_of(state_home, Clock(), "bad", "good")
    for number in range(3):
        book.note(Message(f"principal:{number}", "calls", "high", "text", {}), at=NOW)

    done = Deliverer(book, {"bad": Callback(broken), "good": Callback(got.append)}).deliver_due()

    assert (done, len(got)) == (3, 3)
    assert book.waiting() == {"bad": 3}
    book.close()


def test_a_deliverer_on_its_thread_delivers_what_an_earlier_process_left(state_home: Home) -> None:
    book = book_of(state_home, Clock(), "callback")
    book.note(Message("principal:a", "calls", "high", "text", {}), at=NOW)
    book.close()
    arrived = threading.Event()
    again = book_of(state_home, Clock(), "callback")
    deliverer = Deliverer(again, {"callback": Callback(lambda _alert: arrived.set())})

    deliverer.start()

    assert arrived.wait(20)
    deliverer.close()
    assert again.waiting() == {}
    again.close()
