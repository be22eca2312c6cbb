"""A SQLite file as a home's database: WAL, a busy timeout, application id and schema version in the header."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, Engine, create_engine, event

from agentguard.store.files import check_file, create_private, exists

__all__ = ["IMMEDIATE", "SQLite"]

# How long one process waits for another's commit. Commits take milliseconds; a minute means a stuck disk.
BUSY_TIMEOUT_S = 30.0

IMMEDIATE = "agentguard_immediate"


class SQLite:
    """How the store uses a file; the counterpart of ``postgresql.PostgreSQL``."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self._path = path
        self._create = create

    def engine(self, synchronous: Literal["FULL", "NORMAL"]) -> Engine:
        """Connections to the file, which is made empty when it may be and is absent.

        Raises:
            StoreError: the file is unsafe.
        """
        if self._create and not exists(self._path):
            create_private(self._path, b"")
        check_file(self._path)
        engine = create_engine(
            URL.create("sqlite", database=str(self._path)),
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            hide_parameters=True,
        )
        event.listen(engine, "connect", _connector(synchronous))
        event.listen(engine, "begin", _begin)
        return engine

    def acquire(self, connection: Connection) -> None:
        """The transaction began with the write lock."""

    def version(self, connection: Connection) -> tuple[int, int] | None:
        """Application id and schema version; None when the file is empty."""
        application_id = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        if application_id == 0 and connection.exec_driver_sql("SELECT 1 FROM sqlite_master").first() is None:
            return None
        return application_id, connection.exec_driver_sql("PRAGMA user_version").scalar_one()

    def begin_schema(self, connection: Connection, application_id: int, version: int) -> None:
        """Say in the header whose the file is."""
        connection.exec_driver_sql(f"PRAGMA application_id = {application_id:d}")
        self.set_version(connection, version)

    def set_version(self, connection: Connection, version: int) -> None:
        """After a migration."""
        connection.exec_driver_sql(f"PRAGMA user_version = {version:d}")

    def holds_code(self, connection: Connection) -> bool:
        """Whether something in the file would run inside our own statements."""
        found = connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE type NOT IN ('table', 'index')")
        return found.first() is not None


def _connector(synchronous: str) -> Any:
    def connect(connection: Any, _record: object) -> None:
        # The driver must not open transactions of its own: ``_begin`` does.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "secure_delete = ON",
            "trusted_schema = OFF",
            "cell_size_check = ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return connect


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
