"""Two hosts, one PostgreSQL: limits are shared, the log is one, and without the server nothing is permitted."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentguard import Guard, Home, Policy, ToolCall
from agentguard.audit import AuditLog, verify
from agentguard.decision import Decision, Effect
from agentguard.errors import AuditError, StoreUnavailable
from tests.servers import PostgresServer

POLICY = {
    "version": 1,
    "roles": {"clerk": {"permissions": ["read_data", "execute_agent"], "tools": ["lookup", "save"]}},
    "agents": {"bot": {"roles": ["clerk"]}},
    "tools": {"lookup": {"side_effect": "read", "rate": "10/hour"}, "save": {"side_effect": "write"}},
}


@pytest.fixture
def hosts(postgres_private: PostgresServer, tmp_path: Path) -> Iterator[tuple[Home, Home]]:
    """Two homes with one key and one pin, as two hosts have them."""
    with postgres_private.database() as database:
        url = postgres_private.url(database, query={"statement_timeout": 2, "connect_timeout": 2})
        first = Home.create(tmp_path / "1", state_url=url, audit_url=url)
        AuditLog.open(first).close()
        (tmp_path / "2").mkdir(mode=0o700)
        for file in (first.key_path, first.verifier_path):
            shutil.copy2(file, tmp_path / "2" / file.name)
        yield first, Home.create(tmp_path / "2", state_url=url, audit_url=url)


def opened(home: Home) -> Guard:
    return Guard.from_policy(Policy.parse(json.dumps(POLICY)), home=home.path)


def decide(guard: Guard, tool: str) -> Decision:
    with guard.conversation("bot", "Look it up and save the note."):
        return guard.check(ToolCall(tool, {}, "call-1"))


def test_a_limit_of_ten_is_ten_for_both_hosts_and_the_log_is_one(hosts: tuple[Home, Home]) -> None:
    guards = [opened(home) for home in hosts]
    effects: list[Effect] = []
    threads = [
        threading.Thread(target=lambda guard=guard: effects.extend(decide(guard, "lookup").effect for _ in range(10)))
        for guard in guards
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for guard in guards:
        guard.close()

    assert effects.count(Effect.ALLOW) == 10
    assert effects.count(Effect.DENY) == 30
    assert verify(hosts[0]) == verify(hosts[1])
    assert verify(hosts[0]).exit_code == 0
    with AuditLog.open(hosts[1]) as log:
        found = [entry.data for entry in log.query(where={"tool": "lookup"})]
    counted = sum(int(str(entry.get("count", 1))) for entry in found)
    assert counted == 40


def test_without_the_server_nothing_is_permitted(hosts: tuple[Home, Home], postgres_private: PostgresServer) -> None:
    """Neither what counts in the state nor what only the log must hold; when it is back, work goes on."""
    guard = opened(hosts[0])
    assert decide(guard, "save").effect is Effect.ALLOW

    postgres_private.stop()
    refused = [decide(guard, tool) for tool in ("lookup", "save")]
    with pytest.raises((StoreUnavailable, AuditError)):
        opened(hosts[1])
    postgres_private.start()

    assert [decision.effect for decision in refused] == [Effect.DENY, Effect.DENY]
    assert {decision.reason for decision in refused} <= {"stage-failed", "audit-failed"}
    deadline = time.monotonic() + 30
    while decide(guard, "save").effect is not Effect.ALLOW:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    guard.close()
    assert verify(hosts[0]).exit_code == 0
