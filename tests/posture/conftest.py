"""One sound project for the whole folder; each test gets a copy of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.posture.project import PASSWORD, Planted


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sound project; nobody changes it."""
    folder = tmp_path_factory.mktemp("sound")
    Planted.sound(folder)
    return folder


@pytest.fixture
def planted(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    """A copy of the sound project, to plant a weakness in; the vault's password is in the environment."""
    folder = tmp_path / "project"
    shutil.copytree(original, folder)
    monkeypatch.setenv("AGENTGUARD_MASTER_PASSWORD", PASSWORD)
    return Planted(folder)
