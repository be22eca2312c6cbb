"""The faults that only a server has: killed, cut off, silent, read-only, full, forbidden, restored from a backup.

Rows of the fault table like those of ``faults.py``; each trial runs against a real PostgreSQL.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from agentguard.audit import AuditLog, verify
from agentguard.errors import KeySourceError, StoreError, StoreUnavailable, TamperError, WriteError
from agentguard.event import Json
from agentguard.store import Home, ServerUrl
from agentguard.store.home import AUDIT_SCHEMA
from tests.audit.damage import TABLES, rows
from tests.audit.faults import Outcome, Trial, judged, refused
from tests.proxy import Mode, Proxy
from tests.servers import PostgresServer

__all__ = ["SERVER_FAULTS", "ServerFault"]

# Long enough for a busy machine, short enough to wait for.
TIMEOUT_S = 2
# What a caller may wait at most: the statement's time, the client's grace, and as long again to connect anew.
PATIENCE_S = 60.0

ENDING = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'agentguard'"


@dataclass(frozen=True, slots=True)
class ServerFault:
    """A row of the table. ``run`` takes a server of its own, an empty folder, and whether to make all trials."""

    name: str
    run: Callable[[PostgresServer, Path, bool], Iterator[Trial]]

    def outcome(self, server: PostgresServer, folder: Path, *, whole: bool) -> Outcome:
        """Make the trials."""
        return Outcome.of(self.run(server, folder, whole))


def _record(n: int) -> dict[str, Json]:
    return {"type": "decision", "user.id": f"u{n % 3}", "n": n}


def _append(log: AuditLog, n: int, *, durable: bool = True, **more: str) -> str:
    """What the caller was told, within a bounded time."""
    try:
        log.append({**_record(n), **more}, durable=durable).result(PATIENCE_S)
    except WriteError:
        return "refused"
    return "stored"


def _until_stored(log: AuditLog, n: int) -> bool:
    """Whether writing works again before long."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if _append(log, n) == "stored":
            return True
        time.sleep(0.05)
    return False


def _numbers(home: Home) -> list[int]:
    with AuditLog.open(home) as log:
        return [int(str(entry.data["n"])) for entry in log.query(full=True) if entry.data["type"] == "decision"]


def _home(
    server: PostgresServer, folder: Path, database: str, *, schema: str = AUDIT_SCHEMA, connect_timeout: int = 10
) -> Home:
    query = {"statement_timeout": TIMEOUT_S, "schema": schema, "connect_timeout": connect_timeout}
    return Home.create(folder, audit_url=server.url(database, query=query))


def cut_at_commit(server: PostgresServer, folder: Path, whole: bool) -> Iterator[Trial]:
    """Whether the commit was carried out nobody tells: a durable caller is refused, and nothing is stored twice."""
    modes = (Mode.CUT_BEFORE_COMMIT, Mode.CUT_AFTER_COMMIT)
    for turn, (mode, durable) in enumerate(itertools.product(modes, (True, False))):
        for repeat in range(10 if whole else 1):
            with server.database() as database, Proxy(server.port) as proxy:
                url = make_url(server.url(database, tcp=True)).set(port=proxy.port)
                address = url.update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
                home = Home.create(folder / f"{turn}-{repeat}", audit_url=address.render_as_string(hide_password=False))
                with AuditLog.open(home, retry_s=0.05) as log:
                    log.append(_record(0), durable=True).result(PATIENCE_S)
                    proxy.mode = mode
                    if durable:
                        told = _append(log, 1)
                    else:
                        future = log.append(_record(1), durable=False)
                        told = "stored" if future.result(PATIENCE_S) is not None else "?"
                    again = _until_stored(log, 2)
                stored = [n for n in _numbers(home) if n in (0, 1, 2)]
                expected = [0, 2] if durable and mode is Mode.CUT_BEFORE_COMMIT else [0, 1, 2]
                right = proxy.cuts == 1 and again and stored == expected
                right = right and told == ("refused" if durable else "stored")
                case = f"{mode.value}, {'durable' if durable else 'queued'}"
                yield Trial(case, f"{told}, stored exactly" if right else f"{told}: {stored}", right)
                yield judged(home, f"{case}, afterwards", "ok-unanchored")


def silent_network(server: PostgresServer, folder: Path, _whole: bool) -> Iterator[Trial]:
    """Packets vanish without a word: the wait ends, the caller is refused, the log goes on when they pass again."""
    with server.database() as database, Proxy(server.port) as proxy:
        url = make_url(server.url(database, tcp=True, query={"statement_timeout": 1})).set(port=proxy.port)
        home = Home.create(folder / "h", audit_url=url.render_as_string(hide_password=False) + "&connect_timeout=2")
        with AuditLog.open(home, retry_s=0.05) as log:
            yield Trial("before", _append(log, 0), right=True)
            proxy.mode = Mode.SILENT
            told = _append(log, 1)
            yield Trial("silent", told, told == "refused")
            yield refused("verify while silent", StoreUnavailable, lambda: verify(home))
            proxy.mode = Mode.PASS
            yield Trial("again", "goes on", _until_stored(log, 2))
        yield judged(home, "afterwards", "ok-unanchored")
        proxy.mode = Mode.REFUSE
        yield refused("connection refused", StoreUnavailable, lambda: AuditLog.open(home))


def stopped_server(server: PostgresServer, folder: Path, _whole: bool) -> Iterator[Trial]:
    """Every process of the server stands still (SIGSTOP): it accepts connections and never answers."""
    with server.database() as database:
        home = _home(server, folder / "h", database, connect_timeout=2)
        with AuditLog.open(home, retry_s=0.05) as log:
            _append(log, 0)
            server.signal(signal.SIGSTOP)
            try:
                told = _append(log, 1)
            finally:
                server.signal(signal.SIGCONT)
            yield Trial("standing still", told, told == "refused")
            yield Trial("again", "goes on", _until_stored(log, 2))
        yield judged(home, "afterwards", "ok-unanchored")


def _while_writing(home: Home, fault: Callable[[], object]) -> tuple[set[int], bool]:
    """Two threads append until the fault is over: what was acknowledged, and whether they could go on."""
    acknowledged: set[int] = set()
    over = threading.Event()
    with AuditLog.open(home, retry_s=0.05) as log:

        def work(first: int) -> None:
            for n in itertools.count(first, 2):
                if over.is_set():
                    return
                if _append(log, n, durable=n % 4 < 2) == "stored":
                    acknowledged.add(n)

        threads = [threading.Thread(target=work, args=(first,)) for first in (0, 1)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while len(acknowledged) < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        fault()
        again = _until_stored(log, -1)
        over.set()
        for thread in threads:
            thread.join(PATIENCE_S)
        with contextlib.suppress(WriteError):
            log.flush()
    return acknowledged, again


def _lost(home: Home, case: str, acknowledged: set[int], *, again: bool) -> Iterator[Trial]:
    stored = [n for n in _numbers(home) if n != -1]
    lost, doubled = acknowledged.difference(stored), len(stored) - len(set(stored))
    right = again and len(acknowledged) >= 20 and not lost and not doubled
    yield Trial(case, "none lost or doubled" if right else f"{len(lost)} lost, {doubled} doubled", right)
    yield judged(home, f"{case}, afterwards", "ok-unanchored")


def killed_server(server: PostgresServer, folder: Path, whole: bool) -> Iterator[Trial]:
    """Ended as by a power cut (immediate shutdown, kill -9 of everything), started again."""

    def immediately() -> None:
        server.stop("immediate")
        server.start()

    def backend() -> None:
        # One backend killed by force takes all connections with it: the server recovers by itself.
        pids = server.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'agentguard' LIMIT 1")
        os.kill(int(str(pids[0][0])), signal.SIGKILL)

    def everything() -> None:
        server.signal(signal.SIGKILL)
        server.stop()
        server.start()

    with server.database() as database:
        for turn, fault in itertools.product(range(5 if whole else 1), (immediately, backend, everything)):
            name = f"{fault.__name__}_{turn}"
            home = _home(server, folder / name, database, schema=name)
            acknowledged, again = _while_writing(home, fault)
            yield from _lost(home, f"{fault.__name__} killed, round {turn}", acknowledged, again=again)


def terminated_sessions(server: PostgresServer, folder: Path, whole: bool) -> Iterator[Trial]:
    """An administrator ends our connections, again and again."""

    def terminate() -> None:
        for _ in range(100 if whole else 10):
            server.execute(ENDING)
            time.sleep(0.02)

    with server.database() as database:
        home = _home(server, folder / "h", database)
        acknowledged, again = _while_writing(home, terminate)
        yield from _lost(home, "sessions terminated", acknowledged, again=again)


def _disturbed(server: PostgresServer, home: Home, case: str, disturb: list[str], mend: list[str]) -> Iterator[Trial]:
    """While a log is open a statement makes writing impossible, and another possible again."""
    database = str(home.audit_server.url.database) if home.audit_server else ""
    with AuditLog.open(home, retry_s=0.05) as log:
        _append(log, 0)
        server.execute(*disturb, database=database)
        told = _append(log, 1)
        yield Trial(case, told, told == "refused")
        server.execute(*mend, database=database)
        yield Trial(f"{case}, mended", "goes on", _until_stored(log, 2))
    yield judged(home, f"{case}, afterwards", "ok-unanchored")


def read_only_server(server: PostgresServer, folder: Path, _whole: bool) -> Iterator[Trial]:
    """A standby, or a server that was set to read only."""
    with server.database() as database:
        home = _home(server, folder / "h", database)
        setting = f"ALTER DATABASE {database} {{}} default_transaction_read_only"
        disturb = [f"{setting.format('SET')} = on", ENDING]
        mend = ["SET default_transaction_read_only = off", setting.format("RESET"), ENDING]
        yield from _disturbed(server, home, "read only", disturb, mend)


_RAISE = """
CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$
"""


def failing_statement(server: PostgresServer, folder: Path, _whole: bool) -> Iterator[Trial]:
    """One table of the transaction cannot be written (disk full, error 53100): nothing of the frame stays."""
    with server.database() as database:
        for table in ("frame", "token", "node", "checkpoint", "key"):
            schema = f"log_{table}"
            home = _home(server, folder / table, database, schema=schema)
            with AuditLog.open(home):
                pass
            # A node is stored with every 256th record.
            count = 256 if table == "node" else 1
            with AuditLog.open(home, retry_s=0.05) as log:
                trigger = f"CREATE TRIGGER t BEFORE INSERT ON {schema}.{table} EXECUTE FUNCTION {schema}.fail()"
                server.execute(_RAISE.format(schema=schema), trigger, database=database)
                before = {name: rows(home, name) for name in TABLES}
                futures = [log.append(_record(n), durable=True) for n in range(count)]
                told = {type(future.exception(PATIENCE_S)).__name__ for future in futures}
                half = [name for name in TABLES if rows(home, name) != before[name]]
                # Records before the 256th find room.
                right = "WriteError" in told and (table == "node" or (told == {"WriteError"} and not half))
                yield Trial(
                    f"{table} cannot be written", "refused, nothing half-written" if right else f"{told}, {half}", right
                )
                server.execute(f"DROP TRIGGER t ON {schema}.{table}", database=database)
                yield Trial(f"{table}, mended", "goes on", _until_stored(log, 999))
            yield judged(home, f"{table}, afterwards", "ok-unanchored")


def full_tablespace(server: PostgresServer, folder: Path, _whole: bool) -> Iterator[Trial]:
    """A file system of 16 MB that another table fills up. Where none can be mounted, the row before stands for it."""
    with small_disk(server, 16) as place:
        if place is None:
            yield Trial("no right to mount one here", "not run", right=True)
            return
        server.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
        try:
            with server.database("TABLESPACE small") as database:
                home = _home(server, folder / "h", database)
                with AuditLog.open(home, retry_s=0.05) as log:
                    _append(log, 0)
                    fill(server, database)
                    told = {_append(log, 1, blob="x" * 100_000) for _ in range(3)}
                    yield Trial("full", ", ".join(told), told == {"refused"})
                    server.execute("DROP TABLE filler", database=database)
                    yield Trial("room again", "goes on", _until_stored(log, 2))
                stored = _numbers(home)
                yield Trial(
                    "what is stored", "what was acknowledged" if stored == [0, 2] else str(stored), stored == [0, 2]
                )
                yield judged(home, "afterwards", "ok-unanchored")
        finally:
            server.execute("DROP TABLESPACE small")


@contextlib.contextmanager
def small_disk(server: PostgresServer, megabytes: int) -> Iterator[Path | None]:
    """A file system of its own for the server, where we may mount one (root on Linux)."""
    place = server.folder / "small"
    server.own_folder(place)
    options = f"size={megabytes}m,mode=0700,uid={place.stat().st_uid},gid={place.stat().st_gid}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if (
        os.getuid() != 0
        or not shutil.which("mount")
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(server: PostgresServer, database: str) -> None:
    """Write into a table until the server says that the disk is full."""
    # Stored as it is: repeated text would be compressed to nothing.
    make = ("CREATE TABLE filler (data bytea)", "ALTER TABLE filler ALTER data SET STORAGE EXTERNAL")
    server.execute(*make, database=database)
    insert = "INSERT INTO filler SELECT decode(repeat(md5(n::text), 500), 'hex') FROM generate_series(1, {count}) n"
    # Coarse steps, then fine ones: what is left must not hold a frame.
    for count in (100, 10, 1):
        with contextlib.suppress(psycopg.errors.DiskFull):
            while True:
                server.execute(insert.format(count=count), database=database)


def wrong_database(server: PostgresServer, folder: Path, _whole: bool) -> Iterator[Trial]:
    """The URL leads to another database, to none, to a foreign schema, or to another home's log."""
    with server.database() as right, server.database() as empty:
        home = _home(server, folder / "h", right)
        with AuditLog.open(home) as log:
            _append(log, 0)
        wrong = replace(home, audit_server=ServerUrl.parse(server.url(empty), schema=AUDIT_SCHEMA))
        yield refused("an empty database", StoreError, lambda: AuditLog.open(wrong))
        yield judged(wrong, "an empty database, verified", "corrupt")
        absent = replace(home, audit_server=ServerUrl.parse(server.url("nowhere"), schema=AUDIT_SCHEMA))
        yield refused("no such database", StoreUnavailable, lambda: AuditLog.open(absent))
        yield refused("no such database, verified", StoreUnavailable, lambda: verify(absent))
        server.execute("CREATE SCHEMA taken", "CREATE TABLE taken.mine (n int)", database=empty)
        foreign = _home(server, folder / "foreign", empty, schema="taken")
        yield refused("another program's schema", StoreError, lambda: AuditLog.open(foreign))
        yield judged(home, "the right one", "ok-unanchored")


def two_logs_in_one_database(server: PostgresServer, folder: Path, _whole: bool) -> Iterator[Trial]:
    """In schemas of their own they live side by side; in one schema the second home is refused."""
    with server.database() as database:
        first = _home(server, folder / "1", database, schema="one")
        second = _home(server, folder / "2", database, schema="two")
        for home in (first, second):
            with AuditLog.open(home) as log:
                _append(log, 0)
        yield judged(first, "the first", "ok-unanchored")
        yield judged(second, "the second", "ok-unanchored")
        stranger = _home(server, folder / "3", database, schema="one")
        yield refused("another key, same schema", KeySourceError, lambda: AuditLog.open(stranger))
        moved = replace(second, audit_server=first.audit_server)
        shutil.copy(first.key_path, second.key_path)
        yield refused("same key, another home's log", TamperError, lambda: AuditLog.open(moved))
        yield judged(moved, "another home's log, verified", "tampered")
        shared = _home(server, folder / "4", database, schema="one")
        shutil.copy(first.key_path, shared.key_path)
        shutil.copy(first.verifier_path, shared.verifier_path)
        with AuditLog.open(shared) as log:
            yield Trial("a second host with the key and the pin", _append(log, 1), _numbers(first) == [0, 1])


def lost_role(server: PostgresServer, folder: Path, _whole: bool) -> Iterator[Trial]:
    """The role loses its rights, its login or its password while and before a log is open."""
    with server.database() as database:
        owner = _home(server, folder / "h", database)
        with AuditLog.open(owner) as log:
            _append(log, 0)
        server.execute("DROP ROLE IF EXISTS lost", f"CREATE ROLE lost LOGIN PASSWORD '{server.password}'")
        granted = [
            "GRANT USAGE ON SCHEMA agentguard_audit TO lost",
            "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA agentguard_audit TO lost",
        ]
        server.execute(*granted, database=database)
        address = server.url(database, role="lost", tcp=True, query={"statement_timeout": TIMEOUT_S})
        home = replace(owner, audit_server=ServerUrl.parse(address, schema=AUDIT_SCHEMA))
        revoked = [sql.replace("GRANT", "REVOKE").replace(" TO ", " FROM ") for sql in granted]
        yield from _disturbed(server, home, "rights revoked", revoked[1:], granted)
        ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'lost'"
        yield from _disturbed(
            server, home, "no login any more", ["ALTER ROLE lost NOLOGIN", ending], ["ALTER ROLE lost LOGIN"]
        )
        for case, lose, give in (
            ("no right to read", revoked[1], granted[1]),
            ("no right to the schema", revoked[0], granted[0]),
            ("another password", "ALTER ROLE lost PASSWORD 'other'", f"ALTER ROLE lost PASSWORD '{server.password}'"),
            ("no connection left", "ALTER ROLE lost CONNECTION LIMIT 0", "ALTER ROLE lost CONNECTION LIMIT -1"),
        ):
            server.execute(lose, database=database)
            yield refused(f"{case}: open", StoreUnavailable, lambda: AuditLog.open(home))
            yield refused(f"{case}: verify", StoreUnavailable, lambda: verify(home))
            server.execute(give, database=database)
        yield judged(home, "given back", "ok-unanchored")
        server.execute("DROP OWNED BY lost", "DROP ROLE lost", database=database)


def restored_backup(server: PostgresServer, folder: Path, _whole: bool) -> Iterator[Trial]:
    """An older dump put back: seen by a log that is open, and by whoever kept an anchor."""
    anchor = folder / "anchor"
    with server.database() as database:
        home = _home(server, folder / "h", database)
        with AuditLog.open(home) as log:
            _append(log, 0)
        dump = server.dump(database)
        with AuditLog.open(home, retry_s=0.05) as log:
            for n in range(1, 4):
                _append(log, n)
            yield judged(home, "anchored", "ok-unanchored", anchor=anchor)
            server.restore(database, dump)
            told = _append(log, 4)
            yield Trial("a log that is open", told, told == "refused")
        yield judged(home, "restored, with the anchor", "rollback", anchor=anchor)
        yield judged(home, "restored, without", "ok-unanchored")
        with AuditLog.open(home) as log:
            for n in range(5, 9):
                _append(log, n)
        yield judged(home, "restored and written on, with the anchor", "tampered", anchor=anchor)


def weak_settings(server: PostgresServer, folder: Path, _whole: bool) -> Iterator[Trial]:
    """A commit is on the server's disk before it is acknowledged, whatever the database's defaults say."""
    with server.database() as database:
        home = _home(server, folder / "h", database)
        for weak in ("off", "local", "remote_write"):
            server.execute(f"ALTER DATABASE {database} SET synchronous_commit = {weak}")
            with AuditLog.open(home) as log:
                _append(log, 0)
                with log._engine.begin() as connection:
                    came = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
            yield Trial(f"synchronous_commit = {weak}", f"set to {came}", came == "on")
        server.execute(f"ALTER DATABASE {database} SET synchronous_commit = remote_apply")
        with AuditLog.open(home) as log, log._engine.begin() as connection:
            came = connection.exec_driver_sql("SHOW synchronous_commit").scalar()
        yield Trial("a stronger setting", "kept" if came == "remote_apply" else str(came), came == "remote_apply")
        server.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        server.wait_for("SHOW fsync", "off")
        yield refused("fsync = off", StoreError, lambda: AuditLog.open(home))
        server.execute("ALTER SYSTEM RESET fsync", "SELECT pg_reload_conf()")
        server.wait_for("SHOW fsync", "on")
        yield judged(home, "afterwards", "ok-unanchored")


SERVER_FAULTS = (
    ServerFault("connection cut at the commit", cut_at_commit),
    ServerFault("network silent, connection refused", silent_network),
    ServerFault("server stands still (SIGSTOP)", stopped_server),
    ServerFault("server killed while committing", killed_server),
    ServerFault("sessions terminated", terminated_sessions),
    ServerFault("read-only server", read_only_server),
    ServerFault("statement failing: disk full (53100)", failing_statement),
    ServerFault("disk really full (small file system)", full_tablespace),
    ServerFault("wrong, absent, foreign database", wrong_database),
    ServerFault("two logs in one database", two_logs_in_one_database),
    ServerFault("role lost", lost_role),
    ServerFault("older backup restored", restored_backup),
    ServerFault("synchronous_commit and fsync off", weak_settings),
)
