"""Who else can read or write the project's files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agentguard.posture.item import Item
from agentguard.posture.project import Project, listed

__all__ = ["home_private", "policy_protected"]


def home_private(project: Project) -> Item:
    """Folder and files are this user's alone, those that no command opens too: copies, keys of the CA, URLs."""
    root = project.home_path
    open_to_others, foreign = [], []
    for path in [root, *sorted(root.rglob("*"))]:
        info = path.lstat()
        name = path.name if path == root else str(path.relative_to(root))
        if stat.S_ISLNK(info.st_mode):
            foreign.append(f"{name} (a link)")
        elif info.st_uid != os.geteuid():
            foreign.append(f"{name} (user id {info.st_uid})")
        elif info.st_mode & 0o077:
            open_to_others.append(f"{name} ({info.st_mode & 0o777:03o})")
    if open_to_others:
        return Item.failed(
            f"open to other users: {listed(open_to_others)}",
            f"chmod -R go= {root}, and replace keys that others could read",
        )
    if foreign:
        return Item.failed(f"not this user's own files: {listed(foreign)}", "move them away, restore the originals")
    return Item.ok("folder and files are this user's alone")


def policy_protected(project: Project) -> Item:
    """Nobody else can write the policy, or put another in its place."""
    loose = [name for name, path in _places(project.policy_path) if path.stat().st_mode & 0o022 and not _sticky(path)]
    if loose:
        return Item.failed(f"others can write {' and '.join(loose)}", "chmod go-w what is named")
    return Item.ok("only its owner can write the policy")


def _places(path: Path) -> list[tuple[str, Path]]:
    return [("the policy", path), ("the policy's folder", path.resolve().parent)]


def _sticky(path: Path) -> bool:
    # In a sticky folder others can add files, not replace ours.
    return path.is_dir() and bool(path.stat().st_mode & stat.S_ISVTX)
