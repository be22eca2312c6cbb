"""Runs the conformance cells in real PraisonAI agents and teams, by both back ends, against a scripted provider."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

os.environ |= {"PRAISONAI_TELEMETRY_DISABLED": "true", "DO_NOT_TRACK": "true", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}

from praisonaiagents import Agent, AgentTeam, Task
from praisonaiagents.errors import ToolExecutionError
from praisonaiagents.llm.openai_client import OpenAIClient
from praisonaiagents.streaming.events import emit_tool_progress
from pydantic import BaseModel

from agentguard.errors import Denied
from agentguard.guard import Guard
from agentguard_praisonai import protect
from tests.adapters.conformance import SECRET, Cell, Outcome

Call = tuple[str, dict[str, Any]]
# What a scripted model says to the messages it reads: calls, or words.
Script = Callable[[list[dict[str, Any]]], list[Call] | str]
BACK_ENDS = ("openai", "litellm")


class Answer(BaseModel):
    """A structured answer."""

    text: str


class _Odd:
    """A value no check can read, whose text says too much."""

    def __repr__(self) -> str:
        return SECRET


class Model:
    """A scripted model behind the local provider. ``read`` is what it was sent; ``failures`` answers fail first."""

    def __init__(self, script: Script, *, failures: int = 0, down: str = "") -> None:
        self.script = script
        self.failures = failures
        self.down = down
        self.read: list[str] = []
        self.key = f"key-{next(_keys)}"
        _models[self.key] = self

    def agent(self, back_end: str, *, name: str, model: str = "scripted", **options: Any) -> Agent:
        """An agent that thinks with this model."""
        if back_end == "litellm":
            llm = {"model": f"openai/{model}", "base_url": _provider().url, "api_key": self.key}
            return Agent(name=name, instructions="Answer.", model=llm, output="silent", **options)
        made = Agent(name=name, instructions="Answer.", model=model, output="silent", **options)
        vars(made)["_Agent__openai_client"] = OpenAIClient(api_key=self.key, base_url=_provider().url)
        return made


_keys = itertools.count()
_models: dict[str, Model] = {}


def steps(calls: list[Call], final: str) -> Script:
    """Asks for ``calls`` until a tool has answered, then says ``final``."""
    return lambda messages: final if not calls or any(m["role"] == "tool" for m in messages) else calls


class _Provider:
    """A small real server of chat completions, on a free local port."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                model = _models[self.headers["Authorization"].removeprefix("Bearer ")]
                model.read.append(repr(body["messages"]))
                if model.failures or model.down == body["model"]:
                    model.failures = max(0, model.failures - 1)
                    self._send(503, "application/json", json.dumps({"error": {"message": "overloaded"}}))
                    return
                said = model.script(body["messages"])
                if body.get("stream"):
                    lines = [*(json.dumps(chunk) for chunk in _chunks(said)), "[DONE]"]
                    self._send(200, "text/event-stream", "".join(f"data: {line}\n\n" for line in lines))
                else:
                    self._send(200, "application/json", json.dumps(_completion(said)))

            def _send(self, status: int, kind: str, text: str) -> None:
                data = text.encode()
                self.send_response(status)
                for name, value in (("Content-Type", kind), ("Content-Length", str(len(data))), ("Retry-After", "0")):
                    self.send_header(name, value)
                # PraisonAI leaves its clients open when their event loop ends.
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}/v1"


_started: list[_Provider] = []


def _provider() -> _Provider:
    if not _started:
        _started.append(_Provider())
    return _started[0]


def _message(said: list[Call] | str) -> dict[str, Any]:
    if isinstance(said, str):
        return {"role": "assistant", "content": said}
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(args)}}
        for number, (name, args) in enumerate(said)
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def _whole(choice: dict[str, Any], kind: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c", "object": kind, "created": 0, "model": "scripted", "choices": [choice], "usage": usage}


def _completion(said: list[Call] | str) -> dict[str, Any]:
    finish = "stop" if isinstance(said, str) else "tool_calls"
    return _whole({"index": 0, "message": _message(said), "finish_reason": finish}, "chat.completion")


def _chunks(said: list[Call] | str) -> Iterator[dict[str, Any]]:
    """The answer in pieces of three letters, so that no piece holds a secret."""

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return _whole({"index": 0, "delta": delta, "finish_reason": finish}, "chat.completion.chunk")

    message = _message(said)
    yield chunk({"role": "assistant", "content": "" if message["content"] else None})
    for piece in _pieces(message["content"] or ""):
        yield chunk({"content": piece})
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        yield chunk({"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]})
        for piece in _pieces(function["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, "stop" if isinstance(said, str) else "tool_calls")


def _pieces(text: str) -> list[str]:
    return [text[start : start + 3] for start in range(0, len(text), 3)]


@contextmanager
def _without_waiting() -> Iterator[None]:
    """PraisonAI waits for half a minute before it turns to another model."""
    pause = asyncio.sleep

    async def briefly(_seconds: float, result: Any = None) -> Any:
        return await pause(0, result)

    with (
        mock.patch("time.sleep", return_value=None),
        mock.patch("asyncio.sleep", briefly),
        mock.patch("praisonaiagents.agent.chat_mixin._sleep_unless_cancelled", return_value=None),
    ):
        yield


class PraisonAIDriver:
    """Agents and teams under ``protect``."""

    framework = "praisonai"

    def impossible(self, cell: Cell) -> str | None:
        """Cells PraisonAI has no place for."""
        if cell.surface == "custom stream":
            return "what a tool reports of its progress is not given out while it is guarded"
        if cell.surface == "structured output (tool)":
            return "structured answers are made from the final text"
        if cell.surface == "retrieved passage":
            return "knowledge is put into the prompt: covered as model input"
        if cell.surface == "stored history":
            return "memory is refused unless protect(..., memory=True); the history is read again as model input"
        if cell.surface.startswith("streamed") and cell.mode not in ("stream", "astream", "events"):
            return "tokens are streamed in the modes stream, astream and events; elsewhere the answer is model output"
        if cell.mode == "adapter error" and cell.surface != "tool result":
            return "messages and arguments are JSON already; values without a JSON form arise in results, shown to deny"
        if cell.surface.startswith("structured output") and cell.mode in ("batch", "abatch"):
            return "batches are run by teams, whose tasks fail on the structured answers of this release, guard or none"
        if cell.surface.startswith("structured output") and cell.mode in ("stream", "astream", "events"):
            return "a streamed answer is text: covered as streamed tokens"
        if cell.surface == "model output" and cell.mode == "handled errors":
            return "a tool that fails ends the run: no answer comes after it"
        if cell.surface == "hand-off" and cell.mode in ("stream", "astream", "events"):
            return "a team streams nothing of its own; the streams of its agents are covered above"
        shared = ("handled errors", "parallel tools", "retry", "fallback")
        if cell.mode in shared and cell.surface in ("hand-off", "sub-agent in a tool"):
            return "the same seams as without errors, parallel calls, retries and fallbacks"
        return None

    def run(self, cell: Cell, guard: Guard) -> Outcome:
        """Run it by both back ends."""
        # By LiteLLM, ``achat`` asks the provider once more for the answer after a tool: two events, and truly alike.
        # Whether one is checked twice is told by the other; the mode astream runs both.
        back_ends = BACK_ENDS[:1] if cell.mode == "async" else BACK_ENDS
        found = [_Run(cell, guard, back_end).outcome() for back_end in back_ends]
        return Outcome(
            tuple(read for outcome in found for read in outcome.model_read),
            tuple(sorted(arg for outcome in found for arg in outcome.tool_args)),
            " ".join(outcome.caller_got for outcome in found),
            runs=sum(outcome.runs for outcome in found),
            raised=" ".join(outcome.raised for outcome in found).strip(),
        )


class _Run:
    def __init__(self, cell: Cell, guard: Guard, back_end: str) -> None:
        self.cell = cell
        self.guard = guard
        self.back_end = back_end
        self.args: list[str] = []
        self.heard: list[str] = []
        self.model = Model(
            self._script(),
            failures=1 if cell.mode == "retry" else 0,
            down="down" if cell.mode == "fallback" else "",
        )
        self.second = Model(steps([], "the second agent is done"))

    def outcome(self) -> Outcome:
        got, raised = "", ""
        try:
            with _without_waiting() if self.cell.mode == "fallback" else nullcontext():
                got = self._team() if self._in_a_team() else self._alone()
        except Denied as refusal:
            raised = f"denied: {refusal}"
        except ToolExecutionError as error:
            # What PraisonAI makes of a tool that fails: the end of the run.
            got = str(error)
        read = self.second.read if self.cell.surface == "hand-off" else self.model.read
        runs = 2 if self.cell.mode in ("batch", "abatch") else 1
        heard = [*self.heard, *(self.args if self.cell.surface == "streamed tool arguments" else ())]
        return Outcome(tuple(read), tuple(self.args), " ".join([got, *heard]), runs=runs, raised=raised)

    # -- the parts

    def _in_a_team(self) -> bool:
        return self.cell.surface == "hand-off" or self.cell.mode in ("batch", "abatch")

    def _secret_on(self, *surfaces: str) -> str:
        return SECRET if self.cell.surface in surfaces else "plain"

    def _script(self) -> Script:
        if self.cell.surface.startswith("structured output"):
            return steps([], json.dumps({"text": f"say {SECRET}"}))
        calls: list[Call] = [("look", {"text": self._secret_on("tool call", "streamed tool arguments")})]
        if self.cell.mode == "parallel tools":
            calls.append(("look", {"text": "other"}))
        return steps(calls, f"the end {self._secret_on('model output', 'streamed tokens', 'hand-off')} of it")

    def _tool(self) -> Any:
        cell, args = self.cell, self.args

        def look(text: str) -> Any:
            """Look something up."""
            args.append(text)
            emit_tool_progress("looking")
            if cell.mode == "handled errors":
                raise ValueError(f"failed near {self._secret_on('tool result')}")
            if cell.surface == "sub-agent in a tool":
                inner = Model(steps([], f"inner {SECRET}")).agent(self.back_end, name="inner")
                protect(inner, self.guard)
                return inner.chat("inner question", stream=False)
            if cell.surface == "tool result" and cell.mode == "adapter error":
                return _Odd()
            return f"found {self._secret_on('tool result')}"

        return look

    def _agent(self) -> Any:
        options: dict[str, Any] = {}
        if self.cell.mode == "parallel tools":
            from praisonaiagents import ExecutionConfig

            options["execution"] = ExecutionConfig(parallel_tool_calls=True)
        structured = self.cell.surface.startswith("structured output")
        tools = [] if structured else [self._tool()]
        model = "down" if self.cell.mode == "fallback" else "scripted"
        agent: Any = self.model.agent(self.back_end, name="outer", model=model, tools=tools, **options)
        if self.cell.mode == "fallback":
            agent.fallback_models = ["openai/scripted" if self.back_end == "litellm" else "scripted"]
        return agent

    # -- how it is run

    def _alone(self) -> str:
        agent, mode = self._agent(), self.cell.mode
        protect(agent, self.guard)
        if mode == "twice":
            protect(agent, self.guard)
        question = f"ask {self._secret_on('model input')}"
        options = {"output_pydantic": Answer} if self.cell.surface.startswith("structured output") else {}
        if mode in ("events", "astream"):
            agent.stream_emitter.add_callback(lambda event: self.heard.append(str(vars(event))))
        if mode == "async":
            return str(asyncio.run(agent.achat(question, stream=False, **options)))
        if mode == "astream":
            return str(asyncio.run(agent.achat(question, stream=True, **options)))
        if mode == "events":
            return str(agent.chat(question, stream=True, **options))
        if mode == "stream":
            return "".join(str(chunk) for chunk in agent.iter_stream(question, **options))
        return str(agent.chat(question, stream=False, **options))

    def _team(self) -> str:
        first = self._agent()
        question, mode = f"ask {self._secret_on('model input')}", self.cell.mode
        tasks = [
            Task(
                name="one", description=question, expected_output="text", agent=first, async_execution=mode == "abatch"
            )
        ]
        agents = [first]
        if self.cell.surface == "hand-off":
            agents.append(self.second.agent(self.back_end, name="second"))
            tasks.append(
                Task(name="two", description="go on", expected_output="text", agent=agents[1], context=[tasks[0]])
            )
        team = AgentTeam(agents=agents, tasks=tasks, output="silent")
        protect(team, self.guard)
        if self.cell.mode == "twice":
            protect(team, self.guard)
        if mode == "async":
            return str(asyncio.run(team.astart()))
        if mode == "batch":
            return str(team.start_for_each([{}, {}], on_error="fail_fast"))
        if mode == "abatch":
            return str(asyncio.run(team.astart_for_each([{}, {}], on_error="fail_fast")))
        return str(team.start(output="silent"))
