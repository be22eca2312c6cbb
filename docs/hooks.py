"""Hooks of the documentation's build.

SECURITY.md and CHANGELOG.md stand at the top of the repository, where people look for them; the guide shows the same
files. Run as a script, it puts the tables that are made from code into the pages that hold them.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from agentguard.policy.reference import filled

ROOT = Path(__file__).resolve().parent.parent
SHARED = {"security.md": "SECURITY.md", "changelog.md": "CHANGELOG.md"}
REFERENCE = ROOT / "docs" / "policy.md"


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside docs/, their links made relative to it."""
    for page, source in SHARED.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


if __name__ == "__main__":
    REFERENCE.write_text(filled(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")
