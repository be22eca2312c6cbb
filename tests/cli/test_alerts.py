"""``agentguard alerts``: what was found, what is restrained, and a person's answer, recorded before it counts."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from agentguard import AuditLog, Home
from agentguard.access.risk import RiskLevel
from agentguard.monitor.alert import Message
from agentguard.watching import alert_book, risk_states
from tests.cli.command import call

TOLD = Message("principal:t/agent/bot", "calls", "high", "t/agent/bot: 500 calls\x1b[2J within an hour", {"usual": 5.0})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / ".agentguard")


def run(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = call("alerts", *arguments, "--home", str(home.path), folder=home.path.parent)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def alerted(home: Home) -> str:
    with closing(alert_book(home)) as book:
        return book.note(TOLD, at=time.time())[0].id


def restrained(home: Home, level: RiskLevel = "suspended") -> None:
    with closing(risk_states(home)) as states:
        states.raise_to("t/agent/bot", level, seconds=600, alert="a1")


def recorded(home: Home) -> list[object]:
    with AuditLog.open(home) as log:
        return [record.data.get("details") for record in log.query()]


def test_nothing_found_is_said_on_stderr(home: Home) -> None:
    done = run(home, "list")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "no alerts\n")


def test_alerts_and_risks_are_listed_for_people_and_machines(home: Home) -> None:
    alert_id = alerted(home)
    restrained(home)

    table, lines = run(home, "list"), run(home, "list", "--json")

    assert alert_id[:8] in table.stdout
    assert "\x1b" not in table.stdout
    alert, risk = map(json.loads, lines.stdout.splitlines())
    assert (alert["type"], alert["id"], alert["severity"], alert["count"]) == ("alert", alert_id, "high", 1)
    assert (risk["type"], risk["principal"], risk["level"]) == ("risk", "t/agent/bot", "suspended")


def test_an_acknowledged_alert_leaves_the_list_and_stays_in_history(home: Home) -> None:
    alert_id = alerted(home)

    done = run(home, "ack", alert_id[:8], "--normal", "--json")

    assert json.loads(done.stdout) == {"acknowledged": alert_id, "normal": True}
    assert run(home, "list").stdout == ""
    (kept,) = map(json.loads, run(home, "list", "--all", "--json").stdout.splitlines())
    assert kept["acknowledged_by"].startswith("os:")
    assert {"action": "alert-ack", "alert": alert_id, "normal": True} in recorded(home)


def test_a_suspension_is_lifted_and_recorded(home: Home) -> None:
    restrained(home)

    done = run(home, "lift", "t/agent/bot")

    assert (done.returncode, done.stdout) == (0, "lifted t/agent/bot\n")
    with closing(risk_states(home)) as states:
        assert states.all() == []
    assert {"action": "risk-lift", "principal": "t/agent/bot"} in recorded(home)


@pytest.mark.parametrize(
    "arguments",
    [("ack", "0123abcd"), ("ack", ""), ("lift", "t/agent/nobody"), ("list", "--since", "yesterday")],
    ids=["no-such-alert", "an-empty-id", "nobody-restrained", "no-time"],
)
def test_what_names_nothing_is_one_line_and_usage(home: Home, arguments: tuple[str, ...]) -> None:
    alerted(home)

    done = run(home, *arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("agentguard: config-invalid: ")
    assert len(done.stderr.splitlines()) == 1
