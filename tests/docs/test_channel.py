"""The page about the channel, run as it stands: commands with their outputs, programs, and the table of reasons."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentguard.channel import enrolment, tls
from tests.channel.attackers import ATTACKERS
from tests.docs.pages import ROOT, blocks, commands, normal, run

PAGE = (ROOT / "docs" / "channel.md").read_text()
# Times to the second and hashes differ from run to run; so does a record's index.
_CHANGING = re.compile(r"\d{4}-\d{2}-\d{2}T[0-9:.]+Z|\b[0-9a-f]{16,64}\b")


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _lines(text: str) -> list[str]:
    without_index = re.sub(r"^ *\d+ (\d{4}-)", r"\1", text, flags=re.MULTILINE)
    return [" ".join(_CHANGING.sub("*", line).split()) for line in normal(without_index)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[tuple[str, str, str]]]]:
    """The page's commands, run in order: each with the output it shows and the one it had."""
    folder = tmp_path_factory.mktemp("channel")
    (folder / "project").mkdir()
    bin_folder, port = commands(folder / "bin"), _port()
    ran: list[tuple[str, str, str]] = []
    with contextlib.ExitStack() as servers:
        for block in blocks(PAGE):
            for command, expected in block:
                real = command.replace("8470", str(port))
                if command.endswith(" &"):
                    shown = servers.enter_context(_serving(real.removesuffix(" &"), folder / "project", bin_folder))
                else:
                    shown = run(real, folder / "project", bin_folder)
                ran.append((command, expected, shown.replace(str(port), "8470")))
        yield folder / "project", ran


@contextlib.contextmanager
def _serving(command: str, folder: Path, bin_folder: Path) -> Iterator[str]:
    words = command.split()
    server = subprocess.Popen(
        [str(bin_folder / words[0]), *words[1:]], cwd=folder, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert server.stdout is not None
        yield server.stdout.readline()
    finally:
        server.terminate()
        server.communicate(timeout=60)


def test_every_command_of_the_page_does_what_it_shows(project: tuple[Path, list[tuple[str, str, str]]]) -> None:
    """With two refusals among them: a token used twice, and a blocked agent that asks again."""
    _, ran = project

    for command, expected, shown in ran:
        assert sorted(_lines(shown)) == sorted(_lines(expected)), command
    refused = [shown for _, _, shown in ran if "enrolment-refused" in shown]
    assert len(refused) == 2


def test_the_programs_of_the_page_say_who_they_are(
    project: tuple[Path, list[tuple[str, str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, _ = project
    monkeypatch.chdir(folder)

    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        # The first one's identity was blocked and is free again.
        exec(code.replace("8470", "0"), {})

    assert capsys.readouterr().out.splitlines() == [
        "spiffe://agents.example.org/agent/researcher",
        "writer True",
        '"A lamp is patient light."',
        "hello",
    ]


def test_every_reason_is_explained() -> None:
    reasons = {
        *(attacker.reason for attacker in ATTACKERS),
        *tls._VERIFY_REASONS.values(),
        *tls._HANDSHAKE_REASONS.values(),
        *enrolment._TOKEN_MESSAGES,
    }

    assert {reason for reason in reasons if f"`{reason}`" not in PAGE} == set()


def test_every_reason_in_the_code_is_explained() -> None:
    """Whatever is raised as a reason, wherever."""
    found = set()
    for path in (ROOT / "agentguard" / "channel").glob("*.py"):
        found |= set(
            re.findall(r'(?:PeerRefused|LeafProblem|EnrolmentRefused|Refused)\(\s*"([a-z-]+)"', path.read_text())
        )

    assert len(found) > 15
    assert {reason for reason in found if f"`{reason}`" not in PAGE} == set()


def test_every_reason_of_the_transport_is_explained() -> None:
    """Words with hyphens in its modules are reasons, codes or names of events; all stand on the page."""
    modules = ("admission", "blocking", "checks", "client", "connection", "delivery", "endpoint", "inbox", "server")
    found = set()
    for name in modules:
        source = (ROOT / "agentguard" / "channel" / f"{name}.py").read_text()
        found |= set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', source))

    assert len(found) > 30
    assert {word for word in found if f"`{word}`" not in PAGE} - {"agentguard-channel", "held"} == set()
