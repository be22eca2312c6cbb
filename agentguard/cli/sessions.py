"""``agentguard sessions``: who is logged in, and ending it. Recorded in the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agentguard.accounts import SecureSessionManager
from agentguard.audit import AuditLog
from agentguard.cli.option import HomeOption, JsonOption
from agentguard.cli.output import print_json, print_table, shown
from agentguard.cli.roles import operator
from agentguard.errors import ConfigError
from agentguard.store import Home

__all__ = ["sessions"]

sessions = typer.Typer(help="Who is logged in.", no_args_is_help=True)


@sessions.command("list")
def list_sessions(
    user: Annotated[str | None, typer.Argument(help="The user's id; everybody when absent.")] = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Show the live sessions, newest first. An id here is no token and opens nothing."""
    with _opened(home) as manager:
        found = manager.sessions(user)
    if as_json:
        for row in found:
            print_json(
                {
                    "id": row.id,
                    "user_id": row.user_id,
                    "kind": row.kind,
                    "tenant": row.tenant,
                    "created_at": _moment(row.created_at),
                    "seen_at": _moment(row.seen_at),
                    "expires_at": _moment(row.expires_at),
                }
            )
    elif found:
        print_table(
            ["id", "user", "kind", "tenant", "began", "last used", "ends"],
            [
                [
                    row.id,
                    shown(row.user_id),
                    row.kind,
                    shown(row.tenant or "-"),
                    _moment(row.created_at),
                    _moment(row.seen_at),
                    _moment(row.expires_at),
                ]
                for row in found
            ],
        )
    else:
        typer.echo("no live sessions", err=True)


@sessions.command()
def revoke(
    session: Annotated[str | None, typer.Argument(help="A session's id, as `list` shows it.")] = None,
    *,
    user: Annotated[str | None, typer.Option("--user", help="Every session of this user.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Every session.")] = False,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """End a session, those of a user, or all. Running processes refuse their tokens within a second.

    Exits with 1 when nothing lived to be ended.
    """
    if (session is not None) + (user is not None) + everybody != 1:
        raise ConfigError("name one of: a session's id, --user, --all")
    with _opened(home) as manager:
        if session is not None:
            count = int(manager.revoke_session(session))
        else:
            count = manager.revoke_user(user) if user is not None else manager.revoke_all()
    if as_json:
        print_json({"revoked": count})
    typer.echo(f"{count} session{'' if count == 1 else 's'} ended", err=True)
    if not count:
        raise typer.Exit(1)


@sessions.command("rotate-keys")
def rotate_keys(
    retire: Annotated[
        bool, typer.Option("--retire", help="An older key may be known: refuse its tokens and end all sessions.")
    ] = False,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Sign new tokens with a new key. Tokens of the older ones stay good until they end."""
    with _opened(home) as manager:
        key_id = manager.rotate_keys(retire=retire)
    if as_json:
        print_json({"key_id": key_id, "retired": retire})
    typer.echo(f"tokens are signed with the key {key_id} from now on", err=True)


@contextmanager
def _opened(home: Path) -> Iterator[SecureSessionManager]:
    found = Home.open(home)
    with (
        AuditLog.open(found) as log,
        SecureSessionManager(home=found, log=log, strict=True) as manager,
        operator().active(),
    ):
        yield manager


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
