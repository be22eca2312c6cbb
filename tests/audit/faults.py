"""The faults an audit log must survive or report, as one table of trials: ``python -m tests.audit.faults``.

Every row damages, starves or kills a real log and says what came of it. A trial is right when verification or the
caller's error is one that the row allows; ``ok`` after damage never is. The test run takes a sample of the trials,
``make test-long`` and this module's command take all of them.
"""

from __future__ import annotations

import datetime
import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agentguard import SecurityAuditLogger
from agentguard.audit import (
    AuditEventType,
    AuditLog,
    ConsistencyProof,
    InclusionProof,
    rotate_kek,
    shred_before,
    verify,
)
from agentguard.errors import AgentGuardError, AuditError, KeySourceError, StoreError
from agentguard.keys import KeyFile
from agentguard.store import Home
from tests.audit import refusal
from tests.audit.damage import (
    REFUSED,
    TABLES,
    change,
    clone,
    connected,
    flipped,
    flips,
    identity,
    insert,
    keep,
    put_back,
    rows,
    where,
)
from tests.audit.ground import Ground

__all__ = ["FAULTS", "Fault", "Outcome"]

ROOT = Path(__file__).parents[2]
OK = ("ok", "ok-unanchored")
BAD = ("corrupt", "tampered", "truncated", "rollback", "key-missing")


@dataclass(frozen=True, slots=True)
class Trial:
    """One injected fault: what was done, what came of it, and whether that is right."""

    case: str
    came: str
    right: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """All trials of a fault."""

    trials: int
    wrong: tuple[str, ...]
    came: str

    @classmethod
    def of(cls, trials: Iterator[Trial]) -> Outcome:
        done = list(trials)
        counts = Counter(trial.came for trial in done)
        wrong = tuple(f"{trial.case}: {trial.came}" for trial in done if not trial.right)
        return cls(len(done), wrong, ", ".join(f"{name} {count}" for name, count in counts.most_common()))


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the table. ``run`` takes an empty place, and whether to make all trials or a sample."""

    name: str
    run: Callable[[Ground, bool], Iterator[Trial]]
    # Rows about files, and those that need no database.
    file_only: bool = False

    def outcome(self, ground: Ground, *, whole: bool) -> Outcome:
        """Make the trials."""
        return Outcome.of(self.run(ground, whole))


def small_log(ground: Ground, name: str, *, records: int = 12, per_frame: int = 3, key: Path | None = None) -> Home:
    """A closed log with known frames."""
    home = ground.home(name)
    if key is not None:
        shutil.copy(key, home.key_path)
    with AuditLog.open(home) as log:
        for n in range(records):
            log.append({"type": "decision", "principal.id": f"p{n % 2}", "n": n}, durable=False)
            if n % per_frame == per_frame - 1:
                log.flush()
    return home


def judged(home: Home, case: str, *allowed: str, anchor: Path | None = None) -> Trial:
    """Verify; a raw engine error would end the run."""
    came = verify(home, anchor=anchor).verdict.value
    return Trial(case, came, came in (allowed or BAD))


def python(code: str, *args: str) -> subprocess.Popen[str]:
    """A Python process of its own; its stdout is the answer."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code, *args], stdout=subprocess.PIPE, text=True, env=environment)


# -- bytes and rows --------------------------------------------------------------------------------------------------


def flipped_bytes(ground: Ground, whole: bool) -> Iterator[Trial]:
    home = small_log(ground, "h", records=3 if whole else 270, per_frame=1 if whole else 90)
    original = keep(home)
    for table, row, column, value in list(flips(home, every_byte=whole)):
        put_back(home, original)
        sql = f'UPDATE "{table}" SET "{column}" = ? WHERE {where(table)}'
        try:
            change(home, (sql, (value, *identity(table, row))))
        except REFUSED:
            continue  # the engine itself refuses two rows with one key
        yield judged(home, f"{table}.{column} of {identity(table, row)}")


def deleted_rows(ground: Ground, whole: bool) -> Iterator[Trial]:
    home = small_log(ground, "h", records=270, per_frame=45 if whole else 90)
    original = keep(home)
    idle = rows(home, "checkpoint")[-1]  # covers nothing new: its loss is the rollback row's matter
    for table in TABLES:
        for row in rows(home, table):
            if row == idle:
                continue
            put_back(home, original)
            change(home, (f'DELETE FROM "{table}" WHERE {where(table)}', identity(table, row)))
            yield judged(home, f"{table} {identity(table, row)}")


def duplicated_rows(ground: Ground, whole: bool) -> Iterator[Trial]:
    home = small_log(ground, "h", records=270, per_frame=45 if whole else 90)
    original = keep(home)
    moved = {"log": "generation", "frame": "number", "checkpoint": "number", "node": "position", "token": "frame"}
    for table, column in moved.items():
        last = max(row[column] for row in rows(home, table))
        for row in rows(home, table):
            put_back(home, original)
            insert(home, table, {**row, column: last + 1})
            yield judged(home, f"{table} {identity(table, row)}")


def swapped_rows(ground: Ground, whole: bool) -> Iterator[Trial]:
    home = small_log(ground, "h", records=12 if whole else 6)
    original = keep(home)
    for table in ("frame", "checkpoint", "key"):
        found = rows(home, table)
        for (first, second), column in itertools.product(itertools.combinations(found, 2), found[0]):
            if first[column] == second[column] or column in TABLES[table]:
                continue
            put_back(home, original)
            sql = f'UPDATE "{table}" SET "{column}" = ? WHERE {where(table)}'
            change(
                home,
                (sql, (second[column], *identity(table, first))),
                (sql, (first[column], *identity(table, second))),
            )
            yield judged(home, f"{table}.{column} of {identity(table, first)} and {identity(table, second)}")


def reordered_frames(ground: Ground, whole: bool) -> Iterator[Trial]:
    home = small_log(ground, "h", records=18 if whole else 9)
    original = keep(home)
    renumber = "UPDATE frame SET number = ? WHERE number = ?"
    for first, second in itertools.combinations(range(len(rows(home, "frame"))), 2):
        put_back(home, original)
        change(home, (renumber, (99, first)), (renumber, (first, second)), (renumber, (second, 99)))
        yield judged(home, f"frames {first} and {second}", "tampered", "corrupt")


def transplanted_rows(ground: Ground, _whole: bool) -> Iterator[Trial]:
    """A log of the same shape under the same key, made elsewhere, does not lend its rows."""
    home = small_log(ground, "h", records=270, per_frame=90)
    other = small_log(ground, "other", records=270, per_frame=90, key=home.key_path)
    original = keep(home)
    for table in TABLES:
        for row in rows(other, table):
            put_back(home, original)
            insert(home, table, row)
            yield judged(home, f"{table} {identity(table, row)}")


def two_logs_in_one_file(ground: Ground, _whole: bool) -> Iterator[Trial]:
    """A second, genuine log under another generation number beside the first, or in its place."""
    home = small_log(ground, "h")
    other = small_log(ground, "other", key=home.key_path)
    original = keep(home)
    for tables in ([*TABLES], ["log"], ["log", "key"], ["frame"], ["checkpoint"]):
        put_back(home, original)
        for table in tables:
            for row in rows(other, table):
                insert(home, table, {**row, "generation": 2})
        yield judged(home, "beside: " + ", ".join(tables), "tampered")
    for table in TABLES:
        change(home, (f'DELETE FROM "{table}"', ()))
        for row in rows(other, table):
            insert(home, table, row)
    yield judged(home, "in its place", "tampered")


# -- the file --------------------------------------------------------------------------------------------------------


def _damaged_files(ground: Ground, count: int, damage: Callable[[bytes, random.Random], bytes]) -> Iterator[Trial]:
    home = small_log(ground, "h")
    original = home.audit_path.read_bytes()
    chance = random.Random(11)
    for n in range(count):
        damaged = damage(original, chance)
        home.audit_path.write_bytes(damaged)
        if damaged != original:
            yield judged(home, f"place {n}")


def truncated_file(ground: Ground, whole: bool) -> Iterator[Trial]:
    yield from _damaged_files(ground, 400 if whole else 15, lambda data, chance: data[: chance.randrange(len(data))])


def zeroed_file(ground: Ground, whole: bool) -> Iterator[Trial]:
    def zeroed(data: bytes, chance: random.Random) -> bytes:
        start = chance.randrange(len(data) - 4096)
        return data[:start] + bytes(4096) + data[start + 4096 :]

    yield from _damaged_files(ground, 400 if whole else 15, zeroed)


def flipped_file(ground: Ground, whole: bool) -> Iterator[Trial]:
    """A flip in unused space may pass, but then every record still reads as it was written."""
    home = small_log(ground, "h")
    original = home.audit_path.read_bytes()
    chance = random.Random(13)
    for n in range(2000 if whole else 40):
        home.audit_path.write_bytes(flipped(original, chance.randrange(len(original)), chance.randrange(8)))
        came = verify(home).verdict.value
        right = came in BAD
        if came in OK:
            with AuditLog.open(home) as log:
                right = [entry.data["n"] for entry in log.query(full=True)] == list(range(12))
            came = "ok: the flip is in unused space, all records read"
        yield Trial(f"place {n}", came, right)


def cut_tail(ground: Ground, _whole: bool) -> Iterator[Trial]:
    home = small_log(ground, "h")
    original = keep(home)
    for first in range(4):
        put_back(home, original)
        change(home, ("DELETE FROM frame WHERE number >= ?", (first,)))
        yield judged(home, f"frames from {first} on", "truncated")


def older_copy(ground: Ground, _whole: bool) -> Iterator[Trial]:
    home, anchor = small_log(ground, "h"), ground.folder / "anchor"
    copies = [keep(home)]
    for n in range(3):
        with AuditLog.open(home) as log:
            log.append({"type": "decision", "n": n}, durable=True).result()
        copies.append(keep(home))
    verify(home, anchor=anchor)
    for n, copy in enumerate(copies[:-1]):
        put_back(home, copy)
        yield judged(home, f"copy {n}, anchored", "rollback", anchor=anchor)
        yield judged(home, f"copy {n}, unanchored", "ok-unanchored")
    put_back(home, copies[-1])
    yield judged(home, "the newest, anchored", "ok", anchor=anchor)


def schema_from_the_future(ground: Ground, _whole: bool) -> Iterator[Trial]:
    home = small_log(ground, "h")
    if ground.url is None:
        changes = ["PRAGMA user_version = 99", "PRAGMA application_id = 7"]
        code = ["CREATE TRIGGER t AFTER INSERT ON frame BEGIN DELETE FROM token; END"]
    else:
        changes = ["UPDATE agentguard_schema SET version = 99", "UPDATE agentguard_schema SET application_id = 7"]
        code = [
            "CREATE RULE r AS ON INSERT TO frame DO ALSO DELETE FROM token",
            "CREATE TRIGGER t BEFORE UPDATE ON frame EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "ALTER TABLE frame ENABLE ROW LEVEL SECURITY",
            "CREATE VIEW v AS SELECT * FROM frame",
        ]
    original = keep(home)
    for sql in changes:
        change(home, (sql, ()))
        yield judged(home, sql, "corrupt")
        yield refused(sql, StoreError, lambda: AuditLog.open(home))
        put_back(home, original)
    for sql in code:
        another = clone(home, ground.folder / str(len(sql)))
        change(another, (sql, ()))
        yield judged(another, sql, "corrupt")


def refused(case: str, error: type[AgentGuardError], action: Callable[[], object]) -> Trial:
    """Right when ``action`` raises ``error``."""
    try:
        action()
    except error as raised:
        return Trial(case, f"refused ({raised.code})", True)
    return Trial(case, "accepted", False)


@contextmanager
def write_lock(home: Home) -> Iterator[None]:
    """What a process has that is committing."""
    if home.audit_server is not None:
        with connected(home.audit_server) as server:
            server.execute("LOCK TABLE checkpoint IN EXCLUSIVE MODE")
            yield
        return
    with closing(sqlite3.connect(home.audit_path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


def locked_database(ground: Ground, _whole: bool) -> Iterator[Trial]:
    """Another program holds the write lock for longer than we wait."""
    home = small_log(replace(ground, url=ground.url and f"{ground.url}&statement_timeout=1"), "h")
    code = """
import sys
import agentguard.store.sqlite
agentguard.store.sqlite.BUSY_TIMEOUT_S = 0.1
from pathlib import Path
from agentguard.audit import AuditLog
from agentguard.errors import WriteError
from agentguard.store import Home
log = AuditLog.open(Home.open(Path(sys.argv[1])), retry_s=0.05)
print("ready", flush=True)
sys.stdin.readline()
try:
    log.append({"type": "decision", "n": 99}, durable=True).result()
    print("accepted", flush=True)
except WriteError:
    print("refused", flush=True)
sys.stdin.readline()
while True:
    try:
        print(log.append({"type": "decision", "n": 100}, durable=True).result(), flush=True)
        break
    except WriteError:
        pass
log.close()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.readline()
    with write_lock(home):
        process.stdin.write("\n")
        process.stdin.flush()
        came = process.stdout.readline().strip()
    yield Trial("while locked", came, came == "refused")
    process.communicate("\n", timeout=60)
    yield judged(home, "afterwards", "ok-unanchored")


# -- processes and the disk ------------------------------------------------------------------------------------------

_WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from agentguard.audit import AuditLog
from agentguard.store import Home
log = AuditLog.open(Home.open(Path(sys.argv[1])))
n = 0
while True:
    log.append({"type": "decision", "user.id": sys.argv[2], "n": 2 * n}, durable=False)
    log.append({"type": "decision", "user.id": sys.argv[2], "n": 2 * n + 1}, durable=True).result()
    print(2 * n + 1, flush=True)
    n += 1
"""


def killed_writers(ground: Ground, whole: bool) -> Iterator[Trial]:
    home = ground.home("h")
    for turn in range(200 if whole else 2):
        running = [python(_WRITE_UNTIL_KILLED, str(home.path), f"{turn}-{writer}") for writer in range(4)]
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()
        time.sleep((turn * 37 % 50) / 1000)
        for process in running:
            process.send_signal(signal.SIGKILL)
        for writer, process in enumerate(running):
            lines = process.communicate(timeout=60)[0].split("\n")
            acknowledged = {int(line) for line in lines[:-1] if line}
            with AuditLog.open(home) as log:
                stored = {entry.data["n"] for entry in log.query(where={"user": f"{turn}-{writer}"})}
            lost = len(acknowledged - stored)
            yield Trial(f"round {turn}, writer {writer}", "nothing lost" if not lost else f"{lost} lost", not lost)
    yield judged(home, "afterwards", "ok-unanchored")


_WRITE_THEN_REFUSED = """
import errno, sys
from pathlib import Path
from agentguard.audit import AuditLog
from agentguard.errors import WriteError
from agentguard.store import Home
from tests.audit.refusal import refuse
log = AuditLog.open(Home.open(Path(sys.argv[1])), retry_s=0.01)
log.append({"type": "decision", "n": 0}, durable=True).result()
refuse(*sys.argv[3].split(","), errno=getattr(errno, sys.argv[2]))
answers = []
for n in range(1, 4):
    try:
        log.append({"type": "decision", "n": n, "blob": "x" * 9000}, durable=True).result()
        answers.append("accepted")
    except WriteError as error:
        answers.append("refused" if error.__cause__ is not None else "refused without a cause")
sys.exit({("refused",) * 3: 40}.get(tuple(answers), 41))
"""

_REFUSALS = {
    "EIO on fsync": ("EIO", "fsync,fdatasync"),
    "disk full (ENOSPC on write)": ("ENOSPC", "pwrite64"),
    "read-only file system (EROFS on write)": ("EROFS", "pwrite64"),
    "EIO on write": ("EIO", "pwrite64"),
}


def refusing_disk(ground: Ground, _whole: bool) -> Iterator[Trial]:
    """The kernel's own errors: every durable caller is told, nothing is acknowledged early, the log goes on."""
    for name, (error, calls) in _REFUSALS.items():
        if not refusal.SUPPORTED:
            continue
        home = ground.home(f"{error}-{calls.partition(',')[0]}")
        process = python(_WRITE_THEN_REFUSED, str(home.path), error, calls)
        process.communicate(timeout=120)
        told = process.returncode == 40
        yield Trial(name, "every caller refused" if told else f"exit {process.returncode}", told)
        with AuditLog.open(home) as log:
            log.append({"type": "decision", "n": 9}, durable=True).result()
        yield judged(home, f"{name}, afterwards", "ok-unanchored")


_FULL = """
import resource, signal, sys
from pathlib import Path
from agentguard.audit import AuditLog
from agentguard.errors import WriteError
from agentguard.store import Home
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = AuditLog.open(Home.open(Path(sys.argv[1])), retry_s=0.02)
log.append({"type": "decision", "n": 0}, durable=True).result()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
refused = 0
for n in range(1, 6):
    try:
        log.append({"type": "decision", "n": n, "blob": "x" * 20000}, durable=True).result()
    except WriteError:
        refused += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
while True:
    try:
        log.append({"type": "decision", "n": 6}, durable=True).result()
        break
    except WriteError:
        refused += 1
log.close()
print(refused)
"""


def full_disk(ground: Ground, _whole: bool) -> Iterator[Trial]:
    """A file size limit in the middle of writing: refused, then recovered, with the exact count in the log."""
    home = ground.home("h")
    total = int(python(_FULL, str(home.path)).communicate(timeout=120)[0])
    with AuditLog.open(home) as log:
        found = [entry.data for entry in log.query()]
    stored = [entry["n"] for entry in found if entry["type"] == "decision"]
    gaps = sum(int(str(entry["refused"])) for entry in found if entry["type"] == "audit-gap")
    yield Trial("acknowledged is stored", "every caller refused", stored == [0, 6])
    yield Trial("the count of refusals", "counted exactly" if gaps == total else f"{gaps} of {total}", gaps == total)
    yield judged(home, "afterwards", "ok-unanchored")


_APPEND = """
import sys
from pathlib import Path
from agentguard.audit import AuditLog
from agentguard.store import Home
with AuditLog.open(Home.open(Path(sys.argv[1]))) as log:
    for n in range(int(sys.argv[3])):
        log.append({"type": "decision", "user.id": sys.argv[2], "n": n}, durable=n % 100 == 0)
"""


def many_processes(ground: Ground, whole: bool) -> Iterator[Trial]:
    home = ground.home("h")
    writers, count = (8, 10_000) if whole else (3, 200)
    running = [python(_APPEND, str(home.path), str(writer), str(count)) for writer in range(writers)]
    for process in running:
        process.communicate(timeout=600)
    codes = [process.returncode for process in running]
    report = verify(home)
    yield Trial("one chain", report.verdict.value, report.verdict.value in OK and report.records == writers * count)
    for writer, code in enumerate(codes):
        with AuditLog.open(home) as log:
            stored = [entry.data["n"] for entry in log.query(where={"user": str(writer)})]
        right = code == 0 and stored == list(range(count))
        yield Trial(f"writer {writer}", "whole and in order" if right else f"{len(stored)} of {count}", right)


_FORK = """
import os, sys, threading
from pathlib import Path
from agentguard.audit import AuditLog
from agentguard.store import Home
log = AuditLog.open(Home.open(Path(sys.argv[1])))
def work(name, count):
    for n in range(count):
        log.append({"type": "decision", "user.id": name, "n": n}, durable=n % 5 == 0)
busy = threading.Thread(target=work, args=("parent", 400))
busy.start()
children = []
for child in range(int(sys.argv[2])):
    pid = os.fork()
    if pid == 0:
        work(f"child-{child}", 50)
        log.close()
        os._exit(0)
    children.append(pid)
bad = [pid for pid in children if os.waitpid(pid, 0)[1]]
busy.join()
log.close()
print(len(bad))
"""


def fork_inside_append(ground: Ground, whole: bool) -> Iterator[Trial]:
    for turn in range(20 if whole else 1):
        home = ground.home(str(turn))
        failed = python(_FORK, str(home.path), "4").communicate(timeout=120)[0].strip()
        report = verify(home)
        right = failed == "0" and report.verdict.value in OK and report.records == 400 + 4 * 50
        yield Trial(f"round {turn}", "one chain, none lost or doubled" if right else f"{report}", right)


class _Clock:
    def __init__(self) -> None:
        self.wall, self.mono = 1_800_000_000 * 10**9, 10**9

    def time_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.mono


def clock_faults(ground: Ground, _whole: bool) -> Iterator[Trial]:
    """Order is the log's, whatever the clock says; a jump stands in the log."""
    moves = {"back a day": -86_400, "forward a year": 366 * 86_400, "back a minute and a second": -61}
    for name, seconds in moves.items():
        clock, home = _Clock(), ground.home(name.replace(" ", "-"))
        with AuditLog.open(home, clock=clock) as log:
            log.append({"type": "decision", "n": 0}, durable=True).result()
            clock.wall += seconds * 10**9
            log.append({"type": "decision", "n": 1}, durable=True).result()
            kinds = [entry.data["type"] for entry in log.query()]
        right = kinds == ["decision", "clock-jump", "decision"] and verify(home, clock=clock).verdict.value in OK
        yield Trial(name, "recorded, order kept" if right else str(kinds), right)
    clock, home = _Clock(), ground.home("frozen")
    with AuditLog.open(home, clock=clock) as log:
        for n in range(20):
            log.append({"type": "decision", "n": n}, durable=True).result()
        order = [entry.data.get("n") for entry in log.query()]
    right = order == list(range(20)) and verify(home, clock=clock).verdict.value in OK
    yield Trial("frozen", "order kept" if right else str(order), right)


# -- keys ------------------------------------------------------------------------------------------------------------


def wrong_keys(ground: Ground, _whole: bool) -> Iterator[Trial]:
    home = small_log(ground, "h")
    wrong = KeyFile.create(ground.folder / "wrong.key")
    report = verify(home, source=wrong)
    right = (report.verdict.value, report.records, report.content) == ("key-missing", 12, False)
    yield Trial("another key encryption key", report.verdict.value, right)
    yield refused("opened with it", KeySourceError, lambda: AuditLog.open(home, keys=wrong))
    original = keep(home)
    for row in rows(home, "key"):
        put_back(home, original)
        change(home, ("DELETE FROM key WHERE key_id = ?", (row["key_id"],)))
        yield judged(home, f"the {row['purpose']} key deleted", "key-missing")
        for other in rows(home, "key"):
            put_back(home, original)
            change(home, ("UPDATE key SET wrapped = ? WHERE key_id = ?", (other["wrapped"], row["key_id"])))
            yield judged(home, f"the {row['purpose']} key swapped", "tampered")
    put_back(home, original)
    home.key_path.unlink()
    yield judged(home, "no key file", "key-missing")


def cve_2020_8897(ground: Ground, whole: bool) -> Iterator[Trial]:
    """One ciphertext under two keys: a wrapped key that opens to another key than its id names."""
    from agentguard.errors import DecryptError
    from agentguard.keys import DataKey, unwrap, wrap

    for n in range(50 if whole else 5):
        first, second, kek = DataKey.generate(), DataKey.generate(), bytes([n]) * 32
        crafted = wrap(DataKey(second.key, first.id), kek=kek, associated_data=b"x")
        yield refused(
            f"key {n}",
            DecryptError,
            lambda: unwrap(crafted, kek=kek, key_id=first.id, associated_data=b"x"),  # noqa: B023  # called at once
        )


def cve_2023_31438(ground: Ground, _whole: bool) -> Iterator[Trial]:
    """Truncate and continue: the newest frames deleted, then the log written on."""
    home = small_log(ground, "h")
    change(home, ("DELETE FROM frame WHERE number >= 2", ()))

    def write_on() -> None:
        with AuditLog.open(home) as log:
            log.append({"type": "decision"}, durable=True).result()

    yield refused("written on", AuditError, write_on)
    yield judged(home, "verified", "truncated")


def cve_2023_31439(ground: Ground, _whole: bool) -> Iterator[Trial]:
    """Old entries sealed anew with today's keys contradict what an anchor remembers."""
    home, anchor = small_log(ground, "h"), ground.folder / "anchor"
    early = keep(home)
    with AuditLog.open(home) as log:
        log.append({"type": "decision", "n": 1}, durable=True).result()
    verify(home, anchor=anchor)
    put_back(home, early)
    with AuditLog.open(home) as log:
        for n in (7, 8, 9):
            log.append({"type": "decision", "n": n}, durable=True).result()
    yield judged(home, "re-sealed, anchored", "tampered", anchor=anchor)
    yield judged(home, "re-sealed, unanchored", "ok-unanchored")


def unsigned_history(ground: Ground, _whole: bool) -> Iterator[Trial]:
    """Unsigned must not pass as signed."""
    home = small_log(ground, "h")
    original = keep(home)
    for first in range(5):
        put_back(home, original)
        change(home, ("DELETE FROM checkpoint WHERE number >= ?", (first,)))
        yield judged(home, f"checkpoints from {first} on deleted", "tampered")
    for row in rows(home, "checkpoint"):
        put_back(home, original)
        unsigned = row["note"].rpartition(b"\n\n")[0] + b"\n\n"
        change(home, ("UPDATE checkpoint SET note = ? WHERE number = ?", (unsigned, row["number"])))
        yield judged(home, f"checkpoint {row['number']} without its signature", "tampered")


_ROTATE = """
import os, sys
from pathlib import Path
from agentguard.audit import rotate_kek
from agentguard.store import Home
def step(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), 9)
rotate_kek(Home.open(Path(sys.argv[1])), step=step)
"""


def killed_rotation(ground: Ground, whole: bool) -> Iterator[Trial]:
    """Whatever the moment, one wrap opens, and the command run again finishes."""
    home = small_log(ground, "h")
    for turn, step in itertools.product(range(10 if whole else 1), ("made", "re-wrapped", "replaced")):
        process = python(_ROTATE, str(home.path), step)
        process.communicate(timeout=60)
        killed = process.returncode == -signal.SIGKILL
        yield Trial(f"round {turn}, killed when {step}", "killed" if killed else "survived", killed)
        yield judged(home, f"round {turn}, verified", "ok-unanchored")
        rotate_kek(home)
        yield judged(home, f"round {turn}, finished", "ok-unanchored")


def shredded_log(ground: Ground, whole: bool) -> Iterator[Trial]:
    """Statements of shredding flipped, deleted, put in by hand, and keys brought back."""
    home, clock = ground.home("h"), _Clock()
    for n in range(3):
        with AuditLog.open(home, clock=clock) as log:
            log.append({"type": "decision", "n": n}, durable=True).result()
        clock.wall += 2 * 86_400 * 10**9
        clock.mono += 2 * 86_400 * 10**9
    before = rows(home, "key")
    unshredded = keep(home)
    now = datetime.datetime.fromtimestamp(clock.wall / 1e9, datetime.UTC)
    shred_before(home, now - datetime.timedelta(days=3), clock=clock)
    original = keep(home)
    came = verify(home, clock=clock)
    yield Trial("shredded on purpose", came.verdict.value, came.verdict.value in OK and came.shredded == 2)
    for table, row, column, value in list(flips(home, every_byte=whole)):
        if table == "shred":
            put_back(home, original)
            change(home, (f'UPDATE shred SET "{column}" = ? WHERE key_id = ?', (value, row["key_id"])))
            yield judged(home, f"shred.{column}")
    for row in rows(home, "shred"):
        put_back(home, original)
        change(home, ("DELETE FROM shred WHERE key_id = ?", (row["key_id"],)))
        yield judged(home, "a statement deleted")
        put_back(home, original)
        insert(home, "key", next(key for key in before if key["key_id"] == row["key_id"]))
        yield judged(home, "a key brought back", "tampered")
        put_back(home, unshredded)
        insert(home, "shred", row)
        change(home, ("DELETE FROM key WHERE key_id = ?", (row["key_id"],)))
        yield judged(home, "a statement from elsewhere over a key deleted by hand")


def flipped_proofs(ground: Ground, whole: bool) -> Iterator[Trial]:
    """Every bit of an inclusion and of a consistency proof."""
    home = small_log(ground, "h")
    with AuditLog.open(home) as log:
        early = log.checkpoint()
        log.append({"type": "decision", "n": 12}, durable=True).result()
        proofs = (InclusionProof, log.prove(5).encode()), (ConsistencyProof, log.prove_consistency(early).encode())
        verifier = log.verifier_key
    for form, data in proofs:
        yield Trial(f"{form.__name__}, whole", "accepted", bool(form.parse(data).check(verifier)))
        for at in range(0, len(data) * 8, 1 if whole else 97):
            changed = bytearray(data)
            changed[at // 8] ^= 1 << (at % 8)
            yield refused(f"bit {at}", AuditError, lambda: form.parse(bytes(changed)).check(verifier))  # noqa: B023


# -- secrets ---------------------------------------------------------------------------------------------------------

# Put together here, so that no scanner takes this file for a leak. One per kind that the recognizers know.
_SECRETS = {
    "api key": "sk-ant-" + "api03-" + ("Zx9Kq2Lm7Rt4Vw8Yb3Nc6Pd1Sf5Gh0Jk" * 3)[:93] + "AA",
    "aws key": "AKIA" + "Z7Q2M4X3K3N6P2RT",
    "github token": "ghp_" + "a8Kd92LmQx7Rt4VwYb3Nc6Pd1Sf5Gh0Jk2Zq",
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "private key": "-----BEGIN " + "RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END RSA PRIVATE KEY-----",
    "bearer": "Authorization: Bearer " + "mF_9.B5f-4.1JqMZx8Kq2Lm7Rt4Vw",
    "card": "4111 1111 " + "1111 1111",
    "iban": "DE89 3704 " + "0044 0532 0130 00",
}
_PLACES: dict[str, Callable[[str], dict[str, object]]] = {
    "top level": lambda secret: {"note": f"used {secret} today"},
    "nested": lambda secret: {"a": [{"b": ({"c": f"{secret}"},)}]},
    "key": lambda secret: {"map": {secret: 1}},
    "exception": lambda secret: {"error": str(ValueError(f"login failed for {secret}"))},
    "url": lambda secret: {"url": f"https://example.com/?q={secret}&x=1"},
}


def secrets_in_details(ground: Ground, _whole: bool) -> Iterator[Trial]:
    with SecurityAuditLogger(ground.folder / "events.db") as logger:
        for kind, place in itertools.product(_SECRETS, _PLACES):
            logger.log_event(AuditEventType.DATA_ACCESS, f"{kind}/{place}", _PLACES[place](_SECRETS[kind]))
    with SecurityAuditLogger(ground.folder / "events.db") as logger:
        stored = {str(event["user_id"]): str(event) for event in logger.query_logs()}
    for kind, place in itertools.product(_SECRETS, _PLACES):
        text = stored[f"{kind}/{place}"]
        # The telling part is enough: a redaction that leaves it has not redacted.
        told = any(part in text for part in (_SECRETS[kind], repr(_SECRETS[kind])[1:-1], _SECRETS[kind][-16:]))
        yield Trial(f"{kind} in {place}", "left in" if told else "absent", not told)


FAULTS = (
    Fault("bytes of every row flipped", flipped_bytes),
    Fault("rows deleted", deleted_rows),
    Fault("rows duplicated", duplicated_rows),
    Fault("cells swapped between rows", swapped_rows),
    Fault("frames reordered", reordered_frames),
    Fault("rows transplanted from another log", transplanted_rows),
    Fault("two logs in one file", two_logs_in_one_file),
    Fault("file truncated", truncated_file, file_only=True),
    Fault("file zero-filled", zeroed_file, file_only=True),
    Fault("bits flipped anywhere in the file", flipped_file, file_only=True),
    Fault("newest frames deleted", cut_tail),
    Fault("older copy put back", older_copy),
    Fault("newer schema, foreign file, trigger", schema_from_the_future),
    Fault("database locked", locked_database),
    Fault("kill -9, four writers", killed_writers),
    Fault("disk refuses: EIO, ENOSPC, EROFS", refusing_disk, file_only=True),
    Fault("disk full, then free again", full_disk, file_only=True),
    Fault("many processes", many_processes),
    Fault("fork inside append", fork_inside_append),
    Fault("clock back, forward, frozen", clock_faults),
    Fault("wrong, missing and swapped keys", wrong_keys),
    Fault("key rotation killed at each step", killed_rotation),
    Fault("shredding forged, hidden, undone", shredded_log),
    Fault("bits of proofs flipped", flipped_proofs),
    Fault("CVE-2020-8897 two keys, one ciphertext", cve_2020_8897, file_only=True),
    Fault("CVE-2023-31438 truncate and continue", cve_2023_31438),
    Fault("CVE-2023-31439 old entries re-sealed", cve_2023_31439),
    Fault("signatures removed", unsigned_history),
    Fault("secrets in details", secrets_in_details, file_only=True),
)


def main() -> int:
    """Print the table; 1 when any trial came out wrong."""
    sample = "--sample" in sys.argv[1:]
    wrong = 0
    print("| fault | trials | wrong | what came of it |\n|---|---|---|---|")  # noqa: T201
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            outcome = fault.outcome(Ground(Path(folder)), whole=not sample)
        wrong += len(outcome.wrong)
        print(f"| {fault.name} | {outcome.trials} | {len(outcome.wrong)} | {outcome.came} |", flush=True)  # noqa: T201
        for case in outcome.wrong:
            print(f"wrong: {case}", file=sys.stderr)  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
