"""Small logs to read, damage and extend."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agentguard.audit import AuditLog
from agentguard.store import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh home."""
    return Home.create(tmp_path / ".agentguard")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A closed log of at least five frames, 274 records, with one stored tree node. Read only: damage a copy."""
    made = Home.create(tmp_path_factory.mktemp("written") / ".agentguard")
    with AuditLog.open(made) as log:
        for number in range(274):
            log.append({"type": "decision", "gen_ai.tool.name": f"tool-{number % 2}", "n": number}, durable=False)
            if number >= 269:
                log.flush()
    return made


@pytest.fixture
def copy(written: Home, tmp_path: Path) -> Home:
    """A copy of the written log, free to be damaged."""
    shutil.copytree(written.path, tmp_path / "copy")
    return Home.open(tmp_path / "copy")
