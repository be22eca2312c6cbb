"""The ``Access`` stage: may this principal use this tool, run a model, or write to that agent?

Deny by default. A role's deny beats every allow of every role. Whoever the principal acts for must be permitted too
(least privilege of both), unless that user holds no role at all: then the agent's own roles are the limit.

* Tool calls and results: some role must permit the tool and none may deny it. An agent's roles are those the policy
  gives its id and those its credential carries; a user's or service's are those assigned and carried.
* Models: an agent named in the policy may run. A principal with roles, and a user somebody acts for, needs
  ``execute_agent`` in them. A principal without any identity in the policy may only have text checked: no tool.
* Tools on offer (definitions that no model call carries yet): as calls of them. Nobody is shown what it may not use.
* Messages: the principal must be one end, and the sender's ``may_message`` must name the receiver and the topic. A
  reply needs no permission of its own: the question had one.

A role name that nobody defined is a deny: the credential was made for another policy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from agentguard.access.messages import MessageGrant, MessageRights
from agentguard.access.rbac import Held, RBACManager, delegation, tool_matches
from agentguard.access.role import Permission, Role, Scope
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
    may_message: Mapping[str, MessageGrant] = field(default_factory=dict)


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

    def __init__(self, rbac: RBACManager, tools: Collection[str], agents: Mapping[str, AgentGrants]) -> None:
        self.rbac = rbac
        self._declared = frozenset(tools)
        self._agents = dict(agents)
        self._messages = MessageRights({name: grants.may_message for name, grants in agents.items()})
        # Scopes and their expansion are swapped as one value, so a reader never mixes two states.
        self._expanded: tuple[Mapping[str, Scope], dict[str, _Tools]] = (rbac.scopes, self._expand(rbac.scopes))

    @property
    def blocking(self) -> bool:
        """Whether the next look at who holds what may wait for a disk or a network."""
        return self.rbac.blocking

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Deny ``tool-``, ``message-`` or ``topic-not-permitted``, ``permission-missing`` or ``role-unknown``."""
        if isinstance(event, ToolCall | ToolResult):
            refusal = self._tool(event.tool, run.principal)
        elif isinstance(event, AgentMessage):
            refusal = self._message(event, run.principal)
        elif isinstance(event, ModelInput) and event.tools and not event.is_call:
            refusal = self._offer(event, run.principal)
        else:
            refusal = self._model(run.principal)
        return ALLOW if refusal is None else _verdict(refusal)

    def close(self) -> None:
        """Close what the roles hold open."""
        self.rbac.close()

    def _tool(self, tool: str, principal: Principal) -> _Refusal | None:
        if tool not in self._declared:
            return _Refusal("tools", "tool-not-permitted", f"The tool {_shown(tool)} is not in the policy.")
        shadowed = None
        for index, link in enumerate(delegation(principal)):
            held = self._held(link)
            if not held:
                if index:
                    continue
                return _without_roles(link)
            refusal = self._tool_in_roles(tool, held)
            if refusal is not None and not refusal.shadow:
                return refusal
            shadowed = shadowed or refusal
        return shadowed

    def _offer(self, event: ModelInput, principal: Principal) -> _Refusal | None:
        names = (tool.get("name") if isinstance(tool, dict) else None for tool in event.tools)
        refusals = (self._tool(name if isinstance(name, str) else "", principal) for name in names)
        found = [refusal for refusal in refusals if refusal is not None]
        return next((refusal for refusal in found if not refusal.shadow), found[0] if found else None)

    def _tool_in_roles(self, tool: str, held: tuple[Held, ...]) -> _Refusal | None:
        expanded = self._current()
        allowed = False
        shadowed: Role | None = None
        for role in held:
            grants = expanded.get(role.role)
            if grants is None:
                return _unknown_role(role.role)
            if tool in grants.denied:
                return _denied(tool, grants.denied[tool])
            shadowed = shadowed or grants.denied_in_shadow.get(tool)
            # A call names no resource: a role held on some resources only denies and never permits.
            allowed = allowed or (role.resource is None and tool in grants.allowed)
        if not allowed:
            return _Refusal(
                "roles",
                "tool-not-permitted",
                f"No role permits the tool {_shown(tool)}.",
                # Only a principal that holds nothing but shadow roles is merely observed.
                shadow=all(self.rbac.role(role.role).shadow for role in held),
            )
        return _denied(tool, shadowed) if shadowed else None

    def _model(self, principal: Principal) -> _Refusal | None:
        for link in delegation(principal):
            if link.kind == "agent" and link.id in self._agents:
                unknown = next((held.role for held in self._held(link) if held.role not in self.rbac.scopes), None)
                if unknown is not None:
                    return _unknown_role(unknown)
                continue
            refusal = self._may_execute(link)
            if refusal is not None:
                return refusal
        return None

    def _may_execute(self, principal: Principal) -> _Refusal | None:
        held = self.rbac.held_by(principal)
        for role in held:
            if role.role not in self.rbac.scopes:
                return _unknown_role(role.role)
        grant = self.rbac.explain(principal, Permission.EXECUTE_AGENT) if held else None
        if not held or (grant is not None and grant.allowed):
            return None
        return _Refusal("permission.execute_agent", "permission-missing", "This needs the permission execute_agent.")

    def _message(self, event: AgentMessage, principal: Principal) -> _Refusal | None:
        asking, asked = (event.receiver, event.sender) if event.is_reply else (event.sender, event.receiver)
        if principal.kind != "agent" or principal.id not in (event.sender, event.receiver):
            return _Refusal(
                f"agents.{_shown(event.sender)}.may_message",
                "message-not-permitted",
                f"{_shown(event.sender)} may not send messages to {_shown(event.receiver)}.",
            )
        refusal = self._messages.refusal(asking, asked, event.topic)
        return None if refusal is None else _Refusal(refusal.rule, refusal.reason, refusal.message)

    def _held(self, principal: Principal) -> tuple[Held, ...]:
        held = self.rbac.held_by(principal)
        if principal.kind != "agent":
            # A user who picks an agent's name as user id gains nothing.
            return held
        grants = self._agents.get(principal.id)
        return (*map(Held, grants.roles), *held) if grants else held

    def _current(self) -> dict[str, _Tools]:
        scopes, expanded = self._expanded
        if scopes is not self.rbac.scopes:
            scopes = self.rbac.scopes
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
