"""Any order of appending, reopening, reading and verifying agrees with a list in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentguard.audit import AuditLog, Verdict, verify
from agentguard.store import Home


class LogMachine(RuleBasedStateMachine):
    """The log against ``model``, the list of what was appended."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.home = Home.create(Path(self.folder.name) / "h")
        self.anchor = Path(self.folder.name) / "anchor"
        self.logs = [AuditLog.open(self.home)]
        self.model: list[tuple[int, str]] = []

    @rule(count=st.integers(1, 5), user=st.sampled_from("ab"), durable=st.booleans(), which=st.integers(0, 1))
    def append(self, count: int, user: str, durable: bool, which: int) -> None:
        log = self.logs[which % len(self.logs)]
        for _ in range(count):
            log.append({"type": "decision", "user.id": user, "n": len(self.model)}, durable=durable)
            self.model.append((len(self.model), user))
        log.flush()

    @precondition(lambda self: len(self.logs) < 2)
    @rule()
    def open_second_writer(self) -> None:
        self.logs.append(AuditLog.open(self.home))

    @rule()
    def reopen(self) -> None:
        self.logs.pop(0).close()
        self.logs.append(AuditLog.open(self.home))

    @rule(user=st.sampled_from("abc"), cursor=st.none() | st.integers(0, 8))
    def query(self, user: str, cursor: int | None) -> None:
        found = [record.data["n"] for record in self.logs[0].query(where={"user": user}, cursor=cursor)]

        assert found == [n for n, u in self.model if u == user and n > (-1 if cursor is None else cursor)]

    @rule()
    def verify_with_anchor(self) -> None:
        report = verify(self.home, anchor=self.anchor)

        assert report.exit_code == 0
        assert report.records == len(self.model)

    @invariant()
    def indices_are_the_order_of_appending(self) -> None:
        assert [record.data["n"] for record in self.logs[0].tail(3)] == [n for n, _ in self.model[-3:]]

    def teardown(self) -> None:
        for log in self.logs:
            log.close()
        assert verify(self.home).verdict is Verdict.OK_UNANCHORED
        self.folder.cleanup()


TestLog = LogMachine.TestCase
TestLog.settings = settings(
    max_examples=8, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
