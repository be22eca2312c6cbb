"""Finding attacks, secrets and personal data in text, and taking them out again."""

from agentguard.detect.content import Content, ContentRules
from agentguard.detect.operators import OperatorRule, Operators
from agentguard.detect.output import OutputSecurityFilter
from agentguard.detect.redaction import redact
from agentguard.detect.restore import Restore
from agentguard.detect.size import Size
from agentguard.detect.stream import StreamRedactor
from agentguard.detect.validator import PromptSecurityValidator

__all__ = [
    "Content",
    "ContentRules",
    "OperatorRule",
    "Operators",
    "OutputSecurityFilter",
    "PromptSecurityValidator",
    "Restore",
    "Size",
    "StreamRedactor",
    "redact",
]
