"""``agentguard audit``: read and verify the log. stdout is data, stderr is talk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from agentguard.audit import AuditLog, LogRecord
from agentguard.audit import verify as verify_log
from agentguard.audit.record import FIELD_ALIASES
from agentguard.cli.moments import moment
from agentguard.errors import ConfigError
from agentguard.store import Home

__all__ = ["app"]

app = typer.Typer(help="Read and verify the audit log.", no_args_is_help=True)

HomeOption = Annotated[Path, typer.Option("--home", help="The project's folder, made by `agentguard init`.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object per line, for machines.")]

_COLOURS = {"allow": "green", "deny": "red", "require_approval": "yellow"}
_COLUMNS = ("type", "event", "decision", "gen_ai.tool.name", "principal.id", "reason", "event_type", "user_id")


@app.command()
def tail(
    home: HomeOption = Path(".agentguard"),
    count: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many records.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the newest records."""
    with AuditLog.open(Home.open(home)) as log:
        _print(log.tail(count), as_json)


@app.command()
def query(  # noqa: PLR0917  # typer reads options from plain parameters
    home: HomeOption = Path(".agentguard"),
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where", help="FIELD=VALUE, repeatable: tool=send_email, principal=..., decision=deny, rule=..."
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", help="First moment: ISO 8601 with zone, or so long ago (2h).")
    ] = None,
    end: Annotated[str | None, typer.Option("--end", help="First moment no longer wanted.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many records.")] = None,
    cursor: Annotated[int | None, typer.Option("--cursor", help="Continue after the record with this index.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read every frame instead of trusting the index.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Find records by time and field. A condition on an absent field does not match."""
    conditions = dict(_condition(text) for text in where or [])
    with AuditLog.open(Home.open(home)) as log:
        found = log.query(start=moment(start), end=moment(end), where=conditions, limit=limit, cursor=cursor, full=full)
        if _print(found, as_json) == 0:
            fields = ", ".join(sorted({*FIELD_ALIASES, "decision", "reason", "event", "type"}))
            typer.echo(f"no record matches; fields of decisions are, among others: {fields}", err=True)


@app.command()
def verify(
    home: HomeOption = Path(".agentguard"),
    anchor: Annotated[
        Path | None,
        typer.Option("--anchor", help="File outside the log that remembers the last verified state; made when absent."),
    ] = None,
    no_keys: Annotated[bool, typer.Option("--no-keys", help="Check the structure only, without any secret.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the whole log.

    Exit code: 0 ok, 3 could not check, 10 corrupt, 11 tampered, 12 truncated or rolled back, 13 stale, 14 key missing.
    """
    report = verify_log(Home.open(home), anchor=anchor, keys=not no_keys)
    if as_json:
        typer.echo(json.dumps({**dataclasses.asdict(report), "verdict": report.verdict.value}))
    else:
        covered = "content and structure" if report.content else "structure only"
        _line(Text(report.verdict.value, style="green" if report.exit_code == 0 else "bold red"))
        extent = "verified" if report.exit_code == 0 else "verified before the first fault"
        typer.echo(f"{report.records} records in {report.frames} frames {extent}, {covered}")
    if report.detail:
        where = f"frame {report.bad_frame}: " if report.bad_frame is not None else ""
        typer.echo(where + report.detail, err=True)
    if report.verdict.value == "ok-unanchored":
        typer.echo("no anchor: an older copy of the whole folder put back would not show; use --anchor FILE", err=True)
    raise typer.Exit(report.exit_code)


def _print(records: Iterable[LogRecord], as_json: bool) -> int:
    """Print the records; how many there were."""
    count = 0
    for record in records:
        count += 1
        if as_json:
            typer.echo(json.dumps({"index": record.index, "frame": record.frame, **record.data}))
        else:
            _line(_summary(record))
    return count


def _summary(record: LogRecord) -> Text:
    line = Text(f"{record.index:>8} {record.time} ")
    for name in _COLUMNS:
        value = record.data.get(name)
        if isinstance(value, str) and value:
            line.append(_escaped(value) + " ", style=_COLOURS.get(value, "") if name == "decision" else "")
    rules = record.data.get("rules")
    if isinstance(rules, list) and rules:
        line.append("by " + ", ".join(_escaped(str(rule)) for rule in rules) + " ")
    if record.data.get("mode") == "shadow":
        line.append("(shadow: not enforced)", style="yellow")
    return line


def _escaped(text: str) -> str:
    # A name chosen by a model must not move the reader's cursor or hide text.
    return text.encode("unicode_escape").decode("ascii")


def _line(text: Text) -> None:
    # Made here, not at import: it looks at the stdout of this moment, and colours only a terminal.
    Console(soft_wrap=True, highlight=False).print(text)


def _condition(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"--where needs FIELD=VALUE, got {text!r}; for example --where decision=deny")
    return name, value
