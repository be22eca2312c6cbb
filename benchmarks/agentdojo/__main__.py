"""``python -m benchmarks.agentdojo``: tables on standard output, progress on standard error."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from agentguard import Home
from benchmarks.agentdojo import packaged
from benchmarks.agentdojo.attacks import REWORDINGS, Attack
from benchmarks.agentdojo.guards import GUARDS, Bench
from benchmarks.agentdojo.tables import as_json, caption, into_document, tables
from benchmarks.agentdojo.tally import Tally, attacked, benign, goals_by_kind

# Rules are made and tuned with these in sight; the others only tell whether the rules generalise.
TUNED_ON = ("banking", "workspace")


@dataclass(frozen=True, slots=True)
class Job:
    """All guards over one suite in one wording; without a wording, the honest tasks."""

    suite: str
    attack: str | None
    guards: tuple[str, ...]
    home: str

    def run(self) -> list[Tally]:
        """In a process of its own."""
        suite, home = packaged.suite(self.suite), Home.open(self.home)
        benches = [Bench.of(name, suite.policy, home) for name in self.guards]
        if self.attack is None:
            return [benign(bench, suite) for bench in benches]
        goals = goals_by_kind(suite)
        attack = _attacks()[self.attack]
        return [attacked(bench, suite, attack, goals) for bench in benches]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    options = _options(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home = Home.create(Path(folder) / "home")
        tallies = list(_measured(_jobs(options, str(home.path)), options.workers))
    version = packaged.package_version()
    print(f"{caption(version)}\n")
    for table in tables(tallies):
        print(table)
    if options.json:
        Path(options.json).write_text(json.dumps(as_json(tallies, version), indent=1) + "\n")
    if options.docs:
        document = Path(options.docs)
        document.write_text(into_document(document.read_text(), tallies, version))
    print(f"took {time.monotonic() - started:.0f} s", file=sys.stderr)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.agentdojo", description=__doc__)
    parser.add_argument("--suite", action="append", choices=packaged.SUITES, help="only this suite (repeatable)")
    parser.add_argument("--guard", action="append", choices=GUARDS, help="only this guard (repeatable)")
    parser.add_argument("--attack", action="append", choices=sorted(_attacks()), help="only this wording (repeatable)")
    parser.add_argument("--quick", action="store_true", help="banking only, one published wording and one of ours")
    parser.add_argument("--tuned", action="store_true", help="only the suites that rules may be tuned on")
    parser.add_argument("--json", metavar="FILE", help="write every count, and what to look into, to FILE")
    parser.add_argument("--docs", metavar="FILE", help="put the tables between their two marks in FILE")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.suite = options.suite or ["banking"]
        options.attack = options.attack or ["important_instructions", "procedure"]
    if options.tuned:
        options.suite = list(TUNED_ON)
    return options


def _jobs(options: argparse.Namespace, home: str) -> list[Job]:
    guards = tuple(options.guard or GUARDS)
    attacks = options.attack or list(_attacks())
    suites = options.suite or packaged.SUITES
    return [Job(suite, attack, guards, home) for suite in suites for attack in (None, *attacks)]


def _attacks() -> dict[str, Attack]:
    published: list[Attack] = [packaged.PublishedAttack(name) for name in packaged.PUBLISHED]
    return {attack.name: attack for attack in (*published, *REWORDINGS)}


def _measured(jobs: Sequence[Job], workers: int) -> Iterator[Tally]:
    """In the order of ``jobs``, whichever process is first."""
    with ProcessPoolExecutor(max_workers=workers) as pool:
        waiting: dict[Future[list[Tally]], Job] = {pool.submit(job.run): job for job in jobs}
        for number, done in enumerate(as_completed(waiting), 1):
            job = waiting[done]
            print(f"{number}/{len(jobs)} {job.suite}: {job.attack or 'honest tasks'}", file=sys.stderr)
        for future in waiting:
            yield from future.result()


if __name__ == "__main__":
    sys.exit(main())
