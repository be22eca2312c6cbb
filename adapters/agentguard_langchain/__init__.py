"""AgentGuard for LangChain and LangGraph: every model input, model output, tool call and tool result passes the guard.

``GuardMiddleware`` goes into ``create_agent``; ``guarded_model`` and ``guarded_tool`` guard single objects;
``tool_wrappers`` a ``ToolNode`` built by hand.
"""

from .versions import require_supported

require_supported()

from .events import retrieved  # noqa: E402  # only once the versions are known to fit
from .middleware import GuardMiddleware, tool_wrappers  # noqa: E402
from .model import guarded_model  # noqa: E402
from .tool import guarded_tool  # noqa: E402

__all__ = ["GuardMiddleware", "guarded_model", "guarded_tool", "retrieved", "tool_wrappers"]
