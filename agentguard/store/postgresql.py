"""PostgreSQL as a home's database: the URL, a session that never hangs or loses a commit, the lock, the schema.

Guarantees: only our schema is on the search path; a commit has been flushed before it is acknowledged, or the server is
refused; every wait has an end, also when the server or the network stops answering; a password stands in no message.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from agentguard.errors import ConfigError, StoreError, StoreUnavailable

__all__ = ["PostgreSQL", "ServerUrl", "drop_schema", "exchange_schemas", "server_error"]

CONNECT_TIMEOUT_S = 10
# The longest one statement may take, a wait for another process's commit included.
STATEMENT_TIMEOUT_S = 30.0
# The client stops waiting so much later: a server that still answers has ended the statement itself by then.
GRACE_S = 5.0

_DRIVER = "postgresql+psycopg"
_NAME_BYTES = 63
_NAME = re.compile(rf"[a-z_][a-z0-9_]{{0,{_NAME_BYTES - 1}}}")

# Classes of PostgreSQL's errors (appendix A): the server, the network, a right or a limit failed, not the data.
_UNAVAILABLE = ("08", "25006", "28", "3D", "40001", "40P01", "42501", "53", "54", "55", "57")

_TABLE = "agentguard_schema"


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A schema in a PostgreSQL database. ``str()`` and ``repr()`` hold no password.

    ``postgresql://USER@HOST:PORT/DATABASE``, with libpq's parameters after ``?`` (``sslmode``, ``sslrootcert``,
    ``passfile``, ``service``, ``host`` for a socket's folder) and two of ours: ``schema`` and ``statement_timeout``
    in seconds.
    """

    url: URL = field(repr=False)
    schema: str
    statement_timeout_s: float = STATEMENT_TIMEOUT_S

    @classmethod
    def parse(cls, text: str, *, schema: str) -> ServerUrl:
        """Read a URL; ``schema`` is what it says nothing about.

        Raises:
            ConfigError: not a URL of PostgreSQL. The message does not repeat it.
        """
        try:
            url = make_url(text)
        except (ArgumentError, ValueError):
            # The cause quotes the text, password and all.
            raise ConfigError(
                "a database URL has the form postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full; the one given "
                "cannot be read (write special characters as %XX)"
            ) from None
        if url.drivername not in ("postgresql", _DRIVER):
            raise ConfigError(f"a database URL begins with postgresql://, got {url.drivername}://")
        query = dict(url.query)
        named = query.pop("schema", schema)
        seconds = _seconds(query.pop("statement_timeout", STATEMENT_TIMEOUT_S))
        password = query.pop("password", None) or url.password
        if not isinstance(named, str) or not _NAME.fullmatch(named) or named.startswith("pg_"):
            raise ConfigError("the schema of a database URL is a name of lower-case letters, digits and underscores")
        found = URL.create(_DRIVER, url.username, _text(password), url.host, url.port, url.database, query)
        return cls(found, named, seconds)

    def __str__(self) -> str:
        plain = URL.create(
            "postgresql",
            self.url.username,
            None,
            self.url.host or _text(self.url.query.get("host")),
            self.url.port,
            self.url.database,
        )
        return f"{plain.render_as_string()} (schema {self.schema})"

    def beside(self, suffix: str) -> ServerUrl:
        """Another schema of the same database, named after this one."""
        return replace(self, schema=f"{self.schema[: _NAME_BYTES - len(suffix)]}{suffix}")

    def secret_text(self) -> str:
        """The whole URL as ``parse`` reads it, password included: for a private file, never for people."""
        own = {"schema": self.schema, "statement_timeout": f"{self.statement_timeout_s:g}"}
        return self.url.update_query_dict(own).render_as_string(hide_password=False)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _seconds(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 86_400:
        raise ConfigError("statement_timeout of a database URL is in seconds, from 0.1 to 86400")
    return seconds


class PostgreSQL:
    """How the store uses a schema on a server; the counterpart of ``sqlite.SQLite``."""

    def __init__(self, server: ServerUrl) -> None:
        self._server = server
        digest = hashlib.sha256(b"agentguard store lock 1\x00" + server.schema.encode()).digest()
        lock = int.from_bytes(digest[:8], "big", signed=True)
        self._lock = f"SELECT pg_advisory_xact_lock({lock})"
        # The schema's name was checked: it holds letters, digits and underscores only.
        self._in_schema = f"relnamespace = to_regnamespace('{server.schema}')"

    def engine(self, synchronous: Literal["FULL", "NORMAL"]) -> Engine:
        """Connections in our schema, with every wait bounded."""
        if importlib.util.find_spec("psycopg") is None:
            raise StoreError("a PostgreSQL database needs its driver: install agentguard[postgresql]")
        server = self._server
        defaults = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "fallback_application_name": "agentguard",
            "client_encoding": "utf8",
            # A peer that vanished without a word is noticed by these, on Linux and macOS.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": int((server.statement_timeout_s + GRACE_S) * 1000),
        }
        given = {name: value for name, value in defaults.items() if name not in server.url.query}
        engine = create_engine(
            server.url,
            connect_args=given,
            pool_pre_ping=True,
            pool_timeout=server.statement_timeout_s,
            hide_parameters=True,
        )
        event.listen(engine, "do_connect", _bounded_connect(server.statement_timeout_s + GRACE_S))
        event.listen(engine, "connect", _connector(server, synchronous))
        return engine

    def acquire(self, connection: Connection) -> None:
        """Hold the write lock until the transaction ends."""
        connection.exec_driver_sql(self._lock)

    def version(self, connection: Connection) -> tuple[int, int] | None:
        """Application id and schema version; None when the schema is empty or absent.

        Raises:
            StoreUnavailable: the role may not look into it.
            StoreError: it holds tables, but not ours.
        """
        usable = connection.exec_driver_sql(
            f"SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = '{self._server.schema}'"  # noqa: S608
        ).scalar()
        if usable is None:
            return None
        if not usable:
            raise StoreUnavailable(f"{self._server}: this role may not use the schema; grant it as the guide says")
        row = None
        if connection.exec_driver_sql(f"SELECT to_regclass('{self._server.schema}.{_TABLE}')").scalar() is not None:
            row = connection.exec_driver_sql(f"SELECT application_id, version FROM {_TABLE}").one_or_none()  # noqa: S608
        if row is not None:
            return int(row[0]), int(row[1])
        query = f"SELECT 1 FROM pg_class WHERE {self._in_schema}"  # noqa: S608
        if connection.exec_driver_sql(query).first() is not None:
            raise StoreError(f"{self._server} belongs to another program; choose another schema")
        return None

    def begin_schema(self, connection: Connection, application_id: int, version: int) -> None:
        """Make the schema when it is absent, and say in it whose it is."""
        # IF NOT EXISTS would ask for the right to make schemas even where there is nothing to make.
        if not self._exists(connection):
            connection.exec_driver_sql(f"CREATE SCHEMA {self._server.schema}")
        connection.exec_driver_sql(f"CREATE TABLE {_TABLE} (application_id bigint NOT NULL, version integer NOT NULL)")
        connection.exec_driver_sql(f"INSERT INTO {_TABLE} VALUES ({application_id:d}, {version:d})")  # noqa: S608

    def set_version(self, connection: Connection, version: int) -> None:
        """After a migration."""
        connection.exec_driver_sql(f"UPDATE {_TABLE} SET version = {version:d}")  # noqa: S608

    def holds_code(self, connection: Connection) -> bool:
        """Whether something there would run inside our statements, or hide rows from them."""
        # Only what is in our schema, whatever else the database holds.
        query = f"""
SELECT 1 FROM pg_class WHERE {self._in_schema}
    AND (relkind NOT IN ('r', 'i', 't', 'S') OR relrowsecurity OR relhasrules)
UNION ALL
SELECT 1 FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid WHERE {self._in_schema} AND NOT tgisinternal
"""  # noqa: S608
        return connection.exec_driver_sql(query).first() is not None

    def _exists(self, connection: Connection) -> bool:
        return connection.exec_driver_sql(_schema_query(self._server.schema)).first() is not None


def exchange_schemas(place: ServerUrl, *, draft: str, kept_as: str) -> None:
    """Put the schema ``draft`` in the place of ours, and ours, untouched, under another name; all or nothing.

    Raises:
        StoreError: the role may not do that, or a name is taken.
    """
    with _administering(place) as connection:
        if connection.exec_driver_sql(_schema_query(place.schema)).first() is not None:
            connection.exec_driver_sql(f"ALTER SCHEMA {place.schema} RENAME TO {kept_as}")
        connection.exec_driver_sql(f"ALTER SCHEMA {draft} RENAME TO {place.schema}")


def drop_schema(place: ServerUrl) -> None:
    """Remove a schema that nobody uses yet, such as a draft.

    Raises:
        StoreError: the role may not do that.
    """
    with _administering(place) as connection:
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {place.schema} CASCADE")


@contextmanager
def _administering(place: ServerUrl) -> Iterator[Connection]:
    backend = PostgreSQL(place)
    engine = backend.engine("FULL")
    try:
        with engine.begin() as connection:
            backend.acquire(connection)
            yield connection
    except SQLAlchemyError as error:
        raise server_error(error, place) from error
    finally:
        engine.dispose()


def _schema_query(name: str) -> str:
    return f"SELECT 1 FROM pg_namespace WHERE nspname = '{name}'"  # noqa: S608  # a checked name


def server_error(error: Exception, server: ServerUrl) -> StoreError:
    """One line for what the driver or the server said: no statement, no value of a row, no password."""
    reason = _reason(error)
    if server.url.password:
        reason = reason.replace(str(server.url.password), "***")
    if _unavailable(error):
        return StoreUnavailable(
            f"{server} cannot be used at present ({reason}); check the server, the network and this role's rights"
        )
    return StoreError(f"{server} cannot be used as a database ({reason}); check the server, or restore a backup")


def _unavailable(error: Exception) -> bool:
    """Whether an engine's error is about reaching and using the server, not about what is stored there."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        # The connection was lost or never made. (SQLite's errors have no such attribute, and no server.)
        return hasattr(error.orig, "sqlstate") and isinstance(error, OperationalError | InterfaceError)
    return str(state).startswith(_UNAVAILABLE)


def _reason(error: Exception) -> str:
    original = getattr(error, "orig", None)
    diagnosis = getattr(original, "diag", None)
    # The rest of a server's message may quote the values of a row.
    primary = getattr(diagnosis, "message_primary", None)
    text = str(primary or original or type(error).__name__)
    return " ".join(text.split())


def _connector(server: ServerUrl, synchronous: str) -> Any:
    milliseconds = int(server.statement_timeout_s * 1000)
    # FULL: at least a flush on the server itself; a stronger setting of the server is kept.
    commit = (
        "CASE WHEN current_setting('synchronous_commit') IN ('on', 'remote_apply') "
        "THEN current_setting('synchronous_commit') ELSE 'on' END"
        if synchronous == "FULL"
        else "'off'"
    )
    # pg_temp is named, and last: else a temporary table would stand before ours.
    settings = {
        "search_path": f"'{server.schema}, pg_temp'",
        "synchronous_commit": commit,
        "statement_timeout": f"'{milliseconds}'",
        "lock_timeout": f"'{milliseconds}'",
        "idle_in_transaction_session_timeout": f"'{10 * milliseconds}'",
        "default_transaction_isolation": "'read committed'",
        # A row that a policy would hide is an error, never silently absent.
        "row_security": "'off'",
    }
    statement = "SELECT " + ", ".join(f"set_config('{name}', {value}, false)" for name, value in settings.items())

    def connect(connection: Any, _record: object) -> None:
        connection.autocommit = True
        fsync = connection.execute(f"{statement}, current_setting('fsync')").fetchone()[-1]
        connection.autocommit = False
        if synchronous == "FULL" and fsync != "on":
            connection.close()
            raise StoreError(f"{server} runs with fsync=off and may lose what it acknowledged; set fsync=on")

    return connect


def _bounded_connect(seconds: float) -> Any:
    """A connection whose every wait ends after so many seconds, even when the server has stopped without a word."""
    import psycopg

    class Bounded(psycopg.Connection[Any]):
        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            return super().wait(_until(self, gen, time.monotonic() + seconds), *args, **options)

    def connect(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
        return Bounded.connect(*arguments, **options)

    return connect


def _until(connection: Any, steps: Generator[Any, Any, Any], deadline: float) -> Generator[Any, Any, Any]:
    """The driver's own steps, stopped at the deadline; the connection is useless then and is closed."""
    from psycopg import OperationalError

    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            # 0: nothing happened for a moment.
            if not ready and time.monotonic() >= deadline:
                connection.pgconn.finish()
                raise OperationalError("the server did not answer in time")
            wanted = steps.send(ready)
    except StopIteration as stop:
        return stop.value
