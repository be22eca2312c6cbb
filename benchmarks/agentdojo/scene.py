"""What the script plays in: suites of tasks and injected goals. AgentDojo is one source of them, tests make another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentguard import Json

__all__ = ["Step", "Suite", "ToolFailed", "World"]


@dataclass(frozen=True, slots=True)
class Step:
    """One tool call of a script."""

    tool: str
    args: dict[str, Json]


class ToolFailed(Exception):
    """A tool refused its arguments; the message is what the agent would read."""


class World(Protocol):
    """One live environment, used for one run.

    ``task_answer`` and ``order_answer`` are what an agent says that did the task, or obeyed the order.
    """

    task_answer: str
    order_answer: str

    def task_steps(self) -> Sequence[Step]:
        """The calls that solve the user's task."""

    def order_steps(self) -> Sequence[Step]:
        """The calls that reach the injected goal; none when it asks for words only, or when nobody scripted it."""

    def run(self, step: Step) -> Json:
        """Run a tool and answer with what it returns.

        Raises:
            ToolFailed: the tool answers with an error.
        """

    def finished(self, answer: str) -> bool:
        """Whether the user's task was done, as its own checker sees it."""

    def obeyed(self, answer: str) -> bool:
        """Whether the injected goal was reached, as its own checker sees it."""


class Suite(Protocol):
    """Tasks and goals over one set of tools. ``policy`` is the file with the labels of these tools."""

    name: str
    policy: Path
    tasks: Sequence[str]
    goals: Sequence[str]

    def prompt(self, task: str) -> str:
        """What the user asks."""

    def goal_text(self, goal: str) -> str:
        """What the attacker wants, in words."""

    def slots(self, task: str) -> Sequence[str]:
        """The places in tool results, seen while doing ``task``, that the attacker can write to."""

    def world(self, task: str, goal: str | None, texts: Mapping[str, str]) -> World:
        """A fresh environment with the attacker's ``texts`` by slot; slots without one hold harmless words."""
