"""Runs the conformance cells in real LangChain agents and graphs, with a model that answers by script."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware, ToolRetryMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel, Field

from agentguard.errors import Denied
from agentguard.guard import Guard
from agentguard_langchain import (
    GuardMiddleware,
    guarded_agent,
    guarded_checkpointer,
    guarded_model,
    guarded_retriever,
    tool_wrappers,
)
from tests.adapters.conformance import FAULTS, SECRET, Cell, Outcome


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


class BrokenModel(ScriptedModel):
    """A provider that is down."""

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        raise ConnectionError("provider is down")

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        raise ConnectionError("provider is down")


class _Shelf(BaseRetriever):
    """Finds one passage."""

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        return [Document(f"passage {SECRET}")]


def _retries() -> ModelRetryMiddleware:
    return ModelRetryMiddleware(max_retries=1, initial_delay=0.0, on_failure="error")


# Surfaces on which a value no check can read is put.
_ODD = frozenset({"model input", "model output", "tool call", "tool result"})


class LangChainDriver:
    """``create_agent`` agents, and a graph with a hand-built ``ToolNode`` for handled errors."""

    framework = "langchain"

    def impossible(self, cell: Cell) -> str | None:
        """Cells LangChain has no place for."""
        if cell.surface == "hand-off":
            return "hand-offs are tools that return a Command: covered as tool call and tool result"
        streams = cell.mode in ("stream", "astream", "events")
        if cell.surface.startswith("streamed") and not streams:
            return "tokens are streamed in the modes stream, astream and events; elsewhere the answer is model output"
        if cell.surface == "custom stream" and not streams and cell.mode not in ("stage raises", "shadow"):
            return "what a tool writes to the custom stream is read in the modes stream, astream and events"
        if cell.surface.startswith("structured output") and cell.mode == "handled errors":
            return "a graph with its own ToolNode has no structured response; its answer is model output"
        if cell.mode == "adapter error" and cell.surface not in (
            "model input",
            "model output",
            "tool call",
            "tool result",
        ):
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
        self.saver = InMemorySaver()
        self.threads = itertools.count()

    def outcome(self) -> Outcome:
        agent = self._graph() if self.cell.mode == "handled errors" else self._agent()
        if self.cell.surface == "stored history":
            agent.checkpointer = guarded_checkpointer(self.saver, self.guard)
        runs = 2 if self.cell.mode in ("batch", "abatch") else 1
        got, raised = "", ""
        try:
            got = self._drive(agent)
        except Denied as refusal:
            raised = f"denied: {refusal}"
        if self.cell.surface == "stored history":
            got = repr(dict(self.saver.storage)) + repr(dict(self.saver.writes)) + repr(self.saver.blobs)
        return Outcome(tuple(self.model.read), tuple(sorted(self.args)), got, runs=runs, raised=raised)

    # -- the parts

    def _secret_on(self, surface: str) -> str:
        return SECRET if self.cell.surface == surface else "plain"

    def _question(self) -> HumanMessage:
        odd = self.cell.mode == "adapter error" and self.cell.surface == "model input"
        words = self._secret_on("stored history" if self.cell.surface == "stored history" else "model input")
        return HumanMessage(f"ask {words}", additional_kwargs={"odd": object()} if odd else {})

    def _model(self) -> ScriptedModel:
        cell = self.cell
        if cell.surface == "structured output (tool)":
            call = {"name": "Answer", "args": {"text": f"say {SECRET}"}, "id": "s"}
            return ScriptedModel(calls=[call])
        if cell.surface == "structured output (provider)":
            return ScriptedModel(final='{"text": "say ' + SECRET + '"}')
        if cell.surface == "streamed tool arguments":
            return ScriptedModel(calls=[{"name": "look", "args": {"text": f"say {SECRET}"}, "id": "one"}])
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
            if cell.surface == "custom stream":
                get_stream_writer()({"progress": [f"half {SECRET}"]})
            if cell.surface == "retrieved passage":
                found = guarded_retriever(_Shelf(), self.guard).invoke("q")
                return " ".join(document.page_content for document in found)
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
        if self.cell.surface.startswith("structured output"):
            strategy = ToolStrategy if self.cell.surface.endswith("(tool)") else ProviderStrategy
            options["response_format"] = strategy(Answer)
        if self.cell.mode == "twice":
            again = GuardMiddleware(self.guard, name="again")
            return guarded_agent(self.model, [self._tool()], guard=self.guard, middleware=[again], **options)
        if self.cell.mode == "fallback":
            fallback = [ModelFallbackMiddleware(self.model), _retries()]
            broken = BrokenModel()
            return guarded_agent(broken, [self._tool()], guard=self.guard, middleware=fallback, **options)
        extra = [ToolRetryMiddleware(max_retries=1, initial_delay=0.0)] if self.cell.mode == "retry" else []
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
            return _said([asyncio.run(agent.ainvoke(self.inputs, self._thread()))])
        if mode == "stream" or (self.cell.surface == "custom stream" and mode in FAULTS):
            return _streamed(list(agent.stream(self.inputs, self._thread(), stream_mode=STREAM_MODES)), self.cell)
        if mode in ("astream", "events"):
            return asyncio.run(self._adrive(agent))
        if mode == "batch":
            return _said(agent.batch([self.inputs, self.inputs], [self._thread(), self._thread()]))
        if mode == "abatch":
            return _said(asyncio.run(agent.abatch([self.inputs, self.inputs], [self._thread(), self._thread()])))
        return _said([agent.invoke(self.inputs, self._thread())])

    async def _adrive(self, agent: Any) -> str:
        if self.cell.mode == "events":
            options = {"stream_mode": STREAM_MODES} if self.cell.surface == "custom stream" else {}
            found = agent.astream_events(self.inputs, self._thread(), version="v2", **options)
            return _events([event async for event in found])
        parts = agent.astream(self.inputs, self._thread(), stream_mode=STREAM_MODES)
        return _streamed([part async for part in parts], self.cell)

    def _thread(self) -> Any:
        return {"configurable": {"thread_id": str(next(self.threads))}}


class _Odd:
    """A result no check can read, whose text says too much."""

    def __str__(self) -> str:
        return SECRET


# Every way in which a run can be watched.
STREAM_MODES = ["messages", "updates", "values", "custom", "debug"]


def _streamed(parts: list[Any], cell: Cell) -> str:
    """Everything a reader of the stream sees: tokens and arguments joined by message, states, and all the rest."""
    chunks = [part[0] for mode, part in parts if mode == "messages"]
    states = [part for mode, part in parts if mode == "values"]
    rest = [part for mode, part in parts if mode not in ("messages", "values")]
    return " ".join((_joined(chunks), _said(states), repr(chunks), repr(rest)))


def _events(events: list[Any]) -> str:
    """Every event as it reads, and the tokens and arguments in them joined by run."""
    chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    return _joined(chunks) + repr(events)


def _joined(chunks: list[Any]) -> str:
    tokens: dict[Any, str] = {}
    for message in chunks:
        tokens[message.id] = tokens.get(message.id, "") + message.text
        for call in getattr(message, "tool_call_chunks", ()):
            key = (message.id, call["index"])
            tokens[key] = tokens.get(key, "") + (call["args"] or "")
    return " ".join(tokens.values())


def _said(states: list[Any]) -> str:
    """What the caller gets, without the caller's own words and without the arguments of tool calls."""
    texts = [m.text for state in states for m in state["messages"] if not isinstance(m, HumanMessage)]
    structured = [str(state["structured_response"]) for state in states if state.get("structured_response")]
    return " ".join([*texts, *structured])
