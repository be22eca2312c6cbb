"""Pages whose commands are real: reading them, running them, and comparing what a terminal shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What differs from run to run: ids and times. A table's width follows them, so spaces and rules are not compared.
_CHANGING = re.compile(r"\b[0-9a-f]{16}\b|\d{4}-\d{2}-\d{2}T[0-9:.]+Z?")


def files(page: str) -> dict[str, str]:
    """The files a page has its reader write: name and content."""
    return dict(re.findall(r'```[a-z]+ title="([^"]+)"\n(.*?)```', page, re.DOTALL))


def blocks(page: str) -> list[list[tuple[str, str]]]:
    """The console blocks of the page: each command with the output that follows it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
        found.append([(part.partition("\n")[0], part.partition("\n")[2]) for part in parts])
    return found


def run(command: str, folder: Path, bin_folder: Path) -> str:
    """What a terminal shows: both streams, in a folder with this Python first on the path."""
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'adapters'}",
    }
    done = subprocess.run(
        command, shell=True, cwd=folder, text=True, env=environment, check=False, timeout=120,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


def commands(folder: Path) -> Path:
    """A folder with ``agentguard`` and ``python`` as this test run has them, installed script or not."""
    folder.mkdir()
    for name, words in (("agentguard", "-m agentguard.cli"), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        script.chmod(0o755)
    return folder


def normal(text: str) -> list[str]:
    """Lines without what differs from run to run."""
    lines = (_CHANGING.sub("*", line) for line in text.split("\n"))
    return [" ".join(line.split()) for line in lines if line.strip() and set(line.strip()) != {"─"}]
