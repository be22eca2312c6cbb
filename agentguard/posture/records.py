"""The audit log: encrypted, whole, anchored, and still being written; and a copy of it that is edited on purpose."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

from sqlalchemy import Engine, MetaData, func, select

from agentguard.audit import Verdict, VerifyReport, schema, verify
from agentguard.keys import home_keys
from agentguard.posture.item import Item
from agentguard.posture.project import Project, StandingClock
from agentguard.store import Home, begin_snapshot, open_engine, storage_errors

__all__ = ["log_anchored", "log_encrypted", "log_fresh", "log_pinned", "log_verified", "probe_edited_copy"]

# What every record holds. 48 bits and more: random bytes do not show it.
_PLAIN = (b'"type"', b'"time"', b'"principal.id"', b'"event_type"')
# Frames copied for the trial; more would take longer than a check may.
MAX_COPIED_FRAMES = 20_000
_BATCH = 500

_NOT_BEGUN = Item.unchecked("nothing was recorded in this home yet", "run the guard once, then check again")


def log_encrypted(project: Project) -> Item:
    """Every frame opens with the key, and none shows a record in plain."""
    if not project.log_begun:
        return _NOT_BEGUN
    plain, frames = _plain_frames(project.home)
    if not frames:
        return _NOT_BEGUN
    if plain:
        return Item.failed(
            f"{plain} of {frames} frames show records in plain", "keep the log as evidence, `audit begin-generation`"
        )
    report = project.verified
    if not report.content:
        return Item.unchecked(f"the frames were not opened: {report.detail}", "give the home its key, or the password")
    if not _whole(report):
        return Item.unchecked(f"the log does not verify: {report.detail}", "see `agentguard audit verify`")
    return Item.ok(f"{report.records} records in {frames} frames open with the home's key; none shows plain text")


def log_verified(project: Project) -> Item:
    """The log is whole, in order and unaltered."""
    if not project.log_begun:
        return _NOT_BEGUN
    report = project.verified
    if _whole(report):
        return Item.ok(f"{report.records} records in {report.frames} frames verify")
    if report.verdict is Verdict.KEY_MISSING:
        return Item.unchecked(f"only the structure verifies: {report.detail}", "give the home its key, or the password")
    return Item.failed(f"{report.verdict.value}: {report.detail}", "see `agentguard audit verify`; keep it as evidence")


def log_fresh(project: Project) -> Item:
    """No writer fell silent: each says "still here" or "closed"."""
    if not project.log_begun:
        return _NOT_BEGUN
    report, age = project.verified, _newest(project)
    if report.verdict is Verdict.STALE:
        return Item.failed(
            report.detail, "find the process that wrote the log: it died, or was kept from writing", age=age
        )
    if not _whole(report):
        return Item.unchecked(f"the log does not verify: {report.detail}", "see `agentguard audit verify`")
    return Item.ok("the last writer closed the log, or its heartbeat is fresh", age=age)


def log_anchored(project: Project) -> Item:
    """Somebody outside remembers the log's state, so that a rollback shows."""
    remedy = "run `agentguard audit verify --anchor FILE` daily, FILE where the log's writer cannot write"
    anchor = project.anchor
    if anchor is None or not anchor.exists():
        return Item.weak("no anchor: an older copy of the whole folder would verify", remedy)
    if project.home_path.resolve() in anchor.resolve().parents:
        return Item.weak("the anchor lies in the log's own folder: both roll back together", remedy)
    if not project.log_begun:
        return _NOT_BEGUN
    age = timedelta(seconds=max(0.0, project.clock() - anchor.stat().st_mtime))
    verdict = project.verified.verdict
    if verdict not in (Verdict.OK, Verdict.STALE):
        return Item.failed(f"the log does not continue the anchor: {project.verified.detail}", "keep it as evidence")
    if age > project.limits.anchor:
        return Item.weak(f"the anchor was moved on {age.days} days ago", remedy, age=age)
    return Item.ok("the log continues what the anchor remembers", age=age)


def log_pinned(project: Project) -> Item:
    """The home knows the key its log is signed by: a log put in its place shows."""
    if not project.log_begun:
        return _NOT_BEGUN
    if not project.home.verifier_path.exists():
        return Item.failed(
            "audit.vkey is missing: another log in this one's place would pass", "restore it from your backup"
        )
    return Item.ok("the verifier key is pinned in audit.vkey")


def probe_edited_copy(project: Project) -> Item:
    """A copy of the log is changed in several ways; each must be noticed."""
    if not project.log_begun:
        return _NOT_BEGUN
    if not _whole(project.verified):
        return Item.unchecked(f"the log does not verify as it is: {project.verified.detail}", "see log-verified")
    keys, clock = home_keys(project.home), StandingClock(project.clock())
    with project.scratch() as folder:
        whole = Home(folder, folder / "whole.db")
        frames = _copy(project.home, whole)
        if not frames:
            return Item.unchecked(
                f"no frames, or more than {MAX_COPIED_FRAMES} to copy", "edit a copy by hand and `audit verify` it"
            )
        if not _whole(verify(whole, source=keys, clock=clock)):
            return Item.unchecked("the copy does not verify before it was edited", "check again when the log is quiet")
        missed = []
        for name, edit in _EDITS.items():
            edited = Home(folder, folder / "edited.db")
            shutil.copyfile(whole.audit_path, edited.audit_path)
            edited.audit_path.chmod(0o600)
            with closing(sqlite3.connect(edited.audit_path)) as connection, connection:
                edit(connection)
            if _whole(verify(edited, source=keys, clock=clock)):
                missed.append(name)
            for file in folder.glob("edited.db*"):
                file.unlink()
    if missed:
        return Item.failed(f"not noticed in a copy: {', '.join(missed)}", "do not trust this log; reinstall AgentGuard")
    return Item.ok(f"noticed in a copy of {frames} frames: {', '.join(_EDITS)}")


def _whole(report: VerifyReport) -> bool:
    # Staleness is found last, when all else has verified.
    return report.verdict in (Verdict.OK, Verdict.OK_UNANCHORED) or (report.verdict is Verdict.STALE and report.content)


def _opened(home: Home, *, create: bool = False) -> Engine:
    return open_engine(
        home.audit,
        application_id=schema.APPLICATION_ID,
        schema_version=schema.SCHEMA_VERSION,
        metadata=schema.metadata if create else MetaData(),
        create=create,
    )


def _plain_frames(home: Home) -> tuple[int, int]:
    """Frames whose stored bytes show a record, and how many frames there are."""
    engine, plain, count = _opened(home), 0, 0
    try:
        with storage_errors(home.audit), begin_snapshot(engine) as connection:
            streamed = connection.execution_options(yield_per=_BATCH).execute(select(schema.frames.c.ciphertext))
            for stored in streamed.scalars():
                count += 1
                plain += any(mark in stored for mark in _PLAIN)
    finally:
        engine.dispose()
    return plain, count


def _newest(project: Project) -> timedelta | None:
    engine = _opened(project.home)
    try:
        with storage_errors(project.home.audit), engine.begin() as connection:
            newest = connection.execute(select(func.max(schema.frames.c.t_max))).scalar()
    finally:
        engine.dispose()
    return None if newest is None else timedelta(seconds=max(0.0, project.clock() - newest / 1e9))


def _copy(source: Home, target: Home) -> int:
    """Copy the log's rows into a SQLite file, whatever holds them now; how many frames, 0 when there are too many."""
    reading, writing = _opened(source), _opened(target, create=True)
    try:
        with storage_errors(source.audit), begin_snapshot(reading) as rows, writing.begin() as copied:
            frames = int(rows.execute(select(func.count()).select_from(schema.frames)).scalar_one())
            if frames > MAX_COPIED_FRAMES:
                return 0
            for table in schema.metadata.sorted_tables:
                streamed = rows.execution_options(yield_per=_BATCH).execute(select(table))
                for batch in streamed.mappings().partitions(_BATCH):
                    copied.execute(table.insert(), [dict(row) for row in batch])
        with writing.connect() as connection:
            # One file, so that copying it copies everything.
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        reading.dispose()
        writing.dispose()
    return frames


def _flip(connection: sqlite3.Connection) -> None:
    number, stored = connection.execute("SELECT number, ciphertext FROM frame ORDER BY number LIMIT 1").fetchone()
    connection.execute(
        "UPDATE frame SET ciphertext = ? WHERE number = ?", (bytes([stored[0] ^ 1]) + stored[1:], number)
    )


def _drop(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM frame WHERE number = (SELECT max(number) FROM frame)")


def _shift(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE frame SET t_max = t_max + 1 WHERE number = (SELECT min(number) FROM frame)")


_EDITS: dict[str, Callable[[sqlite3.Connection], None]] = {
    "one bit of a record": _flip,
    "the newest frame deleted": _drop,
    "a time moved": _shift,
}
