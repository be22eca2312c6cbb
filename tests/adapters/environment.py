"""Types and tests of the adapters whose framework this environment has.

Run by ``make test-frameworks`` with the Python of each environment. Arguments are handed to pytest.
Exits with its code, or mypy's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.adapters.drivers import Adapter, installed

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Check and test; nothing to run is a failure."""
    found = installed()
    if not found:
        sys.exit("this environment has none of the frameworks")
    for command in (_types(found), _tests(found)):
        code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode
        if code:
            return code
    return 0


def _types(found: list[Adapter]) -> list[str]:
    # What the first environment leaves out, since it cannot see these frameworks' types.
    return ["mypy", "--exclude", "^$", *(str(path) for adapter in found for path in _sources(adapter))]


def _tests(found: list[Adapter]) -> list[str]:
    tests = [path for adapter in found for path in (ROOT / "tests" / "adapters").glob(f"test_{adapter.name}*.py")]
    return [
        "pytest",
        "-q",
        "-n",
        "auto",
        "-m",
        "not long",
        "tests/adapters/test_conformance.py",
        *map(str, tests),
        *sys.argv[1:],
    ]


def _sources(adapter: Adapter) -> list[Path]:
    tests = ROOT / "tests" / "adapters"
    return [
        ROOT / "adapters" / adapter.package,
        tests / f"{adapter.name}_driver.py",
        *tests.glob(f"test_{adapter.name}*.py"),
    ]


if __name__ == "__main__":
    sys.exit(main())
