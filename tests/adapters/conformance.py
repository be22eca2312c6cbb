"""What every framework adapter must do, as a table of cells that know no framework.

A cell is a surface, a mode and an action. A driver runs one small agent in its real framework, with a scripted model,
and reports what happened in the world: what the model read, what the tool ran with, what the caller got.
``expect`` judges that, the same for every framework.

``python -m tests.adapters.conformance`` writes the table of docs/frameworks.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from agentguard.decision import Effect, Rewrite, Verdict
from agentguard.event import Event, ModelInput, ModelOutput, ToolCall, ToolResult
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
    if cell.surface == "model input":
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


HEADER = """# Frameworks

Written by `python -m tests.adapters.conformance`; a test compares it with the suite that runs every cell in the real
framework. **B** blocks, **R** rewrites, **A** records and lets pass unchanged, each asserted on what the model read,
what the tool ran with and what the caller got. **deny**: something of ours is broken, and the event is refused and
recorded. **shadow**: recorded, and nothing changed. **-**: no such cell; the note says what happens instead.

"""

LIMITS = """
stream and astream read every stream mode (messages, updates, values, custom, debug); events reads `astream_events` v2.
retry and fallback use LangChain's own middleware. The suite has passed on langchain 1.2.11 with langgraph 1.1.10 (the
floor), on langchain 1.4.7 with langgraph 1.2.22, and on langchain 1.5.2 with langgraph 1.2.24.

Each attach runs a canary through the hooks in memory and refuses when one does not fire.

## LangChain: which part for what

* A new agent: `guarded_agent(model, tools, guard=guard)` guards model, tools and checkpointer, and puts
  `GuardMiddleware` outermost and innermost.
* Your own `create_agent` call: `middleware=[GuardMiddleware(guard)]`, and `checkpointer=guarded_checkpointer(saver,
  guard)`.
* `create_react_agent`, a `StateGraph`, plain nodes: `guarded_model`, `guarded_tool` (or a `ToolNode(tools,
  **tool_wrappers(guard))`) and `guarded_checkpointer`, run inside `with guard.conversation(principal, prompt):`.
* A retriever or a RAG chain: `guarded_retriever`, or `GuardCallbackHandler(guard)` in the chain's config.
* Something built already: `protect(target, guard)` covers it, or refuses and says why.

## LangChain: approval that waits

```python
agent = guarded_agent(model, tools, guard=guard, checkpointer=saver, approve_with="interrupt")
paused = agent.invoke(ask, config)  # paused["__interrupt__"]: one question a call
agent.invoke(resume_with(paused["__interrupt__"], approved=True), config)  # now, or in another process
```

A call that needs a person pauses the graph instead of being refused. The question is JSON: tool, arguments, why, the
values in doubt with their origin and sentence, expiry and digest, every text escaped. The digest covers tool, schema,
arguments, principal and whom it acts for, conversation, policy and expiry. When the graph goes on, the policy decides
again on the exact arguments, and a deny wins; the yes is looked up in `state.db` and used up by one statement. A yes
to another call, from another run, too late or used before is refused and recorded. `approval_ttl` is in seconds, one
day by default. A tool that pauses the graph itself after it was approved keeps its yes. In a graph without
`GuardMiddleware` open both parts with the same `guard.conversation(..., id=...)`. A `ToolNode` that gets several
calls at once runs all of them again after a pause: there, a second call that was approved before is refused.
`create_agent`, and `version="v2"` of `create_react_agent`, run each call by itself.

## LangChain: checkpoints

`guarded_checkpointer(saver, guard)` reads what is about to be stored, in every step and pending write, as the model
input it will become; it stores the checked copy and leaves the live run alone. What is refused is stored as words
that say so. `GuardMiddleware` refuses a raw checkpointer when the agent is built, and one that comes later (from the
graph around, or set by hand) at the first run, when that graph has stored its input already;
`allow_raw_checkpoints=True` accepts it. Bytes and objects without a JSON form cannot be checked: a run that keeps
them ends with `Denied`. A run that is resumed in another process is the same conversation for the same principal: its
request is the message it was entered by, and the tool results of its history are read again.

## LangChain: what remains outside

* A tracer is told of what models, tools and guarded retrievers read and answer as the guard left it, and nothing of a
  refused input. Of the input of a run, its graph, nodes and prompts it is told as the caller wrote it.
* `tool.func` and `tool._run` are the function itself. What a tool's own code sends with `dispatch_custom_event` goes to
  the callbacks as it is; what it writes to the custom stream is checked.
* Middleware nearer to the model than a single `GuardMiddleware` may swap in another model (a fallback), whose input is
  then not checked, or another tool, whose arguments are not; the answers are. `guarded_agent` closes this.
* A provider's own tools run at the provider; their definitions and what comes back are checked as model input and
  output.
* LangChain's response cache is off for a guarded model. A LangGraph node cache replays what a node returned without
  running it: a model reads it checked, the caller gets it as it was stored. Cache guarded nodes only.
* A model class that overrides `invoke` or `stream` itself and calls its provider there, past `_generate` and `_stream`,
  goes past the guard when called bare. In an agent with `GuardMiddleware` its answers are checked all the same.
* With `ToolNode(handle_tool_errors=True)` a tool's exception is recorded twice, once as raised and once in the words
  LangChain wraps around it.
* A stream that breaks off is recorded as far as it was read; text the filter still held is dropped.
* Of a streamed answer only text is read as it comes, up to what has to be judged whole; the arguments of tool calls,
  other content blocks, and text after these arrive whole, checked.
* In a compiled graph the models cannot be reached; `protect` refuses unless `observe_output_only=True` accepts that.
  Plain functions that its nodes call cannot be seen at all.
* A document block (`document`, `file`, `search_result`), messages made by `retrieved(...)`, and passages (not single
  values) that a guarded retriever or the handler has seen are quoted material where they stand in a human message;
  other pasted text cannot be told apart.
* A sub-agent started in a bare `threading.Thread` has lost its run: it acts as a new one, without a name as nobody, who
  may use no tool. With a name, the message it is entered by counts as its user's. Start it with
  `contextvars.copy_context().run`, or in LangChain's own executors, and it is a child of the run that started it.
"""


def document(drivers: list[Driver]) -> str:
    """The whole page."""
    return HEADER + "\n".join(table(driver) for driver in drivers) + LIMITS


def main() -> None:
    """Write docs/frameworks.md."""
    import pathlib

    from tests.adapters.langchain_driver import LangChainDriver

    page = pathlib.Path(__file__).parents[2] / "docs" / "frameworks.md"
    page.write_text(document([LangChainDriver()]), encoding="utf-8")


if __name__ == "__main__":
    main()
