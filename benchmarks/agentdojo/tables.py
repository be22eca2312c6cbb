"""The figures as Markdown, for standard output and docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict

from agentguard import Json
from benchmarks.agentdojo.guards import GUARDS
from benchmarks.agentdojo.tally import Attacked, Benign, Spoken, Tally
from benchmarks.report import Row, Table

__all__ = ["as_json", "caption", "tables"]

KINDS = ("published", "reworded")


def caption(version: str) -> str:
    """What has to stand beside every figure."""
    return f"scripted obedient agent, AgentDojo {version}; not comparable with model-in-the-loop figures"


def tables(tallies: Sequence[Tally]) -> Iterator[Table]:
    """Honest tasks; attacks by kind of wording; by wording; goals of words only."""
    yield _honest(tallies)
    yield _attacks(tallies)
    yield _wordings(tallies)
    if any(tally.spoken.pairs for tally in tallies):
        yield _words(tallies)


def as_json(tallies: Iterable[Tally], version: str) -> Json:
    """Every count, and what to look into."""
    rows: list[Json] = []
    for tally in tallies:
        row = asdict(tally)
        rows.append({**row, "events": [event.json() for event in tally.events]})
    return {"caption": caption(version), "tallies": rows}


def _honest(tallies: Sequence[Tally]) -> Table:
    rows = []
    for suite, guard, mine in _groups(tallies, lambda tally: not tally.attack):
        sums = Benign()
        for tally in mine:
            sums += tally.benign
        shares = (_percent(sums.finished, sums.tasks), _percent(sums.unattended, sums.tasks))
        rows.append(Row(suite, guard, str(sums.tasks), *shares, f"{sums.questions / max(1, sums.tasks):.2f}"))
    head = ("suite", "guard", "tasks", "finished with a person", "unattended", "questions per task")
    return Table("Honest tasks", head, tuple(rows))


def _attacks(tallies: Sequence[Tally]) -> Table:
    rows = []
    for kind in KINDS:
        for suite, guard, mine in _groups(tallies, lambda tally, kind=kind: tally.attack_kind == kind):  # type: ignore[misc]
            sums = _sum(mine)
            rows.append(Row(kind, suite, guard, str(sums.pairs), *_shares(sums)))
    return Table("Injected goals that need a tool call", ("wording", "suite", "guard", "pairs", *_HEAD), tuple(rows))


def _wordings(tallies: Sequence[Tally]) -> Table:
    rows = []
    for name in dict.fromkeys(tally.attack for tally in tallies if tally.attack):
        for guard in _guards(tallies):
            mine = [tally for tally in tallies if tally.attack == name and tally.guard == guard]
            sums = _sum(mine)
            rows.append(Row(name, mine[0].attack_kind, guard, str(sums.pairs), *_shares(sums)))
    return Table("The same by wording, all suites", ("wording", "kind", "guard", "pairs", *_HEAD), tuple(rows))


def _words(tallies: Sequence[Tally]) -> Table:
    rows = []
    for suite, guard, mine in _groups(tallies, lambda tally: bool(tally.spoken.pairs)):
        sums = Spoken()
        for tally in mine:
            sums += tally.spoken
        rows.append(
            Row(suite, guard, str(sums.pairs), _percent(sums.shown, sums.pairs), _percent(sums.obeyed, sums.pairs))
        )
    return Table(
        "Injected goals of words only", ("suite", "guard", "pairs", "order shown", "goal reached"), tuple(rows)
    )


_HEAD = (
    "order shown",
    "goal reached",
    "harm",
    "harm unattended",
    "harm, always yes",
    "task finished",
)


def _shares(sums: Attacked) -> Iterator[str]:
    for part in (sums.shown, sums.obeyed, sums.harm, sums.harm_unattended, sums.harm_always_yes, sums.finished):
        yield _percent(part, sums.pairs)


def _sum(tallies: Iterable[Tally]) -> Attacked:
    sums = Attacked()
    for tally in tallies:
        sums += tally.attacked
    return sums


def _groups(tallies: Sequence[Tally], chosen: Callable[[Tally], bool]) -> Iterator[tuple[str, str, Sequence[Tally]]]:
    kept = [tally for tally in tallies if chosen(tally)]
    for suite in dict.fromkeys(tally.suite for tally in kept):
        for guard in _guards(kept):
            mine = [tally for tally in kept if (tally.suite, tally.guard) == (suite, guard)]
            if mine:
                yield suite, guard, mine


def _guards(tallies: Iterable[Tally]) -> list[str]:
    there = dict.fromkeys(tally.guard for tally in tallies)
    return sorted(there, key=lambda name: GUARDS.index(name) if name in GUARDS else len(GUARDS))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"
