"""The page on roles and sessions, run as it stands, in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentguard import Home
from tests.docs.pages import ROOT, blocks, commands, files, normal, run

PAGE = (ROOT / "docs" / "access.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

# What each snippet prints: every one shows a case that is refused.
PRINTED = [
    ["The role trainee denies the tool book."],
    [
        "wrote spring",
        "refused: This needs the permission reports.write.",
        "refused: This needs the permission reports.write.",
        "role editor, inherited from author, on reports/*",
        "denied by role no-payroll, on reports/payroll/*",
    ],
    ["ann {'theme': 'dark'}", "True", "refresh-reused", "session-revoked"],
    ["(False, None)"],
]


def test_the_page_is_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands with their output, then the Python of the page, in one project."""
    project, bin_folder = tmp_path / "project", commands(tmp_path / "bin")
    Home.create(project / ".agentguard")
    for name, content in files(PAGE).items():
        (project / name).write_text(content)
    monkeypatch.chdir(project)

    for block in blocks(PAGE):
        for command, expected in block:
            assert normal(run(command, project, bin_folder)) == normal(expected), command
    for snippet, printed in zip(SNIPPETS, PRINTED, strict=True):
        exec(snippet, {})
        assert capsys.readouterr().out.splitlines() == printed
