"""Microseconds per permission check and per session, next to Cedar, Casbin and a bare ``jwt.decode``, in one run.

``make bench-peers`` runs this: the peers live in an environment of their own. All answer the same questions about 1,000
rules in ten roles that inherit from one another, and must agree.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import jwt

from agentguard.access import (
    AccessRecord,
    RBACManager,
    Role,
    SessionManager,
    SessionRecord,
    SessionStore,
    StoredKeys,
)
from agentguard.event import Principal
from agentguard.keys import KeyFile
from agentguard.store import Home
from benchmarks.report import Row, Table

ROLES = 10
RULES_PER_ROLE = 100
ROUNDS = 50
ROUND_S = 0.005
MAX_CALLS = 4_000
SESSIONS = 200

Ask = Callable[[str], bool]

_ACTION = 'Action::"read_data"'


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        print(permissions(Home.create(Path(folder) / "roles")))
        print(sessions(Home.create(Path(folder) / "sessions")))


def permissions(home: Home) -> Table:
    """One row a system: a rule that grants, in the first and in the last role, and a resource without a rule."""
    with (
        closing(_manager()) as memory,
        closing(_manager(home)) as stored,
        closing(_manager(home, strict=True)) as strict,
    ):
        systems: list[tuple[str, Ask]] = [
            ("agentguard, in memory", _asked(memory)),
            ("agentguard, in the state database", _asked(stored)),
            ("agentguard, state database, strict", _asked(strict)),
            ("Cedar (cedarpy), policies and entities parsed once", _cedar()),
            ("Casbin", _casbin(indexed=False)),
            ("Casbin FastEnforcer, indexed by resource and permission", _casbin(indexed=True)),
        ]
        rows = []
        for name, ask in systems:
            cells = [_cell(ask, _resources(kind), expected=kind != "none") for kind in ("first", "last", "none")]
            rows.append(Row(name, *cells))
    rules = f"{ROLES * RULES_PER_ROLE:,} rules, {ROLES} inherited roles"
    title = f"Microseconds per permission check ({rules}; best of {ROUNDS})"
    return Table(title, ("system", "granted by the role held", "by the one inherited last", "no rule"), tuple(rows))


def sessions(home: Home) -> Table:
    """Validation against the bare signature and claim check of the library it uses."""
    keys = StoredKeys(home, KeyFile(home.key_path), overlap_s=43_200)
    manager = SessionManager(keys, SessionStore(home), record=_nothing)
    strict = SessionManager(keys, SessionStore(home, strict=True), record=_nothing)
    with closing(manager), closing(strict):
        tokens = [manager.create_session_token(f"user{n}", {"theme": "dark"}) for n in range(SESSIONS)]
        _, key = keys.signing()
        required = ["iss", "aud", "sub", "jti", "iat", "nbf", "exp"]

        def bare(token: str) -> bool:
            claims = jwt.decode(
                token,
                key,
                algorithms=["HS256"],
                audience="agentguard",
                issuer="agentguard",
                options={"require": required},
            )
            return bool(claims)

        systems: list[tuple[str, Ask]] = [
            ("jwt.decode with required claims", bare),
            ("authenticate", lambda token: bool(manager.authenticate(token).id)),
            ("validate_session_token", lambda token: manager.validate_session_token(token)[0]),
            ("authenticate, strict: the row read each time", lambda token: bool(strict.authenticate(token).id)),
        ]
        best = {name: _best(ask, tokens) for name, ask in systems}
    base = best[systems[0][0]]
    rows = tuple(Row(name, f"{us:.1f}", f"{us / base:.2f}") for name, us in best.items())
    title = f"Microseconds per session token ({SESSIONS} sessions in turn; best of {ROUNDS})"
    return Table(title, ("check", "us", "ratio"), rows)


def _manager(home: Home | None = None, *, strict: bool = False) -> RBACManager:
    roles = [
        Role(
            f"role{n}",
            frozenset({"read_data"}),
            (f"role{n + 1}",) if n + 1 < ROLES else (),
            resources=tuple(_resource(n, rule) for rule in range(RULES_PER_ROLE)),
        )
        for n in range(ROLES)
    ]
    # Neither peer writes down what it refuses: here nothing does, too.
    manager = RBACManager(roles, home=home, record=None if home is None else _nothing, strict=strict)
    manager.assign_role("ann", "role0")
    return manager


def _asked(manager: RBACManager) -> Ask:
    ann = Principal("ann", "user")
    return lambda resource: manager.permits(ann, "read_data", resource=resource)


def _cedar() -> Ask:
    try:
        import cedarpy
    except ImportError:
        raise SystemExit("not run: Cedar and Casbin are in another environment; run: make bench-peers") from None
    policies = cedarpy.PolicySet.from_str(
        "\n".join(
            f'permit(principal in Role::"role{n}", action == {_ACTION}, resource == Doc::"{_resource(n, rule)}");'
            for n in range(ROLES)
            for rule in range(RULES_PER_ROLE)
        )
    )
    parents = {f"role{n}": f"role{n + 1}" for n in range(ROLES - 1)}
    entities = cedarpy.Entities.from_json_str(_cedar_entities(parents))

    def ask(resource: str) -> bool:
        request = {"principal": 'User::"ann"', "action": _ACTION, "resource": f'Doc::"{resource}"'}
        return bool(cedarpy.is_authorized(request, policies, entities).allowed)

    return ask


def _cedar_entities(parents: dict[str, str]) -> str:
    def entity(kind: str, name: str, parent: str | None) -> dict[str, Any]:
        above = [{"type": "Role", "id": parent}] if parent else []
        return {"uid": {"type": kind, "id": name}, "attrs": {}, "parents": above}

    found = [entity("User", "ann", "role0")]
    found += [entity("Role", f"role{n}", parents.get(f"role{n}")) for n in range(ROLES)]
    return json.dumps(found)


def _casbin(*, indexed: bool) -> Ask:
    import casbin
    from casbin.model import FastModel
    from casbin.rbac.default_role_manager import RoleManager

    model = FastModel([1, 2]) if indexed else casbin.Model()
    model.load_model_from_text(
        "[request_definition]\nr = sub, obj, act\n[policy_definition]\np = sub, obj, act\n[role_definition]\ng = _, _\n"
        "[policy_effect]\ne = some(where (p.eft == allow))\n"
        "[matchers]\nm = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act\n"
    )
    enforcer = casbin.FastEnforcer(model, cache_key_order=[1, 2]) if indexed else casbin.Enforcer(model)
    # Ten links, as its default allows, do not reach the tenth role from a user.
    enforcer.set_role_manager(RoleManager(2 * ROLES))
    for n in range(ROLES):
        enforcer.add_policies([[f"role{n}", _resource(n, rule), "read_data"] for rule in range(RULES_PER_ROLE)])
        if n + 1 < ROLES:
            enforcer.add_grouping_policy(f"role{n}", f"role{n + 1}")
    enforcer.add_grouping_policy("ann", "role0")
    enforcer.build_role_links()
    return lambda resource: bool(enforcer.enforce("ann", resource, "read_data"))


def _resource(role: int, rule: int) -> str:
    return f"area{role}/document{rule}"


def _resources(kind: str) -> list[str]:
    role = {"first": 0, "last": ROLES - 1, "none": ROLES}[kind]
    return [_resource(role, rule) for rule in range(RULES_PER_ROLE)]


def _cell(ask: Ask, resources: Sequence[str], *, expected: bool) -> str:
    assert all(ask(resource) is expected for resource in resources[:3])
    return f"{_best(ask, resources):.2f}"


def _best(ask: Ask, arguments: Sequence[str]) -> float:
    """Microseconds of this thread's processor time a call: the least of many short rounds, as others compute too."""
    started = time.thread_time()
    for argument in arguments[:5]:
        ask(argument)
    calls = max(10, min(MAX_CALLS, int(ROUND_S / max(1e-7, (time.thread_time() - started) / 5))))
    given = list(islice(cycle(arguments), calls))
    rounds = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        for argument in given:
            ask(argument)
        rounds.append((time.thread_time() - started) / calls * 1e6)
    return min(rounds)


def _nothing(_record: AccessRecord | SessionRecord) -> None:
    """The cost of a check, not of its record."""


if __name__ == "__main__":
    main()
