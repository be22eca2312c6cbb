"""MCP messages as events, and events read back into them: JSON in, JSON out, whoever carries it.

A tool is called by its name in the policy: the server's name of it, behind the prefix of the server. Reading a
resource, asking for a prompt and the like are calls too, of a tool named as the method (``resources/read``), so that a
policy permits them or not like any other.
"""

from __future__ import annotations

from agentguard import AdapterError, Denied, Json, Message, ModelInput, ToolCall, ToolResult
from agentguard.adapter import REFUSED, Passage

__all__ = [
    "CALL",
    "CAPABILITIES",
    "FROM_CLIENT",
    "FROM_SERVER",
    "GREETING",
    "LISTS",
    "OPEN",
    "REVERSE",
    "USES",
    "Fault",
    "Object",
    "call_passage",
    "definition_passage",
    "refused_result",
    "result_passage",
    "text_passage",
    "words",
]

Object = dict[str, Json]

CALL = "tools/call"
GREETING = "initialize"
# What a server may promise of which every message is known here.
CAPABILITIES = frozenset({"tools", "resources", "prompts", "completions", "logging"})
# Lists of a server, and the key under which each holds what it lists.
LISTS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
# Requests that are judged as calls of a tool of their name.
USES = frozenset(
    {"resources/read", "prompts/get", "completion/complete", "resources/subscribe", "resources/unsubscribe"}
)
# Requests without words: their answer is empty.
OPEN = frozenset({"ping", "logging/setLevel"})
# What a server may ask of a client. Judged as calls of a tool of that name: refused until the policy names them.
REVERSE = frozenset({"sampling/createMessage", "elicitation/create", "roots/list"})
FROM_CLIENT = frozenset(
    {
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
        "notifications/roots/list_changed",
    }
)
FROM_SERVER = frozenset(
    {
        "notifications/cancelled",
        "notifications/progress",
        "notifications/message",
        "notifications/tools/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
        "notifications/prompts/list_changed",
    }
)


class Fault(Exception):
    """The other side answered with an error. ``error`` is the error object of JSON-RPC: code, message, data."""

    def __init__(self, error: Object) -> None:
        super().__init__(str(error.get("message", "")))
        self.error = error


def words(refusal: Denied) -> str:
    """What may be said of a refusal, to a model or to a peer."""
    return str(refusal) or REFUSED


def refused_result(refusal: Denied) -> Object:
    """The result of a tool call that was refused: the model reads why."""
    return {"content": [{"type": "text", "text": words(refusal)}], "isError": True}


def call_passage(tool: str, call_id: str | None) -> Passage[Object, ToolCall]:
    """The arguments of a call."""
    return Passage(
        event=lambda args: ToolCall(tool, args, call_id),
        apply=lambda _args, _before, after: after.args,
        nearest=lambda: ToolCall(tool, {}, call_id),
    )


def result_passage(call: ToolCall) -> Passage[Object, ToolResult]:
    """Everything that came back from ``call``: content, its structured copy, and what stands beside them."""
    return Passage(
        event=lambda result: ToolResult(
            call.tool, call.args, result, call.call_id, result.get("isError") is True or "error" in result
        ),
        apply=lambda _result, _before, after: _object(after.content),
        nearest=lambda: ToolResult(call.tool, call.args, None, call.call_id),
    )


def text_passage(author: str) -> Passage[Object, ModelInput]:
    """Words that no call asked for: instructions of a server, log messages, progress."""
    return Passage(
        event=lambda said: ModelInput((Message(author, said),), is_call=False),
        apply=lambda _said, _before, after: _object(after.messages[0].content),
        nearest=lambda: ModelInput((), is_call=False),
    )


def definition_passage(prefix: str) -> Passage[Object, ModelInput]:
    """A tool on offer, under its name in the policy."""

    def apply(definition: Object, before: ModelInput, after: ModelInput) -> Object:
        new = _object(after.tools[0])
        if new.get("name") != _object(before.tools[0])["name"]:
            raise AdapterError("the name of a tool cannot be replaced")
        return {**new, "name": definition["name"]}

    return Passage(
        event=lambda definition: ModelInput((), (_named(definition, prefix),), is_call=False),
        apply=apply,
        nearest=lambda: ModelInput((), is_call=False),
    )


def _named(definition: Object, prefix: str) -> Json:
    if not isinstance(definition.get("name"), str):
        raise AdapterError("a tool without a name was offered")
    # Every definition of the protocol has a schema; one without must not look like another framework's.
    return {"inputSchema": {}, **definition, "name": f"{prefix}{definition['name']}"}


def _object(value: Json) -> Object:
    if not isinstance(value, dict):
        raise AdapterError("a message was rewritten into something that is no object")
    return value
