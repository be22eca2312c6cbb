"""Two agents in two processes, three impostors, one audit trail: the example prints what its README shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def test_the_agents_delegate_and_the_impostors_are_refused(tmp_path: Path) -> None:
    path = os.pathsep.join(map(str, (ROOT, ROOT / "adapters")))
    done = subprocess.run(
        [sys.executable, EXAMPLES / "remote_agents"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    shown = re.search(r"\$ python examples/remote_agents\n(.*?)```", (EXAMPLES / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    # Which side's connect is written first is up to the two processes.
    assert (sorted(done.stdout.splitlines()), done.returncode) == (sorted(shown[1].splitlines()), 0), done.stderr
    assert "LET IN" not in done.stdout
