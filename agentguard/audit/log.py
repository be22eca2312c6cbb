"""The audit log: append, wait for durability, query.

Callers encode and queue; one writer thread per process drains the queue into a frame and commits it. While a commit
is syncing the next batch gathers: group commit. A durable record's future resolves only after the commit that holds
it; when the disk refuses, its caller gets ``WriteError`` and so does every later caller until writing works again.
No record, no action.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Protocol

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from agentguard.audit import schema
from agentguard.audit.checkpoint import VerifierKey
from agentguard.audit.frame import MAX_RECORDS, PREFIX_BYTES
from agentguard.audit.keyring import KeyRing, LogIdentity
from agentguard.audit.proof import (
    ConsistencyProof,
    InclusionProof,
    newest_checkpoint,
    prove_consistency,
    prove_inclusion,
)
from agentguard.audit.reader import LogRecord, Query, Reader
from agentguard.audit.record import INDEXED_FIELDS, encode, field_values, stamp
from agentguard.audit.writer import Entry, Writer, first_checkpoint
from agentguard.errors import AgentGuardError, AuditError, ConfigError, StoreError, TamperError, WriteError
from agentguard.event import Json
from agentguard.keys import KeyFile, KeySource
from agentguard.store import Home, atomic_file, begin_immediate, open_engine

__all__ = ["AuditLog", "Clock"]

# Bounds of the queue: a stalled disk must block callers, not eat the memory.
MAX_QUEUED_RECORDS = 8192
MAX_QUEUED_BYTES = 64 * 1024 * 1024
MAX_FRAME_BYTES = 8 * 1024 * 1024
MAX_RECORD_BYTES = 4 * 1024 * 1024

# When nobody waits, a short pause lets a frame fill: one sync for many events.
GATHER_S = 0.005
HEARTBEAT_S = 3600.0
RETRY_S = 1.0
# Wall clock against monotonic clock: more than NTP slewing, less than anything that would confuse an investigation.
CLOCK_JUMP_NS = 60 * 1_000_000_000

_RESERVED = ("time", "monotonic_ns", "event_id")


class Clock(Protocol):
    """Wall and monotonic time in nanoseconds; the ``time`` module is one."""

    def time_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...


@dataclass(slots=True)
class _Pending:
    entry: Entry
    durable: bool
    future: Future[int] = field(default_factory=Future)


class AuditLog:
    """An open log. Thread-safe; survives ``fork`` (the child starts a writer of its own); close it, or use ``with``.

    Open one with ``AuditLog.open``.
    """

    def __init__(
        self, engine: Engine, ring: KeyRing, path: Path, *, clock: Clock, heartbeat_s: float, retry_s: float
    ) -> None:
        self._engine = engine
        self._path = path
        self._file = _identity(path)
        self._ring = ring
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._retry_s = retry_s
        self._writer = Writer(engine, ring)
        self._reader = Reader(engine, ring)
        self._closed = False
        self._failure: BaseException | None = None
        self._refused = 0
        self._offset = clock.time_ns() - clock.monotonic_ns()
        self._reset()
        _logs.add(self)

    @classmethod
    def open(
        cls,
        home: Home,
        *,
        keys: KeySource | None = None,
        clock: Clock = time,
        heartbeat_s: float = HEARTBEAT_S,
        retry_s: float = RETRY_S,
    ) -> AuditLog:
        """Open the log of a home, or begin it when the home is new.

        Args:
            keys: gives the key encryption key; the home's key file when absent.
            heartbeat_s: longest silence before a checkpoint says "still here, nothing happened".
            retry_s: pause before writing is tried again after it failed.

        Raises:
            KeySourceError: no key, or another one than the log was made with.
            StoreError: the database cannot be used.
            TamperError: the log was replaced, or its keys were changed.
        """
        source = keys if keys is not None else KeyFile(home.key_path)
        source.kek()  # before anything is made: a home without a key stays untouched
        engine = open_engine(
            home.audit_path,
            application_id=schema.APPLICATION_ID,
            schema_version=schema.SCHEMA_VERSION,
            metadata=schema.metadata,
            create=not home.verifier_path.exists(),
        )
        try:
            with _read_errors(home.audit_path):
                ring = _open_ring(engine, home, source, clock.time_ns())
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, ring, home.audit_path, clock=clock, heartbeat_s=heartbeat_s, retry_s=retry_s)

    @property
    def verifier_key(self) -> VerifierKey:
        """The public key that checkpoints are checked with; ``str()`` gives the C2SP form."""
        return self._ring.identity.verifier

    @property
    def congested(self) -> bool:
        """Whether the queue is half full or more: callers who must not wait in ``append`` look here first."""
        return len(self._queue) >= MAX_QUEUED_RECORDS // 2 or self._queued_bytes >= MAX_QUEUED_BYTES // 2

    def append(self, record: Mapping[str, Json], *, durable: bool) -> Future[int]:
        """Hand in a record; the log adds ``time``, ``monotonic_ns`` and ``event_id``.

        Blocks while the queue is full. The future gives the record's index once it is on disk; a caller that must
        not act before waits for it, any other may drop it.

        Raises:
            ConfigError: no ``type``, a reserved field, a value without JSON form, or a record over 4 MiB.
            WriteError: the log is closed, or cannot be written at present.
        """
        now, monotonic = self._clock.time_ns(), self._clock.monotonic_ns()
        pending = _Pending(_entry(record, now, monotonic), durable)
        jump = (now - monotonic) - self._offset
        self._offset = now - monotonic
        if abs(jump) > CLOCK_JUMP_NS:
            notice: dict[str, Json] = {"type": "clock-jump", "seconds": jump / 1e9}
            self._put(_Pending(_entry(notice, now, monotonic), durable=False))
        self._put(pending)
        return pending.future

    def flush(self) -> None:
        """Wait until everything handed in so far is on disk.

        Raises:
            WriteError: it cannot be written at present.
        """
        with self._lock:
            goal = self._submitted
            self._hurry = True
            self._work.notify()
            while self._settled < goal and self._failure is None:
                self._room.wait()
            self._raise_failure()

    def close(self) -> None:
        """Write what is queued and a closing checkpoint. Closing twice does nothing.

        Raises:
            WriteError: queued records could not be written and are lost.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._work.notify()
            self._room.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()
        self._engine.dispose()
        if self._lost:
            raise WriteError(f"{self._lost} queued records could not be written; check the disk") from self._failure

    def __enter__(self) -> AuditLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def query(
        self,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        where: Mapping[str, str] | None = None,
        predicate: Callable[[dict[str, Json]], bool] | None = None,
        limit: int | None = None,
        cursor: int | None = None,
        full: bool = False,
    ) -> Iterator[LogRecord]:
        """Records on disk that match, in log order; ``flush`` first to see what is still queued.

        Args:
            start: first moment, included; with a time zone.
            end: first moment no longer wanted.
            where: field to value; short names as in ``FIELD_ALIASES``; an absent field does not match.
            predicate: any further test of the record.
            limit: at most so many.
            cursor: ``index`` of the last record already seen.
            full: read every frame instead of trusting the index.

        Raises:
            ConfigError: a time without a zone.
            TamperError: a frame does not open.
            KeySourceError: the key of a frame is missing.
        """
        query = Query(start=start, end=end, where=where or {}, predicate=predicate, cursor=cursor, full=full)
        query.matcher()  # raises now what would else be raised at the first step
        return self._guarded(islice(self._reader.records(query), limit))

    def tail(self, count: int) -> list[LogRecord]:
        """The last records on disk, oldest first. Errors as ``query``."""
        with _read_errors(Path(str(self._engine.url.database))):
            return self._reader.tail(count)

    def prove(self, index: int) -> InclusionProof:
        """Evidence that the record with this index is in the log, for whoever has the verifier key.

        Raises:
            ConfigError: no such record.
            TamperError: the log contradicts itself.
            KeySourceError: the record's key is missing or was shredded.
        """
        with _read_errors(self._path):
            return prove_inclusion(self._engine, self._ring.identity, self._reader.raw(index), index)

    def prove_consistency(self, old_checkpoint: bytes) -> ConsistencyProof:
        """Evidence that the log continues the signed checkpoint that somebody kept.

        Raises:
            TamperError: it is not this log's, or the log does not continue it.
        """
        with _read_errors(self._path):
            return prove_consistency(self._engine, self._ring.identity, old_checkpoint)

    def checkpoint(self) -> bytes:
        """The newest signed checkpoint, a C2SP signed note: keep it outside the log as an anchor."""
        with _read_errors(self._path), self._engine.begin() as connection:
            return newest_checkpoint(connection, self._ring.identity)[1]

    def _guarded(self, records: Iterator[LogRecord]) -> Iterator[LogRecord]:
        with _read_errors(Path(str(self._engine.url.database))):
            yield from records

    # -- the queue ---------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._commit_lock = threading.Lock()
        self._queue: deque[_Pending] = deque()
        self._queued_bytes = 0
        self._submitted = 0
        self._settled = 0
        self._lost = 0
        self._urgent = 0
        self._hurry = False
        self._idle = False
        self._thread: threading.Thread | None = None

    def _put(self, pending: _Pending) -> None:
        size = len(pending.entry.record)
        with self._lock:
            while not self._closed and self._failure is None and self._full(size):
                self._room.wait()
            if self._failure is not None:
                self._refused += 1
            self._raise_failure()
            if self._closed:
                raise WriteError("the audit log is closed; open it again")
            if self._thread is None:
                self._start()
            self._queue.append(pending)
            self._queued_bytes += size
            self._submitted += 1
            self._urgent += pending.durable
            if self._idle:
                self._work.notify()

    def _full(self, size: int) -> bool:
        return len(self._queue) >= MAX_QUEUED_RECORDS or (
            bool(self._queue) and self._queued_bytes + size > MAX_QUEUED_BYTES
        )

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise WriteError(
                "the audit log cannot be written, so the action must not happen; check the disk, its free space and "
                "`agentguard audit verify`"
            ) from self._failure

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="agentguard-audit", daemon=True)
        self._thread.start()

    # -- the writer thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            batch, last = self._take()
            written = self._write(batch, closed=last)
            if last or (self._closed and not written):
                return

    def _take(self) -> tuple[list[_Pending], bool]:
        """Wait for work: the next batch, empty for a heartbeat; and whether it is the last."""
        with self._lock:
            if self._failure is not None and not self._closed:
                self._wait(self._retry_s)
            elif not self._queue and not self._closed:
                self._wait(self._heartbeat_s)
            if not self._urgent and not self._hurry and len(self._queue) < MAX_RECORDS and self._queue:
                self._gather()
            batch = self._drain()
            self._room.notify_all()
            return batch, self._closed and not self._queue

    def _wait(self, seconds: float) -> None:
        self._idle = self._failure is None
        self._work.wait(seconds)
        self._idle = False

    def _gather(self) -> None:
        deadline = time.monotonic() + GATHER_S
        self._idle = False
        while not (self._urgent or self._hurry or self._closed) and len(self._queue) < MAX_RECORDS:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._work.wait(left)

    def _drain(self) -> list[_Pending]:
        batch: list[_Pending] = []
        size = 0
        while self._queue and len(batch) < MAX_RECORDS:
            size += len(self._queue[0].entry.record)
            if batch and size > MAX_FRAME_BYTES:
                break
            pending = self._queue.popleft()
            self._queued_bytes -= len(pending.entry.record)
            self._urgent -= pending.durable
            batch.append(pending)
        self._hurry = self._hurry and bool(self._queue)
        return batch

    def _write(self, batch: list[_Pending], *, closed: bool) -> bool:
        refused = self._refused
        entries = [pending.entry for pending in batch]
        now, monotonic = self._clock.time_ns(), self._clock.monotonic_ns()
        if refused:
            gap: dict[str, Json] = {"type": "audit-gap", "refused": refused}
            entries.insert(0, _entry(gap, now, monotonic))
        try:
            # An unlinked file takes commits and loses them: what is written must be what will be read.
            if _identity(self._path) != self._file:
                raise WriteError(f"{self._path} was moved, deleted or replaced while the log was open")
            with self._commit_lock:
                first = self._writer.commit(entries, now=now, closed=closed)
        except Exception as error:  # noqa: BLE001  # this thread must outlive any failure: callers wait for it
            self._failed(batch, error)
            return False
        self._succeeded(batch, first + bool(refused), refused)
        return True

    def _succeeded(self, batch: list[_Pending], first: int, refused: int) -> None:
        with self._lock:
            self._failure = None
            self._refused -= refused
            self._settled += len(batch)
            self._room.notify_all()
        for index, pending in enumerate(batch, first):
            _resolve(pending.future, index)

    def _failed(self, batch: list[_Pending], error: Exception) -> None:
        """Refuse what somebody waits for; keep the rest for the next attempt, in order, unless there is none."""
        with self._lock:
            self._failure = error
            everything = (*batch, *self._queue)
            kept = [] if self._closed else [pending for pending in everything if not pending.durable]
            self._lost = sum(not pending.durable for pending in everything) - len(kept)
            refused = [pending for pending in everything if pending.durable or not kept]
            self._queue = deque(kept)
            self._queued_bytes = sum(len(pending.entry.record) for pending in kept)
            self._urgent = 0
            self._refused += len(refused)
            self._settled += len(refused)
            self._room.notify_all()
        for pending in refused:
            _refuse(pending.future, error)

    # -- fork --------------------------------------------------------------------------------------------------------

    def _before_fork(self) -> None:
        # No commit may be under way: SQLite's own locks would be copied in the taken state.
        self._commit_lock.acquire()

    def _after_fork_in_parent(self) -> None:
        self._commit_lock.release()

    def _after_fork_in_child(self) -> None:
        self._reset()
        self._failure = None
        self._refused = 0
        self._writer.forget()


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to now: device and inode; None when to none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _entry(record: Mapping[str, Json], now: int, monotonic: int) -> Entry:
    if not isinstance(record.get("type"), str):
        raise ConfigError("an audit record needs a text field `type`")
    for name in _RESERVED:
        if name in record:
            raise ConfigError(f"the field {name} of an audit record is set by the log; rename yours")
    randomness = os.urandom(2 * PREFIX_BYTES)
    body = {"time": stamp(now), "monotonic_ns": monotonic, "event_id": randomness[PREFIX_BYTES:].hex(), **record}
    data = randomness[:PREFIX_BYTES] + encode(body)
    if len(data) > MAX_RECORD_BYTES:
        raise ConfigError(f"an audit record has at most {MAX_RECORD_BYTES} bytes, got {len(data)}; record a digest")
    return Entry(data, now, index_terms(record))


def index_terms(record: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    """The (field, value) pairs under which a record can be found."""
    return tuple((name, value) for name in INDEXED_FIELDS if name in record for value in field_values(record, name))


def _resolve(future: Future[int], index: int) -> None:
    # A caller may have cancelled; the record is on disk all the same.
    if future.set_running_or_notify_cancel():
        future.set_result(index)


def _refuse(future: Future[int], error: Exception) -> None:
    if future.set_running_or_notify_cancel():
        refusal = WriteError("the audit record was not stored, so the action must not happen; check the disk")
        refusal.__cause__ = error
        future.set_exception(refusal)


def _open_ring(engine: Engine, home: Home, source: KeySource, now: int) -> KeyRing:
    with begin_immediate(engine) as connection:
        row = connection.execute(select(schema.logs).order_by(schema.logs.c.generation.desc())).mappings().first()
        pinned = home.verifier_path.exists()
        if row is None:
            if pinned:
                raise TamperError(f"{home.audit_path} was emptied; restore a backup")
            ring = KeyRing.create(connection, source, now=now)
            first_checkpoint(connection, ring, now)
        else:
            ring = KeyRing(LogIdentity.from_row(row), source)
            ring.load(connection)
    _check_pin(home, ring.identity.verifier, pinned=pinned)
    return ring


def _check_pin(home: Home, verifier: VerifierKey, *, pinned: bool) -> None:
    if not pinned:
        with atomic_file(home.verifier_path) as file:
            file.write(f"{verifier}\n".encode())
    elif home.verifier_path.read_text("utf-8").strip() != str(verifier):
        raise TamperError(f"{home.audit_path} is not the log of this home ({home.verifier_path}); restore a backup")


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    """Nothing but our own errors gets out of a damaged file."""
    try:
        yield
    except AgentGuardError:
        raise
    except (SQLAlchemyError, sqlite3.Error, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise AuditError(f"{path} is damaged ({type(error).__name__}); run `agentguard audit verify`") from error


_logs: weakref.WeakSet[AuditLog] = weakref.WeakSet()


def _each(step: Callable[[AuditLog], None]) -> Callable[[], None]:
    def run() -> None:
        for log in list(_logs):
            step(log)

    return run


def _close_all() -> None:
    # The interpreter is going: what is queued gets written, what cannot be has nobody left to be told.
    for log in list(_logs):
        with contextlib.suppress(AuditError, StoreError):
            log.close()


os.register_at_fork(
    before=_each(AuditLog._before_fork),
    after_in_parent=_each(AuditLog._after_fork_in_parent),
    after_in_child=_each(AuditLog._after_fork_in_child),
)
atexit.register(_close_all)
