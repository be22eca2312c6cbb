"""The ``Access`` stage."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.access import Access, AgentGrants, MessageGrant, MessageRights, Permission, RBACManager, Role
from agentguard.conversation import Conversation
from agentguard.decision import Effect, Stage
from agentguard.event import AgentMessage, Event, Message, ModelInput, ModelOutput, Principal, ToolCall, ToolResult

TOOLS = ("web_search", "read_file", "send_email", "delete_file")
EXECUTE = frozenset({Permission.EXECUTE_AGENT})
ROLES = (
    Role("reader", EXECUTE, tools=("web_search", "read_*")),
    Role("writer", inherits=("reader",), tools=("send_email",), deny=("delete_*",)),
    Role("cleaner", tools=("delete_file",)),
    Role("admin", frozenset(Permission), tools=("*",)),
    Role("frozen", deny=("*",)),
    Role("trial", EXECUTE, shadow=True, deny=("send_email",)),
)
AGENTS = {"researcher": AgentGrants(("reader",), {"editor": MessageGrant()}), "editor": AgentGrants(("writer",))}


def access() -> Access:
    """The stage under test, with one assigned user."""
    rbac = RBACManager(ROLES)
    rbac.assign_role("bob", "reader")
    return Access(rbac, TOOLS, AGENTS)


def judge(principal: Principal, event: Event) -> tuple[Effect, str]:
    """Effect and reason."""
    verdict = access().inspect(event, Conversation(principal=principal))
    return verdict.effect, verdict.reason


def user(id: str, *roles: str) -> Principal:
    """A verified user."""
    return Principal(id, kind="user", roles=roles)


@pytest.mark.parametrize(
    ("principal", "tool", "permitted"),
    [
        pytest.param(Principal("researcher"), "web_search", True, id="own-role"),
        pytest.param(Principal("researcher"), "read_file", True, id="glob"),
        pytest.param(Principal("researcher"), "send_email", False, id="nothing-matches"),
        pytest.param(Principal("researcher"), "WEB_SEARCH", False, id="case-counts"),
        pytest.param(Principal("researcher"), "read_secrets", False, id="glob-on-an-undeclared-tool"),
        pytest.param(Principal("editor"), "web_search", True, id="inherited"),
        pytest.param(Principal("editor", roles=("cleaner",)), "delete_file", False, id="deny-beats-allow"),
        pytest.param(Principal("editor", roles=("admin",)), "delete_file", False, id="admin-is-no-bypass-of-a-deny"),
        pytest.param(Principal("researcher", roles=("frozen",)), "web_search", False, id="deny-of-everything"),
        pytest.param(Principal("researcher", roles=("ghost",)), "web_search", False, id="unknown-role"),
        pytest.param(Principal("stranger"), "web_search", False, id="peers_17_unknown_agent"),
        pytest.param(Principal("researcher", kind="user"), "web_search", False, id="user-named-like-an-agent"),
        pytest.param(Principal("bob"), "web_search", False, id="agent-named-like-a-user"),
        pytest.param(user("bob"), "web_search", True, id="assigned-user"),
        pytest.param(Principal("editor", on_behalf_of=user("bob")), "send_email", False, id="user-may-not"),
        pytest.param(Principal("editor", on_behalf_of=user("bob")), "web_search", True, id="both-may"),
        pytest.param(Principal("researcher", on_behalf_of=user("x", "admin")), "send_email", False, id="agent-may-not"),
        pytest.param(Principal("editor", on_behalf_of=user("x")), "send_email", True, id="user-without-roles"),
        pytest.param(Principal("editor", on_behalf_of=user("x", "ghost")), "send_email", False, id="user-unknown-role"),
    ],
)
def test_tool_needs_a_role_and_no_deny(principal: Principal, tool: str, permitted: bool) -> None:
    """The same answer for the call and for its result."""
    for event in (ToolCall(tool, {}), ToolResult(tool, {}, "x")):
        effect, reason = judge(principal, event)

        assert (effect is Effect.ALLOW) is permitted
        assert permitted or reason in ("tool-not-permitted", "role-unknown")


def test_anonymous_may_have_text_checked_and_use_no_tool() -> None:
    """No identity: content checks only."""
    run = Conversation()

    assert access().inspect(ModelInput((Message("user", "hi"),)), run).effect is Effect.ALLOW
    assert access().inspect(ToolCall("web_search", {}), run).effect is Effect.DENY


@pytest.mark.parametrize(
    ("principal", "reason"),
    [
        pytest.param(Principal("researcher"), "", id="registered-agent"),
        pytest.param(user("bob"), "", id="user-with-execute"),
        pytest.param(user("eve", "cleaner"), "permission-missing", id="user-without-execute"),
        pytest.param(user("eve", "ghost"), "role-unknown", id="unknown-role"),
        pytest.param(Principal("researcher", roles=("ghost",)), "role-unknown", id="agent-with-unknown-role"),
        pytest.param(Principal("researcher", on_behalf_of=user("e", "cleaner")), "permission-missing", id="for-a-user"),
    ],
)
def test_model_needs_execute_agent_of_whoever_has_roles(principal: Principal, reason: str) -> None:
    """The permission is about who may run agents; a registered agent may run."""
    for event in (ModelInput((Message("user", "hi"),)), ModelOutput(Message("assistant", "hi"))):
        assert judge(principal, event)[1] == reason


@pytest.mark.parametrize(
    ("principal", "sender", "receiver", "permitted"),
    [
        pytest.param(Principal("researcher"), "researcher", "editor", True, id="listed"),
        pytest.param(Principal("editor"), "researcher", "editor", True, id="seen-by-the-receiver"),
        pytest.param(Principal("editor"), "editor", "researcher", False, id="not-listed"),
        pytest.param(Principal("stranger"), "researcher", "editor", False, id="third-party"),
        pytest.param(
            Principal("researcher", kind="user"), "researcher", "editor", False, id="user-named-like-an-agent"
        ),
        pytest.param(Principal("stranger"), "stranger", "editor", False, id="unknown-sender"),
    ],
)
def test_message_needs_may_message(principal: Principal, sender: str, receiver: str, permitted: bool) -> None:
    """Deny by default between agents too."""
    assert (judge(principal, AgentMessage(sender, receiver, "t", "x"))[0] is Effect.ALLOW) is permitted


@pytest.mark.parametrize(
    ("roles", "tool", "shadow"),
    [
        pytest.param(("reader", "trial"), "send_email", False, id="not-permitted-anyway"),
        pytest.param(("writer", "trial"), "send_email", True, id="denied-in-shadow-only"),
        pytest.param(("trial",), "web_search", True, id="only-shadow-roles"),
        pytest.param(("trial", "frozen"), "send_email", False, id="enforced-deny-beside"),
    ],
)
def test_shadow_role_records_without_enforcing(roles: tuple[str, ...], tool: str, shadow: bool) -> None:
    """Shadow never hides a denial that an enforced role makes."""
    verdict = access().inspect(ToolCall(tool, {}), Conversation(principal=user("u", *roles)))

    assert verdict.effect is Effect.DENY
    assert verdict.shadow is shadow


def test_endless_delegation_is_refused() -> None:
    """A chain too long to check is an error, which the guard makes a deny."""
    principal = user("u", "admin")
    for _ in range(20):
        principal = Principal("u", kind="user", roles=("admin",), on_behalf_of=principal)

    with pytest.raises(ValueError, match="shorten"):
        judge(principal, ToolCall("web_search", {}))


def test_role_added_later_is_seen() -> None:
    """The stage follows the manager."""
    rbac = RBACManager(ROLES)
    stage = Access(rbac, TOOLS, AGENTS)

    rbac.add_role(Role("sender", tools=("send_email",)))

    run = Conversation(principal=user("u", "sender"))
    assert stage.inspect(ToolCall("send_email", {}), run).effect is Effect.ALLOW


def test_denial_names_the_rule_and_escapes_the_name() -> None:
    """For audit and explain; a tool name comes from the model."""
    stage = access()

    verdict = stage.inspect(ToolCall("delete_file", {}), Conversation(principal=Principal("editor")))
    strange = stage.inspect(ToolCall("x\x1b[2J" + "y" * 999, {}), Conversation(principal=Principal("editor")))

    assert verdict.rules == ("roles.writer.deny",)
    assert "\x1b" not in strange.message
    assert len(strange.message) < 120
    assert isinstance(stage, Stage)


NAMES = [f"r{i}" for i in range(5)]
GLOBS = st.lists(st.sampled_from([*TOOLS, "*", "read_*", "*_file", "?eb_search"]), max_size=3)


@st.composite
def graphs(draw: st.DrawFn) -> list[Role]:
    """Role graphs without circles: a role inherits from earlier ones only."""
    return [
        Role(
            name,
            inherits=tuple(draw(st.lists(st.sampled_from(NAMES[:index]), max_size=2))) if index else (),
            tools=tuple(draw(GLOBS)),
            deny=tuple(draw(GLOBS)),
        )
        for index, name in enumerate(NAMES)
    ]


def permitted(roles: list[Role], held: list[str]) -> set[str]:
    """The tools a user with the roles ``held`` may call."""
    stage = Access(RBACManager(roles), TOOLS, {})
    run = Conversation(principal=user("u", *held))
    return {tool for tool in TOOLS if stage.inspect(ToolCall(tool, {}), run).effect is Effect.ALLOW}


@settings(max_examples=100, deadline=None)
@given(roles=graphs(), held=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), tool=st.sampled_from(TOOLS))
def test_deny_beats_allow_in_every_role_graph(roles: list[Role], held: list[str], tool: str) -> None:
    """One role with a deny settles it, wherever it stands."""
    roles = [*roles, Role("denier", deny=(tool,)), Role("heir", tools=("*",), inherits=("denier",))]

    assert tool not in permitted(roles, [*held, "denier"])
    assert tool not in permitted(roles, ["heir", *held])


@settings(max_examples=100, deadline=None)
@given(
    roles=graphs(), held=st.lists(st.sampled_from(NAMES), min_size=1, max_size=3), place=st.integers(0, 4), deny=GLOBS
)
def test_adding_a_deny_never_permits_more(roles: list[Role], held: list[str], place: int, deny: list[str]) -> None:
    """Monotone: a deny more takes away or changes nothing."""
    old = roles[place]
    stricter = [*roles]
    stricter[place] = Role(old.name, old.permissions, old.inherits, old.tools, (*old.deny, *deny))

    assert permitted(stricter, held) <= permitted(roles, held)


# -- topics and sizes of messages --------------------------------------------------------------------------------------

RIGHTS = MessageRights({"researcher": {"editor": MessageGrant(("draft", "review.*"), 100)}})


@pytest.mark.parametrize(
    ("sender", "receiver", "topic", "size", "reason"),
    [
        pytest.param("researcher", "editor", "draft", 100, None, id="named-topic"),
        pytest.param("researcher", "editor", "review.final", 0, None, id="glob"),
        pytest.param("researcher", "editor", None, 0, None, id="about-anything"),
        pytest.param("researcher", "editor", "drafts", 0, "topic-not-permitted", id="other-topic"),
        pytest.param("researcher", "editor", "Draft", 0, "topic-not-permitted", id="other-case"),
        pytest.param("researcher", "editor", "", 0, "topic-not-permitted", id="no-topic"),
        pytest.param("researcher", "editor", "draft", 101, "message-too-large", id="too-large"),
        pytest.param("editor", "researcher", "draft", 0, "message-not-permitted", id="other-direction"),
        pytest.param("researcher", "researcher", None, 0, "message-not-permitted", id="to-itself"),
        pytest.param("stranger", "editor", None, 0, "message-not-permitted", id="stranger"),
    ],
)
def test_message_rights(sender: str, receiver: str, topic: str | None, size: int, reason: str | None) -> None:
    """Deny by default: receiver, topic and size must all be permitted."""
    for _ in range(2):  # what is remembered says the same
        refusal = RIGHTS.refusal(sender, receiver, topic, size)
        assert (refusal.reason if refusal else None) == reason


def test_topics_of_peers_cost_bounded_memory() -> None:
    for number in range(10_000):
        RIGHTS.refusal("researcher", "editor", f"invented-{number}")

    assert len(RIGHTS._known) <= 4096


def test_the_stage_judges_topics_and_replies() -> None:
    """A reply is permitted by the question's permission, in that direction only."""
    agents = {"a": AgentGrants((), {"b": MessageGrant(("ask",))}), "b": AgentGrants()}
    stage = Access(RBACManager(), (), agents)

    def effect(*message: object) -> Effect:
        return stage.inspect(AgentMessage(*message), Conversation(principal=Principal("b"))).effect  # type: ignore[arg-type]

    assert effect("a", "b", "ask", "x") is Effect.ALLOW
    assert effect("a", "b", "tell", "x") is Effect.DENY
    assert effect("b", "a", "ask", "x") is Effect.DENY
    assert effect("b", "a", "ask", "x", True) is Effect.ALLOW
    assert effect("b", "a", "tell", "x", True) is Effect.DENY
    assert effect("a", "b", "ask", "x", True) is Effect.DENY
