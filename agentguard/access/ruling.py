"""Grants compiled for look-ups: which rule decides about a permission on a resource. A deny beats every grant.

A check without a resource is about all of them: only an unscoped grant answers yes, and any deny answers no.
Exact names and globs that end in one ``*`` are dictionary look-ups, so a thousand rules cost what one costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agentguard.access.role import Grant

__all__ = ["MAX_RESOURCE_CHARS", "Ruling", "plain_resource", "rulings"]

# A resource name is an identifier; matching a longer one would only cost time.
MAX_RESOURCE_CHARS = 1024
_STEPS = frozenset({".", "..", "%2e", "%2e%2e", ".%2e", "%2e."})


class Ruling:
    """Everything that the roles of one holder say about one permission."""

    __slots__ = ("_allowed", "_denied", "_everywhere", "_shadowed")

    def __init__(self, grants: Iterable[Grant]) -> None:
        grants = tuple(grants)
        allowed = [grant for grant in grants if grant.allowed]
        denied = [grant for grant in grants if not grant.allowed and not grant.shadow]
        self._allowed = _Rules(allowed)
        self._denied = _Rules(denied) if denied else None
        self._shadowed = [grant for grant in grants if not grant.allowed and grant.shadow]
        self._everywhere = denied[0] if denied else next((grant for grant in allowed if not grant.scoped), None)

    def decisive(self, resource: str | None) -> Grant | None:
        """The rule that decides; None when no rule is about this. Ask its ``allowed``."""
        if resource is None:
            return self._everywhere
        if self._denied is not None and (found := self._denied.find(resource)) is not None:
            return found
        return self._allowed.find(resource)

    def shadowed(self, resource: str | None) -> Grant | None:
        """The denial of a role in shadow mode: to be recorded, not enforced."""
        if not self._shadowed:
            return None
        return next((grant for grant in self._shadowed if resource is None or grant.covers(resource)), None)


class _Rules:
    """Grants of one effect, found by resource."""

    __slots__ = ("_always", "_exact", "_lengths", "_prefixes", "_rest")

    def __init__(self, grants: Iterable[Grant]) -> None:
        self._always: Grant | None = None
        self._exact: dict[str, Grant] = {}
        self._prefixes: dict[str, Grant] = {}
        self._rest: list[Grant] = []
        for grant in grants:
            self._add(grant)
        self._lengths = tuple(sorted({len(prefix) for prefix in self._prefixes}))

    def find(self, resource: str) -> Grant | None:
        found = self._always or self._exact.get(resource)
        if found is not None:
            return found
        for length in self._lengths:
            if (found := self._prefixes.get(resource[:length])) is not None:
                return found
        return next((grant for grant in self._rest if grant.covers(resource)), None)

    def _add(self, grant: Grant) -> None:
        if not grant.scoped:
            self._always = self._always or grant
        elif grant.resources and grant.within is not None:
            self._rest.append(grant)
        else:
            for glob in grant.resources or (grant.within or "",):
                self._add_glob(glob, grant)

    def _add_glob(self, glob: str, grant: Grant) -> None:
        head = glob[:-1]
        if "*" not in glob and "?" not in glob:
            self._exact.setdefault(glob, grant)
        elif glob.endswith("*") and "*" not in head and "?" not in head:
            self._prefixes.setdefault(head, grant)
        elif grant not in self._rest:
            self._rest.append(grant)


def rulings(grants: Iterable[Grant]) -> Mapping[str, Ruling]:
    """One ruling a permission."""
    by_permission: dict[str, list[Grant]] = {}
    for grant in grants:
        by_permission.setdefault(grant.permission, []).append(grant)
    return {permission: Ruling(found) for permission, found in by_permission.items()}


def plain_resource(resource: str) -> bool:
    """Whether a resource name is what it seems: no step upwards that would leave the glob it matches.

    ``reports/../payroll`` matches ``reports/*`` and names something else.
    """
    if not resource or len(resource) > MAX_RESOURCE_CHARS or not resource.isprintable() or "\\" in resource:
        return False
    if "." not in resource and "%" not in resource:
        return True
    return not any(part in _STEPS for part in resource.lower().split("/"))
