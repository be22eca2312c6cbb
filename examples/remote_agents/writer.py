"""The writer: an agent in a process of its own, asked over mutual TLS. Prints its port and serves until stopped."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from agentguard import Guard, Home, open_identity
from agentguard_langchain import guarded_agent, serve_agent

POLICY = Path(__file__).with_name("agents.yaml")


class Writing(BaseChatModel):
    """Stands where your chat model goes: init_chat_model("provider:name")."""

    @property
    def _llm_type(self) -> str:
        return "writing"

    def _generate(self, messages: list[Any], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        asked = str(messages[-1].content)
        text = f"A lamp is patient light. (asked: {asked})"
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


async def main() -> None:
    home = Home.open(".agentguard")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with Guard.from_file(POLICY) as guard:
        source = open_identity(home, "writer")
        agent = guarded_agent(Writing(), guard=guard, agent="writer")
        async with serve_agent(guard, agent, source=source, topic="draft") as server:
            print(server.address[1], flush=True)
            await stop.wait()
        source.close()


if __name__ == "__main__":
    asyncio.run(main())
