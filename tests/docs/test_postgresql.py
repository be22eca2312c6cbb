"""The PostgreSQL page, done as it stands on a real server: its roles, its hosts, its auditor."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentguard.audit import AuditLog, rotate_kek, shred_before, verify
from agentguard.errors import StoreUnavailable, WriteError
from agentguard.store import Home
from tests.audit.damage import change, rows
from tests.audit.ground import Clock
from tests.docs.pages import ROOT, commands, files
from tests.servers import PostgresServer, found, running_postgres

PAGE = (ROOT / "docs" / "postgresql.md").read_text()
ROLES = ("owner", "writer", "retention", "auditor", "state")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, PostgresServer]]:
    """The folder in which the page's commands were run, one after the other, and the server."""
    folder = tmp_path_factory.mktemp("site")
    with running_postgres() as server, pytest.MonkeyPatch.context() as environment:
        passwords = folder / "pgpass"
        lines = [f"127.0.0.1:*:*:agentguard_{role}:word-{role}\n" for role in ROLES]
        passwords.write_text(f"127.0.0.1:*:*:postgres:{server.password}\n" + "".join(lines))
        passwords.chmod(0o600)
        environment.setenv("PGPASSFILE", str(passwords))
        _follow(folder, commands(folder / "bin"), server)
        yield folder, server


def _follow(folder: Path, programs: Path, server: PostgresServer) -> None:
    for name, content in files(PAGE).items():
        (folder / name).write_text(content)
    psql = found("psql")
    assert psql is not None
    path = os.pathsep.join((str(programs), str(Path(psql).parent), os.environ["PATH"]))
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL):
        for line in block.strip().split("\n"):
            if line.startswith("pip "):
                continue
            command = line.replace("db.example.com", f"127.0.0.1:{server.port}")
            done = subprocess.run(
                command,
                shell=True,
                cwd=folder,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            if "roles.sql" in command:
                server.execute(*(f"ALTER ROLE agentguard_{role} PASSWORD 'word-{role}'" for role in ROLES))


def _as(site: tuple[Path, PostgresServer], role: str, name: str) -> Home:
    """A home with the log's key, for a role."""
    folder, server = site
    home = folder / name
    home.mkdir(mode=0o700, exist_ok=True)
    for file in ("kek.key", "audit.vkey"):
        shutil.copy2(folder / "admin" / file, home / file)
    return Home.create(home, audit_url=f"postgresql://agentguard_{role}@127.0.0.1:{server.port}/agents")


def _append(home: Home, clock: Clock, *numbers: int) -> None:
    with AuditLog.open(home, clock=clock) as log:
        for n in numbers:
            log.append({"type": "decision", "n": n}, durable=True).result(60)


def test_the_page_is_what_happens(site: tuple[Path, PostgresServer]) -> None:
    folder, _server = site
    home = Home.open(folder / ".agentguard")

    assert home.state_server is not None
    assert home.audit_server is not None
    assert "agentguard_writer" in str(home.audit_server)
    assert (folder / "agents.anchor").exists()


def test_writers_append_and_change_nothing(site: tuple[Path, PostgresServer]) -> None:
    """The role that agents use: a whole day's work is possible, and no statement that takes anything back."""
    import psycopg

    home, clock = _as(site, "writer", "host-2"), Clock()

    _append(home, clock, 1, 2)
    clock.now += 3 * 86_400 * 10**9  # a new day, a new record key
    _append(home, clock, 3)

    assert verify(home, clock=clock).exit_code == 0
    before = rows(home, "frame"), rows(home, "checkpoint"), rows(home, "key")
    for table in ("log", "key", "frame", "node", "checkpoint", "shred", "token", "agentguard_schema"):
        column = {"agentguard_schema": "version", "token": "segment"}.get(table, "generation")
        for sql in (
            f"DELETE FROM {table}",
            f"TRUNCATE {table}",
            f"UPDATE {table} SET {column} = 1",
            f"DROP TABLE {table}",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                change(home, (sql, ()))
    for table in ("log", "shred"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            change(home, (f"INSERT INTO {table} SELECT * FROM {table}", ()))
    assert (rows(home, "frame"), rows(home, "checkpoint"), rows(home, "key")) == before


def test_only_the_retention_role_shreds_and_rotates(site: tuple[Path, PostgresServer]) -> None:
    """With the rights of the page, and no others; the writer is refused and nothing changes."""
    writer, retention, clock = _as(site, "writer", "host-3"), _as(site, "retention", "retention"), Clock()
    clock.now += 10 * 86_400 * 10**9
    _append(writer, clock, 4)
    moment = datetime.fromtimestamp(clock.now / 1e9, UTC) + timedelta(days=3)
    clock.now += 5 * 86_400 * 10**9
    before = rows(writer, "key")

    with pytest.raises(StoreUnavailable, match="permission denied"):
        shred_before(writer, moment, clock=clock)
    assert rows(writer, "key") == before

    assert shred_before(retention, moment, clock=clock, by="retention").keys >= 1
    found = verify(retention, clock=clock)
    assert (found.exit_code, found.shredded > 0) == (0, True)


def test_a_key_rotation_reaches_every_host(site: tuple[Path, PostgresServer]) -> None:
    """The next key lies on both hosts; one rotates, the other goes on, before and after its file is moved."""
    first, second, clock = _as(site, "retention", "rotating"), _as(site, "writer", "host-4"), Clock()
    clock.now += 20 * 86_400 * 10**9
    next_key = os.urandom(32).hex() + "\n"
    for home in (first, second):
        (home.path / "kek.key.next").write_text(next_key)
        (home.path / "kek.key.next").chmod(0o600)
    with AuditLog.open(second, clock=clock) as log:
        log.append({"type": "decision", "n": 10}, durable=True).result(60)

        assert rotate_kek(first, clock=clock).resumed

        clock.now += 2 * 86_400 * 10**9
        log.append({"type": "decision", "n": 11}, durable=True).result(60)
    _append(second, clock, 12)
    (second.path / "kek.key.next").replace(second.key_path)
    _append(second, clock, 13)
    assert verify(first, clock=clock).exit_code == verify(second, clock=clock).exit_code == 0
    # The module's other tests have the key of the page.
    shutil.copy2(second.key_path, site[0] / "admin" / "kek.key")


@pytest.mark.parametrize("role", ["auditor", "state"])
def test_other_roles_cannot_write_the_log(site: tuple[Path, PostgresServer], role: str) -> None:
    """An auditor looks; the state's role does not even see the log."""
    home, clock = _as(site, role, f"as-{role}"), Clock()

    with pytest.raises((StoreUnavailable, WriteError)):
        _append(home, clock, 5)

    if role == "auditor":
        assert verify(home, clock=clock, keys=False).exit_code == 0
    else:
        with pytest.raises(StoreUnavailable):
            verify(home)


def test_the_logs_roles_do_not_see_the_state(site: tuple[Path, PostgresServer]) -> None:
    _folder, server = site
    for role in ("owner", "writer", "retention", "auditor"):
        allowed = server.execute(
            f"SELECT has_schema_privilege('agentguard_{role}', 'agentguard_state', 'USAGE')", database="agents"
        )
        assert allowed == [(False,)]
