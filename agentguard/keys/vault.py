"""The vault of API keys: envelope encryption under a master password, with versions, grace, rollback and expiry.

Every value has a data key of its own, wrapped under a random master key that the password opens (Argon2id, stored
parameters); vault, service and version are associated data. Every change is one transaction, so that any number of
processes store and rotate without losing one, and a process that dies leaves the state before or after.
Absent, expired, changed and replayed values, and a wrong password, are errors of their own; nothing is ever ``None``.
"""

from __future__ import annotations

import datetime
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self

from agentguard.errors import (
    AgentGuardError,
    ConfigError,
    ForgedError,
    KeyAbsentError,
    KeyExpiredError,
    MissingPasswordError,
    ReplayedError,
    WrongPasswordError,
)
from agentguard.keys.envelope import DataKey
from agentguard.keys.password import PASSWORD_VARIABLES, TODAY, Argon2Cost, check_strength, password_from_environment
from agentguard.keys.vault_change import VaultChange, followed, retired
from agentguard.keys.vault_input import key_value, service_name, span_seconds
from agentguard.keys.vault_master import locked, stretching_of, unlocked
from agentguard.keys.vault_report import KeyReport
from agentguard.keys.vault_state import Head, Keyed, Sealed, Tables, Version, memory_engine, total_digest
from agentguard.store import Home, begin_immediate, begin_snapshot, open_state, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Row, Select

__all__ = ["KeyAccess", "KeyReport", "KeyVault"]

GRACE = datetime.timedelta(hours=24)
REKEY_GRACE = datetime.timedelta(hours=1)
MAX_AGE = datetime.timedelta(days=90)

Action = Literal["open", "get", "store", "rotate", "rollback", "delete", "list", "rekey"]


@dataclass(frozen=True, slots=True)
class KeyAccess:
    """One access, for the audit log: never a value. ``reason`` is the error's code when it did not succeed."""

    action: Action
    service: str | None
    version: int | None
    success: bool
    reason: str | None


class KeyVault:
    """Keeps API keys. Safe from threads and processes; the cost of the password is paid once per process.

    Args:
        master_password: opens the vault; from ``AGENTGUARD_MASTER_PASSWORD`` or ``MASTER_PASSWORD`` when absent. The
            first one chosen must not be weak.
        home: the project's folder, in whose state database the vault is kept; in this object alone when absent.
        record: called with every access: before a change is committed, before a value is handed out, after a refusal.
            When it raises, nothing is changed or handed out.
        clock: seconds since 1970.
        cost: of stretching the password. A vault that was made cheaper is upgraded when it is opened.

    Raises:
        MissingPasswordError (ValueError): no password, or an empty one.
        WeakPasswordError: the vault is new and the password would be guessed.
        WrongPasswordError: the vault opens with another one.
        ForgedError: the vault was changed by somebody without its key.
        StoreError: the home or its database cannot be used.
    """

    def __init__(
        self,
        master_password: str | None = None,
        *,
        home: Home | Path | str | None = None,
        record: Callable[[KeyAccess], None] | None = None,
        clock: Callable[[], float] = time.time,
        cost: Argon2Cost = TODAY,
    ) -> None:
        from sqlalchemy import MetaData

        password = password_from_environment() if master_password is None else master_password
        if not password:
            raise MissingPasswordError(f"no master password; pass one, or set {PASSWORD_VARIABLES[1]}")
        self._record = record
        self._clock = clock
        self._cost = cost
        self._seen = 0
        metadata = MetaData()
        self._tables = Tables(metadata)
        if home is None:
            self._engine = memory_engine(metadata)
        else:
            found = home if isinstance(home, Home) else Home.open(home)
            self._engine = open_state(found, metadata)
        try:
            with self._told("open", None):
                self._keyed = self._unlock(password)
                self._verify()
                self._note("open", None, None)
        except BaseException:
            self._engine.dispose()
            raise

    # A copy in another process or on disk would carry the master key.
    def __reduce__(self) -> NoReturn:
        raise TypeError("a vault cannot be copied or pickled; open it again where it is needed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def encrypted_keys(self) -> Mapping[str, bytes]:
        """What is stored of each current value: its wrapped data key and ciphertext."""
        return _Stored(self)

    def store_api_key(
        self,
        service: str,
        api_key: str,
        *,
        expires_in: datetime.timedelta | None = None,
        grace: datetime.timedelta = GRACE,
    ) -> int:
        """Keep a value; return its version, 1 for the first. A version before it is kept for ``grace``.

        Raises:
            ConfigError: the name or the value is empty or holds what no name or key has.
            OversizedError: the name, the value (64 KiB) or the vault (10,000 services) is too large.
            WrongPasswordError, ForgedError, ReplayedError, StoreError: as when it was opened.
        """
        return self._add("store", service, api_key, expires_in, grace)

    def rotate_api_key(
        self,
        service: str,
        new_key: str,
        *,
        expires_in: datetime.timedelta | None = None,
        grace: datetime.timedelta = GRACE,
    ) -> int:
        """Put a new value in the place of the current one; return its version.

        The old one can be read by its version, and rolled back to, for ``grace``; then it is destroyed.

        Raises:
            KeyAbsentError: there is nothing to rotate.
            ConfigError, OversizedError, and what ``get_api_key`` raises: as ``store_api_key``.
        """
        return self._add("rotate", service, new_key, expires_in, grace)

    def get_api_key(self, service: str, *, version: int | None = None) -> str:
        """The current value, or a version that is in its grace.

        Raises:
            KeyAbsentError (KeyError): no such service or version.
            KeyExpiredError: its time, or its grace, is over.
            ForgedError: what is stored was changed.
            ReplayedError: an older state was put back since this process last looked.
            WrongPasswordError: the master password was changed and the grace of this one is over.
            StoreError: the database cannot be used.
        """
        name = service_name(service)
        with self._told("get", name, version):
            found, value = self._read(name, version)
            self._note("get", name, found.number)
            return value.decode()

    def rollback_api_key(self, service: str, *, to: int | None = None, grace: datetime.timedelta = GRACE) -> int:
        """Make an earlier version the current one again; return it. The one it replaces is kept for ``grace``.

        Args:
            to: the version; the newest before the current one when absent.

        Raises:
            KeyAbsentError: no such service or version is left.
            KeyExpiredError: the earlier version's own time, or its grace, is over.
            ConfigError, WrongPasswordError, ForgedError, ReplayedError, StoreError: as ``store_api_key``.
        """
        name, kept = service_name(service), span_seconds(grace)
        with self._told("rollback", service, to), self._changing() as change:
            head = change.head(name)
            earlier = [
                found.number for found in head.versions if found.number < head.current and found.kept(change.now)
            ]
            if to is None and not earlier:
                raise KeyAbsentError(f"{service!r} has no version before {head.current}; its grace is over")
            wanted = head.version(max(earlier) if to is None else to)
            _check_time(name, wanted, change.now)
            if wanted.number != head.current:
                head = retired(head, change.now + kept).with_version(replace(wanted, until=None))
                change.put(replace(head, current=wanted.number))
            self._note("rollback", service, wanted.number)
            return wanted.number

    def delete_api_key(self, service: str) -> None:
        """Destroy every version of a service.

        Raises:
            KeyAbsentError: there is none.
            WrongPasswordError, ForgedError, ReplayedError, StoreError: as ``store_api_key``.
        """
        name = service_name(service)
        with self._told("delete", service), self._changing() as change:
            change.remove(change.head(name))
            self._note("delete", service, None)

    def list_api_keys(self, *, max_age: datetime.timedelta = MAX_AGE) -> list[KeyReport]:
        """Every service with versions, age and expiry. The whole vault's integrity is verified on the way.

        Args:
            max_age: a current value older than this is ``due``.

        Raises:
            WrongPasswordError, ForgedError, ReplayedError, StoreError: as ``get_api_key``.
        """
        with self._told("list", None):
            now = self._clock()
            reports = [KeyReport.of(head, now=now, max_age=max_age) for _, head in sorted(self._verify().items())]
            self._note("list", None, None)
            return reports

    def rekey(
        self,
        new_password: str,
        *,
        grace: datetime.timedelta = REKEY_GRACE,
        step: Callable[[str], None] = lambda _name: None,
    ) -> int:
        """Change the master password and the master key: every data key is wrapped anew; return how many were.

        One transaction: other processes read and write before or after it. For ``grace`` the old password opens the
        vault too, and whoever holds the old master goes on; a process that looked once within it goes on for ever.
        Without a grace the old password ends at once.

        Args:
            step: called with the name of each step when it is done.

        Raises:
            MissingPasswordError, WeakPasswordError: the new password is empty or would be guessed.
            ConfigError: it is the present one.
            WrongPasswordError, ForgedError, ReplayedError, StoreError: as ``store_api_key``.
        """
        kept = span_seconds(grace)
        with self._told("rekey", None):
            self._check_new(new_password)
            master = DataKey.generate()
            row = locked(master, new_password, vault_id=self._keyed.vault_id, cost=self._cost)
            step("stretched")
            with self._changing() as change:
                count = change.rekey(Keyed(master, self._keyed.vault_id), row, change.now + kept if kept else None)
                self._note("rekey", None, None)
                step("re-wrapped")
            step("committed")
            return count

    def close(self) -> None:
        """Close the database's connections. What a vault in memory held is gone."""
        self._engine.dispose()

    def _add(
        self, action: Action, service: str, value: str, expires_in: datetime.timedelta | None, grace: datetime.timedelta
    ) -> int:
        name, raw, kept = service_name(service), key_value(value), span_seconds(grace)
        lasting = None if expires_in is None else span_seconds(expires_in)
        with self._told(action, service), self._changing() as change:
            if action == "rotate":
                change.head(name)
            expires_at = None if lasting is None else change.now + lasting
            number = change.add(name, raw, expires_at=expires_at, until=change.now + kept)
            self._note(action, service, number)
            return number

    def _unlock(self, password: str) -> Keyed:
        """The vault's master, as of a moment ago; a vault that does not exist is begun."""
        from sqlalchemy import select

        while True:
            with storage_errors(self._engine), self._engine.begin() as connection:
                vault = connection.execute(select(self._tables.vault)).first()
                rows = connection.execute(select(self._tables.masters)).all()
            if vault is None:
                check_strength(password)
                self._begin(password)
                continue
            rows = sorted(rows, key=lambda row: row.master_id != vault.master_id)
            for row in rows:
                if row.expires_at is not None and row.expires_at <= self._clock():
                    continue
                master = unlocked(row, password, vault_id=vault.vault_id)
                if master is not None:
                    self._strengthen(row, password, master, vault.vault_id)
                    return Keyed(master, vault.vault_id)
            raise WrongPasswordError("the master password is not the one of this vault; use that one")

    def _begin(self, password: str) -> None:
        from sqlalchemy import insert, select

        keyed = Keyed(DataKey.generate(), secrets.token_hex(16))
        # Stretched before the lock is taken: others need not wait for it.
        row = locked(keyed.master, password, vault_id=keyed.vault_id, cost=self._cost)
        digest = total_digest({})
        vault = {
            "id": 1,
            "vault_id": keyed.vault_id,
            "master_id": keyed.master.id.hex(),
            "change": 0,
            "digest": digest,
            "mac": keyed.vault_mac(0, digest),
        }
        with storage_errors(self._engine), begin_immediate(self._engine) as connection:
            if connection.execute(select(self._tables.vault)).first() is None:
                connection.execute(insert(self._tables.masters).values(row))
                connection.execute(insert(self._tables.vault).values(vault))

    def _strengthen(self, row: Row[Any], password: str, master: DataKey, vault_id: str) -> None:
        """Stretch the password at today's cost when it was stretched for less."""
        from sqlalchemy import update

        if not stretching_of(row, vault_id=vault_id).weaker_than(self._cost):
            return
        values = locked(master, password, vault_id=vault_id, cost=self._cost)
        masters = self._tables.masters
        as_read = (masters.c.master_id == row.master_id) & (masters.c.checksum == row.checksum)
        with storage_errors(self._engine), begin_immediate(self._engine) as connection:
            connection.execute(update(masters).where(as_read).values(values))

    def _check_new(self, password: str) -> None:
        from sqlalchemy import select

        if not password:
            raise MissingPasswordError("the new master password is empty; give one")
        check_strength(password)
        masters = self._tables.masters
        with storage_errors(self._engine), self._engine.begin() as connection:
            here = masters.c.master_id == self._keyed.master.id.hex()
            row = connection.execute(select(masters).where(here)).first()
        if row is not None and unlocked(row, password, vault_id=self._keyed.vault_id) is not None:
            raise ConfigError("the new master password is the present one; choose another")

    def _read(self, service: str, number: int | None) -> tuple[Version, bytes]:
        # What was seen is fixed before the look: another thread may see more while this one looks.
        floor, held, now = self._seen, self._keyed, self._clock()
        with storage_errors(self._engine), self._engine.begin() as connection:
            row = connection.execute(self._joined(service, number)).first()
            if row is None:
                raise ReplayedError("the vault was removed from its database; restore a backup, treat as an incident")
            keyed = followed(connection, self._tables, held, row, floor=floor, now=now)
        self._saw(keyed, row.change)
        if row.head is None:
            raise KeyAbsentError(f"the vault holds no key for {service!r}; `agentguard keys list` shows what it holds")
        head = keyed.head(service, row.head, row.head_mac)
        version = head.version(head.current if number is None else number)
        if row.current != head.current or row.wrapped is None:
            raise ForgedError(f"the vault's entry for {service!r} was changed; restore a backup, treat as an incident")
        _check_time(service, version, now)
        return version, keyed.open(service, version, Sealed(row.wrapped, row.ciphertext))

    def _joined(self, service: str, number: int | None) -> Select[Any]:
        """The vault's row, the service's head and the version's entry in one statement: one moment's state."""
        from sqlalchemy import select

        vault, heads, entries = self._tables.vault, self._tables.heads, self._tables.entries
        wanted = entries.c.version == (heads.c.current if number is None else number)
        joined = vault.outerjoin(heads, heads.c.service == service).outerjoin(
            entries, (entries.c.service == heads.c.service) & wanted
        )
        columns = (
            heads.c.current,
            heads.c.head,
            heads.c.mac.label("head_mac"),
            entries.c.wrapped,
            entries.c.ciphertext,
        )
        return select(vault, *columns).select_from(joined)

    def _verify(self) -> Mapping[str, Head]:
        """Read and verify the whole vault."""
        floor, held = self._seen, self._keyed
        with storage_errors(self._engine), begin_snapshot(self._engine) as connection:
            found = VaultChange(connection, self._tables, held, floor=floor, now=self._clock())
        self._saw(found.keyed, found.count)
        return found.heads

    @contextmanager
    def _changing(self) -> Iterator[VaultChange]:
        floor, held = self._seen, self._keyed
        with storage_errors(self._engine), begin_immediate(self._engine) as connection:
            change = VaultChange(connection, self._tables, held, floor=floor, now=self._clock())
            yield change
            change.finish()
        self._saw(change.keyed, change.count)

    def _saw(self, keyed: Keyed, change: int) -> None:
        if change >= self._seen:
            self._keyed, self._seen = keyed, change

    def _note(self, action: Action, service: str | None, version: int | None) -> None:
        if self._record is None:
            return
        try:
            self._record(KeyAccess(action, service, version, success=True, reason=None))
        except AgentGuardError as error:
            raise _Unrecorded(error) from error

    @contextmanager
    def _told(self, action: Action, service: str | None, version: int | None = None) -> Iterator[None]:
        """Record a refusal. What the log itself raises is not recorded again."""
        try:
            yield
        except _Unrecorded as unrecorded:
            raise unrecorded.cause from unrecorded.cause.__cause__
        except AgentGuardError as error:
            if self._record is not None:
                self._record(KeyAccess(action, service, version, success=False, reason=error.code))
            raise


class _Unrecorded(Exception):
    """Carries the log's error past the place that would record it."""

    def __init__(self, cause: AgentGuardError) -> None:
        self.cause = cause


class _Stored(Mapping[str, bytes]):
    """Ciphertexts by service."""

    def __init__(self, vault: KeyVault) -> None:
        self._vault = vault

    def __getitem__(self, service: str) -> bytes:
        with storage_errors(self._vault._engine), self._vault._engine.begin() as connection:
            row = connection.execute(self._vault._joined(service, None)).first()
        if row is None or row.wrapped is None:
            raise KeyAbsentError(f"the vault holds no key for {service!r}")
        return bytes(row.wrapped + row.ciphertext)

    def __iter__(self) -> Iterator[str]:
        from sqlalchemy import select

        with storage_errors(self._vault._engine), self._vault._engine.begin() as connection:
            return iter(sorted(connection.execute(select(self._vault._tables.heads.c.service)).scalars()))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _check_time(service: str, version: Version, now: float) -> None:
    if not version.kept(now):
        raise KeyExpiredError(f"the grace of version {version.number} of {service!r} is over; use the current one")
    if version.expires_at is not None and version.expires_at <= now:
        raise KeyExpiredError(f"version {version.number} of {service!r} has expired; rotate it")
