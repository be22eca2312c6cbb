"""Rotation of the key encryption key: every key row is wrapped anew, no record is touched.

Steps: a new key file beside the old one (``.next``), all rows re-wrapped in one transaction with the record that says
so, the new file in the old one's place. Whoever is killed in between leaves a log that opens, since a key file is
asked for either key, and the command run again finishes the rotation it finds.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, select, update

from agentguard.audit import schema
from agentguard.audit.clock import Clock
from agentguard.audit.database import open_database, read_errors, truncate_wal
from agentguard.audit.keyring import KeyRing
from agentguard.audit.writer import Writer, entry
from agentguard.errors import ConfigError, KeySourceError
from agentguard.keys import KeyFile, KeySource, MasterPassword, home_keys, next_path
from agentguard.store import Home, atomic_file, move_file

__all__ = ["RotationReport", "rotate_kek"]

EVENT = "key-rotation"


@dataclass(frozen=True, slots=True)
class RotationReport:
    """What was done; ids are the keys' commitments, in hex. ``resumed``: an unfinished rotation was found."""

    old_id: str
    new_id: str
    keys: int
    resumed: bool
    wal_emptied: bool


def rotate_kek(
    home: Home,
    *,
    password: str | None = None,
    new_password: str | None = None,
    clock: Clock = time,
    step: Callable[[str], None] = lambda _name: None,
) -> RotationReport:
    """Give the home a new key encryption key, or finish the rotation that was interrupted.

    Args:
        password: the present master password, for a home that has one; the environment's when absent.
        new_password: the next master password, for a home that has one.
        step: called with the name of each step once it is on disk.

    Raises:
        ConfigError: a new password for a home without one, or none for a home with one.
        KeySourceError, StoreError, TamperError: as ``AuditLog.open``; the old key still opens the log.
    """
    path = home.password_path if home.password_path.exists() else home.key_path
    resumed = next_path(path).exists()
    new = _following(path, new_password)
    step("made")
    old = home_keys(home, password=password)
    engine, ring = open_database(home, _Either(old, new), now=clock.time_ns(), create=False)
    try:
        with read_errors(home.audit):
            count = _rewrap(engine, ring, old, new, clock)
            step("re-wrapped")
            move_file(next_path(path), path)
            step("replaced")
            emptied = truncate_wal(engine)
    finally:
        engine.dispose()
    return RotationReport(old.id, new.id, count, resumed, emptied)


def _following(path: Path, new_password: str | None) -> KeySource:
    following = next_path(path)
    if path.suffix == ".json":
        if not new_password:
            raise ConfigError("this home's key comes from a master password; give the new one")
        made = MasterPassword if following.exists() else MasterPassword.create
        return made(new_password, following)
    if new_password:
        raise ConfigError("this home's key is a key file; a new password is for homes made with one")
    if not os.path.lexists(following):
        with atomic_file(following) as file:
            file.write(secrets.token_hex(32).encode() + b"\n")
    found = KeyFile(following)
    found.kek()
    return found


class _Either:
    """The old key, and the new one beside it: rows may be wrapped under either."""

    def __init__(self, old: KeySource, new: KeySource) -> None:
        self._old = old
        self._new = new
        self.id = old.id

    def kek(self) -> bytes:
        return self._old.kek()

    def kek_of(self, key_id: str) -> bytes:
        if key_id != self._new.id:
            raise KeySourceError("a key of the log is wrapped under neither the old nor the new key encryption key")
        return self._new.kek()


def _rewrap(engine: Engine, ring: KeyRing, old: KeySource, new: KeySource, clock: Clock) -> int:
    new_id = bytes.fromhex(new.id)
    with engine.begin() as connection:
        waiting = connection.execute(select(schema.keys.c.key_id).where(schema.keys.c.kek_id != new_id)).scalars().all()
    if not waiting:
        return 0
    count = 0

    def rewrap(connection: Connection, _index: int) -> None:
        nonlocal count
        for row in connection.execute(select(schema.keys).where(schema.keys.c.kek_id != new_id)).mappings().all():
            values = {"kek_id": new_id, "wrapped": ring.rewrapped(row, new)}
            connection.execute(update(schema.keys).where(schema.keys.c.key_id == row["key_id"]).values(values))
            count += 1

    now = clock.time_ns()
    event = entry({"type": EVENT, "kek.old": old.id, "kek.new": new.id}, now, clock.monotonic_ns())
    Writer(engine, ring).commit([event], now=now, closed=None, also=rewrap)
    return count
