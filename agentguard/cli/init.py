"""``agentguard init``: make the project's folder, its key and its audit log."""

from __future__ import annotations

from pathlib import Path

import typer
from sqlalchemy import MetaData

from agentguard.audit import AuditLog
from agentguard.errors import StoreError
from agentguard.keys import create_password_key
from agentguard.store import Home, open_state

__all__ = ["init"]


def init(
    home: Path,
    policy_path: Path,
    *,
    policy: str,
    master_password: bool = False,
    state_url: str | None = None,
    audit_url: str | None = None,
) -> None:
    """Make ``home``, begin its log, print the log's verifier key, and write ``policy`` unless a policy exists.

    Running it again changes nothing: no key, log or policy is ever overwritten.

    Args:
        state_url: PostgreSQL for the state database (``agentguard.store.ServerUrl``), remembered in the folder.
        audit_url: the same for the audit log.

    Raises:
        ConfigError: a URL cannot be used, or the folder has its databases in files already.
        StoreUnavailable: a database server cannot be reached, or does not let us in.
        StoreError: the folder or a file cannot be made, or is not safe.
        KeySourceError: the key file is missing or open to others.
        TamperError: the log in the folder is not the one it was made with.
    """
    if master_password:
        create_password_key(home)
    made = Home.create(home, state_url=state_url, audit_url=audit_url)
    open_state(made, MetaData()).dispose()
    with AuditLog.open(made) as log:
        typer.echo(str(log.verifier_key))
    key = made.password_path if made.password_path.exists() else made.key_path
    if made.audit_server is None:
        typer.echo(f"{made.path} holds the key and the audit log; back up {key}, keep it off the log's disk", err=True)
    else:
        typer.echo(f"the audit log is in {made.audit_server}", err=True)
        typer.echo(f"{made.path} holds its key; back up {key}, and give the same key to every host", err=True)
    if made.state_server is not None:
        typer.echo(f"the state is in {made.state_server}", err=True)
    try:
        with policy_path.open("x", encoding="utf-8") as file:
            file.write(policy)
    except FileExistsError:
        typer.echo(f"{policy_path} exists and was kept", err=True)
    except OSError as error:
        raise StoreError(f"{policy_path} cannot be written ({error.strerror}); choose another --policy") from error
    else:
        typer.echo(f"wrote {policy_path}: no tool is permitted until it is named there", err=True)
