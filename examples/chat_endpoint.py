"""Guard a chat endpoint that streams (Starlette, and so FastAPI): server-sent events, redacted while they are made."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from agentguard import Conversation, Guard, Message, ModelInput, ModelOutput, Principal, SecurityError

Model = Callable[[str], AsyncIterator[str]]  # a prompt to pieces of an answer: your model's streaming call


class ClientGone(SecurityError):
    """The reason in the log when nobody was there to read the rest."""

    code = "client-disconnected"


def make_app(guard: Guard, model: Model) -> Starlette:
    """The application. Its policy is chat.yaml."""

    async def chat(request: Request) -> StreamingResponse:
        prompt = str((await request.json())["message"])
        return StreamingResponse(_events(guard, model, prompt), media_type="text/event-stream")

    return Starlette(routes=[Route("/chat", chat, methods=["POST"])])


async def _events(guard: Guard, model: Model, prompt: str) -> AsyncIterator[str]:
    run, answer, sent = Conversation(principal=Principal("chat"), request=prompt), "", ""
    asked = await guard.acheck(ModelInput((Message("user", prompt),)), run=run)
    if not asked.allowed or not isinstance(asked.event, ModelInput):
        yield _event("error", reason=asked.reason, message=asked.message)
        return
    passing = guard.stream_filter(run)
    try:
        async for piece in model(str(asked.event.messages[0].content)):
            answer += piece
            if passing and (ready := passing.feed(piece)):
                sent += ready
                yield _event("text", text=ready)
    except BaseException as error:
        lost = error if isinstance(error, Exception) else ClientGone("the client went away")
        guard.failed(ModelOutput(Message("assistant", answer)), lost, run=run)
        raise
    said = await guard.acheck(ModelOutput(Message("assistant", answer)), run=run)
    if not said.allowed or not isinstance(said.event, ModelOutput):
        yield _event("error", reason=said.reason, message=said.message)
        return
    yield _event("text", text=str(said.event.message.content)[len(sent) :]) + _event("done")


def _event(name: str, **data: str) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
