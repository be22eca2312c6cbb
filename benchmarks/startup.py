"""What a process pays before its first decision: ``import agentguard``, and a cold start to the first decision."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.report import Row, Table

ROUNDS = 7

_IMPORT = "import time; t = time.perf_counter(); import agentguard; print(time.perf_counter() - t)"
# Everything a first decision needs: policy, recognizers, key, log; then one tool call through every stage.
_FIRST = """
import time; t = time.perf_counter()
import sys
from agentguard import Guard, ToolCall
guard = Guard.from_file(sys.argv[1], home=sys.argv[2])
with guard.conversation("bench", "look up 1042") as run:
    decision = guard.check(ToolCall("lookup", {"id": "1042"}))
print(time.perf_counter() - t)
assert decision.allowed, decision
guard.close()
"""
_PYDANTIC = "import time; t = time.perf_counter(); import pydantic, sqlalchemy; print(time.perf_counter() - t)"


def _seconds(script: str, *args: str) -> float:
    runs = []
    for _ in range(ROUNDS):
        done = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, check=True)
        runs.append(float(done.stdout))
    return statistics.median(runs)


def measure(policy: Path, home: Path) -> Table:
    """Medians over fresh processes, after one that warms the file cache."""
    _seconds(_FIRST, str(policy), str(home))
    return Table(
        "Start-up (median of fresh processes)",
        ("what", "ms", "goal"),
        (
            Row("import agentguard", f"{_seconds(_IMPORT) * 1e3:.0f}", "150"),
            Row("cold start to first decision", f"{_seconds(_FIRST, str(policy), str(home)) * 1e3:.0f}", "800"),
            Row("for scale: import pydantic and sqlalchemy", f"{_seconds(_PYDANTIC) * 1e3:.0f}", ""),
        ),
    )
