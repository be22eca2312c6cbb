"""The researcher: an agent that has a tool which is the writer, in another process. Takes the writer's port."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from agentguard import Guard, Home, Principal, open_identity
from agentguard_langchain import guarded_agent, remote_agent

POLICY = Path(__file__).with_name("agents.yaml")


class Delegating(BaseChatModel):
    """Stands where your chat model goes. It asks the writer, and hands on what the writer says."""

    @property
    def _llm_type(self) -> str:
        return "delegating"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _generate(self, messages: list[Any], stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            answer = AIMessage(f"The writer says: {last.content}")
        else:
            call = {"name": "ask_writer", "args": {"task": str(last.content)}, "id": "1", "type": "tool_call"}
            answer = AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def main(port: int) -> None:
    home = Home.open(".agentguard")
    with Guard.from_file(POLICY) as guard:
        source = open_identity(home, "researcher")
        writer = source.current().spiffe_id.of_agent(source.current().spiffe_id.trust_domain, "writer")
        with remote_agent(guard, source, ("127.0.0.1", port), writer, topic="draft") as remote:
            tool = remote.as_agent_tool("ask_writer", "Ask the writer for a text.")
            agent = guarded_agent(Delegating(), [tool], guard=guard, agent="researcher")
            # The user was verified by the application; the writer acts for the same one.
            config: Any = {"configurable": {"agentguard_principal": Principal("anna", kind="user")}}
            state = agent.invoke({"messages": [("user", "Write one line about lamps.")]}, config)
        source.close()
    print(state["messages"][-1].content)


if __name__ == "__main__":
    main(int(sys.argv[1]))
