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
    return ["mypy", "--follow-imports=silent", *sorted({str(path) for adapter in found for path in _sources(adapter)})]


def _tests(found: list[Adapter]) -> list[str]:
    own = sorted({str(path) for adapter in found for path in _own_tests(adapter)})
    suite = ["tests/adapters/test_conformance.py", *own]
    return ["pytest", "-q", "-n", "auto", "-m", "not long", *suite, *sys.argv[1:]]


def _sources(adapter: Adapter) -> list[Path]:
    # File by file: a folder would be searched without what the settings exclude.
    every = (ROOT / "adapters" / adapter.package).glob("*.py")
    package = [path for path in every if path.stem not in adapter.without]
    return [*package, ROOT / "tests" / "adapters" / f"{adapter.name}_driver.py", *_own_tests(adapter)]


def _own_tests(adapter: Adapter) -> list[Path]:
    folder = ROOT / "tests" / "adapters"
    return sorted({*folder.glob(f"test_{adapter.name}.py"), *folder.glob(f"test_{adapter.name}_*.py")})


if __name__ == "__main__":
    sys.exit(main())
