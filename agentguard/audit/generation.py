"""A new generation after a proven loss.

A log never signs a checkpoint that contradicts an earlier one, so nothing can be appended to a history that was cut or
changed. The damaged file or schema is moved aside untouched, as evidence, and a log with fresh keys begins in its
place; its first record names what was lost. That is an operator's decision and never made silently.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from agentguard.audit import schema
from agentguard.audit.clock import Clock
from agentguard.audit.database import DAMAGE
from agentguard.audit.log import AuditLog
from agentguard.audit.verify import Verdict, VerifyReport, verify
from agentguard.errors import ConfigError, StoreError
from agentguard.event import Json
from agentguard.keys import KeySource, home_keys
from agentguard.store import (
    Home,
    Place,
    ServerUrl,
    begin_snapshot,
    drop_schema,
    exchange_schemas,
    move_file,
    open_engine,
)

__all__ = ["NewGeneration", "begin_generation"]

EVENT = "audit-generation"
LOST = (Verdict.CORRUPT, Verdict.TAMPERED, Verdict.TRUNCATED, Verdict.ROLLBACK, Verdict.KEY_MISSING)
HASHED_BYTES = 1024 * 1024
# What the schema of a log is called, after the log it will replace, until it does.
DRAFT = "_draft"


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """What was begun, and where the evidence lies."""

    generation: int
    verifier_key: str
    evidence: Place
    lost: VerifyReport


def begin_generation(
    home: Home, *, anchor: Path | None = None, keys: KeySource | None = None, clock: Clock = time, by: str | None = None
) -> NewGeneration:
    """Move a log that is proved to be damaged aside, and begin the next one.

    Args:
        anchor: as for ``verify``; without one a rollback cannot be proved.
        by: who decided it; stands in the first record.

    Raises:
        ConfigError: the log verifies, so nothing was lost.
        KeySourceError: no key to begin a log with.
        StoreError: the folder cannot be written.
    """
    source = keys if keys is not None else home_keys(home)
    source.kek()
    lost = verify(home, anchor=anchor, source=source, clock=clock)
    if lost.verdict not in LOST:
        raise ConfigError(f"the log verifies ({lost.verdict.value}): nothing is lost, so it goes on as it is")
    number = _generation(home) + 1
    evidence = _aside(home, number - 1)
    draft = _draft(home, number, source, clock, _first_record(home, number, lost, evidence, by))
    if home.verifier_path.exists():
        shutil.copy2(home.verifier_path, home.verifier_path.with_name(f"audit.vkey.generation-{number - 1}"))
    _exchange(home, draft, evidence)
    shutil.rmtree(draft.path)
    return NewGeneration(number, home.verifier_path.read_text("utf-8").strip(), evidence, lost)


def _draft(home: Home, number: int, source: KeySource, clock: Clock, record: dict[str, Json]) -> Home:
    """The new log, whole, in a folder of its own: whoever stops us leaves the old one in its place."""
    folder = home.path / f"generation-{number}.draft"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    draft = Home(folder, folder / "audit.db", audit_server=home.audit_server and home.audit_server.beside(DRAFT))
    if draft.audit_server is not None:
        drop_schema(draft.audit_server)
    with AuditLog.open(draft, keys=source, clock=clock, generation=number) as log:
        log.append(record, durable=True).result()
    return draft


def _aside(home: Home, number: int) -> Place:
    """Where the log of that generation will lie."""
    if home.audit_server is not None:
        return home.audit_server.beside(f"_generation_{number}")
    return home.audit_path.with_name(f"{home.audit_path.name}.generation-{number}")


def _exchange(home: Home, draft: Home, evidence: Place) -> None:
    if isinstance(evidence, Path):
        for suffix in ("", "-wal", "-shm"):
            damaged = home.audit_path.with_name(home.audit_path.name + suffix)
            if damaged.exists():
                move_file(damaged, evidence.with_name(evidence.name + suffix))
        move_file(draft.verifier_path, home.verifier_path)
        move_file(draft.audit_path, home.audit_path)
    elif home.audit_server is not None:
        draft_schema = home.audit_server.beside(DRAFT).schema
        exchange_schemas(home.audit_server, draft=draft_schema, kept_as=evidence.schema)
        move_file(draft.verifier_path, home.verifier_path)


def _first_record(home: Home, number: int, lost: VerifyReport, evidence: Place, by: str | None) -> dict[str, Json]:
    known = os.path.lexists(home.verifier_path)
    return {
        "type": EVENT,
        "generation": number,
        "user.id": by,
        "previous.verdict": lost.verdict.value,
        "previous.detail": lost.detail,
        "previous.records": lost.records,
        "previous.frames": lost.frames,
        "previous.bad_frame": lost.bad_frame,
        "previous.verifier_key": home.verifier_path.read_text("utf-8", "replace").strip() if known else None,
        "previous.file": evidence.name if isinstance(evidence, Path) else evidence.schema,
        "previous.sha256": _sha256(home.audit_path) if home.audit_server is None else _rows_sha256(home.audit_server),
    }


def _generation(home: Home) -> int:
    """The number in the name of the verifier key: the database may be unreadable."""
    try:
        name = home.verifier_path.read_text("utf-8", "replace").partition("+")[0]
    except OSError:
        name = ""
    found = re.fullmatch(r"agentguard\.audit/[0-9a-f]+/([1-9][0-9]{0,8})", name)
    taken = [int(path.name.rpartition("-")[2]) for path in home.path.glob("audit.db.generation-*[0-9]")]
    return max([int(found[1]) if found else 1, *taken])


def _sha256(path: Path) -> str | None:
    if not path.exists():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(HASHED_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _rows_sha256(place: ServerUrl) -> str | None:
    """A digest of every row on a server: tables by name, rows by key, each value with its length before it.

    None when the damage does not let all of them be read.
    """
    digest = hashlib.sha256()
    try:
        engine = open_engine(
            place,
            application_id=schema.APPLICATION_ID,
            schema_version=schema.SCHEMA_VERSION,
            metadata=schema.metadata,
            create=False,
        )
        try:
            with begin_snapshot(engine) as connection:
                for table in sorted(schema.metadata.tables.values(), key=lambda table: table.name):
                    query = select(table).order_by(*table.primary_key.columns)
                    for row in connection.execution_options(yield_per=256).execute(query):
                        for value in (table.name, *row):
                            data = value if isinstance(value, bytes) else str(value).encode()
                            digest.update(len(data).to_bytes(8, "big") + data)
        finally:
            engine.dispose()
    except (StoreError, *DAMAGE):
        return None
    return digest.hexdigest()
