"""The page on posture, run as it stands, in order; its tables name every item there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentguard.posture import checks
from tests.docs.pages import ROOT, blocks, commands, files, normal, run

PAGE = (ROOT / "docs" / "posture.md").read_text()
PRINTED = [
    "True no API key is stored in this home",
    "False not-checked run the guard once, then check again",
]


def test_the_page_is_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project, bin_folder = tmp_path / "project", commands(tmp_path / "bin")
    project.mkdir()
    for name, content in files(PAGE).items():
        (project / name).write_text(content)
        (project / name).chmod(0o644)
    monkeypatch.chdir(project)
    monkeypatch.delenv("AGENTGUARD_MASTER_PASSWORD", raising=False)

    for block in blocks(PAGE):
        for command, expected in block:
            assert normal(run(command, project, bin_folder)) == normal(expected), command
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(snippet, {})
    assert capsys.readouterr().out.splitlines() == PRINTED


def test_the_page_names_every_item() -> None:
    told = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", PAGE))

    assert {check.id for check in checks() if not check.id.startswith("probe-hooks-")} - told == set()
