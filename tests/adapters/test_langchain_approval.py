"""Approval by interrupt: the graph pauses, a person answers, and one answer runs one call once."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from agentguard import AdapterError, AuditLog, Guard, Home, Policy, Principal, StoreError
from agentguard.access import PendingApprovals
from agentguard_langchain import (
    GuardMiddleware,
    guarded_agent,
    guarded_checkpointer,
    guarded_tool,
    middleware,
    resume_with,
)
from agentguard_langchain.runs import RunRegistry
from tests.adapters.langchain_driver import ScriptedModel

ROOT = Path(__file__).resolve().parents[2]
POLICY = """
version: 1
tools:
  pay:
    side_effect: send
    args: {to: {sink: recipient, sources: [user, find]}, amount: {content: true}}
    approval: always
    intent: "off"
  find: {side_effect: read, output: trusted}
  look: {side_effect: read}
roles:
  clerk: {permissions: [execute_agent], tools: [pay, look, find]}
agents:
  a: {roles: [clerk]}
"""
PAY = {"name": "pay", "args": {"to": "DE89", "amount": "5"}, "id": "p1"}
LOOK = {"name": "look", "args": {}, "id": "l1"}
ASK: Any = {"messages": [HumanMessage("pay 5 to DE89 please", id="h1")]}
THREAD: Any = {"configurable": {"thread_id": "t"}}


class World:
    """A guard from a real policy and home, a tool that pays, and what it paid."""

    def __init__(self, path: Path, policy: str = POLICY) -> None:
        self.path = path
        self.paid: list[str] = []
        self.looked = 0
        if not (path / "home").exists():
            AuditLog.open(Home.create(path / "home")).close()
        self.guard = Guard.from_policy(Policy.parse(policy), home=path / "home", agent="a")

    def tools(self) -> list[BaseTool]:
        """Pay, find and look."""

        @tool
        def pay(to: str, amount: str) -> str:
            """Pay."""
            self.paid.append(f"{amount} to {to}")
            return "paid"

        @tool
        def look() -> str:
            """Look."""
            self.looked += 1
            return "seen"

        @tool
        def find() -> dict[str, str]:
            """Find."""
            return {"iban": "DE89370400440532013000"}

        return [pay, look, find]

    def agent(self, saver: Any, *, calls: Any = (PAY,), **options: Any) -> Any:
        """The agent that wants to make these calls."""
        return self.agent_of(ScriptedModel(calls=[dict(call) for call in calls]), saver, **options)

    def agent_of(self, model: ScriptedModel, saver: Any, **options: Any) -> Any:
        """The agent around this model."""
        options.setdefault("approve_with", "interrupt")
        return guarded_agent(model, self.tools(), guard=self.guard, checkpointer=saver, **options)

    def reasons(self) -> list[tuple[str, str]]:
        """Decision and reason of every record about ``pay``, oldest first."""
        self.guard.close()
        with AuditLog.open(Home.open(self.path / "home")) as log:
            found = [row.data for row in log.query(where={"tool": "pay", "event": "tool_call"})]
        return [(str(record["decision"]), str(record["reason"])) for record in found]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fresh one."""
    made = World(tmp_path)
    yield made
    made.guard.close()


def drive(agent: Any, value: Any, mode: str, config: Any = THREAD) -> Any:
    """Invoke sync or async."""
    return asyncio.run(agent.ainvoke(value, config)) if mode == "async" else agent.invoke(value, config)


def answers(state: Any) -> list[tuple[str, str]]:
    """What the tools answered."""
    return [(m.status, m.text) for m in state["messages"] if isinstance(m, ToolMessage)]


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("approved", [True, False], ids=["approved", "refused"])
def test_call_waits_for_its_answer(world: World, mode: str, approved: bool) -> None:
    """Nothing runs before the answer; a yes runs it once, a no not at all."""
    agent = world.agent(InMemorySaver())

    paused = drive(agent, ASK, mode)
    before = list(world.paid)
    state = drive(agent, resume_with(paused["__interrupt__"], approved=approved), mode)

    assert before == []
    assert world.paid == (["5 to DE89"] if approved else [])
    assert answers(state) == [("success", "paid") if approved else ("error", "Nobody approved this call.")]
    last = ("allow", "approved") if approved else ("deny", "approval-refused")
    assert world.reasons() == [("require_approval", "approval-required")] * 2 + [last]


def test_question_is_json_that_says_what_where_from_and_until_when(world: World) -> None:
    """Values are escaped, and the digest is what an answer names."""
    calls = [{**PAY, "args": {"to": "DE89", "amount": "5\u202e\x1b[2J"}}]

    paused = world.agent(InMemorySaver(), calls=calls).invoke(ASK, THREAD)

    (question,) = paused["__interrupt__"]
    value = question.value
    assert value["tool"] == "pay"
    assert value["args"]["to"] == '"DE89"'
    assert "\u202e" not in str(value["args"])
    assert "\x1b" not in str(value["args"])
    assert value["because"]
    assert value["expires_at"] > time.time() + 3600
    assert len(value["digest"]) == 64


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda _: True, id="true-without-digest"),
        pytest.param(lambda digest: {"approved": "yes", "digest": digest}, id="not-true"),
        pytest.param(lambda digest: {"digest": digest}, id="no-word"),
        pytest.param(lambda _: {"approved": True}, id="no-digest"),
        pytest.param(lambda _: {"approved": True, "digest": 7}, id="odd-digest"),
        pytest.param(lambda digest: {"approved": True, "digest": digest[::-1]}, id="unknown-digest"),
    ],
)
def test_anything_but_a_full_yes_is_a_no(world: World, answer: Callable[[str], Any]) -> None:
    """No answer by accident."""
    agent = world.agent(InMemorySaver())
    (question,) = agent.invoke(ASK, THREAD)["__interrupt__"]

    agent.invoke(Command(resume={question.id: answer(question.value["digest"])}), THREAD)

    assert world.paid == []


def test_yes_to_another_call_is_refused(world: World) -> None:
    """Same person, same policy, other arguments."""
    agent = world.agent(InMemorySaver())
    (given,) = agent.invoke(ASK, THREAD)["__interrupt__"]
    other = world.agent(InMemorySaver(), calls=[{**PAY, "args": {"to": "DE89", "amount": "5000"}}])
    elsewhere = {"configurable": {"thread_id": "u"}}
    (question,) = other.invoke(ASK, elsewhere)["__interrupt__"]

    other.invoke(Command(resume={question.id: {"approved": True, "digest": given.value["digest"]}}), elsewhere)

    assert world.paid == []
    assert world.reasons()[-1] == ("deny", "approval-mismatch")


def test_yes_given_in_another_run_is_refused(world: World) -> None:
    """The very same call, asked for in another conversation."""
    agent = world.agent(InMemorySaver())
    (given,) = agent.invoke(ASK, THREAD)["__interrupt__"]
    elsewhere = {"configurable": {"thread_id": "u"}}
    (question,) = agent.invoke(ASK, elsewhere)["__interrupt__"]

    agent.invoke(Command(resume={question.id: {"approved": True, "digest": given.value["digest"]}}), elsewhere)

    assert world.paid == []
    assert world.reasons()[-1] == ("deny", "approval-mismatch")


def test_yes_counts_once(world: World) -> None:
    """Going back in time to the pause and answering again does not pay twice."""
    agent = world.agent(InMemorySaver())
    paused = agent.invoke(ASK, THREAD)
    at_pause = agent.get_state(THREAD).config
    answer = resume_with(paused["__interrupt__"], approved=True)

    agent.invoke(answer, THREAD)
    agent.invoke(answer, at_pause)

    assert world.paid == ["5 to DE89"]
    assert world.reasons()[-1] == ("deny", "approval-used")


def test_late_yes_is_refused(world: World) -> None:
    """The answer came after the question had expired."""
    agent = world.agent(InMemorySaver(), approval_ttl=0.2)
    paused = agent.invoke(ASK, THREAD)
    expires_at = paused["__interrupt__"][0].value["expires_at"]

    while time.time() < expires_at:
        time.sleep(0.01)
    agent.invoke(resume_with(paused["__interrupt__"], approved=True), THREAD)

    assert world.paid == []
    assert world.reasons()[-1] == ("deny", "approval-expired")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(("tools: [pay, look, find]", "tools: [look, find]"), "tool-not-permitted", id="deny-wins"),
        pytest.param(
            ("amount: {content: true}", "amount: {content: true, max_length: 90}"),
            "approval-mismatch",
            id="other-policy",
        ),
    ],
)
def test_policy_of_the_day_decides_when_the_graph_goes_on(tmp_path: Path, change: tuple[str, str], reason: str) -> None:
    """A policy that denies by now wins over the yes, and a yes under another policy is none."""
    saver = InMemorySaver()
    before = World(tmp_path)
    paused = before.agent(saver).invoke(ASK, THREAD)
    before.guard.close()
    after = World(tmp_path, POLICY.replace(*change))

    after.agent(saver).invoke(resume_with(paused["__interrupt__"], approved=True), THREAD)

    assert (before.paid, after.paid) == ([], [])
    assert after.reasons()[-1] == ("deny", reason)


def test_somebody_elses_resume_is_refused(world: World) -> None:
    """The yes is bound to whom the agent acts for."""

    def config(user: str) -> Any:
        return {"configurable": {"thread_id": "t", "agentguard_principal": Principal(user, kind="user")}}

    agent = world.agent(InMemorySaver())
    paused = agent.invoke(ASK, config("ann"))

    agent.invoke(resume_with(paused["__interrupt__"], approved=True), config("eve"))

    assert world.paid == []
    assert world.reasons()[-1][0] == "deny"


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_parallel_neighbour_runs_once_and_does_not_wait(world: World, mode: str) -> None:
    """One of two calls needs a person: the other runs at once, and not again when the graph goes on."""
    agent = world.agent(InMemorySaver(), calls=[LOOK, PAY])

    paused = drive(agent, ASK, mode)
    looked = world.looked
    state = drive(agent, resume_with(paused["__interrupt__"], approved=True), mode)

    assert (looked, world.looked, world.paid) == (1, 1, ["5 to DE89"])
    assert sorted(answers(state)) == [("success", "paid"), ("success", "seen")]


def test_two_questions_are_answered_each_for_itself(world: World) -> None:
    """Yes to one and no to the other."""
    second = {**PAY, "args": {"to": "DE89", "amount": "7"}, "id": "p2"}
    agent = world.agent(InMemorySaver(), calls=[PAY, second])
    questions = agent.invoke(ASK, THREAD)["__interrupt__"]
    yes = [q for q in questions if q.value["args"]["amount"] == '"7"']
    no = [q for q in questions if q not in yes]

    both: Any = {}
    for part, approved in ((yes, True), (no, False)):
        both |= dict(resume_with(part, approved=approved).resume)  # type: ignore[arg-type]
    agent.invoke(Command(resume=both), THREAD)

    assert world.paid == ["7 to DE89"]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_agent_as_a_subgraph(world: World, mode: str) -> None:
    """The pause goes through the graph around it, and so does the answer."""
    graph: Any = StateGraph(MessagesState)
    graph.add_node("clerk", world.agent(True))
    graph.add_edge(START, "clerk")
    outer = graph.compile(checkpointer=guarded_checkpointer(InMemorySaver(), world.guard))

    paused = drive(outer, ASK, mode)
    drive(outer, resume_with(paused["__interrupt__"], approved=True), mode)

    assert world.paid == ["5 to DE89"]


def test_tool_that_pauses_itself_keeps_its_yes(world: World) -> None:
    """Approved, paused by the tool, resumed: the same call goes on, and still only once."""
    said: list[str] = []

    @tool
    def pay(to: str, amount: str) -> str:
        """Pay."""
        said.append(str(interrupt("which account?")))
        return "paid"

    model = ScriptedModel(calls=[dict(PAY)])
    agent = guarded_agent(model, [pay], guard=world.guard, checkpointer=InMemorySaver(), approve_with="interrupt")
    asked = agent.invoke(ASK, THREAD)
    paused = agent.invoke(resume_with(asked["__interrupt__"], approved=True), THREAD)
    state = agent.invoke(Command(resume={paused["__interrupt__"][0].id: "savings"}), THREAD)

    assert said == ["savings"]
    assert answers(state) == [("success", "paid")]


def test_retry_middleware_does_not_swallow_the_pause(world: World) -> None:
    """A pause is no failure that could be tried again."""
    agent = world.agent(InMemorySaver(), middleware=[ToolRetryMiddleware(max_retries=2, initial_delay=0.0)])

    paused = agent.invoke(ASK, THREAD)
    agent.invoke(resume_with(paused["__interrupt__"], approved=True), THREAD)

    assert world.paid == ["5 to DE89"]


def test_middleware_and_single_tools_can_ask_too(world: World) -> None:
    """The same option on ``GuardMiddleware`` and ``guarded_tool``."""
    pay, *_ = world.tools()
    saver = guarded_checkpointer(InMemorySaver(), world.guard)
    hooks = GuardMiddleware(world.guard, approve_with="interrupt")
    single = guarded_tool(pay, world.guard, agent="a", approve_with="interrupt")
    agents = [
        create_agent(ScriptedModel(calls=[dict(PAY)]), [pay], middleware=[hooks], checkpointer=saver),
        create_agent(
            ScriptedModel(calls=[dict(PAY)]), [single], middleware=[GuardMiddleware(world.guard)], checkpointer=saver
        ),
    ]

    for number, agent in enumerate(agents):
        config: Any = {"configurable": {"thread_id": str(number)}}
        paused = agent.invoke(ASK, config)
        agent.invoke(resume_with(paused["__interrupt__"], approved=True), config)

    assert world.paid == ["5 to DE89"] * 2


def test_without_the_option_or_a_checkpointer_it_is_refused(world: World) -> None:
    """An escalation that nobody can answer is a deny."""
    plain = world.agent(InMemorySaver(), approve_with=None).invoke(ASK, THREAD)
    alone = guarded_tool(world.tools()[0], world.guard, agent="a", approve_with="interrupt")

    answer = alone.invoke({**PAY, "type": "tool_call"})

    assert answers(plain)[0][0] == answer.status == "error"
    assert world.paid == []


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"approve_with": "email"}, id="unknown-word"),
        pytest.param({"approve_with": "interrupt", "approval_ttl": 0}, id="no-time"),
        pytest.param({"approve_with": "interrupt", "checkpointer": None}, id="no-checkpointer"),
    ],
)
def test_settings_that_cannot_work_are_refused(world: World, options: dict[str, Any]) -> None:
    """At attach, not at the first call."""
    options = {"checkpointer": InMemorySaver(), **options}

    with pytest.raises(AdapterError):
        guarded_agent(ScriptedModel(), [], guard=world.guard, **options)


def test_guard_that_asks_at_once_does_not_ask_later(tmp_path: Path) -> None:
    """An approver answers there and then; both would be two authorities."""
    AuditLog.open(Home.create(tmp_path / "home")).close()
    policy = Policy.parse(POLICY)

    with (
        Guard.from_policy(policy, home=tmp_path / "home", agent="a", approver=lambda _: True) as guard,
        pytest.raises(AdapterError, match="approver"),
    ):
        GuardMiddleware(guard, approve_with="interrupt")


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("resumer", ["same", "other"])
def test_forgotten_run_goes_on_for_its_owner_only(
    world: World, mode: str, resumer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart: the request and the results are read again from the checkpoint, but not for somebody else."""
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "t", "agentguard_principal": Principal("ann", kind="user")}}
    paused = drive(world.agent_of(CHAIN(calls=FOUND), saver), ASK, mode, config)
    monkeypatch.setattr(middleware, "KEPT", RunRegistry())
    if resumer == "other":
        config = {"configurable": {**config["configurable"], "agentguard_principal": Principal("eve", kind="user")}}

    answer = resume_with(paused["__interrupt__"], approved=True)
    drive(world.agent_of(CHAIN(calls=FOUND), saver), answer, mode, config)

    assert world.paid == (["5 to DE89370400440532013000"] if resumer == "same" else [])


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_sub_agent_in_a_tool_can_wait_too(world: World, mode: str) -> None:
    """Its pause is its caller's pause; the answer finds its way in."""
    inner = guarded_agent(
        ScriptedModel(calls=[dict(PAY)]),
        world.tools(),
        guard=world.guard,
        agent="a",
        checkpointer=True,
        approve_with="interrupt",
    )

    @tool
    async def look() -> str:
        """Delegate."""
        return str((await inner.ainvoke({"messages": [HumanMessage("pay 5 to DE89")]}))["messages"][-1].text)

    @tool("look")
    def look_sync() -> str:
        """Delegate."""
        return str(inner.invoke({"messages": [HumanMessage("pay 5 to DE89")]})["messages"][-1].text)

    model = ScriptedModel(calls=[dict(LOOK)])
    tools = [look if mode == "async" else look_sync]
    outer = guarded_agent(model, tools, guard=world.guard, checkpointer=InMemorySaver())

    paused = drive(outer, ASK, mode)
    before = list(world.paid)
    drive(outer, resume_with(paused["__interrupt__"], approved=True), mode)

    assert (before, world.paid) == ([], ["5 to DE89"])


def test_question_that_cannot_be_kept_is_a_deny(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for an answer that could never count."""

    def broken(*_: Any) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(PendingApprovals, "keep", broken)

    state = world.agent(InMemorySaver()).invoke(ASK, THREAD)

    assert "__interrupt__" not in state
    assert answers(state)[0][0] == "error"
    assert world.reasons()[-1] == ("deny", "store-unusable")


RESUME = """
import json, sqlite3, sys
from pathlib import Path
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from tests.adapters.test_langchain_approval import THREAD, World, answers, CHAIN

path, calls, answer = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
world = World(path)
saver = SqliteSaver(sqlite3.connect(path / "graph.db", check_same_thread=False))
model = CHAIN(calls=calls)
state = world.agent_of(model, saver).invoke(Command(resume=answer), THREAD)
print(json.dumps({"paid": world.paid, "answers": answers(state), "reason": world.reasons()[-1]}))
"""


class CHAIN(ScriptedModel):
    """Makes its calls one after the other."""

    def _answer(self, messages: list[Any], options: dict[str, Any]) -> Any:
        done = sum(isinstance(message, ToolMessage) for message in messages)
        self.read.append("")
        if done < len(self.calls):
            from langchain_core.messages import AIMessage

            return AIMessage("", tool_calls=[{**self.calls[done], "type": "tool_call"}])
        return super()._answer(messages, options)


def _resumed_elsewhere(path: Path, calls: Any, answer: Any) -> Any:
    import json

    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'adapters'}"}
    done = subprocess.run(
        [sys.executable, "-c", RESUME, str(path), json.dumps(calls), json.dumps(answer)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=environment,
        cwd=ROOT,
    )
    return json.loads(done.stdout.splitlines()[-1])


FOUND = [
    {"name": "find", "args": {}, "id": "f1"},
    {"name": "pay", "args": {"to": "DE89370400440532013000", "amount": "5"}, "id": "p1"},
]


@pytest.mark.parametrize(
    "calls", [pytest.param([PAY], id="user-named-it"), pytest.param(FOUND, id="trusted-tool-named-it")]
)
def test_resume_in_another_process(tmp_path: Path, calls: list[Any]) -> None:
    """Conversation, request and what trusted tools said are read from the checkpoint; the yes still counts once."""
    first = World(tmp_path)
    saver: BaseCheckpointSaver[Any] = SqliteSaver(sqlite3.connect(tmp_path / "graph.db", check_same_thread=False))
    agent = first.agent_of(CHAIN(calls=calls), saver)
    paused = agent.invoke(ASK, THREAD)
    at_pause = agent.get_state(THREAD)
    answer = resume_with(paused["__interrupt__"], approved=True).resume
    first.guard.close()

    done = _resumed_elsewhere(tmp_path, calls, answer)
    again = World(tmp_path)
    again.agent_of(CHAIN(calls=calls), saver).invoke(Command(resume=answer), at_pause.config)

    saver.conn.close()  # type: ignore[attr-defined]
    assert first.paid == again.paid == []
    assert done["paid"] == [f"5 to {calls[-1]['args']['to']}"]
    assert done["reason"] == ["allow", "approved"]
    assert again.reasons()[-1] == ("deny", "approval-used")
