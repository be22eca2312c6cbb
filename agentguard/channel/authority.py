"""The embedded CA of one trust domain: a root, issuing CAs that follow each other, leaves of one hour.

The bundle that agents trust holds the issuing CAs, not the root: an issuing CA that leaves it is refused at the next
handshake. A new one joins the bundle one leaf lifetime before it signs, the old one leaves one leaf lifetime after it
stopped; both times are set when the rotation begins, so no step of it can be missed. Certificates and the issuance
log are in the state database, private keys in ``ca/`` beside it, one 0600 file each; the root's may be kept elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agentguard.channel.certificate import (
    BACKDATED_S,
    CaKey,
    LeafKey,
    fingerprint,
    issuing_certificate,
    key_digest,
    leaf_certificate,
    new_key,
    pem_of_certificate,
    pem_of_key,
    root_certificate,
)
from agentguard.channel.identity import Identity, IdentityRecord
from agentguard.channel.register import MAX_LEAF_S, Blocked, CaRow, How, Issued, Register
from agentguard.channel.renewal import RotatingIdentity, Standing, Subscribers
from agentguard.channel.spiffe import SpiffeId
from agentguard.errors import ConfigError, IdentityError
from agentguard.store import Home, atomic_file, make_private_folder

__all__ = ["LEAF_S", "Authority", "CaState", "Grant", "Rotation"]

DAY_S = 86_400.0
ROOT_S = 365 * DAY_S
ISSUING_S = 7 * DAY_S
LEAF_S = 3600.0
MIN_LEAF_S = 1.0
MAX_KEY_FILE_BYTES = 8192

Record = Callable[[IdentityRecord], None]


@dataclass(frozen=True, slots=True)
class Grant:
    """A leaf, the issuing CA above it, and its serial number and end (seconds since 1970)."""

    chain_pem: bytes
    serial: int
    not_after: float


@dataclass(frozen=True, slots=True)
class Rotation:
    """A new issuing CA: when it begins to sign, and when the old one leaves the bundle (seconds since 1970)."""

    serial: int
    signs_from: float
    old_leaves_at: float


@dataclass(frozen=True, slots=True)
class CaState:
    """A CA at one moment: ``waits`` in the bundle, ``signs``, ``stopped`` and is still trusted, or ``left``.

    ``until``: when that changes, seconds since 1970; for one that signs, its certificate's end.
    """

    serial: int
    role: Literal["root", "issuing"]
    state: Literal["trusted", "waits", "signs", "stopped", "left"]
    until: float


class Authority:
    """Issues the identities of one trust domain. Thread-safe; several processes may open the same home.

    Args:
        home: holds the state database and the keys.
        record: told of every issuance, block and rotation before it takes effect; when it raises, nothing happens.
        clock: seconds since 1970.

    Raises:
        IdentityError: the home has no CA.
        StoreError: the database or the folder of keys cannot be used.
    """

    def __init__(self, home: Home, *, record: Record | None = None, clock: Callable[[], float] = time.time) -> None:
        self._folder = home.path / "ca"
        self._record = record
        self._clock = clock
        self._news = Subscribers()
        self._keys: dict[int, CaKey] = {}
        self.register = Register(home)
        roots = [row for row in self.register.authorities() if row.role == "root"]
        if not roots:
            self.register.close()
            raise IdentityError(
                f"{home.path} has no CA; run `agentguard ca init`, or join one with `agentguard ca join`"
            )
        self._root = roots[0]
        self.trust_domain = roots[0].trust_domain
        self.leaf_s = roots[0].leaf_s

    @classmethod
    def create(
        cls,
        home: Home,
        trust_domain: str,
        *,
        leaf_s: float = LEAF_S,
        root_key: Path | None = None,
        record: Record | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Authority:
        """Make root and first issuing CA.

        Args:
            leaf_s: life of a leaf in seconds, at most 24 hours.
            root_key: where the root's key is written in place of the home: to be taken offline, and needed again by
                ``rotate``.

        Raises:
            ConfigError: ``leaf_s`` out of range.
            IdentityError: no trust domain, or the home has a CA already.
            StoreError: a key file exists or cannot be written.
        """
        if not MIN_LEAF_S <= leaf_s <= MAX_LEAF_S:
            raise ConfigError(f"a leaf lives from {MIN_LEAF_S:g} to {MAX_LEAF_S:g} seconds, got {leaf_s:g}")
        SpiffeId(trust_domain, "/ca")
        now = clock()
        key, issuing_key = new_key(), new_key()
        root = root_certificate(key, trust_domain, start=now - BACKDATED_S, end=now + ROOT_S)
        issuing = issuing_certificate(
            issuing_key, root, key, trust_domain, start=now - BACKDATED_S, end=now + ISSUING_S
        )
        rows = (
            _row("root", root, trust_domain, signs_from=now - 1, leaf_s=leaf_s),
            _row("issuing", issuing, trust_domain, signs_from=now, leaf_s=leaf_s),
        )
        folder = home.path / "ca"
        kept = [
            (folder / _key_name(issuing.serial_number), issuing_key),
            (root_key or folder / _key_name(root.serial_number), key),
        ]
        register = Register(home)
        try:
            if register.authorities():
                raise IdentityError("this home has a CA already; `agentguard ca list` shows it")
            if record is not None:
                record(IdentityRecord("init", f"spiffe://{trust_domain}", "CA made", serial=root.serial_number))
            make_private_folder(folder)
            with _kept(kept):
                register.found(*rows)
        finally:
            register.close()
        return cls(home, record=record, clock=clock)

    @property
    def service_id(self) -> SpiffeId:
        """The identity of the CA's own service. Nobody else is given it."""
        return SpiffeId(self.trust_domain, "/ca")

    @property
    def root_pem(self) -> bytes:
        """The root's certificate: what join tokens pin."""
        return self._root.certificate

    @property
    def root_digest(self) -> bytes:
        """SHA-256 of the root's certificate (DER)."""
        return bytes.fromhex(fingerprint(_loaded(self._root)))

    def bundle(self) -> bytes:
        """The issuing CAs that are trusted now, oldest first, as PEM."""
        now = self._clock()
        return b"".join(row.certificate for row in self._issuing() if row.leaves_at is None or now < row.leaves_at)

    def standing(self) -> Standing:
        """Bundle and block list as of now; an issuing CA at half of its life is followed by a new one."""
        self._follow_up()
        return Standing(self.bundle(), self.register.block_list(self.trust_domain))

    def signed_block_list(self) -> bytes:
        """The block list as a document for others, signed by the issuing CA of this moment."""
        return self.register.block_list(self.trust_domain).signed(self._key(self._signing()))

    def agent_id(self, name: str) -> SpiffeId:
        """The SPIFFE ID of ``NAME`` or ``NAME/INSTANCE``; a whole ID of this trust domain is taken as it is.

        Raises:
            IdentityError: no agent name, an ID of another trust domain, or the CA's own.
        """
        if name.startswith("spiffe://"):
            found = SpiffeId.parse(name)
        else:
            agent, _, instance = name.partition("/")
            found = SpiffeId.of_agent(self.trust_domain, agent, instance or None)
        self._check_subject(found)
        return found

    def grant(self, spiffe_id: SpiffeId, key: LeafKey, *, how: How, by: str | None = None) -> Grant:
        """Issue a leaf. It is recorded and in the issuance log before anybody holds it.

        Args:
            key: the public key whose possession was proven.
            how: what led to it.
            by: who asked, for the record.

        Raises:
            IdentityError: not of this trust domain, reserved, blocked, or a key that had a certificate before.
            StoreError: the issuance log cannot be written.
        """
        if how != "service":
            self._check_subject(spiffe_id)
        if self.register.block_list(self.trust_domain).blocks(spiffe_id, 0):
            raise IdentityError(f"{spiffe_id} is blocked; `agentguard ca list` tells since when")
        self._follow_up()
        row = self._signing()
        now, issuer = self._clock(), _loaded(row)
        end = min(now + self.leaf_s, issuer.not_valid_after_utc.timestamp())
        leaf = leaf_certificate(key, spiffe_id, issuer, self._key(row), start=now - BACKDATED_S, end=end)
        entry = Issued(leaf.serial_number, str(spiffe_id), row.serial, how, now, end, by)
        self.register.log(entry, fingerprint=fingerprint(leaf), key_digest=key_digest(key))
        self._tell("renew" if how == "renew" else "issue", str(spiffe_id), how, serial=leaf.serial_number, by=by)
        return Grant(pem_of_certificate(leaf, issuer), leaf.serial_number, end)

    def identity(self, spiffe_id: SpiffeId, *, how: How = "local", by: str | None = None) -> Identity:
        """A fresh key with its leaf, made in this process.

        Raises:
            IdentityError, StoreError: as ``grant``.
        """
        key = new_key()
        granted = self.grant(spiffe_id, key.public_key(), how=how, by=by)
        return Identity.from_pem(granted.chain_pem, pem_of_key(key), self.bundle())

    def source(
        self, spiffe_id: SpiffeId, *, poll_s: float = 2.0, on_close: Callable[[], None] | None = None
    ) -> RotatingIdentity:
        """An identity source for an agent in this process; blocks by this object are known at once, others by polling.

        Raises:
            IdentityError, StoreError: as ``grant``.
        """
        how: How = "service" if spiffe_id == self.service_id else "local"
        return RotatingIdentity(
            lambda _present: self.identity(spiffe_id, how=how), self.standing, news=self._news, on_close=on_close,
            record=self._record, poll_s=poll_s, clock=self._clock,
        )  # fmt: skip

    def block(self, target: SpiffeId | int, *, reason: str, by: str | None = None) -> int:
        """Refuse an identity with all its instances, or one leaf by its serial number; returns the list's number.

        Raises:
            IdentityError: an identity of another trust domain.
        """
        kind, value = self._blockable(target)
        self._tell("block", value, f"{kind}: {reason}", by=by)
        version = self.register.block(kind, value, reason=reason, now=self._clock())
        self._news.call()
        return version

    def lift(self, target: SpiffeId | int, *, by: str | None = None) -> int:
        """Take a block back; returns the list's number.

        Raises:
            IdentityError: it is not blocked.
        """
        kind, value = self._blockable(target)
        self._tell("unblock", value, kind, by=by)
        version = self.register.lift(kind, value)
        self._news.call()
        return version

    def rotate(self, *, compromised: bool = False, root_key: Path | None = None, by: str | None = None) -> Rotation:
        """Begin with a new issuing CA.

        Args:
            compromised: the present key is in foreign hands: the old CA leaves the bundle at once. Agents of this
                home get new leaves; those that joined over the network must join again.
            root_key: the root's key, when it is kept elsewhere.

        Raises:
            IdentityError: a rotation is under way, or the root's key is not here.
        """
        last, now = self._latest(), self._clock()
        if last.signs_from > now and not compromised:
            raise IdentityError("a new issuing CA waits for its time already; `agentguard ca list` tells when it comes")
        made = self._successor(last, root_key=root_key, at_once=compromised)
        if made is None:
            raise IdentityError("another process rotated the CA at this moment; `agentguard ca list` shows the result")
        detail = "compromised" if compromised else "planned"
        self._tell("rotate", f"spiffe://{self.trust_domain}", detail, serial=made.serial, by=by)
        self._news.call()
        return made

    def schedule(self) -> list[CaState]:
        """Every CA there was, oldest first, with what it does at this moment."""
        now, signing = self._clock(), self._signing_or_none()
        return [_state(row, now, signing) for row in self.register.authorities()]

    def issued(self, *, ended: bool = False) -> list[Issued]:
        """The issuance log, newest first; with ``ended``, leaves whose time is over too."""
        return self.register.issued(after=0.0 if ended else self._clock())

    def blocks(self) -> list[Blocked]:
        """Who is blocked, and why."""
        return self.register.blocks()

    def close(self) -> None:
        """Close the database's connections; identity sources made here must be closed before."""
        self.register.close()

    def _blockable(self, target: SpiffeId | int) -> tuple[Literal["identity", "serial"], str]:
        if isinstance(target, int):
            return "serial", f"{target:x}"
        self._check_subject(target)
        return "identity", str(target)

    def _check_subject(self, spiffe_id: SpiffeId) -> None:
        if spiffe_id.trust_domain != self.trust_domain:
            raise IdentityError(f"{spiffe_id} is not of this CA's trust domain, {self.trust_domain}")
        if spiffe_id.path.split("/")[1] == "ca":
            raise IdentityError(f"{spiffe_id} is the CA's own identity; choose /agent/NAME")

    def _issuing(self) -> list[CaRow]:
        return [row for row in self.register.authorities() if row.role == "issuing"]

    def _latest(self) -> CaRow:
        """The one issuing CA that no other follows yet."""
        return next(row for row in self._issuing() if row.leaves_at is None)

    def _signing(self) -> CaRow:
        row = self._signing_or_none()
        if row is None:
            raise IdentityError("the issuing CA has expired; run `agentguard ca rotate` with the root's key")
        return row

    def _signing_or_none(self) -> CaRow | None:
        now = self._clock()
        ready = [
            row for row in self._issuing() if row.signs_from <= now and (row.leaves_at is None or now < row.leaves_at)
        ]
        return ready[-1] if ready and now < _end(ready[-1]) else None

    def _follow_up(self) -> None:
        """Rotate by itself at half of the issuing CA's life, when the root's key is here and lives longer."""
        last = self._latest()
        start = _loaded(last).not_valid_before_utc.timestamp()
        if self._clock() < (start + _end(last)) / 2 or _end(last) >= _end(self._root):
            return
        if not (self._folder / _key_name(self._root.serial)).exists():
            return
        made = self._successor(last, root_key=None, at_once=False)
        if made is not None:
            self._tell("rotate", f"spiffe://{self.trust_domain}", "half-life", serial=made.serial)

    def _successor(self, last: CaRow, *, root_key: Path | None, at_once: bool) -> Rotation | None:
        above = _read_key(root_key or self._folder / _key_name(self._root.serial))
        root = _loaded(self._root)
        if above.public_key() != root.public_key():
            raise IdentityError("that is not the root's key; `agentguard ca init` wrote it")
        key, now = new_key(), self._clock()
        # Signing begins once every agent that renews in time knows the new CA; an expiring one cannot wait so long.
        signs_from = now if at_once else max(now, min(now + self.leaf_s, _end(last)))
        end = min(signs_from + ISSUING_S, _end(self._root))
        made = issuing_certificate(key, root, above, self.trust_domain, start=now - BACKDATED_S, end=end)
        # The key first: a row without its key could not sign.
        path = self._folder / _key_name(made.serial_number)
        _write_key(path, key)
        row = _row("issuing", made, self.trust_domain, signs_from=signs_from, leaf_s=self.leaf_s)
        leaves_at = now if at_once else signs_from + self.leaf_s
        if not self.register.succeed(row, after=last.serial, leaves_at=leaves_at, alone=at_once):
            path.unlink(missing_ok=True)
            return None
        return Rotation(made.serial_number, signs_from, leaves_at)

    def _key(self, row: CaRow) -> CaKey:
        if row.serial not in self._keys:
            path = self._folder / _key_name(row.serial)
            if not os.path.lexists(path):
                # Several hosts may share the database; the keys stay on the one where the CA was made.
                raise IdentityError(
                    f"the CA's key is not in {self._folder}; agents of this host join: `agentguard ca join`"
                )
            self._keys[row.serial] = _read_key(path)
        return self._keys[row.serial]

    def _tell(
        self, action: Literal["issue", "renew", "block", "unblock", "rotate"], subject: str, detail: str, *,
        serial: int | None = None, by: str | None = None,
    ) -> None:  # fmt: skip
        if self._record is not None:
            self._record(IdentityRecord(action, subject, detail, serial=serial, by=by))


def _row(
    role: Literal["root", "issuing"], certificate: x509.Certificate, trust_domain: str, *, signs_from: float,
    leaf_s: float,
) -> CaRow:  # fmt: skip
    pem = pem_of_certificate(certificate)
    return CaRow(certificate.serial_number, role, trust_domain, pem, signs_from, None, leaf_s)


def _loaded(row: CaRow) -> x509.Certificate:
    return x509.load_pem_x509_certificate(row.certificate)


def _state(row: CaRow, now: float, signing: CaRow | None) -> CaState:
    end = _end(row) if row.leaves_at is None else min(_end(row), row.leaves_at)
    if end <= now:
        return CaState(row.serial, row.role, "left", end)
    if row.role == "root":
        return CaState(row.serial, row.role, "trusted", end)
    if signing is not None and row.serial == signing.serial:
        return CaState(row.serial, row.role, "signs", end)
    if row.signs_from > now:
        return CaState(row.serial, row.role, "waits", row.signs_from)
    return CaState(row.serial, row.role, "stopped", end)


def _end(row: CaRow) -> float:
    return _loaded(row).not_valid_after_utc.timestamp()


def _key_name(serial: int) -> str:
    return f"{serial:x}.key"


@contextmanager
def _kept(keys: list[tuple[Path, CaKey]]) -> Iterator[None]:
    """Key files that exist while what needs them is stored, and go again when it is not."""
    written: list[Path] = []
    try:
        for path, key in keys:
            _write_key(path, key)
            written.append(path)
        yield
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _write_key(path: Path, key: CaKey) -> None:
    if os.path.lexists(path):
        raise IdentityError(f"{path} exists and is never overwritten; choose another file")
    with atomic_file(path) as file:
        file.write(pem_of_key(key))


def _read_key(path: Path) -> CaKey:
    from agentguard.channel.files import read_private

    try:
        key = load_pem_private_key(read_private(path, limit=MAX_KEY_FILE_BYTES), password=None)
    except (ValueError, TypeError):
        # Not chained: a parser's message may show a part of the key.
        raise IdentityError(f"{path} is no readable private key; restore it from your backup") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"{path} holds no P-256 key; restore it from your backup")
    return key
