"""Role-based access control: roles with inheritance, tool scopes and explicit deny; and who holds which role.

After NIST RBAC (INCITS 359-2012), hierarchical, with two rules on top: a deny in any role a principal holds beats
every allow, and no permission is a bypass: ``ADMIN`` is a permission like the others.
Assignments live in this object's memory: they end with the process and are not seen by other processes.
"""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, TypeVar, cast

from agentguard.access.decorator import guarded, refuse
from agentguard.conversation import current_conversation
from agentguard.errors import ConfigError
from agentguard.event import Principal

__all__ = ["AccessRecord", "Permission", "RBACManager", "Role", "Scope"]

F = TypeVar("F", bound=Callable[..., Any])
Kind: TypeAlias = Literal["user", "agent", "service"]

# Delegation chains deeper than this are refused: no honest one was seen, and each link costs a check.
MAX_DELEGATION = 16


class Permission(enum.Enum):
    """What a role may let its holders do."""

    READ_DATA = "read_data"
    WRITE_DATA = "write_data"
    EXECUTE_AGENT = "execute_agent"
    MANAGE_AGENTS = "manage_agents"
    VIEW_LOGS = "view_logs"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of permissions and tools.

    ``tools`` and ``deny`` are globs (``*``, ``?``) over tool names; ``deny`` wins over every role's ``tools``.
    With ``shadow``, what this role denies is recorded and not enforced.
    """

    name: str
    permissions: frozenset[Permission] = frozenset()
    inherits: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    shadow: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "permissions", frozenset(Permission(p) for p in self.permissions))
        for name in ("inherits", "tools", "deny"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for glob in (*self.tools, *self.deny):
            # fnmatch would give brackets a meaning that the policy file refuses.
            if not glob or "[" in glob:
                raise ConfigError(f"role {self.name!r}: got the tool glob {glob!r}; use a name, * and ?")


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """A change or a denial, for the audit log. ``by`` is the acting principal's id, None outside a conversation."""

    action: Literal["assign", "unassign", "add-role", "deny"]
    subject: str
    detail: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Scope:
    """A role with everything it inherits: each permission and glob with the role it comes from."""

    permissions: Mapping[Permission, str]
    tools: tuple[tuple[str, str], ...]
    deny: tuple[tuple[str, Role], ...]


BUILT_IN = (
    Role("viewer", frozenset({Permission.READ_DATA, Permission.VIEW_LOGS})),
    Role("user", frozenset({Permission.READ_DATA, Permission.EXECUTE_AGENT})),
    Role("admin", frozenset(Permission)),
)


class RBACManager:
    """Knows the roles, and who holds them. Thread-safe.

    Args:
        roles: the roles that exist; ``viewer``, ``user`` and ``admin`` when absent. Without tool globs none of these
            permits a tool.
        record: called with every change before it takes effect, and with every denial; when it raises, the change
            does not happen.
        clock: monotonic seconds, for assignments that expire.

    Raises:
        ConfigError: a role is given twice, inherits from an unknown role, or inherits in a circle.
    """

    def __init__(
        self,
        roles: Iterable[Role] | None = None,
        *,
        record: Callable[[AccessRecord], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._record = record
        self._clock = clock
        self._lock = threading.RLock()
        self._held: dict[tuple[str, str], dict[str, float]] = {}
        self._roles: dict[str, Role] = {}
        for role in BUILT_IN if roles is None else roles:
            if role.name in self._roles:
                raise ConfigError(f"role {role.name!r} is given twice; names are unique")
            self._roles[role.name] = role
        self._scopes: Mapping[str, Scope] = _scopes(self._roles)

    @property
    def scopes(self) -> Mapping[str, Scope]:
        """Every role, flattened. A new object after each change of roles."""
        return self._scopes

    def role(self, name: str) -> Role:
        """The role as given, without what it inherits.

        Raises:
            ConfigError: no such role.
        """
        if name not in self._roles:
            raise ConfigError(f"unknown role {name!r}; known: {', '.join(sorted(self._roles))}")
        return self._roles[name]

    def add_role(self, role: Role) -> None:
        """Add a role.

        Raises:
            ConfigError: it exists, inherits from an unknown role, or in a circle.
        """
        with self._lock:
            if role.name in self._roles:
                raise ConfigError(f"role {role.name!r} exists; choose another name")
            roles = {**self._roles, role.name: role}
            scopes = _scopes(roles)
            self._note("add-role", role.name, ", ".join(sorted(p.value for p in role.permissions)))
            self._roles, self._scopes = roles, scopes

    def assign_role(self, user_id: str, role: str, *, kind: Kind = "user", expires_in: float | None = None) -> None:
        """Give ``role`` to a principal, for ``expires_in`` seconds when given.

        Raises:
            ConfigError: no such role, an empty id, or a wait that is not positive.
        """
        if not user_id:
            raise ConfigError("got an empty user id; name the principal")
        self.role(role)
        if expires_in is not None and not expires_in > 0:
            raise ConfigError(f"got expires_in={expires_in}; seconds above 0 are accepted")
        with self._lock:
            self._note("assign", user_id, role)
            until = float("inf") if expires_in is None else self._clock() + expires_in
            self._held.setdefault((kind, user_id), {})[role] = until

    def unassign_role(self, user_id: str, role: str, *, kind: Kind = "user") -> bool:
        """Take ``role`` back; False when it was not assigned."""
        with self._lock:
            held = self._held.get((kind, user_id), {})
            if role not in held:
                return False
            self._note("unassign", user_id, role)
            del held[role]
            if not held:
                del self._held[kind, user_id]
            return True

    def roles_of(self, user_id: str, *, kind: Kind = "user") -> tuple[str, ...]:
        """The roles assigned and not expired."""
        held = self._held.get((kind, user_id))
        if held is None:
            return ()
        now = self._clock()
        with self._lock:
            return tuple(role for role, until in held.items() if now < until)

    def roles_for(self, principal: Principal) -> tuple[str, ...]:
        """The roles assigned to a verified principal and those its credential carries."""
        return (*self.roles_of(principal.id, kind=principal.kind), *principal.roles)

    def effective_permissions(self, user_id: str, *, kind: Kind = "user") -> dict[Permission, str]:
        """Each permission held, and why: ``role editor``, or ``role editor, inherited from reader``."""
        return self._permissions(self.roles_of(user_id, kind=kind)) or {}

    def check_permission(self, user_id: str, permission: Permission | str, *, kind: Kind = "user") -> bool:
        """Whether a role assigned to ``user_id`` grants ``permission``. A refusal is recorded.

        Raises:
            ConfigError: no such permission.
        """
        wanted = _permission(permission)
        granted = wanted in self.effective_permissions(user_id, kind=kind)
        if not granted:
            self._note("deny", user_id, wanted.value)
        return granted

    def permits(self, principal: Principal | None, permission: Permission | str) -> bool:
        """Whether a verified principal, and everybody it acts for, holds ``permission``. A refusal is recorded.

        A role name nobody defined grants nothing and spoils the rest: the credential was not made for this policy.
        """
        wanted = _permission(permission)
        for link in delegation(principal):
            if wanted not in (self._permissions(self.roles_for(link)) or {}):
                self._note("deny", link.id, wanted.value)
                return False
        if principal is None:
            self._note("deny", "anonymous", wanted.value)
        return principal is not None

    def require_permission(self, permission: Permission | str) -> Callable[[F], F]:
        """Decorate a function, method, coroutine function or (async) generator function.

        Each call needs ``permission`` for the principal of the current conversation; arguments are never asked who
        calls. Without a conversation the call is refused.

        Raises:
            Denied: when the decorated function is called without the permission; a generator raises on first use.
            ConfigError: no such permission.
        """
        wanted = _permission(permission)

        def decorate(function: F) -> F:
            action = getattr(function, "__qualname__", type(function).__qualname__)
            return cast("F", guarded(function, lambda _args, _kwargs: self._demand(wanted, action)))

        return decorate

    def _demand(self, wanted: Permission, action: str) -> None:
        run = current_conversation()
        if not self.permits(run.principal if run else None, wanted):
            refuse(
                action,
                rule=f"permission.{wanted.value}",
                reason="permission-missing",
                message=f"This needs the permission {wanted.value}.",
            )

    def _permissions(self, roles: Iterable[str]) -> dict[Permission, str] | None:
        found: dict[Permission, str] = {}
        for name in roles:
            scope = self._scopes.get(name)
            if scope is None:
                return None
            for permission, origin in scope.permissions.items():
                why = f"role {name}" if origin == name else f"role {name}, inherited from {origin}"
                found.setdefault(permission, why)
        return found

    def _note(self, action: Literal["assign", "unassign", "add-role", "deny"], subject: str, detail: str) -> None:
        if self._record is not None:
            run = current_conversation()
            self._record(AccessRecord(action, subject, detail, run.principal.id if run else None))


def delegation(principal: Principal | None) -> tuple[Principal, ...]:
    """The principal, then whom it acts for, and so on.

    Raises:
        ConfigError: the chain has more than ``MAX_DELEGATION`` links.
    """
    chain: list[Principal] = []
    while principal is not None:
        if len(chain) == MAX_DELEGATION:
            raise ConfigError(f"more than {MAX_DELEGATION} principals act for one another; shorten the chain")
        chain.append(principal)
        principal = principal.on_behalf_of
    return tuple(chain)


def tool_matches(glob: str, tool: str) -> bool:
    """Whether a role's glob names ``tool``; case counts."""
    return fnmatchcase(tool, glob)


def _permission(permission: Permission | str) -> Permission:
    try:
        return Permission(permission)
    except ValueError as error:
        known = ", ".join(p.value for p in Permission)
        raise ConfigError(f"unknown permission {permission!r}; known: {known}") from error


def _scopes(roles: Mapping[str, Role]) -> dict[str, Scope]:
    return {name: _scope(name, roles) for name in roles}


def _scope(name: str, roles: Mapping[str, Role]) -> Scope:
    permissions: dict[Permission, str] = {}
    tools: list[tuple[str, str]] = []
    deny: list[tuple[str, Role]] = []
    for role in _ancestry(name, roles):
        for permission in role.permissions:
            permissions.setdefault(permission, role.name)
        tools.extend((glob, role.name) for glob in role.tools)
        deny.extend((glob, role) for glob in role.deny)
    return Scope(permissions, tuple(tools), tuple(deny))


def _ancestry(start: str, roles: Mapping[str, Role]) -> list[Role]:
    """The role and all it inherits from, each once, nearest first.

    Every role is a start once, so each circle is found from one of its own members.
    """
    found: dict[str, Role] = {start: roles[start]}
    for role in (pending := [roles[start]]):
        for name in role.inherits:
            if name == start:
                raise ConfigError(f"role {start!r} inherits from itself through {role.name!r}")
            if name not in roles:
                raise ConfigError(f"role {role.name!r} inherits from {name!r}, which does not exist")
            if name not in found:
                found[name] = roles[name]
                pending.append(roles[name])
    return list(found.values())
