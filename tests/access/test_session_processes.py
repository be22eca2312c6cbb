"""Four processes that share the sessions of one home: no update is lost, and each thing is done once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentguard import Home
from tests.access.tokens import Clock, Desk, read_header

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 4

PRELUDE = """
import sys
from agentguard import Home
from agentguard.errors import SessionError
from agentguard.access import SessionManager, SessionStore, StoredKeys
from agentguard.keys import KeyFile
home = Home.open(sys.argv[1])
keys = StoredKeys(home, KeyFile(home.key_path), overlap_s=43200)
sessions = SessionManager(keys, SessionStore(home), record=lambda record: None)
"""


def together(home: Home, script: str, *arguments: str) -> list[str]:
    """What four processes printed that ran ``script`` at the same time."""
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", f"{PRELUDE}{script}\nsessions.close()", str(home.path), *arguments],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(WORKERS)
    ]  # fmt: skip
    ended = [process.communicate(timeout=120) for process in running]
    assert [(p.returncode, err) for p, (_, err) in zip(running, ended, strict=True)] == [(0, "")] * WORKERS
    return [out for out, _ in ended]


@pytest.fixture
def real(state_home: Home) -> Iterator[Desk]:
    """A manager by the real clock, for what others do meanwhile."""

    class Now(Clock):
        def __call__(self) -> float:
            return time.time()

    made = Desk(state_home, Now())
    yield made
    made.close()


def test_four_processes_that_start_at_once_make_one_key(state_home: Home, real: Desk) -> None:
    made = together(state_home, "print(sessions.create_session_token('ann'))")

    tokens = [line.strip() for line in made]
    assert len({read_header(token)["kid"] for token in tokens}) == 1
    assert all(real.validate_session_token(token)[0] for token in tokens)


def test_four_processes_rotate_without_losing_a_key_or_a_token(state_home: Home, real: Desk) -> None:
    script = """
for number in range(5):
    print(sessions.create_session_token('ann'), sessions.rotate_keys(), flush=True)
"""

    lines = [line.split() for out in together(state_home, script) for line in out.splitlines()]

    assert len({key_id for _, key_id in lines}) == WORKERS * 5
    assert all(real.keys.verifying(key_id) for _, key_id in lines)
    assert all(real.validate_session_token(token)[0] for token, _ in lines)


def test_four_processes_revoke_each_session_exactly_once(state_home: Home, real: Desk) -> None:
    tokens = [real.create_session_token("ann") for _ in range(40)]

    script = """
print(sum(sessions.revoke_token(token) for token in sys.argv[2:]))
assert not any(sessions.validate_session_token(token)[0] for token in sys.argv[2:])
"""
    counts = together(state_home, script, *tokens)

    assert sum(map(int, counts)) == 40
    assert real.sessions() == ()


def test_of_four_processes_with_one_refresh_token_one_wins_and_the_family_ends(state_home: Home, real: Desk) -> None:
    tokens = real.open_session("ann")

    script = """
try:
    print(sessions.refresh(sys.argv[2]).access)
except SessionError as error:
    print(error.code)
"""
    answers = [line.strip() for line in together(state_home, script, tokens.refresh)]

    won = [answer for answer in answers if "." in answer]
    assert len(won) == 1
    assert {answer for answer in answers if "." not in answer} <= {"refresh-reused", "session-revoked"}
    assert not real.validate_session_token(won[0])[0]


def test_four_processes_keep_to_the_users_limit(state_home: Home, real: Desk) -> None:
    script = "sessions._max_sessions = 5\nfor _ in range(10): sessions.create_session_token('ann')"

    together(state_home, script)

    assert len(real.sessions("ann")) == 5
