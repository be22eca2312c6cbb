"""Either end killed at every step: each message is handled at least once, and its effect happens exactly once when the
handler records it in the same transaction."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from agentguard import Home
from agentguard.channel import Authority
from agentguard.store import open_state
from tests.channel.peer_process import EFFECT, METADATA

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.create(tmp_path / "home")
    Authority.create(made, "example.org").close()
    return made


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number: int = taken.getsockname()[1]
    return number


class Processes:
    """Started processes; every one is ended with the test."""

    def __init__(self, home: Home, port: int) -> None:
        self.home = home
        self.port = port
        self.running: list[subprocess.Popen[str]] = []

    def start(self, role: str, argument: object, kill_at: str = "") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.channel.peer_process", role, self.home.path, str(self.port), str(argument)],
            cwd=ROOT, env={**os.environ, "KILL_AT": kill_at}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.running.append(process)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    def effects(self) -> list[str]:
        engine = open_state(self.home, METADATA)
        with engine.begin() as connection:
            found = [row.text for row in connection.execute(select(EFFECT))]
        engine.dispose()
        return found


@pytest.fixture
def processes(home: Home, port: int) -> Iterator[Processes]:
    made = Processes(home, port)
    yield made
    for process in made.running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _ended(process: subprocess.Popen[str]) -> int:
    return process.wait(PATIENCE)


@pytest.mark.parametrize("step", ["before-effect", "before-commit", "after-commit"])
@pytest.mark.parametrize("how", ["together", "apart"])
def test_a_receiver_killed_at_any_step(processes: Processes, step: str, how: str) -> None:
    server = processes.start("serve", how, step)
    sender = processes.start("send", 5)
    assert _ended(server) < 0
    processes.start("serve", how)
    assert _ended(sender) == 0

    effects = processes.effects()
    assert sorted(set(effects)) == ["0", "1", "2", "3", "4"]
    if how == "together" or step != "after-commit":
        assert effects == ["0", "1", "2", "3", "4"]
    else:
        # The record was still to be written: at least once, as documented.
        assert effects == ["0", "0", "1", "2", "3", "4"]


@pytest.mark.parametrize("step", ["kept", "sent"])
def test_a_sender_killed_before_its_message_is_acknowledged(processes: Processes, step: str) -> None:
    """The outbox survives: the next process delivers what was kept, and nothing twice."""
    if step == "kept":
        processes.start("serve", "together")
    sender = processes.start("send", 1, step)
    assert _ended(sender) < 0
    assert processes.effects() == []
    if step == "sent":
        processes.start("serve", "together")

    again = processes.start("send", 0)
    assert _ended(again) == 0

    deadline = time.monotonic() + 10
    while processes.effects() != ["0"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes.effects() == ["0"]
    assert _ended(processes.start("send", 0)) == 0
    assert processes.effects() == ["0"]
