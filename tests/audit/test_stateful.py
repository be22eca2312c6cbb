"""Any order of appending, reopening, rotating, shredding, reading and verifying agrees with a list in memory."""

from __future__ import annotations

import datetime
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from agentguard.audit import AuditLog, Verdict, rotate_kek, shred_before, verify
from tests.audit.damage import clone
from tests.audit.ground import Ground

DAY_NS = 86_400 * 10**9
# Every run of the rules has a schema of its own.
MADE = itertools.count()


class Clock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000 * 10**9

    def time_ns(self) -> int:
        return self.now

    monotonic_ns = time_ns


@dataclass
class Entry:
    """What the model knows of a record: ``user`` is None for the log's own, ``day`` names its key."""

    user: str | None
    day: int
    time: int
    readable: bool = True


class LogMachine(RuleBasedStateMachine):
    """The log against ``model``, the list of what was appended."""

    url: ClassVar[str | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.home = Ground(Path(self.folder.name), self.url, MADE).home("h")
        self.anchor = Path(self.folder.name) / "anchor"
        self.clock = Clock()
        self.logs = [self.opened()]
        self.model: list[Entry] = []
        self.key_made = 0

    def opened(self) -> AuditLog:
        return AuditLog.open(self.home, clock=self.clock)

    def remember(self, user: str | None) -> None:
        # The log's rule: a key serves for a day from its making.
        if not self.key_made or self.clock.now - self.key_made >= DAY_NS:
            self.key_made = self.clock.now
        self.model.append(Entry(user, self.key_made, self.clock.now))

    @rule(count=st.integers(1, 5), user=st.sampled_from("ab"), durable=st.booleans(), which=st.integers(0, 1))
    def append(self, count: int, user: str, durable: bool, which: int) -> None:
        log = self.logs[which % len(self.logs)]
        for _ in range(count):
            log.append({"type": "decision", "user.id": user, "n": len(self.model)}, durable=durable)
            self.remember(user)
        log.flush()

    @precondition(lambda self: len(self.logs) < 2)
    @rule()
    def open_second_writer(self) -> None:
        self.logs.append(self.opened())

    @rule()
    def reopen(self) -> None:
        self.logs.pop(0).close()
        self.logs.append(self.opened())

    @rule()
    def crash(self) -> None:
        """What is on disk at this moment, opened elsewhere, is whole; nobody closed it."""
        with tempfile.TemporaryDirectory() as folder:
            copy = clone(self.home, Path(folder) / "h")
            assert verify(copy, clock=self.clock).records == len(self.model)
            with AuditLog.open(copy, clock=self.clock) as log:
                assert log.append({"type": "decision"}, durable=True).result(10) == len(self.model)

    @rule()
    def rotate(self) -> None:
        rotate_kek(self.home, clock=self.clock)
        self.remember(None)

    @rule(hours=st.integers(1, 60))
    def time_passes(self, hours: int) -> None:
        self.clock.now += hours * 3600 * 10**9

    @rule(days=st.integers(0, 3))
    def shred(self, days: int) -> None:
        cutoff = self.clock.now - days * DAY_NS
        moment = datetime.datetime.fromtimestamp(cutoff // 10**9, datetime.UTC)
        keys = {entry.day for entry in self.model if entry.readable}
        if self.clock.now - self.key_made < DAY_NS:
            keys.discard(self.key_made)
        newest = {day: max(entry.time for entry in self.model if entry.day == day) for day in keys}
        doomed = {day for day, time in newest.items() if time < cutoff}

        assert shred_before(self.home, moment, clock=self.clock).keys == len(doomed)

        for entry in self.model:
            entry.readable = entry.readable and entry.day not in doomed
        if doomed:
            self.remember(None)
        # A process that had the key open reads on until it ends.
        for log in self.logs:
            log.close()
        self.logs = [self.opened()]

    @rule(user=st.sampled_from("abc"), cursor=st.none() | st.integers(0, 8), full=st.booleans())
    def query(self, user: str, cursor: int | None, full: bool) -> None:
        found = [record.index for record in self.logs[0].query(where={"user": user}, cursor=cursor, full=full)]

        readable = [n for n, entry in enumerate(self.model) if entry.user == user and entry.readable]
        assert found == [n for n in readable if n > (-1 if cursor is None else cursor)]

    @rule()
    def verify_with_anchor(self) -> None:
        report = verify(self.home, anchor=self.anchor, clock=self.clock)

        # Time stands still for the writer's thread: the log may be silent for as long as the rules like.
        assert report.verdict in (Verdict.OK, Verdict.OK_UNANCHORED, Verdict.STALE)
        assert report.records == len(self.model)
        assert report.shredded == sum(not entry.readable for entry in self.model)

    @invariant()
    def indices_are_the_order_of_appending(self) -> None:
        readable = [n for n, entry in enumerate(self.model) if entry.readable]
        assert [record.index for record in self.logs[0].tail(3)] == readable[-3:]

    def teardown(self) -> None:
        for log in self.logs:
            log.close()
        assert verify(self.home, clock=self.clock).verdict is Verdict.OK_UNANCHORED
        self.folder.cleanup()


SETTINGS = settings(max_examples=8, stateful_step_count=14, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("ground", ["sqlite", "postgresql"], indirect=True)
def test_log_agrees_with_a_list(ground: Ground) -> None:
    class Machine(LogMachine):
        url = ground.url

    run_state_machine_as_test(Machine, settings=SETTINGS)
