"""The agent's tools: plain typed functions with real side effects, bound to one world."""

from __future__ import annotations

import smtplib
import urllib.request
from collections.abc import Callable
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path

from agentguard_demo.world import World

__all__ = ["Tools"]

# Where the agent's mails come from.
SENDER = "support@example.com"


class Tools:
    """What the agent can do in ``world``."""

    def __init__(self, world: World) -> None:
        self._world = world

    def all(self) -> list[Callable[..., object]]:
        """Every tool, ready for an agent framework."""
        return [
            self.lookup_customer,
            self.list_customers,
            self.fetch_page,
            self.read_file,
            self.send_mail,
            self.delete_file,
        ]

    def lookup_customer(self, customer_id: int) -> dict[str, object]:
        """Return the record of one customer: id, name, email, plan and free-text notes."""
        found = next((row for row in self._world.customers() if row["id"] == customer_id), None)
        return found or {"error": "no such customer"}

    def list_customers(self) -> list[dict[str, object]]:
        """Return the records of all customers."""
        return self._world.customers()

    def fetch_page(self, url: str) -> str:
        """Fetch a web page and return its text."""
        if not url.startswith(("http://", "https://")):
            return "error: only web addresses can be fetched"
        with urllib.request.urlopen(url, timeout=10) as response:
            parser = _Text()
            parser.feed(response.read().decode("utf-8", "replace"))
        return parser.text()

    def read_file(self, path: str) -> str:
        """Read a text file of the workspace."""
        file = self._file(path)
        return file.read_text(encoding="utf-8") if file else "error: no such file"

    def send_mail(self, to: str, subject: str, body: str) -> str:
        """Send a mail to one address."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = SENDER, to, subject
        message.set_content(body)
        with smtplib.SMTP(*self._world.mail_server, timeout=10) as server:
            server.send_message(message)
        return "sent"

    def delete_file(self, path: str) -> str:
        """Delete a file of the workspace."""
        file = self._file(path)
        if file is None:
            return "error: no such file"
        file.unlink()
        return "deleted"

    def _file(self, path: str) -> Path | None:
        """The file at ``path``; None when there is none inside the workspace: the demo endangers nothing else."""
        root = self._world.workspace.resolve()
        file = (root / path).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None


class _Text(HTMLParser):
    """Collects what a text-only reader sees of a page, hidden parts included."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self._parts.append(" ".join(data.split()))

    def text(self) -> str:
        return "\n".join(filter(None, self._parts))
