"""Assignments in the state database: shared, durable, fresh, and never lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentguard import AccessLog, AuditLog, Guard, Home, Policy
from agentguard.access import AccessRecord, Assignment, Permission, RBACManager, Role
from agentguard.access.assignment import FRESH_S, StoredAssignments
from agentguard.errors import ConfigError, StoreError, WriteError
from agentguard.event import Principal, ToolCall

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 4


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def ignore(_record: AccessRecord) -> None:
    """Nobody reads it."""


def unrecorded() -> None:
    """Nobody reads it."""


@pytest.fixture
def manager(state_home: Home) -> Iterator[Callable[..., RBACManager]]:
    """Makes managers of one home, as several processes would."""
    made: list[RBACManager] = []

    def make(**settings: object) -> RBACManager:
        made.append(RBACManager(home=state_home, record=ignore, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()


def run(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes: subprocess.Popen[str]) -> list[str]:
    """What each printed; all must have ended well."""
    ended = [process.communicate(timeout=120) for process in processes]
    assert [(p.returncode, err) for p, (_, err) in zip(processes, ended, strict=True)] == [(0, "")] * len(processes)
    return [out for out, _ in ended]


def test_assignments_outlive_the_process(manager: Callable[..., RBACManager]) -> None:
    first = manager()
    first.assign_role("alice", "user", tenant="acme", resource="reports/*", expires_in=1e6)
    first.assign_role("bob", "viewer", kind="service")

    found = manager().assignments()

    assert [(a.user_id, a.role, a.kind, a.tenant, a.resource, a.expires_at is None) for a in found] == [
        ("bob", "viewer", "service", None, None, True),
        ("alice", "user", "user", "acme", "reports/*", False),
    ]


@pytest.mark.parametrize(
    ("strict", "later", "still_held"),
    [
        pytest.param(False, 0.0, True, id="remembered-for-half-a-second"),
        pytest.param(False, FRESH_S, False, id="then-read-again"),
        pytest.param(True, 0.0, False, id="strict-reads-each-time"),
    ],
)
def test_a_role_taken_back_elsewhere_is_gone_within_a_second(
    state_home: Home, manager: Callable[..., RBACManager], strict: bool, later: float, still_held: bool
) -> None:
    ticks = Clock()
    store = StoredAssignments(state_home, strict=strict, ticks=ticks)
    other = manager()
    other.assign_role("alice", "user")
    assert store.of("user", "alice")

    other.unassign_role("alice", "user")
    ticks.now += later

    assert bool(store.of("user", "alice")) is still_held
    store.close()


def test_a_change_holds_at_once_where_it_was_made(manager: Callable[..., RBACManager]) -> None:
    rbac = manager()
    assert not rbac.check_permission("alice", "read_data")

    rbac.assign_role("alice", "user")
    held = rbac.check_permission("alice", "read_data")
    rbac.unassign_role("alice", "user")

    assert held
    assert not rbac.check_permission("alice", "read_data")


def test_assigning_again_moves_the_expiry_and_adds_nothing(manager: Callable[..., RBACManager]) -> None:
    clock = Clock()
    rbac = manager(clock=clock)
    rbac.assign_role("alice", "user", expires_in=10)

    rbac.assign_role("alice", "user", expires_in=20)
    clock.now += 15

    assert rbac.check_permission("alice", "read_data")
    assert len(rbac.assignments()) == 1


def test_expired_assignments_are_pruned(state_home: Home, manager: Callable[..., RBACManager]) -> None:
    """The table does not grow by what has ended."""
    clock = Clock()
    rbac = manager(clock=clock)
    for number in range(20):
        rbac.assign_role(f"user{number}", "user", expires_in=1)

    clock.now += 2
    rbac.assign_role("last", "user")

    store = StoredAssignments(state_home)
    assert store.all() == (Assignment("last", "user"),)
    store.close()


def test_a_change_that_is_not_recorded_does_not_happen(state_home: Home) -> None:
    def full(_record: AccessRecord) -> None:
        raise WriteError("the disk is full")

    rbac = RBACManager(home=state_home, record=full)
    store = StoredAssignments(state_home)
    store.put(Assignment("bob", "user"), unrecorded)

    with pytest.raises(WriteError):
        rbac.assign_role("alice", "admin")
    with pytest.raises(WriteError):
        rbac.unassign_role("bob", "user")

    assert store.all() == (Assignment("bob", "user"),)
    store.close()
    rbac.close()


def test_a_home_without_a_record_is_refused(state_home: Home) -> None:
    with pytest.raises(ConfigError, match="record"):
        RBACManager(home=state_home)


def test_a_database_that_cannot_be_read_permits_nothing(tmp_path: Path) -> None:
    """Not even what was permitted a moment ago: fail closed."""
    home = Home.create(tmp_path / "home")
    ticks = Clock()
    store = StoredAssignments(home, ticks=ticks)
    store.put(Assignment("alice", "user"), unrecorded)
    assert store.of("user", "alice")

    store.close()
    home.state_path.write_bytes(b"no database at all" * 1000)
    ticks.now += FRESH_S

    with pytest.raises(StoreError):
        store.of("user", "alice")
    with pytest.raises(StoreError):
        store.of("user", "alice")
    store.close()


CHANGER = """
import sys
from agentguard.access import RBACManager
worker, home = int(sys.argv[1]), sys.argv[2]
rbac = RBACManager(home=home, record=lambda record: None)
for number in range(15):
    rbac.assign_role("shared", "user", resource=f"{worker}/{number}")
    rbac.assign_role("same", "viewer", expires_in=1000 + worker)
    if number % 3 == 0:
        assert rbac.unassign_role("shared", "user", resource=f"{worker}/{number}")
rbac.close()
"""


def test_four_processes_assign_and_unassign_without_a_lost_update(state_home: Home) -> None:
    finish(*(run(CHANGER, worker, state_home.path) for worker in range(WORKERS)))

    rbac = RBACManager(home=state_home, record=ignore)
    held = {a.resource for a in rbac.assignments("shared")}
    same = rbac.assignments("same")
    store = StoredAssignments(state_home)
    changes = store.version()
    store.close()
    rbac.close()
    assert held == {f"{worker}/{number}" for worker in range(WORKERS) for number in range(15) if number % 3}
    assert len(same) == 1
    assert changes == WORKERS * (15 + 15 + 5)


REMOVER = """
import sys
from agentguard.access import RBACManager
rbac = RBACManager(home=sys.argv[1], record=lambda record: None)
print(sum(rbac.unassign_role("shared", "user", resource=str(number)) for number in range(40)))
rbac.close()
"""


def test_four_processes_take_each_role_back_exactly_once(state_home: Home, manager: Callable[..., RBACManager]) -> None:
    rbac = manager()
    for number in range(40):
        rbac.assign_role("shared", "user", resource=str(number))

    removed = finish(*(run(REMOVER, state_home.path) for _ in range(WORKERS)))

    assert sum(map(int, removed)) == 40
    assert rbac.assignments() == ()


WATCHER = """
import sys, time
from agentguard.access import RBACManager
rbac = RBACManager(home=sys.argv[1], record=lambda record: None)
while not rbac.check_permission("alice", "read_data"):
    time.sleep(0.01)
print("held", flush=True)
while rbac.check_permission("alice", "read_data"):
    time.sleep(0.01)
print("lost", flush=True)
rbac.close()
"""


def test_another_process_sees_the_role_come_and_go(state_home: Home, manager: Callable[..., RBACManager]) -> None:
    rbac = manager()
    watcher = run(WATCHER, state_home.path)
    assert watcher.stdout is not None

    rbac.assign_role("alice", "user")
    held = watcher.stdout.readline()
    rbac.unassign_role("alice", "user")

    assert (held, finish(watcher)) == ("held\n", ["lost\n"])


POLICY = """
version: 1
roles: {clerk: {permissions: [execute_agent, read_data], tools: [look]}}
agents: {desk: {roles: [clerk]}}
tools: {look: {side_effect: read, output: trusted}}
"""


def test_a_guard_goes_by_the_roles_of_its_home(tmp_path: Path) -> None:
    """Assigned at run time, through the guard; recorded; the policy's own grants are not written down."""
    home = Home.create(tmp_path / "home")
    alice = Principal("alice", kind="user")
    with Guard.from_policy(Policy.parse(POLICY), home=home.path) as guard:
        with guard.conversation(alice, "look it up"):
            before = guard.check(ToolCall("look", {}))
            guard.roles.assign_role("alice", "clerk")
            after = guard.check(ToolCall("look", {}))
        assert guard.roles.permits(Principal("desk"), Permission.READ_DATA)
    with AuditLog.open(home) as log:
        changes = [record.data for record in log.query(where={"event_type": "permission_change"})]

    assert (before.allowed, before.reason, after.allowed) == (False, "tool-not-permitted", True)
    assert [(c["user_id"], c["details"]) for c in changes] == [
        ("alice", {"action": "assign", "kind": "user", "by": "alice", "role": "clerk"})
    ]
    store = StoredAssignments(home)
    assert store.all() == (Assignment("alice", "clerk"),)
    store.close()


def test_the_policys_own_grants_cannot_be_taken_back_at_run_time(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home")
    with Guard.from_policy(Policy.parse(POLICY), home=home.path) as guard:
        assert not guard.roles.unassign_role("desk", "clerk", kind="agent", tenant="*")
        assert guard.roles.permits(Principal("desk", tenant="any"), "read_data")


async def test_a_guard_stays_on_the_event_loop_while_nothing_is_assigned(tmp_path: Path) -> None:
    """A look at the counter leaves the loop; between looks nothing is read."""
    home = Home.create(tmp_path / "home")
    ticks = Clock()
    store = StoredAssignments(home, ticks=ticks)

    states = [store.blocking]
    store.version()
    states.append(store.blocking)
    ticks.now += FRESH_S
    states.append(store.blocking)
    store.put(Assignment("alice", "user"), unrecorded)
    store.version()
    states.append(store.blocking)
    store.close()

    assert states == [True, False, True, True]


def test_denials_and_changes_are_in_the_log(tmp_path: Path) -> None:
    """Every denial is a record of the access that was refused; a flood of the same one is counted."""
    home = Home.create(tmp_path / "home")
    with AuditLog.open(home) as log:
        rbac = RBACManager([Role("auditor", frozenset({"reports.export"}))], home=home, record=AccessLog(log))
        rbac.assign_role("ann", "auditor")
        for _ in range(50):
            rbac.check_permission("ann", "read_data", resource="payroll/7")
        rbac.permits(None, "reports.export")
        rbac.add_role(Role("extra"))
        rbac.remove_role("extra")
        rbac.unassign_role("ann", "auditor")
        rbac.close()
    with AuditLog.open(home) as log:
        records = [record.data for record in log.query(where={"type": "application"})]
        counted = [record.data["count"] for record in log.query(where={"type": "decision-repeats"})]
        denied = [record.data["user_id"] for record in log.query(where={"decision": "deny", "type": "application"})]

    kinds = [(r["event_type"], r["success"], r["details"]["action"]) for r in records]  # type: ignore[index, call-overload]
    assert kinds == [
        ("permission_change", True, "assign"),
        ("data_access", False, "deny"),
        ("security_alert", False, "deny"),
        ("permission_change", True, "add-role"),
        ("permission_change", True, "remove-role"),
        ("permission_change", True, "unassign"),
    ]
    assert records[1]["details"] == {
        "action": "deny", "kind": "user", "by": None, "resource": "payroll/7", "permission": "read_data",
        "reason": "no role grants it",
    }  # fmt: skip
    assert counted == [49]
    assert denied == ["ann", "anonymous"]
