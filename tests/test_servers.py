"""The servers that the tests start are real, private, run by nobody who matters, and fresh for every test."""

from __future__ import annotations

import os
import subprocess

import pytest
import redis
from sqlalchemy import Column, Integer, MetaData, Table, insert, select

from agentguard.store import Home, begin_immediate, open_state, storage_errors
from tests import servers
from tests.servers import PostgresServer

metadata = MetaData()
counters = Table("counter", metadata, Column("id", Integer, primary_key=True), Column("n", Integer, nullable=False))


@pytest.mark.parametrize("turn", [1, 2])
def test_state_database_is_fresh_and_counts(state_home: Home, turn: int) -> None:
    """The same rows go in twice: nothing of the first test is left for the second."""
    engine = open_state(state_home, metadata)

    with storage_errors(engine), begin_immediate(engine) as connection:
        connection.execute(insert(counters).values(id=1, n=turn))

    with engine.begin() as connection:
        assert connection.execute(select(counters.c.n)).scalars().all() == [turn]
    engine.dispose()


@pytest.mark.parametrize("turn", [1, 2])
def test_redis_is_fresh(redis_url: str, turn: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.get("turn") is None
        client.set("turn", turn)


def test_postgresql_does_not_run_as_root(postgres_server: PostgresServer) -> None:
    pid = postgres_server.execute("SELECT pg_backend_pid()")
    assert pid

    owner = postgres_server.folder.stat().st_uid

    assert owner == os.getuid() or os.getuid() == 0
    assert owner != 0


def test_server_ends_with_its_process(postgres_private: PostgresServer) -> None:
    """Whoever kills the test run leaves no server behind: the end of the pipe is enough."""
    pid = int((postgres_private.folder / "data" / "postmaster.pid").read_text().split()[0])

    postgres_private.stop()

    done = subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_missing_server_is_not_run_or_fails(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(servers, "found", lambda _program: None)

    with pytest.raises(outcome, match="not installed"):
        PostgresServer()
