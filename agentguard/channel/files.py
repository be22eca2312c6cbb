"""An identity that another program keeps in files: cert-manager, a mesh's sidecar, smallstep, a script with openssl.

The files are looked at every second. New content is used only once certificate, key and bundle belong together and
shake hands with themselves: half-written files and a certificate beside another one's key are passed over, and the
identity used before stays until it expires.
"""

from __future__ import annotations

import contextlib
import logging
import os
import ssl
import stat
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from agentguard.channel.blocklist import MAX_DOCUMENT_BYTES, BlockList
from agentguard.channel.identity import MAX_PEM_BYTES, Identity, IdentityRecord, parse_certificates
from agentguard.channel.renewal import ALERT_AT, Subscribers
from agentguard.channel.spiffe import SpiffeId
from agentguard.channel.tls import client_context, refused_handshake, server_context
from agentguard.errors import AgentGuardError, IdentityError

__all__ = ["CertificateFiles", "check_handshake", "read_private", "read_small"]

_log = logging.getLogger("agentguard")

# name, size and time of change of each file: what differs when somebody wrote.
_Mark = tuple[tuple[int, int, int] | None, ...]


class CertificateFiles:
    """An ``IdentitySource`` over PEM files that change.

    Args:
        chain: the leaf, followed by the CAs above it.
        key: its private key, not encrypted, readable by nobody outside our group.
        bundle: the trust domain's CAs.
        block_list: a signed block list (``agentguard ca block --out``); nobody is blocked when absent. A file that is
            named here and cannot be read makes every peer count as unknown.
        record: told of a new identity, and of content that was passed over.
        poll_s: seconds between two looks.
        clock: seconds since 1970.

    Raises:
        IdentityError: the files hold no usable identity now.
    """

    def __init__(
        self,
        chain: Path | str,
        key: Path | str,
        bundle: Path | str,
        *,
        block_list: Path | str | None = None,
        record: Callable[[IdentityRecord], None] | None = None,
        poll_s: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._chain, self._key, self._bundle = Path(chain), Path(key), Path(bundle)
        self._list_path = None if block_list is None else Path(block_list)
        self._record = record
        self._poll_s = poll_s
        self._clock = clock
        self._subscribers = Subscribers()
        self._closed = threading.Event()
        self._working = threading.Lock()
        self._alerted = False
        self._mark = self._marks()
        self._passed_over: _Mark = ()
        self._identity = self._read()
        self._blocks = BlockList(self._identity.spiffe_id.trust_domain)
        self._list_error: str | None = None
        self._list_mark: _Mark = ()
        self._read_list()
        self._thread = threading.Thread(target=self._run, name="agentguard-files", daemon=True)
        self._thread.start()

    def current(self) -> Identity:
        """As ``IdentitySource.current``."""
        identity = self._identity
        if self._closed.is_set():
            raise IdentityError(f"the identity {identity.spiffe_id} was closed")
        if not identity.valid_at(datetime.fromtimestamp(self._clock(), UTC)):
            raise IdentityError(
                f"the certificate in {self._chain} is valid until {identity.not_after:%Y-%m-%d %H:%M:%S} UTC; "
                "whatever writes the file has not renewed it"
            )
        return identity

    def blocked(self, spiffe_id: SpiffeId, serial: int, /) -> bool:
        """As ``IdentitySource.blocked``."""
        if self._list_error is not None:
            raise IdentityError(self._list_error)
        return self._blocks.blocks(spiffe_id, serial)

    def subscribe(self, changed: Callable[[], None], /) -> Callable[[], None]:
        """As ``IdentitySource.subscribe``."""
        return self._subscribers.add(changed)

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=10.0)

    def look(self) -> bool:
        """Look at the files now; True when something new is in use."""
        with self._working:
            changed = self._look_at_identity()
            changed = self._read_list() or changed
        if changed:
            self._subscribers.call()
        return changed

    def _run(self) -> None:
        while not self._closed.wait(self._poll_s):
            try:
                self.look()
                self._alert_when_late()
            except Exception:  # noqa: BLE001  # an unknown failure must not end watching: the next look may succeed
                _log.exception("looking at the certificate files failed")

    def _look_at_identity(self) -> bool:
        mark = self._marks()
        if mark == self._mark:
            return False
        try:
            fresh = self._read()
            if fresh.spiffe_id != self._identity.spiffe_id:
                raise IdentityError(f"the files are {fresh.spiffe_id}'s now; a running agent keeps its name")
            if self._marks() != mark:
                return False  # somebody is writing: look again
        except IdentityError as error:
            if mark != self._passed_over:
                self._passed_over = mark
                self._tell("refuse", f"new files were passed over: {error}", success=False)
            return False
        changed = fresh != self._identity
        self._mark, self._identity = mark, fresh
        if changed:
            self._alerted = False
            self._tell("renew", f"read from {self._chain.name}")
        return changed

    def _read(self) -> Identity:
        chain = read_small(self._chain, limit=MAX_PEM_BYTES)
        bundle = read_small(self._bundle, limit=MAX_PEM_BYTES)
        identity = Identity.from_pem(chain, read_private(self._key, limit=MAX_PEM_BYTES, group=True), bundle)
        check_handshake(identity)
        return identity

    def _read_list(self) -> bool:
        if self._list_path is None:
            return False
        mark = (_mark(self._list_path), *self._mark)
        if mark == self._list_mark:
            return False
        try:
            document = read_small(self._list_path, limit=MAX_DOCUMENT_BYTES)
            signers = parse_certificates(self._identity.roots_pem, "the bundle")
            found = self._blocks.successor(document, signers)
        except IdentityError as error:
            fault = f"{self._list_path} is no usable block list: {error}"
            if fault != self._list_error:
                self._list_error = fault
                self._tell("alert", fault, success=False)
            return False
        changed = found != self._blocks or self._list_error is not None
        self._blocks, self._list_error, self._list_mark = found, None, mark
        return changed

    def _marks(self) -> _Mark:
        return tuple(_mark(path) for path in (self._chain, self._key, self._bundle))

    def _alert_when_late(self) -> None:
        start, end = self._identity.not_before.timestamp(), self._identity.not_after.timestamp()
        if not self._alerted and self._clock() >= start + (end - start) * ALERT_AT:
            self._alerted = True
            self._tell("alert", "the certificate was not renewed by 80 % of its life", success=False)

    def _tell(self, action: Literal["refuse", "renew", "alert"], detail: str, *, success: bool = True) -> None:
        if self._record is None:
            return
        identity = self._identity
        with contextlib.suppress(AgentGuardError):
            self._record(
                IdentityRecord(action, str(identity.spiffe_id), detail, serial=identity.serial, success=success)
            )


def check_handshake(identity: Identity) -> None:
    """Have an identity shake hands with itself in memory: the same code that peers will judge it by.

    Raises:
        IdentityError: it would be refused.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client_context(identity).wrap_bio(to_client, to_server, server_side=False),
        server_context(identity).wrap_bio(to_server, to_client, server_side=True),
    ]
    try:
        # Hello; answer with certificate; certificate and end; end.
        for end in (*ends, *ends):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    except ssl.SSLError as error:
        reason = refused_handshake(error).reason
        raise IdentityError(f"peers of this bundle would refuse the certificate: {reason}") from error


def read_small(path: Path, *, limit: int) -> bytes:
    """A file that anybody may read, up to ``limit`` bytes.

    Raises:
        IdentityError: absent, not a file, larger, or unreadable.
    """
    return _read(path, limit, forbidden=0)


def read_private(path: Path, *, limit: int, group: bool = False) -> bytes:
    """A file that holds a key.

    Args:
        group: whether our group may read it, as the files that Kubernetes mounts.

    Raises:
        IdentityError: as ``read_small``, or readable by others.
    """
    return _read(path, limit, forbidden=0o007 if group else 0o077)


def _read(path: Path, limit: int, *, forbidden: int) -> bytes:
    try:
        # O_NONBLOCK: a named pipe in the file's place must not hang us. Links are followed: mounts swap them.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise IdentityError(f"{path} cannot be opened ({error.strerror})") from error
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise IdentityError(f"{path} is not a regular file")
        if info.st_mode & forbidden:
            raise IdentityError(
                f"{path} holds a private key and is open to others (mode {info.st_mode & 0o777:03o}); "
                f"run: chmod 600 {path}"
            )
        content = file.read(limit + 1)
    if len(content) > limit:
        raise IdentityError(f"{path} is larger than {limit} bytes")
    return content


def _mark(path: Path) -> tuple[int, int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns
