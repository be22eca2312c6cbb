"""Permissions and roles, and what a role gives through inheritance: every grant with the chain of roles it came by.

After NIST RBAC (INCITS 359-2012), hierarchical. Permissions are an open set of names: the six of ``Permission`` and
any other that a role grants or denies. No permission is a bypass: ``ADMIN`` is a name like the others.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agentguard.errors import ConfigError

__all__ = ["BUILT_IN", "Grant", "Permission", "Role", "Scope", "glob_problem", "permission_name", "scopes_of"]

# Dotted, dashed or namespaced: read_data, reports.export, billing:refund.
_PERMISSION = re.compile(r"[a-z][a-z0-9_.:-]{0,63}")
_ROLE = re.compile(r"[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,127}")


class Permission(enum.StrEnum):
    """The standard permissions. A role may name others; they are plain text and equal to themselves only."""

    READ_DATA = "read_data"
    WRITE_DATA = "write_data"
    EXECUTE_AGENT = "execute_agent"
    MANAGE_AGENTS = "manage_agents"
    VIEW_LOGS = "view_logs"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of permissions and tools.

    ``tools``, ``deny`` and ``resources`` are globs (``*``, ``?``); case counts. ``deny`` wins over every role's
    ``tools``, and ``deny_permissions`` over every role's ``permissions``. With ``resources``, the role's own
    permissions and permission denials are about those resources only; tools are not narrowed by it.
    With ``shadow``, what this role denies is recorded and not enforced.

    Raises:
        ConfigError: a name or a glob that cannot be used.
    """

    name: str
    permissions: frozenset[str] = frozenset()
    inherits: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    shadow: bool = False
    deny_permissions: frozenset[str] = frozenset()
    resources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _ROLE.fullmatch(self.name):
            raise ConfigError(f"got the role name {self.name[:40]!r}; use 1 to 128 printable characters")
        for name in ("permissions", "deny_permissions"):
            object.__setattr__(self, name, frozenset(map(permission_name, _several(self, name))))
        for name in ("inherits", "tools", "deny", "resources"):
            object.__setattr__(self, name, tuple(_several(self, name)))
        for glob in (*self.tools, *self.deny, *self.resources):
            if problem := glob_problem(glob):
                raise ConfigError(f"role {self.name!r}: {problem}")


def _several(role: Role, name: str) -> Iterable[str]:
    found: Iterable[str] = getattr(role, name)
    if isinstance(found, str):
        # A text is iterable too: its letters would become globs, "*" among them.
        raise ConfigError(f"role {role.name!r}: {name} is one text; pass a list of them")
    return found


def glob_problem(glob: object) -> str | None:
    """What is wrong with a glob; None when nothing is. fnmatch gives brackets a meaning that the policy refuses."""
    if isinstance(glob, str) and glob and "[" not in glob:
        return None
    return f"got the glob {glob!r}; use a name, * and ?"


def permission_name(permission: str) -> str:
    """The permission as it is compared: a member of ``Permission``, or another name of that form.

    Raises:
        ConfigError: not 1 to 64 lower-case letters, digits and ``_.:-``, beginning with a letter.
    """
    if not _PERMISSION.fullmatch(permission):
        raise ConfigError(
            f"got the permission {permission[:40]!r}; use up to 64 of a-z, 0-9 and _.:- with a letter first"
        )
    try:
        return Permission(permission)
    except ValueError:
        return permission


BUILT_IN = (
    Role("viewer", frozenset({Permission.READ_DATA, Permission.VIEW_LOGS})),
    Role("user", frozenset({Permission.READ_DATA, Permission.EXECUTE_AGENT})),
    Role("admin", frozenset(Permission)),
)


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission that a role gives or takes, and by which way it reaches the holder.

    ``chain`` begins with the role that is held and ends with the role that has the rule. ``resources`` are the globs of
    that role, ``within`` the glob of the assignment; a resource must match one of the former and the latter.
    """

    permission: str
    allowed: bool
    chain: tuple[str, ...]
    resources: tuple[str, ...] = ()
    within: str | None = None
    shadow: bool = False

    @property
    def scoped(self) -> bool:
        """Whether it is about some resources only."""
        return bool(self.resources) or self.within is not None

    def covers(self, resource: str) -> bool:
        """Whether it is about ``resource``."""
        return (not self.resources or any(fnmatchcase(resource, glob) for glob in self.resources)) and (
            self.within is None or fnmatchcase(resource, self.within)
        )

    def __str__(self) -> str:
        """``role editor``; ``role editor, inherited from reader``; with what lies between and the resources."""
        words = f"role {self.chain[0]}"
        if len(self.chain) > 1:
            words += f", inherited from {self.chain[-1]}"
        if len(self.chain) > 2:
            words += f" through {', '.join(self.chain[1:-1])}"
        if self.resources:
            words += f", on {', '.join(self.resources)}"
        if self.within is not None:
            words += f", assigned on {self.within}"
        return words if self.allowed else f"denied by {words}"


@dataclass(frozen=True, slots=True)
class Scope:
    """A role with everything it inherits. Tool globs name the role they come from."""

    grants: tuple[Grant, ...]
    tools: tuple[tuple[str, str], ...]
    deny: tuple[tuple[str, Role], ...]


def scopes_of(roles: Mapping[str, Role]) -> dict[str, Scope]:
    """Every role, flattened.

    Raises:
        ConfigError: a role inherits from an unknown role, or in a circle.
    """
    return {name: _scope(name, roles) for name in roles}


def _scope(name: str, roles: Mapping[str, Role]) -> Scope:
    grants: list[Grant] = []
    tools: list[tuple[str, str]] = []
    deny: list[tuple[str, Role]] = []
    for role, chain in _ancestry(name, roles):
        grants.extend(Grant(p, True, chain, role.resources) for p in sorted(role.permissions))
        grants.extend(Grant(p, False, chain, role.resources, shadow=role.shadow) for p in sorted(role.deny_permissions))
        tools.extend((glob, role.name) for glob in role.tools)
        deny.extend((glob, role) for glob in role.deny)
    return Scope(tuple(grants), tuple(tools), tuple(deny))


def _ancestry(start: str, roles: Mapping[str, Role]) -> list[tuple[Role, tuple[str, ...]]]:
    """The role and all it inherits from, each once with the shortest way to it, nearest first.

    Every role is a start once, so each circle is found from one of its own members.
    """
    found: dict[str, tuple[Role, tuple[str, ...]]] = {start: (roles[start], (start,))}
    for role, chain in (pending := [found[start]]):
        for name in role.inherits:
            if name == start:
                raise ConfigError(f"role {start!r} inherits from itself through {role.name!r}")
            if name not in roles:
                raise ConfigError(f"role {role.name!r} inherits from {name!r}, which does not exist")
            if name not in found:
                found[name] = (roles[name], (*chain, name))
                pending.append(found[name])
    return list(found.values())
