"""A small real server of the chat-completions protocol: whole answers, server-sent events, tool calls, refusals.

What it answers is a function of the messages it gets, as OpenAI's clients write them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, convert_to_messages

from agentguard_demo.model import ObedientModel

Answer = Callable[[list[dict[str, Any]]], AIMessage]


class ChatCompletions:
    """The server, on a free local port. ``key`` is the only one it accepts; ``requests`` is what it was sent."""

    def __init__(self, answer: Answer, key: str = "test-key") -> None:
        self.requests: list[dict[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(body)
                if self.headers["Authorization"] != f"Bearer {key}":
                    self._send(401, {"error": {"message": "Incorrect API key provided.", "type": "invalid_request"}})
                elif body.get("stream"):
                    self._stream(_chunks(answer(body["messages"])))
                else:
                    self._send(200, _completion(answer(body["messages"])))

            def _send(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _stream(self, chunks: Iterator[dict[str, Any]]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Connection", "close")
                self.end_headers()
                for chunk in chunks:
                    self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.write(b"data: [DONE]\n\n")
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def obedient(messages: list[dict[str, Any]]) -> AIMessage:
    """The demo's worst case behind a wire."""
    answer = ObedientModel().invoke(with_tool_names(messages))
    assert isinstance(answer, AIMessage)
    return answer


def wary(messages: list[dict[str, Any]]) -> AIMessage:
    """A model that does what the user asked and nothing else: to it, tool results hold no orders."""
    known = with_tool_names(messages)
    kept = [m for m in known if not (isinstance(m, ToolMessage) and m.name in ("read_file", "fetch_page"))]
    for message in kept:
        if isinstance(message, ToolMessage) and message.name == "lookup_customer":
            record = json.loads(message.text)
            message.content = json.dumps({"email": record["email"]})
    answer = ObedientModel().invoke(kept)
    assert isinstance(answer, AIMessage)
    return answer


def with_tool_names(messages: list[dict[str, Any]]) -> list[BaseMessage]:
    """The protocol's messages as LangChain's; results get the name of the tool that was called."""
    read = convert_to_messages(messages)
    names = {call["id"]: call["name"] for m in read if isinstance(m, AIMessage) for call in m.tool_calls}
    for message in read:
        if isinstance(message, ToolMessage):
            message.name = names[message.tool_call_id]
    return read


def _completion(answer: AIMessage) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.tool_calls:
        message["tool_calls"] = [
            _call(call["id"], call["name"], json.dumps(call["args"])) for call in answer.tool_calls
        ]
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if answer.tool_calls else "stop"}
    return {"id": "c1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def _call(identity: str | None, name: str, arguments: str) -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def _chunks(answer: AIMessage) -> Iterator[dict[str, Any]]:
    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}

    yield chunk({"role": "assistant", "content": ""})
    for start in range(0, len(answer.text), 5):
        yield chunk({"content": answer.text[start : start + 5]})
    for index, call in enumerate(answer.tool_calls):
        yield chunk({"tool_calls": [{"index": index, **_call(call["id"], call["name"], "")}]})
        arguments = json.dumps(call["args"])
        for start in range(0, len(arguments), 7):
            piece = {"index": index, "function": {"arguments": arguments[start : start + 7]}}
            yield chunk({"tool_calls": [piece]})
    yield chunk({}, "tool_calls" if answer.tool_calls else "stop")
