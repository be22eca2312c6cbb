"""Which row of a result the request points at, and which it only seems to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.flow.record import Record, Table
from agentguard.flow.request import Request
from agentguard.flow.superlative import extremes, superlatives

Row = dict[str, str]

DRIVE: list[Row] = [
    {"id_": "4", "name": "choir-rehearsal-plan.odt", "owner": "mara.lind@choir.example", "size": "310"},
    {"id_": "5", "name": "rehearsal-plan-old.odt", "owner": "tom_berg@choir.example", "size": "12"},
    {"id_": "6", "name": "seed list autumn.txt", "owner": "mara.lind@choir.example", "size": "44"},
]


def _records(rows: Sequence[Row], selectors: tuple[str, ...] = ()) -> list[Record]:
    table = Table(selectors)
    records = [table.record(table.row(len(rows))) for _ in rows]
    for record, row in zip(records, rows, strict=True):
        for name, text in row.items():
            table.add(record.row, name, text)
    return records


def _chosen(request: str, rows: Sequence[Row] = DRIVE, selectors: tuple[str, ...] = ()) -> list[str]:
    return [
        row["id_"]
        for row, record in zip(rows, _records(rows, selectors), strict=True)
        if record.chosen_by(Request([request], ()))
    ]


@pytest.mark.parametrize(
    ("request_text", "ids"),
    [
        ("Share choir-rehearsal-plan.odt with the tenors.", ["4"]),
        ("Add a line to the choir rehearsal plan.", ["4"]),
        ("Add a line to the seed list.", ["6"]),
        ("Print the plan for the autumn.", []),
        ("Delete the rehearsal plan.", []),
        ("Delete the rehearsal plan old.", ["5"]),
        ("Add a line to the list of seeds.", []),
        ("Remove the largest file.", ["4"]),
        ("Remove the smallest of my files.", ["5"]),
        ("Lösche die größte Datei.", ["4"]),
        ("Remove a large file.", []),
        ("Remove the newest file.", []),
    ],
)
def test_a_request_points_at_a_row_by_what_it_alone_holds(request_text: str, ids: list[str]) -> None:
    assert _chosen(request_text) == ids


@pytest.mark.parametrize(
    ("request_text", "search", "chosen"),
    [
        ("Put milk on the shopping list.", "shopping list", True),
        ("Put milk on the list.", "list", False),
        ("Put milk on the list for Tiree.", "Tiree", True),
        ("Put milk on the list.", "shopping list", False),
        ("Put milk on the shopping list.", "", False),
    ],
)
def test_the_only_row_of_a_search_in_the_users_words(request_text: str, search: str, chosen: bool) -> None:
    rows = [{"id_": "9", "name": "l9"}]

    assert (_chosen(request_text, rows, (search,)) == ["9"]) is chosen
    # A second row, perhaps an outsider's, and nothing tells which was meant.
    assert _chosen(request_text, [*rows, {"id_": "10", "name": "l10"}], (search,)) == []


@pytest.mark.parametrize(
    ("request_text", "address", "called"),
    [
        ("Please invite Mara to the rehearsal.", "mara.lind@choir.example", True),
        ("Please invite mara to the rehearsal.", "mara.lind@choir.example", False),
        ("Please invite Berg.", "tom_berg@choir.example", True),
        ("Please invite Mara.", "tom_berg@choir.example", False),
        ("Please invite the Choir.", "mara.lind@choir.example", False),
    ],
)
def test_somebody_called_by_a_name_that_one_address_has(request_text: str, address: str, called: bool) -> None:
    request = Request([request_text], ())

    assert any(record.calls(request, address) for record in _records(DRIVE)) is called


def test_two_of_one_name_are_nobody() -> None:
    """An outsider who calls himself Mara makes it a question, never a pass."""
    rows = [*DRIVE, {"id_": "7", "owner": "mara@quarry.example"}]
    request = Request(["Please invite Mara."], ())

    assert not any(record.calls(request, address) for record in _records(rows) for _, address in record.marks.people)


def test_equal_rows_stand_out_in_nothing() -> None:
    assert extremes([[("size", "5")], [("size", "5")], [("size", "1")]]) == [
        frozenset(),
        frozenset(),
        frozenset({("least", "number")}),
    ]
    assert extremes([[("size", "5")]]) == [frozenset()]


@pytest.mark.parametrize(
    ("request_text", "found"),
    [
        ("Forward the newest invoice.", {("most", "date")}),
        ("Forward the most   recent invoice.", set()),
        ("la facture la moins chère", {("least", "number")}),
        ("the last invoice of last week", set()),
        ("the Largest and the oldest", {("most", "number"), ("least", "date")}),
        ("enlargest", set()),
    ],
)
def test_comparisons_in_requests(request_text: str, found: set[tuple[str, str]]) -> None:
    assert superlatives([request_text]) == found


def test_dates_and_numbers_are_told_apart() -> None:
    rows = [[("at", "2026-03-01T10:00:00"), ("size", "9")], [("at", "2026-02-01"), ("size", "70")]]

    assert extremes(rows) == [
        frozenset({("most", "date"), ("least", "number")}),
        frozenset({("least", "date"), ("most", "number")}),
    ]


@given(st.lists(st.dictionaries(st.sampled_from(["id", "name", "size", "at"]), st.text(max_size=30)), max_size=6))
def test_any_rows_can_be_settled_and_an_empty_request_points_at_none(rows: list[Row]) -> None:
    nothing = Request([""], ())

    assert not any(record.chosen_by(nothing) for record in _records(rows))


FIELDS = st.lists(
    st.sampled_from(
        ["Open", "open", "Anna", "anna@x.example", "ANNA@y.example", "1,000", "1000.0", "1000", "0.50", "0.5"]
    )
    | st.sampled_from(["plan.old-may.txt", "old may", "team-notes", "Team Notes", "a|\u0338b", "\u212aelvin", "kelvin"])
    | st.text(max_size=8)
    | st.text("ab.-@/, \u0301\u1100\u1161\u2460", max_size=12),
    min_size=1,
    max_size=4,
)


@given(st.lists(FIELDS, min_size=1, max_size=5))
def test_what_a_row_has_alone_is_found_as_by_comparing_every_row(rows: list[list[str]]) -> None:
    """Only rows in which a mark is found folded are compared; none that has the mark is missed."""
    table = Table()
    for texts in rows:
        row = table.row(len(rows))
        for text in texts:
            table.add(row, "field", text)
    records = [table.record(row) for row in dict.fromkeys(table.rows)]
    every = [record.marks for record in records]

    for record in records:
        for part in range(3):
            for mark in record.marks[part]:
                spelt = mark if isinstance(mark, str) else max(mark, key=len)
                assert table.has_alone(part, mark, spelt) is (sum(mark in marks[part] for marks in every) == 1)
        for word, address in record.marks.people:
            others = {pair for marks in every for pair in marks.people if pair[0] == word}
            assert table.called_alone(word, address) is (others == {(word, address)})
