"""Flooding by repetition: a long run of one block, of any period up to 1,000, found in linear time.

A probe at every multiple of its own length is looked up in what follows; one that recurs within four lengths gives the
period, and comparing slices extends the run. Three probe lengths cover all periods.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Run", "repeated_run"]

MAX_PERIOD = 1000
# Shorter runs are rules, table borders and rows of asterisks.
MIN_RUN = 256
# In a longer text a run must also take this share to be the text's point.
MIN_SHARE = 0.2
MIN_REPEATS = 3
_PROBES = (16, 64, 256)
# Periods up to this many probe lengths are seen; with the largest probe that covers MAX_PERIOD.
REACH = 4


@dataclass(frozen=True, slots=True)
class Run:
    """``[start, end)`` repeats its first ``period`` characters."""

    start: int
    end: int
    period: int


def repeated_run(text: str) -> Run | None:
    """The first run long enough for the text's length, or None."""
    needed = max(MIN_RUN, int(len(text) * MIN_SHARE))
    if len(text) < needed:
        return None
    for probe in _PROBES:
        at = 0
        while at + 2 * probe <= len(text):
            again = text.find(text[at : at + probe], at + 1, at + (REACH + 1) * probe)
            if again < 0 or again - at > MAX_PERIOD:
                at += probe
                continue
            run = _extended(text, at, again - at)
            if run.end - run.start >= max(needed, MIN_REPEATS * run.period):
                return run
            at = max(at + probe, run.end - probe)
    return None


def _extended(text: str, start: int, period: int) -> Run:
    end = start + period
    step = period
    while step:
        if text[end : end + step] == text[end - period : end - period + step] and end + step <= len(text):
            end += step
            step = min(step * 2, end - start)
        else:
            step //= 2
    while start > 0 and text[start - 1] == text[start - 1 + period]:
        start -= 1
    return Run(start, end, period)
