"""Does the guard really guard? Static checks of a project, and attacks on throw-away copies of its parts.

``security_audit_checklist`` answers five questions; ``examine`` runs every check; ``History`` keeps what each run said.
"""

from agentguard.posture.checklist import Check, checks, examine, security_audit_checklist
from agentguard.posture.history import History, Run, drift
from agentguard.posture.item import Item, Status
from agentguard.posture.project import Limits, Project

__all__ = [
    "Check",
    "History",
    "Item",
    "Limits",
    "Project",
    "Run",
    "Status",
    "checks",
    "drift",
    "examine",
    "security_audit_checklist",
]
