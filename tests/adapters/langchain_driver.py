"""Runs the conformance cells in real LangChain agents and graphs, with a model that answers by script."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware.types import AgentMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel, Field

from agentguard.errors import Denied
from agentguard.guard import Guard
from agentguard_langchain import GuardMiddleware, guarded_agent, guarded_model, tool_wrappers
from tests.adapters.conformance import SECRET, Cell, Outcome


class Answer(BaseModel):
    """A structured answer."""

    text: str


class ScriptedModel(BaseChatModel):
    """Asks for ``calls`` until a tool has answered, then says ``final``. Stateless, so any number may run at once."""

    calls: list[dict[str, Any]] = Field(default_factory=list)
    final: str = "done"
    extra: dict[str, Any] = Field(default_factory=dict)
    read: list[str] = Field(default_factory=list)
    options: list[dict[str, Any]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> Any:
        return self.bind(tools=[{"name": t.name, "description": t.description} for t in tools if hasattr(t, "name")])

    def _answer(self, messages: list[BaseMessage], options: dict[str, Any]) -> AIMessage:
        self.read.append(" ".join(str(message.model_dump()) for message in messages))
        self.options.append(options)
        if self.calls and not any(isinstance(message, ToolMessage) for message in messages):
            return AIMessage("", tool_calls=[{**call, "type": "tool_call"} for call in self.calls])
        return AIMessage(self.final, additional_kwargs=self.extra)

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kw: Any
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages, kw))])

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kw: Any
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._answer(messages, kw)
        for start in range(0, len(answer.text), 3):
            yield ChatGenerationChunk(message=AIMessageChunk(content=answer.text[start : start + 3]))
        for index, call in enumerate(answer.tool_calls):
            args = json.dumps(call["args"], default=str)
            for part in (args[:9], args[9:]):
                piece = {"name": call["name"] if part == args[:9] else None, "args": part, "index": index}
                piece["id"] = call["id"] if part == args[:9] else None
                yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece]))  # type: ignore[list-item]
        yield ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs=answer.additional_kwargs))


class RetryOnce(AgentMiddleware[Any, Any, Any]):
    """Calls a tool again when it raised."""

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        try:
            return handler(request)
        except RuntimeError:
            return handler(request)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        try:
            return await handler(request)
        except RuntimeError:
            return await handler(request)


class LangChainDriver:
    """``create_agent`` agents, and a graph with a hand-built ``ToolNode`` for handled errors."""

    framework = "langchain"

    def impossible(self, cell: Cell) -> str | None:
        """Cells LangChain has no place for."""
        if cell.surface == "hand-off":
            return "hand-offs are tools that return a Command: covered as tool call and tool result"
        streams = cell.mode in ("stream", "astream")
        if cell.surface == "streamed tokens" and not streams:
            return "tokens are streamed in the modes stream and astream; elsewhere the answer is model output"
        if cell.surface == "structured output" and cell.mode == "handled errors":
            return "a graph with its own ToolNode has no structured response; its answer is model output"
        if cell.mode == "adapter error" and cell.surface in ("structured output", "sub-agent in a tool"):
            return "reads values through the same code as model output and tool result, where it is shown to deny"
        return None

    def run(self, cell: Cell, guard: Guard) -> Outcome:
        """Run it."""
        return _Run(cell, guard).outcome()


class _Run:
    def __init__(self, cell: Cell, guard: Guard) -> None:
        self.cell = cell
        self.guard = guard
        self.args: list[str] = []
        self.attempts = itertools.count()
        self.model = self._model()
        self.inputs = {"messages": [self._question()]}

    def outcome(self) -> Outcome:
        agent = self._graph() if self.cell.mode == "handled errors" else self._agent()
        runs = 2 if self.cell.mode in ("batch", "abatch") else 1
        got, raised = "", ""
        try:
            got = self._drive(agent)
        except Denied as refusal:
            raised = f"denied: {refusal}"
        return Outcome(tuple(self.model.read), tuple(sorted(self.args)), got, runs=runs, raised=raised)

    # -- the parts

    def _secret_on(self, surface: str) -> str:
        return SECRET if self.cell.surface == surface else "plain"

    def _question(self) -> HumanMessage:
        odd = self.cell.mode == "adapter error" and self.cell.surface == "model input"
        return HumanMessage(f"ask {self._secret_on('model input')}", additional_kwargs={"odd": object()} if odd else {})

    def _model(self) -> ScriptedModel:
        cell = self.cell
        if cell.surface == "structured output":
            call = {"name": "Answer", "args": {"text": f"say {SECRET}"}, "id": "s"}
            return ScriptedModel(calls=[call])
        final = SECRET if cell.surface in ("model output", "streamed tokens") else "plain"
        odd = {"odd": object()} if cell.mode == "adapter error" and cell.surface == "model output" else {}
        return ScriptedModel(calls=self._calls(), final=f"the end {final} of it", extra=odd)

    def _calls(self) -> list[dict[str, Any]]:
        args: dict[str, Any] = {"text": self._secret_on("tool call")}
        if self.cell.mode == "adapter error" and self.cell.surface == "tool call":
            args["odd"] = object()
        calls = [{"name": "look", "args": args, "id": "one"}]
        if self.cell.mode == "parallel tools":
            calls.append({"name": "look", "args": {"text": "other"}, "id": "two"})
        return calls

    def _tool(self) -> BaseTool:
        cell, args, attempts = self.cell, self.args, self.attempts

        @tool
        def look(text: str) -> Any:
            """Look something up."""
            args.append(text)
            if cell.mode == "retry" and next(attempts) == 0:
                raise RuntimeError("try again")
            if cell.surface == "sub-agent in a tool":
                return self._sub_agent().invoke({"messages": [HumanMessage("inner question")]})["messages"][-1].text
            if cell.surface == "tool result" and cell.mode == "handled errors":
                raise ValueError(f"failed near {SECRET}")
            if cell.surface == "tool result" and cell.mode == "adapter error":
                return _Odd()
            return f"found {self._secret_on('tool result')}"

        return look

    def _sub_agent(self) -> Any:
        model = ScriptedModel(final=f"inner {SECRET}")
        return create_agent(model, [], middleware=[GuardMiddleware(self.guard, agent="inner")])

    def _agent(self) -> Any:
        options: dict[str, Any] = {"system_prompt": "be brief"}
        if self.cell.surface == "structured output":
            options["response_format"] = ToolStrategy(Answer)
        if self.cell.mode == "twice":
            again = GuardMiddleware(self.guard, name="again")
            return guarded_agent(self.model, [self._tool()], guard=self.guard, middleware=[again], **options)
        extra = [RetryOnce()] if self.cell.mode == "retry" else []
        middleware = [GuardMiddleware(self.guard), *extra]
        return create_agent(self.model, [self._tool()], middleware=middleware, **options)

    def _graph(self) -> Any:
        model = guarded_model(self.model, self.guard)
        graph = StateGraph(MessagesState)
        graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
        graph.add_node("tools", ToolNode([self._tool()], handle_tool_errors=True, **tool_wrappers(self.guard)))
        graph.add_edge(START, "model")
        graph.add_conditional_edges("model", tools_condition)
        graph.add_edge("tools", "model")
        return graph.compile()

    # -- how it is run

    def _drive(self, agent: Any) -> str:
        mode = self.cell.mode
        if mode == "async":
            return _said([asyncio.run(agent.ainvoke(self.inputs))])
        if mode == "stream":
            return _streamed(list(agent.stream(self.inputs, stream_mode=["messages", "values"])))
        if mode == "astream":
            return asyncio.run(_astreamed(agent, self.inputs))
        if mode == "batch":
            return _said(agent.batch([self.inputs, self.inputs]))
        if mode == "abatch":
            return _said(asyncio.run(agent.abatch([self.inputs, self.inputs])))
        return _said([agent.invoke(self.inputs)])


class _Odd:
    """A result no check can read, whose text says too much."""

    def __str__(self) -> str:
        return SECRET


async def _astreamed(agent: Any, inputs: Any) -> str:
    return _streamed([part async for part in agent.astream(inputs, stream_mode=["messages", "values"])])


def _streamed(parts: list[Any]) -> str:
    """Everything a reader of the stream sees: tokens joined by message, then the states."""
    tokens: dict[Any, str] = {}
    states = []
    for mode, part in parts:
        if mode == "messages":
            message = part[0]
            tokens[message.id] = tokens.get(message.id, "") + message.text
        else:
            states.append(part)
    return " ".join(tokens.values()) + _said(states)


def _said(states: list[Any]) -> str:
    """What the caller gets, without the caller's own words and without the arguments of tool calls."""
    texts = [m.text for state in states for m in state["messages"] if not isinstance(m, HumanMessage)]
    structured = [str(state["structured_response"]) for state in states if state.get("structured_response")]
    return " ".join([*texts, *structured])
