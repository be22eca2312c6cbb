"""The policy file: parse, compile, and the stages that hold tool calls and definitions to it."""

from agentguard.policy.arguments import Arguments
from agentguard.policy.pins import Pins, pin_of
from agentguard.policy.policy import Policy
from agentguard.policy.starter import STARTER_POLICY

__all__ = ["STARTER_POLICY", "Arguments", "Pins", "Policy", "pin_of"]
