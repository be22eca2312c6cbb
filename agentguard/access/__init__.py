"""Who may do what, how often, and with whose approval."""

from agentguard.access.access import Access, AgentGrants
from agentguard.access.rbac import AccessRecord, Permission, RBACManager, Role

__all__ = ["Access", "AccessRecord", "AgentGrants", "Permission", "RBACManager", "Role"]
