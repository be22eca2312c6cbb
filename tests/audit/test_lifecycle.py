"""Key rotation, shredding, and the new generation after a loss."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agentguard.audit import AuditLog, InclusionProof, Verdict, begin_generation, rotate_kek, shred_before, verify
from agentguard.audit.checkpoint import VerifierKey
from agentguard.errors import ConfigError, KeySourceError, TamperError, WriteError
from agentguard.keys import KeyFile, MasterPassword, home_keys
from agentguard.keys.source import SCRYPT_N_MIN
from agentguard.store import Home, Place
from tests.audit.damage import TABLES, Kept, change, flips, identity, keep, put_back, rows, where

ROOT = Path(__file__).parents[2]
DAY_NS = 86_400 * 10**9
SECRET = "made-up-" + "marker"
OLD = "made-up " + "first pass phrase"
NEW = "made-up " + "second pass phrase"


class Clock:
    """Wall and monotonic time that move together."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * 10**9

    def time_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now - 1_700_000_000 * 10**9

    @property
    def moment(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.now / 1e9, datetime.UTC)


def append(home: Home, *numbers: int, clock: Clock | None = None) -> None:
    with AuditLog.open(home, clock=clock or time) as log:
        for n in numbers:
            log.append({"type": "decision", "user.id": f"u{n}", "n": n, "note": SECRET}, durable=True).result()


def numbers(home: Home, **query: object) -> list[object]:
    with AuditLog.open(home) as log:
        return [entry.data["n"] for entry in log.query(**query) if "n" in entry.data]  # type: ignore[arg-type]


# -- rotation ----------------------------------------------------------------------------------------------------------


def test_rotation_changes_the_key_and_nothing_else(home: Home) -> None:
    append(home, 0, 1)
    before = KeyFile(home.key_path)
    before.kek()
    frames = rows(home, "frame")

    report = rotate_kek(home)

    assert report.old_id == before.id
    assert report.new_id == KeyFile(home.key_path).id != before.id
    assert (report.keys, report.resumed, report.wal_emptied) == (3, False, home.audit_server is None)
    assert rows(home, "frame")[:2] == frames
    assert numbers(home) == [0, 1]
    assert verify(home).verdict is Verdict.OK_UNANCHORED
    with AuditLog.open(home) as log:
        assert [entry.data["kek.new"] for entry in log.query(where={"type": "key-rotation"})] == [report.new_id]


def test_the_old_key_opens_nothing_any_more(home: Home, tmp_path: Path) -> None:
    append(home, 0)
    (tmp_path / "old.key").write_bytes(home.key_path.read_bytes())
    (tmp_path / "old.key").chmod(0o600)
    wraps = [row["wrapped"] for row in rows(home, "key")]

    rotate_kek(home)

    assert verify(home, source=KeyFile(tmp_path / "old.key")).verdict is Verdict.KEY_MISSING
    for path in home.path.iterdir():
        assert all(wrap not in path.read_bytes() for wrap in wraps)


KILLED_AT = """
import os, sys
from pathlib import Path
from agentguard.audit import rotate_kek
from agentguard.store import Home, Place
def step(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), 9)
rotate_kek(Home.open(Path(sys.argv[1])), step=step, password=sys.argv[3] or None, new_password=sys.argv[4] or None)
"""


def kill_at(home: Home, step: str, *passwords: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", KILLED_AT, str(home.path), step, *(passwords or ("", ""))]
    assert subprocess.run(arguments, env=environment, check=False).returncode == -9


@pytest.mark.parametrize("step", ["made", "re-wrapped", "replaced"])
def test_rotation_killed_at_each_step_leaves_a_log_that_opens_and_finishes(home: Home, step: str) -> None:
    append(home, 0)
    before = KeyFile(home.key_path).id

    kill_at(home, step)

    assert verify(home).verdict is Verdict.OK_UNANCHORED
    append(home, 1)
    report = rotate_kek(home)
    append(home, 2)
    assert numbers(home) == [0, 1, 2]
    assert verify(home).verdict is Verdict.OK_UNANCHORED
    assert report.resumed is (step != "replaced")
    assert KeyFile(home.key_path).id == report.new_id != before
    assert not home.key_path.with_name("kek.key.next").exists()


def test_a_writer_that_was_open_during_the_rotation_goes_on(home: Home) -> None:
    """Its next day's key is wrapped under the new key, or that day could never be read."""
    clock = Clock()
    with AuditLog.open(home, clock=clock) as log:
        log.append({"type": "decision", "n": 0}, durable=True).result()
        rotate_kek(home, clock=clock)
        clock.now += 2 * DAY_NS
        log.append({"type": "decision", "n": 1}, durable=True).result()

    assert len({row["kek_id"] for row in rows(home, "key")}) == 1
    assert numbers(home) == [0, 1]


@pytest.fixture
def password_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home whose key comes from a master password."""
    folder = tmp_path / "p"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(MasterPassword.create.__func__, "__kwdefaults__", {"n": SCRYPT_N_MIN})  # type: ignore[attr-defined]
    monkeypatch.setenv("AGENTGUARD_MASTER_PASSWORD", OLD)
    MasterPassword.create(OLD, folder / "kek.json")
    return Home.create(folder)


def test_master_password_opens_the_log_and_no_key_file_is_made(
    password_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(password_home, 0)

    assert not password_home.key_path.exists()
    assert verify(password_home).exit_code == 0
    monkeypatch.setenv("AGENTGUARD_MASTER_PASSWORD", "wrong")
    assert verify(password_home).verdict is Verdict.KEY_MISSING
    monkeypatch.delenv("AGENTGUARD_MASTER_PASSWORD")
    with pytest.raises(KeySourceError, match="AGENTGUARD_MASTER_PASSWORD"):
        home_keys(password_home)


@pytest.mark.parametrize("step", ["", "made", "re-wrapped", "replaced"])
def test_master_password_is_rotated_even_when_killed(
    password_home: Home, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    append(password_home, 0)
    if step:
        kill_at(password_home, step, OLD, NEW)
    if step != "replaced":
        rotate_kek(password_home, password=OLD, new_password=NEW)

    monkeypatch.setenv("AGENTGUARD_MASTER_PASSWORD", NEW)
    append(password_home, 1)
    assert numbers(password_home) == [0, 1]
    monkeypatch.setenv("AGENTGUARD_MASTER_PASSWORD", OLD)
    assert verify(password_home).verdict is Verdict.KEY_MISSING


def test_rotation_asks_for_what_it_needs(home: Home, password_home: Home) -> None:
    with pytest.raises(ConfigError, match="key file"):
        rotate_kek(home, new_password=NEW)
    with pytest.raises(ConfigError, match="new one"):
        rotate_kek(password_home)


# -- shredding ---------------------------------------------------------------------------------------------------------


def aged(home: Home) -> Clock:
    """Three days of records, one key each."""
    clock = Clock()
    for day in range(3):
        append(home, 2 * day, 2 * day + 1, clock=clock)
        clock.now += 2 * DAY_NS
    return clock


def test_shredded_records_are_gone_and_everything_else_is_proved(home: Home) -> None:
    clock = aged(home)
    verifier = VerifierKey.parse(home.verifier_path.read_text())
    with AuditLog.open(home, clock=clock) as log:
        early = log.prove(1)
    wrap = next(row["wrapped"] for row in rows(home, "key") if row["purpose"] == "record" and row["first_frame"] == 0)

    report = shred_before(home, clock.moment - datetime.timedelta(days=3), clock=clock, by="admin")

    assert (report.keys, report.frames, report.records) == (2, 4, 4)
    assert report.wal_emptied is (home.audit_server is None)
    found = verify(home, clock=clock)
    assert (found.verdict, found.records, found.shredded) == (Verdict.OK_UNANCHORED, 7, 4)
    assert numbers(home) == [4, 5]
    assert numbers(home, where={"user": "u1"}) == numbers(home, where={"user": "u1"}, full=True) == []
    assert all(wrap not in path.read_bytes() for path in home.path.iterdir())
    assert wrap not in [row["wrapped"] for row in rows(home, "key")]
    assert InclusionProof.parse(early.encode()).check(verifier).size == 6
    with AuditLog.open(home, clock=clock) as log:
        assert log.prove(5).data()["n"] == 5
        event = next(log.query(where={"type": "audit-shred"}))
        assert (event.data["user.id"], event.data["records"]) == ("admin", 4)
        with pytest.raises(KeySourceError, match="shredded"):
            log.prove(1)
        assert len(log.tail(10)) == 3


def test_shredding_again_does_nothing_and_never_takes_the_key_in_use(home: Home) -> None:
    clock = aged(home)
    shred_before(home, clock.moment, clock=clock)

    assert shred_before(home, clock.moment - datetime.timedelta(days=3), clock=clock).keys == 0
    append(home, 9, clock=clock)
    assert shred_before(home, clock.moment + datetime.timedelta(days=1), clock=clock).keys == 0
    assert verify(home, clock=clock).exit_code == 0


def test_structure_of_a_shredded_log_is_verified_without_keys(home: Home) -> None:
    clock = aged(home)
    shred_before(home, clock.moment - datetime.timedelta(days=3), clock=clock)

    report = verify(home, keys=False, clock=clock)

    assert (report.verdict, report.shredded) == (Verdict.OK_UNANCHORED, 4)


def test_any_change_to_a_shredded_log_shows(home: Home) -> None:
    """The statements are signed: a deletion cannot be forged, hidden or undone."""
    clock = aged(home)
    kept = keep(home)
    shred_before(home, clock.moment - datetime.timedelta(days=3), clock=clock)
    shredded = keep(home)
    statements = rows(home, "shred")
    passed = []
    for table, row, column, value in flips(home, every_byte=False):
        if table == "shred":
            put_back(home, shredded)
            sql = f'UPDATE "{table}" SET "{column}" = ? WHERE {where(table)}'
            change(home, (sql, (value, *identity(table, row))))
            passed += [column] if verify(home, clock=clock).exit_code == 0 else []
    for statement in statements:
        put_back(home, shredded)
        change(home, ("DELETE FROM shred WHERE key_id = ?", (statement["key_id"],)))
        assert verify(home, clock=clock).exit_code in (11, 14)

    put_back(home, kept)
    first = statements[0]["key_id"]
    change(home, ("DELETE FROM key WHERE key_id = ?", (first,)))
    assert verify(home, clock=clock).verdict is Verdict.KEY_MISSING
    change(home, ("INSERT INTO shred VALUES (?, 1, ?)", (first, statements[0]["note"])))
    assert verify(home, clock=clock).exit_code != 0
    assert passed == []


def test_an_unsigned_statement_hides_nothing_from_a_query(home: Home) -> None:
    append(home, 0, 1)
    key = next(row for row in rows(home, "key") if row["purpose"] == "record")
    change(
        home,
        ("DELETE FROM key WHERE key_id = ?", (key["key_id"],)),
        ("INSERT INTO shred VALUES (?, 1, ?)", (key["key_id"], b"agentguard audit shred 1\n\n")),
    )

    with AuditLog.open(home) as log, pytest.raises(TamperError):
        list(log.query())


# -- generations -------------------------------------------------------------------------------------------------------


def test_new_generation_names_what_was_lost_and_keeps_the_evidence(home: Home) -> None:
    append(home, 0, 1, 2)
    change(home, ("DELETE FROM frame WHERE number = 2", ()))
    with AuditLog.open(home) as log, pytest.raises(WriteError):
        log.append({"type": "decision"}, durable=True).result()
    damaged, key = keep(home), home.verifier_path.read_text().strip()

    begun = begin_generation(home, by="admin")

    append(home, 3)
    with AuditLog.open(home) as log:
        first = log.prove(0).data()
    assert (begun.generation, begun.lost.verdict) == (2, Verdict.TRUNCATED)
    assert _same(begun.evidence, damaged, home)
    assert (first["type"], first["previous.verdict"], first["previous.records"]) == ("audit-generation", "truncated", 2)
    assert (first["previous.verifier_key"], first["user.id"]) == (key, "admin")
    assert begun.verifier_key.split("+")[0].endswith("/2")
    assert verify(home).verdict is Verdict.OK_UNANCHORED
    assert numbers(home) == [3]


def _same(evidence: Place, kept: Kept, home: Home) -> bool:
    if isinstance(evidence, Path):
        return isinstance(kept, bytes) and evidence.read_bytes()[100:] == kept[100:]
    assert isinstance(kept, str)
    copies = [replace(home, audit_server=replace(evidence, schema=name)) for name in (evidence.schema, kept)]
    return all(rows(copies[0], table) == rows(copies[1], table) for table in TABLES)


def test_an_anchor_of_the_lost_log_convicts_the_new_one(home: Home, tmp_path: Path) -> None:
    """Beginning anew cannot be passed off as going on."""
    append(home, 0)
    verify(home, anchor=tmp_path / "anchor")
    ruin(home)

    begin_generation(home)

    assert verify(home, anchor=tmp_path / "anchor").verdict is Verdict.TAMPERED


def test_whole_log_is_not_begun_anew(home: Home) -> None:
    append(home, 0)

    with pytest.raises(ConfigError, match="nothing is lost"):
        begin_generation(home)
    assert numbers(home) == [0]


def test_generations_count_on_even_from_rubble(home: Home) -> None:
    for expected in (2, 3):
        append(home, expected)
        ruin(home)

        assert begin_generation(home).generation == expected
    assert verify(home).exit_code == 0
    if home.audit_server is None:
        names = sorted(path.name for path in home.path.glob("audit.db.generation-?"))
        assert names == ["audit.db.generation-1", "audit.db.generation-2"]


def ruin(home: Home) -> None:
    """Leave nothing that a log could be read from."""
    if home.audit_server is None:
        home.audit_path.write_bytes(b"rubble" * 1000)
    else:
        change(home, ("DROP TABLE frame, checkpoint", ()))
