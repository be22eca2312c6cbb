"""AgentGuard for PraisonAI: every model input, answer, tool call, tool result and hand-over of its agents is checked.

``protect(target, guard)`` guards an agent with all it hands over to, or a team with all its agents, in place.
"""

from .versions import require_praisonai

require_praisonai()

from .protection import Protection, protect  # noqa: E402  # only once the version is known to fit

__all__ = ["Protection", "protect"]
