"""The guide builds, and every link in it leads somewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def _build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(site)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_guide_builds_with_every_link_checked(tmp_path: Path) -> None:
    built = _build(ROOT / "mkdocs.yml", tmp_path / "site")

    assert built.returncode == 0, built.stderr[-2000:]
    pages = {page.parent.name for page in (tmp_path / "site").rglob("index.html")}
    assert {"quick-start", "concepts", "policy", "errors", "limits", "security", "changelog"} <= pages


def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[nothing](nowhere.md)\n")
    config = (ROOT / "mkdocs.yml").read_text().split("nav:")[0].replace("[docs/hooks.py]", "[]")
    (tmp_path / "mkdocs.yml").write_text(config)

    built = _build(tmp_path / "mkdocs.yml", tmp_path / "site")

    assert built.returncode != 0
    assert "nowhere.md" in built.stderr
