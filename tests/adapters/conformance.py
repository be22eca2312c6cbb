"""What every framework adapter must do, as a table of cells that know no framework.

A cell is a surface, a mode and an action. A driver runs one small agent in its real framework, with a scripted model,
and reports what happened in the world: what the model read, what the tool ran with, what the caller got.
``expect`` judges that, the same for every framework.

``python -m tests.adapters.conformance`` writes the table of docs/frameworks.md.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from agentguard.decision import Effect, Rewrite, Verdict
from agentguard.event import AgentMessage, Event, ModelInput, ModelOutput, ToolCall, ToolResult
from agentguard.guard import Guard
from agentguard.testing import Record, RecordingSink, ScriptedStage

# Split in the middle by every driver that streams.
SECRET = "sk-" + "live" + "0123456789abcdef"
MASK = "[SECRET]"

SURFACES = (
    "model input",
    "model output",
    "streamed tokens",
    "streamed tool arguments",
    "tool call",
    "tool result",
    "custom stream",
    "structured output (tool)",
    "structured output (provider)",
    "retrieved passage",
    "stored history",
    "sub-agent in a tool",
    "hand-off",
)
ACTIONS = ("block", "rewrite", "record")
# Modes in which every action is tried.
MODES = (
    "sync",
    "async",
    "stream",
    "astream",
    "events",
    "batch",
    "abatch",
    "parallel tools",
    "handled errors",
    "retry",
    "fallback",
    "twice",
)
# Modes in which something of ours is broken, or switched to shadow: the outcome is given.
FAULTS = ("stage raises", "adapter error", "shadow")

EVENTS: dict[str, type] = {
    "model input": ModelInput,
    "model output": ModelOutput,
    "streamed tokens": ModelOutput,
    "streamed tool arguments": ModelOutput,
    "tool call": ToolCall,
    "tool result": ToolResult,
    "custom stream": ToolResult,
    "structured output (tool)": ModelOutput,
    "structured output (provider)": ModelOutput,
    "retrieved passage": ModelInput,
    "stored history": ModelInput,
    "sub-agent in a tool": ModelOutput,
    "hand-off": AgentMessage,
}
# Surfaces whose texts are on their way into a prompt or a store: no model is called with the event.
AT_REST = frozenset({"retrieved passage", "stored history"})


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination."""

    surface: str
    mode: str
    action: str

    def __str__(self) -> str:
        return f"{self.surface} / {self.mode} / {self.action}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened in the world. ``runs`` is how many agent runs the mode made."""

    model_read: tuple[str, ...]
    tool_args: tuple[str, ...]
    caller_got: str
    runs: int = 1
    attempts: int = 1
    raised: str = ""


class Driver(Protocol):
    """Runs cells in one framework."""

    framework: str

    def impossible(self, cell: Cell) -> str | None:
        """Why the framework has no such cell, and what happens instead; None when it has."""

    def run(self, cell: Cell, guard: Guard) -> Outcome:
        """Run the agent of this cell. The words under guard are ``SECRET``, on the cell's surface only."""


def cells() -> Iterator[Cell]:
    """The whole table."""
    for surface in SURFACES:
        yield from (Cell(surface, mode, action) for mode in MODES for action in ACTIONS)
        yield Cell(surface, "stage raises", "block")
        yield Cell(surface, "adapter error", "block")
        yield Cell(surface, "shadow", "block")


def judged(driver: Driver, cell: Cell) -> None:
    """Run one cell and hold its outcome against what must be."""
    sink = RecordingSink()
    stage = ScriptedStage(lambda event: _answer(cell, event))
    guard = Guard(stages=[stage], audit=sink, agent="outer", mode="shadow" if cell.mode == "shadow" else "enforce")
    expect(cell, driver.run(cell, guard), sink.records)


def expect(cell: Cell, outcome: Outcome, records: list[Record]) -> None:
    """The rules, for every framework alike."""
    touched = [r for r in records if _concerns(cell, r.event)]
    assert touched or cell.mode == "adapter error", "the surface's event was recorded"
    if cell.mode == "shadow" or cell.action == "record":
        assert not outcome.raised
        assert SECRET in _downstream(cell, outcome), "an allowed event goes on unchanged"
        assert MASK not in _downstream(cell, outcome)
        assert all(r.decision.allowed for r in records)
    else:
        assert SECRET not in _downstream(cell, outcome), "nothing refused or rewritten gets through"
        assert SECRET not in outcome.raised
    if cell.action == "rewrite":
        assert MASK in _downstream(cell, outcome), "the rewritten text goes on"
    if cell.action == "block" and cell.mode != "shadow":
        assert any(r.decision.effect is Effect.DENY for r in records)
        _expect_stopped(cell, outcome)
    if cell.mode in ("twice", "sync", "async"):
        _expect_once(cell, records)


def _expect_stopped(cell: Cell, outcome: Outcome) -> None:
    if cell.surface == "model input":
        assert outcome.model_read == (), "a refused model is not called"
    if cell.surface == "tool call" and cell.mode != "adapter error":
        wanted = ("other",) * outcome.runs if cell.mode == "parallel tools" else ()
        assert outcome.tool_args == wanted, "a refused tool does not run, its neighbour does"


def _expect_once(cell: Cell, records: list[Record]) -> None:
    calls = [(type(r.event), r.run.id, repr(r.event)) for r in records]
    assert len(calls) == len(set(calls)), "no event is checked and recorded twice"


def _downstream(cell: Cell, outcome: Outcome) -> str:
    """Everything beyond the surface, where a refused text must not arrive and an allowed one must."""
    if cell.surface in ("model input", "hand-off"):
        return " ".join(outcome.model_read)
    if cell.surface == "tool call":
        return " ".join(outcome.tool_args)
    if cell.surface in ("tool result", "sub-agent in a tool", "retrieved passage"):
        return " ".join((*outcome.model_read, outcome.caller_got))
    return outcome.caller_got


def _answer(cell: Cell, event: Event) -> Verdict | None:
    if not _concerns(cell, event):
        return None
    if cell.mode == "stage raises":
        # LangChain swallows just this one out of callbacks.
        raise NotImplementedError("a stage with a bug")
    if cell.action == "block":
        return Verdict(Effect.DENY, reason="test-denied", message="Refused by the test.")
    if cell.action == "record":
        return None
    found = [leaf for leaf in event.leaves() if SECRET in leaf.text]
    return Verdict(obligations=tuple(Rewrite(leaf.path, leaf.text.replace(SECRET, MASK)) for leaf in found))


def _concerns(cell: Cell, event: Event) -> bool:
    at_rest = isinstance(event, ModelInput) and not event.is_call
    return isinstance(event, EVENTS[cell.surface]) and at_rest == (cell.surface in AT_REST) and _holds(event)


def _holds(event: Event) -> bool:
    return any(SECRET in leaf.text for leaf in event.leaves())


# -- the printed table -----------------------------------------------------------------------------------------------


def table(driver: Driver) -> str:
    """The table in Markdown: one row a surface, one column a mode. Every mark stands for tests that ran."""
    modes = (*MODES, *FAULTS)
    lines = [f"| {driver.framework} | " + " | ".join(modes) + " |", "|---" * (len(modes) + 1) + "|"]
    notes: list[str] = []
    for surface in SURFACES:
        marks = [_mark(driver, surface, mode, notes) for mode in modes]
        lines.append(f"| {surface} | " + " | ".join(marks) + " |")
    return "\n".join([*lines, "", *(f"{number}. {note}" for number, note in enumerate(notes, 1)), ""])


def _mark(driver: Driver, surface: str, mode: str, notes: list[str]) -> str:
    found = [cell for cell in cells() if cell.surface == surface and cell.mode == mode]
    reasons = [reason for cell in found if (reason := driver.impossible(cell)) is not None]
    if not reasons:
        return "shadow" if mode == "shadow" else "deny" if mode in FAULTS else "B R A"
    if reasons[0] not in notes:
        notes.append(reasons[0])
    return f"- ({notes.index(reasons[0]) + 1})"


PAGE = pathlib.Path(__file__).parents[2] / "docs" / "frameworks.md"


def section(page: str, driver: Driver) -> str:
    """``page`` with the table of one framework written anew, between its marks."""
    start, end = f"<!-- table: {driver.framework} -->\n", f"<!-- end: {driver.framework} -->"
    before, _, rest = page.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"docs/frameworks.md has no place for {driver.framework}: {start.strip()} ... {end}")
    return f"{before}{start}\n{table(driver)}\n{end}{after}"


def main() -> None:
    """Write the tables of the frameworks installed here into docs/frameworks.md."""
    from tests.adapters.drivers import installed

    page = PAGE.read_text(encoding="utf-8")
    for adapter in installed():
        page = section(page, adapter.make())
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
