"""AgentGuard for CrewAI: every model input, answer, tool call, tool result and hand-over of a crew passes the guard.

``protect(crew, guard)`` guards a crew with all its agents, or a single agent, in place.
"""

from .versions import require_crewai

require_crewai()

from .protection import Protection, protect  # noqa: E402  # only once the version is known to fit

__all__ = ["Protection", "protect"]
