"""``agentguard posture``: does the guard of this project really guard? Checks, attacks, and what changed since."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentguard.cli.option import HomeOption, JsonOption, duration
from agentguard.cli.output import print_json, print_line, print_table, shown
from agentguard.cli.policy.tools import ToolsOption, load_tools
from agentguard.errors import AgentGuardError, ConfigError, StoreError
from agentguard.store import Home

if TYPE_CHECKING:
    from agentguard.posture import Item, Project, Run, Status

__all__ = ["posture"]


class FailOn(StrEnum):
    """From which status on a run fails."""

    FAILED = "failed"
    WEAK = "weak"
    NOT_CHECKED = "not-checked"


_FAILS = {
    FailOn.FAILED: {"failed"},
    FailOn.WEAK: {"failed", "weak"},
    FailOn.NOT_CHECKED: {"failed", "weak", "not-checked"},
}


def posture(
    *,
    home: HomeOption = Path(".agentguard"),
    policy: Annotated[Path, typer.Option("--policy", help="The policy file.")] = Path("agentguard.yaml"),
    anchor: Annotated[
        Path | None, typer.Option("--anchor", help="The file that `audit verify --anchor` keeps outside the log.")
    ] = None,
    tools: ToolsOption = None,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Exit with 1 from this status on: failed, weak, not-checked.")
    ] = FailOn.WEAK,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", help="Leave checks out, by id, * allowed; repeatable.")
    ] = None,
    key_age: Annotated[str, typer.Option("--key-age", help="An API key older than this is weak.")] = "90d",
    session_age: Annotated[str, typer.Option("--session-age", help="A session unused for longer is weak.")] = "7d",
    review_age: Annotated[str, typer.Option("--review-age", help="A role confirmed longer ago is weak.")] = "90d",
    history: Annotated[bool, typer.Option("--history", help="Show earlier runs and what changed, only.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a project from outside: keys, roles, sessions, log, policy, files, dependencies; and attack its guard.

    Attacks run in memory or on copies that are thrown away: denied tools, malicious prompts, an edited log, a revoked
    token, a limit under several processes, a connection without a certificate, and the canary of each framework
    adapter. Each run is kept in the state database, and what changed since the one before is told.

    Example: agentguard posture --anchor /var/lib/anchors/agents --fail-on failed

    Exit code: 0 all is well, 1 something is at or above --fail-on, 3 nothing is but something could not be checked.
    """
    from agentguard.posture import History, Limits, Project

    if history:
        with closing(History(Home.open(home))) as kept:
            _print_history(kept.runs(), as_json)
        return
    if not home.is_dir():
        raise StoreError(f"{home} is no folder; `agentguard init --home {home}` makes it")
    limits = Limits(key=duration(key_age), session=duration(session_age), review=duration(review_age))
    specs = load_tools(tools) if tools else None
    project = Project(home, policy, anchor=anchor, tools=specs, limits=limits)
    items = _examined(project, skip or [])
    _print_items(items, as_json)
    _keep(project, items)
    _exit(items, fail_on)


def _examined(project: Project, skip: Sequence[str]) -> list[Item]:
    from agentguard.posture import checks, examine

    known = checks()
    ids = [check.id for check in known]
    left_out: set[str] = set()
    for pattern in skip:
        matching = fnmatch.filter(ids, pattern)
        if not matching:
            raise ConfigError(f"--skip {shown(pattern)}: no such check; one of {', '.join(ids)}")
        left_out.update(matching)
    return examine(project, which=known, skip=left_out)


def _print_items(items: Sequence[Item], as_json: bool) -> None:
    for item in items:
        if as_json:
            print_json(
                {
                    "id": item.id,
                    "status": item.status.value,
                    "evidence": item.evidence,
                    "age_s": None if item.age is None else round(item.age.total_seconds()),
                    "remedy": item.remedy or None,
                }
            )
            continue
        age = "" if item.age is None else f" (age {_span(item.age)})"
        print_line(item.status.value, " " * (12 - len(item.status.value)), f"{item.id}: {shown(item.evidence)}{age}")
        if item.remedy:
            print_line(" " * 12, f"-> {shown(item.remedy)}")
    typer.echo(_counts({item.id: item.status for item in items}), err=True)


def _keep(project: Project, items: Sequence[Item]) -> None:
    """Append the run to the history, and tell what changed. A home that cannot be opened keeps none."""
    from agentguard.posture import History, drift

    try:
        digest = project.policy.digest
    except AgentGuardError:
        digest = ""
    try:
        with closing(History(project.home)) as kept:
            before = kept.runs(1)
            kept.append(items, at=time.time(), policy=digest)
    except AgentGuardError as error:
        typer.echo(f"this run is not in the history: {error.code}: {error}", err=True)
        return
    if before and (changed := drift(before[0].statuses, {item.id: item.status for item in items})):
        typer.echo(f"since {_moment(before[0].at)}: {_drift(changed)}", err=True)


def _exit(items: Sequence[Item], fail_on: FailOn) -> None:
    statuses = {item.status.value for item in items}
    if statuses & _FAILS[fail_on]:
        raise typer.Exit(1)
    if "not-checked" in statuses:
        raise typer.Exit(3)


def _print_history(runs: Sequence[Run], as_json: bool) -> None:
    from agentguard.posture import drift

    rows = []
    before: Mapping[str, Status] | None = None
    for run in runs:
        changed = {} if before is None else drift(before, run.statuses)
        before = run.statuses
        if as_json:
            print_json(
                {
                    "at": _moment(run.at),
                    "policy": run.policy or None,
                    "statuses": {name: status.value for name, status in run.statuses.items()},
                    "changed": {name: [was and was.value, now and now.value] for name, (was, now) in changed.items()},
                }
            )
        rows.append([_moment(run.at), run.policy[:12], _counts(run.statuses), _drift(changed)])
    if not rows:
        typer.echo("no run is kept yet", err=True)
    elif not as_json:
        print_table(["run", "policy", "items", "changed"], rows)


def _counts(statuses: Mapping[str, Status]) -> str:
    found = [status.value for status in statuses.values()]
    return ", ".join(f"{found.count(word)} {word}" for word in ("ok", "weak", "failed", "not-checked"))


def _drift(changed: Mapping[str, tuple[Status | None, Status | None]]) -> str:
    return ", ".join(
        f"{shown(name)} {was.value if was else 'new'} -> {now.value if now else 'gone'}"
        for name, (was, now) in changed.items()
    )


def _span(age: timedelta) -> str:
    seconds = age.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
