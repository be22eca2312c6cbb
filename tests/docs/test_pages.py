"""Quick start and adopting, run as they stand: every command, in order, with every output."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from agentguard import Guard, Home, Policy, ToolCall
from agentguard_langchain import guarded_agent, resume_with
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


def test_redaction_is_what_happens(tmp_path: Path) -> None:
    """A pseudonym comes back in the cleared argument and is refused in another session; a stream stops."""
    page, project = (ROOT / "docs" / "redaction.md").read_text(), tmp_path / "project"
    project.mkdir()
    for name, content in files(page).items():
        (project / name).write_text(content)

    _follow(page, project, commands(tmp_path / "bin"))


def test_adopting_is_what_happens(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples" / "adopting", project, ignore=shutil.ignore_patterns("__pycache__"))

    _follow(ADOPTING, project, commands(tmp_path / "bin"))


def test_adopting_shows_each_verb() -> None:
    verbs = {"init", "check", "lint-labels", "suggest", "replay", "test", "explain"}

    shown = {command.split()[2] for block in blocks(ADOPTING) for command, _ in block if "policy " in command}

    assert shown == verbs


def test_the_first_steps_of_troubleshooting_answer(tmp_path: Path) -> None:
    """On the log of the quick start, its ID put in: each command says something and none fails."""
    project, bin_folder = tmp_path / "project", commands(tmp_path / "bin")
    project.mkdir()
    (project / "model.py").write_text(MODEL)
    for name, content in files(QUICK_START).items():
        (project / name).write_text(content)
    for block in blocks(QUICK_START)[:2]:
        for command, _ in block:
            run(command, project, bin_folder)
    page = (ROOT / "docs" / "errors.md").read_text()
    ((first, _), *others) = blocks(page)[0]

    shown = run(first, project, bin_folder)
    (identity,) = set(re.findall(r" id ([0-9a-f]{16})$", shown, re.MULTILINE))
    answers = [run(command.replace("ID", identity), project, bin_folder) for command, _ in others]

    assert "origin-untrusted" in shown
    assert all(answer and "agentguard: " not in answer for answer in answers)
    assert "tools.send_mail.args.to" in answers[0]


def test_the_approver_of_the_policy_page_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "policy.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("agentguard.yaml").write_text("version: 1\n")
    Home.create(".agentguard")
    namespace: dict[str, Any] = {}

    exec(code, namespace)

    with namespace["guard"] as guard:
        assert not guard.check(ToolCall("anything", {})).allowed


def test_the_pause_of_the_frameworks_page_runs_the_approved_call_once(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "frameworks.md").read_text()
    code, *_ = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    paid: list[int] = []

    def pay(amount: int) -> str:
        """Pay somebody."""
        paid.append(amount)
        return "paid"

    policy = Policy.parse(
        "version: 1\nroles: {clerk: {permissions: [execute_agent], tools: [pay]}}\nagents: {clerk: {roles: [clerk]}}\n"
        "tools: {pay: {side_effect: money, approval: always, args: {amount: {sink: amount}}}}\n"
    )
    model: dict[str, Any] = {}
    exec(MODEL.replace('("fetch_page", {"url": "https://shop.example/hours"})', '("pay", {"amount": 50})'), model)
    with Guard.from_policy(policy, home=Home.create(tmp_path / "home").path, agent="clerk") as guard:
        namespace = {
            "guard": guard,
            "guarded_agent": guarded_agent,
            "resume_with": resume_with,
            "model": model["MODEL"],
            "tools": [pay],
            "saver": InMemorySaver(),
            "ask": {"messages": [("user", "Pay 50 euros.")]},
            "config": {"configurable": {"thread_id": "t"}},
        }
        first, rest = code.split("agent.invoke(resume_with", 1)

        exec(first, namespace)
        before = list(paid)
        exec("agent.invoke(resume_with" + rest, namespace)

    assert (before, paid) == ([], [50])
