"""For the whole run: property tests without a stop-watch; the conformance and fault tables, below the results."""

from __future__ import annotations

from collections import Counter

import hypothesis
import pytest

from tests.adapters.conformance import FAULTS, MODES, SURFACES
from tests.servers import (  # fixtures for every folder
    NOT_RUN,
    postgres_private,
    postgres_server,
    postgres_url,
    redis_server,
    redis_url,
    state_home,
)

__all__ = ["postgres_private", "postgres_server", "postgres_url", "redis_server", "redis_url", "state_home"]

# Wall time says how busy the machine is; what a check costs is measured in benchmarks/.
hypothesis.settings.register_profile("agentguard", deadline=None)
hypothesis.settings.load_profile("agentguard")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was injected and what came of it."""
    _print_conformance(terminalreporter)
    _print_faults(terminalreporter)
    _print_not_run(terminalreporter)


def _print_not_run(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests had no server to run against, and what to install."""
    reasons = Counter(
        report.longrepr[2].partition(NOT_RUN)[2]
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and NOT_RUN in report.longrepr[2]
    )
    if reasons:
        terminalreporter.section("tests that did not run")
        for reason, count in reasons.items():
            terminalreporter.write_line(f"{count:>5}  {reason}")


def _print_faults(terminalreporter: pytest.TerminalReporter) -> None:
    """One row a fault of the audit log: trials, wrong ones, what came of it."""
    found = [
        dict(report.user_properties)["fault"]
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if "fault" in dict(report.user_properties)
    ]
    if found:
        terminalreporter.section("audit log faults (trials, wrong, what came of it)")
        for name, trials, wrong, came in found:
            terminalreporter.write_line(f"{name:<52}{trials:>7}{wrong:>4}  {came}")


def _print_conformance(terminalreporter: pytest.TerminalReporter) -> None:
    """One row a surface, one column a mode: cells passed of cells run."""
    counts: dict[tuple[str, str, str], list[int]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            cell = dict(report.user_properties).get("cell")
            if cell:
                found = counts.setdefault((cell[0], cell[1], cell[2]), [0, 0])
                found[0] += outcome == "passed"
                found[1] += 1
    for framework in sorted({key[0] for key in counts}):
        terminalreporter.section(f"adapter conformance: {framework} (cells passed/run)")
        modes = (*MODES, *FAULTS)
        terminalreporter.write_line(" " * 20 + "".join(f"{mode:>15}" for mode in modes))
        for surface in SURFACES:
            marks = (counts.get((framework, surface, mode)) for mode in modes)
            shown = (f"{f'{m[0]}/{m[1]}' if m else '-':>15}" for m in marks)
            terminalreporter.write_line(f"{surface:<20}" + "".join(shown))
