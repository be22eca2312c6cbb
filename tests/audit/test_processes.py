"""Several processes, one log: one chain in one order, on files and on PostgreSQL, even when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from agentguard.audit import AuditLog, verify
from agentguard.store import Home

ROOT = Path(__file__).parents[2]
WRITERS, RECORDS = 4, 120

# Every third record is waited for; what was is told on stdout. The rest is queued and written with it.
WRITE = """
import sys
from pathlib import Path
from agentguard.audit import AuditLog
from agentguard.store import Home
home, name, count = Home.open(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
with AuditLog.open(home) as log:
    for n in range(count):
        future = log.append({"type": "decision", "user.id": name, "n": n}, durable=n % 3 == 2)
        if n % 3 == 2:
            print(n, future.result(), flush=True)
"""


def start(home: Home, name: str, count: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WRITE, str(home.path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def stored(home: Home, name: str) -> list[tuple[int, int]]:
    """Number and index of a writer's records, in the log's order."""
    with AuditLog.open(home) as log:
        return [(int(str(entry.data["n"])), entry.index) for entry in log.query(where={"user": name})]


def told(lines: str) -> list[tuple[int, int]]:
    """Number and index that a writer was given, of whole lines only."""
    return [(int(n), int(index)) for n, index in (line.split() for line in lines.split("\n")[:-1])]


def test_four_processes_append_to_one_chain(home: Home) -> None:
    running = {f"writer-{n}": start(home, f"writer-{n}", RECORDS) for n in range(WRITERS)}
    output = {name: process.communicate(timeout=300)[0] for name, process in running.items()}

    report = verify(home)

    assert [process.returncode for process in running.values()] == [0] * WRITERS
    assert (report.exit_code, report.records) == (0, WRITERS * RECORDS)
    indices = []
    for name in running:
        found = stored(home, name)
        assert [n for n, _index in found] == list(range(RECORDS))
        # The index that a caller was given is where the record stands.
        assert set(told(output[name])) <= set(found)
        indices += [index for _n, index in found]
    assert sorted(indices) == list(range(WRITERS * RECORDS))


def test_one_of_four_is_killed_and_the_others_go_on(home: Home) -> None:
    """What the killed one was told is there, in order and once; the rest of the log is whole."""
    victim = start(home, "victim", 1_000_000)
    running = {f"writer-{n}": start(home, f"writer-{n}", RECORDS) for n in range(WRITERS - 1)}
    assert victim.stdout is not None
    lines = [victim.stdout.readline() for _ in range(5)]
    victim.send_signal(signal.SIGKILL)
    rest = victim.communicate(timeout=60)[0]
    for process in running.values():
        process.communicate(timeout=300)

    found = stored(home, "victim")

    assert victim.returncode == -signal.SIGKILL
    acknowledged = told("".join(lines) + rest)
    assert len(acknowledged) >= 5
    assert set(acknowledged) <= set(found)
    assert [n for n, _index in found] == list(range(len(found)))
    assert all(len(stored(home, name)) == RECORDS for name in running)
    report = verify(home)
    assert (report.exit_code, report.records) == (0, len(found) + (WRITERS - 1) * RECORDS)
