"""What a vault keeps in the database: its masters, one head for each service, one sealed entry for each version.

A head lists its versions with their times and key ids and carries a MAC; the vault's own row carries a count of changes
and a MAC over all heads. So a row that was changed, removed, added or put back from an older copy is noticed: at once
where it is read, all together when the vault is opened, listed or written.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agentguard.errors import DecryptError, ForgedError, KeyAbsentError
from agentguard.keys.envelope import KEY_BYTES, NONCE_BYTES, DataKey, derive, unwrap, wrap

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table

__all__ = ["Head", "Keyed", "Sealed", "Tables", "Version", "memory_engine", "total_digest"]


@dataclass(frozen=True, slots=True)
class Version:
    """One value of an API key. Times are seconds since 1970.

    ``until`` is the end of the grace of a version that is not the current one: then it is destroyed.
    """

    number: int
    key_id: str
    created_at: float
    expires_at: float | None = None
    until: float | None = None

    def kept(self, now: float) -> bool:
        """Whether it is the current one, or in its grace."""
        return self.until is None or self.until > now


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a service without opening anything: which versions exist and which one counts.

    ``change`` is the vault's count of changes when this head was written.
    """

    service: str
    change: int
    current: int
    last: int
    versions: tuple[Version, ...] = field(default=())

    def version(self, number: int) -> Version:
        """The version with this number.

        Raises:
            KeyAbsentError: there is none.
        """
        for found in self.versions:
            if found.number == number:
                return found
        raise KeyAbsentError(f"{self.service!r} has no version {number}; it has {self.numbers()}")

    def numbers(self) -> str:
        """The versions, as text."""
        return ", ".join(str(version.number) for version in self.versions)

    def with_version(self, changed: Version) -> Head:
        """The head with this version added, or in the place of the one with its number."""
        kept = (version for version in self.versions if version.number != changed.number)
        return replace(self, versions=tuple(sorted((*kept, changed), key=lambda version: version.number)))

    def encoded(self) -> bytes:
        """The bytes that are stored and authenticated."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def decoded(cls, raw: bytes) -> Head:
        """What ``encoded`` gave; call only with bytes whose MAC held."""
        fields = json.loads(raw)
        fields["versions"] = tuple(Version(**version) for version in fields["versions"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A version's value: its data key under the vault's master, and its ciphertext under the data key."""

    wrapped: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


class Keyed:
    """Everything that is done with one master key: MACs, wrapping, sealing. Bound to one vault."""

    def __init__(self, master: DataKey, vault_id: str) -> None:
        self.master = master
        self.vault_id = vault_id
        self._vault = vault_id.encode()
        self._mac_key = derive(master.key, salt=None, info=b"agentguard vault state 1" + self._vault)

    def head_mac(self, head: bytes) -> bytes:
        """Authenticates an encoded head; the service's name is inside."""
        return hmac.digest(self._mac_key, b"head" + head, "sha256")

    def vault_mac(self, change: int, digest: bytes) -> bytes:
        """Authenticates the vault's row."""
        return hmac.digest(self._mac_key, b"vault" + change.to_bytes(8, "big") + digest, "sha256")

    def head(self, service: str, raw: bytes, mac: bytes) -> Head:
        """Read a head.

        Raises:
            ForgedError: its bytes were changed, or it is another service's.
        """
        if not hmac.compare_digest(self.head_mac(raw), mac):
            raise ForgedError(f"the vault's entry for {service!r} was changed; restore a backup, treat as an incident")
        head = Head.decoded(raw)
        if head.service != service:
            raise ForgedError(f"the vault's entry for {service!r} is that of another service; restore a backup")
        return head

    def seal(self, service: str, number: int, value: bytes) -> tuple[str, Sealed]:
        """Encrypt a value under a fresh data key; return that key's id, and what to store."""
        key = DataKey.generate()
        wrapped = wrap(key, kek=self.master.key, associated_data=self._bound(service, number))
        cipher, nonce = _cipher(key)
        return key.id.hex(), Sealed(wrapped, cipher.encrypt(nonce, value, self._bound(service, number)))

    def open(self, service: str, version: Version, sealed: Sealed) -> bytes:
        """Decrypt a value.

        Raises:
            ForgedError: any byte was changed, or it is another version's or service's.
        """
        cipher, nonce = _cipher(self._data_key(service, version, sealed))
        try:
            return cipher.decrypt(nonce, sealed.ciphertext, self._bound(service, version.number))
        except InvalidTag as error:
            raise _forged(service, version.number) from error

    def rewrapped(self, service: str, version: Version, sealed: Sealed, new: Keyed) -> bytes:
        """The data key of a version, wrapped under another master.

        Raises:
            ForgedError: as ``open``.
        """
        key = self._data_key(service, version, sealed)
        return wrap(key, kek=new.master.key, associated_data=new._bound(service, version.number))

    def _data_key(self, service: str, version: Version, sealed: Sealed) -> DataKey:
        bound, key_id = self._bound(service, version.number), bytes.fromhex(version.key_id)
        try:
            return unwrap(sealed.wrapped, kek=self.master.key, key_id=key_id, associated_data=bound)
        except DecryptError as error:
            raise _forged(service, version.number) from error

    def _bound(self, service: str, number: int) -> bytes:
        name = service.encode()
        return b"agentguard vault 1" + self._vault + len(name).to_bytes(4, "big") + name + number.to_bytes(8, "big")


def total_digest(macs: Mapping[str, bytes]) -> bytes:
    """One digest over the MACs of all heads, whatever order the database gives them in."""
    whole = hashlib.sha256()
    for service in sorted(macs):
        name = service.encode()
        whole.update(len(name).to_bytes(4, "big") + name + macs[service])
    return whole.digest()


class Tables:
    """The four tables of a vault, in the state database's schema or alone."""

    def __init__(self, metadata: MetaData) -> None:
        from sqlalchemy import BigInteger, Column, Float, Integer, LargeBinary, String, Table

        self.vault: Table = Table(
            "vault",
            metadata,
            Column("id", Integer, primary_key=True, autoincrement=False),
            Column("vault_id", String(32), nullable=False),
            Column("master_id", String(64), nullable=False),
            Column("change", BigInteger, nullable=False),
            Column("digest", LargeBinary, nullable=False),
            Column("mac", LargeBinary, nullable=False),
        )
        self.masters: Table = Table(
            "vault_master",
            metadata,
            Column("master_id", String(64), primary_key=True),
            Column("stretching", String(512), nullable=False),
            Column("password_id", String(64), nullable=False),
            Column("wrapped", LargeBinary, nullable=False),
            Column("checksum", LargeBinary, nullable=False),
            Column("successor", String(64)),
            Column("bridge", LargeBinary),
            Column("expires_at", Float),
        )
        self.heads: Table = Table(
            "vault_service",
            metadata,
            Column("service", String(128), primary_key=True),
            Column("current", Integer, nullable=False),
            Column("head", LargeBinary, nullable=False),
            Column("mac", LargeBinary, nullable=False),
        )
        self.entries: Table = Table(
            "vault_entry",
            metadata,
            Column("service", String(128), primary_key=True),
            Column("version", Integer, primary_key=True, autoincrement=False),
            Column("wrapped", LargeBinary, nullable=False),
            Column("ciphertext", LargeBinary, nullable=False),
        )


def memory_engine(metadata: MetaData) -> Engine:
    """A database in this process alone. Its one connection serves one thread at a time."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import QueuePool

    engine = create_engine(
        "sqlite://",
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        connect_args={"check_same_thread": False},
        hide_parameters=True,
    )

    # The driver must open no transactions of its own: reading then writing would not be one.
    @event.listens_for(engine, "connect")
    def _connected(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def _begun(connection: object) -> None:
        connection.exec_driver_sql("BEGIN")  # type: ignore[attr-defined]

    metadata.create_all(engine)
    return engine


def _cipher(key: DataKey) -> tuple[AESGCM, bytes]:
    both = derive(key.key, salt=None, info=b"agentguard vault entry 1", length=KEY_BYTES + NONCE_BYTES)
    return AESGCM(both[:KEY_BYTES]), both[KEY_BYTES:]


def _forged(service: str, number: int) -> ForgedError:
    return ForgedError(
        f"version {number} of {service!r} does not open: its bytes were changed, or it was moved here; "
        "restore a backup, treat as an incident"
    )
