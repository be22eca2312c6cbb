"""Definitions of tools pinned by hash: what a tool says of itself is part of what was reviewed.

A tool's description, schemas and annotations are read by the model, and whoever runs the server may change them after
the review. A pin in the policy is ``sha256:`` and the SHA-256 (hexadecimal) over the canonical JSON of the definition,
in the spirit of RFC 8785: the order of keys and the way characters are escaped do not matter, every word does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Verdict
from agentguard.event import Event, Json, ModelInput, ToolCall
from agentguard.policy.policy import Policy

__all__ = ["REQUIRED", "Pins", "is_definition", "pin_of"]

# Written in place of a hash: nobody has reviewed the definition yet, so the tool is refused.
REQUIRED = "required"
# The name may carry a prefix of ours, and ``_meta`` holds what libraries tell each other.
_UNPINNED = frozenset({"name", "_meta"})


def is_definition(tool: Json) -> bool:
    """Whether ``tool`` is a definition as MCP servers give it: it has a name and an ``inputSchema``."""
    return isinstance(tool, dict) and isinstance(tool.get("name"), str) and "inputSchema" in tool


def pin_of(definition: Mapping[str, Json]) -> str:
    """The pin of a tool definition. Absent and null fields are the same; the name is not part of it."""
    said: dict[str, Json] = {
        key: {name: item for name, item in value.items() if item is not None} if isinstance(value, dict) else value
        for key, value in definition.items()
        if key not in _UNPINNED and value is not None
    }
    canonical = json.dumps(_plain(said), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return "sha256:" + hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _plain(value: Json) -> Json:
    """1 and 1.0 are one number in JSON."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


class Pins:
    """Refuses a tool whose definition is not the pinned one, where it is offered and where it is called.

    A pinned tool whose definition no adapter has shown in this run cannot be called: a pin that is never compared
    would protect nothing.
    """

    name = "pins"
    blocking = False

    def __init__(self, policy: Policy) -> None:
        self._pins = {name: rule.pin for name, rule in policy.tools.items() if rule.pin}
        self._shadowed = frozenset(name for name, rule in policy.tools.items() if rule.mode == "shadow")

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Deny ``tool-changed``, ``tool-unpinned`` (the policy waits for a pin) or ``tool-unverified``."""
        if isinstance(event, ModelInput):
            for tool in event.tools:
                verdict = self._offered(tool, run)
                if verdict is not None:
                    return verdict
        elif isinstance(event, ToolCall) and event.tool in self._pins:
            return self._called(event.tool, run)
        return ALLOW

    def _offered(self, tool: Json, run: Conversation) -> Verdict | None:
        if not isinstance(tool, dict) or not is_definition(tool):
            return None
        name = str(tool["name"])
        pin = self._pins.get(name)
        if pin is None:
            return None
        seen = run.slot(_Seen, _Seen)
        seen.matches[name] = matches = pin_of(tool) == pin
        return None if matches else self._refused(name, "tool-unpinned" if pin == REQUIRED else "tool-changed")

    def _called(self, name: str, run: Conversation) -> Verdict:
        link: Conversation | None = run
        while link is not None:
            matches = link.slot(_Seen, _Seen).matches.get(name)
            if matches is not None:
                reason = "tool-unpinned" if self._pins[name] == REQUIRED else "tool-changed"
                return ALLOW if matches else self._refused(name, reason)
            link = link.parent
        return self._refused(name, "tool-unverified")

    def _refused(self, name: str, reason: str) -> Verdict:
        rule = f"tools.{name}.pin"
        message = _MESSAGES[reason].format(name=name)
        return Verdict(
            Effect.DENY,
            findings=(Finding("policy.pin", rule, message=message),),
            reason=reason,
            message=message,
            rules=(rule,),
            shadow=name in self._shadowed,
        )


_MESSAGES = {
    "tool-changed": "The definition of {name} is not the one that was reviewed.",
    "tool-unpinned": "The definition of {name} has not been reviewed yet.",
    "tool-unverified": "The definition of {name} was not shown, so it cannot be compared with the one reviewed.",
}


class _Seen:
    """Which definitions a run has been shown, and whether they are the pinned ones. Only names of the policy."""

    def __init__(self) -> None:
        self.matches: dict[str, bool] = {}
