"""What the policy file switches off or leaves open."""

from __future__ import annotations

from collections.abc import Sequence

from agentguard.detect.injection import THRESHOLDS
from agentguard.policy.check import CODES, Remark, check
from agentguard.policy.compiled import ToolRule
from agentguard.policy.label_lint import lint_labels
from agentguard.posture.item import Item
from agentguard.posture.project import Project, listed

__all__ = [
    "approvals_answered",
    "dangerous_tools_approved",
    "injection_on",
    "intent_required",
    "labels_plausible",
    "log_fails_closed",
    "markup_on",
    "mode_enforced",
    "payloads_kept_out",
    "policy_consistent",
    "rates_down",
    "rates_set",
    "rates_shared",
    "redaction_on",
    "review_marks",
    "roles_narrow",
    "roles_used",
    "thresholds_strong",
    "tools_labelled",
    "unicode_on",
]

_UNLABELLED = frozenset({"argument-without-label", "sink-without-sources", "argument-without-row", "tool-without-row"})
# Said by checks of their own.
_TOLD = _UNLABELLED | {"role-unused", "role-unheld", "shadow-mode", "unsafe-open", "review-marks"}
_GRAVE = ("money", "access", "destructive")


def mode_enforced(project: Project) -> Item:
    """No shadow mode is left on."""
    policy = project.policy
    shadowed = [f"role {name}" for name, rule in policy.roles.items() if rule.mode == "shadow"]
    shadowed += [f"tool {name}" for name, rule in policy.tools.items() if rule.mode == "shadow"]
    if policy.mode == "shadow":
        return Item.failed("the whole policy is in shadow mode: nothing is enforced", "set mode: enforce")
    if shadowed:
        return Item.weak(f"in shadow mode: {listed(shadowed)}", "take mode: shadow out of these rows")
    return Item.ok("mode is enforce, for every role and tool")


def log_fails_closed(project: Project) -> Item:
    """What cannot be recorded does not happen."""
    if project.policy.audit.fail == "unsafe-open":
        return Item.failed("audit.fail is unsafe-open: actions happen without a record", "set audit.fail: closed")
    return Item.ok("audit.fail is closed")


def payloads_kept_out(project: Project) -> Item:
    """The log keeps no payload text."""
    if project.policy.audit.payloads == "full":
        return Item.weak("audit.payloads is full: whoever reads the log reads every text", "set audit.payloads: digest")
    return Item.ok("audit.payloads is digest")


def redaction_on(project: Project) -> Item:
    """Secrets leave neither way, personal data does not go out."""
    given, said = project.policy.input.redact, project.policy.output.redact
    remedy = "set input.redact: [secret] and output.redact: [secret, pii]"
    missing = [name for name, classes in (("input", given), ("output", said)) if "secret" not in classes]
    if missing:
        return Item.failed(f"secrets are not taken out of {' and '.join(missing)}", remedy)
    if "pii" not in said:
        return Item.weak("personal data is not taken out of answers", remedy)
    return Item.ok("secrets are taken out both ways, personal data of answers")


def injection_on(project: Project) -> Item:
    """Orders are acted upon, whoever wrote them."""
    rules = project.policy.input.injection
    by = {"user": rules.user, "tool": rules.tool, "agent": rules.agent}
    remedy = "set input.injection to {user: block, tool: strip, agent: strip}"
    if off := [name for name, action in by.items() if action == "off"]:
        return Item.failed(f"orders are not looked for in texts of: {listed(off)}", remedy)
    if reported := [name for name, action in by.items() if action == "report"]:
        return Item.weak(f"orders are only reported in texts of: {listed(reported)}", remedy)
    return Item.ok(", ".join(f"{name}: {action}" for name, action in by.items()))


def thresholds_strong(project: Project) -> Item:
    """No score for injection is so high that clear attacks stay below it."""
    rules = project.policy.input.injection
    found = {"threshold": rules.threshold, **{f"thresholds.{name}": score for name, score in rules.thresholds.items()}}
    scores = {name: THRESHOLDS.get(str(score), score) for name, score in found.items()}
    weak = [f"{name} {found[name]}" for name, score in scores.items() if float(score) > THRESHOLDS["balanced"]]
    if weak:
        return Item.weak(f"above balanced ({THRESHOLDS['balanced']}): {listed(weak)}", "set threshold: balanced")
    return Item.ok(", ".join(f"{name}: {score}" for name, score in found.items()))


def markup_on(project: Project) -> Item:
    """Answers carry no active markup."""
    if project.policy.output.markup == "off":
        return Item.failed("output.markup is off: scripts and images that call out pass", "set output.markup: block")
    return Item.ok(f"output.markup is {project.policy.output.markup}")


def unicode_on(project: Project) -> Item:
    """Invisible characters are dealt with."""
    if project.policy.input.unicode == "off":
        return Item.failed("input.unicode is off: hidden text reaches the model", "set input.unicode: strip")
    return Item.ok(f"input.unicode is {project.policy.input.unicode}")


def intent_required(project: Project) -> Item:
    """The request must ask for what is done."""
    acting = _acting(project)
    if loose := [rule.name for rule in acting if rule.intent == "off"]:
        return Item.weak(f"intent is off for: {listed(loose)}", "take intent: off out, or add verbs of your own")
    return Item.ok(f"{len(acting)} acting tools run only when the request asks for them")


def rates_set(project: Project) -> Item:
    """Side effects and models are limited."""
    rates = project.policy.rates
    free = [] if rates.default else [rule.name for rule in _acting(project) if rule.rate is None]
    if free:
        return Item.failed(f"no limit on: {listed(free)}", "give these tools a rate, or set rates.default")
    if rates.model is None:
        return Item.weak("no limit on calls of models", "set rates.model")
    return Item.ok(f"{len(_acting(project))} acting tools and the model are limited")


def rates_shared(project: Project) -> Item:
    """Limits are counted across processes."""
    rules = {f"tool {rule.name}": rule.rate for rule in project.policy.tools.values()}
    rates = project.policy.rates
    rules |= {"rates.model": rates.model, "rates.message": rates.message, "rates.default": rates.default}
    alone = [name for name, rule in rules.items() if rule is not None and rule.scope == "process"]
    if alone:
        return Item.weak(f"counted by each process for itself: {listed(alone)}", "set scope: store")
    return Item.ok("every limit is counted across processes")


def rates_down(project: Project) -> Item:
    """A count that cannot be read admits nothing."""
    if project.policy.rates.when_down == "local":
        return Item.weak("rates.when_down is local: N processes admit N times the limit", "set rates.when_down: deny")
    return Item.ok("rates.when_down is deny")


def approvals_answered(project: Project) -> Item:
    """Whoever must confirm can be asked, and is not who asked."""
    rules = project.policy.approval
    asking = [rule.name for rule in project.policy.tools.values() if rule.approval != "never"]
    if asking and rules.approver == "none":
        return Item.weak(
            f"nobody is asked about: {listed(asking)}; such calls are refused unless the application has an approver",
            "set approval.approver: queue",
        )
    if rules.own == "allow":
        return Item.weak("approval.own is allow: who asks may confirm", "set approval.own: deny")
    return Item.ok(f"{len(asking)} tools ask; approver: {rules.approver}, own: {rules.own}")


def dangerous_tools_approved(project: Project) -> Item:
    """Money, access and deletion wait for a person."""
    grave = [rule for rule in project.policy.tools.values() if rule.side_effect in _GRAVE]
    if free := [rule.name for rule in grave if rule.approval == "never"]:
        return Item.weak(f"nobody confirms: {listed(free)}", "set approval: always, or when-untrusted")
    return Item.ok(f"{len(grave)} tools that move money, give access or destroy ask a person")


def tools_labelled(project: Project) -> Item:
    """Every argument of an acting tool says who may set it."""
    remarks = check(project.policy_text, tools=project.tools)
    if found := [remark for remark in remarks if remark.code in _UNLABELLED]:
        return Item.weak(_told(found), "give each argument a sink with sources, content, or one_of")
    return Item.ok(f"{len(project.policy.tools)} tools, every argument has a label")


def labels_plausible(project: Project) -> Item:
    """No label looks wrong."""
    if found := lint_labels(project.policy_text, tools=project.tools):
        return Item.weak(_told(found), "see `agentguard policy lint-labels`")
    return Item.ok(f"{len(project.policy.tools)} tools, no suspicious label")


def review_marks(project: Project) -> Item:
    """No guess of a draft is unconfirmed."""
    if found := [remark for remark in check(project.policy_text) if remark.code == "review-marks"]:
        return Item.weak(_told(found), "confirm each guess and take its mark away")
    return Item.ok("no review mark is left")


def policy_consistent(project: Project) -> Item:
    """Every rule can apply."""
    found = [remark for remark in check(project.policy_text, tools=project.tools) if remark.code not in _TOLD]
    if found:
        return Item.weak(_told(found), "see `agentguard policy check`")
    return Item.ok(f"none of {len(CODES) - len(_TOLD)} further doubts")


def roles_used(project: Project) -> Item:
    """Every role is somebody's; roles assigned at run time count."""
    from contextlib import closing

    from agentguard.access.assignment import StoredAssignments

    with closing(StoredAssignments(project.home)) as store:
        held = {one.role for one in store.all()}
    found = [
        remark
        for remark in check(project.policy_text)
        if remark.code in ("role-unused", "role-unheld") and not held & _names(project, remark)
    ]
    if found:
        return Item.weak(_told(found), "remove these roles")
    return Item.ok(f"{len(project.policy.roles)} roles, each held by an agent or a user")


def _names(project: Project, remark: Remark) -> set[str]:
    """The role a remark speaks of, with those that inherit from it."""
    named = {name for name in project.policy.roles if remark.message.startswith(f"role {name}:")}
    while more := {
        name for name, rule in project.policy.roles.items() if named & set(rule.inherits) and name not in named
    }:
        named |= more
    return named


def roles_narrow(project: Project) -> Item:
    """No role permits every tool, or everything."""
    wide = [name for name, rule in project.policy.roles.items() if {"*", "**"} & set(rule.tools)]
    held = {role for agent in project.policy.agents.values() for role in agent.roles}
    wide += [
        name
        for name, rule in project.policy.roles.items()
        if name in held and name not in wide and "admin" in rule.permissions
    ]
    if wide:
        return Item.weak(f"roles that permit every tool, or make an agent admin: {listed(wide)}", "name the tools")
    return Item.ok(f"{len(project.policy.roles)} roles name what they permit")


def _acting(project: Project) -> list[ToolRule]:
    return [rule for rule in project.policy.tools.values() if rule.side_effect != "read" or rule.egress]


def _told(remarks: Sequence[Remark]) -> str:
    first = remarks[0]
    place = f"line {first.line}: " if first.line else ""
    more = f" and {len(remarks) - 1} more" if len(remarks) > 1 else ""
    return f"{place}{first.message}{more}"
