"""``agentguard init``: make the project's folder, its key and its audit log."""

from __future__ import annotations

from pathlib import Path

import typer

from agentguard.audit import AuditLog
from agentguard.errors import StoreError
from agentguard.keys import create_password_key
from agentguard.store import Home

__all__ = ["init"]


def init(home: Path, policy_path: Path, *, policy: str, master_password: bool = False) -> None:
    """Make ``home``, begin its log, print the log's verifier key, and write ``policy`` unless a policy exists.

    Running it again changes nothing: no key, log or policy is ever overwritten.

    Raises:
        StoreError: the folder or a file cannot be made, or is not safe.
        KeySourceError: the key file is missing or open to others.
        TamperError: the log in the folder is not the one it was made with.
    """
    if master_password:
        create_password_key(home)
    made = Home.create(home)
    with AuditLog.open(made) as log:
        typer.echo(str(log.verifier_key))
    key = made.password_path if made.password_path.exists() else made.key_path
    typer.echo(f"{made.path} holds the key and the audit log; back up {key}, keep it off the log's disk", err=True)
    try:
        with policy_path.open("x", encoding="utf-8") as file:
            file.write(policy)
    except FileExistsError:
        typer.echo(f"{policy_path} exists and was kept", err=True)
    except OSError as error:
        raise StoreError(f"{policy_path} cannot be written ({error.strerror}); choose another --policy") from error
    else:
        typer.echo(f"wrote {policy_path}: no tool is permitted until it is named there", err=True)
