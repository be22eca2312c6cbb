"""What the agent can do: plain typed functions on the files beside it. Nothing here knows of AgentGuard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

FOLDER = Path.cwd()


class Customer(TypedDict):
    """One record of customers.json; customers write their notes themselves."""

    id: int
    name: str
    email: str
    notes: str


def lookup_customer(customer_id: int) -> Customer:
    """Return the record of one customer."""
    rows: list[Customer] = json.loads((FOLDER / "customers.json").read_text(encoding="utf-8"))
    return next(row for row in rows if row["id"] == customer_id)


def fetch_page(url: str) -> str:
    """Fetch a page of the shop and return its text."""
    return (FOLDER / "pages" / url.rpartition("/")[2]).read_text(encoding="utf-8")


def send_mail(to: str, subject: str, body: str) -> str:
    """Send a mail to one address."""
    with (FOLDER / "outbox.txt").open("a", encoding="utf-8") as outbox:
        outbox.write(f"to {to}: {subject}\n{body}\n\n")
    return "sent"


TOOLS = [lookup_customer, fetch_page, send_mail]
