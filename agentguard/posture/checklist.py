"""Every check in one visible list, run one by one: what breaks a check makes it ``not-checked``, never true."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agentguard.errors import AgentGuardError
from agentguard.posture import certificates, files, holdings, hooks, probe, records, settings
from agentguard.posture.dependencies import DependencyAudit
from agentguard.posture.item import Item, Status
from agentguard.posture.project import Limits, Project

__all__ = ["Check", "checks", "examine", "security_audit_checklist"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check: the id of its item, and what looks; None from ``run`` when it does not apply to this project."""

    id: str
    run: Callable[[Project], Item | None]


def policy_loads(project: Project) -> Item:
    """Without a policy nothing else about it is known."""
    try:
        policy = project.policy
    except AgentGuardError as error:
        return Item.failed(str(error), "see `agentguard policy check`")
    return Item.ok(f"version {policy.version}, {len(policy.tools)} tools, {len(policy.roles)} roles")


# The log comes before what reads roles and keys: those open it, and a silent writer would be silent no longer.
_STATIC: tuple[Check, ...] = (
    Check("home-private", files.home_private),
    Check("policy-protected", files.policy_protected),
    Check("log-encrypted", records.log_encrypted),
    Check("log-verified", records.log_verified),
    Check("log-pinned", records.log_pinned),
    Check("log-fresh", records.log_fresh),
    Check("log-anchored", records.log_anchored),
    Check("api-keys-rotated", holdings.api_keys_rotated),
    Check("sessions-cleaned", holdings.sessions_cleaned),
    Check("permissions-reviewed", holdings.permissions_reviewed),
    Check("roles-defined", holdings.assignments_known),
    Check("roles-used", settings.roles_used),
    Check("roles-narrow", settings.roles_narrow),
    Check("certificates-last", certificates.certificates_last),
    Check("policy-loads", policy_loads),
    Check("mode-enforced", settings.mode_enforced),
    Check("log-fails-closed", settings.log_fails_closed),
    Check("payloads-kept-out", settings.payloads_kept_out),
    Check("redaction-on", settings.redaction_on),
    Check("injection-on", settings.injection_on),
    Check("thresholds-strong", settings.thresholds_strong),
    Check("markup-on", settings.markup_on),
    Check("unicode-on", settings.unicode_on),
    Check("intent-required", settings.intent_required),
    Check("rates-set", settings.rates_set),
    Check("rates-shared", settings.rates_shared),
    Check("rates-down", settings.rates_down),
    Check("approvals-answered", settings.approvals_answered),
    Check("dangerous-tools-approved", settings.dangerous_tools_approved),
    Check("tools-labelled", settings.tools_labelled),
    Check("labels-plausible", settings.labels_plausible),
    Check("review-done", settings.review_marks),
    Check("policy-consistent", settings.policy_consistent),
    Check("dependencies-sound", DependencyAudit()),
)
_PROBES: tuple[Check, ...] = (
    Check("probe-denied-tools", probe.probe_denied_tools),
    Check("probe-malicious-prompts", probe.probe_malicious_prompts),
    Check("probe-edited-log", records.probe_edited_copy),
    Check("probe-revoked-token", probe.probe_revoked_token),
    Check("probe-api-key-form", probe.probe_api_key_form),
    Check("probe-rate-limit", probe.probe_rate_limit),
    Check("probe-no-certificate", certificates.probe_without_certificate),
)
# What each entry of the checklist rests on.
_CHECKLIST = {
    "api_keys_rotated": ("api-keys-rotated",),
    "unused_sessions_cleaned": ("sessions-cleaned",),
    "logs_encrypted": ("log-encrypted",),
    "permissions_reviewed": ("permissions-reviewed", "roles-defined", "roles-used"),
    "dependencies_updated": ("dependencies-sound",),
}
_WORST_FIRST = (Status.FAILED, Status.NOT_CHECKED, Status.WEAK, Status.OK)


def checks() -> tuple[Check, ...]:
    """Static checks, live probes, and one canary for each framework adapter that is found."""
    canaries = [
        Check(f"probe-hooks-{name.removeprefix(hooks.PREFIX).replace('_', '-')}", hooks.prove(name))
        for name in hooks.adapters()
    ]
    return (*_STATIC, *_PROBES, *canaries)


def examine(project: Project, *, which: Iterable[Check] | None = None, skip: Collection[str] = ()) -> list[Item]:
    """Run the checks, in order; those that do not apply to this project have no item.

    Args:
        which: the checks; all when absent.
        skip: ids left out.
    """
    found = []
    for check in checks() if which is None else which:
        if check.id not in skip and (item := _answer(check, project)) is not None:
            found.append(item)
    return found


def security_audit_checklist(
    *,
    home: str | os.PathLike[str] = ".agentguard",
    policy: str | os.PathLike[str] = "agentguard.yaml",
    limits: Limits | None = None,
) -> dict[str, Item]:
    """Five questions about a project, answered by looking at its live state.

    Each answer is true only when all was looked at and well; ``status``, ``evidence``, ``age`` and ``remedy`` tell why.
    What could not be looked at is false, with status ``not-checked``. `agentguard posture` looks at more, and attacks
    the guard besides. API keys are read when ``AGENTGUARD_MASTER_PASSWORD`` is set, dependencies by an installed
    pip-audit.

    Args:
        home: the project's folder.
        policy: the policy file.
        limits: from what age on something counts as neglected.
    """
    project = Project(Path(home), Path(policy), limits=limits)
    wanted = {name for ids in _CHECKLIST.values() for name in ids}
    found = {item.id: item for item in examine(project, which=[check for check in _STATIC if check.id in wanted])}
    return {name: _merged(name, [found[each] for each in ids]) for name, ids in _CHECKLIST.items()}


def _answer(check: Check, project: Project) -> Item | None:
    try:
        item = check.run(project)
    except AgentGuardError as error:
        item = Item.unchecked(f"{error.code}: {error}", "see docs/errors.md for this code")
    except Exception as error:  # noqa: BLE001  # a check that breaks knows nothing, and says so
        item = Item.unchecked(f"the check broke ({type(error).__name__})", "report this as a defect")
    return None if item is None else replace(item, id=check.id)


def _merged(name: str, items: Sequence[Item]) -> Item:
    """One answer from several: the worst status, with the evidence and remedies of all that are not well."""
    status = next(status for status in _WORST_FIRST if any(item.status is status for item in items))
    told = [item for item in items if not item] or items
    ages = [item.age for item in items if item.age is not None]
    return Item(
        name,
        status,
        "; ".join(item.evidence for item in told),
        "; ".join(item.remedy for item in told if item.remedy),
        max(ages, default=None),
    )
