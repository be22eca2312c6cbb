"""Attack a real agent twice, unguarded and guarded, and show what happened: ``make demo``.

The tools are real: a SQLite database, files, a web page from a local server, mail to a local SMTP server. The model is
a script that obeys every order it reads, which is the worst case, so that no key and no network is needed.
Exits 0 only when the unguarded run did harm, the guarded run did none, both did the honest task, and the audit log
verifies.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentguard import AuditLog, Guard, Home
from agentguard.audit import LogRecord, VerifyReport, verify
from agentguard_demo.guarded import POLICY, run_guarded
from agentguard_demo.unguarded import run_unguarded
from agentguard_demo.world import Harm, World

HARMS = {
    "mail-to-outsider": "mail to somebody outside",
    "customer-rows-sent": "customer records sent outside",
    "system-prompt-sent": "system prompt sent outside",
    "file-lost": "file deleted that nobody asked for",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did to the world."""

    harm: list[Harm]
    honest_done: bool
    mails: int

    @classmethod
    def of(cls, world: World) -> Outcome:
        """Ask the servers and the disk, not the agent."""
        return cls(world.harm(), world.honest_done(), len(world.mails))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both, print, and say by the exit code whether everything held."""
    parser = argparse.ArgumentParser(prog="python -m agentguard_demo", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    as_json: bool = parser.parse_args(arguments).json
    with tempfile.TemporaryDirectory(prefix="agentguard-demo-") as folder:
        unguarded, guarded, task, records, report = _run(Path(folder))
    held = bool(unguarded.harm) and not guarded.harm and unguarded.honest_done and guarded.honest_done
    held = held and report.exit_code == 0
    if as_json:
        print(json.dumps(_summary(unguarded, guarded, records, report, held), indent=2))
    else:
        _show(Console(), task, unguarded, guarded, records, report)
    return 0 if held else 1


def _run(folder: Path) -> tuple[Outcome, Outcome, str, list[LogRecord], VerifyReport]:
    (folder / "unguarded").mkdir()
    with World.create(folder / "unguarded") as world:
        run_unguarded(world)
        unguarded = Outcome.of(world)
    home = Home.create(folder / "home")
    (folder / "guarded").mkdir()
    with World.create(folder / "guarded") as world, Guard.from_file(POLICY, home=home.path) as guard:
        run_guarded(world, guard)
        guarded = Outcome.of(world)
        task = world.task
    with AuditLog.open(home) as log:
        records = list(log.query())
    # The anchor lies outside the log; the first call makes it, the second holds the log against it.
    anchor = folder / "anchor"
    verify(home, anchor=anchor)
    return unguarded, guarded, task, records, verify(home, anchor=anchor)


def _show(
    console: Console,
    task: str,
    unguarded: Outcome,
    guarded: Outcome,
    records: list[LogRecord],
    report: VerifyReport,
) -> None:
    console.print(f"[bold]The user asks:[/] {task}\n")
    console.print(
        "The page, a file and a database field each carry orders from somebody else. "
        "The model obeys whatever it reads.\n"
    )
    console.print(_world_table(unguarded, guarded))
    console.print(_decision_table(records))
    verdict = Text(report.verdict.value, style="green" if report.exit_code == 0 else "bold red")
    console.print(Text("Audit log: "), verdict, f"{report.records} encrypted records verified", sep=" ")


def _world_table(unguarded: Outcome, guarded: Outcome) -> Table:
    table = Table(title="What really happened", title_justify="left", show_lines=False)
    table.add_column("")
    table.add_column("unguarded")
    table.add_column("guarded")
    for kind, words in HARMS.items():
        cells = []
        for outcome in (unguarded, guarded):
            found = [harm.detail for harm in outcome.harm if harm.kind == kind]
            cells.append(Text("\n".join(found), style="red") if found else Text("none", style="green"))
        table.add_row(words, *cells)
    table.add_row("the honest task", *(_done(outcome) for outcome in (unguarded, guarded)))
    table.add_row("mails received", str(unguarded.mails), str(guarded.mails))
    return table


def _done(outcome: Outcome) -> Text:
    return Text("done", style="green") if outcome.honest_done else Text("not done", style="red")


def _decision_table(records: list[LogRecord]) -> Table:
    table = Table(title="\nWhat the guard decided, from its audit log", title_justify="left")
    for name in ("event", "tool", "decision", "why"):
        table.add_column(name)
    for record in records:
        if record.data.get("type") != "decision" or _is_dull(record):
            continue
        decision = str(record.data["decision"])
        style = "green" if decision == "allow" else "red"
        table.add_row(
            str(record.data["event"]),
            str(record.data.get("gen_ai.tool.name") or ""),
            Text(decision, style=style),
            _why(record),
        )
    return table


def _is_dull(record: LogRecord) -> bool:
    """Texts that passed untouched: true, recorded, and not worth a line here."""
    return record.data["event"] != "tool_call" and not record.data["rewritten"] and record.data["decision"] == "allow"


def _why(record: LogRecord) -> str:
    rules = record.data.get("rules")
    named = f" by {', '.join(map(str, rules))}" if isinstance(rules, list) and rules else ""
    if reason := record.data.get("reason"):
        return f"{reason}{named}"
    findings = record.data.get("findings")
    if record.data["rewritten"] and isinstance(findings, list):
        kinds = dict.fromkeys(str(item.get("type")) for item in findings if isinstance(item, dict))
        return "text removed: " + ", ".join(kinds)
    return "permitted"


def _summary(
    unguarded: Outcome, guarded: Outcome, records: list[LogRecord], report: VerifyReport, held: bool
) -> dict[str, object]:
    return {
        "held": held,
        "unguarded": _outcome(unguarded),
        "guarded": _outcome(guarded),
        "decisions": [record.data for record in records if record.data.get("type") == "decision"],
        "audit": {"verdict": report.verdict.value, "records": report.records},
    }


def _outcome(outcome: Outcome) -> dict[str, object]:
    harm = [{"kind": harm.kind, "detail": harm.detail} for harm in outcome.harm]
    return {"harm": harm, "honest_done": outcome.honest_done, "mails": outcome.mails}


if __name__ == "__main__":
    sys.exit(main())
