"""``agentguard policy replay``: which recorded decisions a changed policy would change."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from agentguard.audit import AuditLog
from agentguard.cli.option import HomeOption, JsonOption, SinceOption, moment
from agentguard.cli.output import print_json, print_line, print_table, shown, word
from agentguard.policy import Policy
from agentguard.replay import Replay, Replayed
from agentguard.store import Home

__all__ = ["replay_policy"]

# People read so many rows; machines get all.
MAX_ROWS = 50


def replay_policy(
    policy: Annotated[Path, typer.Argument(help="The changed policy.", show_default=False)],
    since: SinceOption = None,
    home: HomeOption = Path(".agentguard"),
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 when a decision would change or cannot be judged.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge recorded tool calls and agent messages again by a changed policy, and show what it would change.

    Access and sources are judged from what every record holds. Constraints on values need audit.payloads: full, or
    constraints that did not change. Calls of which the records do not tell enough are counted and named, never guessed.

    Example: agentguard policy replay new.yaml --since 7d

    Exit code: 0 (1 with --strict when something changes or cannot be judged), 3 policy or log cannot be read.
    """
    rules = Policy.from_file(policy)
    with AuditLog.open(Home.open(home)) as log:
        found = list(Replay.of(rules, log, since=moment(since)))
    changed = [each for each in found if each.changed]
    unknown = [each for each in found if each.after is None]
    if as_json:
        for each in found:
            print_json(_record(each))
    else:
        _print(found, changed, unknown)
    raise typer.Exit(1 if strict and (changed or unknown) else 0)


def _print(found: list[Replayed], changed: list[Replayed], unknown: list[Replayed]) -> None:
    if changed:
        print_table(("decision", "time", "tool", "was", "becomes", "because"), map(_row, changed[:MAX_ROWS]))
    if len(changed) > MAX_ROWS:
        print_line(f"... and {len(changed) - MAX_ROWS} more; --json lists all")
    same = len(found) - len(changed) - len(unknown)
    print_line(f"{len(found)} recorded decisions: {len(changed)} would change, {same} stay, {len(unknown)} unknown")
    for (tool, why), count in sorted(Counter((each.decision.tool, each.why) for each in unknown).items()):
        print_line(f"  unknown: {count} of {shown(tool or 'messages')}: {shown(why)}")


def _row(each: Replayed) -> tuple[str, ...]:
    decision = each.decision
    after = word(each.after) if each.after else "?"
    because = " ".join(part for part in (each.reason, shown(each.why)) if part) or "nothing refuses it"
    return decision.id, decision.time[:19], shown(decision.tool or "message"), word(each.before), after, because


def _record(each: Replayed) -> dict[str, object]:
    return {
        "decision": each.decision.id,
        "time": each.decision.time,
        "event": each.decision.event,
        "tool": each.decision.tool or None,
        "principal": each.decision.principal.id,
        "before": word(each.before),
        "after": word(each.after) if each.after else None,
        "changed": each.changed,
        "reason": each.reason or None,
        "why": each.why or None,
    }
