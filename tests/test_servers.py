"""The servers that the tests start are real, private, run by nobody who matters, and fresh for every test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

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


def _postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def test_postgresql_does_not_run_as_root(postgres_server: PostgresServer) -> None:
    pid = _postmaster(postgres_server.folder)

    owner = subprocess.run(["ps", "-o", "uid=", "-p", str(pid)], capture_output=True, text=True, check=True)

    assert int(owner.stdout) != 0
    assert postgres_server.folder.stat().st_mode & 0o777 == 0o700


START = """
from tests.servers import PostgresServer
server = PostgresServer()
server.start()
print(server.folder, flush=True)
input()
"""


def test_server_ends_when_the_test_run_is_killed(postgres_server: PostgresServer) -> None:
    """Nothing of ours runs any more that could stop it: the end of the pipe does."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    run = subprocess.Popen(
        [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert run.stdout is not None
    folder = Path(run.stdout.readline().strip())
    pid = _postmaster(folder)

    run.kill()
    run.communicate(timeout=60)

    deadline = time.monotonic() + 60
    while subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    shutil.rmtree(folder)
    folder.with_name(f"{folder.name}.log").unlink()


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_missing_server_is_not_run_or_fails(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(servers, "found", lambda _program: None)

    with pytest.raises(outcome, match="not installed"):
        PostgresServer()
