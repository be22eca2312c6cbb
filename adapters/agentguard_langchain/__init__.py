"""AgentGuard for LangChain and LangGraph: every model input, model output, tool call and tool result passes the guard.

``guarded_agent`` builds an agent with every hook in place; ``GuardMiddleware`` goes into ``create_agent``;
``guarded_model``, ``guarded_tool``, ``guarded_retriever`` and ``guarded_checkpointer`` guard single objects;
``tool_wrappers`` a ``ToolNode`` built by hand; ``resume_with`` answers what an agent that waits for approval has asked;
``serve_agent`` and ``remote_agent`` let agents in other processes ask each other over mutual TLS;
``GuardCallbackHandler`` denies and audits in chains; ``protect`` guards what is already built, or refuses.
"""

from .versions import require_langchain

require_langchain()

from .agent import Protection, guarded_agent, protect  # noqa: E402  # only once the versions are known to fit
from .approval import resume_with  # noqa: E402
from .checkpoint import guarded_checkpointer  # noqa: E402
from .events import retrieved  # noqa: E402
from .handler import GuardCallbackHandler  # noqa: E402
from .middleware import GuardMiddleware, tool_wrappers  # noqa: E402
from .model import guarded_model  # noqa: E402
from .remote import RemoteAgent, remote_agent, serve_agent  # noqa: E402
from .retriever import guarded_retriever  # noqa: E402
from .tool import guarded_tool  # noqa: E402

__all__ = [
    "GuardCallbackHandler",
    "GuardMiddleware",
    "Protection",
    "RemoteAgent",
    "guarded_agent",
    "guarded_checkpointer",
    "guarded_model",
    "guarded_retriever",
    "guarded_tool",
    "protect",
    "remote_agent",
    "resume_with",
    "retrieved",
    "serve_agent",
    "tool_wrappers",
]
