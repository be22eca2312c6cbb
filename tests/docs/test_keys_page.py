"""The page on keys, run as it stands: every command and program in order, refusals included."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentguard import Home
from tests.docs.pages import ROOT, blocks, commands, files, normal, run

PAGE = (ROOT / "docs" / "keys.md").read_text()


def test_the_page_is_what_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENTGUARD_MASTER_PASSWORD", raising=False)
    monkeypatch.setenv("MASTER_PASSWORD", "made-up " + "pass phrase")
    project = tmp_path / "project"
    project.mkdir()
    Home.create(project / ".agentguard")
    for name, content in files(PAGE).items():
        (project / name).write_text(content)
    bin_folder = commands(tmp_path / "bin")

    for block in blocks(PAGE):
        for command, expected in block:
            assert normal(run(command, project, bin_folder)) == normal(expected), command


def test_every_part_of_the_page_shows_a_refusal() -> None:
    """The vault's commands, the files' commands, and both programs."""
    refusals = [[line for line in normal(out) if "agentguard: " in line] for b in blocks(PAGE) for _, out in b]

    codes = {line.split(": ")[1] for found in refusals for line in found}
    assert {"config-invalid", "key-absent", "ciphertext-forged"} <= codes
    assert all("except" in content for content in files(PAGE).values())
