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
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType

from sqlalchemy import Engine

from agentguard.audit.checkpoint import VerifierKey
from agentguard.audit.clock import Clock
from agentguard.audit.database import open_database, read_errors
from agentguard.audit.frame import MAX_RECORDS
from agentguard.audit.keyring import KeyRing
from agentguard.audit.proof import (
    ConsistencyProof,
    InclusionProof,
    newest_checkpoint,
    prove_consistency,
    prove_inclusion,
)
from agentguard.audit.reader import LogRecord, Query, Reader
from agentguard.audit.repeats import Repeats
from agentguard.audit.writer import Entry, Writer, entry
from agentguard.errors import AuditError, StoreError, WriteError
from agentguard.event import Json
from agentguard.keys import KeySource
from agentguard.store import Home, Place

__all__ = ["AuditLog"]

# Bounds of the queue: a stalled disk must block callers, not eat the memory.
MAX_QUEUED_RECORDS = 8192
MAX_QUEUED_BYTES = 64 * 1024 * 1024
MAX_FRAME_BYTES = 8 * 1024 * 1024

# When nobody waits, a short pause lets a frame fill: one sync for many events.
GATHER_S = 0.005
HEARTBEAT_S = 3600.0
RETRY_S = 1.0
# Wall clock against monotonic clock: more than NTP slewing, less than anything that would confuse an investigation.
CLOCK_JUMP_NS = 60 * 1_000_000_000


@dataclass(slots=True)
class _Pending:
    entry: Entry
    durable: bool
    future: Future[int] = field(default_factory=Future)
    # Repeats that were counted instead of written: they are told what became of this one.
    followers: list[Future[int]] = field(default_factory=list)
    index: int | None = None


class AuditLog:
    """An open log. Thread-safe; survives ``fork`` (the child starts a writer of its own); close it, or use ``with``.

    Open one with ``AuditLog.open``.
    """

    def __init__(
        self, engine: Engine, ring: KeyRing, place: Place, *, clock: Clock, heartbeat_s: float, retry_s: float
    ) -> None:
        self._engine = engine
        self._place = place
        self._file = _identity(place)
        self._ring = ring
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._retry_s = retry_s
        self._writer = Writer(engine, ring)
        self._reader = Reader(engine, ring)
        self._closed = False
        self._failure: BaseException | None = None
        self._refused = 0
        self._gap: tuple[Entry | None, int] = (None, 0)
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
        generation: int = 1,
    ) -> AuditLog:
        """Open the log of a home, or begin it when the home is new.

        Args:
            keys: gives the key encryption key; the home's key file when absent.
            heartbeat_s: longest silence before a checkpoint says "still here, nothing happened".
            retry_s: pause before writing is tried again after it failed.
            generation: number of a log begun now; more than 1 only after a proven loss (``begin_generation``).

        Raises:
            KeySourceError: no key, or another one than the log was made with.
            StoreError: the database cannot be used.
            TamperError: the log was replaced, or its keys were changed.
        """
        engine, ring = open_database(home, keys, now=clock.time_ns(), generation=generation)
        return cls(engine, ring, home.audit, clock=clock, heartbeat_s=heartbeat_s, retry_s=retry_s)

    @property
    def verifier_key(self) -> VerifierKey:
        """The public key that checkpoints are checked with; ``str()`` gives the C2SP form."""
        return self._ring.identity.verifier

    @property
    def congested(self) -> bool:
        """Whether the queue is half full or more: callers who must not wait in ``append`` look here first."""
        return len(self._queue) >= MAX_QUEUED_RECORDS // 2 or self._queued_bytes >= MAX_QUEUED_BYTES // 2

    def append(
        self, record: Mapping[str, Json], *, durable: bool, repeats: tuple[str, str] | None = None
    ) -> Future[int]:
        """Hand in a record; the log adds ``time``, ``monotonic_ns`` and ``event_id``.

        Blocks while the queue is full. The future gives the record's index once it is on disk; a caller that must
        not act before waits for it, any other may drop it.

        Args:
            durable: somebody waits: commit at once.
            repeats: kind and object that make a denial the same as another. Within a second of the first, further
                ones are counted and stand in the log as one record of type ``decision-repeats``; their future gives
                the first's index.

        Raises:
            ConfigError: no ``type``, a reserved field, a value without JSON form, or a record over 4 MiB.
            WriteError: the log is closed, or cannot be written at present.
        """
        now, monotonic = self._clock.time_ns(), self._clock.monotonic_ns()
        pending = _Pending(entry(record, now, monotonic), durable)
        jump = (now - monotonic) - self._offset
        self._offset = now - monotonic
        if abs(jump) > CLOCK_JUMP_NS:
            notice: dict[str, Json] = {"type": "clock-jump", "seconds": jump / 1e9}
            self._put(_Pending(entry(notice, now, monotonic), durable=False))
        if repeats is not None:
            return self._put_denial(pending, record, repeats, now, monotonic)
        self._put(pending)
        return pending.future

    def flush(self) -> None:
        """Wait until everything handed in so far is on disk.

        Raises:
            WriteError: it cannot be written at present.
        """
        with self._lock:
            self._settle_repeats(everything=True)
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
            self._settle_repeats(everything=True)
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
        with read_errors(self._place):
            return self._reader.tail(count)

    def prove(self, index: int) -> InclusionProof:
        """Evidence that the record with this index is in the log, for whoever has the verifier key.

        Raises:
            ConfigError: no such record.
            TamperError: the log contradicts itself.
            KeySourceError: the record's key is missing or was shredded.
        """
        with read_errors(self._place):
            return prove_inclusion(self._engine, self._ring.identity, self._reader.raw(index), index)

    def prove_consistency(self, old_checkpoint: bytes) -> ConsistencyProof:
        """Evidence that the log continues the signed checkpoint that somebody kept.

        Raises:
            TamperError: it is not this log's, or the log does not continue it.
        """
        with read_errors(self._place):
            return prove_consistency(self._engine, self._ring.identity, old_checkpoint)

    def checkpoint(self) -> bytes:
        """The newest signed checkpoint, a C2SP signed note: keep it outside the log as an anchor."""
        with read_errors(self._place), self._engine.begin() as connection:
            return newest_checkpoint(connection, self._ring.identity)[1]

    def _guarded(self, records: Iterator[LogRecord]) -> Iterator[LogRecord]:
        with read_errors(self._place):
            yield from records

    # -- the queue ---------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._commit_lock = threading.Lock()
        self._queue: deque[_Pending] = deque()
        self._queued_bytes = 0
        self._repeats: Repeats[_Pending] = Repeats()
        self._submitted = 0
        self._settled = 0
        self._lost = 0
        self._urgent = 0
        self._hurry = False
        self._idle = False
        self._thread: threading.Thread | None = None

    def _put(self, pending: _Pending) -> None:
        with self._lock:
            self._admit(len(pending.entry.record))
            self._enqueue(pending)

    def _put_denial(
        self, pending: _Pending, record: Mapping[str, Json], key: tuple[str, str], now: int, monotonic: int
    ) -> Future[int]:
        with self._lock:
            self._admit(len(pending.entry.record))
            window = self._repeats.open_window(key, monotonic)
            if window is None:
                self._settle_repeats()
                self._repeats.begin(key, pending, record, monotonic)
                self._enqueue(pending)
                return pending.future
            window.add(record, now)
            follower: Future[int] = Future()
            if window.first.index is None:
                window.first.followers.append(follower)
            else:
                follower.set_result(window.first.index)
            return follower

    def _admit(self, size: int) -> None:
        """Wait for room; the lock is held."""
        while not self._closed and self._failure is None and self._full(size):
            self._room.wait()
        if self._failure is not None:
            self._refused += 1
        self._raise_failure()
        if self._closed:
            raise WriteError("the audit log is closed; open it again")

    def _enqueue(self, pending: _Pending) -> None:
        if self._thread is None:
            self._start()
        self._queue.append(pending)
        self._queued_bytes += len(pending.entry.record)
        self._submitted += 1
        self._urgent += pending.durable
        if self._idle:
            self._work.notify()

    def _settle_repeats(self, *, everything: bool = False) -> None:
        """Queue the counts of the windows that are over; the lock is held."""
        now, monotonic = self._clock.time_ns(), self._clock.monotonic_ns()
        for window in self._repeats.closed(None if everything else monotonic):
            self._enqueue(_Pending(entry(window.summary(), now, monotonic), durable=False))

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
            else:
                self._rest()
            if not self._urgent and not self._hurry and len(self._queue) < MAX_RECORDS and self._queue:
                self._gather()
            batch = self._drain()
            self._room.notify_all()
            return batch, self._closed and not self._queue

    def _rest(self) -> None:
        """Sleep until there is work or a heartbeat is due; windows of repeats end meanwhile."""
        deadline = time.monotonic() + self._heartbeat_s
        self._settle_repeats()
        while not (self._queue or self._closed or self._hurry):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._wait(min(left, self._repeats.wait_s(self._clock.monotonic_ns())))
            self._settle_repeats()

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
        try:
            batch = self._recovered(batch)
        except Exception as error:  # noqa: BLE001  # as below
            self._failed(batch, error)
            return False
        refused = self._refused
        entries = [pending.entry for pending in batch]
        now, monotonic = self._clock.time_ns(), self._clock.monotonic_ns()
        if refused:
            gap: dict[str, Json] = {"type": "audit-gap", "refused": refused}
            entries.insert(0, entry(gap, now, monotonic))
            self._gap = (entries[0], refused)
        try:
            # An unlinked file takes commits and loses them: what is written must be what will be read.
            if _identity(self._place) != self._file:
                raise WriteError(f"{self._place} was moved, deleted or replaced while the log was open")
            with self._commit_lock:
                first = self._writer.commit(entries, now=now, closed=closed)
        except Exception as error:  # noqa: BLE001  # this thread must outlive any failure: callers wait for it
            self._failed(batch, error)
            return False
        self._succeeded(batch, first + bool(refused), refused)
        return True

    def _recovered(self, batch: list[_Pending]) -> list[_Pending]:
        """The batch without what an earlier commit of unknown outcome did store: nothing stands in the log twice."""
        if self._failure is None:
            return batch
        with self._commit_lock:
            stored = self._writer.stored_after_all()
        found = [pending for pending in batch if id(pending.entry) in stored]
        for pending in found:
            self._succeeded([pending], stored[id(pending.entry)], 0)
        gap, refused = self._gap
        if id(gap) in stored:
            with self._lock:
                self._refused -= refused
        return [pending for pending in batch if id(pending.entry) not in stored]

    def _succeeded(self, batch: list[_Pending], first: int, refused: int) -> None:
        with self._lock:
            self._failure = None
            self._refused -= refused
            self._settled += len(batch)
            for index, pending in enumerate(batch, first):
                pending.index = index
            self._room.notify_all()
        for index, pending in enumerate(batch, first):
            _resolve(pending.future, index)
            for follower in pending.followers:
                _resolve(follower, index)

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
            # Each repeat that was counted behind a record now refused is refused as well.
            self._refused += len(refused) + self._repeats.drop({id(pending) for pending in refused})
            self._settled += len(refused)
            self._room.notify_all()
        for pending in refused:
            for future in (pending.future, *pending.followers):
                _refuse(future, error)

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


def _identity(place: Place) -> tuple[int, int] | None:
    """Which file a path leads to now: device and inode; None when to none, and for a server."""
    if not isinstance(place, Path):
        return None
    try:
        status = place.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _resolve(future: Future[int], index: int) -> None:
    # A caller may have cancelled; the record is on disk all the same.
    if future.set_running_or_notify_cancel():
        future.set_result(index)


def _refuse(future: Future[int], error: Exception) -> None:
    if future.set_running_or_notify_cancel():
        refusal = WriteError("the audit record was not stored, so the action must not happen; check the disk")
        refusal.__cause__ = error
        future.set_exception(refusal)


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
