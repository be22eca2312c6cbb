"""``agentguard audit``: read and verify the log. stdout is data, stderr is talk."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import operator
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from agentguard.audit import AuditLog, LogRecord
from agentguard.audit import verify as verify_log
from agentguard.audit.record import FIELD_ALIASES, field_values
from agentguard.cli import evidence, upkeep
from agentguard.cli.option import HomeOption, JsonOption, moment, progress_bar
from agentguard.errors import ConfigError
from agentguard.event import Json
from agentguard.store import Home

__all__ = ["app"]

app = typer.Typer(help="Read and verify the audit log.", no_args_is_help=True)

app.command()(evidence.prove)
app.command("check-proof")(evidence.check_proof)
app.command()(evidence.checkpoint)
app.command()(evidence.consistency)
app.command()(evidence.export)
app.command()(upkeep.retention)
app.command("begin-generation")(upkeep.begin_generation)

POLL_S = 0.3

_COLOURS = {"allow": "green", "deny": "red", "require_approval": "yellow"}
_COLUMNS = ("type", "event", "decision", "gen_ai.tool.name", "principal.id", "reason", "event_type", "user_id")


@app.command()
def tail(
    home: HomeOption = Path(".agentguard"),
    count: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many records.")] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as records come; Ctrl-C ends it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the newest records."""
    with AuditLog.open(Home.open(home)) as log:
        newest = log.tail(count)
        _print(newest, as_json)
        cursor = newest[-1].index if newest else -1
        with contextlib.suppress(KeyboardInterrupt):
            while follow:
                for record in log.query(cursor=cursor):
                    _print([record], as_json)
                    cursor = record.index
                sys.stdout.flush()
                time.sleep(POLL_S)


@app.command()
def query(  # noqa: PLR0917  # typer reads options from plain parameters
    home: HomeOption = Path(".agentguard"),
    where: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            help="FIELD=VALUE, repeatable: tool=send_email, principal=..., decision=deny, rule=...; also != < <= > >=.",
        ),
    ] = None,
    start: Annotated[str | None, typer.Option("--start", help="First moment: ISO 8601 with zone, or 2h ago.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="First moment no longer wanted.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many records.")] = None,
    cursor: Annotated[int | None, typer.Option("--cursor", help="Continue after the record with this index.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Read every frame instead of trusting the index.")] = False,
    count_by: Annotated[str | None, typer.Option("--count-by", help="Only count, by this field's values.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find records by time and field. A condition on an absent field does not match."""
    conditions = [_condition(text) for text in where or []]
    equal = {name: value for name, sign, value in conditions if sign == "="}
    with AuditLog.open(Home.open(home)) as log:
        found = log.query(
            start=moment(start),
            end=moment(end),
            where=equal,
            predicate=lambda data: all(_holds(data, *condition) for condition in conditions),
            limit=limit,
            cursor=cursor,
            full=full,
        )
        if count_by is not None:
            _print_counts(found, count_by, as_json)
        elif _print(found, as_json) == 0:
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
    with progress_bar() as bar:
        task = bar.add_task("verifying", total=None)
        report = verify_log(
            Home.open(home),
            anchor=anchor,
            keys=not no_keys,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        typer.echo(json.dumps({**dataclasses.asdict(report), "verdict": report.verdict.value}))
    else:
        covered = "content and structure" if report.content else "structure only"
        _line(Text(report.verdict.value, style="green" if report.exit_code == 0 else "bold red"))
        extent = "verified" if report.exit_code == 0 else "verified before the first fault"
        typer.echo(f"{report.records} records in {report.frames} frames {extent}, {covered}")
        if report.shredded:
            typer.echo(f"{report.shredded} of them were made unreadable on purpose; their hashes are verified")
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
        line.append("(shadow: not enforced) ", style="yellow")
    if identity := record.data.get("decision.id"):
        line.append(f"id {_escaped(str(identity))}", style="dim")
    return line


def _escaped(text: str) -> str:
    # A name chosen by a model must not move the reader's cursor or hide text.
    return text.encode("unicode_escape").decode("ascii")


def _line(text: Text) -> None:
    # Made here, not at import: it looks at the stdout of this moment, and colours only a terminal.
    Console(soft_wrap=True, highlight=False).print(text)


def _print_counts(records: Iterable[LogRecord], field: str, as_json: bool) -> None:
    name = FIELD_ALIASES.get(field, field)
    counts = Counter(value for record in records for value in field_values(record.data, name))
    for value, count in counts.most_common():
        typer.echo(json.dumps({"value": value, "count": count}) if as_json else f"{count:>8} {_escaped(value)}")


_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def _condition(text: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"([^=<>!]+)(!=|<=|>=|=|<|>)(.*)", text, re.DOTALL)
    if found is None:
        raise ConfigError(f"--where needs FIELD=VALUE, got {text!r}; for example --where decision=deny")
    if found[2] in ("<", "<=", ">", ">="):
        _number(found[3], text)
    return found[1], found[2], found[3]


def _holds(data: Mapping[str, Json], name: str, sign: str, value: str) -> bool:
    """Whether a condition holds; one on an absent field never does."""
    name = FIELD_ALIASES.get(name, name)
    if sign == "=":
        return True  # the query itself sees to equality
    found = data.get(name)
    if found is None:
        return False
    if sign == "!=":
        texts = list(field_values(data, name)) or [json.dumps(found)]
        return value not in texts
    if isinstance(found, bool) or not isinstance(found, int | float):
        return False
    return _OPERATORS[sign](found, _number(value, value))


def _number(value: str, text: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise ConfigError(f"{text!r} compares with no number; write duration_ns>1000000") from error
