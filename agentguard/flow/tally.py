"""How often each tool was called in a run, so that one mail asked for stays one mail sent.

A call counts from the moment it passes, so that parallel calls see each other; one that was put to a person counts when
its result shows that it ran. An error gives the place back, and the same call with the same id again, before any result
of it was seen, is a retry and takes no second place; with another id, or none, it is another call. A refusal, which
some frameworks report as a result, takes none.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from typing import TypeAlias

from agentguard.event import ToolCall, ToolResult

__all__ = ["Tally"]

# Calls that passed and brought no result yet. Past it the oldest count as done.
MAX_PENDING = 1_000

# Tool, arguments, and the id that the model gave the call.
_Key: TypeAlias = tuple[str, str, str | None]


class Tally:
    """The calls of one run and its sub-agents: ``run.slot(Tally, Tally)``. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: Counter[str] = Counter()
        self._pending: Counter[_Key] = Counter()
        self._asked: dict[_Key, None] = {}

    def take(self, call: ToolCall, limit: int | None) -> bool:
        """Whether one more call stays within ``limit`` (None: no limit); when it does, it counts from now on."""
        with self._lock:
            key = _key(call)
            if call.call_id is not None and key in self._pending:
                return True
            if limit is not None and self._count(call.tool) >= limit:
                return False
            self._pending[key] += 1
            if len(self._pending) > MAX_PENDING:
                tool, *_ = oldest = next(iter(self._pending))
                self._done[tool] += self._pending.pop(oldest)
            return True

    def asked(self, call: ToolCall) -> None:
        """The call was put to a person: it counts once a result of it is seen."""
        with self._lock:
            self._asked[_key(call)] = None
            if len(self._asked) > MAX_PENDING:
                del self._asked[next(iter(self._asked))]

    def settle(self, result: ToolResult) -> None:
        """A call ended: it counts for good, or, after an error, no longer."""
        key = _key(result)
        with self._lock:
            known = key in self._pending or key in self._asked
            if key in self._pending:
                self._pending[key] -= 1
                if not self._pending[key]:
                    del self._pending[key]
            else:
                self._asked.pop(key, None)
            if known and not result.is_error:
                self._done[result.tool] += 1

    def _count(self, tool: str) -> int:
        """How many calls of ``tool`` passed."""
        return self._done[tool] + sum(count for (name, *_), count in self._pending.items() if name == tool)


def _key(event: ToolCall | ToolResult) -> _Key:
    spelt = json.dumps(event.args, sort_keys=True, separators=(",", ":"))
    return event.tool, hashlib.sha256(spelt.encode()).hexdigest(), event.call_id
