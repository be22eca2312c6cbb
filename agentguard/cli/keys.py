"""``agentguard keys``: API keys, keys of files, the key encryption key. Secrets come by prompt, stdin or file."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from agentguard.accounts import rotate_kek as rotate
from agentguard.assembly import SecureAPIKeyManager, rotate_data_key
from agentguard.cli.option import HomeOption, JsonOption, duration
from agentguard.cli.output import print_json, print_table, shown
from agentguard.cli.secret import (
    NEW_PASSWORD,
    master_password,
    new_master_password,
    no_more_arguments,
    secret_value,
)
from agentguard.errors import ConfigError
from agentguard.keys import DataEncryption, KeyFile, KeyReport
from agentguard.store import Home

__all__ = ["app"]

app = typer.Typer(help="API keys, the keys of files, and the key of the project's folder.", no_args_is_help=True)

# What a command does not know reaches it, so that the error need not repeat it.
_QUIET = {"allow_extra_args": True, "ignore_unknown_options": True}

ServiceArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="SERVICE", help="The key's name, for example openai.")
]
PasswordOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--password-file", help="Holds the master password (mode 600); else MASTER_PASSWORD, else a prompt."),
]
ExpiryOption: TypeAlias = Annotated[
    str | None, typer.Option("--expires-in", help="For example 90d: then the value is refused; never when absent.")
]
GraceOption: TypeAlias = Annotated[
    str, typer.Option("--grace", help="How long the version before can be read and rolled back to; 0 destroys it.")
]


@app.command("set", context_settings=_QUIET)
def store(  # noqa: PLR0917  # typer reads options from plain parameters
    context: typer.Context,
    service: ServiceArgument,
    expires_in: ExpiryOption = None,
    grace: GraceOption = "24h",
    password_file: PasswordOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Keep an API key. It is asked for without echo, or read from stdin."""
    no_more_arguments(context)
    lasting, kept = _lasting(expires_in), _span(grace)
    with _vault(home, password_file) as vault:
        value = secret_value(f"API key of {service}: ")
        _tell(service, vault.store_api_key(service, value, expires_in=lasting, grace=kept), as_json)


@app.command("rotate", context_settings=_QUIET)
def rotate_key(  # noqa: PLR0917  # typer reads options from plain parameters
    context: typer.Context,
    service: ServiceArgument,
    expires_in: ExpiryOption = None,
    grace: GraceOption = "24h",
    password_file: PasswordOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Put a new value in the place of the one that is there."""
    no_more_arguments(context)
    lasting, kept = _lasting(expires_in), _span(grace)
    with _vault(home, password_file) as vault:
        value = secret_value(f"New API key of {service}: ")
        _tell(service, vault.rotate_api_key(service, value, expires_in=lasting, grace=kept), as_json)


@app.command("get", context_settings=_QUIET)
def get(  # noqa: PLR0917  # typer reads options from plain parameters
    context: typer.Context,
    service: ServiceArgument,
    version: Annotated[int | None, typer.Option("--version", help="An older one, in its grace.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Print it even to a terminal.")] = False,
    password_file: PasswordOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Write an API key to stdout: into a pipe or a file, to a terminal only with --show."""
    no_more_arguments(context)
    if sys.stdout.isatty() and not show:
        raise ConfigError("stdout is a terminal, which keeps what it shows; pipe the key on, or add --show")
    with _vault(home, password_file) as vault:
        value = vault.get_api_key(service, version=version)
    if as_json:
        print_json({"service": service, "value": value})
    else:
        typer.echo(value)


@app.command("list")
def list_keys(
    max_age: Annotated[str, typer.Option("--max-age", help="A value older than this is due.")] = "90d",
    password_file: PasswordOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Every API key with its versions, age and expiry, never its value. Verifies the whole vault."""
    with _vault(home, password_file) as vault:
        reports = vault.list_api_keys(max_age=duration(max_age))
    if as_json:
        for report in reports:
            print_json(_object(report))
    elif reports:
        print_table(("service", "version", "readable", "age", "expires", "state"), map(_row, reports))
    else:
        typer.echo("the vault is empty; `agentguard keys set SERVICE` keeps a key", err=True)


@app.command("rollback", context_settings=_QUIET)
def rollback(  # noqa: PLR0917  # typer reads options from plain parameters
    context: typer.Context,
    service: ServiceArgument,
    to: Annotated[int | None, typer.Option("--to", help="The version; the one before when absent.")] = None,
    grace: GraceOption = "24h",
    password_file: PasswordOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Make an earlier version, which must be in its grace, the current one again."""
    no_more_arguments(context)
    with _vault(home, password_file) as vault:
        _tell(service, vault.rollback_api_key(service, to=to, grace=_span(grace)), as_json)


@app.command("delete", context_settings=_QUIET)
def delete(
    context: typer.Context,
    service: ServiceArgument,
    password_file: PasswordOption = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Destroy every version of an API key."""
    no_more_arguments(context)
    with _vault(home, password_file) as vault:
        vault.delete_api_key(service)
    _say({"service": service, "deleted": True}, f"{shown(service)}: destroyed", as_json)


@app.command("rekey", context_settings=_QUIET)
def rekey(  # noqa: PLR0917  # typer reads options from plain parameters
    context: typer.Context,
    grace: Annotated[
        str, typer.Option("--grace", help="How long the old password opens the vault too; 0 when it leaked.")
    ] = "1h",
    password_file: PasswordOption = None,
    new_password_file: Annotated[
        Path | None,
        typer.Option("--new-password-file", help=f"Holds the next password; else {NEW_PASSWORD}, else a prompt."),
    ] = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Change the master password and wrap every key anew, in one step; other processes go on meanwhile."""
    no_more_arguments(context)
    kept = _span(grace)
    with _vault(home, password_file) as vault:
        count = vault.rekey(new_master_password(new_password_file), grace=kept)
    _say({"versions": count}, f"{count} versions wrapped anew; set the new master password everywhere", as_json)


@app.command("generate")
def generate(
    file: Annotated[Path, typer.Argument(help="Where the key goes; a file that exists is kept.")],
    as_json: JsonOption = False,
) -> None:
    """Make a key file for `encrypt --key-file`, mode 600."""
    key_id = DataEncryption.from_source(KeyFile.create(file)).key_id
    _say({"file": str(file), "key_id": key_id}, key_id, as_json)
    typer.echo(f"{file} holds the key; back it up: nothing opens without it", err=True)


@app.command("rotate-data-key")
def rotate_data(home: HomeOption = Path(".agentguard"), as_json: JsonOption = False) -> None:
    """Give `encrypt` a new key of the folder's keyring. What older ones encrypted opens as before."""
    added = rotate_data_key(Home.open(home))
    _say({"number": added.number, "key_id": added.key_id}, added.key_id, as_json)
    typer.echo("`agentguard reencrypt FILE...` brings old files under it", err=True)


@app.command("rotate-kek")
def rotate_kek(home: HomeOption = Path(".agentguard"), as_json: JsonOption = False) -> None:
    """Give the folder a new key encryption key. Interrupted, run it again: the old key opens the log until it is done.

    A home with a master password takes the new one from AGENTGUARD_NEW_MASTER_PASSWORD.
    """
    report = rotate(Home.open(home), new_password=os.environ.get(NEW_PASSWORD))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report)))
    else:
        typer.echo(f"{report.keys} keys wrapped anew under {report.new_id[:16]}; back up the new key, destroy the old")
    if report.resumed:
        typer.echo("an interrupted rotation was finished", err=True)


@contextmanager
def _vault(home: Path, password_file: Path | None) -> Iterator[SecureAPIKeyManager]:
    found = Home.open(home)
    with SecureAPIKeyManager(master_password(password_file), home=found) as vault:
        yield vault


def _tell(service: str, version: int, as_json: bool) -> None:
    _say({"service": service, "version": version}, f"{shown(service)}: version {version}", as_json)


def _say(fields: dict[str, object], line: str, as_json: bool) -> None:
    if as_json:
        print_json(fields)
    else:
        typer.echo(line)


def _span(text: str) -> timedelta:
    return timedelta(0) if text == "0" else duration(text)


def _lasting(text: str | None) -> timedelta | None:
    return None if text is None else duration(text)


def _object(report: KeyReport) -> dict[str, object]:
    return {
        "service": report.service,
        "version": report.version,
        "versions": list(report.versions),
        "created_at": report.created_at.isoformat(),
        "age_days": round(report.age / timedelta(days=1), 3),
        "expires_at": report.expires_at.isoformat() if report.expires_at else None,
        "expired": report.expired,
        "due": report.due,
    }


def _row(report: KeyReport) -> tuple[str, ...]:
    state = "expired" if report.expired else "due" if report.due else "ok"
    expires = f"{report.expires_at:%Y-%m-%d}" if report.expires_at else "never"
    readable = ", ".join(map(str, report.versions))
    return shown(report.service), str(report.version), readable, f"{report.age.days}d", expires, state
