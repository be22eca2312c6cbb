"""What the CA must remember, in the state database: its certificates, what it issued, join tokens, who is blocked.

Tokens are kept as SHA-256 digests of 32 random bytes, and used up by one conditional UPDATE: of several processes
that hold the same token exactly one succeeds. No private key is in the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)

from agentguard.channel.blocklist import BlockList
from agentguard.channel.spiffe import SpiffeId
from agentguard.errors import IdentityError
from agentguard.store import Home, begin_immediate, open_state, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["MAX_LEAF_S", "BlockKind", "Blocked", "CaRow", "How", "Issued", "Register", "TokenRefusal"]

How = Literal["local", "join", "renew", "service"]
BlockKind = Literal["identity", "serial"]
TokenRefusal = Literal["token-unknown", "token-expired", "token-used", "token-mismatch"]

# Seconds for which a spent or expired token is kept, so that a late one is told apart from one nobody made.
TOKENS_KEPT_S = 86_400.0
# Issued leaves are remembered for this long after they ended: an auditor asks about them later than the TLS stack.
LEAVES_KEPT_S = 400 * 86_400.0
MAX_LEAF_S = 86_400.0
SKEW_S = 3600.0
_SERIAL = 64
_ID = 2048


@dataclass(frozen=True, slots=True)
class CaRow:
    """A CA's certificate (PEM). Times are seconds since 1970; ``leaves_at`` None: no end but the certificate's."""

    serial: int
    role: Literal["root", "issuing"]
    trust_domain: str
    certificate: bytes
    signs_from: float
    leaves_at: float | None
    leaf_s: float


@dataclass(frozen=True, slots=True)
class Issued:
    """One line of the issuance log."""

    serial: int
    spiffe_id: str
    issuer: int
    how: How
    issued_at: float
    not_after: float
    by: str | None
    blocked: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """One entry of the block list; a serial number's ``value`` is lower-case hex."""

    kind: BlockKind
    value: str
    reason: str
    blocked_at: float


class Register:
    """The tables of one home's CA. Thread-safe; several processes may open the same home.

    Raises:
        StoreError: from every method, when the database cannot be used.
    """

    def __init__(self, home: Home) -> None:
        metadata = MetaData()
        self._tables = self.define(metadata)
        # FULL: a used token or a block must not be forgotten in a power cut.
        self._engine: Engine = open_state(home, metadata)

    @staticmethod
    def define(metadata: MetaData) -> dict[str, Table]:
        """Add the tables to the schema of the state database; serial numbers are lower-case hex."""
        return {
            "ca": Table(
                "channel_ca",
                metadata,
                Column("serial", String(_SERIAL), primary_key=True),
                Column("role", String(8), nullable=False),
                Column("trust_domain", String(255), nullable=False),
                Column("certificate", LargeBinary, nullable=False),
                Column("signs_from", Float, nullable=False),
                Column("leaves_at", Float),
                Column("leaf_s", Float, nullable=False),
            ),
            "leaf": Table(
                "channel_leaf",
                metadata,
                Column("serial", String(_SERIAL), primary_key=True),
                Column("spiffe_id", String(_ID), nullable=False),
                Column("issuer", String(_SERIAL), nullable=False),
                Column("fingerprint", String(64), nullable=False),
                Column("key_digest", String(64), nullable=False, unique=True),
                Column("how", String(8), nullable=False),
                Column("by", String(_ID)),
                Column("issued_at", Float, nullable=False),
                Column("not_after", Float, nullable=False, index=True),
                Column("renewed_at", Float),
            ),
            "token": Table(
                "channel_token",
                metadata,
                Column("digest", String(64), primary_key=True),
                Column("spiffe_id", String(_ID), nullable=False),
                Column("expires_at", Float, nullable=False),
                Column("used_at", Float),
            ),
            "block": Table(
                "channel_block",
                metadata,
                Column("kind", String(8), primary_key=True),
                Column("value", String(_ID), primary_key=True),
                Column("reason", String(500), nullable=False),
                Column("blocked_at", Float, nullable=False),
            ),
            "version": Table(
                "channel_block_version",
                metadata,
                Column("version", BigInteger, primary_key=True, autoincrement=False),
            ),
        }

    # CAs

    def authorities(self) -> list[CaRow]:
        """Root and issuing CAs, oldest first."""
        table = self._tables["ca"]
        with self._reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.signs_from)).all()
        return [
            CaRow(
                int(row.serial, 16), row.role, row.trust_domain, bytes(row.certificate), row.signs_from,
                row.leaves_at, row.leaf_s,
            )
            for row in rows
        ]  # fmt: skip

    def found(self, *rows: CaRow) -> None:
        """Store the first CAs.

        Raises:
            IdentityError: there is a CA already.
        """
        table = self._tables["ca"]
        with self._writing() as connection:
            if connection.execute(select(func.count()).select_from(table)).scalar_one():
                raise IdentityError("this home has a CA already; `agentguard ca list` shows it")
            connection.execute(insert(table), [_ca_values(row) for row in rows])

    def succeed(self, row: CaRow, *, after: int, leaves_at: float, alone: bool) -> bool:
        """Store the CA that follows ``after``, which leaves the bundle at ``leaves_at``; False when it has a successor.

        One transaction: of several processes that rotate at once exactly one does. With ``alone``, every other issuing
        CA leaves by ``leaves_at`` too.
        """
        table = self._tables["ca"]
        open_end = (table.c.serial == _hex(after)) & table.c.leaves_at.is_(None)
        later = (table.c.role == "issuing") & (table.c.leaves_at > leaves_at)
        with self._writing() as connection:
            if connection.execute(update(table).where(open_end).values(leaves_at=leaves_at)).rowcount != 1:
                return False
            if alone:
                connection.execute(update(table).where(later).values(leaves_at=leaves_at))
            connection.execute(insert(table), _ca_values(row))
            return True

    # Leaves

    def log(self, issued: Issued, *, fingerprint: str, key_digest: str) -> None:
        """Enter a leaf into the issuance log; long-ended ones go.

        Raises:
            IdentityError: a leaf was issued for this key before.
        """
        table = self._tables["leaf"]
        with self._writing() as connection:
            seen = select(func.count()).where(table.c.key_digest == key_digest)
            if connection.execute(seen).scalar_one():
                raise IdentityError("a certificate was issued for this key before; every request needs a fresh key")
            connection.execute(delete(table).where(table.c.not_after < issued.issued_at - LEAVES_KEPT_S))
            connection.execute(
                insert(table).values(
                    serial=_hex(issued.serial), spiffe_id=issued.spiffe_id, issuer=_hex(issued.issuer),
                    fingerprint=fingerprint, key_digest=key_digest, how=issued.how, by=issued.by,
                    issued_at=issued.issued_at, not_after=issued.not_after,
                )
            )  # fmt: skip

    def knows(self, serial: int, fingerprint: str) -> bool:
        """Whether this CA issued exactly this certificate: one that it did not was made with a stolen CA key."""
        table = self._tables["leaf"]
        query = select(func.count()).where((table.c.serial == _hex(serial)) & (table.c.fingerprint == fingerprint))
        with self._reading() as connection:
            return bool(connection.execute(query).scalar_one())

    def renewed(self, serial: int, moment: float) -> bool:
        """Note that a leaf was renewed; False when it had been before: two processes may hold its key."""
        table = self._tables["leaf"]
        with self._writing() as connection:
            first = (table.c.serial == _hex(serial)) & table.c.renewed_at.is_(None)
            return connection.execute(update(table).where(first).values(renewed_at=moment)).rowcount == 1

    def issued(self, *, after: float) -> list[Issued]:
        """Leaves that end after ``after``, newest first."""
        leaf, block = self._tables["leaf"], self._tables["block"]
        query = select(leaf).where(leaf.c.not_after > after).order_by(leaf.c.issued_at.desc(), leaf.c.serial)
        with self._reading() as connection:
            rows = connection.execute(query).all()
            blocked = {tuple(row) for row in connection.execute(select(block.c.kind, block.c.value))}
        return [
            Issued(
                int(row.serial, 16), row.spiffe_id, int(row.issuer, 16), row.how, row.issued_at, row.not_after,
                row.by, ("serial", row.serial) in blocked or ("identity", row.spiffe_id) in blocked,
            )
            for row in rows
        ]  # fmt: skip

    # Join tokens

    def keep_token(self, secret: bytes, spiffe_id: SpiffeId, *, now: float, expires_at: float) -> None:
        """Remember a token by its digest; those that ended long ago go."""
        table = self._tables["token"]
        with self._writing() as connection:
            connection.execute(delete(table).where(table.c.expires_at < now - TOKENS_KEPT_S))
            values = {"digest": _digest(secret), "spiffe_id": str(spiffe_id), "expires_at": expires_at}
            connection.execute(insert(table), values)

    def use_token(self, secret: bytes, spiffe_id: str, now: float) -> TokenRefusal | None:
        """Use up a token that was made for this identity; None when that worked. A mismatch uses it up as well."""
        table = self._tables["token"]
        own = table.c.digest == _digest(secret)
        with self._writing() as connection:
            free = own & table.c.used_at.is_(None) & (table.c.expires_at > now)
            used = connection.execute(update(table).where(free).values(used_at=now)).rowcount == 1
            row = connection.execute(select(table.c.spiffe_id, table.c.used_at).where(own)).one_or_none()
        if row is None:
            return "token-unknown"
        if used:
            return None if row.spiffe_id == spiffe_id else "token-mismatch"
        return "token-expired" if row.used_at is None else "token-used"

    # Block list

    def block(self, kind: BlockKind, value: str, *, reason: str, now: float) -> int:
        """Add an entry, or give it another reason; returns the list's new number. Entries of ended leaves go."""
        table = self._tables["block"]
        ended = (table.c.kind == "serial") & (table.c.blocked_at < now - MAX_LEAF_S - SKEW_S)
        same = (table.c.kind == kind) & (table.c.value == value)
        with self._writing() as connection:
            connection.execute(delete(table).where(ended | same))
            values = {"kind": kind, "value": value, "reason": reason[:500], "blocked_at": now}
            connection.execute(insert(table), values)
            return self._count_up(connection)

    def lift(self, kind: BlockKind, value: str) -> int:
        """Take an entry out; returns the list's new number.

        Raises:
            IdentityError: there is no such entry.
        """
        table = self._tables["block"]
        with self._writing() as connection:
            done = connection.execute(delete(table).where((table.c.kind == kind) & (table.c.value == value)))
            if done.rowcount != 1:
                raise IdentityError(f"{value} is not blocked; `agentguard ca list` shows who is")
            return self._count_up(connection)

    def blocks(self) -> list[Blocked]:
        """The entries with their reasons, oldest first."""
        table = self._tables["block"]
        with self._reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.blocked_at)).all()
        return [Blocked(row.kind, row.value, row.reason, row.blocked_at) for row in rows]

    def block_list(self, trust_domain: str) -> BlockList:
        """The list as of now."""
        table = self._tables["block"]
        with self._reading() as connection:
            version = self._version(connection)
            entries = connection.execute(select(table.c.kind, table.c.value)).all()
        return BlockList(
            trust_domain, version,
            frozenset(SpiffeId.parse(value) for kind, value in entries if kind == "identity"),
            frozenset(int(value, 16) for kind, value in entries if kind == "serial"),
        )  # fmt: skip

    def close(self) -> None:
        """Close the database's connections."""
        self._engine.dispose()

    def _count_up(self, connection: Connection) -> int:
        table, version = self._tables["version"], self._version(connection) + 1
        connection.execute(delete(table))
        connection.execute(insert(table), {"version": version})
        return version

    def _version(self, connection: Connection) -> int:
        return int(connection.execute(select(func.max(self._tables["version"].c.version))).scalar() or 0)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with storage_errors(self._engine), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with storage_errors(self._engine), begin_immediate(self._engine) as connection:
            yield connection


def _ca_values(row: CaRow) -> dict[str, Any]:
    return {
        "serial": _hex(row.serial), "role": row.role, "trust_domain": row.trust_domain,
        "certificate": row.certificate, "signs_from": row.signs_from, "leaves_at": row.leaves_at,
        "leaf_s": row.leaf_s,
    }  # fmt: skip


def _hex(serial: int) -> str:
    return f"{serial:x}"


def _digest(secret: bytes) -> str:
    return hashlib.sha256(secret).hexdigest()
