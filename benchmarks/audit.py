"""The audit log beside what people do instead, in one run: ``python -m benchmarks.audit [RECORDS]``.

CPU seconds, smallest of several rounds: wall clock on a shared machine measures the neighbours. Rates are events per
CPU second of the whole process, writer thread included; waiting for the disk is in the wall-clock column.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentguard.audit import AuditLog, verify
from agentguard.event import Json
from agentguard.store import Home
from benchmarks.report import Row, Table

ROUNDS = 3
EVENTS = 20_000
DURABLE = 300
LARGE = 200_000
PAGE = 20


def event(n: int) -> dict[str, Json]:
    """A guard's record, about 1 KB, of a thousand users in runs of twenty calls."""
    return {
        "type": "decision",
        "event": "tool_call",
        "gen_ai.operation.name": "execute_tool",
        "decision": "allow",
        "disposition": "Allowed",
        "decision.id": f"{n:032x}",
        "mode": "enforce",
        "stage": None,
        "reason": "allowed",
        "rules": ["tools.lookup"],
        "findings": [],
        "findings.omitted": 0,
        "rewritten": False,
        "duration_ns": 12_345,
        "principal.id": f"agent-{n % 50}",
        "principal.kind": "agent",
        "user.id": f"user-{n * 7919 % 1000}",
        "session.id": f"session-{n // 100}",
        "tenant.id": None,
        "run.id": f"run-{n // 20}",
        "run.parent_id": None,
        "framework": "langchain",
        "gen_ai.conversation.id": f"thread-{n // 20}",
        "gen_ai.tool.name": "lookup",
        "gen_ai.tool.call.id": f"call-{n}",
        "origins": [],
        "origins.omitted": 0,
        "payload.sha256": "ab" * 32,
        "payload.length": 123,
    }


def queued(folder: Path, events: list[dict[str, Json]]) -> None:
    """The audit log, nobody waiting."""
    with AuditLog.open(Home.create(folder / "h")) as log:
        for record in events:
            log.append(record, durable=False)


def durable_one_by_one(folder: Path, events: list[dict[str, Json]]) -> None:
    """The audit log, one caller who waits for every record."""
    with AuditLog.open(Home.create(folder / "h")) as log:
        for record in events:
            log.append(record, durable=True).result()


def durable_shared(folder: Path, events: list[dict[str, Json]]) -> None:
    """The audit log, many callers who wait: they share commits."""
    with AuditLog.open(Home.create(folder / "h")) as log:
        for future in [log.append(record, durable=True) for record in events]:
            future.result()


def open_encrypt_append_close(folder: Path, events: list[dict[str, Json]]) -> None:
    """A fresh cipher and an opened file for each event: no sync, no order, no proof."""
    key = os.urandom(32)
    for record in events:
        nonce = os.urandom(12)
        with (folder / "log.bin").open("ab") as file:
            file.write(nonce + AESGCM(key).encrypt(nonce, json.dumps(record).encode(), None) + b"\n")


def standard_logging(folder: Path, events: list[dict[str, Json]]) -> None:
    """``logging`` to a file, in clear."""
    logger = logging.Logger("benchmark")
    handler = logging.FileHandler(folder / "log.txt")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    for record in events:
        logger.info(json.dumps(record))
    handler.close()


def plain_sqlite(folder: Path, events: list[dict[str, Json]], per_commit: int = 1024) -> None:
    """Rows of clear JSON, one commit per thousand, no index."""
    with closing(sqlite3.connect(folder / "plain.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, body TEXT)")
        for at in range(0, len(events), per_commit):
            connection.execute("BEGIN IMMEDIATE")
            rows = [(json.dumps(record),) for record in events[at : at + per_commit]]
            connection.executemany("INSERT INTO log (body) VALUES (?)", rows)
            connection.execute("COMMIT")


def sqlite_commit_each(folder: Path, events: list[dict[str, Json]]) -> None:
    """Rows of clear JSON, one commit per event."""
    plain_sqlite(folder, events, per_commit=1)


WRITERS: tuple[tuple[str, Callable[[Path, list[dict[str, Json]]], None], int], ...] = (
    ("AgentGuard, queued", queued, EVENTS),
    ("open, encrypt, append, close per event", open_encrypt_append_close, EVENTS),
    ("stdlib logging to a file, in clear", standard_logging, EVENTS),
    ("plain SQLite, in clear, 1,024 per commit", plain_sqlite, EVENTS),
    ("AgentGuard, durable, shared commits", durable_shared, EVENTS),
    ("AgentGuard, durable, one caller", durable_one_by_one, DURABLE),
    ("plain SQLite, one commit per event", sqlite_commit_each, DURABLE),
)


def measure(records: int = LARGE) -> str:
    """All tables."""
    return f"{_written()}\n{_handed_over()}\n{_grown(records)}"


def _written() -> Table:
    events = [event(n) for n in range(EVENTS)]
    gc.freeze()  # the input is no writer's garbage
    best: dict[str, tuple[float, float]] = {}
    for _ in range(ROUNDS):
        # Side by side: each round runs all of them, so that a busy minute meets all of them.
        for name, write, count in WRITERS:
            with tempfile.TemporaryDirectory() as folder:
                cpu, wall = time.process_time(), time.perf_counter()
                write(Path(folder), events[:count])
                cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            before = best.get(name, (float("inf"), float("inf")))
            best[name] = min(before[0], cpu), min(before[1], wall)
    rows = [
        Row(name, f"{count / best[name][0]:,.0f}", f"{count / best[name][1]:,.0f}") for name, _write, count in WRITERS
    ]
    return Table("Events written", ("writer", "events per CPU second", "events per second"), tuple(rows))


def _handed_over() -> Table:
    """What ``append`` costs its caller, while the writer does nothing else: batches smaller than a frame's wait."""
    events = [event(n) for n in range(4000)]
    best = float("inf")
    with tempfile.TemporaryDirectory() as folder, AuditLog.open(Home.create(Path(folder) / "h")) as log:
        for at in range(0, len(events), 200):
            cpu = time.thread_time()
            for record in events[at : at + 200]:
                log.append(record, durable=False)
            best = min(best, (time.thread_time() - cpu) / 200)
            log.flush()
    return Table("Hand-over at the caller", ("", "microseconds of CPU"), (Row("append, queued", f"{best * 1e6:.1f}"),))


def _grown(records: int) -> Table:
    with tempfile.TemporaryDirectory() as folder:
        home = Home.create(Path(folder) / "h")
        step, first, last = max(records // 20, 1), 0.0, 0.0
        with AuditLog.open(home) as log:
            for start in range(0, records, step):
                cpu = time.process_time()
                for n in range(start, min(start + step, records)):
                    log.append(event(n), durable=False)
                log.flush()
                last = (time.process_time() - cpu) / step
                first = first or last
            asked = [_asked(log, f"user-{n}") for n in (1, 500, 999)]
            proved = min(_proved(log, index) for index in (0, records // 2, records - 1))
        cpu = time.process_time()
        report = verify(home)
        checked = time.process_time() - cpu
    return Table(
        f"A log of {records:,} records",
        ("", ""),
        (
            Row("append, last twentieth against the first", f"{last / first:.2f} times"),
            Row(f"{PAGE} records of one user in a thousand", f"{min(asked) * 1e3:.0f} ms"),
            Row("proof of one record", f"{proved * 1e3:.1f} ms"),
            Row(f"verify ({report.verdict.value})", f"{records / checked:,.0f} records per CPU second"),
        ),
    )


def _asked(log: AuditLog, user: str) -> float:
    cpu = time.process_time()
    assert len(list(log.query(where={"user": user}, limit=PAGE))) == PAGE
    return time.process_time() - cpu


def _proved(log: AuditLog, index: int) -> float:
    cpu = time.process_time()
    log.prove(index)
    return time.process_time() - cpu


if __name__ == "__main__":
    print(measure(int(sys.argv[1]) if len(sys.argv) > 1 else LARGE))
