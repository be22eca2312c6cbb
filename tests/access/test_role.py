"""Roles, scopes and rulings: what a role gives, by which way, and which rule decides."""

from __future__ import annotations

import contextlib
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.access import AccessRecord, Permission, RBACManager, Role
from agentguard.access.role import Grant, permission_name
from agentguard.access.ruling import Ruling, plain_resource
from agentguard.errors import ConfigError
from agentguard.event import Principal

ROLES = (
    Role("base", frozenset({"read_data"})),
    Role("author", frozenset({"write_data"}), ("base",), resources=("drafts/*", "shared/style.md")),
    Role("editor", frozenset({"drafts.publish"}), ("author",)),
    Role("no-payroll", deny_permissions=frozenset({"read_data"}), resources=("payroll/*",)),
    Role("suspended", deny_permissions=frozenset(Permission)),
    Role("trial", deny_permissions=frozenset({"read_data"}), shadow=True),
)


def holding(*roles: str, resource: str | None = None) -> RBACManager:
    """A manager in which ann holds these roles."""
    rbac = RBACManager(ROLES)
    for role in roles:
        rbac.assign_role("ann", role, resource=resource)
    return rbac


@pytest.mark.parametrize(
    ("roles", "permission", "resource", "held"),
    [
        pytest.param(("editor",), "drafts.publish", None, True, id="own-name"),
        pytest.param(("editor",), "read_data", None, True, id="inherited-from-afar"),
        pytest.param(("editor",), "read_data", "anything", True, id="unscoped-covers-each-resource"),
        pytest.param(("author",), "write_data", "drafts/7", True, id="in-the-scope"),
        pytest.param(("author",), "write_data", "shared/style.md", True, id="exactly-named"),
        pytest.param(("author",), "write_data", "shared/style.mdx", False, id="longer-than-named"),
        pytest.param(("author",), "write_data", "Drafts/7", False, id="case-counts"),
        pytest.param(("author",), "write_data", None, False, id="a-scoped-grant-is-no-general-one"),
        pytest.param(("author",), "write_data", "payroll/7", False, id="out-of-scope"),
        pytest.param(("author",), "write_data", "drafts/../payroll/7", False, id="attack-step-upwards"),
        pytest.param(("author",), "write_data", "drafts/%2E%2e/payroll/7", False, id="attack-encoded-step"),
        pytest.param(("author",), "write_data", "drafts\\..\\payroll", False, id="attack-backslash"),
        pytest.param(("author",), "write_data", "drafts/7\x00payroll", False, id="attack-nul"),
        pytest.param(("author",), "write_data", "drafts/" + "7" * 2000, False, id="too-long"),
        pytest.param(("author",), "write_data", "", False, id="empty"),
        pytest.param(("base", "no-payroll"), "read_data", "payroll/7", False, id="deny-wins"),
        pytest.param(("no-payroll", "base"), "read_data", "payroll/7", False, id="deny-wins-in-any-order"),
        pytest.param(("base", "no-payroll"), "read_data", "notes", True, id="deny-only-where-it-says"),
        pytest.param(("base", "no-payroll"), "read_data", None, False, id="not-everywhere-when-denied-somewhere"),
        pytest.param(("editor", "suspended"), "read_data", "notes", False, id="deny-of-everything"),
        pytest.param(("editor", "suspended"), "drafts.publish", None, True, id="deny-names-what-it-denies"),
        pytest.param(("base", "trial"), "read_data", "notes", True, id="shadow-denies-nothing"),
    ],
)
def test_permission_depends_on_roles_and_resource(
    roles: tuple[str, ...], permission: str, resource: str | None, held: bool
) -> None:
    assert holding(*roles).check_permission("ann", permission, resource=resource) is held


@pytest.mark.parametrize(
    ("resource", "held"),
    [("project/7/plan", True), ("project/8/plan", False), (None, False), ("drafts/1", False)],
)
def test_a_role_may_be_held_on_some_resources_only(resource: str | None, held: bool) -> None:
    rbac = holding("base", resource="project/7/*")

    assert rbac.check_permission("ann", "read_data", resource=resource) is held
    assert rbac.roles_of("ann") == ()


def test_both_scopes_must_hold() -> None:
    """The role's own resources, and those of the assignment."""
    rbac = holding("author", resource="*/7")

    assert rbac.check_permission("ann", "write_data", resource="drafts/7")
    assert not rbac.check_permission("ann", "write_data", resource="drafts/8")
    assert not rbac.check_permission("ann", "write_data", resource="other/7")


@pytest.mark.parametrize(
    ("assigned", "carried", "held"),
    [
        pytest.param("acme", "acme", True, id="own-tenant"),
        pytest.param("acme", "globex", False, id="attack-same-id-in-another-tenant"),
        pytest.param("acme", None, False, id="no-tenant"),
        pytest.param(None, None, True, id="neither"),
        pytest.param(None, "acme", False, id="assigned-outside-tenants"),
        pytest.param("*", "globex", True, id="every-tenant"),
        pytest.param("*", None, True, id="every-tenant-and-none"),
    ],
)
def test_an_assignment_holds_in_its_tenant(assigned: str | None, carried: str | None, held: bool) -> None:
    rbac = RBACManager()
    rbac.assign_role("ann", "user", tenant=assigned)

    assert rbac.permits(Principal("ann", "user", tenant=carried), "read_data") is held


def test_grants_name_the_whole_chain() -> None:
    """Which role by which way, beaten rules too."""
    found = holding("editor", "no-payroll").grants(Principal("ann", "user"))

    assert [str(grant) for grant in found] == [
        "role editor",
        "role editor, inherited from author, on drafts/*, shared/style.md",
        "role editor, inherited from base through author",
        "denied by role no-payroll, on payroll/*",
    ]
    assert found[2].chain == ("editor", "author", "base")


def test_the_shortest_way_is_named() -> None:
    rbac = RBACManager([Role("c", frozenset({"x"})), Role("b", inherits=("c",)), Role("a", inherits=("b", "c"))])
    rbac.assign_role("ann", "a")

    (grant,) = rbac.grants(Principal("ann", "user"))

    assert grant.chain == ("a", "c")


def test_explain_tells_the_rule_that_decides() -> None:
    rbac = holding("base", "no-payroll")
    ann = Principal("ann", "user")

    assert str(rbac.explain(ann, "read_data", resource="notes")) == "role base"
    assert str(rbac.explain(ann, "read_data", resource="payroll/7")) == "denied by role no-payroll, on payroll/*"
    assert rbac.explain(ann, "write_data", resource="notes") is None
    assert rbac.explain(ann, "read_data", resource="notes/../payroll/7") is None


def test_effective_permissions_are_those_that_hold_there() -> None:
    rbac = holding("editor", "no-payroll")

    assert set(rbac.effective_permissions("ann")) == {"drafts.publish"}
    assert set(rbac.effective_permissions("ann", resource="drafts/7")) == {"drafts.publish", "write_data", "read_data"}
    assert set(rbac.effective_permissions("ann", resource="payroll/7")) == {"drafts.publish"}


def test_shadow_denial_is_recorded() -> None:
    records: list[AccessRecord] = []
    rbac = RBACManager(ROLES, record=records.append)
    rbac.assign_role("ann", "base")
    rbac.assign_role("ann", "trial")

    assert rbac.check_permission("ann", "read_data")
    assert (records[-1].action, records[-1].reason) == ("shadow-deny", "denied by role trial")


@pytest.mark.parametrize("name", ["", "Read", "read data", "1read", "x" * 65, "lesen\u00e4", "read\n", "../x"])
def test_other_permission_names_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="permission"):
        Role("r", frozenset({name}))


def test_a_custom_permission_is_known_once_a_role_or_the_application_names_it() -> None:
    """A misspelt one is an error still, not a refusal."""
    rbac = RBACManager([Role("r", frozenset({"reports.export"}))], permissions=["reports.delete"])
    rbac.assign_role("ann", "r")

    assert rbac.check_permission("ann", "reports.export")
    assert not rbac.check_permission("ann", "reports.delete")
    with pytest.raises(ConfigError, match="unknown permission"):
        rbac.check_permission("ann", "reports.exprot")
    rbac.add_role(Role("s", frozenset({"reports.exprot"})))
    assert not rbac.check_permission("ann", "reports.exprot")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"name": ""}, id="no-name"),
        pytest.param({"name": "a\nb"}, id="line-break-in-the-name"),
        pytest.param({"name": "r", "tools": ("a[b]",)}, id="brackets"),
        pytest.param({"name": "r", "resources": ("",)}, id="empty-resource"),
        pytest.param({"name": "r", "tools": "*"}, id="attack-text-for-a-list"),
        pytest.param({"name": "r", "permissions": "admin"}, id="text-for-a-set"),
    ],
)
def test_unusable_roles_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Role(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"tenant": ""}, id="empty-tenant"),
        pytest.param({"tenant": "a\x1bb"}, id="control-character"),
        pytest.param({"resource": ""}, id="empty-resource"),
        pytest.param({"resource": "a/../b/*"}, id="step-upwards"),
        pytest.param({"resource": "[a]"}, id="brackets"),
        pytest.param({"resource": "x" * 600}, id="too-long"),
        pytest.param({"kind": "robot"}, id="unknown-kind"),
        pytest.param({"expires_in": float("inf")}, id="endless"),
    ],
)
def test_unusable_assignments_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        RBACManager().assign_role("ann", "user", **settings)  # type: ignore[arg-type]


def test_removed_role_refuses_whoever_still_holds_it() -> None:
    """No KeyError, and no quiet grant by the other roles."""
    rbac = RBACManager([Role("a", frozenset({"read_data"})), Role("b", frozenset({"write_data"}))])
    rbac.assign_role("ann", "a")
    rbac.assign_role("ann", "b")

    rbac.remove_role("b")

    assert not rbac.check_permission("ann", "read_data")
    assert rbac.grants(Principal("ann", "user")) == ()
    rbac.unassign_role("ann", "b")
    assert rbac.check_permission("ann", "read_data")


def test_a_role_that_others_inherit_stays() -> None:
    rbac = RBACManager(ROLES)

    with pytest.raises(ConfigError, match="author"):
        rbac.remove_role("base")
    assert rbac.role("base").name == "base"


def test_a_role_added_later_is_seen_by_a_compiled_holder() -> None:
    """Nothing compiled outlives a change of roles."""
    rbac = RBACManager([Role("a", frozenset({"read_data"}))])
    ann = Principal("ann", "user", roles=("late",))
    assert not rbac.permits(ann, "read_data")

    rbac.add_role(Role("late", inherits=("a",)))

    assert rbac.permits(ann, "read_data")


def test_a_flood_of_invented_ids_is_bounded() -> None:
    rbac = RBACManager()
    rbac.assign_role("ann", "user")

    for number in range(9_000):
        rbac.permits(Principal(f"invented{number}", "user"), "read_data")

    assert len(rbac._compiled) <= 4_096
    assert rbac.check_permission("ann", "read_data")


GLOBS = st.text(alphabet="ab/*?", min_size=1, max_size=6)
GRANTS = st.builds(
    lambda allowed, resources, within: Grant("p", allowed, ("r",), tuple(resources), within),
    st.booleans(),
    st.lists(GLOBS, max_size=3),
    st.none() | GLOBS,
)


@given(grants=st.lists(GRANTS, max_size=8), resource=st.text(alphabet="ab/", min_size=1, max_size=6))
def test_the_compiled_answer_is_the_plain_one(grants: list[Grant], resource: str) -> None:
    """Whatever the globs: a deny that matches wins, else a grant that matches decides."""

    def matches(grant: Grant) -> bool:
        own = not grant.resources or any(fnmatchcase(resource, glob) for glob in grant.resources)
        return own and (grant.within is None or fnmatchcase(resource, grant.within))

    effects = {grant.allowed for grant in grants if matches(grant)}

    found = Ruling(grants).decisive(resource)

    assert (found is not None and found.allowed) is (effects == {True})
    assert found is None or matches(found)


@given(grants=st.lists(GRANTS, max_size=6), extra=GRANTS, resource=st.none() | st.text(alphabet="ab/", min_size=1))
def test_a_deny_more_never_permits_more(grants: list[Grant], extra: Grant, resource: str | None) -> None:
    denial = Grant("p", False, ("r",), extra.resources, extra.within)
    before = Ruling(grants).decisive(resource)

    after = Ruling([*grants, denial]).decisive(resource)

    assert not (after is not None and after.allowed) or (before is not None and before.allowed)


@given(st.text())
def test_resource_names_are_judged_without_error(text: str) -> None:
    assert plain_resource(text) in (True, False)


@given(st.text())
def test_permission_names_are_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert permission_name(text) == text
