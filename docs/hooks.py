"""Hooks of the documentation's build.

SECURITY.md, CHANGELOG.md and the examples' README stand where people of the repository look for them; the guide shows
the same files. Run as a script, it puts the tables that are made from code into the pages that hold them.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from agentguard.policy.reference import filled

ROOT = Path(__file__).resolve().parent.parent
SHARED = {"security.md": "SECURITY.md", "changelog.md": "CHANGELOG.md", "examples.md": "examples/README.md"}
REFERENCE = ROOT / "docs" / "policy.md"

_OWN_FILE = re.compile(r"\[([^\]]+)\]\((?![a-z]+:|#)([\w./-]+)\)")


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside docs/, their links made relative to it."""
    for page, source in SHARED.items():
        files.append(File.generated(config, page, content=_moved(source)))
    return files


def on_page_markdown(markdown: str, /, **_: object) -> str:
    """Links of a page to the files outside docs/ lead to their pages."""
    for page, source in SHARED.items():
        markdown = markdown.replace(f"](../{source})", f"]({page})")
    return markdown


def _moved(source: str) -> str:
    """The text of ``source`` as a page of the guide: links to pages lead there, other files are only named."""
    folder = (ROOT / source).parent

    def link(found: re.Match[str]) -> str:
        target = (folder / found[2]).resolve().relative_to(ROOT).as_posix()
        page = next((name for name, shared in SHARED.items() if shared == target), target.removeprefix("docs/"))
        return f"[{found[1]}]({page})" if page != target else f"`{target}`"

    return _OWN_FILE.sub(link, (ROOT / source).read_text(encoding="utf-8"))


if __name__ == "__main__":
    REFERENCE.write_text(filled(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")
