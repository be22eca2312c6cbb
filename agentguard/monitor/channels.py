"""Where alerts go: a signed webhook, e-mail, syslog, a function of the application.

``channel(url)`` makes one from a URL: ``https://host/path`` (webhook; its secret from ``AGENTGUARD_WEBHOOK_SECRET``),
``smtp://user@host:587/?to=a@b.example&from=c@d.example`` (STARTTLS; its password from ``AGENTGUARD_SMTP_PASSWORD``),
``syslog://host:514`` (UDP) or ``syslog:///dev/log`` (socket). Secrets never stand in a URL or in the policy.
Each ``send`` waits at most ``TIMEOUT_S`` for its receiver and raises when that did not take the alert.
"""

from __future__ import annotations

import contextlib
import email.message
import hashlib
import hmac
import http.client
import json
import os
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import SplitResult, parse_qs, urlsplit

from agentguard.errors import ConfigError
from agentguard.monitor.alert import Alert
from agentguard.monitor.delivery import Channel

__all__ = ["Callback", "Mail", "Syslog", "Webhook", "channel", "verify_webhook"]

TIMEOUT_S = 10.0
SIGNATURE = "AgentGuard-Signature"
MIN_SECRET_BYTES = 16
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
# RFC 5424, section 6.2.1: facility 13 is log audit; severities of the alerts' own.
FACILITY = 13
SYSLOG_SEVERITY = {"medium": 4, "high": 3, "critical": 2}


class Webhook:
    """POSTs an alert as JSON, signed with HMAC-SHA256 over the time and the body.

    The header ``AgentGuard-Signature: t=<seconds>,v1=<hex>`` signs ``<seconds>.<body>``; receivers use
    ``verify_webhook``. Redirects are not followed: they would lead the alert elsewhere.

    Args:
        url: https, or http to this host only.
        secret: shared with the receiver, at least 16 bytes.

    Raises:
        ConfigError: another URL, or a short secret.
    """

    def __init__(self, url: str, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        parts = _split(url)
        if parts.scheme == "http" and parts.hostname not in LOCAL:
            raise ConfigError("a webhook over http is readable on the way; use https")
        if parts.scheme not in ("http", "https") or parts.username or not parts.hostname:
            raise ConfigError("got another webhook URL than https://host/path without a user")
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigError(f"the webhook's secret has {len(secret)} bytes; at least {MIN_SECRET_BYTES} are needed")
        self._parts = parts
        self._secret = secret
        self._clock = clock

    def send(self, alert: Alert, /) -> None:
        """As ``Channel.send``; the receiver answers 2xx when it has the alert."""
        body = json.dumps(alert.as_json()).encode()
        moment = str(int(self._clock()))
        path = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        connection = self._connection()
        with contextlib.closing(connection):
            connection.request(
                "POST",
                path,
                body,
                {
                    "Content-Type": "application/json",
                    "User-Agent": "agentguard",
                    SIGNATURE: f"t={moment},v1={_signature(self._secret, moment, body)}",
                },
            )
            status = connection.getresponse().status
        if not 200 <= status < 300:
            raise ConnectionError(f"the webhook's receiver answered {status}")

    def _connection(self) -> http.client.HTTPConnection:
        host = self._parts.hostname or ""
        if self._parts.scheme == "http":
            return http.client.HTTPConnection(host, self._parts.port, timeout=TIMEOUT_S)
        return http.client.HTTPSConnection(
            host, self._parts.port, timeout=TIMEOUT_S, context=ssl.create_default_context()
        )


def verify_webhook(
    body: bytes, header: str, secret: bytes, *, now: float | None = None, tolerance: float = 300
) -> bool:
    """Whether ``body`` was signed under ``secret`` within the last ``tolerance`` seconds; for receivers."""
    fields = dict(part.partition("=")[::2] for part in header.split(","))
    moment, signature = fields.get("t", ""), fields.get("v1", "")
    if not moment.isascii() or not moment.isdigit() or not signature.isascii():
        return False
    genuine = hmac.compare_digest(_signature(secret, moment, body), signature)
    return genuine and abs((time.time() if now is None else now) - int(moment)) <= tolerance


def _signature(secret: bytes, moment: str, body: bytes) -> str:
    return hmac.new(secret, moment.encode() + b"." + body, hashlib.sha256).hexdigest()


class Mail:
    """Sends an alert as e-mail. Without TLS only to a server on this host.

    Args:
        host, port: the SMTP server.
        to, sender: addresses.
        user, password: credentials, sent under TLS only.

    Raises:
        ConfigError: an address with a line break or without ``@``, none to send to, or credentials without TLS.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        to: tuple[str, ...],
        sender: str,
        user: str | None = None,
        password: str | None = None,
    ) -> None:
        for address in (*to, sender):
            if "@" not in address or not address.isprintable() or any(c in address for c in " ,<>"):
                raise ConfigError("an e-mail address of the alerts is none; write name@example.com")
        if not to:
            raise ConfigError("alerts by e-mail need an address: smtp://host/?to=name@example.com")
        if user and host in LOCAL:
            raise ConfigError("a mail server on this host is used without TLS, so without credentials")
        self._host, self._port = host, port
        self._to, self._sender = to, sender
        self._user, self._password = user, password

    def send(self, alert: Alert, /) -> None:
        """As ``Channel.send``."""
        message = email.message.EmailMessage()
        message["Subject"] = f"[agentguard] {alert.severity}: {_line(alert.text)}"[:200]
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = f"<{alert.id}.{alert.count}@agentguard>"
        message.set_content(json.dumps(alert.as_json(), indent=2))
        with smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_S) as server:
            if self._host not in LOCAL:
                server.starttls(context=ssl.create_default_context())
            if self._user:
                server.login(self._user, self._password or "")
            server.send_message(message)


class Syslog:
    """Sends an alert in the form of RFC 5424, by UDP (RFC 5426) or to a local socket.

    Args:
        address: a host and port, or the path of a datagram socket.
    """

    def __init__(self, address: tuple[str, int] | str) -> None:
        self._address = address

    def send(self, alert: Alert, /) -> None:
        """As ``Channel.send``; by UDP nobody learns whether it arrived."""
        line = self._format(alert).encode()
        if isinstance(self._address, str):
            family, address = socket.AF_UNIX, self._address
            with socket.socket(family, socket.SOCK_DGRAM) as out:
                out.settimeout(TIMEOUT_S)
                out.sendto(line, address)
            return
        found = socket.getaddrinfo(*self._address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(found[0], socket.SOCK_DGRAM) as out:
            out.settimeout(TIMEOUT_S)
            out.sendto(line, found[4])

    def _format(self, alert: Alert) -> str:
        priority = FACILITY * 8 + SYSLOG_SEVERITY[alert.severity]
        moment = datetime.fromtimestamp(alert.last_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {"id": alert.id, "subject": alert.subject, "kind": alert.kind, "count": str(alert.count)}
        told = " ".join(f'{name}="{_quoted(value)}"' for name, value in fields.items())
        host = _line(socket.gethostname())[:255] or "-"
        # 32473 is the number for examples and documentation (RFC 5612): we have none of our own.
        return f"<{priority}>1 {moment} {host} agentguard {os.getpid()} alert [alert@32473 {told}] {_line(alert.text)}"


class Callback:
    """Hands an alert to a function of the application, in the thread that delivers."""

    def __init__(self, function: Callable[[Alert], object]) -> None:
        self._function = function

    def send(self, alert: Alert, /) -> None:
        """As ``Channel.send``: the function raises when it did not take the alert."""
        self._function(alert)


def channel(url: str, *, environ: Mapping[str, str] | None = None) -> Channel:
    """The channel of a URL.

    Raises:
        ConfigError: no such scheme, an incomplete URL, or a secret that the environment lacks.
    """
    known = os.environ if environ is None else environ
    parts = _split(url)
    if parts.scheme in ("http", "https"):
        return Webhook(url, known.get("AGENTGUARD_WEBHOOK_SECRET", "").encode())
    if parts.scheme == "smtp" and parts.hostname:
        query = parse_qs(parts.query)
        return Mail(
            parts.hostname,
            parts.port or (25 if parts.hostname in LOCAL else 587),
            to=tuple(query.get("to", ())),
            sender=query.get("from", ["agentguard@localhost"])[0],
            user=parts.username,
            password=known.get("AGENTGUARD_SMTP_PASSWORD"),
        )
    if parts.scheme == "syslog":
        return Syslog((parts.hostname, parts.port or 514) if parts.hostname else parts.path or "/dev/log")
    raise ConfigError("an alert channel is a URL: https://, smtp:// or syslog://")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # Reading the port is what checks it.
        _ = parts.port
    except ValueError as error:
        raise ConfigError("an alert channel's URL cannot be read") from error
    if parts.password:
        raise ConfigError("a password stands in an alert channel's URL; it belongs in the environment")
    return parts


def _line(text: str) -> str:
    """On one line, without control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _quoted(value: str) -> str:
    """RFC 5424, section 6.3.3."""
    return _line(value).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
