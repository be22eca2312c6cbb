"""Microseconds per event, stage by stage, against the real log; medians over many events of about 1 KB."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from agentguard import (
    Conversation,
    Decision,
    Event,
    Guard,
    Message,
    ModelInput,
    ModelOutput,
    Principal,
    ToolCall,
    ToolResult,
)
from benchmarks.report import Row, Table

ROUNDS = 400

_SENTENCE = "The invoice of {n} was checked by the second clerk and filed under the letter of the town. "


def _text(n: int) -> str:
    """About 1 KB of plain prose that differs per event, so that no cache answers."""
    return "".join(_SENTENCE.format(n=n * 100 + line) for line in range(11))


def _prompt(n: int) -> Event:
    return ModelInput((Message("system", "You file invoices."), Message("user", _text(n))))


def _answer(n: int) -> Event:
    return ModelOutput(Message("assistant", _text(n)))


def _read(n: int) -> Event:
    return ToolCall("lookup", {"id": str(n)})


def _result(n: int) -> Event:
    return ToolResult("lookup", {"id": str(n)}, {"id": n, "text": _text(n)})


def _send(n: int) -> Event:
    return ToolCall("send_mail", {"to": "anna@example.com", "body": _text(n)})


EVENTS: tuple[tuple[str, Callable[[int], Event]], ...] = (
    ("model input, 1 KB", _prompt),
    ("model output, 1 KB", _answer),
    ("tool call that reads", _read),
    ("tool result, 1 KB", _result),
    ("tool call that sends, durable record", _send),
)


def measure(guard: Guard) -> Table:
    """One row per kind of event: the whole check, and the median of every stage."""
    stages = [stage.name for stage in guard.stages]
    rows = []
    for name, make in EVENTS:
        run = Conversation(principal=Principal("bench"), request="Look up 1 and mail anna@example.com.")
        total, decisions = _timed(guard, make, run)
        medians = [statistics.median(_stage_us(decisions, stage)) for stage in stages]
        rows.append(Row(name, f"{statistics.median(total):.0f}", *(f"{value:.1f}" for value in medians)))
    return Table("Microseconds per event (median)", ("event", "check()", *stages), tuple(rows))


def _timed(guard: Guard, make: Callable[[int], Event], run: Conversation) -> tuple[list[float], list[Decision]]:
    total, decisions = [], []
    for n in range(ROUNDS):
        event = make(n)
        started = time.perf_counter_ns()
        decision = guard.check(event, run=run)
        total.append((time.perf_counter_ns() - started) / 1e3)
        decisions.append(decision)
    return total[ROUNDS // 10 :], decisions[ROUNDS // 10 :]


def _stage_us(decisions: list[Decision], stage: str) -> Iterator[float]:
    for decision in decisions:
        yield dict(decision.stage_ns).get(stage, 0) / 1e3
