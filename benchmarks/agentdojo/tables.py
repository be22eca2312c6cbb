"""The figures as Markdown, for standard output and docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict

from agentguard import Json
from benchmarks.agentdojo.guards import GUARDS
from benchmarks.agentdojo.tally import Attacked, Benign, Spoken, Tally
from benchmarks.report import Row, Table

__all__ = ["as_json", "caption", "into_document", "tables"]

KINDS = ("published", "reworded")
ALL = "all"

# The generated part of a document stands between these.
BEGIN, END = "<!-- begin: make bench-agentdojo -->\n", "<!-- end: make bench-agentdojo -->"


def caption(version: str) -> str:
    """What has to stand beside every figure."""
    return f"scripted obedient agent, AgentDojo {version}; not comparable with model-in-the-loop figures"


def tables(tallies: Sequence[Tally]) -> Iterator[Table]:
    """Honest tasks; attacks by kind of wording; by wording; goals of words only."""
    yield _honest(tallies)
    if any(tally.attack for tally in tallies):
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


def into_document(document: str, tallies: Sequence[Tally], version: str) -> str:
    """``document`` with the part between the two marks made anew.

    Raises:
        ValueError: the marks are not there, each once and in order.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"no place for the tables: the lines {BEGIN.strip()} and {END} must stand there once")
    said = f"{caption(version)[0].upper()}{caption(version)[1:]}.\n"
    return before + begin + "\n".join([said, *map(str, tables(tallies))]) + "\n" + end + after


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
    guards = _guards(tally for tally in tallies if tally.attack)
    rows = []
    for name in dict.fromkeys(tally.attack for tally in tallies if tally.attack):
        mine = [tally for tally in tallies if tally.attack == name]
        sums = [_sum(tally for tally in mine if tally.guard == guard) for guard in guards]
        harm = (_percent(each.harm, each.pairs) for each in sums)
        shown = _percent(sums[-1].shown, sums[-1].pairs)
        rows.append(Row(name, mine[0].attack_kind, str(sums[-1].pairs), shown, *harm))
    head = ("wording", "kind", "pairs", f"order shown ({guards[-1]})", *(f"harm ({guard})" for guard in guards))
    return Table("Harm by wording, all suites", head, tuple(rows))


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
    suites = list(dict.fromkeys(tally.suite for tally in kept))
    for suite in (*suites, ALL) if len(suites) > 1 else suites:
        for guard in _guards(kept):
            mine = [tally for tally in kept if tally.guard == guard and suite in (tally.suite, ALL)]
            if mine:
                yield suite, guard, mine


def _guards(tallies: Iterable[Tally]) -> list[str]:
    there = dict.fromkeys(tally.guard for tally in tallies)
    return sorted(there, key=lambda name: GUARDS.index(name) if name in GUARDS else len(GUARDS))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"
