"""``agentguard alerts``: what monitoring found, and what a person says to it."""

from __future__ import annotations

import getpass
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from agentguard.audit import AuditEventType
from agentguard.cli.option import HomeOption, JsonOption, SinceOption, moment
from agentguard.cli.output import print_json, print_table, shown
from agentguard.errors import ConfigError
from agentguard.store import Home
from agentguard.watching import alert_book, record_answer, risk_states

__all__ = ["app"]

app = typer.Typer(help="Alerts of monitoring, and the principals it has restrained.", no_args_is_help=True)


@app.command("list")
def listed(
    home: HomeOption = Path(".agentguard"),
    since: SinceOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Acknowledged ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show alerts, newest first, and who is slowed down, watched or suspended."""
    place = Home.open(home)
    start = moment(since)
    with closing(alert_book(place)) as book, closing(risk_states(place)) as states:
        alerts = book.list(unacknowledged=not everything, since=start.timestamp() if start is not None else 0.0)
        risks = states.all()
    if as_json:
        for alert in alerts:
            print_json({"type": "alert", **alert.as_json()})
        for risk in risks:
            print_json(
                {"type": "risk", "principal": risk.principal, "level": risk.level, "until": risk.until,
                 "alert": risk.alert or None}
            )  # fmt: skip
        return
    if alerts:
        rows = [
            (alert.id[:8], str(alert.as_json()["last"]), alert.severity, str(alert.count), shown(alert.text))
            for alert in alerts
        ]
        print_table(("id", "last", "severity", "count", "what"), rows)
    if risks:
        print_table(("principal", "state", "alert"), [(shown(r.principal), r.level, r.alert[:8]) for r in risks])
    if not alerts and not risks:
        typer.echo("no alerts", err=True)


@app.command()
def ack(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="The id, or how it begins.")],
    home: HomeOption = Path(".agentguard"),
    normal: Annotated[bool, typer.Option("--normal", help="What it shows is usual: learn it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take an alert as seen: it is delivered no more. With --normal what it shows becomes part of the baseline."""
    place = Home.open(home)
    with closing(alert_book(place)) as book:
        known = book.list(limit=100_000) if len(alert) >= 4 else []
        found = [entry.id for entry in known if entry.id.startswith(alert)]
        if len(found) != 1:
            told = "`agentguard alerts list --all --json` has their ids"
            raise ConfigError(f"{shown(alert)} names {len(found)} alerts; {told}")
        # Recorded first: what cannot be recorded does not happen.
        details = {"action": "alert-ack", "alert": found[0], "normal": normal}
        record_answer(place, AuditEventType.SECURITY_ALERT, _user(), details)
        book.acknowledge(found[0], by=_user(), normal=normal)
    if as_json:
        print_json({"acknowledged": found[0], "normal": normal})
    else:
        typer.echo(f"acknowledged {found[0]}")


@app.command()
def lift(
    principal: Annotated[str, typer.Argument(metavar="PRINCIPAL", help="As `agentguard alerts list` shows it.")],
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """End what monitoring did to a principal: it is no longer slowed down, watched or suspended."""
    place = Home.open(home)
    with closing(risk_states(place)) as states:
        if all(risk.principal != principal for risk in states.all()):
            raise ConfigError(f"{shown(principal)} is not restrained; `agentguard alerts list` shows who is")
        record_answer(place, AuditEventType.SECURITY_ALERT, _user(), {"action": "risk-lift", "principal": principal})
        states.lift(principal)
    if as_json:
        print_json({"lifted": principal})
    else:
        typer.echo(f"lifted {shown(principal)}")


def _user() -> str:
    try:
        return f"os:{getpass.getuser()}"
    except (KeyError, OSError):
        return "os:unknown"
