"""Small logs to read, damage and extend."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentguard.audit import AuditLog
from agentguard.event import Json
from agentguard.store import Home


def record(number: int, **more: Json) -> dict[str, Json]:
    """A record like the guard's."""
    return {
        "type": "decision",
        "decision": "deny" if number % 3 == 0 else "allow",
        "gen_ai.tool.name": f"tool-{number % 2}",
        "principal.id": "researcher",
        "n": number,
        **more,
    }


def fill(home: Home, frames: int, *, per_frame: int = 1, first: int = 0) -> None:
    """Append frames of known size and close the log."""
    with AuditLog.open(home) as log:
        for frame in range(frames):
            start = first + frame * per_frame
            for number in range(start, start + per_frame):
                log.append(record(number), durable=False)
            log.flush()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh home."""
    return Home.create(tmp_path / ".agentguard")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A closed log of four frames, 274 records, with one stored tree node. Read only: damage a copy."""
    made = Home.create(tmp_path_factory.mktemp("written") / ".agentguard")
    fill(made, 1, per_frame=270)
    fill(made, 4, first=270)
    return made


@pytest.fixture
def copy(written: Home, tmp_path: Path) -> Iterator[Home]:
    """A copy of the written log, free to be damaged."""
    shutil.copytree(written.path, tmp_path / "copy")
    yield Home.open(tmp_path / "copy")
