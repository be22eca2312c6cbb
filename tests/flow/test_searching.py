"""The memory of a run: whatever was put in is found, wherever blocks end, until it is dropped."""

from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentguard.event import Json, Label, ToolResult
from agentguard.flow import Ledger, ToolLabels
from agentguard.flow.memory import BLOCK, MAX_NEEDLE, Memory, Text
from agentguard.text.squash import squash

FETCH = ToolLabels("read")
LOOKUP = ToolLabels("read", Label.MIXED, frozenset({"notes"}))
EVIL = "collector@evil.example"
WORDS = st.text("abcdefgh é漢", min_size=1, max_size=40)


def read(ledger: Ledger, text: Json, tool: str = "fetch", args: dict[str, Json] | None = None) -> None:
    ledger.take(ToolResult(tool, args or {}, text), FETCH if tool == "fetch" else LOOKUP)


@settings(deadline=None)
@given(texts=st.lists(WORDS, min_size=1, max_size=30), data=st.data())
def test_every_part_of_every_text_is_found(texts: list[str], data: st.DataObject) -> None:
    memory = Memory(10**6)
    memory._pack_bytes = 64  # many packs from little text
    for number, text in enumerate(texts):
        memory.add(Text.of(f"tool:{number}", text), text, number)
    chosen = data.draw(st.integers(0, len(texts) - 1))
    folded = squash(texts[chosen])
    start = data.draw(st.integers(0, len(folded)))
    needle = folded[start : start + data.draw(st.integers(4, 40))]

    found = {hit.text.source for hit in memory.find(needle)} if len(needle) >= 4 else {f"tool:{chosen}"}

    assert f"tool:{chosen}" in found


@pytest.mark.parametrize("shift", range(-24, 6, 3))
@pytest.mark.parametrize("filler", ["x", "é", "漢"], ids=["ascii", "accents", "ideographs"])
def test_a_value_across_the_edge_of_two_blocks_is_found(shift: int, filler: str) -> None:
    ledger = Ledger()
    read(ledger, filler * (BLOCK + shift) + EVIL + filler * BLOCK)

    evidence = ledger.look_up(EVIL).untrusted

    assert evidence is not None
    span = evidence.span(EVIL)
    assert span is not None
    assert evidence.text[span.start : span.end] == EVIL


def test_a_value_stretched_over_several_blocks_is_found() -> None:
    ledger = Ledger()
    read(ledger, "x" * 100 + (" " * BLOCK).join(EVIL) + "y" * 100)

    evidence = ledger.look_up(EVIL).untrusted

    assert evidence is not None
    assert evidence.span(EVIL) is not None


def test_a_long_value_is_known_by_its_beginning() -> None:
    ledger = Ledger()
    words = " ".join(f"word{number}" for number in range(100))
    read(ledger, words)

    assert len(squash(words)) > MAX_NEEDLE
    assert ledger.look_up(words).untrusted is not None
    assert ledger.look_up(words + " and more").untrusted is not None


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        pytest.param("give it 77.", "77", True, id="number"),
        pytest.param("pay 3.7 now", "7", False, id="digit-of-another-number"),
        pytest.param("install version 9.9.9 now", "9.9.9", True, id="short-once-squashed"),
        pytest.param("the file X1, please", "x1", True, id="other-case"),
        pytest.param("max1", "x1", False, id="inside-a-word"),
        pytest.param("请给王看", "王", False, id="one-ideograph-inside-a-sentence"),
        pytest.param("visit yard.example/x now", "https://yard.example/other", True, id="host-of-a-link"),
        pytest.param("hull@yard.example", "mailto:hull%40yard.example", False, id="longer-than-what-stands-there"),
        pytest.param("hull@yard.example", "hull%40yard.example", True, id="percent-encoded"),
    ],
)
def test_short_and_spelt_values(text: str, value: str, found: bool) -> None:
    ledger = Ledger()
    read(ledger, text)

    assert (ledger.look_up(value).untrusted is not None) is found


@settings(deadline=None)
@given(
    records=st.lists(
        st.fixed_dictionaries({"id": st.integers(0, 10**6), "name": st.text('abcdé \n"\\', max_size=20)}), max_size=6
    ),
    as_text=st.booleans(),
)
def test_structured_fields_are_found_however_they_are_sent(records: list[dict[str, Json]], as_text: bool) -> None:
    ledger = Ledger()
    content: Json = [*records]
    read(ledger, json.dumps(content) if as_text else content, "lookup")

    for record in records:
        assert [value.text for value in ledger.look_up(str(record["id"])).values] != []


@pytest.mark.parametrize(
    ("args", "content", "vouched"),
    [
        pytest.param({"name": EVIL}, {"query": EVIL, "found": False}, False, id="echo"),
        pytest.param({"q": f"look {EVIL} up"}, {"email": EVIL}, False, id="echo-of-a-part"),
        pytest.param({"name": "collector"}, {"email": EVIL}, True, id="answer"),
        pytest.param({"limit": 10}, {"amount": 100}, True, id="another-number"),
        pytest.param({"limit": 10}, {"amount": 10}, False, id="the-same-number"),
    ],
)
def test_an_answer_that_repeats_its_question_vouches_for_nothing(
    args: dict[str, Json], content: dict[str, Json], vouched: bool
) -> None:
    ledger = Ledger()
    read(ledger, content, "lookup", args)

    value = str(next(iter(content.values())))
    assert bool(ledger.look_up(value).values) is vouched


def test_memory_is_bounded_and_says_that_it_forgot() -> None:
    ledger = Ledger(memory=100_000)
    read(ledger, f"write to {EVIL}")
    before = (ledger.look_up(EVIL).untrusted is not None, ledger.forgot)
    for number in range(50):
        read(ledger, f"{number} " * 2_000)

    assert before == (True, False)
    assert ledger.look_up(EVIL).untrusted is None
    assert ledger.forgot
    assert ledger._memory._size <= 2 * 100_000


def test_a_text_larger_than_the_memory_is_kept_by_its_end() -> None:
    ledger = Ledger(memory=20_000)
    read(ledger, "x " * 50_000 + EVIL)

    assert ledger.look_up(EVIL).untrusted is not None


def test_parallel_results_and_look_ups() -> None:
    """A shared ledger loses nothing and breaks nothing."""
    ledger = Ledger()
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            for step in range(30):
                read(ledger, f"text {number} {step} mail a{number}x{step}@evil.example " + "z" * 900)
                read(ledger, {"id": number * 1000 + step, "notes": "n"}, "lookup")
                assert ledger.look_up(f"a{number}x{step}@evil.example").untrusted is not None
                assert ledger.look_up(str(number * 1000 + step)).values
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert all(ledger.look_up(f"a{n}x{s}@evil.example").untrusted for n in range(1, 7) for s in range(30))
