"""``agentguard`` called as a shell calls it, but in this process: the streams are pipes, the exit code comes back."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from unittest import mock

from agentguard.cli import main

__all__ = ["call"]

PASSWORDS = ("MASTER_PASSWORD", "AGENTGUARD_MASTER_PASSWORD", "AGENTGUARD_NEW_MASTER_PASSWORD")


def call(
    *arguments: str, folder: Path, given: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in ``folder``; no password is in its environment but those given."""
    code: int | str | None = 0
    with _streams(given) as (out, err), _environment(environment or {}), contextlib.chdir(folder):
        with mock.patch.object(sys, "argv", ["agentguard", *arguments]):
            try:
                main()
            except SystemExit as ended:
                code = ended.code
        sys.stdout.flush()
        sys.stderr.flush()
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _streams(given: bytes) -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    out, err = io.BytesIO(), io.BytesIO()
    wrapped = {
        "stdin": io.TextIOWrapper(io.BytesIO(given), "utf-8"),
        "stdout": io.TextIOWrapper(out, "utf-8"),
        "stderr": io.TextIOWrapper(err, "utf-8"),
    }
    with contextlib.ExitStack() as patched:
        for name, stream in wrapped.items():
            patched.enter_context(mock.patch.object(sys, name, stream))
        yield out, err
    for stream in (wrapped["stdout"], wrapped["stderr"]):
        stream.detach()


@contextlib.contextmanager
def _environment(given: Mapping[str, str]) -> Iterator[None]:
    kept = {key: value for key, value in os.environ.items() if key not in PASSWORDS}
    with mock.patch.dict(os.environ, {**kept, **given}, clear=True):
        yield
