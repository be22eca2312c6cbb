"""``guarded_agent`` builds an agent with every hook in place; ``protect`` guards what is already built, or refuses."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableWithFallbacks
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel

from agentguard import AdapterError, Guard

from .approval import APPROVAL_TTL, ApproveWith
from .canary import prove_hooks
from .checkpoint import raw_saver, wrap_saver
from .gate import Gate
from .handler import GuardCallbackHandler
from .middleware import GuardMiddleware
from .model import OnDeny, guarded_model
from .retriever import guarded_retriever
from .tool import guarded_tool, wrap_tool

__all__ = ["Protection", "guarded_agent", "protect"]

# Undone last first; each puts one thing back.
Undo = Callable[[], None]


def guarded_agent(
    model: str | BaseChatModel,
    tools: Sequence[BaseTool | Callable[..., Any] | dict[str, Any]] | None = None,
    *,
    guard: Guard,
    agent: str | None = None,
    on_deny: OnDeny = "message",
    middleware: Sequence[Any] = (),
    checkpointer: Any = None,
    allow_raw_checkpoints: bool = False,
    approve_with: ApproveWith | None = None,
    approval_ttl: float = APPROVAL_TTL,
    **create_agent_kwargs: Any,
) -> Any:
    """``create_agent`` with a guarded model, guarded tools, and the guard as outermost and innermost middleware.

    Outermost, it checks what other middleware makes up; innermost, it guards whatever model or tool they swap in.
    Each event is checked and recorded once.

    A sub-agent that a tool calls is an agent of its own: build it with ``guarded_agent`` too. It becomes a child of the
    run that called it.

    Args:
        model: a chat model or its name.
        tools: tools, functions, or a provider's own tool definitions, which only the provider can guard.
        guard: decides.
        agent: the acting agent's id, as the policy names it; default ``name=``, else ``guard.agent``.
        on_deny: what a refused model call becomes.
        middleware: further middleware; it runs between.
        checkpointer: where the run is kept; it is guarded too (``guarded_checkpointer``).
        allow_raw_checkpoints: leave the checkpointer as it is, which stores messages as they came.
        approve_with: ``"interrupt"`` pauses the agent when a call needs a person's approval; answer with
            ``agent.invoke(resume_with(paused["__interrupt__"], approved=True), config)``, from any process.
        approval_ttl: seconds for which the question can be answered.

    Raises:
        AdapterError: something cannot be guarded, or this LangChain does not call our hooks.
    """
    acting = agent or create_agent_kwargs.get("name")
    chat = init_chat_model(model) if isinstance(model, str) else model
    asks: Any = {"approve_with": approve_with, "approval_ttl": approval_ttl}
    if approve_with is not None and checkpointer is None:
        raise AdapterError("approve_with='interrupt' needs a checkpointer, where the paused run waits")
    guarded_tools = [
        tool if isinstance(tool, dict) else guarded_tool(tool, guard, agent=acting, **asks) for tool in tools or ()
    ]
    shared = {"agent": acting, "allow_raw_checkpoints": allow_raw_checkpoints, **asks}
    outer = GuardMiddleware(guard, on_deny=on_deny, **shared)
    inner = GuardMiddleware(guard, on_deny="raise", name="AgentGuard.innermost", **shared)
    if raw_saver(checkpointer, guard) and not allow_raw_checkpoints:
        checkpointer = wrap_saver(checkpointer, guard, agent=acting)
    return create_agent(
        guarded_model(chat, guard, agent=acting),
        guarded_tools,
        middleware=[outer, *middleware, *([inner] if middleware else [])],
        checkpointer=checkpointer,
        **create_agent_kwargs,
    )


class Protection:
    """What ``protect`` did. ``target`` is the guarded object; ``undo`` puts everything back."""

    def __init__(self, target: Any, undo: Sequence[Undo] = ()) -> None:
        self.target = target
        self._undo = list(undo)

    def undo(self) -> None:
        """Take the guard off again. A guarded copy of a model or tool stays guarded; use the original."""
        while self._undo:
            self._undo.pop()()


def protect(
    target: Any,
    guard: Guard,
    *,
    agent: str | None = None,
    observe_output_only: bool = False,
    allow_raw_checkpoints: bool = False,
) -> Protection:
    """Guard something that exists: a model, tool, retriever, checkpointer, ``ToolNode`` or compiled graph. Idempotent.

    The first four give a guarded copy. In a ``ToolNode`` and in a compiled graph, subgraphs included, the tools are
    swapped in place; a graph's models cannot be reached, so it is refused when the guard changes or refuses answers,
    unless ``observe_output_only`` accepts that they are judged after they were streamed. Its checkpointer is replaced
    by a guarded one over the same storage, unless ``allow_raw_checkpoints``. Agents hidden in a tool's code cannot be
    found: build those with ``guarded_agent``.

    Raises:
        AdapterError: the target cannot be guarded as asked.
    """
    prove_hooks()
    if isinstance(target, BaseChatModel | RunnableBindingBase | RunnableWithFallbacks):
        return Protection(guarded_model(target, guard, agent=agent))
    if isinstance(target, BaseTool):
        return Protection(guarded_tool(target, guard, agent=agent))
    if isinstance(target, BaseRetriever):
        return Protection(guarded_retriever(target, guard, agent=agent))
    if isinstance(target, BaseCheckpointSaver):
        return Protection(wrap_saver(target, guard, agent=agent))
    if isinstance(target, ToolNode):
        return Protection(target, [_swap_tools(target, guard, agent)])
    if isinstance(target, Pregel):
        return _protect_graph(target, guard, agent, observe_output_only, allow_raw_checkpoints)
    raise AdapterError(
        f"got a {type(target).__name__}; a chat model, a tool, a retriever, a checkpointer, a ToolNode or a compiled "
        "graph can be protected"
    )


# Guards already attached to a graph, so that attaching twice is attaching once.
_attached: weakref.WeakKeyDictionary[Any, list[Guard]] = weakref.WeakKeyDictionary()


def _protect_graph(
    graph: Any, guard: Guard, agent: str | None, observe_output_only: bool, allow_raw_checkpoints: bool
) -> Protection:
    if any(known is guard for known in _attached.get(graph, ())):
        return Protection(graph)
    if guard.rewrites_output and not observe_output_only:
        raise AdapterError(
            "the models inside a compiled graph cannot be reached, and this guard changes or refuses model output; "
            "build the agent with guarded_agent(model, tools, guard=guard), or pass observe_output_only=True"
        )
    handler = GuardCallbackHandler(guard, agent=agent, observe_output_only=observe_output_only)
    graphs = [graph, *(sub for _, sub in graph.get_subgraphs(recurse=True))]
    nodes = [node.bound for found in graphs for node in found.nodes.values() if isinstance(node.bound, ToolNode)]
    savers = [found for found in graphs if raw_saver(found.checkpointer, guard) and not allow_raw_checkpoints]
    undo = [_swap_tools(node, guard, agent) for node in nodes]
    undo += [_swap_saver(found, guard, agent) for found in savers]
    undo.append(_add_callback(graph, handler))
    _attached.setdefault(graph, []).append(guard)
    undo.append(lambda: _attached[graph].remove(guard))
    return Protection(graph, undo)


def _swap_tools(node: ToolNode, guard: Guard, agent: str | None) -> Undo:
    tools = node.tools_by_name
    before = dict(tools)
    tools.update({name: wrap_tool(tool, Gate(guard, agent)) for name, tool in before.items()})
    return lambda: tools.update(before)


def _swap_saver(graph: Any, guard: Guard, agent: str | None) -> Undo:
    before = graph.checkpointer
    graph.checkpointer = wrap_saver(before, guard, agent=agent)

    def undo() -> None:
        graph.checkpointer = before

    return undo


def _add_callback(graph: Any, handler: GuardCallbackHandler) -> Undo:
    before = graph.config
    callbacks = (before or {}).get("callbacks") or []
    if not isinstance(callbacks, list):
        raise AdapterError("the graph carries a callback manager of its own; pass GuardCallbackHandler in its config")
    graph.config = {**(before or {}), "callbacks": [*callbacks, handler]}

    def undo() -> None:
        graph.config = before

    return undo
