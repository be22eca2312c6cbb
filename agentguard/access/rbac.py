"""Role-based access control: who holds which role, what that permits, by which rule, and a decorator that asks.

A deny in any role a principal holds beats every grant. Whoever the principal acts for must be permitted too. A role
that nobody defined grants nothing and spoils the rest: the credential or assignment was made for another policy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from threading import RLock
from typing import Any, Literal, TypeAlias, TypeVar, cast

from agentguard.access.assignment import (
    MAX_GLOB_CHARS,
    Assignment,
    AssignmentStore,
    Kind,
    MemoryAssignments,
    StoredAssignments,
    checked,
)
from agentguard.access.decorator import guarded, refuse
from agentguard.access.role import BUILT_IN, Grant, Permission, Role, Scope, permission_name, scopes_of
from agentguard.access.ruling import Ruling, plain_resource, rulings
from agentguard.conversation import current_conversation
from agentguard.errors import ConfigError, StoreError
from agentguard.event import Principal
from agentguard.store import Home

__all__ = ["AccessRecord", "Held", "RBACManager", "delegation", "tool_matches"]

F = TypeVar("F", bound=Callable[..., Any])
Action: TypeAlias = Literal["assign", "unassign", "add-role", "remove-role", "deny", "shadow-deny", "rate-limited"]
Resource: TypeAlias = "str | Callable[..., str] | None"

# Delegation chains deeper than this are refused: no honest one was seen, and each link costs a check.
MAX_DELEGATION = 16
# Holders whose rules are kept compiled. A caller may invent ids: beyond this the memory starts anew.
MAX_COMPILED = 4096


@dataclass(frozen=True, slots=True)
class AccessRecord:
    """A change or a denial, for the audit log.

    ``by`` is the acting principal's id, None outside a conversation. ``detail`` names the role or the permission,
    ``reason`` the rule that denied, or what an added role permits.
    """

    action: Action
    subject: str
    detail: str
    by: str | None
    kind: str = "user"
    tenant: str | None = None
    resource: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Held:
    """A role that counts for a principal now; ``resource`` is the glob it was assigned on, None for everywhere."""

    role: str
    resource: str | None = None


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A holder's rules, and until when they are these. ``unknown`` names a role nobody defined."""

    version: int
    scopes: Mapping[str, Scope]
    until: float
    held: tuple[Held, ...]
    rulings: Mapping[str, Ruling]
    unknown: str | None


class RBACManager:
    """Knows the roles, and who holds them. Thread-safe.

    Args:
        roles: the roles that exist; ``viewer``, ``user`` and ``admin`` when absent. Without tool globs none of these
            permits a tool.
        home: the project's folder: assignments are kept in its database, for all processes. In memory when absent.
        record: called with every change inside it, and with every denial; when it raises, the change does not happen.
            Needed with ``home``: ``AccessLog(log)`` writes to an audit log.
        clock: seconds since 1970, for assignments that expire.
        strict: read the home's database at every check; else a change by another process holds within a second.
        permissions: further permission names that may be asked for, beside the standard ones and those of the roles.
        granted: assignments that the configuration makes: not kept, and not to be unassigned.

    Raises:
        ConfigError: a role is given twice, inherits from an unknown role, or inherits in a circle; a home without
            ``record``.
        StoreError: the home cannot be used.
    """

    def __init__(
        self,
        roles: Iterable[Role] | None = None,
        *,
        home: Home | Path | str | None = None,
        record: Callable[[AccessRecord], None] | None = None,
        clock: Callable[[], float] = time.time,
        strict: bool = False,
        permissions: Iterable[str] = (),
        granted: Iterable[Assignment] = (),
    ) -> None:
        if home is not None and record is None:
            raise ConfigError("roles kept in a home are recorded; pass record=AccessLog(log)")
        self._record = record
        self._clock = clock
        self._lock = RLock()
        self._compiled: dict[tuple[object, ...], _Compiled] = {}
        self._assignments = _store(home, strict=strict, clock=clock)
        self._granted: dict[tuple[str, str], tuple[Assignment, ...]] = {}
        for one in map(checked, granted):
            holder = (one.kind, one.user_id)
            self._granted[holder] = (*self._granted.get(holder, ()), one)
        self._declared = frozenset(map(permission_name, (*Permission, *permissions)))
        self._roles = _by_name(BUILT_IN if roles is None else roles)
        self._scopes: Mapping[str, Scope] = scopes_of(self._roles)
        self._known = self._names()

    @property
    def scopes(self) -> Mapping[str, Scope]:
        """Every role, flattened. A new object after each change of roles."""
        return self._scopes

    @property
    def blocking(self) -> bool:
        """Whether the next check may wait for a disk or a network."""
        return self._assignments.blocking

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that exist, in order of their names."""
        return tuple(role for _, role in sorted(self._roles.items()))

    def role(self, name: str) -> Role:
        """The role as given, without what it inherits.

        Raises:
            ConfigError: no such role.
        """
        if name not in self._roles:
            raise ConfigError(f"unknown role {name!r}; known: {', '.join(sorted(self._roles))}")
        return self._roles[name]

    def add_role(self, role: Role) -> None:
        """Add a role of your own.

        Raises:
            ConfigError: it exists, inherits from an unknown role, or in a circle.
        """
        with self._lock:
            if role.name in self._roles:
                raise ConfigError(f"role {role.name!r} exists; choose another name")
            roles = {**self._roles, role.name: role}
            scopes = scopes_of(roles)
            self._note("add-role", role.name, ", ".join(sorted(role.permissions)))
            self._roles, self._scopes, self._known = roles, scopes, self._names(role)

    def remove_role(self, name: str) -> None:
        """Remove a role. Whoever still holds it is refused everything, until it is unassigned.

        Raises:
            ConfigError: no such role, or another one inherits from it.
        """
        with self._lock:
            self.role(name)
            heirs = [role.name for role in self._roles.values() if name in role.inherits]
            if heirs:
                raise ConfigError(f"role {name!r} is inherited by {', '.join(sorted(heirs))}; remove those first")
            roles = {other: role for other, role in self._roles.items() if other != name}
            scopes = scopes_of(roles)
            self._note("remove-role", name, "")
            self._roles, self._scopes = roles, scopes

    # -- assignments -----------------------------------------------------------------------------------------------

    def assign_role(
        self,
        user_id: str,
        role: str,
        *,
        kind: Kind = "user",
        tenant: str | None = None,
        resource: str | None = None,
        expires_in: float | None = None,
    ) -> None:
        """Give ``role`` to a principal; again, to change when it ends.

        Args:
            tenant: holds for principals of this tenant only; ``*`` for every tenant; those without one when absent.
            resource: a glob: the role's permissions hold on matching resources only, and it permits no tool.
            expires_in: seconds.

        Raises:
            ConfigError: no such role, an unusable id, tenant or glob, or a time that is not positive.
            StoreError: the home cannot be written.
        """
        self.role(role)
        until = None
        if expires_in is not None:
            if not 0 < expires_in < float("inf"):
                raise ConfigError(f"got expires_in={expires_in}; seconds above 0 are accepted")
            until = self._clock() + expires_in
        assignment = checked(Assignment(user_id, role, kind, tenant, resource, until))
        self._assignments.put(assignment, partial(self._note_change, "assign", assignment))

    def unassign_role(
        self,
        user_id: str,
        role: str,
        *,
        kind: Kind = "user",
        tenant: str | None = None,
        resource: str | None = None,
    ) -> bool:
        """Take ``role`` back, as it was assigned; False when it was not.

        Raises:
            ConfigError: an unusable id, tenant or glob.
            StoreError: the home cannot be written.
        """
        assignment = checked(Assignment(user_id, role, kind, tenant, resource))
        return self._assignments.remove(assignment, partial(self._note_change, "unassign", assignment))

    def assignments(self, user_id: str | None = None, *, kind: Kind | None = None) -> tuple[Assignment, ...]:
        """Who holds what now: everybody, or one principal. What the configuration grants comes first.

        Raises:
            StoreError: the home cannot be read.
        """
        now = self._clock()
        return tuple(
            found
            for found in (*(one for given in self._granted.values() for one in given), *self._assignments.all())
            if user_id in (None, found.user_id) and kind in (None, found.kind) and _current(found, now)
        )

    def roles_of(self, user_id: str, *, kind: Kind = "user", tenant: str | None = None) -> tuple[str, ...]:
        """The roles assigned everywhere and not expired, for a principal of ``tenant``."""
        now = self._clock()
        return tuple(
            found.role
            for found in self._assigned(kind, user_id)
            if _current(found, now) and found.holds_in(tenant) and found.resource is None
        )

    def held_by(self, principal: Principal) -> tuple[Held, ...]:
        """The roles assigned to a verified principal, and those its credential carries."""
        return self._of(principal).held

    def roles_for(self, principal: Principal) -> tuple[str, ...]:
        """The roles of ``held_by`` that are held everywhere."""
        return tuple(held.role for held in self._of(principal).held if held.resource is None)

    # -- permissions -----------------------------------------------------------------------------------------------

    def effective_permissions(
        self, user_id: str, *, kind: Kind = "user", tenant: str | None = None, resource: str | None = None
    ) -> dict[str, str]:
        """Each permission held, and why: ``role editor``, or ``role editor, inherited from reader``.

        Without ``resource``: what is held on every one.
        """
        compiled = self._of(Principal(user_id, kind, tenant=tenant))
        found = {}
        for permission, ruling in compiled.rulings.items():
            grant = ruling.decisive(resource)
            if grant is not None and grant.allowed:
                found[permission] = str(grant)
        return found

    def grants(self, principal: Principal) -> tuple[Grant, ...]:
        """Every rule that reaches the principal, with its chain of roles: grants and denials, beaten ones too."""
        compiled = self._of(principal)
        return _grants(compiled.held, compiled.scopes) if compiled.unknown is None else ()

    def explain(self, principal: Principal, permission: str, *, resource: str | None = None) -> Grant | None:
        """The rule that decides for this principal alone, not for whom it acts; None when no rule does.

        Raises:
            ConfigError: no such permission.
        """
        ruling = self._of(principal).rulings.get(self._permission(permission))
        if ruling is None or (resource is not None and not plain_resource(resource)):
            return None
        return ruling.decisive(resource)

    def check_permission(
        self,
        user_id: str,
        permission: str,
        *,
        kind: Kind = "user",
        tenant: str | None = None,
        resource: str | None = None,
    ) -> bool:
        """Whether a role assigned to ``user_id`` grants ``permission``. A refusal is recorded.

        Raises:
            ConfigError: no such permission.
        """
        return self.permits(Principal(user_id, kind, tenant=tenant), permission, resource=resource)

    def permits(self, principal: Principal | None, permission: str, *, resource: str | None = None) -> bool:
        """Whether a verified principal, and everybody it acts for, holds ``permission``. A refusal is recorded.

        Without ``resource`` the question is about all of them.

        Raises:
            ConfigError: no such permission.
            StoreError: the home cannot be read, so nobody is permitted anything.
        """
        if permission not in self._known:
            self._permission(permission)
        if resource is not None and not plain_resource(resource):
            return self._refused(principal, permission, resource[:MAX_GLOB_CHARS], "no plain resource name")
        if principal is None:
            return self._refused(None, permission, resource, "nobody is acting")
        try:
            return self._permits(principal, permission, resource)
        except (ConfigError, StoreError) as error:
            self._refused(principal, permission, resource, f"not checked: {error.code}")
            raise

    def require_permission(self, permission: str, *, resource: Resource = None) -> Callable[[F], F]:
        """Decorate a function, method, coroutine function or (async) generator function.

        Each call needs ``permission`` for the principal of the current conversation; arguments are never asked who
        calls. Without a conversation the call is refused. Name and signature stay.

        Args:
            resource: the resource's name, or a function that makes it from the call's arguments.

        Raises:
            Denied: when the decorated function is called without the permission; a generator raises on first use.
            ConfigError: no such permission, or something that is no function.
        """
        wanted = self._permission(permission)

        def decorate(function: F) -> F:
            action = getattr(function, "__qualname__", type(function).__qualname__)

            def check(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
                self._demand(wanted, action, resource(*args, **kwargs) if callable(resource) else resource)

            return cast("F", guarded(function, check, blocking=lambda: self._assignments.blocking))

        return decorate

    def close(self) -> None:
        """Close the home's database. A later use opens it again."""
        self._assignments.close()

    def _permits(self, principal: Principal, permission: str, resource: str | None) -> bool:
        # The usual case first: nobody else to ask, so no chain to build.
        chain = (principal,) if principal.on_behalf_of is None else delegation(principal)
        for link in chain:
            compiled = self._of(link)
            ruling = compiled.rulings.get(permission)
            grant = None if ruling is None else ruling.decisive(resource)
            if grant is None or ruling is None or not grant.allowed:
                return self._refused(link, permission, resource, _why(compiled, grant))
            if (shadowed := ruling.shadowed(resource)) is not None:
                self._note("shadow-deny", link.id, permission, principal=link, resource=resource, reason=str(shadowed))
        return True

    def _demand(self, wanted: str, action: str, resource: str | None) -> None:
        run = current_conversation()
        if not self.permits(run.principal if run else None, wanted, resource=resource):
            refuse(
                action,
                rule=f"permission.{wanted}",
                reason="permission-missing",
                message=f"This needs the permission {wanted}.",
            )

    def _permission(self, permission: str) -> str:
        if permission not in self._known:
            known = ", ".join(sorted(self._known))
            raise ConfigError(f"unknown permission {str(permission)[:64]!r}; known: {known}")
        return permission_name(permission)

    def _names(self, *more: Role) -> frozenset[str]:
        roles = (*self._roles.values(), *more)
        return self._declared.union(*(role.permissions | role.deny_permissions for role in roles))

    def _assigned(self, kind: str, user_id: str) -> tuple[Assignment, ...]:
        return (*self._granted.get((kind, user_id), ()), *self._assignments.of(kind, user_id))

    def _of(self, principal: Principal) -> _Compiled:
        key = (principal.kind, principal.id, principal.tenant, principal.roles)
        found = self._compiled.get(key)
        if (
            found is not None
            and found.version == self._assignments.version()
            and found.scopes is self._scopes
            and self._clock() < found.until
        ):
            return found
        return self._compile(key, principal)

    def _compile(self, key: tuple[object, ...], principal: Principal) -> _Compiled:
        # Read before the assignments: when one changes meanwhile, the version no longer fits and all is read again.
        version, scopes, now = self._assignments.version(), self._scopes, self._clock()
        assigned = [
            found
            for found in self._assigned(principal.kind, principal.id)
            if _current(found, now) and found.holds_in(principal.tenant)
        ]
        held = (*(Held(a.role, a.resource) for a in assigned), *map(Held, principal.roles))
        until = min((a.expires_at for a in assigned if a.expires_at is not None), default=float("inf"))
        unknown = next((h.role for h in held if h.role not in scopes), None)
        found = rulings(_grants(held, scopes)) if unknown is None else {}
        compiled = _Compiled(version, scopes, until, held, found, unknown)
        with self._lock:
            if len(self._compiled) >= MAX_COMPILED:
                self._compiled = {}
            self._compiled[key] = compiled
        return compiled

    def _refused(self, principal: Principal | None, permission: str, resource: str | None, why: str) -> Literal[False]:
        subject = principal.id if principal else "anonymous"
        self._note("deny", subject, str(permission), principal=principal, resource=resource, reason=why)
        return False

    def _note_change(self, action: Action, changed: Assignment) -> None:
        principal = Principal(changed.user_id, changed.kind, tenant=changed.tenant)
        self._note(action, changed.user_id, changed.role, principal=principal, resource=changed.resource)

    def _note(
        self,
        action: Action,
        subject: str,
        detail: str,
        *,
        principal: Principal | None = None,
        resource: str | None = None,
        reason: str = "",
    ) -> None:
        if self._record is None:
            return
        run = current_conversation()
        by = run.principal.id if run else None
        kind, tenant = (principal.kind, principal.tenant) if principal else ("user", None)
        self._record(AccessRecord(action, subject, detail, by, kind, tenant, resource, reason))


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


def _store(home: Home | Path | str | None, *, strict: bool, clock: Callable[[], float]) -> AssignmentStore:
    if home is None:
        return MemoryAssignments(clock=clock)
    return StoredAssignments(home if isinstance(home, Home) else Home.open(home), strict=strict, clock=clock)


def _by_name(roles: Iterable[Role]) -> dict[str, Role]:
    found: dict[str, Role] = {}
    for role in roles:
        if role.name in found:
            raise ConfigError(f"role {role.name!r} is given twice; names are unique")
        found[role.name] = role
    return found


def _current(assignment: Assignment, now: float) -> bool:
    return assignment.expires_at is None or now < assignment.expires_at


def _grants(held: Iterable[Held], scopes: Mapping[str, Scope]) -> tuple[Grant, ...]:
    return tuple(
        grant
        if one.resource is None
        else Grant(grant.permission, grant.allowed, grant.chain, grant.resources, one.resource, grant.shadow)
        for one in held
        for grant in scopes[one.role].grants
    )


def _why(compiled: _Compiled, grant: Grant | None) -> str:
    if compiled.unknown is not None:
        return f"the role {compiled.unknown[:64]} does not exist"
    return "no role grants it" if grant is None else str(grant)
