"""``agentguard roles``: who holds which role, and what that permits. Changes are recorded in the audit log."""

from __future__ import annotations

import dataclasses
import getpass
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from agentguard.access import Assignment, RBACManager
from agentguard.assembly import roles_of
from agentguard.audit import AuditLog
from agentguard.cli.option import HomeOption, JsonOption, duration
from agentguard.cli.output import print_json, print_table, shown
from agentguard.conversation import Conversation
from agentguard.event import Principal
from agentguard.policy import Policy
from agentguard.store import Home

__all__ = ["operator", "roles"]

roles = typer.Typer(help="Who holds which role.", no_args_is_help=True)


class Kind(StrEnum):
    """Kinds of principal."""

    USER = "user"
    AGENT = "agent"
    SERVICE = "service"


UserArgument: TypeAlias = Annotated[str, typer.Argument(help="The principal's id.")]
RoleArgument: TypeAlias = Annotated[str, typer.Argument(help="A role of the policy, or viewer, user, admin.")]
PolicyOption: TypeAlias = Annotated[Path, typer.Option("--policy", help="The policy that defines the roles.")]
KindOption: TypeAlias = Annotated[Kind, typer.Option("--kind", help="What the principal is.")]
TenantOption: TypeAlias = Annotated[
    str | None, typer.Option("--tenant", help="The tenant it holds in; '*' for every one; none when absent.")
]
ResourceOption: TypeAlias = Annotated[
    str | None, typer.Option("--resource", help="A glob: the role holds on matching resources only.")
]


@roles.command("list")
def list_roles(
    user: Annotated[str | None, typer.Argument(help="The principal's id; everybody when absent.")] = None,
    home: HomeOption = Path(".agentguard"),
    policy: PolicyOption = Path("agentguard.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Show who holds which role now, those that the policy gives its agents first."""
    with _opened(home, policy) as rbac:
        found = rbac.assignments(user)
        known = {role.name for role in rbac.roles}
    if as_json:
        for one in found:
            print_json({**dataclasses.asdict(one), "known": one.role in known})
        return
    rows = [
        [shown(one.user_id), one.kind, shown(one.role), shown(one.tenant or "-"), shown(one.resource or "-"), _end(one)]
        for one in found
    ]
    if rows:
        print_table(["principal", "kind", "role", "tenant", "resource", "until"], rows)
    for name in sorted({one.role for one in found} - known):
        typer.echo(f"the policy does not define {shown(name)}: whoever holds it is refused everything", err=True)


@roles.command()
def assign(
    user: UserArgument,
    role: RoleArgument,
    *,
    kind: KindOption = Kind.USER,
    tenant: TenantOption = None,
    resource: ResourceOption = None,
    expires: Annotated[str | None, typer.Option("--expires", help="Ends by itself after, for example, 8h.")] = None,
    home: HomeOption = Path(".agentguard"),
    policy: PolicyOption = Path("agentguard.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Give a principal a role. Running processes go by it within a second."""
    seconds = duration(expires).total_seconds() if expires is not None else None
    with _opened(home, policy) as rbac:
        rbac.assign_role(user, role, kind=kind.value, tenant=tenant, resource=resource, expires_in=seconds)
    if as_json:
        print_json({"assigned": role, "user_id": user, "kind": kind.value, "tenant": tenant, "resource": resource})
    typer.echo(f"{shown(user)} holds {shown(role)}", err=True)


@roles.command()
def unassign(
    user: UserArgument,
    role: RoleArgument,
    *,
    kind: KindOption = Kind.USER,
    tenant: TenantOption = None,
    resource: ResourceOption = None,
    home: HomeOption = Path(".agentguard"),
    policy: PolicyOption = Path("agentguard.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Take a role back, as it was assigned. Exits with 1 when it was not."""
    with _opened(home, policy) as rbac:
        done = rbac.unassign_role(user, role, kind=kind.value, tenant=tenant, resource=resource)
    if as_json:
        print_json({"unassigned": done, "role": role, "user_id": user})
    if not done:
        typer.echo(f"{shown(user)} was not assigned {shown(role)} so; `agentguard roles list` shows how", err=True)
        raise typer.Exit(1)
    typer.echo(f"{shown(user)} no longer holds {shown(role)}", err=True)


@roles.command()
def effective(
    user: UserArgument,
    *,
    kind: KindOption = Kind.USER,
    tenant: TenantOption = None,
    home: HomeOption = Path(".agentguard"),
    policy: PolicyOption = Path("agentguard.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Show every permission that reaches a principal, what denies it, and by which roles."""
    with _opened(home, policy) as rbac:
        principal = Principal(user, kind.value, tenant=tenant)
        found = rbac.grants(principal)
        unknown = [held.role for held in rbac.held_by(principal) if held.role not in rbac.scopes]
    if as_json:
        for grant in found:
            print_json({**dataclasses.asdict(grant), "reason": str(grant)})
    elif found:
        rows = [[grant.permission, "allow" if grant.allowed else "deny", shown(str(grant))] for grant in found]
        print_table(["permission", "effect", "by"], rows)
    for name in unknown:
        typer.echo(f"refused everything: the policy does not define the role {shown(name)}", err=True)
    if not found and not unknown:
        typer.echo(f"{shown(user)} holds no permission", err=True)


def operator() -> Conversation:
    """In whose name a command changes something: the user of the operating system."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return Conversation(principal=Principal(name, kind="user"))


@contextmanager
def _opened(home: Path, policy: Path) -> Iterator[RBACManager]:
    """The roles of the policy and the home, strictly read; changes are made in the name of who runs the command."""
    found = Home.open(home)
    compiled = Policy.from_file(policy)
    with (
        AuditLog.open(found) as log,
        closing(roles_of(compiled, home=found, log=log, strict=True)) as rbac,
        operator().active(),
    ):
        yield rbac


def _end(assignment: Assignment) -> str:
    if assignment.expires_at is None:
        return "-"
    return datetime.fromtimestamp(assignment.expires_at, UTC).isoformat(timespec="seconds")
