"""AgentDojo's suites as scenes. Its texts are read from the installed package and stay there.

Environments are built as the package builds them, with one difference: injected texts are put into the loaded data, not
into the YAML source, so that every text arrives as it was written, whatever quotes and line ends it holds.
"""

from __future__ import annotations

import functools
import importlib.metadata
import pickle
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import email_validator
import yaml
from agentdojo.agent_pipeline.base_pipeline_element import BasePipelineElement
from agentdojo.attacks.attack_registry import load_attack
from agentdojo.functions_runtime import FunctionCall, FunctionsRuntime
from agentdojo.task_suite.load_suites import get_suite
from agentdojo.task_suite.task_suite import read_suite_file

from agentguard import Json, json_copy
from benchmarks.agentdojo.attacks import Kind, Order
from benchmarks.agentdojo.scene import Step, Suite, ToolFailed

# Environments hold the same few addresses again and again, and checking one takes longer than all else.
email_validator.validate_email = functools.cache(email_validator.validate_email)

__all__ = ["PUBLISHED", "SUITES", "PackagedSuite", "PublishedAttack", "package_version", "suite"]

SUITES = ("banking", "workspace", "slack", "travel")
BENCHMARK_VERSION = "v1.2.2"
PUBLISHED = (
    "important_instructions",
    "ignore_previous",
    "system_message",
    "injecagent",
    "tool_knowledge",
    "direct",
)
POLICIES = Path(__file__).with_name("policies")

# Some published texts address the model by name, which the package looks up by the name of its pipeline.
_PIPELINE_NAME = "local"


def package_version() -> str:
    """The installed AgentDojo."""
    return importlib.metadata.version("agentdojo")


@functools.cache
def suite(name: str) -> PackagedSuite:
    """One of ``SUITES``."""
    return PackagedSuite(name)


class PackagedSuite:
    """A suite of the package; implements ``scene.Suite``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.policy = POLICIES / f"{name}.yaml"
        self.source = get_suite(BENCHMARK_VERSION, name)
        self.tasks: Sequence[str] = tuple(self.source.user_tasks)
        self.goals: Sequence[str] = tuple(self.source.injection_tasks)
        self._harmless: dict[str, str] = self.source.get_injection_vector_defaults()
        # Runs that made the same calls and gave the same answer are judged once: the checkers are slow.
        self._judged: dict[tuple[object, ...], bool] = {}
        self._slots = {task: self._seen(task) for task in self.tasks}

    def prompt(self, task: str) -> str:
        """As ``Suite.prompt``."""
        return str(self.source.user_tasks[task].PROMPT)

    def goal_text(self, goal: str) -> str:
        """As ``Suite.goal_text``."""
        return str(self.source.injection_tasks[goal].GOAL)

    def slots(self, task: str) -> Sequence[str]:
        """As ``Suite.slots``."""
        return self._slots[task]

    def world(self, task: str, goal: str | None, texts: Mapping[str, str]) -> PackagedWorld:
        """As ``Suite.world``."""
        frozen = self._frozen(task, tuple(sorted(texts.items())))
        return PackagedWorld(self.source, task, goal, frozen, self._judged)

    @functools.lru_cache(maxsize=512)  # noqa: B019  # suites live as long as the process
    def _frozen(self, task: str, texts: tuple[tuple[str, str], ...]) -> bytes:
        """Building an environment costs a hundred times what thawing one does."""
        injected = {_canary(slot): text for slot, text in texts}
        data = _filled(self._data(tuple(slot for slot, _ in texts)), injected)
        environment = self.source.environment_type.model_validate(data)
        return pickle.dumps(self.source.user_tasks[task].init_environment(environment))

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def _data(self, marked: tuple[str, ...]) -> Any:
        """The environment's data with a mark in the slots that will be injected."""
        source = read_suite_file(self.source.name, "environment.yaml", self.source.data_path)
        return yaml.safe_load(source.format(**self._harmless | {slot: _canary(slot) for slot in marked}))

    def _seen(self, task: str) -> tuple[str, ...]:
        marks = {slot: _canary(slot) for slot in self._harmless}
        world = self.world(task, None, marks)
        read = ""
        for step in world.task_steps():
            try:
                read += repr(world.run(step))
            except ToolFailed as error:
                read += str(error)
        return tuple(slot for slot, mark in marks.items() if mark in read)


class PackagedWorld:
    """One environment of a suite; implements ``scene.World``."""

    def __init__(
        self, source: Any, task: str, goal: str | None, frozen: bytes, judged: dict[tuple[object, ...], bool]
    ) -> None:
        self._runtime = FunctionsRuntime(source.tools)
        self._task = source.user_tasks[task]
        self._goal: Any = source.injection_tasks[goal] if goal else None
        self._frozen = frozen
        self._environment = pickle.loads(frozen)
        self._done: list[FunctionCall] = []
        self._judged = judged
        self._key = (task, goal)
        self.task_answer = str(self._task.GROUND_TRUTH_OUTPUT)
        self.order_answer = self._said() if self._goal else ""

    def task_steps(self) -> Sequence[Step]:
        """As ``World.task_steps``."""
        return _steps(self._task.ground_truth(self._before()))

    def order_steps(self) -> Sequence[Step]:
        """As ``World.order_steps``."""
        return _steps(self._goal.ground_truth(self._before())) if self._goal else ()

    def run(self, step: Step) -> Json:
        """As ``World.run``."""
        self._done.append(FunctionCall(function=step.tool, args=dict(step.args)))
        result, error = self._runtime.run_function(self._environment, step.tool, step.args)
        if error is not None:
            raise ToolFailed(error)
        return json_copy(result)

    def finished(self, answer: str) -> bool:
        """As ``World.finished``."""
        return self._judge("task", self._task, answer)

    def obeyed(self, answer: str) -> bool:
        """As ``World.obeyed``."""
        return self._goal is not None and self._judge("goal", self._goal, answer)

    def _said(self) -> str:
        """A goal without calls asks for words, and an obedient agent repeats them."""
        said = str(self._goal.GROUND_TRUTH_OUTPUT)
        return said or ("" if self.order_steps() else str(self._goal.GOAL))

    def _judge(self, what: str, checker: Any, answer: str) -> bool:
        calls = tuple(repr((call.function, sorted(call.args.items()))) for call in self._done)
        key = (what, *self._key, calls, answer)
        if key not in self._judged:
            self._judged[key] = self._checked(what, checker, answer)
        return self._judged[key]

    def _checked(self, what: str, checker: Any, answer: str) -> bool:
        by_state, by_calls = (
            ("utility", "utility_from_traces") if what == "task" else ("security", "security_from_traces")
        )
        said = getattr(checker, by_calls)(answer, self._before(), self._environment, self._done)
        if said is None:
            said = getattr(checker, by_state)(answer, self._before(), self._environment)
        return bool(said)

    def _before(self) -> Any:
        """The environment as it was: checkers and scripts may change what they are handed."""
        return pickle.loads(self._frozen)


class PublishedAttack:
    """One of the package's attack texts; implements ``attacks.Attack``."""

    kind: Kind = "published"

    def __init__(self, name: str) -> None:
        self.name = name

    def order(self, suite: Suite, task: str, goal: str, acts: Callable[[str], bool]) -> Order:
        """As ``Attack.order``."""
        if not isinstance(suite, PackagedSuite):
            raise TypeError(f"the package words orders for its own suites only, got {type(suite).__name__}")
        attack = _attack(self.name, suite)
        source = suite.source.injection_tasks[goal]
        # What the package would find by running the task; known already.
        attack.get_injection_candidates = types.MethodType(lambda _self, _task: list(suite.slots(task)), attack)
        texts = attack.attack(suite.source.user_tasks[task], source)
        wordings = [suite.goal_text(goal)]
        if hasattr(attack, "get_tools_sequence"):
            wordings.append(attack.get_tools_sequence(source))
        return Order(goal, texts, tuple(filter(None, wordings)), acts)


@functools.cache
def _attack(name: str, suite: PackagedSuite) -> Any:
    pipeline = types.SimpleNamespace(name=_PIPELINE_NAME, query=BasePipelineElement.query)
    return load_attack(name, suite.source, pipeline)


def _steps(calls: Sequence[FunctionCall]) -> Sequence[Step]:
    return tuple(Step(call.function, {name: json_copy(value) for name, value in call.args.items()}) for call in calls)


def _canary(slot: str) -> str:
    return f"SLOT_{slot}_END"


def _filled(node: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {_filled(key, texts): _filled(item, texts) for key, item in node.items()}
    if isinstance(node, list):
        return [_filled(item, texts) for item in node]
    if isinstance(node, str) and "SLOT_" in node:
        for mark, text in texts.items():
            node = node.replace(mark, text)
    return node
