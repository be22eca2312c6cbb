"""Repeated denials: one durable record, then an exact count.

A flood of refused calls must not buy one disk sync each. The first denial of a principal, rule and tool is recorded
at once; the ones that follow within a second are counted, and one record tells how many they were, and in which runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
# A model names tools as it likes: a flood of different names must not buy a sync each either.
MAX_OBJECTS = 16
_OTHERS = ""

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
    """The open windows. Not thread-safe: the log holds its lock.

    A denial is named by its kind (principal and rule) and its object (the tool). Up to ``MAX_OBJECTS`` objects of a
    kind are told apart in a second; whoever tries more is counted in one window for all the others.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, Window[First]]] = {}
        self._count = 0

    def open_window(self, name: tuple[str, str], monotonic: int) -> Window[First] | None:
        """The window that a denial falls into now, if one is open."""
        kind, about = name
        windows = self._kinds.get(kind, {})
        window = windows.get(about)
        if window is None and len(windows) > MAX_OBJECTS:
            window = windows.get(_OTHERS)
        return window if window is not None and monotonic < window.ends else None

    def begin(self, name: tuple[str, str], first: First, record: Mapping[str, Json], monotonic: int) -> None:
        """Open a window behind a record that is being written; a full table opens none."""
        if self._count >= MAX_WINDOWS:
            return
        kind, about = name
        windows = self._kinds.setdefault(kind, {})
        windows[about if len(windows) < MAX_OBJECTS else _OTHERS] = Window(first, record, monotonic + WINDOW_NS)
        self._count += 1

    def closed(self, monotonic: int | None) -> list[Window[First]]:
        """Take out the windows that are over; all of them when no time is given. Only those that counted something."""
        over = self._taken(lambda window: monotonic is None or monotonic >= window.ends)
        return [window for window in over if window.count]

    def drop(self, firsts: set[int]) -> int:
        """Forget the windows whose first record (by ``id``) was not stored; how many repeats they had counted."""
        return sum(window.count for window in self._taken(lambda window: id(window.first) in firsts))

    def wait_s(self, monotonic: int) -> float:
        """Seconds until the next window is over."""
        ends = (window.ends for windows in self._kinds.values() for window in windows.values())
        soonest = min(ends, default=None)
        return float("inf") if soonest is None else max(0.0, (soonest - monotonic) / 1e9)

    def _taken(self, wanted: Callable[[Window[First]], bool]) -> list[Window[First]]:
        names = [
            (kind, about) for kind, found in self._kinds.items() for about, window in found.items() if wanted(window)
        ]
        taken = [self._kinds[kind].pop(about) for kind, about in names]
        self._kinds = {kind: found for kind, found in self._kinds.items() if found}
        self._count -= len(taken)
        return taken
