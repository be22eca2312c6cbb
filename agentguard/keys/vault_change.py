"""One transaction on a vault: all of it verified as it is read, then changed, then authenticated anew."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agentguard.errors import ForgedError, KeyAbsentError, OversizedError, ReplayedError, WrongPasswordError
from agentguard.keys.vault_master import bridge, bridged
from agentguard.keys.vault_state import Head, Keyed, Sealed, Tables, Version, total_digest

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

__all__ = ["VaultChange", "followed", "retired"]

# A caller that stores in a loop must not fill the disk, nor make every other write slow.
MAX_SERVICES = 10_000
MAX_VERSIONS = 100
# Re-keys that the holder of an old master may have missed.
MAX_BRIDGES = 16


class VaultChange:
    """The vault as one transaction sees it: a snapshot to read, or one that holds the write lock from its start.

    Args:
        keyed: the master that this process holds; it may have been followed by others.
        floor: the count of changes that was seen before the transaction began.
        now: seconds since 1970.

    Raises:
        WrongPasswordError: the vault has another master, and no bridge leads there.
        ForgedError: a row was changed, removed, added, or put back from an older copy.
        ReplayedError: the whole vault was put back from an older copy.
    """

    def __init__(self, connection: Connection, tables: Tables, keyed: Keyed, *, floor: int, now: float) -> None:
        from sqlalchemy import select

        self._connection = connection
        self._tables = tables
        self.now = now
        row = connection.execute(select(tables.vault)).first()
        if row is None:
            raise ReplayedError("the vault was removed from its database; restore a backup, treat as an incident")
        self.keyed = followed(connection, tables, keyed, row, floor=floor, now=now)
        self.count: int = row.change
        rows = connection.execute(select(tables.heads)).all()
        self._macs = {found.service: found.mac for found in rows}
        self.heads: dict[str, Head] = {
            found.service: self.keyed.head(found.service, found.head, found.mac) for found in rows
        }
        if not hmac.compare_digest(total_digest(self._macs), row.digest):
            raise ForgedError(
                "services were removed from the vault, or put back from an older copy; restore a backup, "
                "treat as an incident"
            )

    def head(self, service: str) -> Head:
        """The head of a service.

        Raises:
            KeyAbsentError: there is none.
        """
        if service not in self.heads:
            raise KeyAbsentError(f"the vault holds no key for {service!r}; `agentguard keys list` shows what it holds")
        return self.heads[service]

    def add(self, service: str, value: bytes, *, expires_at: float | None, until: float) -> int:
        """Store the next version of a service and make it the current one; the present one is kept until then."""
        from sqlalchemy import insert

        old = self.heads.get(service)
        if old is None and len(self.heads) >= MAX_SERVICES:
            raise OversizedError(f"a vault holds at most {MAX_SERVICES} services; delete what is not used")
        number = old.last + 1 if old else 1
        key_id, sealed = self.keyed.seal(service, number, value)
        added = Version(number, key_id, self.now, expires_at)
        head = Head(service, 0, number, number) if old is None else retired(old, until)
        values = {
            "service": service,
            "version": number,
            "wrapped": sealed.wrapped,
            "ciphertext": sealed.ciphertext,
        }
        self._connection.execute(insert(self._tables.entries).values(values))
        self.put(replace(head.with_version(added), current=number, last=number))
        return number

    def put(self, head: Head) -> None:
        """Write a head. Versions whose grace is over, and the oldest above the limit, are destroyed."""
        from sqlalchemy import insert, update

        kept = [version for version in head.versions if version.kept(self.now)]
        others = [version for version in kept if version.number != head.current]
        dropped = {version.number for version in others[: max(0, len(kept) - MAX_VERSIONS)]}
        kept = [version for version in kept if version.number not in dropped]
        self._destroy(head.service, {version.number for version in head.versions} - {v.number for v in kept})
        head = replace(head, change=self.count + 1, versions=tuple(kept))
        raw = head.encoded()
        mac = self.keyed.head_mac(raw)
        table, values = self._tables.heads, {"current": head.current, "head": raw, "mac": mac}
        if head.service in self.heads:
            self._connection.execute(update(table).where(table.c.service == head.service).values(values))
        else:
            self._connection.execute(insert(table).values({"service": head.service, **values}))
        self.heads[head.service], self._macs[head.service] = head, mac

    def remove(self, head: Head) -> None:
        """Destroy a service."""
        from sqlalchemy import delete

        self._destroy(head.service, {version.number for version in head.versions})
        self._connection.execute(delete(self._tables.heads).where(self._tables.heads.c.service == head.service))
        del self.heads[head.service], self._macs[head.service]

    def rekey(self, new: Keyed, row: Mapping[str, Any], until: float | None) -> int:
        """Wrap every data key under another master and make that the vault's; return how many there were.

        Args:
            row: the new master's row.
            until: when the present master ends; at once when None.
        """
        from sqlalchemy import insert, update

        old, count = self.keyed, 0
        for head in self.heads.values():
            count += self._rewrap(head, old, new)
        masters = self._tables.masters
        self._connection.execute(insert(masters).values(row))
        gone = masters.c.master_id == old.master.id.hex()
        leading = bridge(old.master, new.master, vault_id=old.vault_id)
        self._connection.execute(update(masters).where(gone).values({**leading, "expires_at": until or self.now}))
        self.keyed = new
        for head in list(self.heads.values()):
            self.put(head)
        return count

    def finish(self) -> None:
        """Destroy what is over, and authenticate the vault as it is now. The last act of the transaction."""
        from sqlalchemy import delete, update

        for head in list(self.heads.values()):
            if not all(version.kept(self.now) for version in head.versions):
                self.put(head)
        masters, vault = self._tables.masters, self._tables.vault
        self._connection.execute(delete(masters).where(masters.c.expires_at <= self.now))
        self.count += 1
        digest = total_digest(self._macs)
        values = {
            "master_id": self.keyed.master.id.hex(),
            "change": self.count,
            "digest": digest,
            "mac": self.keyed.vault_mac(self.count, digest),
        }
        self._connection.execute(update(vault).values(values))

    def _rewrap(self, head: Head, old: Keyed, new: Keyed) -> int:
        from sqlalchemy import select, update

        table = self._tables.entries
        found = self._connection.execute(select(table).where(table.c.service == head.service)).all()
        rows = {row.version: Sealed(row.wrapped, row.ciphertext) for row in found}
        for version in head.versions:
            if version.number not in rows:
                raise ForgedError(f"version {version.number} of {head.service!r} was removed; restore a backup")
            wrapped = old.rewrapped(head.service, version, rows[version.number], new)
            place = (table.c.service == head.service) & (table.c.version == version.number)
            self._connection.execute(update(table).where(place).values(wrapped=wrapped))
        return len(head.versions)

    def _destroy(self, service: str, numbers: set[int]) -> None:
        from sqlalchemy import delete

        table = self._tables.entries
        if numbers:
            self._connection.execute(
                delete(table).where((table.c.service == service) & table.c.version.in_(sorted(numbers)))
            )


def followed(connection: Connection, tables: Tables, keyed: Keyed, row: Row[Any], *, floor: int, now: float) -> Keyed:
    """The vault's present master, from the one that this process holds; the vault's row is verified with it.

    Raises:
        WrongPasswordError, ForgedError, ReplayedError: as ``VaultChange``.
    """
    from sqlalchemy import select

    if row.change < floor:
        raise ReplayedError(
            f"the vault is at change {row.change}, this process saw {floor}: an older copy was put back; "
            "restore the newest backup, treat as an incident"
        )
    masters = tables.masters
    for _ in range(MAX_BRIDGES):
        held = keyed.master.id.hex()
        if held == row.master_id:
            break
        former = connection.execute(select(masters).where(masters.c.master_id == held)).first()
        keyed = Keyed(bridged(former, keyed.master, vault_id=keyed.vault_id, now=now), keyed.vault_id)
    else:
        raise WrongPasswordError("the vault's master password was changed too often since; open it anew")
    _check_row(keyed, row)
    return keyed


def _check_row(keyed: Keyed, row: Row[Any]) -> None:
    """Hold the vault's row against its MAC.

    Raises:
        ForgedError: it was changed.
    """
    if row.vault_id != keyed.vault_id or not hmac.compare_digest(keyed.vault_mac(row.change, row.digest), row.mac):
        raise ForgedError("the vault's own row was changed; restore a backup, treat as an incident")


def retired(head: Head, until: float) -> Head:
    """The head, its current version given an end."""
    return head.with_version(replace(head.version(head.current), until=until))
