"""Reading texts: is it an attack, does it hold secrets or personal data, would it act when shown?"""

from agentguard.detect.content import Content, ContentRules
from agentguard.detect.output import OutputSecurityFilter
from agentguard.detect.size import Size
from agentguard.detect.stream import StreamRedactor
from agentguard.detect.validator import PromptReport, PromptSecurityValidator

__all__ = [
    "Content",
    "ContentRules",
    "OutputSecurityFilter",
    "PromptReport",
    "PromptSecurityValidator",
    "Size",
    "StreamRedactor",
]
