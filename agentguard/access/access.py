"""The ``Access`` stage: may this principal use this tool, run a model, or write to that agent?

Deny by default. A role's deny beats every allow of every role. Whoever the principal acts for must be permitted too
(least privilege of both), unless that user holds no role at all: then the agent's own roles are the limit.

* Tool calls and results: some role must permit the tool and none may deny it. An agent's roles are those the policy
  gives its id and those its credential carries; a user's or service's are those assigned and carried.
* Models: an agent named in the policy may run. A principal with roles, and a user somebody acts for, needs
  ``execute_agent`` in them. A principal without any identity in the policy may only have text checked: no tool.
* Tools on offer (definitions that no model call carries yet): as calls of them. Nobody is shown what it may not use.
* Messages: the principal must be one end, and the sender's ``may_message`` must name the receiver.

A role name that nobody defined is a deny: the credential was made for another policy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agentguard.access.rbac import Permission, RBACManager, Role, Scope, delegation, tool_matches
from agentguard.conversation import ANONYMOUS, Conversation
from agentguard.decision import ALLOW, Effect, Finding, Verdict
from agentguard.event import AgentMessage, Event, ModelInput, Principal, ToolCall, ToolResult

__all__ = ["Access", "AgentGrants"]

# Names in messages come from the model or a peer; past this length they are no names.
MAX_SHOWN = 64


@dataclass(frozen=True, slots=True)
class AgentGrants:
    """What the policy gives an agent."""

    roles: tuple[str, ...] = ()
    may_message: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Tools:
    """A role's globs, matched once against the declared tools: one look-up per check."""

    allowed: Mapping[str, str]
    denied: Mapping[str, Role]
    denied_in_shadow: Mapping[str, Role]


@dataclass(frozen=True, slots=True)
class _Refusal:
    rule: str
    reason: str
    message: str
    shadow: bool = False


class Access:
    """Checks every event against roles.

    Args:
        rbac: the roles, and who holds them; roles added later are seen.
        tools: the tools that are declared at all.
        agents: what the policy gives each agent id.
    """

    name = "access"
    blocking = False

    def __init__(self, rbac: RBACManager, tools: Collection[str], agents: Mapping[str, AgentGrants]) -> None:
        self._rbac = rbac
        self._declared = frozenset(tools)
        self._agents = dict(agents)
        # Scopes and their expansion are swapped as one value, so a reader never mixes two states.
        self._expanded: tuple[Mapping[str, Scope], dict[str, _Tools]] = (rbac.scopes, self._expand(rbac.scopes))

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Deny ``tool-not-permitted``, ``permission-missing``, ``role-unknown`` or ``message-not-permitted``."""
        if isinstance(event, ToolCall | ToolResult):
            refusal = self._tool(event.tool, run.principal)
        elif isinstance(event, AgentMessage):
            refusal = self._message(event, run.principal)
        elif isinstance(event, ModelInput) and event.tools and not event.is_call:
            refusal = self._offer(event, run.principal)
        else:
            refusal = self._model(run.principal)
        return ALLOW if refusal is None else _verdict(refusal)

    def _tool(self, tool: str, principal: Principal) -> _Refusal | None:
        if tool not in self._declared:
            return _Refusal("tools", "tool-not-permitted", f"The tool {_shown(tool)} is not in the policy.")
        shadowed = None
        for index, link in enumerate(delegation(principal)):
            roles = self._roles(link)
            if not roles:
                if index:
                    continue
                return _without_roles(link)
            refusal = self._tool_in_roles(tool, roles)
            if refusal is not None and not refusal.shadow:
                return refusal
            shadowed = shadowed or refusal
        return shadowed

    def _offer(self, event: ModelInput, principal: Principal) -> _Refusal | None:
        names = (tool.get("name") if isinstance(tool, dict) else None for tool in event.tools)
        refusals = (self._tool(name if isinstance(name, str) else "", principal) for name in names)
        found = [refusal for refusal in refusals if refusal is not None]
        return next((refusal for refusal in found if not refusal.shadow), found[0] if found else None)

    def _tool_in_roles(self, tool: str, roles: tuple[str, ...]) -> _Refusal | None:
        expanded = self._current()
        allowed = False
        shadowed: Role | None = None
        for name in roles:
            grants = expanded.get(name)
            if grants is None:
                return _unknown_role(name)
            if tool in grants.denied:
                return _denied(tool, grants.denied[tool])
            shadowed = shadowed or grants.denied_in_shadow.get(tool)
            allowed = allowed or tool in grants.allowed
        if not allowed:
            return _Refusal(
                "roles",
                "tool-not-permitted",
                f"No role permits the tool {_shown(tool)}.",
                # Only a principal that holds nothing but shadow roles is merely observed.
                shadow=bool(roles) and all(self._rbac.role(name).shadow for name in roles),
            )
        return _denied(tool, shadowed) if shadowed else None

    def _model(self, principal: Principal) -> _Refusal | None:
        for link in delegation(principal):
            if link.kind == "agent" and link.id in self._agents:
                unknown = next((role for role in self._roles(link) if role not in self._rbac.scopes), None)
                if unknown is not None:
                    return _unknown_role(unknown)
                continue
            refusal = self._may_execute(self._roles(link))
            if refusal is not None:
                return refusal
        return None

    def _may_execute(self, roles: tuple[str, ...]) -> _Refusal | None:
        scopes = self._rbac.scopes
        for name in roles:
            if name not in scopes:
                return _unknown_role(name)
        if not roles or any(Permission.EXECUTE_AGENT in scopes[name].permissions for name in roles):
            return None
        return _Refusal("permission.execute_agent", "permission-missing", "This needs the permission execute_agent.")

    def _message(self, event: AgentMessage, principal: Principal) -> _Refusal | None:
        grants = self._agents.get(event.sender)
        involved = principal.kind == "agent" and principal.id in (event.sender, event.receiver)
        if involved and grants is not None and event.receiver in grants.may_message:
            return None
        return _Refusal(
            f"agents.{_shown(event.sender)}.may_message",
            "message-not-permitted",
            f"{_shown(event.sender)} may not send messages to {_shown(event.receiver)}.",
        )

    def _roles(self, principal: Principal) -> tuple[str, ...]:
        held = self._rbac.roles_for(principal)
        if principal.kind != "agent":
            # A user who picks an agent's name as user id gains nothing.
            return held
        grants = self._agents.get(principal.id)
        return (*grants.roles, *held) if grants else held

    def _current(self) -> dict[str, _Tools]:
        scopes, expanded = self._expanded
        if scopes is not self._rbac.scopes:
            scopes = self._rbac.scopes
            expanded = self._expand(scopes)
            self._expanded = (scopes, expanded)
        return expanded

    def _expand(self, scopes: Mapping[str, Scope]) -> dict[str, _Tools]:
        return {name: self._expand_role(scope) for name, scope in scopes.items()}

    def _expand_role(self, scope: Scope) -> _Tools:
        allowed: dict[str, str] = {}
        denied: dict[str, Role] = {}
        denied_in_shadow: dict[str, Role] = {}
        for glob, origin in scope.tools:
            for tool in self._matching(glob):
                allowed.setdefault(tool, origin)
        for glob, role in scope.deny:
            for tool in self._matching(glob):
                (denied_in_shadow if role.shadow else denied).setdefault(tool, role)
        return _Tools(allowed, denied, denied_in_shadow)

    def _matching(self, glob: str) -> Collection[str]:
        if "*" not in glob and "?" not in glob:
            return (glob,) if glob in self._declared else ()
        return [tool for tool in self._declared if tool_matches(glob, tool)]


def _without_roles(principal: Principal) -> _Refusal:
    if principal is ANONYMOUS:
        message = "Nobody is acting: open guard.conversation(...), or name the agent where the guard is attached."
    else:
        message = f"{_shown(principal.id)} is not an agent of the policy and holds no role."
    return _Refusal("agents", "tool-not-permitted", message)


def _unknown_role(name: str) -> _Refusal:
    return _Refusal("roles", "role-unknown", f"The role {_shown(name)} is not in the policy.")


def _denied(tool: str, role: Role) -> _Refusal:
    message = f"The role {role.name} denies the tool {_shown(tool)}."
    return _Refusal(f"roles.{role.name}.deny", "tool-not-permitted", message, shadow=role.shadow)


def _verdict(refusal: _Refusal) -> Verdict:
    return Verdict(
        Effect.DENY,
        findings=(Finding(f"access.{refusal.reason}", refusal.rule, message=refusal.message),),
        reason=refusal.reason,
        message=refusal.message,
        rules=(refusal.rule,),
        shadow=refusal.shadow,
    )


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:MAX_SHOWN])
