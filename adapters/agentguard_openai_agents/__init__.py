"""AgentGuard for the OpenAI Agents SDK: model inputs and outputs, tool calls and results, and hand-offs pass the guard.

``GuardedRunner(guard).run(agent, input)`` runs an agent as ``Runner.run`` does, guarded; ``protect(agent, guard)``
guards an agent, and every agent it hands over to, wherever it runs.
"""

from .versions import require_openai_agents

require_openai_agents()

from .protection import Protection, protect  # noqa: E402  # only once the version is known to fit
from .runner import GuardedRunner  # noqa: E402

__all__ = ["GuardedRunner", "Protection", "protect"]
