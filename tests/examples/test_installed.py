"""What a user gets: the wheel, in an environment of its own, run from an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the tree as it is."""
    out = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(out)], cwd=ROOT, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a fresh environment with the wheel; other packages come from this one, ours do not."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, capture_output=True)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install", "--quiet", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--disable-pip-version-check", str(wheel)], check=True, capture_output=True)
    site = next(home.glob("Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"))
    # A folder named in a .pth file is searched, but its own .pth files, ours among them, are not read.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def run(scripts: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(scripts / "agentguard"), *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120, env=environment
    )


def test_the_demo_runs_from_the_wheel_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    code = "import agentguard, agentguard_demo as demo; print(agentguard.__file__, demo.__file__)"
    command = [str(installed / "python"), "-c", code]
    where = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    done = run(installed, tmp_path, "demo", "--json")

    assert str(ROOT) not in where.stdout
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["held"] is True
    assert told["guarded"]["harm"] == []
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_demo_names_it(installed: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['aiosmtpd'] = None; sys.argv = ['agentguard', 'demo']\n"
        "from agentguard.cli import main; main()"
    )
    done = subprocess.run(
        [str(installed / "python"), "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 3
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("agentguard: adapter-refused: install agentguard[demo] (aiosmtpd")


def test_the_wheel_holds_our_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()

    folders = {name.split("/")[0] for name in names if ".dist-info" not in name}
    adapters = {path.name for path in (ROOT / "adapters").iterdir() if (path / "__init__.py").exists()}
    assert folders == {"agentguard", "agentguard_demo", *adapters}
    assert "agentguard_demo/agentguard.yaml" in names
    assert "Provides-Extra: demo" in metadata
    assert "Requires-Dist: aiosmtpd>=1.4.6; extra == 'demo'" in metadata
