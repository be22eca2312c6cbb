"""Agents in other processes: ``serve_agent`` puts one on the channel, ``remote_agent`` is one, as Runnable and tool.

The served agent's run is a child of the sender's: what came over the wire was written by that agent, so no word of it
counts as the user's will. It acts for the user whom the sender, known by its certificate, acts for.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.pregel import Pregel

from agentguard import (
    AdapterError,
    AgentMessage,
    AgentServer,
    Guard,
    IdentitySource,
    Limits,
    MessageGuard,
    Principal,
    RemotePeer,
    SpiffeId,
)
from agentguard.adapter import inside_tool

from .runs import PRINCIPAL_KEY
from .tool import guarded_tool

__all__ = ["RemoteAgent", "remote_agent", "serve_agent"]

TOPIC = "agent"
# A request over the wire is a text under this key, and so is its reply; both are JSON the guard reads.
_INPUT, _OUTPUT = "input", "output"
REMOTE_TIMEOUT_S = 120.0


def serve_agent(
    guard: Guard | MessageGuard,
    runnable: Runnable[Any, Any],
    *,
    source: IdentitySource,
    host: str = "127.0.0.1",
    port: int = 0,
    topic: str = TOPIC,
    limits: Limits | None = None,
) -> AgentServer:
    """A server that answers messages about ``topic`` with ``runnable``; start it with ``async with``.

    Build the agent with ``guarded_agent(..., agent=NAME)``, NAME being the one in our certificate: what it does is
    checked there, what reaches and leaves it here.

    Args:
        guard: decides who may ask; its policy's ``may_message`` names them.
        runnable: an agent (compiled graph), or any runnable that takes a text.
        source: our identity.
        topic: messages about anything else are refused.

    Raises:
        AdapterError: not a runnable.
        ConfigError: the guard was made without a policy.
        IdentityError: there is no valid identity.
    """
    if not isinstance(runnable, Runnable):
        raise AdapterError(f"got a {type(runnable).__name__}; a Runnable can be served")
    guards = guard if isinstance(guard, MessageGuard) else MessageGuard(guard)
    served = _Served(guards, runnable, topic)
    server = guards.server(source, host, port, limits=limits)
    # An agent works for seconds: one question must not hold up the next.
    server.on(topic, served.answer, concurrent=True)
    server.on(f"{topic}.stream", served.stream, concurrent=True)
    return server


class _Served:
    def __init__(self, guards: MessageGuard, runnable: Runnable[Any, Any], topic: str) -> None:
        self._guards = guards
        self._runnable = runnable
        self._topic = topic

    async def answer(self, message: Any) -> bytes:
        """The whole answer."""
        with self._acting(message):
            output = _text_of(await self._runnable.ainvoke(self._input(message), _config(message)))
        content = await self._checked(message, {_OUTPUT: output})
        return json.dumps(content).encode()

    async def stream(self, message: Any) -> AsyncIterator[bytes]:
        """The answer's text piece by piece, through the guard's filter; held back whole where the policy asks it."""
        redactor = self._guards.guard.stream_filter()
        whole = ""
        with self._acting(message):
            async for piece in self._pieces(message):
                whole += piece
                if redactor is not None and (shown := redactor.feed(piece)):
                    yield shown.encode()
        checked = await self._checked(message, whole)
        rest = checked if redactor is None else redactor.flush()
        yield str(rest).encode()

    async def _pieces(self, message: Any) -> AsyncIterator[str]:
        given, config = self._input(message), _config(message)
        if isinstance(self._runnable, Pregel):
            async for chunk, _ in self._runnable.astream(given, config, stream_mode="messages"):
                if isinstance(chunk, AIMessage):
                    yield _text_of(chunk)
            return
        async for piece in self._runnable.astream(given, config):
            yield _text_of(piece)

    @contextlib.contextmanager
    def _acting(self, message: Any) -> Iterator[None]:
        if message.run is None:
            raise AdapterError("the message was not checked, so the agent does not read it")
        # As for an agent called by a tool: it becomes a child of the run that asked.
        with inside_tool(message.run):
            yield

    def _input(self, message: Any) -> Any:
        content = json.loads(message.payload)
        text = content.get(_INPUT) if isinstance(content, dict) else None
        if not isinstance(text, str):
            raise AdapterError(f"an agent is asked with a text under {_INPUT!r}")
        if not isinstance(self._runnable, Pregel):
            return text
        # Under the sender's name: LangGraph's convention for what another agent wrote.
        return {"messages": [HumanMessage(text, name=message.sender.agent)]}

    async def _checked(self, message: Any, content: Any) -> Any:
        topic = message.topic
        reply = AgentMessage(message.receiver.agent, message.sender.agent, topic, content, is_reply=True)
        return await self._guards.outgoing(reply, message.run)


def _config(message: Any) -> RunnableConfig:
    if not message.behalf:
        return {}
    return {"configurable": {PRINCIPAL_KEY: Principal(message.behalf, kind="user")}}


def _text_of(value: object) -> str:
    if isinstance(value, dict) and isinstance(value.get("messages"), list) and value["messages"]:
        value = value["messages"][-1]
    if isinstance(value, BaseMessage):
        # ``text`` was a method before it was a property that can be called.
        return str(value.text)
    if isinstance(value, str):
        return value
    raise AdapterError(f"the agent answered with a {type(value).__name__}; text or messages can be sent")


class RemoteAgent(Runnable[Any, str]):
    """A remote agent as a Runnable: text in, text out, in the conversation that is active. Close it when done."""

    def __init__(self, guard: Guard, remote: RemotePeer, *, topic: str, timeout: float) -> None:
        self._guard = guard
        self._remote = remote
        self._topic = topic
        self._timeout = timeout

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        """Ask, and wait for the whole answer.

        Raises:
            Denied, DeliveryFailed, Overloaded: as ``RemotePeer.ask``.
        """
        return _output_of(self._remote.ask(self._topic, {_INPUT: _asked(input)}, timeout=self._timeout))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> str:
        """As ``invoke``."""
        return _output_of(await self._remote.aask(self._topic, {_INPUT: _asked(input)}, timeout=self._timeout))

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any | None
    ) -> AsyncIterator[str]:
        """The answer piece by piece."""
        content = {_INPUT: _asked(input)}
        async for piece in self._remote.stream(f"{self._topic}.stream", cast(Any, content), timeout=self._timeout):
            yield piece

    def as_agent_tool(self, name: str, description: str) -> BaseTool:
        """The agent as a guarded tool; the policy needs a row for ``name``, with its argument ``task``."""

        def ask(task: str) -> str:
            return self.invoke(task)

        async def aask(task: str) -> str:
            return await self.ainvoke(task)

        tool = StructuredTool.from_function(ask, coroutine=aask, name=name, description=description)
        return guarded_tool(tool, self._guard)

    def close(self) -> None:
        """End the connection."""
        self._remote.close()

    def __enter__(self) -> RemoteAgent:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def remote_agent(
    guard: Guard | MessageGuard,
    source: IdentitySource,
    address: tuple[str, int],
    peer: SpiffeId | str,
    *,
    topic: str = TOPIC,
    timeout: float = REMOTE_TIMEOUT_S,
    limits: Limits | None = None,
) -> RemoteAgent:
    """The agent that ``serve_agent`` serves at ``address`` under the SPIFFE ID ``peer``.

    Args:
        guard: decides what may be asked, and checks both the question and the answer.
        source: our identity; the remote side knows us by it.
        timeout: seconds for one answer; giving up stops the remote agent too.

    Raises:
        ConfigError: the guard was made without a policy.
        IdentityError: there is no valid identity, or ``peer`` is no SPIFFE ID.
    """
    guards = guard if isinstance(guard, MessageGuard) else MessageGuard(guard)
    return RemoteAgent(
        guards.guard, RemotePeer(guards, source, address, peer, limits=limits), topic=topic, timeout=timeout
    )


def _asked(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, BaseMessage):
        return _text_of(value)
    if isinstance(value, dict) and isinstance(value.get(_INPUT), str):
        return cast(str, value[_INPUT])
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        return _text_of(value)
    raise AdapterError(f"a remote agent is asked with text or messages, got a {type(value).__name__}")


def _output_of(content: object) -> str:
    if isinstance(content, dict) and isinstance(content.get(_OUTPUT), str):
        return cast(str, content[_OUTPUT])
    raise AdapterError("the remote agent answered with something else than a text; both sides need this adapter")
