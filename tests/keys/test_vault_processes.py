"""Many processes on one vault: no update is lost, a re-key disturbs nobody, and a death at any step harms nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agentguard.errors import ConfigError, WeakPasswordError, WrongPasswordError
from agentguard.keys import Argon2Cost, KeyVault
from agentguard.store import Home

ROOT = Path(__file__).parents[2]
OLD, NEW, THIRD = "made-up old phrase", "made-up new phrase", "made-up third phrase"
CHEAP = Argon2Cost(19 * 1024, 1, 1)

# Each prints one line that its test reads; "go" on stdin lets all of them start together.
PRELUDE = """
import json, os, signal, sys
from datetime import timedelta
from agentguard.errors import AgentGuardError
from agentguard.keys import Argon2Cost, KeyVault
def opened(password):
    return KeyVault(password, home=sys.argv[1], cost=Argon2Cost(19 * 1024, 1, 1))
"""
WRITER = (
    PRELUDE
    + """
name = sys.argv[2]
vault = opened("made-up old phrase")
print("ready", flush=True)
sys.stdin.readline()
numbers = []
for turn in range(12):
    numbers.append(vault.rotate_api_key("shared", f"{name}-{turn}"))
    vault.store_api_key(f"own-{name}", f"{name}-{turn}")
    vault.get_api_key("shared")
print(json.dumps(numbers))
"""
)
# Works until it is told to stop, at least five turns, and counts what failed.
WORKER = (
    PRELUDE
    + """
import select
name = sys.argv[2]
vault = opened("made-up old phrase")
vault.store_api_key(f"own-{name}", "0")
print("ready", flush=True)
turns, failed = 0, []
while turns < 5 or not select.select([sys.stdin], [], [], 0)[0]:
    try:
        vault.rotate_api_key(f"own-{name}", str(turns), grace=timedelta(0))
        assert vault.get_api_key(f"own-{name}") == str(turns)
        assert vault.get_api_key("shared") == "kept"
        turns += 1
    except AgentGuardError as error:
        failed.append(f"{error.code}: {error}")
print(json.dumps([turns, failed]))
"""
)
REKEY = (
    PRELUDE
    + """
def step(name):
    if name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
vault = opened("made-up old phrase")
vault.rekey("made-up new phrase", grace=timedelta(seconds=float(sys.argv[3])), step=step)
"""
)


def started(code: str, home: Home, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, str(home.path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def at(home: Home, password: str) -> KeyVault:
    return KeyVault(password, home=home, cost=CHEAP)


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def test_four_processes_store_and_rotate_without_a_lost_update(state_home: Home) -> None:
    with at(state_home, OLD) as vault:
        vault.store_api_key("shared", "first")
    writers = [started(WRITER, state_home, str(number)) for number in range(4)]
    for writer in writers:
        ready(writer)

    answers = [writer.communicate(timeout=120)[0] for writer in _told(writers)]

    numbers = [number for answer in answers for number in json.loads(answer)]
    assert sorted(numbers) == list(range(2, 50))
    with at(state_home, OLD) as vault:
        reports = {report.service: report for report in vault.list_api_keys()}
        assert reports["shared"].version == 49
        assert len(reports["shared"].versions) == 49
        assert {reports[f"own-{number}"].version for number in range(4)} == {12}
        last = {json.loads(answer)[-1]: f"{number}-11" for number, answer in enumerate(answers)}
        assert vault.get_api_key("shared") == last[49]


def _told(writers: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    return writers


def test_four_processes_that_begin_the_vault_begin_one(state_home: Home) -> None:
    code = PRELUDE + "vault = opened('made-up old phrase')\nvault.store_api_key(sys.argv[2], sys.argv[2])\n"
    processes = [started(code, state_home, str(number)) for number in range(4)]

    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    for process in processes:
        process.communicate()

    with at(state_home, OLD) as vault:
        assert [vault.get_api_key(str(number)) for number in range(4)] == ["0", "1", "2", "3"]


def test_readers_and_writers_in_other_processes_go_on_through_re_keys(state_home: Home) -> None:
    """They hold the old password; the master changes twice under them."""
    with at(state_home, OLD) as vault:
        vault.store_api_key("shared", "kept")
    workers = [started(WORKER, state_home, str(number)) for number in range(3)]
    for worker in workers:
        ready(worker)

    with at(state_home, OLD) as vault:
        for password in (NEW, THIRD):
            for turn in range(10):
                vault.store_api_key("between", str(turn))
            vault.rekey(password)

    for turns, failed in (json.loads(worker.communicate("stop\n", timeout=60)[0]) for worker in workers):
        assert failed == []
        assert turns >= 5
    with at(state_home, THIRD) as vault:
        assert vault.get_api_key("shared") == "kept"


# Says each version once it is acknowledged, until it is killed.
ENDLESS = (
    PRELUDE
    + """
vault = opened("made-up old phrase")
while True:
    print(vault.store_api_key("openai", "x" * 1000, grace=timedelta(0)), flush=True)
"""
)


@pytest.mark.parametrize("acknowledged", [1, 4, 9])
def test_what_was_acknowledged_outlives_a_kill_and_the_rest_is_whole(state_home: Home, acknowledged: int) -> None:
    process = started(ENDLESS, state_home)
    assert process.stdout is not None
    for number in range(1, acknowledged + 1):
        assert process.stdout.readline() == f"{number}\n"
    process.kill()
    rest = process.communicate()[0].split()

    with at(state_home, OLD) as vault:
        (report,) = vault.list_api_keys()
        assert report.version >= max(acknowledged, *map(int, rest), 0)
        assert vault.get_api_key("openai") == "x" * 1000
        assert vault.rotate_api_key("openai", "next") == report.version + 1


@pytest.mark.parametrize("grace", ["3600", "0"])
@pytest.mark.parametrize("step", ["stretched", "re-wrapped", "committed"])
def test_a_re_key_killed_at_any_step_leaves_one_whole_state_and_can_be_run_again(
    state_home: Home, step: str, grace: str
) -> None:
    with at(state_home, OLD) as vault:
        for number in range(5):
            vault.store_api_key(f"s{number}", f"v{number}")
        vault.rotate_api_key("s0", "newer")

    killed = started(REKEY, state_home, step, grace)
    assert killed.wait(60) == -signal.SIGKILL
    killed.communicate()

    done = step == "committed"
    with at(state_home, NEW if done else OLD) as vault:
        assert [vault.get_api_key(f"s{number}") for number in range(5)] == ["newer", "v1", "v2", "v3", "v4"]
        assert vault.get_api_key("s0", version=1) == "v0"
        if not done:
            with pytest.raises(WrongPasswordError):
                at(state_home, NEW)
            vault.rekey(NEW)
    with at(state_home, NEW) as vault:
        assert vault.get_api_key("s0") == "newer"
        assert len(vault.list_api_keys()) == 5


def test_the_old_password_opens_for_its_grace_and_no_longer(state_home: Home) -> None:
    now = [1_800_000_000.0]
    old = KeyVault(OLD, home=state_home, cost=CHEAP, clock=lambda: now[0])
    old.store_api_key("openai", "value")
    new = KeyVault(OLD, home=state_home, cost=CHEAP, clock=lambda: now[0])
    late = KeyVault(OLD, home=state_home, cost=CHEAP, clock=lambda: now[0])

    assert new.rekey(NEW, grace=timedelta(hours=1)) == 1

    with KeyVault(OLD, home=state_home, cost=CHEAP, clock=lambda: now[0]) as fresh:
        assert fresh.get_api_key("openai") == "value"
    assert old.get_api_key("openai") == "value"
    now[0] += 3600
    assert old.get_api_key("openai") == "value"  # it looked within the grace
    with pytest.raises(WrongPasswordError, match="new one"):
        late.get_api_key("openai")
    with pytest.raises(WrongPasswordError):
        KeyVault(OLD, home=state_home, cost=CHEAP, clock=lambda: now[0])
    old.store_api_key("openai", "value")  # a write destroys the former master for good
    with old._engine.begin() as connection:
        assert len(connection.execute(old._tables.masters.select()).all()) == 1
    for vault in (old, new, late):
        vault.close()


def test_without_a_grace_the_old_password_ends_at_once(state_home: Home) -> None:
    with at(state_home, OLD) as vault, at(state_home, OLD) as other:
        vault.store_api_key("openai", "value")
        vault.rekey(NEW, grace=timedelta(0))

        assert vault.get_api_key("openai") == "value"
        with pytest.raises(WrongPasswordError):
            other.get_api_key("openai")
        with pytest.raises(WrongPasswordError):
            other.store_api_key("openai", "lost")
        with vault._engine.begin() as connection:
            assert len(connection.execute(vault._tables.masters.select()).all()) == 1


def test_a_re_key_wraps_every_data_key_under_a_new_master(state_home: Home) -> None:
    """Whoever learned the old master reads nothing of what is in the database afterwards."""
    with at(state_home, OLD) as vault:
        vault.store_api_key("openai", "value")
        before, master = vault.encrypted_keys["openai"], vault._keyed.master.key

        vault.rekey(NEW)

        assert vault.encrypted_keys["openai"] != before
        assert vault._keyed.master.key != master


@pytest.mark.parametrize(
    ("password", "error"),
    [("", ConfigError), ("short", WeakPasswordError), (OLD, ConfigError)],
    ids=["empty", "weak", "the-present-one"],
)
def test_a_bad_next_password_changes_nothing(state_home: Home, password: str, error: type[Exception]) -> None:
    with at(state_home, OLD) as vault:
        vault.store_api_key("openai", "value")

        with pytest.raises(error):
            vault.rekey(password)
    with at(state_home, OLD) as vault:
        assert vault.get_api_key("openai") == "value"


@pytest.mark.parametrize("where", ["home", "memory"])
def test_threads_rotate_without_a_lost_update(tmp_path: Path, where: str) -> None:
    home = Home.create(tmp_path / "h") if where == "home" else None
    numbers: list[int] = []
    with KeyVault(OLD, home=home, cost=CHEAP) as vault:
        vault.store_api_key("shared", "first")

        def work() -> None:
            for turn in range(10):
                numbers.append(vault.rotate_api_key("shared", str(turn)))
                vault.get_api_key("shared")

        _run_all([work] * 4)

        assert sorted(numbers) == list(range(2, 42))


def test_a_read_during_re_keys_never_looks_replayed_or_wrong(tmp_path: Path) -> None:
    """What a thread saw is fixed before it looks: another one's newer sight is no evidence against it."""
    failed: list[Exception] = []
    with at(Home.create(tmp_path / "h"), OLD) as vault:
        vault.store_api_key("shared", "kept")
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                try:
                    assert vault.get_api_key("shared") == "kept"
                except Exception as error:  # reported below
                    failed.append(error)

        def change() -> None:
            for number in range(6):
                vault.rekey(f"made-up phrase number {number}")
                vault.store_api_key("other", str(number))
            stop.set()

        _run_all([read, read, change])

    assert failed == []


def _run_all(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_reads_and_writes(state_home: Home) -> None:
    code = (
        PRELUDE
        + """
vault = opened("made-up old phrase")
vault.store_api_key("a", "parent")
child = os.fork()
vault.rotate_api_key("a", "child" if child == 0 else "parent")
assert vault.get_api_key("a") in ("child", "parent")
if child:
    assert os.waitpid(child, 0)[1] == 0
    print(vault.list_api_keys()[0].version)
else:
    vault.close()
    os._exit(0)
"""
    )
    process = started(code, state_home)

    assert process.communicate(timeout=60)[0] == "3\n"
    assert process.returncode == 0
