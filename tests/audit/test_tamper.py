"""Whatever is done to the stored log, verification never says ok, and never fails with a raw engine error."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from agentguard.audit import AuditLog, Verdict, verify
from agentguard.errors import AgentGuardError, TamperError, WriteError
from agentguard.store import Home

TABLES = {
    "log": ("generation",),
    "key": ("key_id",),
    "frame": ("generation", "number"),
    "node": ("generation", "level", "position"),
    "checkpoint": ("generation", "number"),
    "token": ("token", "generation", "frame"),
}


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f'SELECT * FROM "{table}"')]


def change(path: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for sql, values in statements:
            connection.execute(sql, values)


def where(table: str) -> str:
    return " AND ".join(f'"{name}" = ?' for name in TABLES[table])


def identity(table: str, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in TABLES[table])


def flipped(value: Any, at: int, bit: int) -> Any:
    if isinstance(value, int):
        return value ^ (1 << bit)
    if isinstance(value, str):
        return value[:at] + chr(ord(value[at]) ^ (1 << (bit % 6))) + value[at + 1 :]
    return value[:at] + bytes([value[at] ^ (1 << bit)]) + value[at + 1 :]


def flips(path: Path, *, every_byte: bool) -> Iterator[tuple[str, dict[str, Any], str, Any]]:
    """(table, row, column, new value): one random flip per cell, or one per byte."""
    chance = random.Random(7)
    for table in TABLES:
        for row in rows(path, table):
            for column, value in row.items():
                length = 1 if isinstance(value, int) else len(value)
                places = range(length) if every_byte else [chance.randrange(length)] if length else []
                for at in places:
                    yield table, row, column, flipped(value, at, chance.randrange(8))


def sweep(home: Home, *, every_byte: bool) -> int:
    original = home.audit_path.read_bytes()
    passed = []
    count = 0
    for table, row, column, value in list(flips(home.audit_path, every_byte=every_byte)):
        home.audit_path.write_bytes(original)
        try:
            sql = f'UPDATE "{table}" SET "{column}" = ? WHERE {where(table)}'
            change(home.audit_path, (sql, (value, *identity(table, row))))
        except sqlite3.IntegrityError:
            continue  # the engine itself refuses two rows with one key
        count += 1
        if verify(home).exit_code == 0:
            passed.append((table, column, identity(table, row)))
    assert passed == []
    return count


def test_flipped_cell_of_any_table_is_never_ok(copy: Home) -> None:
    """One random bit in every column of every row."""
    assert sweep(copy, every_byte=False) > 100


@pytest.mark.long
def test_flipped_byte_anywhere_in_any_row_is_never_ok(tmp_path: Path) -> None:
    """Every byte of every column of every row of a small log."""
    home = Home.create(tmp_path / "small")
    with AuditLog.open(home) as log:
        for number in range(3):
            log.append({"type": "decision", "principal.id": "p", "n": number}, durable=True).result()

    assert sweep(home, every_byte=True) > 3000


def test_flip_names_the_frame(copy: Home) -> None:
    """The report points at the frame whose bytes changed."""
    row = rows(copy.audit_path, "frame")[2]
    change(copy.audit_path, ("UPDATE frame SET ciphertext = ? WHERE number = 2", (flipped(row["ciphertext"], 9, 3),)))

    report = verify(copy)

    assert (report.verdict, report.bad_frame, report.records) == (Verdict.CORRUPT, 2, row["first_index"])


def test_any_deleted_row_is_never_ok(copy: Home) -> None:
    """Every row of every table, one at a time, but for a last checkpoint that covers nothing new."""
    original = copy.audit_path.read_bytes()
    idle = rows(copy.audit_path, "checkpoint")[-1]
    passed = []
    for table in TABLES:
        for row in rows(copy.audit_path, table):
            copy.audit_path.write_bytes(original)
            change(copy.audit_path, (f'DELETE FROM "{table}" WHERE {where(table)}', identity(table, row)))
            if verify(copy).exit_code == 0 and row != idle:
                passed.append((table, identity(table, row)))

    assert passed == []


def test_deleting_the_idle_last_checkpoint_shows_against_an_anchor(copy: Home, tmp_path: Path) -> None:
    """It leaves an earlier, consistent state: only what was remembered outside tells."""
    verify(copy, anchor=tmp_path / "anchor")

    last = rows(copy.audit_path, "checkpoint")[-1]["number"]
    change(copy.audit_path, ("DELETE FROM checkpoint WHERE number = ?", (last,)))

    assert verify(copy, anchor=tmp_path / "anchor").verdict is Verdict.ROLLBACK


SWAPS = [
    ("frame", "ciphertext"),
    ("frame", "leaves"),
    ("frame", "t_min"),
    ("frame", "salt"),
    ("frame", "tokens_hash"),
    ("checkpoint", "note"),
    ("checkpoint", "frontier"),
    ("key", "wrapped"),
    ("key", "purpose"),
]


@pytest.mark.parametrize(("table", "column"), [pytest.param(*swap, id="-".join(swap)) for swap in SWAPS])
def test_swapped_cells_are_never_ok(copy: Home, table: str, column: str) -> None:
    """Two genuine values of one log in each other's place."""
    found = rows(copy.audit_path, table)
    first, second = next((a, b) for a, b in pairwise(found) if a[column] != b[column] and a[column] != b"")
    sql = f'UPDATE "{table}" SET "{column}" = ? WHERE {where(table)}'
    change(
        copy.audit_path,
        (sql, (second[column], *identity(table, first))),
        (sql, (first[column], *identity(table, second))),
    )

    assert verify(copy).exit_code in (10, 11)


def test_swapped_frames_are_tampered(copy: Home) -> None:
    """Two whole frames exchange their numbers."""
    renumber = "UPDATE frame SET number = ? WHERE number = ?"
    change(copy.audit_path, (renumber, (99, 1)), (renumber, (1, 2)), (renumber, (2, 99)))

    report = verify(copy)

    assert (report.verdict, report.bad_frame) == (Verdict.TAMPERED, 1)


@pytest.mark.parametrize("table", ["frame", "checkpoint", "node", "token"])
def test_duplicated_row_is_never_ok(copy: Home, table: str) -> None:
    """A copy of the last row under the next number."""
    row = rows(copy.audit_path, table)[-1]
    column = {"frame": "number", "checkpoint": "number", "node": "position", "token": "frame"}[table]
    row[column] += 1
    names = ", ".join(f'"{name}"' for name in row)
    sql = f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(row))})'
    change(copy.audit_path, (sql, tuple(row.values())))

    assert verify(copy).exit_code == 11


@pytest.mark.parametrize("table", ["log", "key", "frame", "node", "checkpoint", "token"])
def test_row_from_another_log_is_never_ok(copy: Home, written: Home, tmp_path: Path, table: str) -> None:
    """A log of the same shape under the same key, made elsewhere, does not lend its rows."""
    other = Home.create(tmp_path / "other")
    shutil.copy(written.key_path, other.key_path)
    with AuditLog.open(other) as log:
        for number in range(300):
            log.append({"type": "decision", "n": number}, durable=False)
    foreign = rows(other.audit_path, table)
    if table == "token":
        foreign = [{**foreign[0], "frame": 1}]
    names = ", ".join(f'"{name}"' for name in foreign[0])
    sql = f'INSERT OR REPLACE INTO "{table}" ({names}) VALUES ({", ".join("?" * len(foreign[0]))})'

    change(copy.audit_path, (sql, tuple(foreign[0].values())))

    assert verify(copy).exit_code in (10, 11, 14)


def test_cve_2023_31438_truncate_and_continue_is_refused(copy: Home) -> None:
    """The newest frames are deleted: verification says truncated, and nothing is appended to the rest."""
    kept = rows(copy.audit_path, "frame")[3]["first_index"]
    change(copy.audit_path, ("DELETE FROM frame WHERE number >= 3", ()))

    report = verify(copy)

    assert (report.verdict, report.exit_code, report.records) == (Verdict.TRUNCATED, 12, kept)
    with AuditLog.open(copy) as log, pytest.raises(WriteError):
        log.append({"type": "decision"}, durable=True).result()


def test_unsigned_frames_do_not_pass_as_signed(copy: Home) -> None:
    """Frames beyond the last checkpoint are a failure, not a warning."""
    checkpoints = rows(copy.audit_path, "checkpoint")
    change(copy.audit_path, ("DELETE FROM checkpoint WHERE number >= ?", (len(checkpoints) - 3,)))

    assert verify(copy).verdict is Verdict.TAMPERED


def test_cve_2023_31439_resealed_history_contradicts_the_anchor(tmp_path: Path) -> None:
    """Whoever holds today's keys can write a new history, but not the one an anchor remembers."""
    home = Home.create(tmp_path / "a")
    with AuditLog.open(home) as log:
        early = home.audit_path.with_name("early.db")
        log.append({"type": "decision", "n": 0}, durable=True).result()
    shutil.copy(home.audit_path, early)
    with AuditLog.open(home) as log:
        log.append({"type": "decision", "n": 1}, durable=True).result()
    verify(home, anchor=tmp_path / "anchor")

    shutil.copy(early, home.audit_path)
    with AuditLog.open(home) as log:
        for number in (7, 8, 9):
            log.append({"type": "decision", "n": number}, durable=True).result()

    assert verify(home).verdict is Verdict.OK_UNANCHORED
    assert verify(home, anchor=tmp_path / "anchor").verdict is Verdict.TAMPERED


def test_older_copy_put_back_is_a_rollback_against_the_anchor(tmp_path: Path) -> None:
    """Without an anchor nothing in the files can tell, and the verdict says unanchored."""
    home = Home.create(tmp_path / "a")
    with AuditLog.open(home) as log:
        log.append({"type": "decision"}, durable=True).result()
    old = home.audit_path.read_bytes()
    with AuditLog.open(home) as log:
        log.append({"type": "decision"}, durable=True).result()
    first = verify(home, anchor=tmp_path / "anchor")
    second = verify(home, anchor=tmp_path / "anchor")

    home.audit_path.write_bytes(old)

    assert (first.verdict, second.verdict) == (Verdict.OK_UNANCHORED, Verdict.OK)
    assert verify(home).verdict is Verdict.OK_UNANCHORED
    report = verify(home, anchor=tmp_path / "anchor")
    assert (report.verdict, report.exit_code) == (Verdict.ROLLBACK, 12)


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def zeroed(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) - 4096)
    return data[:start] + bytes(4096) + data[start + 4096 :]


@pytest.mark.parametrize("damage", [cut, zeroed])
def test_damaged_file_is_never_ok_and_never_a_raw_error(
    copy: Home, damage: Callable[[bytes, random.Random], bytes]
) -> None:
    """Torn and zero-filled database files, at random places."""
    original = copy.audit_path.read_bytes()
    chance = random.Random(11)
    for _ in range(25):
        damaged = damage(original, chance)
        copy.audit_path.write_bytes(damaged)

        report = verify(copy)

        assert report.exit_code != 0 or damaged == original


def test_random_flips_in_the_file_never_hide_a_change(copy: Home) -> None:
    """A flip in unused space may pass, but then every record still reads as it was written."""
    original = copy.audit_path.read_bytes()
    with AuditLog.open(copy) as log:
        expected = [entry.data for entry in log.query()]
    chance = random.Random(13)
    for _ in range(60):
        at = chance.randrange(len(original))
        copy.audit_path.write_bytes(
            original[:at] + bytes([original[at] ^ 1 << chance.randrange(8)]) + original[at + 1 :]
        )

        if verify(copy).exit_code == 0:
            with AuditLog.open(copy) as log:
                assert [entry.data for entry in log.query(full=True)] == expected


def test_reading_a_damaged_file_raises_our_own_errors_only(copy: Home) -> None:
    """Query and open, too, speak the project's exceptions."""
    original = copy.audit_path.read_bytes()
    chance = random.Random(17)
    for _ in range(40):
        copy.audit_path.write_bytes(zeroed(original, chance))
        try:
            with AuditLog.open(copy) as log:
                list(log.query(full=True))
        except AgentGuardError:
            continue


def test_removed_index_row_hides_nothing_from_a_full_query(copy: Home) -> None:
    """``full`` ignores the index, and verification reports the loss."""
    change(copy.audit_path, ("DELETE FROM token", ()))
    with AuditLog.open(copy) as log:
        assert list(log.query(where={"tool": "tool-1"})) == []

        assert len(list(log.query(where={"tool": "tool-1"}, full=True))) == 137

    assert verify(copy).verdict is Verdict.TAMPERED


def test_emptied_log_is_not_begun_anew(copy: Home) -> None:
    """A database replaced by an empty one is refused by whoever opens it next."""
    copy.audit_path.write_bytes(b"")

    with pytest.raises(AgentGuardError):
        AuditLog.open(copy)
    assert verify(copy).verdict is Verdict.CORRUPT


def test_log_replaced_by_another_one_is_refused(copy: Home, tmp_path: Path) -> None:
    """The verifier key noted at the beginning tells a replaced database, even under the same key."""
    other = Home.create(tmp_path / "other")
    shutil.copy(copy.key_path, other.key_path)
    AuditLog.open(other).close()
    shutil.copy(other.audit_path, copy.audit_path)

    with pytest.raises(TamperError):
        AuditLog.open(copy)
    assert verify(copy).verdict is Verdict.TAMPERED
