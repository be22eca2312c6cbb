"""Appending, durability, queries, several processes, fork and kill."""

from __future__ import annotations

import datetime
import enum
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from agentguard.audit import AuditLog, Verdict, verify
from agentguard.audit.writer import MAX_RECORD_BYTES
from agentguard.errors import ConfigError, KeySourceError, StoreError, WriteError
from agentguard.event import Json
from agentguard.keys import KeyFile
from agentguard.store import Home
from tests.audit.damage import TABLES, rows

ROOT = Path(__file__).parents[2]
SECRET = "not-in-the-clear-" + "0123456789"


class FakeClock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000 * 10**9
        self.mono = 10**9

    def time_ns(self) -> int:
        return self.wall

    def monotonic_ns(self) -> int:
        return self.mono


def record(number: int, **more: Json) -> dict[str, Json]:
    """A record like the guard's."""
    return {
        "type": "decision",
        "decision": "deny" if number % 3 == 0 else "allow",
        "gen_ai.tool.name": f"tool-{number % 2}",
        "principal.id": "researcher",
        "n": number,
        **more,
    }


def fill(home: Home, frames: int, *, per_frame: int = 1, first: int = 0) -> None:
    """Append frames of known size and close the log."""
    with AuditLog.open(home) as log:
        for frame in range(frames):
            start = first + frame * per_frame
            for number in range(start, start + per_frame):
                log.append(record(number), durable=False)
            log.flush()


def python(code: str, *args: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def numbers(home: Home, **query: object) -> list[Json]:
    with AuditLog.open(home) as log:
        return [entry.data["n"] for entry in log.query(**query)]  # type: ignore[arg-type]


def test_records_come_back_whole_and_in_order(home: Home) -> None:
    """What was appended is what is read, with time, counter and id added."""
    with AuditLog.open(home) as log:
        futures = [log.append(record(n), durable=n % 2 == 0) for n in range(50)]
        assert [future.result(10) for future in futures] == list(range(50))

        found = list(log.query())

    assert [entry.index for entry in found] == list(range(50))
    assert [{k: entry.data[k] for k in record(0)} for entry in found] == [record(n) for n in range(50)]
    assert len({str(entry.data["event_id"]) for entry in found}) == 50
    assert verify(home).verdict is Verdict.OK_UNANCHORED


def test_log_goes_on_after_reopening(home: Home) -> None:
    """Each opening extends the same chain."""
    for opening in range(4):
        fill(home, 2, first=opening * 2)

    assert numbers(home) == list(range(8))
    assert (verify(home).records, verify(home).frames) == (8, 8)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param({"where": {"decision": "deny"}}, [0, 3, 6, 9], id="indexed-field"),
        pytest.param({"where": {"tool": "tool-1", "decision": "deny"}}, [3, 9], id="two-fields-by-short-name"),
        pytest.param({"where": {"session": "s"}}, [], id="absent-field-does-not-match"),
        pytest.param({"where": {"colour": "red"}}, [], id="unknown-field-does-not-match"),
        pytest.param({"where": {"decision": "deny"}, "full": True}, [0, 3, 6, 9], id="without-the-index"),
        pytest.param({"predicate": lambda data: data["n"] > 7}, [8, 9], id="free-predicate"),
        pytest.param({"limit": 2}, [0, 1], id="limit"),
        pytest.param({"cursor": 7}, [8, 9], id="cursor-continues-after"),
        pytest.param({"cursor": 2, "where": {"decision": "deny"}, "limit": 1}, [3], id="cursor-with-field"),
    ],
)
def test_query_finds_exactly_what_matches(home: Home, query: dict[str, object], expected: list[int]) -> None:
    """Conditions add up; order is log order."""
    fill(home, 5, per_frame=2)

    assert numbers(home, **query) == expected


def test_query_by_time_uses_half_open_ranges(home: Home) -> None:
    """Start is included, end is not."""
    clock = FakeClock()
    with AuditLog.open(home, clock=clock) as log:
        for n in range(5):
            log.append(record(n), durable=True).result()
            clock.wall += 10**9
            clock.mono += 10**9
    base = datetime.datetime.fromtimestamp(1_800_000_000, datetime.UTC)
    second = datetime.timedelta(seconds=1)

    assert numbers(home, start=base + second, end=base + 3 * second) == [1, 2]


def test_query_refuses_a_time_without_zone(home: Home) -> None:
    """Local time is never guessed."""
    with AuditLog.open(home) as log, pytest.raises(ConfigError, match="zone"):
        log.query(start=datetime.datetime(2026, 1, 1))  # noqa: DTZ001


def test_tail_gives_the_newest_in_log_order(home: Home) -> None:
    """Across frames."""
    fill(home, 4, per_frame=3)

    with AuditLog.open(home) as log:
        assert [entry.data["n"] for entry in log.tail(5)] == [7, 8, 9, 10, 11]
        assert len(log.tail(100)) == 12


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"n": 1}, id="no-type"),
        pytest.param({"type": "x", "time": "now"}, id="reserved-field"),
        pytest.param({"type": "x", "blob": object()}, id="no-json-form"),
        pytest.param({"type": "x", "blob": "y" * MAX_RECORD_BYTES}, id="too-large"),
    ],
)
def test_unusable_record_is_refused(home: Home, bad: dict[str, Json]) -> None:
    """A refusal names the cause and stores nothing."""
    with AuditLog.open(home) as log:
        with pytest.raises(ConfigError):
            log.append(bad, durable=True)

        assert list(log.query()) == []


@pytest.mark.parametrize(
    "text", ["\ud800 lone surrogate", "\x00 null", "\U000e0041 tag"], ids=["surrogate", "nul", "tag"]
)
def test_crafted_text_is_recorded_as_it_is(home: Home, text: str) -> None:
    """A tool name chosen by an attacker must not lose the record of its own denial."""
    with AuditLog.open(home) as log:
        log.append({"type": "decision", "gen_ai.tool.name": text, "big": 2**80}, durable=True).result()

        found = list(log.query(where={"tool": text}))

    assert [(entry.data["gen_ai.tool.name"], entry.data["big"]) for entry in found] == [(text, 2**80)]
    assert verify(home).exit_code == 0


class _Plain(enum.Enum):
    ODD = "odd"


class _Mixed(str, enum.Enum):  # noqa: UP042  # its text differs from its value, which is the point
    ODD = "odd"


@pytest.mark.parametrize(
    ("value", "found"),
    [
        pytest.param(_Plain.ODD, "odd", id="enumeration"),
        pytest.param(_Mixed.ODD, "odd", id="text-enumeration"),
        pytest.param(("odd", "even"), "even", id="tuple"),
        pytest.param([_Mixed.ODD, 3, None], "odd", id="list-of-enumerations"),
        pytest.param(datetime.date(2026, 1, 31), "2026-01-31", id="date"),
    ],
)
def test_a_value_is_indexed_as_it_stands_in_the_record(home: Home, value: Json, found: str) -> None:
    """Otherwise an honest log would be called tampered."""
    with AuditLog.open(home) as log:
        log.append({"type": "decision", "user.id": value}, durable=True).result()

        assert len(list(log.query(where={"user": found}))) == 1

    assert verify(home).exit_code == 0


def test_nothing_readable_reaches_the_disk(home: Home) -> None:
    """Neither contents nor names nor indexed values are in the files' bytes, or in the rows on a server."""
    log = AuditLog.open(home)
    log.append(record(1, note=SECRET, **{"user.id": SECRET}), durable=True).result()

    stored = {path.name: path.read_bytes() for path in home.path.iterdir() if path.is_file()}
    if home.audit_server is None:
        assert "audit.db-wal" in stored
    else:
        stored |= {table: repr(rows(home, table)).encode() for table in TABLES}
        assert b"ciphertext" in stored["frame"]
    for content in stored.values():
        assert SECRET.encode() not in content
        assert b"researcher" not in content

    log.close()
    assert all(SECRET.encode() not in path.read_bytes() for path in home.path.iterdir())


def test_every_file_is_private(home: Home) -> None:
    """0600 for files, 0700 for the folder, write-ahead log included."""
    with AuditLog.open(home) as log:
        log.append(record(1), durable=True).result()

        modes = {path.name: path.stat().st_mode & 0o777 for path in home.path.iterdir()}

    assert set(modes.values()) == {0o600}
    assert home.path.stat().st_mode & 0o777 == 0o700


def test_closed_log_refuses(home: Home) -> None:
    """Appending after close is a write error; closing twice is not."""
    log = AuditLog.open(home)
    log.append(record(1), durable=False)
    log.close()
    log.close()

    with pytest.raises(WriteError, match="closed"):
        log.append(record(2), durable=False)
    assert numbers(home) == [1]


def test_silence_without_heartbeat_is_stale(home: Home) -> None:
    """An open log that says nothing for two intervals is reported; a closed one may be silent."""
    clock = FakeClock()
    log = AuditLog.open(home, clock=clock)
    log.append(record(0), durable=True).result()

    clock.wall += 3 * 3600 * 10**9
    stale = verify(home, clock=clock)
    log.close()
    clock.wall += 3 * 3600 * 10**9

    assert (stale.verdict, stale.exit_code) == (Verdict.STALE, 13)
    assert verify(home, clock=clock).verdict is Verdict.OK_UNANCHORED


def test_idle_writer_signs_heartbeats(home: Home) -> None:
    """Without events the log still says: nothing happened."""
    with AuditLog.open(home, heartbeat_s=0.02) as log:
        log.append(record(0), durable=True).result()
        deadline = time.monotonic() + 10
        while verify(home).verdict is Verdict.STALE or _checkpoints(home) < 5:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    assert verify(home).records == 1


def _checkpoints(home: Home) -> int:
    return len(rows(home, "checkpoint"))


# -- keys ----------------------------------------------------------------------------------------------------------


def test_wrong_key_is_key_missing_and_structure_still_checked(written: Home, tmp_path: Path) -> None:
    """Never called corrupt; all records are still covered structurally."""
    wrong = KeyFile.create(tmp_path / "wrong.key")

    report = verify(written, source=wrong)

    assert (report.verdict, report.exit_code, report.records, report.content) == (
        Verdict.KEY_MISSING,
        14,
        274,
        False,
    )
    with pytest.raises(KeySourceError):
        AuditLog.open(written, keys=wrong)


def test_missing_key_file_is_key_missing(copy: Home) -> None:
    """As a wrong one; opening says what to do."""
    copy.key_path.unlink()

    assert verify(copy).verdict is Verdict.KEY_MISSING
    with pytest.raises(KeySourceError, match="restore"):
        AuditLog.open(copy)


def test_structure_is_verified_without_any_key(written: Home) -> None:
    """``keys=False`` needs no secret and says that it read no content."""
    report = verify(written, keys=False)

    assert (report.verdict, report.records, report.content) == (Verdict.OK_UNANCHORED, 274, False)


def test_anchor_that_is_none_is_refused(written: Home, tmp_path: Path) -> None:
    """A damaged anchor is an error, not a first run."""
    (tmp_path / "anchor").write_text("{}")

    with pytest.raises(ConfigError, match="anchor"):
        verify(written, anchor=tmp_path / "anchor")


# -- several threads and processes -----------------------------------------------------------------------------------


def test_threads_share_commits(home: Home) -> None:
    """All durable waiters of a batch are served by one commit: fewer frames than records."""
    with AuditLog.open(home) as log:

        def work() -> None:
            for n in range(20):
                log.append(record(n), durable=True).result()

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    report = verify(home)
    assert report.records == 320
    assert report.frames < 320


EXIT = """
import sys
from pathlib import Path
from agentguard.audit import AuditLog
from agentguard.store import Home
log = AuditLog.open(Home.open(Path(sys.argv[1])))
for n in range(500):
    log.append({"type": "decision", "n": n}, durable=False)
"""


def test_process_that_forgets_to_close_writes_its_queue(home: Home) -> None:
    """Interpreter exit closes the log."""
    finished(python(EXIT, str(home.path)))

    assert numbers(home) == list(range(500))


# -- the disk refuses ------------------------------------------------------------------------------------------------


def test_failing_writer_keeps_queued_records_and_refuses_new_ones(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody waited for is written later; who comes meanwhile is told at once."""
    log = AuditLog.open(home, retry_s=0.05)
    broken = threading.Event()
    broken.set()
    commit = log._writer.commit

    def failing(*args: object, **more: object) -> int:
        if broken.is_set():
            raise OSError(5, "Input/output error")
        return commit(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(log._writer, "commit", failing)
    kept = log.append(record(0), durable=False)
    with pytest.raises(WriteError):
        log.flush()
    with pytest.raises(WriteError):
        log.append(record(1), durable=False)
    assert not kept.done()

    broken.clear()

    assert kept.result(10) == 1
    assert log.append(record(2), durable=True).result(10) == 2
    assert [entry.data["type"] for entry in log.query()] == ["audit-gap", "decision", "decision"]
    log.close()


def test_closing_a_log_that_cannot_write_says_what_is_lost(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never silently."""
    log = AuditLog.open(home)

    def failing(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log._writer, "commit", failing)
    futures: list[Future[int]] = [log.append(record(0), durable=False)]

    with pytest.raises(WriteError, match="1 queued"):
        log.close()
    assert isinstance(futures[0].exception(1), WriteError)


def test_full_queue_blocks_instead_of_dropping(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk slows callers down; every record is written."""
    monkeypatch.setattr("agentguard.audit.log.MAX_QUEUED_RECORDS", 4)
    log = AuditLog.open(home)
    gate = threading.Event()
    commit = log._writer.commit

    def slow(*args: object, **more: object) -> int:
        gate.wait(10)
        return commit(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(log._writer, "commit", slow)
    appended: list[int] = []

    def work() -> None:
        for n in range(30):
            log.append(record(n), durable=False)
            appended.append(n)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.2)
    blocked = thread.is_alive()
    gate.set()
    thread.join(10)
    log.close()

    assert blocked
    assert numbers(home) == list(range(30))


def test_second_home_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """The remedy is in the message."""
    with pytest.raises(StoreError, match="agentguard init"):
        Home.open(tmp_path / "none")


@pytest.mark.parametrize("replace", [False, True], ids=["deleted", "replaced-by-a-copy"])
def test_a_log_file_that_is_no_longer_there_takes_no_records(file_home: Home, replace: bool) -> None:
    """SQLite goes on writing to an unlinked file; a record there is no record."""
    home = file_home
    with AuditLog.open(home) as log:
        log.append({"type": "decision"}, durable=True).result()
        copy = home.audit_path.read_bytes()
        home.audit_path.unlink()
        if replace:
            home.audit_path.write_bytes(copy)

        with pytest.raises(WriteError):
            log.append({"type": "decision"}, durable=True).result()
