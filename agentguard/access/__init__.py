"""Who may do what, how often, and with whose approval."""

from agentguard.access.access import Access, AgentGrants
from agentguard.access.approval import ApprovalRequest, Approver, TerminalApprover, ask_terminal
from agentguard.access.assignment import Assignment
from agentguard.access.counters import FailoverCounter, RedisCounter, StoreCounter
from agentguard.access.messages import MessageGrant, MessageRights
from agentguard.access.pending import PendingApprovals
from agentguard.access.queue import ApprovalQueue, QueueApprover, Terms
from agentguard.access.ratelimit import Counter, ProcessCounter, RateLimit, rate_limit_security
from agentguard.access.rates import Rates, RateSettings
from agentguard.access.rbac import AccessRecord, RBACManager
from agentguard.access.risk import Response, Risk, RiskStates
from agentguard.access.role import Grant, Permission, Role
from agentguard.access.sessions import Session, SessionManager, SessionRecord, SessionTokens
from agentguard.access.sessionstore import SessionStore, StoredSession
from agentguard.access.signing import FixedKeys, SigningKeys, StoredKeys, rewrap_signing_keys

__all__ = [
    "rewrap_signing_keys",
    "StoredSession",
    "StoredKeys",
    "SigningKeys",
    "SessionTokens",
    "SessionStore",
    "SessionRecord",
    "SessionManager",
    "Session",
    "FixedKeys",
    "Access",
    "AccessRecord",
    "AgentGrants",
    "ApprovalQueue",
    "ApprovalRequest",
    "Approver",
    "Assignment",
    "Counter",
    "FailoverCounter",
    "Grant",
    "PendingApprovals",
    "Permission",
    "ProcessCounter",
    "QueueApprover",
    "RBACManager",
    "RateLimit",
    "RateSettings",
    "Rates",
    "RedisCounter",
    "Response",
    "Risk",
    "RiskStates",
    "Role",
    "StoreCounter",
    "TerminalApprover",
    "Terms",
    "ask_terminal",
    "rate_limit_security",
    "MessageGrant",
    "MessageRights",
]
