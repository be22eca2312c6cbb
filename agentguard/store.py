"""The project's ``.agentguard/`` folder and the SQLite databases in it.

Guarantees: the folder is 0700, its files 0600 and ours, or it is refused; a database opens in WAL mode with a busy
timeout, an application id and a schema version, or a ``StoreError`` says what to do; no raw engine error gets out of
here. Engines survive ``fork``: SQLite connections never cross it (https://sqlite.org/howtocorrupt.html section 2.6).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from agentguard.errors import AgentGuardError, StoreError

__all__ = [
    "Home",
    "atomic_file",
    "begin_immediate",
    "create_key_file",
    "make_private_folder",
    "move_file",
    "open_engine",
    "open_state",
    "storage_errors",
]

# How long one process waits for another's commit. Commits take milliseconds; a minute means a stuck disk.
BUSY_TIMEOUT_S = 30.0

KEY_BYTES = 32
_IMMEDIATE = "agentguard_immediate"

STATE_APPLICATION_ID = 0x41475354  # "AGST"
STATE_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds a project's key file, audit log and state. Made by ``create``, found by ``open``."""

    path: Path
    audit_path: Path

    @property
    def state_path(self) -> Path:
        """The database of everything that changes: rates, sessions, approvals."""
        return self.path / "state.db"

    @property
    def key_path(self) -> Path:
        """The key encryption key, as ``agentguard.keys.KeyFile`` reads it."""
        return self.path / "kek.key"

    @property
    def password_path(self) -> Path:
        """Parameters of the master password, in homes that have one in place of a key file."""
        return self.path / "kek.json"

    @property
    def verifier_path(self) -> Path:
        """The log's public verifier key: a log that shows another key was replaced."""
        return self.path / "audit.vkey"

    @classmethod
    def create(cls, path: Path | str) -> Home:
        """Make the folder with a fresh key and empty databases. What already exists and is safe is kept as it is.

        Raises:
            StoreError: the folder or a file in it cannot be made, or exists and is not safe.
        """
        home = cls._at(Path(path))
        make_private_folder(home.path)
        return home._filled()

    @classmethod
    def open(cls, path: Path | str) -> Home:
        """Find an existing folder.

        Raises:
            StoreError: it is missing, a link, not ours, open to others, or cannot be written.
        """
        home = cls._at(Path(path))
        # Never advise to change the mode of a folder that is something else. (What belongs to others cannot be told.)
        if _is_ours(home.path) and not any(
            map(_exists, (home.key_path, home.password_path, home.audit_path, home.verifier_path))
        ):
            raise StoreError(f"{home.path} holds no AgentGuard key or log; run `agentguard init --home {home.path}`")
        _check_folder(home.path)
        for file in (home.audit_path, home.state_path):
            _check_file(file)
        return home

    @classmethod
    def beside(cls, database: Path | str) -> Home:
        """The home of a log that lives in a file of the caller's choice: ``<database>.home/``, made when absent."""
        database = Path(database)
        home = cls(database.with_name(database.name + ".home"), database)
        with _os_errors(home.path, "cannot be made"):
            home.path.mkdir(mode=0o700, exist_ok=True)
        _check_folder(home.path)
        return home._filled()

    @classmethod
    def _at(cls, path: Path) -> Home:
        return cls(path, path / "audit.db")

    def _filled(self) -> Home:
        # A new key beside an old log would make every record unreadable: losing the key must be noticed, not mended.
        if not _exists(self.key_path) and not _exists(self.password_path):
            if _exists(self.audit_path) and self.audit_path.stat().st_size > 0:
                raise StoreError(f"{self.key_path} is missing but the log it opens exists; restore the key file")
            create_key_file(self.key_path)
        for file in (self.audit_path, self.state_path):
            if not _exists(file):
                _create_private(file, b"")
            _check_file(file)
        return self


def make_private_folder(path: Path) -> None:
    """Make a folder that only we can enter, with its parents; one that exists must be so.

    Raises:
        StoreError: it cannot be made, or is not safe.
    """
    with _os_errors(path, "cannot be made"):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(path)


def create_key_file(path: Path) -> None:
    """Write a fresh random 256-bit key as one line of hex, mode 0600.

    Raises:
        StoreError: the file exists (a key is never overwritten) or cannot be made.
    """
    _create_private(path, secrets.token_hex(KEY_BYTES).encode() + b"\n")


@contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a file so that readers see the old content or the whole new one; mode 0600; nothing is left on error.

    Raises:
        StoreError: the folder cannot be written or the disk is full.
    """
    with _os_errors(path, "cannot be written"):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def move_file(source: Path, target: Path) -> None:
    """Put a file in another's place, and wait until the folder is on disk.

    Raises:
        StoreError: it cannot be moved.
    """
    with _os_errors(source, "cannot be moved"):
        source.replace(target)
        _sync_folder(target.parent)


def open_engine(
    path: Path,
    *,
    application_id: int,
    schema_version: int,
    metadata: MetaData,
    synchronous: Literal["FULL", "NORMAL"] = "FULL",
    create: bool = True,
) -> Engine:
    """Open a SQLite database and make the tables of ``metadata`` that it lacks.

    Write through ``begin_immediate``, read through ``engine.begin()``. Several parts may open the same file with
    different ``metadata``, as long as application id and version agree. Safe to keep across ``fork``.

    Args:
        application_id: 32-bit number that tells our file from another program's.
        schema_version: refused when the file has a newer or older one.
        synchronous: ``FULL`` survives power loss after every commit; ``NORMAL`` may lose the last commits, never tears.
        create: False refuses an empty file instead of filling it.

    Raises:
        StoreError: the file is unsafe, damaged, foreign, or from another schema version.
    """
    if create and not _exists(path):
        _create_private(path, b"")
    _check_file(path)
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )
    event.listen(engine, "connect", _connector(synchronous))
    event.listen(engine, "begin", _begin)
    try:
        with storage_errors(path), begin_immediate(engine) as connection:
            _check_header(connection, path, application_id, schema_version, create=create)
            if create:
                metadata.create_all(connection)
    except BaseException:
        engine.dispose()
        raise
    _engines.add(engine)
    return engine


def open_state(home: Home, metadata: MetaData, *, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> Engine:
    """Open the home's state database, with the tables of ``metadata`` made when absent.

    Every part that keeps something there (rates, approvals, roles, sessions, keys) defines its own tables and opens
    the database through this; the engines are independent and agree on the file.

    Args:
        synchronous: ``FULL`` for what must not be lost in a power cut, ``NORMAL`` for what may lose its last commits.

    Raises:
        StoreError: see ``open_engine``.
    """
    return open_engine(
        home.state_path,
        application_id=STATE_APPLICATION_ID,
        schema_version=STATE_SCHEMA_VERSION,
        metadata=metadata,
        synchronous=synchronous,
    )


@contextmanager
def begin_immediate(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds the write lock from its start: what it reads is still true when it writes."""
    with engine.connect() as plain:
        connection = plain.execution_options(**{_IMMEDIATE: True})
        with connection.begin():
            yield connection


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn engine errors into ``StoreError``. The statement and its parameters stay out of the message."""
    try:
        yield
    except (SQLAlchemyError, UnicodeError) as error:
        reason = getattr(error, "orig", None) or type(error).__name__
        raise StoreError(
            f"{path} cannot be used as a database ({reason}); check the disk, or restore a backup"
        ) from error


def _check_header(
    connection: Connection, path: Path, application_id: int, schema_version: int, *, create: bool
) -> None:
    found_id = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    found_version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    objects = connection.exec_driver_sql("SELECT type FROM sqlite_master").scalars().all()
    if not objects and found_id == 0:
        if not create:
            raise StoreError(f"{path} is empty; restore a backup")
        connection.exec_driver_sql(f"PRAGMA application_id = {application_id:d}")
        connection.exec_driver_sql(f"PRAGMA user_version = {schema_version:d}")
        return
    if found_id != application_id:
        raise StoreError(f"{path} belongs to another program (application id {found_id:#x}); choose another path")
    if found_version != schema_version:
        remedy = "upgrade AgentGuard" if found_version > schema_version else "use the release that made it"
        raise StoreError(f"{path} has schema {found_version}, this AgentGuard knows {schema_version}; {remedy}")
    # A trigger or view in the file would run inside our own statements.
    if any(kind not in ("table", "index") for kind in objects):
        raise StoreError(f"{path} holds a trigger or view that AgentGuard did not make; restore a backup")


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
    immediate = connection.get_execution_options().get(_IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _exists(path: Path) -> bool:
    with _os_errors(path, "cannot be examined"):
        return os.path.lexists(path)


def _is_ours(path: Path) -> bool:
    return path.is_dir() and path.lstat().st_uid == os.geteuid() and os.access(path, os.X_OK)


def _check_folder(path: Path) -> None:
    info = _lstat(path, "run `agentguard init`")
    if not stat.S_ISDIR(info.st_mode):
        raise StoreError(f"{path} is not a folder (links are refused); remove it and run `agentguard init`")
    _check_owner(path, info, "chmod 700")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise StoreError(f"{path} cannot be written by this user; run: chmod 700 {path}")


def _check_file(path: Path) -> None:
    # lstat, not open: closing a second descriptor would drop the locks SQLite holds on the file in this process.
    info = _lstat(path, "restore a backup, or run `agentguard init`")
    if not stat.S_ISREG(info.st_mode):
        raise StoreError(f"{path} is not a regular file (links are refused); move it away and restore the original")
    _check_owner(path, info, "chmod 600")
    if not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"{path} cannot be read and written by this user; run: chmod 600 {path}")


def _check_owner(path: Path, info: os.stat_result, remedy: str) -> None:
    if info.st_uid != os.geteuid():
        raise StoreError(f"{path} belongs to user id {info.st_uid}, we run as {os.geteuid()}; run as its owner")
    if info.st_mode & 0o077:
        raise StoreError(f"{path} is open to other users (mode {info.st_mode & 0o777:03o}); run: {remedy} {path}")


def _lstat(path: Path, remedy: str) -> os.stat_result:
    try:
        return path.lstat()
    except FileNotFoundError as error:
        raise StoreError(f"{path} does not exist; {remedy}") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be examined ({error.strerror}); check its permissions") from error


def _create_private(path: Path, content: bytes) -> None:
    with _os_errors(path, "cannot be made"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _os_errors(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except AgentGuardError:
        raise  # Denied is an OSError too
    except OSError as error:
        raise StoreError(
            f"{path} {what} ({error.strerror or error}); check the path, its permissions and the disk"
        ) from error


# An idle pooled connection inherited by a child would make SQLite there believe it holds the parent's locks.
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _before_fork() -> None:
    for engine in list(_engines):
        with contextlib.suppress(SQLAlchemyError):
            engine.dispose()


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        engine.dispose(close=False)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
