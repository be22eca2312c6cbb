"""Roles, assignments, and the permission decorator."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from agentguard.access import AccessRecord, Permission, RBACManager, Role
from agentguard.conversation import Conversation
from agentguard.errors import ConfigError, Denied, SecurityError
from agentguard.event import Principal
from agentguard.store import Home


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def acting(user: str, *roles: str, on_behalf_of: Principal | None = None) -> Conversation:
    """A run of a verified user."""
    return Conversation(principal=Principal(user, kind="user", roles=roles, on_behalf_of=on_behalf_of))


def test_published_check_user_reads_and_executes_and_is_no_admin() -> None:
    """The check of the original text, verbatim."""
    rbac = RBACManager()
    rbac.assign_role("alice", "user")

    assert rbac.check_permission("alice", Permission.READ_DATA)
    assert rbac.check_permission("alice", Permission.EXECUTE_AGENT)
    assert not rbac.check_permission("alice", Permission.ADMIN)


def test_peers_17_unknown_principal_has_no_permission() -> None:
    """Nobody becomes a reader by default."""
    assert not any(RBACManager().check_permission("stranger", permission) for permission in Permission)


def test_admin_permission_is_no_bypass() -> None:
    """A role with ADMIN alone grants ADMIN alone."""
    rbac = RBACManager([Role("root", frozenset({Permission.ADMIN}))])
    rbac.assign_role("eve", "root")

    assert rbac.check_permission("eve", "admin")
    assert not rbac.check_permission("eve", "read_data")


def test_unassign_takes_the_permission_back() -> None:
    """And says whether there was something to take."""
    rbac = RBACManager()
    rbac.assign_role("alice", "user")

    assert rbac.unassign_role("alice", "user")
    assert not rbac.unassign_role("alice", "user")
    assert not rbac.check_permission("alice", "read_data")


def test_inherited_permission_names_its_origin() -> None:
    """The reason behind each permission."""
    rbac = RBACManager(
        [
            Role("reader", frozenset({Permission.READ_DATA})),
            Role("writer", frozenset({Permission.WRITE_DATA}), ("reader",)),
        ]
    )
    rbac.assign_role("alice", "writer")

    assert rbac.effective_permissions("alice") == {
        Permission.WRITE_DATA: "role writer",
        Permission.READ_DATA: "role writer, inherited from reader",
    }


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param([Role("a", inherits=("a",))], id="itself"),
        pytest.param([Role("a", inherits=("b",)), Role("b", inherits=("c",)), Role("c", inherits=("a",))], id="circle"),
        pytest.param([Role("s", inherits=("a",)), Role("a", inherits=("b",)), Role("b", inherits=("a",))], id="behind"),
        pytest.param([Role("a", inherits=("ghost",))], id="unknown"),
        pytest.param([Role("a"), Role("a")], id="twice"),
    ],
)
def test_impossible_role_graphs_are_refused(roles: list[Role]) -> None:
    """At construction, not at the first check."""
    with pytest.raises(ConfigError):
        RBACManager(roles)


def test_diamond_inheritance_is_no_circle() -> None:
    """Two ways to one role are fine."""
    base = Role("base", frozenset({Permission.READ_DATA}))
    rbac = RBACManager(
        [base, Role("l", inherits=("base",)), Role("r", inherits=("base",)), Role("top", inherits=("l", "r"))]
    )
    rbac.assign_role("u", "top")

    assert rbac.check_permission("u", "read_data")


def test_expired_assignment_grants_nothing() -> None:
    """Grants end by themselves."""
    clock = Clock()
    rbac = RBACManager(clock=clock)
    rbac.assign_role("alice", "user", expires_in=10)

    clock.now += 10

    assert rbac.roles_of("alice") == ()
    assert not rbac.check_permission("alice", "read_data")


@pytest.mark.parametrize(
    ("user", "role", "wait"),
    [("alice", "ghost", None), ("", "user", None), ("alice", "user", 0.0), ("alice", "user", float("nan"))],
    ids=["unknown-role", "empty-id", "no-time", "not-a-number"],
)
def test_bad_assignment_is_refused(user: str, role: str, wait: float | None) -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigError):
        RBACManager().assign_role(user, role, expires_in=wait)


def test_unknown_permission_is_an_error_not_a_refusal() -> None:
    """A misspelt permission must not look like a decision."""
    with pytest.raises(ConfigError, match="read_data"):
        RBACManager().check_permission("alice", "reed_data")


def test_role_cannot_be_changed() -> None:
    """Permissions are a frozen set whatever was passed."""
    role = Role("r", {Permission.READ_DATA})  # type: ignore[arg-type]

    assert isinstance(role.permissions, frozenset)


def test_changes_and_denials_are_recorded() -> None:
    """Who did what to whom; a change that cannot be recorded does not happen."""
    records: list[AccessRecord] = []
    rbac = RBACManager(record=records.append)

    with acting("root").active():
        rbac.assign_role("alice", "viewer")
    rbac.check_permission("alice", "admin")
    rbac.unassign_role("alice", "viewer")

    assert records == [
        AccessRecord("assign", "alice", "viewer", "root"),
        AccessRecord("deny", "alice", "admin", None, reason="no role grants it"),
        AccessRecord("unassign", "alice", "viewer", None),
    ]


def test_change_that_cannot_be_recorded_does_not_happen() -> None:
    """No record, no change."""

    def broken(_: AccessRecord) -> None:
        raise OSError

    rbac = RBACManager(record=broken)

    with pytest.raises(OSError):
        rbac.assign_role("alice", "admin")

    assert rbac.roles_of("alice") == ()


RBAC = RBACManager()
RBAC.assign_role("alice", "user")


class Service:
    """Methods of a class that is not the manager."""

    @RBAC.require_permission(Permission.READ_DATA)
    def method(self, user_id: str = "") -> str:
        """Read."""
        return f"read {user_id}"


@RBAC.require_permission("read_data")
def plain(value: int) -> int:
    """Double."""
    return value * 2


@RBAC.require_permission("read_data")
async def coroutine(value: int) -> int:
    """Double."""
    await asyncio.sleep(0)
    return value * 2


@RBAC.require_permission("read_data")
def generator() -> Iterator[int]:
    """Count."""
    yield 1
    yield 2


@RBAC.require_permission("read_data")
async def async_generator() -> AsyncIterator[int]:
    """Count."""
    yield 1
    yield 2


async def drain(items: AsyncIterator[int]) -> list[int]:
    """All items."""
    return [item async for item in items]


async def call_all() -> list[object]:
    """Every kind of decorated function, once."""
    return [
        plain(2),
        Service().method("x"),
        await coroutine(2),
        list(generator()),
        await drain(async_generator()),
    ]


async def test_decorator_permits_every_kind_of_function() -> None:
    """Permitted: results as without the decorator."""
    with acting("alice").active():
        assert await call_all() == [4, "read x", 4, [1, 2], [1, 2]]


@pytest.mark.parametrize("call", [
    pytest.param(lambda: plain(2), id="function"),
    pytest.param(lambda: Service().method(user_id="alice"), id="method-with-a-claimed-user-id"),
    pytest.param(lambda: asyncio.run(coroutine(2)), id="coroutine"),
    pytest.param(lambda: list(generator()), id="generator"),
    pytest.param(lambda: asyncio.run(drain(async_generator())), id="async-generator"),
])  # fmt: skip
@pytest.mark.parametrize("run", [
    pytest.param(None, id="no-conversation"),
    pytest.param(acting("mallory"), id="no-role"),
    pytest.param(acting("mallory", "ghost"), id="unknown-role"),
    pytest.param(acting("mallory", "ghost", "user"), id="unknown-role-beside-a-good-one"),
])  # fmt: skip
def test_decorator_refuses_every_kind_of_function(call: object, run: Conversation | None) -> None:
    """Refused: by the verified principal alone, never by an argument."""
    assert callable(call)
    with run.active() if run else nullcontext(), pytest.raises(Denied, match="read_data") as caught:
        call()

    assert caught.value.decision.reason == "permission-missing"
    assert isinstance(caught.value, SecurityError)


def test_decorator_keeps_name_and_kind() -> None:
    """Frameworks look at both."""
    assert (plain.__name__, plain.__doc__) == ("plain", "Double.")
    assert inspect.iscoroutinefunction(coroutine)
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(async_generator)


def test_delegate_needs_the_permission_of_both() -> None:
    """An admin acting for a stranger may do what the stranger may: nothing."""
    with acting("root", "admin", on_behalf_of=Principal("stranger", kind="user")).active(), pytest.raises(Denied):
        plain(1)


async def test_wrapped_async_generator_forwards_what_is_sent_and_thrown() -> None:
    """As ``yield from`` would, for generators that talk with their caller."""
    seen: list[object] = []

    @RBAC.require_permission("read_data")
    async def talk() -> AsyncIterator[object]:
        try:
            seen.append((yield 1))
        except KeyError:
            seen.append("thrown")
        yield 2

    with acting("alice").active():
        first, second = talk(), talk()
        await first.__anext__()
        await first.asend("hello")  # type: ignore[attr-defined]
        await second.__anext__()
        await second.athrow(KeyError())  # type: ignore[attr-defined]
        await first.aclose()  # type: ignore[attr-defined]
        await second.aclose()  # type: ignore[attr-defined]

    assert seen == ["hello", "thrown"]


class Office:
    """Every way a method can be defined."""

    @RBAC.require_permission("read_data")
    @classmethod
    def made(cls, value: int) -> str:
        return f"{cls.__name__} {value}"

    @classmethod
    @RBAC.require_permission("read_data")
    def built(cls, value: int) -> str:
        return f"{cls.__name__} {value}"

    @RBAC.require_permission("read_data")
    @staticmethod
    def free(value: int) -> int:
        return value

    @RBAC.require_permission("read_data", resource=lambda _self, name: f"files/{name}")
    def file(self, name: str) -> str:
        return name


def test_decorator_stands_on_either_side_of_classmethod_and_staticmethod() -> None:
    with acting("alice").active():
        assert (Office.made(1), Office.built(2), Office.free(3), Office().free(4)) == ("Office 1", "Office 2", 3, 4)
    for call in (lambda: Office.made(1), lambda: Office.built(1), lambda: Office.free(1)):
        with pytest.raises(Denied):
            call()


def test_decorator_keeps_the_signature() -> None:
    assert str(inspect.signature(plain)) == "(value: 'int') -> 'int'"
    assert str(inspect.signature(Service.method)) == "(self, user_id: 'str' = '') -> 'str'"


@pytest.mark.parametrize("wrong", [pytest.param(Service, id="class"), pytest.param(property(), id="property")])
def test_decorator_refuses_what_it_could_not_guard(wrong: object) -> None:
    """A wrapped class would let its methods be called all the same."""
    with pytest.raises(ConfigError):
        RBAC.require_permission("read_data")(wrong)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("name", "permitted"), [("files-of-ann", True), ("other", False), ("files-of-ann/../other", False)]
)
def test_decorator_asks_about_the_resource_of_the_call(name: str, permitted: bool) -> None:
    rbac = RBACManager()
    rbac.assign_role("ann", "user", resource="files/files-of-ann*")

    @rbac.require_permission("read_data", resource=lambda name: f"files/{name}")
    def read(name: str) -> str:
        return name

    with acting("ann").active():
        if permitted:
            assert read(name) == name
        else:
            with pytest.raises(Denied):
                read(name)


def test_a_resource_that_cannot_be_made_runs_nothing() -> None:
    ran: list[int] = []

    @RBAC.require_permission("read_data", resource=lambda **_: f"{1 // 0}")
    def act() -> None:
        ran.append(1)

    with acting("alice").active(), pytest.raises(ZeroDivisionError):
        act()
    assert ran == []


def test_a_denial_that_cannot_be_recorded_runs_nothing() -> None:
    """The error of the record comes out, not the function's result."""

    def broken(_: AccessRecord) -> None:
        raise OSError

    rbac = RBACManager(record=broken)

    @rbac.require_permission("read_data")
    def read() -> str:
        return "read"

    with acting("mallory").active(), pytest.raises(OSError):
        read()


async def test_a_check_of_stored_roles_leaves_the_event_loop(tmp_path: Path) -> None:
    """The database is read in another thread, with the caller's conversation."""
    threads: list[bool] = []
    rbac = RBACManager(home=Home.create(tmp_path / "home"), record=lambda _: None)
    rbac.assign_role("ann", "user")

    def resource() -> str:
        threads.append(threading.current_thread() is threading.main_thread())
        return "x"

    @rbac.require_permission("read_data", resource=resource)
    async def read() -> str:
        return "read"

    with acting("ann").active():
        assert await read() == "read"
    rbac.close()

    assert threads == [False]
