"""API keys, sessions and role assignments, as the state database holds them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from agentguard.access.assignment import Assignment, StoredAssignments
from agentguard.access.sessionstore import SessionStore
from agentguard.audit import AuditLog
from agentguard.keys import KeyVault
from agentguard.keys.password import PASSWORD_VARIABLES, password_from_environment
from agentguard.keys.vault_state import Tables
from agentguard.posture.item import Item
from agentguard.posture.project import Project, listed
from agentguard.store import open_state, storage_errors

if TYPE_CHECKING:
    from agentguard.keys.vault import KeyReport

__all__ = ["api_keys_rotated", "assignments_known", "permissions_reviewed", "sessions_cleaned"]

# Rows of ended sessions go when somebody logs in; past this nobody has, and nothing else tidies up.
LEFT_BEHIND_S = 86_400.0


def api_keys_rotated(project: Project) -> Item:
    """No API key is older than agreed, or expired."""
    count = _stored_keys(project)
    if not count:
        return Item.ok("no API key is stored in this home")
    if not password_from_environment():
        return Item.unchecked(
            f"{count} API keys are stored and no master password is given", f"set {PASSWORD_VARIABLES[0]}"
        )
    with closing(KeyVault(home=project.home, clock=project.clock)) as vault:
        reports = vault.list_api_keys(max_age=project.limits.key)
    age = max(report.age for report in reports)
    if expired := [report for report in reports if report.expired]:
        return Item.failed(f"expired: {_keys(expired)}", "`agentguard keys rotate`, or delete them", age=age)
    if due := [report for report in reports if report.due]:
        return Item.weak(
            f"older than {_days(project.limits.key)}: {_keys(due)}", "rotate with `agentguard keys rotate`", age=age
        )
    return Item.ok(f"{len(reports)} API keys, the oldest {_days(age)} old", age=age)


def _stored_keys(project: Project) -> int:
    """How many there are, without making a vault where none is."""
    from sqlalchemy import MetaData, func, select

    metadata = MetaData()
    tables = Tables(metadata)
    engine = open_state(project.home, metadata)
    try:
        with storage_errors(project.home.state), engine.begin() as connection:
            return int(connection.execute(select(func.count()).select_from(tables.heads)).scalar_one())
    finally:
        engine.dispose()


def _keys(reports: list[KeyReport]) -> str:
    return listed([f"{report.service} ({_days(report.age)})" for report in reports])


def sessions_cleaned(project: Project) -> Item:
    """No live session lies unused, and none that is over is kept."""
    now = project.clock()
    with closing(SessionStore(project.home, strict=True)) as store:
        rows = store.all()
    live = [row for row in rows if row.problem(now) is None]
    unused = [row for row in live if now - row.seen_at > project.limits.session.total_seconds()]
    if unused:
        age = timedelta(seconds=max(now - row.seen_at for row in unused))
        names = listed(sorted({row.user_id for row in unused}))
        return Item.weak(
            f"{len(unused)} live sessions unused for more than {_days(project.limits.session)}: {names}",
            "end them with `agentguard sessions revoke`, and give sessions a shorter idle_minutes",
            age=age,
        )
    left = [row for row in rows if now - row.expires_at > LEFT_BEHIND_S]
    if left:
        return Item.weak(
            f"{len(left)} sessions ended more than a day ago and are still stored",
            "they go at the next login; a project without logins needs no session table",
            age=timedelta(seconds=max(now - row.expires_at for row in left)),
        )
    age = timedelta(seconds=max((now - row.seen_at for row in live), default=0.0))
    return Item.ok(f"{len(live)} live sessions, each used within {_days(project.limits.session)}", age=age)


def permissions_reviewed(project: Project) -> Item:
    """Every assignment of a role ends by itself, and was made or confirmed lately."""
    held = _assignments(project)
    if not held:
        return Item.ok("no role is assigned beside those the policy gives its agents")
    endless = [one for one in held if one.expires_at is None]
    made = _made(project) if project.log_begun else {}
    now = project.clock()
    ages = {one: now - made[one.key] for one in held if one.key in made}
    oldest = timedelta(seconds=max(ages.values(), default=0.0))
    remedy = "confirm each with `agentguard roles assign ... --expires 90d`, or take it back"
    if endless:
        return Item.weak(f"assigned without an end: {_held(endless)}", remedy, age=oldest)
    if unknown := [one for one in held if one not in ages]:
        return Item.weak(f"no record tells when these were assigned: {_held(unknown)}", remedy, age=oldest)
    if old := [one for one in held if ages[one] > project.limits.review.total_seconds()]:
        return Item.weak(f"not confirmed for {_days(project.limits.review)}: {_held(old)}", remedy, age=oldest)
    return Item.ok(f"{len(held)} assignments, each with an end and confirmed lately", age=oldest)


def assignments_known(project: Project) -> Item:
    """Every assigned role is defined: one that is not comes alive when somebody defines that name."""
    from agentguard.assembly import roles_of

    known = {role.name for role in roles_of(project.policy).roles}
    if unknown := [one for one in _assignments(project) if one.role not in known]:
        return Item.failed(
            f"the policy defines no such role: {_held(unknown)}", "take them back with `agentguard roles unassign`"
        )
    return Item.ok("every assigned role is defined")


def _assignments(project: Project) -> list[Assignment]:
    now = project.clock()
    with closing(StoredAssignments(project.home, strict=True)) as store:
        return [one for one in store.all() if one.expires_at is None or one.expires_at > now]


def _made(project: Project) -> dict[tuple[str, ...], float]:
    """When each assignment was made or confirmed last, by the log."""
    found: dict[tuple[str, ...], float] = {}
    with AuditLog.open(project.home) as log:
        for record in log.query(where={"event_type": "permission_change"}):
            details = record.data.get("details")
            if isinstance(details, Mapping) and details.get("action") == "assign":
                found[_recorded_key(record.data, details)] = datetime.fromisoformat(record.time).timestamp()
    return found


def _recorded_key(data: Mapping[str, Any], details: Mapping[str, Any]) -> tuple[str, ...]:
    names = (details.get("kind"), data.get("user_id"), details.get("role"), details.get("tenant"))
    return tuple(str(name or "") for name in (*names, details.get("resource")))


def _held(assignments: list[Assignment]) -> str:
    return listed([f"{one.role} of {one.user_id}" for one in assignments])


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.0f} days" if span >= timedelta(days=2) else f"{span / timedelta(hours=1):.0f} h"
