"""The policy file: parse, compile, and the ``Arguments`` stage that holds tool calls to it."""

from agentguard.policy.arguments import Arguments
from agentguard.policy.policy import Policy
from agentguard.policy.starter import STARTER_POLICY

__all__ = ["STARTER_POLICY", "Arguments", "Policy"]
