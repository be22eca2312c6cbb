"""Repeated denials: one durable record, then an exact count.

A flood of refused calls must not buy one disk sync each. The first denial of a principal and rule is recorded at once;
the ones that follow within a second are counted, and one record tells how many they were, over which tools and runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from agentguard.audit.record import field_values, stamp
from agentguard.event import Json

__all__ = ["Repeats", "Window"]

EVENT = "decision-repeats"
WINDOW_NS = 1_000_000_000
# More principals at a time than this are recorded one by one: the memory is bounded, and no record is lost.
MAX_WINDOWS = 4096
MAX_NAMES = 20

_KEPT = ("event", "decision", "reason", "rules", "principal.id", "principal.kind", "user.id", "session.id", "framework")
_GATHERED = ("gen_ai.tool.name", "run.id", "gen_ai.conversation.id")

First = TypeVar("First")


@dataclass(slots=True)
class Window(Generic[First]):
    """One second of one kind of denial. ``first`` stands for the record on disk."""

    first: First
    record: Mapping[str, Json] = field(repr=False)
    ends: int
    count: int = 0
    times: tuple[int, int] = (0, 0)
    names: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Json], now: int) -> None:
        """Count one more, handed in at ``now`` (nanoseconds since the epoch)."""
        self.times = (self.times[0] if self.count else now, now)
        self.count += 1
        for name in _GATHERED:
            seen = self.names.setdefault(name, {})
            for value in field_values(record, name):
                if len(seen) < MAX_NAMES:
                    seen[value] = None

    def summary(self) -> dict[str, Json]:
        """The record of the repeats, without the first."""
        return {
            "type": EVENT,
            **{name: self.record.get(name) for name in _KEPT},
            **{name: list(self.names.get(name, ())) for name in _GATHERED},
            "decision.id": self.record.get("decision.id"),
            "count": self.count,
            "first_time": stamp(self.times[0]),
            "last_time": stamp(self.times[1]),
        }


class Repeats(Generic[First]):
    """The open windows. Not thread-safe: the log holds its lock."""

    def __init__(self) -> None:
        self._windows: dict[str, Window[First]] = {}

    def open_window(self, key: str, monotonic: int) -> Window[First] | None:
        """The window that a denial of this kind falls into now, if one is open."""
        window = self._windows.get(key)
        return window if window is not None and monotonic < window.ends else None

    def begin(self, key: str, first: First, record: Mapping[str, Json], monotonic: int) -> None:
        """Open a window behind a record that is being written; a full table opens none."""
        if len(self._windows) < MAX_WINDOWS:
            self._windows[key] = Window(first, record, monotonic + WINDOW_NS)

    def closed(self, monotonic: int | None) -> list[Window[First]]:
        """Take out the windows that are over; all of them when no time is given. Only those that counted something."""
        over = [key for key, window in self._windows.items() if monotonic is None or monotonic >= window.ends]
        return [window for window in (self._windows.pop(key) for key in over) if window.count]

    def drop(self, firsts: set[int]) -> int:
        """Forget the windows whose first record (by ``id``) was not stored; how many repeats they had counted."""
        gone = [key for key, window in self._windows.items() if id(window.first) in firsts]
        return sum(self._windows.pop(key).count for key in gone)

    def wait_s(self, monotonic: int) -> float:
        """Seconds until the next window is over."""
        soonest = min((window.ends for window in self._windows.values()), default=None)
        return float("inf") if soonest is None else max(0.0, (soonest - monotonic) / 1e9)
