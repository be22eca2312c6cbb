"""Real PostgreSQL and Redis for the tests: started on first use, one of each a worker, stopped whatever happens.

As root they run as an unprivileged user (PostgreSQL insists). A server that is not installed is reported as not run;
with CI=true that is a failure.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agentguard.store import Home

__all__ = [
    "NOT_RUN",
    "PostgresServer",
    "postgres_private",
    "postgres_server",
    "postgres_url",
    "redis_server",
    "redis_url",
    "state_home",
]

# What a skipped test's reason begins with; the summary counts them.
NOT_RUN = "not run: "

STARTUP_S = 60.0
STOP_S = 20.0
_PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian
    "/usr/pgsql-*/bin",  # Fedora
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/opt/homebrew/bin",
)
# The server dies with us, however we die: the shell ends it once our end of the pipe is closed.
_KEEPER = '"$@" & server=$!; cat >/dev/null; kill -{signal} $server 2>/dev/null; wait $server'


def found(program: str) -> str | None:
    """Where a server's program is; the newest of several versions."""
    places = [
        str(path)
        for pattern in _PLACES
        for path in sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
    ]
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(places))


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in "".join(c if c.isdigit() else " " for c in str(path)).split())


def _required(program: str, package: str) -> str:
    path = found(program)
    if path is None:
        reason = f"{NOT_RUN}{program} is not installed (Debian: apt install {package})"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def _user(*names: str) -> str | None:
    """Whom a server runs as; None: as we do."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in (*names, "nobody") if name in known)


def _folder(user: str | None) -> Path:
    # Short, for the paths of sockets have at most some hundred bytes.
    folder = Path(tempfile.mkdtemp(prefix="ag-"))
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    return folder


def _popen(arguments: list[str], folder: Path, user: str | None, *, stop: str) -> subprocess.Popen[bytes]:
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        return subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER.format(signal=stop), "sh", *arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
            start_new_session=True,
            **_as(user),
        )


def _as(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgresServer:
    """One server with a data folder of its own. On its socket everybody who can reach it is let in: only we can."""

    def __init__(self) -> None:
        _required("postgres", "postgresql")
        self._user = _user("postgres")
        self.folder = _folder(self._user)
        self.port = _free_port()
        self.password = secrets.token_hex(8)
        self.role = "postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        passwords = self.folder / "password"
        passwords.write_text(self.password)
        if self._user is not None:
            os.chown(passwords, pwd.getpwnam(self._user).pw_uid, -1)
        self._run(
            *("initdb", "--pgdata", str(self._data), "--username", self.role, "--pwfile", str(passwords)),
            *("--auth-local", "trust", "--auth-host", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"),
            "--no-sync",
        )

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        """What the server said."""
        return (self.folder.parent / f"{self.folder.name}.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        assert self._process is None
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": "32MB",
            "autovacuum": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        program = _required("postgres", "postgresql")
        self._process = _popen([program, "-D", str(self._data), *options], self.folder, self._user, stop="INT")
        deadline = time.monotonic() + STARTUP_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log[-2000:]}")
            time.sleep(0.05)

    def stop(self, mode: str = "fast") -> None:
        """End it: ``fast``, ``immediate`` (as if the power failed) or ``smart``."""
        if self._process is None:
            return
        process, self._process = self._process, None
        if mode != "fast" and process.poll() is None:
            self._run("pg_ctl", "stop", "--pgdata", str(self._data), "--mode", mode)
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            process.wait(STOP_S)

    def close(self) -> None:
        """Stop it and remove everything."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder.parent / f"{self.folder.name}.log").unlink(missing_ok=True)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and every process of it."""
        assert self._process is not None
        own = int((self._data / "postmaster.pid").read_text().split()[0])
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
        pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
        for pid in (own, *(pid for pid, parent in pairs if parent == own)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def url(
        self,
        database: str = "postgres",
        *,
        role: str | None = None,
        tcp: bool = False,
        query: Mapping[str, object] | None = None,
    ) -> str:
        """The address of a database: over the private socket, or over loopback with a password."""
        if tcp:
            base = f"postgresql+psycopg://{role or self.role}:{self.password}@127.0.0.1:{self.port}/{database}"
        else:
            base = f"postgresql+psycopg://{role or self.role}@/{database}"
            query = {"host": self.folder, "port": self.port, **(query or {})}
        return base + "?" + "&".join(f"{name}={value}" for name, value in (query or {}).items())

    def execute(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run statements as the superuser, each on its own; the rows of the last."""
        import psycopg

        rows: list[tuple[object, ...]] = []
        address = f"host={self.folder} port={self.port} user={self.role} dbname={database}"
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows

    @contextlib.contextmanager
    def database(self, options: str = "") -> Iterator[str]:
        """A fresh database, gone afterwards; its name."""
        self._made += 1
        name = f"t{os.getpid()}_{self._made}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def wait_for(self, query: str, answer: object) -> None:
        """Until a query of one value gives it: a reload takes a moment."""
        deadline = time.monotonic() + STOP_S
        while self.execute(query) != [(answer,)]:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def dump(self, database: str) -> Path:
        """A backup as administrators make it."""
        file = self.folder / f"{database}.dump"
        self._run("pg_dump", "--format=custom", f"--file={file}", *self._address, database)
        return file

    def restore(self, database: str, file: Path) -> None:
        """Put a backup in the place of what is there."""
        self._run(
            *("pg_restore", "--clean", "--if-exists", "--single-transaction"),
            *(f"--dbname={database}", *self._address, str(file)),
        )

    def own_folder(self, path: Path) -> None:
        """Make a folder that belongs to the server."""
        path.mkdir(mode=0o700)
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    @property
    def _address(self) -> tuple[str, ...]:
        return (f"--host={self.folder}", f"--port={self.port}", f"--username={self.role}")

    def _answers(self) -> bool:
        import psycopg

        try:
            self.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [_required(program, "postgresql"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
            **_as(self._user),
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout[-500:]}{done.stderr[-1500:]}")


class _RedisServer:
    def __init__(self) -> None:
        program = _required("redis-server", "redis-server")
        user = _user("redis")
        self._folder = _folder(user)
        self._port, self._password = _free_port(), secrets.token_hex(8)
        options = {
            "port": str(self._port),
            "bind": "127.0.0.1",
            "requirepass": self._password,
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = _popen([program, *arguments], self._folder, user, stop="TERM")

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def empty(self) -> None:
        """Wait until it answers, and forget everything."""
        import redis

        deadline = time.monotonic() + STARTUP_S
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.flushall()
                    return
                except redis.exceptions.ConnectionError:
                    if time.monotonic() > deadline or self._process.poll() is not None:
                        raise
                    time.sleep(0.05)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_S)
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder.parent / f"{self._folder.name}.log").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server that this worker's tests share. Tests that stop or starve one take ``postgres_private``."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres_private() -> Iterator[PostgresServer]:
    """A running server of this test alone."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh database."""
    with postgres_server.database() as name:
        yield postgres_server.url(name)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[_RedisServer]:
    """The server that this worker's tests share."""
    server = _RedisServer()
    try:
        server.empty()
        yield server
    finally:
        server.close()


@pytest.fixture
def redis_url(redis_server: _RedisServer) -> str:
    """An empty Redis."""
    redis_server.empty()
    return redis_server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def state_home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """A home with a fresh state database, on each engine."""
    if request.param == "sqlite":
        return Home.create(tmp_path / ".agentguard")
    return Home.create(tmp_path / ".agentguard", state_url=request.getfixturevalue("postgres_url"))
