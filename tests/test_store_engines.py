"""What the store promises of a database, on a SQLite file and on a real PostgreSQL alike."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from agentguard.errors import StoreError, StoreUnavailable
from agentguard.store import Place, ServerUrl, begin_immediate, begin_snapshot, open_engine, storage_errors
from tests.servers import PostgresServer

ROOT = Path(__file__).parents[1]
metadata = MetaData()
counters = Table("counter", metadata, Column("id", Integer, primary_key=True), Column("n", Integer, nullable=False))


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a database may be made."""
    if request.param == "sqlite":
        return tmp_path / "x.db"
    return ServerUrl.parse(request.getfixturevalue("postgres_url"), schema="test_store")


@pytest.fixture
def server_place(postgres_url: str) -> ServerUrl:
    return ServerUrl.parse(f"{postgres_url}&statement_timeout=2", schema="test_store")


def opened(place: Place, version: int = 1, **options: object) -> Engine:
    return open_engine(place, application_id=7, schema_version=version, metadata=metadata, **options)  # type: ignore[arg-type]


def count(engine: Engine) -> int:
    with engine.begin() as connection:
        return int(connection.execute(select(counters.c.n)).scalar_one())


def increment(engine: Engine, times: int) -> None:
    """Read, then write: lost updates show unless the lock holds."""
    for _ in range(times):
        with begin_immediate(engine) as connection:
            n = connection.execute(select(counters.c.n)).scalar_one()
            connection.execute(update(counters).values(n=n + 1))


def began(place: Place) -> Engine:
    engine = opened(place)
    with begin_immediate(engine) as connection:
        connection.execute(insert(counters).values(id=1, n=0))
    return engine


def test_rows_stay_and_the_database_opens_again(place: Place) -> None:
    began(place).dispose()

    again = opened(place, synchronous="NORMAL")

    assert count(again) == 0
    again.dispose()


def test_threads_lose_no_update(place: Place) -> None:
    engine = began(place)
    threads = [threading.Thread(target=increment, args=(engine, 25)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert count(engine) == 100
    engine.dispose()


INCREMENT = """
import json, sys
from pathlib import Path
from agentguard.store import ServerUrl
from tests.test_store_engines import increment, opened
where, schema = json.loads(sys.argv[1])
increment(opened(ServerUrl.parse(where, schema=schema) if schema else Path(where)), 25)
"""


def _argument(place: Place) -> str:
    return json.dumps([place.secret_text(), place.schema] if isinstance(place, ServerUrl) else [str(place), None])


def test_processes_lose_no_update(place: Place) -> None:
    engine = began(place)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = [subprocess.Popen([sys.executable, "-c", INCREMENT, _argument(place)], env=environment) for _ in range(4)]

    assert [process.wait(120) for process in running] == [0, 0, 0, 0]
    assert count(engine) == 100
    engine.dispose()


def test_engine_survives_fork_on_both_sides(place: Place) -> None:
    """Even while a connection is out: the child must neither use nor close what belongs to the parent."""
    engine = began(place)
    with engine.connect() as busy, busy.begin():
        busy.execute(select(counters.c.n)).scalar_one()
        children = [multiprocessing.get_context("fork").Process(target=increment, args=(engine, 5)) for _ in range(3)]
        for child in children:
            child.start()
        if not isinstance(place, Path):
            increment(engine, 5)
        for child in children:
            child.join(60)
        assert busy.execute(select(counters.c.n)).scalar_one() >= 0
    if isinstance(place, Path):
        increment(engine, 5)

    assert [child.exitcode for child in children] == [0, 0, 0]
    assert count(engine) == 20
    engine.dispose()


def test_failed_transaction_leaves_nothing(place: Place) -> None:
    engine = opened(place)

    def fail() -> None:
        with begin_immediate(engine) as connection:
            connection.execute(insert(counters).values(id=1, n=0))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    with engine.begin() as connection:
        assert connection.execute(select(counters)).first() is None
    engine.dispose()


def test_snapshot_sees_one_state(place: Place) -> None:
    engine = began(place)

    with begin_snapshot(engine) as connection:
        first = connection.execute(select(counters.c.n)).scalar_one()
        increment(engine, 3)
        second = connection.execute(select(counters.c.n)).scalar_one()

    assert (first, second, count(engine)) == (0, 0, 3)
    engine.dispose()


@pytest.mark.parametrize(
    ("ids", "message"),
    [((8, 1), "another program"), ((7, 2), "use the release"), ((7, 0), "upgrade")],
    ids=["foreign", "older-database", "newer-database"],
)
def test_other_schema_is_refused(place: Place, ids: tuple[int, int], message: str) -> None:
    opened(place).dispose()

    with pytest.raises(StoreError, match=message):
        open_engine(place, application_id=ids[0], schema_version=ids[1], metadata=metadata)


def test_empty_database_is_not_filled_when_it_must_exist(place: Place) -> None:
    if isinstance(place, Path):
        place.touch(0o600)

    with pytest.raises(StoreError, match="empty"):
        opened(place, create=False)


def test_values_of_a_row_stay_out_of_the_message(place: Place) -> None:
    engine = began(place)

    def twice() -> None:
        with storage_errors(engine), begin_immediate(engine) as connection:
            connection.execute(insert(counters).values(id=1, n=424242))

    with pytest.raises(StoreError) as refused:
        twice()

    assert isinstance(refused.value.__cause__, IntegrityError)
    assert "424242" not in str(refused.value)
    assert "(1)" not in str(refused.value)
    assert "INSERT" not in str(refused.value)
    assert "\n" not in str(refused.value)
    engine.dispose()


# -- migrations -------------------------------------------------------------------------------------------------------


def add_name(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE counter ADD COLUMN name VARCHAR(20)"))
    connection.execute(text("UPDATE counter SET name = 'n' || id"))


def count_from_ten(connection: Connection) -> None:
    connection.execute(text("UPDATE counter SET n = n + 10"))


def fails(connection: Connection) -> None:
    connection.execute(text("UPDATE counter SET n = 999"))
    raise RuntimeError


NEWER = MetaData()
named = Table(
    "counter",
    NEWER,
    Column("id", Integer, primary_key=True),
    Column("n", Integer, nullable=False),
    Column("name", String(20)),
)


def migrated(place: Place) -> Engine:
    steps = {1: add_name, 2: count_from_ten}
    return open_engine(place, application_id=7, schema_version=3, metadata=NEWER, migrations=steps)


def test_migration_leads_through_every_version(place: Place) -> None:
    began(place).dispose()

    engine = migrated(place)

    with engine.begin() as connection:
        assert [tuple(row) for row in connection.execute(select(named))] == [(1, 10, "n1")]
    engine.dispose()
    migrated(place).dispose()
    with pytest.raises(StoreError, match="schema 3, this AgentGuard knows 1; upgrade"):
        opened(place)


def test_failed_migration_changes_nothing(place: Place) -> None:
    """All steps and the version are one transaction."""
    began(place).dispose()

    with pytest.raises(RuntimeError):
        open_engine(place, application_id=7, schema_version=3, metadata=NEWER, migrations={1: add_name, 2: fails})

    engine = opened(place)
    with engine.begin() as connection:
        assert [tuple(row) for row in connection.execute(text("SELECT * FROM counter"))] == [(1, 0)]
    engine.dispose()


def test_others_wait_for_a_migration_and_then_do_not_write_with_the_old_schema(place: Place) -> None:
    """A process that had the database open is stopped at its next write, whatever it would write."""
    old = began(place)
    inside, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        count_from_ten(connection)
        inside.set()
        assert go_on.wait(60)

    told: list[object] = []

    def write() -> None:
        try:
            increment(old, 1)
            told.append("written")
        except StoreError as error:
            told.append(error)

    migration = threading.Thread(
        target=lambda: open_engine(
            place, application_id=7, schema_version=3, metadata=NEWER, migrations={1: add_name, 2: slow}
        ).dispose()
    )
    writer = threading.Thread(target=write)
    migration.start()
    assert inside.wait(60)
    writer.start()
    writer.join(0.3)
    waited = writer.is_alive()
    go_on.set()
    for thread in (migration, writer):
        thread.join(60)

    assert waited
    assert isinstance(told[0], StoreError)
    assert "another schema" in str(told[0])
    engine = migrated(place)
    with engine.begin() as connection:
        assert connection.execute(select(named.c.n)).scalar_one() == 10
    engine.dispose()
    old.dispose()


def test_two_processes_migrate_once(place: Place) -> None:
    """The second finds it done: ten is added once."""
    began(place).dispose()
    threads = [threading.Thread(target=lambda: migrated(place).dispose()) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    engine = migrated(place)
    with engine.begin() as connection:
        assert connection.execute(select(named.c.n)).scalar_one() == 10
    engine.dispose()


# -- what only a server has -------------------------------------------------------------------------------------------


def test_session_is_durable_bounded_and_sees_only_our_schema(server_place: ServerUrl) -> None:
    engine = opened(server_place)
    loose = opened(server_place, synchronous="NORMAL")

    def show(engine: Engine, name: str) -> str:
        with engine.begin() as connection:
            return str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())

    assert show(engine, "synchronous_commit") == "on"
    assert show(loose, "synchronous_commit") == "off"
    assert show(engine, "statement_timeout") == show(engine, "lock_timeout") == "2s"
    assert show(engine, "search_path") == "test_store, pg_temp"
    assert show(engine, "transaction_isolation") == "read committed"
    for each in (engine, loose):
        each.dispose()


def test_wait_for_the_lock_ends(server_place: ServerUrl) -> None:
    engine = began(server_place)

    def second() -> None:
        with storage_errors(engine), begin_immediate(engine):
            pass

    started = time.monotonic()
    with begin_immediate(engine), pytest.raises(StoreUnavailable, match="timeout"):
        second()

    assert time.monotonic() - started < 30
    engine.dispose()


def test_lost_connections_are_replaced(postgres_server: PostgresServer, server_place: ServerUrl) -> None:
    """An idle connection that is gone is noticed before it is used; one lost in use is a StoreError."""
    engine = began(server_place)
    ending = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{server_place.url.database}'"
    postgres_server.execute(ending)

    increment(engine, 1)

    def lost() -> None:
        with storage_errors(engine), begin_immediate(engine) as connection:
            postgres_server.execute(ending)
            connection.execute(update(counters).values(n=99))

    with pytest.raises(StoreUnavailable):
        lost()
    assert count(engine) == 1
    engine.dispose()


def test_row_security_is_refused(postgres_server: PostgresServer, server_place: ServerUrl) -> None:
    """Rows that a policy hides would be silently absent."""
    opened(server_place).dispose()
    database = str(server_place.url.database)
    postgres_server.execute("ALTER TABLE test_store.counter ENABLE ROW LEVEL SECURITY", database=database)

    with pytest.raises(StoreError, match="trigger or view"):
        opened(server_place)


def test_table_of_the_same_name_elsewhere_is_not_ours(postgres_server: PostgresServer, server_place: ServerUrl) -> None:
    """CVE-2018-1058: what others put into ``public`` stands before nothing of ours."""
    database = str(server_place.url.database)
    postgres_server.execute(
        "CREATE TABLE public.counter (id int, n int)", "INSERT INTO public.counter VALUES (1, 5)", database=database
    )

    engine = began(server_place)

    assert count(engine) == 0
    assert postgres_server.execute("SELECT n FROM public.counter", database=database) == [(5,)]
    engine.dispose()
