"""Property tests without a stop-watch, and below the results the conformance table as it came out."""

from __future__ import annotations

import hypothesis
import pytest

from tests.adapters.conformance import FAULTS, MODES, SURFACES

# Wall time says how busy the machine is; what a check costs is measured in benchmarks/.
hypothesis.settings.register_profile("agentguard", deadline=None)
hypothesis.settings.load_profile("agentguard")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
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
