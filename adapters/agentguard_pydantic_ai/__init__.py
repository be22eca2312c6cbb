"""AgentGuard for Pydantic AI: every model input, model output, tool call and tool result passes the guard.

``Agent(model, capabilities=[AgentGuard(guard)])`` guards an agent as it is built; ``protect`` one that is built
already; ``guarded_model`` a model that is called without an agent.
"""

from .versions import require_pydantic_ai

require_pydantic_ai()

from .capability import AgentGuard, Protection, protect  # noqa: E402  # only once the version is known to fit
from .model import guarded_model  # noqa: E402

__all__ = ["AgentGuard", "Protection", "guarded_model", "protect"]
