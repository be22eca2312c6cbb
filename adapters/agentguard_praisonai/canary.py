"""The self-test behind every attach: do the seams we use really lie on the way in this installed PraisonAI?

It runs an agent on either back end, with a model in memory: nothing is sent anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import openai
from praisonaiagents import Agent
from praisonaiagents.llm.openai_client import OpenAIClient

from agentguard import Guard
from agentguard.adapter import Canary

__all__ = ["prove_hooks"]


@lru_cache(maxsize=1)
def prove_hooks() -> None:
    """Run the canary agent on each back end that is installed: plain, async and streamed.

    Raises:
        AdapterError: a seam was passed by, or had no effect.
    """
    makers: dict[str, Callable[[], Agent]] = {"OpenAI": _on_openai}
    if find_spec("litellm") is not None:
        makers["LiteLLM"] = _on_litellm
    for name, make in makers.items():
        _prove(name, make)


def _prove(name: str, make: Callable[[], Agent]) -> None:
    # On a thread: PraisonAI behaves differently where an event loop runs, and the caller may be in one.
    with ThreadPoolExecutor(1) as pool:
        Canary().prove(name, lambda guard: pool.submit(_guarded(make(), guard).chat, Canary.word).result())
        Canary().prove(f"{name} streamed", lambda guard: pool.submit(_streamed, _guarded(make(), guard)).result())
    Canary().prove_async(f"{name} async", lambda guard: _guarded(make(), guard).achat(Canary.word))


def _streamed(agent: Any) -> list[Any]:
    return list(agent.iter_stream(Canary.word))


def _guarded(agent: Any, guard: Guard) -> Any:
    from .protection import attach

    attach(agent, guard)
    return agent


def canary_tool(text: str) -> str:
    """Echo."""
    return text + Canary.word


def _agent(**options: Any) -> Agent:
    return Agent(name="canary", instructions="Answer.", tools=[canary_tool], output="silent", **options)


def _on_openai() -> Agent:
    http, url = _http(), "http://canary.invalid/v1"
    transport = http.MockTransport(lambda request: _answered(http, request))
    plain = http.Client(transport=transport, trust_env=False)
    async_ = http.AsyncClient(transport=transport, trust_env=False)
    client = OpenAIClient(api_key="canary", base_url=url)
    client._sync_client = openai.OpenAI(api_key="canary", base_url=url, http_client=plain)
    client._async_client = openai.AsyncOpenAI(api_key="canary", base_url=url, http_client=async_)
    agent = _agent(model="canary")
    vars(agent)["_Agent__openai_client"] = client
    return agent


def _http() -> Any:
    """The HTTP library that the installed OpenAI client is built on."""
    base = next(known for known in openai.DefaultHttpxClient.__mro__ if known.__name__ == "Client")
    return import_module(base.__module__.partition(".")[0])


def _on_litellm() -> Agent:
    from praisonaiagents.model_harness import ScriptedModel

    call = ScriptedModel.tool_call("canary_tool", {"text": Canary.word})
    return _agent(model=ScriptedModel([call, Canary.word, Canary.word]))


def _answered(http: Any, request: Any) -> Any:
    """A provider in memory: it calls the tool, then says the word."""
    body = json.loads(request.content)
    called = any(message["role"] == "tool" for message in body["messages"])
    message: dict[str, Any] = {"role": "assistant", "content": Canary.word}
    if not called:
        function = {"name": "canary_tool", "arguments": json.dumps({"text": Canary.word})}
        message = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": function}],
        }
    whole = {"id": "c", "created": 0, "model": "canary"}
    finish = "stop" if called else "tool_calls"
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return http.Response(200, json={**whole, "object": "chat.completion", "choices": [choice]})
    for number, made in enumerate(message.get("tool_calls", ())):
        made["index"] = number
    choice = {"index": 0, "delta": message, "finish_reason": finish}
    chunk = {**whole, "object": "chat.completion.chunk", "choices": [choice]}
    text = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
    return http.Response(200, text=text, headers={"content-type": "text/event-stream"})
