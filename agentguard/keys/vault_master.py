"""The vault's master key, locked by a password, and the bridge from a master to the one that followed it.

The master itself is random; a password only opens it. After a re-key the former master stays for a grace and carries
the new one wrapped under itself, so that processes that hold it, or start with its password, go on.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Protocol

from agentguard.errors import ConfigError, DecryptError, ForgedError, WrongPasswordError
from agentguard.keys.envelope import DataKey, commitment, unwrap, wrap
from agentguard.keys.password import Argon2Cost, Stretching

__all__ = ["MasterRow", "bridge", "bridged", "locked", "stretching_of", "unlocked"]


class MasterRow(Protocol):
    """A row of the table of masters."""

    master_id: Any
    stretching: Any
    password_id: Any
    wrapped: Any
    checksum: Any
    successor: Any
    bridge: Any
    expires_at: Any


def locked(master: DataKey, password: str, *, vault_id: str, cost: Argon2Cost) -> dict[str, Any]:
    """The columns that let ``password`` open ``master``. Stretches the password: a quarter of a second."""
    stretching = Stretching.fresh(cost)
    key = stretching.key(password)
    text = json.dumps(stretching.fields())
    values = {
        "master_id": master.id.hex(),
        "stretching": text,
        "password_id": commitment(key).hex(),
        "wrapped": wrap(master, kek=key, associated_data=_bound(vault_id, text)),
    }
    return {**values, "checksum": _checksum(vault_id, values)}


def unlocked(row: MasterRow, password: str, *, vault_id: str) -> DataKey | None:
    """The master that ``password`` opens; None when the row was locked by another password.

    Raises:
        ForgedError: the row was changed.
    """
    key = stretching_of(row, vault_id=vault_id).key(password)
    if not hmac.compare_digest(commitment(key).hex(), row.password_id):
        return None
    try:
        bound = _bound(vault_id, row.stretching)
        return unwrap(row.wrapped, kek=key, key_id=bytes.fromhex(row.master_id), associated_data=bound)
    except DecryptError as error:
        raise _forged() from error


def stretching_of(row: MasterRow, *, vault_id: str) -> Stretching:
    """How the row's password was stretched.

    Raises:
        ForgedError: the row was changed. (Whoever changes it with care makes every password wrong.)
    """
    values = {name: getattr(row, name) for name in ("master_id", "stretching", "password_id", "wrapped")}
    if not hmac.compare_digest(_checksum(vault_id, values), row.checksum):
        raise _forged()
    try:
        return Stretching.parse(json.loads(row.stretching))
    except (ConfigError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise _forged() from error


def bridge(old: DataKey, new: DataKey, *, vault_id: str) -> dict[str, Any]:
    """The columns that lead whoever holds ``old`` to ``new``."""
    wrapped = wrap(new, kek=old.key, associated_data=b"agentguard vault bridge 1" + vault_id.encode())
    return {"successor": new.id.hex(), "bridge": wrapped}


def bridged(row: MasterRow | None, old: DataKey, *, vault_id: str, now: float) -> DataKey:
    """The master that followed ``old``.

    Raises:
        WrongPasswordError: the grace after the re-key is over.
        ForgedError: the bridge was changed.
    """
    if row is None or row.bridge is None or row.expires_at is None or row.expires_at <= now:
        raise WrongPasswordError(
            "the vault's master password was changed and the old one's grace is over; use the new one"
        )
    try:
        bound = b"agentguard vault bridge 1" + vault_id.encode()
        return unwrap(row.bridge, kek=old.key, key_id=bytes.fromhex(row.successor), associated_data=bound)
    except (DecryptError, ValueError) as error:
        raise _forged() from error


def _bound(vault_id: str, stretching: str) -> bytes:
    return b"agentguard vault master 1" + vault_id.encode() + stretching.encode()


def _checksum(vault_id: str, values: Mapping[str, Any]) -> bytes:
    # Not keyed: tells a damaged row from a wrong password, which would look the same.
    whole = hashlib.sha256(vault_id.encode())
    for name in ("master_id", "stretching", "password_id"):
        whole.update(str(values[name]).encode() + b"\n")
    whole.update(values["wrapped"])
    return whole.digest()


def _forged() -> ForgedError:
    return ForgedError("the vault's master row was changed or damaged; restore a backup, treat as an incident")
