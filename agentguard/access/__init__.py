"""Who may do what, how often, and with whose approval."""

from agentguard.access.access import Access, AgentGrants
from agentguard.access.approval import ApprovalRequest, Approver, TerminalApprover, ask_terminal
from agentguard.access.pending import PendingApprovals
from agentguard.access.ratelimit import Counter, ProcessCounter, RateLimit, StoreCounter, rate_limit_security
from agentguard.access.rates import Rates, RateSettings
from agentguard.access.rbac import AccessRecord, Permission, RBACManager, Role
from agentguard.access.risk import Response, Risk, RiskStates

__all__ = [
    "Access",
    "AccessRecord",
    "AgentGrants",
    "ApprovalRequest",
    "Approver",
    "Counter",
    "PendingApprovals",
    "Permission",
    "ProcessCounter",
    "RBACManager",
    "RateLimit",
    "RateSettings",
    "Rates",
    "Response",
    "Risk",
    "RiskStates",
    "Role",
    "StoreCounter",
    "TerminalApprover",
    "ask_terminal",
    "rate_limit_security",
]
