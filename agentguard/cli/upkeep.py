"""``agentguard audit retention`` and ``begin-generation``, and ``agentguard keys``: what changes a log's keys."""

from __future__ import annotations

import dataclasses
import getpass
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agentguard.audit import begin_generation as begin
from agentguard.audit import rotate_kek as rotate
from agentguard.audit import shred_before
from agentguard.cli.option import HomeOption, JsonOption, duration
from agentguard.store import Home

__all__ = ["begin_generation", "keys", "retention"]

NEW_PASSWORD = "AGENTGUARD_NEW_MASTER_PASSWORD"  # noqa: S105  # the variable's name

keys = typer.Typer(help="The keys of the project's folder.", no_args_is_help=True)


def retention(
    older_than: Annotated[str, typer.Option("--older-than", help="For example 90d: records older than that go.")],
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Make old records unreadable for good. Their hashes stay, so every proof holds; the deletion is recorded."""
    place = Home.open(home)
    report = shred_before(place, datetime.now(UTC) - duration(older_than), by=_user())
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report)))
    else:
        typer.echo(f"{report.records} records in {report.frames} frames are unreadable from now on")
    if place.audit_server is not None:
        typer.echo(
            "the server's write-ahead log and backups keep the deleted keys for a while: run keys rotate-kek too",
            err=True,
        )
    elif not report.wal_emptied:
        typer.echo("another process still reads old pages; run this again when it has ended", err=True)


def begin_generation(
    home: HomeOption = Path(".agentguard"),
    anchor: Annotated[Path | None, typer.Option("--anchor", help="As for `verify`; proves a rollback.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a new log after a proven loss. The damaged one is kept as evidence; the first record names the loss."""
    begun = begin(Home.open(home), anchor=anchor, by=_user())
    if as_json:
        lost = {**dataclasses.asdict(begun.lost), "verdict": begun.lost.verdict.value}
        typer.echo(json.dumps({**dataclasses.asdict(begun), "evidence": str(begun.evidence), "lost": lost}))
    else:
        typer.echo(begun.verifier_key)
    typer.echo(f"generation {begun.generation} begins; the lost log is kept in {begun.evidence}", err=True)
    typer.echo("keep the verifier key above outside this machine, and begin new anchors with it", err=True)


@keys.command("rotate-kek")
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


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
