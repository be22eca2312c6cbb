"""The page on monitoring: its policy loads and restrains, its Python alerts as it says, its commands exist."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from agentguard import Guard, Home, Policy, Principal, ToolCall
from agentguard.access.risk import risk_key
from agentguard.conversation import Conversation
from agentguard.monitor.alert import Message
from agentguard.watching import alert_book, risk_states
from tests.cli.command import call
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "monitoring.md").read_text()
BOT = Principal("bot", tenant="t")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_python_of_the_page_alerts_as_it_says() -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block("python"), "monitoring.md", "exec"), {})

    assert out.getvalue() == block("text")


def test_the_policy_of_the_page_suspends(tmp_path: Path) -> None:
    home = Home.create(tmp_path / ".agentguard")
    policy = Policy.parse(block("yaml"))
    call_ = ToolCall("send_mail", {"to": "a@example.com", "body": "hi"})
    with contextlib.closing(risk_states(home)) as states:
        states.raise_to(risk_key(BOT), "suspended", seconds=60)

    with Guard.from_policy(policy, home=home.path) as guard:
        decision = guard.check(call_, run=Conversation(principal=BOT))

    assert (decision.reason, decision.stage) == ("principal-suspended", "response")


def test_the_commands_of_the_page_exist(tmp_path: Path) -> None:
    home = Home.create(tmp_path / ".agentguard")
    with contextlib.closing(alert_book(home)) as book:
        alert, _ = book.note(Message("principal:t/agent/bot", "calls", "high", "text", {}), at=1_767_600_000.0)
    with contextlib.closing(risk_states(home)) as states:
        states.raise_to(risk_key(BOT), "suspended", seconds=60)

    for line in block("console").splitlines():
        command = line.removeprefix("$ agentguard ").replace("3f2a9c1e", alert.id[:8]).split()

        assert call(*command, folder=tmp_path).returncode == 0, line
