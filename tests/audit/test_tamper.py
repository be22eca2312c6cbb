"""What a damaged log says beyond its verdict; the whole sweep over faults is ``faults.py``."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from agentguard.audit import AuditLog, Verdict, verify
from agentguard.errors import AgentGuardError, TamperError
from agentguard.store import Home
from tests.audit.damage import TABLES, change, clone, flipped, insert, rows


def test_flip_names_the_frame(copy: Home) -> None:
    """The report points at the frame whose bytes changed."""
    row = rows(copy, "frame")[2]
    change(copy, ("UPDATE frame SET ciphertext = ? WHERE number = 2", (flipped(row["ciphertext"], 9, 3),)))

    report = verify(copy)

    assert (report.verdict, report.bad_frame, report.records) == (Verdict.CORRUPT, 2, row["first_index"])


def test_deleting_the_idle_last_checkpoint_shows_against_an_anchor(copy: Home, tmp_path: Path) -> None:
    """It leaves an earlier, consistent state: only what was remembered outside tells."""
    verify(copy, anchor=tmp_path / "anchor")

    last = rows(copy, "checkpoint")[-1]["number"]
    change(copy, ("DELETE FROM checkpoint WHERE number = ?", (last,)))

    assert verify(copy, anchor=tmp_path / "anchor").verdict is Verdict.ROLLBACK


def test_swapped_frames_are_tampered(copy: Home) -> None:
    """Two whole frames exchange their numbers."""
    renumber = "UPDATE frame SET number = ? WHERE number = ?"
    change(copy, (renumber, (99, 1)), (renumber, (1, 2)), (renumber, (2, 99)))

    report = verify(copy)

    assert (report.verdict, report.bad_frame) == (Verdict.TAMPERED, 1)


def zeroed(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) - 4096)
    return data[:start] + bytes(4096) + data[start + 4096 :]


def test_reading_a_damaged_file_raises_our_own_errors_only(file_home: Home) -> None:
    """Query and open, too, speak the project's exceptions."""
    copy = file_home
    with AuditLog.open(copy) as log:
        for number in range(274):
            log.append({"type": "decision", "n": number}, durable=False)
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
    change(copy, ("DELETE FROM token", ()))
    with AuditLog.open(copy) as log:
        assert list(log.query(where={"tool": "tool-1"})) == []

        assert len(list(log.query(where={"tool": "tool-1"}, full=True))) == 137

    assert verify(copy).verdict is Verdict.TAMPERED


def test_emptied_log_is_not_begun_anew(copy: Home) -> None:
    """A database replaced by an empty one is refused by whoever opens it next."""
    if copy.audit_server is None:
        copy.audit_path.write_bytes(b"")
    else:
        change(copy, (f"DROP SCHEMA {copy.audit_server.schema} CASCADE", ()))

    with pytest.raises(AgentGuardError):
        AuditLog.open(copy)
    assert verify(copy).verdict is Verdict.CORRUPT


def test_log_replaced_by_another_one_is_refused(copy: Home, tmp_path: Path) -> None:
    """The verifier key noted at the beginning tells a replaced database, even under the same key."""
    other = clone(copy, tmp_path / "other")
    change(other, *((f'DELETE FROM "{table}"', ()) for table in TABLES))
    other.verifier_path.unlink()
    AuditLog.open(other).close()
    for table in TABLES:
        change(copy, (f'DELETE FROM "{table}"', ()))
        for row in rows(other, table):
            insert(copy, table, row)

    with pytest.raises(TamperError):
        AuditLog.open(copy)
    assert verify(copy).verdict is Verdict.TAMPERED
