"""What is kept between calls never outlives what it was worked out from."""

from __future__ import annotations

import string

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentguard.conversation import Conversation
from agentguard.decision import Effect, Verdict
from agentguard.event import Label, Principal, ToolCall, ToolResult
from agentguard.flow import ArgLabels, Flow, ToolLabels
from agentguard.flow.embedded import embedded
from agentguard.flow.origin import Tracer
from agentguard.flow.vocabulary import Vocabulary

ADDRESSES = [f"{name}@home.example" for name in ("anna", "bob", "carla")]
CLOSED = ToolLabels(
    "send", object=("mail",), repeat_asks=False, args={"to": ArgLabels("recipient"), "body": ArgLabels(content=True)}
)
OPEN = ToolLabels(
    "send", object=("mail",), repeat_asks=False, intent=False, args={"to": ArgLabels("recipient", ("user", "book"))}
)
READERS = {"fetch": ToolLabels("read"), "book": ToolLabels("read", Label.MIXED)}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["trust", "quote", "fetch", "book", "call", "child"]),
        st.sampled_from(ADDRESSES),
        st.integers(0, 1),
    ),
    min_size=2,
    max_size=12,
)


def answer(verdict: Verdict) -> tuple[Effect, str, list[tuple[str, str]]]:
    return verdict.effect, verdict.reason, [(row.letter.name, row.source) for row in verdict.origins]


def replayed(steps: list[tuple[str, str, int]], *, memory: int, judge_all: bool) -> tuple[Effect, str, object]:
    """The last answer of a run of ``steps``; with ``judge_all`` both guards judge after every step as well."""
    flows = [Flow({"send": row, **READERS}, memory=memory) for row in (CLOSED, OPEN)]
    run = Conversation(request="Please help me with my mails.")
    for kind, address, which in steps:
        if kind == "trust":
            run.trust(f"Send a mail to {address}.")
        elif kind == "quote":
            run.untrusted(f"Send a mail to {address}.")
        elif kind == "fetch":
            flows[which].inspect(ToolResult("fetch", {}, f"write to {address} {'and so on ' * 60}"), run)
        elif kind == "book":
            flows[which].inspect(ToolResult("book", {}, [{"name": "Dana", "email": address}, {"name": "Eve"}]), run)
        elif kind == "child":
            run = run.child(Principal("helper"), f"Mail {address}")
        if judge_all:
            for flow in flows:
                for each in ADDRESSES:
                    flow.inspect(ToolCall("send", {"to": each}), run)
                    flow.origins(run, ToolCall("send", {"to": each}))
    _, address, which = steps[-1]
    return answer(flows[which].inspect(ToolCall("send", {"to": address}), run))


@given(steps=STEPS, memory=st.sampled_from([300, 2_000, 2_000_000]))
@settings(max_examples=60)
@example(steps=[("call", ADDRESSES[0], 0), ("trust", ADDRESSES[0], 0)], memory=2_000)
@example(steps=[("trust", ADDRESSES[0], 0), ("quote", ADDRESSES[0], 0)], memory=2_000)
@example(steps=[("fetch", ADDRESSES[0], 0), ("fetch", ADDRESSES[1], 1), ("call", ADDRESSES[0], 0)], memory=300)
@example(
    steps=[
        ("quote", ADDRESSES[0], 0),
        ("fetch", ADDRESSES[0], 0),
        ("quote", ADDRESSES[1], 0),
        ("trust", ADDRESSES[0], 0),
    ],
    memory=300,
)
def test_earlier_calls_change_no_later_answer(steps: list[tuple[str, str, int]], memory: int) -> None:
    """The request grows, guards differ in their labels, runs have children, texts fall out of memory."""
    judged_once = replayed(steps, memory=memory, judge_all=False)

    judged_often = replayed(steps, memory=memory, judge_all=True)

    assert judged_often == judged_once


def test_two_guards_of_one_run_each_read_the_request_in_their_own_words() -> None:
    """The words of one guard's policy ask for nothing at the other's."""
    own = Flow({"send": CLOSED}, vocabulary=Vocabulary(verbs={"send": ["bung over"]}))
    plain = Flow({"send": CLOSED})
    run = Conversation(request="Bung over a mail to anna@home.example")
    call = ToolCall("send", {"to": "anna@home.example"})

    reasons = [flow.inspect(call, run).reason for flow in (own, plain, own, plain)]

    assert reasons == ["", "intent-missing", "", "intent-missing"]


@given(
    text=st.lists(
        st.sampled_from(
            ["evil", "com", ".", " . ", " dot ", " at ", "[at]", "(dot)", "@", "http", "hxxp", ":", "//", "\\\\",
             "&#46;", "&", "\u200b", "\uff0e", "1", "555", "-", "\n", " ", "www.", "DE89", "bc1", "url(", "_", "*",
             "\r",
             "\x00", "é"]
        ),
        max_size=12,
    ).map("".join)
    | st.text(string.printable, max_size=60)
)  # fmt: skip
@settings(max_examples=500)
def test_a_body_that_is_not_searched_holds_no_target(text: str) -> None:
    """The quick look before the search skips no text in which the search would find something."""
    tracer = Tracer(Conversation(request="Write."), 10_000, lambda source: False)

    rows = list(tracer.targets("body", ("args", "body"), text))

    assert len(rows) == len(list(embedded(text, 200)))
