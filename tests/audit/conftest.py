"""Small logs to read, damage and extend, in files and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentguard.audit import AuditLog
from agentguard.store import Home
from tests.audit.damage import clone
from tests.audit.ground import Ground
from tests.servers import PostgresServer

ENGINES = ["sqlite", "postgresql"]


@pytest.fixture(params=ENGINES)
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    """A place for fresh homes."""
    return Ground(tmp_path, request.getfixturevalue("postgres_url") if request.param == "postgresql" else None)


@pytest.fixture
def home(ground: Ground) -> Home:
    """A fresh home."""
    return ground.home(".agentguard")


@pytest.fixture
def file_home(tmp_path: Path) -> Home:
    """A fresh home whose log is a file."""
    return Home.create(tmp_path / ".agentguard")


@pytest.fixture(scope="session", params=ENGINES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A closed log of at least five frames, 274 records, with one stored tree node. Read only: damage a copy."""
    folder = tmp_path_factory.mktemp("written")
    if request.param == "sqlite":
        yield _filled(Ground(folder).home(".agentguard"))
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as name:
        yield _filled(Ground(folder, server.url(name)).home(".agentguard"))


@pytest.fixture
def copy(written: Home, tmp_path: Path) -> Home:
    """A copy of the written log, free to be damaged."""
    return clone(written, tmp_path / "copy")


def _filled(home: Home) -> Home:
    with AuditLog.open(home) as log:
        for number in range(274):
            log.append({"type": "decision", "gen_ai.tool.name": f"tool-{number % 2}", "n": number}, durable=False)
            if number >= 269:
                log.flush()
    return home
