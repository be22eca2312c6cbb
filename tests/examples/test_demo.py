"""The demo as users run it, and its guarded agent through every way LangGraph can drive it, against the real world."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from agentguard import AuditLog, Guard, Home
from agentguard.audit import verify
from agentguard_demo.guarded import POLICY
from agentguard_demo.model import ObedientModel
from agentguard_demo.tools import Tools
from agentguard_demo.transcript import MAX_TURNS
from agentguard_demo.world import SYSTEM_PROMPT, World
from agentguard_langchain import guarded_agent

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "adapters", "examples"))}


def test_the_demo_holds_and_says_so() -> None:
    """Harm without the guard, none with it, the honest task done both times, the log verified, exit code 0."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "agentguard.cli", "demo", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=ENVIRONMENT,
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["held"] is True
    assert {harm["kind"] for harm in told["unguarded"]["harm"]} == {
        "mail-to-outsider",
        "customer-rows-sent",
        "system-prompt-sent",
        "file-lost",
    }
    assert told["unguarded"]["honest_done"] is True
    assert (told["guarded"]["harm"], told["guarded"]["honest_done"], told["guarded"]["mails"]) == ([], True, 1)
    assert set(told["accounts"].values()) == {"stopped"}
    assert told["audit"]["verdict"] == "ok"
    assert told["audit"]["records"] > len(told["decisions"]) > 0
    refused = {record["gen_ai.tool.name"] for record in told["decisions"] if record["disposition"] != "Allowed"}
    assert {"send_mail", "delete_file"} <= refused
    denied = [row for refusal in told["refusals"] for row in refusal["origins"] if row["effect"] == "deny"]
    rows = [row for row in denied if row["argument"] in ("to", "path")]
    assert {(row["argument"], row["origin"], row["source"]) for row in rows} == {
        ("to", "U", "tool:lookup_customer"),
        ("to", "U", "tool:fetch_page"),
        ("path", "U", "tool:read_file"),
    }
    assert all(row["value"] in row["sentence"] for row in rows)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "world").mkdir()
    with World.create(tmp_path / "world") as created:
        yield created


Drive = Callable[[Any, dict[str, Any], dict[str, Any]], None]


def _invoke(agent: Any, state: dict[str, Any], config: dict[str, Any]) -> None:
    agent.invoke(state, config)


def _ainvoke(agent: Any, state: dict[str, Any], config: dict[str, Any]) -> None:
    asyncio.run(agent.ainvoke(state, config))


def _stream(mode: str) -> Drive:
    def drive(agent: Any, state: dict[str, Any], config: dict[str, Any]) -> None:
        for _ in agent.stream(state, config, stream_mode=mode):
            pass

    return drive


def _astream(mode: str) -> Drive:
    async def consume(agent: Any, state: dict[str, Any], config: dict[str, Any]) -> None:
        async for _ in agent.astream(state, config, stream_mode=mode):
            pass

    return lambda agent, state, config: asyncio.run(consume(agent, state, config))


def _astream_events(agent: Any, state: dict[str, Any], config: dict[str, Any]) -> None:
    async def consume() -> None:
        async for _ in agent.astream_events(state, config, version="v2"):
            pass

    asyncio.run(consume())


@pytest.mark.parametrize(
    "drive",
    [
        pytest.param(_invoke, id="invoke"),
        pytest.param(_ainvoke, id="ainvoke"),
        pytest.param(_stream("updates"), id="stream-updates"),
        pytest.param(_stream("messages"), id="stream-messages"),
        pytest.param(_astream("values"), id="astream-values"),
        pytest.param(_astream("messages"), id="astream-messages"),
        pytest.param(_astream_events, id="astream-events"),
    ],
)
def test_however_it_is_driven_the_guarded_agent_does_the_task_and_no_harm(
    world: World, tmp_path: Path, drive: Drive
) -> None:
    home = Home.create(tmp_path / "home")
    with Guard.from_file(POLICY, home=home.path) as guard:
        agent = guarded_agent(
            ObedientModel(), Tools(world).all(), guard=guard, agent="support", system_prompt=SYSTEM_PROMPT
        )

        drive(agent, {"messages": [HumanMessage(world.task)]}, {"recursion_limit": MAX_TURNS})

    assert world.harm() == []
    assert world.honest_done()
    assert verify(home).verdict.value == "ok-unanchored"
    with AuditLog.open(home) as log:
        calls = list(log.query(where={"event": "tool_call", "decision": "allow", "tool": "send_mail"}))
    assert len(calls) == len(world.mails) == 1
