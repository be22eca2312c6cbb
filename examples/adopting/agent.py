"""The agent at work: three requests, answered by a script that obeys whatever it reads, the worst case.

Run it where a policy and an ``.agentguard`` folder are: ``python agent.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tools import TOOLS  # type: ignore[import-not-found]  # it is run in its own folder

from agentguard import Denied, Guard

# The guard says on standard error that it only watches; here the outcome says it too.
logging.getLogger("agentguard").setLevel(logging.ERROR)


def refund(tools: dict[str, Callable[..., Any]]) -> None:
    """The customer's address comes from the record."""
    customer = tools["lookup_customer"](customer_id=1042)
    tools["send_mail"](to=customer["email"], subject="Your refund", body="Your refund was approved.")


def invoice(tools: dict[str, Callable[..., Any]]) -> None:
    """The address comes from the user."""
    tools["send_mail"](to="books@example.com", subject="Invoice", body="The invoice of May is paid.")


def summary(tools: dict[str, Callable[..., Any]]) -> None:
    """The page carries an order of somebody else's, and the model obeys."""
    tools["fetch_page"](url="https://shop.example.com/returns.txt")
    tools["send_mail"](to="archive@example.net", subject="Customers", body="All of them: ...")


WORK = [
    ("Mail customer 1042 that the refund was approved.", refund),
    ("Mail books@example.com that the invoice of May is paid.", invoice),
    ("Summarise https://shop.example.com/returns.txt for me.", summary),
]


def main() -> None:
    """Do the day's work under the guard, and say of each request what came of it."""
    with Guard.from_file("agentguard.yaml") as guard:
        tools = {tool.__name__: guard.wrap_tool(tool) for tool in TOOLS}
        for request, work in WORK:
            with guard.conversation("support", request):
                try:
                    work(tools)
                except Denied as refusal:
                    print(f"refused ({refusal.decision.reason}): {request}")
                else:
                    print(f"done: {request}")


if __name__ == "__main__":
    main()
