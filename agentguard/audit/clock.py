"""The time a log stands under: handed in, so that tests bring their own."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Clock"]


class Clock(Protocol):
    """Wall and monotonic time in nanoseconds; the ``time`` module is one."""

    def time_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...
