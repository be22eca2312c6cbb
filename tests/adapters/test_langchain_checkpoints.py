"""What a graph keeps of a run: read from the raw storage, every step, every pending write."""

from __future__ import annotations

import asyncio
import operator
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel

from agentguard.decision import Effect, Verdict
from agentguard.errors import AdapterError, Denied
from agentguard.event import Event, ModelInput
from agentguard_langchain import GuardMiddleware, guarded_agent, guarded_checkpointer, protect, tool_wrappers
from tests.adapters.conformance import MASK, SECRET
from tests.adapters.langchain_driver import ScriptedModel
from tests.adapters.test_langchain import ASK, Setup, look_up, redacting

THREAD: Any = {"configurable": {"thread_id": "t"}}
LEAKY: Any = {"messages": [HumanMessage(f"mine is {SECRET}", id="h")]}


class Storage:
    """A saver, and every byte it keeps."""

    def __init__(self, kind: str, path: Path) -> None:
        self.path = path
        self.saver: Any = InMemorySaver()
        if kind == "sqlite":
            self.saver = SqliteSaver(sqlite3.connect(path / "graph.db", check_same_thread=False))

    def close(self) -> str:
        """Everything stored, as text."""
        if isinstance(self.saver, InMemorySaver):
            return repr(dict(self.saver.storage)) + repr(dict(self.saver.writes)) + repr(self.saver.blobs)
        self.saver.conn.close()
        return "".join(file.read_bytes().decode("latin-1") for file in self.path.iterdir())


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """One of the savers."""
    return Storage(request.param, tmp_path)


def refusing(event: Event) -> Verdict | None:
    """A stage's answer that refuses stored texts and model inputs with the secret."""
    if isinstance(event, ModelInput) and any(SECRET in leaf.text for leaf in event.leaves()):
        return Verdict(Effect.DENY, reason="test-denied", message="Refused by the test.")
    return None


def drive(graph: Any, value: Any, mode: str, config: Any = THREAD, **options: Any) -> Any:
    """Run to the end in one of the ways there are."""
    if mode == "invoke":
        return graph.invoke(value, config, **options)
    if mode == "stream":
        return list(graph.stream(value, config, **options))

    async def run() -> Any:
        if mode == "ainvoke":
            return await graph.ainvoke(value, config, **options)
        return [part async for part in graph.astream(value, config, **options)]

    return asyncio.run(run())


# -- agents ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["async", "sync", "exit"])
@pytest.mark.parametrize("answer", [redacting, refusing], ids=["redacted", "refused"])
def test_history_of_an_agent_is_clean(
    storage: Storage, durability: str, answer: Callable[[Event], Verdict | None]
) -> None:
    """User, model, tool call and tool result: none of it stands raw in any step or write."""
    setup = Setup(answer)
    model = ScriptedModel(calls=[{"name": "look_up", "args": {"text": SECRET}, "id": "1"}], final=f"it is {SECRET}")
    agent = guarded_agent(model, [look_up], guard=setup.guard, checkpointer=storage.saver)

    drive(agent, LEAKY, "invoke", durability=durability)
    steps = [state.metadata["step"] for state in agent.get_state_history(THREAD)]

    assert steps[-1] == -1 or durability == "exit"
    assert SECRET not in repr(list(agent.get_state_history(THREAD)))
    assert SECRET not in storage.close()


@pytest.mark.parametrize("mode", ["invoke", "stream", "ainvoke", "astream"])
def test_every_way_to_run_stores_clean(mode: str) -> None:
    """The saver in memory has both forms."""
    saver = InMemorySaver()
    agent = guarded_agent(ScriptedModel(final=SECRET), [], guard=Setup().guard, checkpointer=saver)

    drive(agent, LEAKY, mode)

    raw = repr(dict(saver.storage)) + repr(dict(saver.writes)) + repr(saver.blobs)
    assert SECRET not in raw
    assert MASK in raw


async def test_async_sqlite(tmp_path: Path) -> None:
    """A saver that only has the asynchronous form."""
    file = tmp_path / "graph.db"
    async with AsyncSqliteSaver.from_conn_string(str(file)) as saver:
        agent = guarded_agent(ScriptedModel(final=SECRET), [], guard=Setup().guard, checkpointer=saver)

        await agent.ainvoke(LEAKY, THREAD)
        state = await agent.aget_state(THREAD)

    stored = file.read_bytes().decode("latin-1")
    assert MASK in repr(state)
    assert SECRET not in repr(state) + stored


def test_second_turn_and_update_state_are_clean(storage: Storage) -> None:
    """Words that come in later, or by the application's hand."""
    agent = guarded_agent(ScriptedModel(), [], guard=Setup().guard, checkpointer=storage.saver)

    agent.invoke(ASK, THREAD)
    agent.update_state(THREAD, {"messages": [AIMessage(f"by hand {SECRET}")]})
    agent.invoke(LEAKY, THREAD)

    assert SECRET not in storage.close()


def test_pause_and_answer_are_clean(storage: Storage) -> None:
    """What a tool asks, what a person answers, and the pending writes in between."""

    @tool
    def ask() -> str:
        """Ask."""
        return str(interrupt({"question": f"is it {SECRET}?"}))

    model = ScriptedModel(calls=[{"name": "ask", "args": {}, "id": "1"}])
    agent = guarded_agent(model, [ask], guard=Setup().guard, checkpointer=storage.saver)

    paused = agent.invoke(ASK, THREAD)
    state = agent.invoke(Command(resume=f"yes, {SECRET}"), THREAD)

    assert paused["__interrupt__"][0].value == {"question": f"is it {SECRET}?"}
    assert [m.text for m in state["messages"] if isinstance(m, ToolMessage)] == [f"yes, {MASK}"]
    assert SECRET not in storage.close()


def test_error_text_is_clean(storage: Storage) -> None:
    """LangGraph keeps the exception of a failed step."""
    graph: Any = StateGraph(MessagesState)

    def fail(_: Any) -> Any:
        raise ValueError(f"near {SECRET}")

    graph.add_node("fail", fail)
    graph.add_edge(START, "fail")
    compiled = graph.compile(checkpointer=guarded_checkpointer(storage.saver, Setup().guard))

    with pytest.raises(ValueError, match="near"):
        compiled.invoke(ASK, THREAD)

    assert SECRET not in storage.close()


def test_stored_copy_is_what_a_resumed_run_reads() -> None:
    """Reading gives the checked copy, the live run its own; what was refused reads as refused."""
    saver = InMemorySaver()
    agent = guarded_agent(ScriptedModel(), [], guard=Setup(refusing).guard, checkpointer=saver)

    agent.invoke(LEAKY, THREAD)
    messages = agent.get_state(THREAD).values["messages"]

    assert [(m.id, m.text) for m in messages[:1]] == [("h", "This was refused by policy.")]
    assert messages[-1].text == "Refused by the test."


def test_texts_are_checked_once_and_count_towards_no_limit() -> None:
    """A message that passed on its way into storage is not read again at every step."""
    setup = Setup()
    calls = [{"name": "look_up", "args": {"text": f"w{n}"}, "id": str(n)} for n in range(3)]
    agent = guarded_agent(ScriptedModel(calls=calls), [look_up], guard=setup.guard, checkpointer=InMemorySaver())

    agent.invoke(LEAKY, THREAD)

    stored = [event for event in setup.seen(ModelInput) if not event.is_call]
    texts = [(leaf.author, leaf.text) for event in stored for leaf in event.leaves() if "please" in leaf.text]
    assert len(texts) <= 1
    assert len([event for event in setup.seen(ModelInput) if event.is_call]) == 2


def test_unreadable_state_ends_the_run() -> None:
    """Bytes cannot be checked, so they are not stored."""

    class State(TypedDict):
        data: Any

    graph = StateGraph(State)
    graph.add_node("make", lambda _: {"data": b"\x00" + SECRET.encode()})
    graph.add_edge(START, "make")
    saver = InMemorySaver()
    setup = Setup()

    with pytest.raises(Denied):
        graph.compile(checkpointer=guarded_checkpointer(saver, setup.guard)).invoke({"data": "x"}, THREAD)

    assert SECRET not in repr(saver.blobs) + repr(dict(saver.writes))
    assert setup.sink.records[-1].decision.reason == "value-unsupported"


def test_shadow_changes_nothing() -> None:
    """Recorded, and stored as it came."""
    saver = InMemorySaver()
    setup = Setup(refusing, mode="shadow")

    guarded_agent(ScriptedModel(), [], guard=setup.guard, checkpointer=saver).invoke(LEAKY, THREAD)

    assert SECRET in repr(saver.blobs)
    assert any(record.decision.effect is Effect.DENY for record in setup.sink.records)


# -- other graphs ------------------------------------------------------------------------------------------------------


class Note(BaseModel):
    """A pydantic value in a state."""

    text: str


@dataclass
class Plain:
    """A dataclass in a state."""

    text: str


class Pair(NamedTuple):
    """A tuple with names."""

    text: str
    number: int


class Wide(TypedDict):
    """A state of many types."""

    messages: Annotated[list[AnyMessage], add_messages]
    note: Note
    plain: Plain
    deep: dict[str, Any]
    log: Annotated[list[str], operator.add]


def test_values_of_every_kind_are_clean_and_keep_their_type(storage: Storage) -> None:
    """Models, dataclasses, nested dictionaries, and what ``Send`` carries to a node."""
    graph: Any = StateGraph(Wide)
    graph.add_node("fan", lambda state: {})
    graph.add_node("each", lambda item: {"log": [f"got {item['text']}"]})
    graph.add_edge(START, "fan")
    graph.add_conditional_edges(
        "fan", lambda _: [Send("each", {"text": SECRET}), Send("each", {"text": "x"})], ["each"]
    )
    compiled = graph.compile(checkpointer=guarded_checkpointer(storage.saver, Setup().guard))

    compiled.invoke(
        {
            "messages": [HumanMessage([{"type": "text", "text": SECRET}])],
            "note": Note(text=SECRET),
            "plain": Plain(SECRET),
            "deep": {"a": [{"b": SECRET, "messages": [AIMessage(SECRET)]}]},
        },
        THREAD,
    )
    values = compiled.get_state(THREAD).values

    assert values["note"] == Note(text=MASK)
    assert values["plain"] == Plain(MASK)
    assert values["deep"]["a"][0]["messages"][0].text == MASK
    assert values["log"] == [f"got {MASK}", "got x"]
    assert SECRET not in storage.close()


TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.sampled_from([SECRET, "a", f"x{SECRET}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["k", "l"]), inner, max_size=2)
        | inner.map(lambda item: Pair(str(item), 1))
        | st.just(AIMessage(SECRET, additional_kwargs={"copy": SECRET}))
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(value=TREES)
def test_any_tree_is_stored_clean_and_in_shape(value: Any) -> None:
    """Whatever the state holds: same shape, no raw text, and the caller's own value untouched."""
    saver = InMemorySaver()
    guarded = guarded_checkpointer(saver, Setup().guard)
    before = repr(value)
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    checkpoint = {**empty_checkpoint(), "channel_values": {"c": value}, "channel_versions": {"c": 1}}

    guarded.put(config, checkpoint, {"source": "loop", "step": 0, "parents": {}}, {"c": 1})  # type: ignore[arg-type]
    guarded.put_writes(
        {"configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}, [("c", value)], "t"
    )

    found = saver.get_tuple(config)
    assert found is not None
    stored = found.checkpoint["channel_values"]["c"]
    assert repr(value) == before
    assert SECRET not in repr(stored) + repr(found.pending_writes)
    assert repr(stored) == before.replace(SECRET, MASK) or isinstance(value, BaseMessage | Pair | list | dict)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_middleware_refuses_a_raw_saver_when_the_agent_is_built(storage: Storage) -> None:
    """Before anything can be stored."""
    guard = Setup().guard

    with pytest.raises(AdapterError, match="allow_raw_checkpoints"):
        create_agent(ScriptedModel(), [], middleware=[GuardMiddleware(guard)], checkpointer=storage.saver)

    for saver, raw in ((guarded_checkpointer(storage.saver, guard), False), (storage.saver, True), (None, False)):
        hooks = GuardMiddleware(guard, allow_raw_checkpoints=raw)
        create_agent(ScriptedModel(), [], middleware=[hooks], checkpointer=saver).invoke(ASK, THREAD)
    storage.close()


@pytest.mark.parametrize("mode", ["invoke", "ainvoke"])
def test_raw_saver_set_later_or_inherited_is_refused_at_the_first_run(mode: str) -> None:
    """By another hand, or from the graph around."""
    setup = Setup()
    model = ScriptedModel()
    later = create_agent(model, [], middleware=[GuardMiddleware(setup.guard)])
    later.checkpointer = InMemorySaver()
    around: Any = StateGraph(MessagesState)
    around.add_node("agent", create_agent(model, [], middleware=[GuardMiddleware(setup.guard)]))
    around.add_edge(START, "agent")

    for graph in (later, around.compile(checkpointer=InMemorySaver())):
        with pytest.raises(Denied):
            drive(graph, LEAKY, mode)

    assert model.read == []
    assert {record.decision.reason for record in setup.sink.records} == {"adapter-refused"}


def test_saver_guarded_by_another_guard_is_raw(storage: Storage) -> None:
    """Another guard has another policy."""
    other = guarded_checkpointer(storage.saver, Setup().guard)

    with pytest.raises(AdapterError):
        create_agent(ScriptedModel(), [], middleware=[GuardMiddleware(Setup().guard)], checkpointer=other)
    storage.close()


def test_hand_built_graph_with_a_raw_saver_runs_no_tool() -> None:
    """``tool_wrappers`` see it at the first call."""
    from langgraph.prebuilt import ToolNode

    setup = Setup()
    ran: list[str] = []

    def act() -> str:
        """Act."""
        ran.append("x")
        return "done"

    graph: Any = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode([act], **tool_wrappers(setup.guard)))
    graph.add_edge(START, "tools")
    call = AIMessage("", tool_calls=[{"name": "act", "args": {}, "id": "1"}])

    graph.compile(checkpointer=InMemorySaver()).invoke({"messages": [call]}, THREAD)

    assert ran == []


def test_protect_guards_the_saver_of_a_graph_and_puts_it_back(storage: Storage) -> None:
    """Same storage, checked from now on."""
    agent = create_agent(ScriptedModel(), [], checkpointer=storage.saver)
    protection = protect(agent, Setup().guard, observe_output_only=True)

    agent.invoke(LEAKY, THREAD)
    protection.undo()

    assert agent.checkpointer is storage.saver
    assert SECRET not in storage.close()


def test_guarding_twice_is_guarding_once_and_what_is_no_saver_is_refused() -> None:
    """Never a silent pass-through."""
    guard = Setup().guard
    once = guarded_checkpointer(InMemorySaver(), guard)

    assert guarded_checkpointer(once, guard) is once
    assert isinstance(once, InMemorySaver)
    with pytest.raises(AdapterError):
        guarded_checkpointer({}, guard)
