"""The conformance table, cell by cell, in the real frameworks; and the page that shows it."""

from __future__ import annotations

import pytest

from tests.adapters.conformance import PAGE, Cell, Driver, cells, judged, section
from tests.adapters.drivers import ADAPTERS, installed

FOUND = installed()
DRIVERS: dict[str, Driver] = {adapter.name: adapter.make() for adapter in FOUND}
POSSIBLE = [
    pytest.param(name, cell, id=f"{name} / {cell}")
    for name, driver in DRIVERS.items()
    for cell in cells()
    if driver.impossible(cell) is None
]


@pytest.mark.parametrize(("name", "cell"), POSSIBLE)
def test_cell(name: str, cell: Cell, record_property: pytest.FixtureRequest) -> None:
    """Blocked, rewritten or recorded, as the rules that hold for every framework say."""
    record_property("cell", [name, cell.surface, cell.mode, cell.action])  # type: ignore[operator]

    judged(DRIVERS[name], cell)


@pytest.mark.parametrize("name", DRIVERS)
def test_page_shows_the_suite(name: str) -> None:
    """docs/frameworks.md is what the cells give; write it with ``python -m tests.adapters.conformance``."""
    page = PAGE.read_text(encoding="utf-8")

    assert section(page, DRIVERS[name]) == page


def test_every_adapter_is_on_the_page() -> None:
    """Also those whose framework is not installed here."""
    page = PAGE.read_text(encoding="utf-8")

    assert [name for name in (adapter.name for adapter in ADAPTERS) if f"<!-- table: {name} -->" not in page] == []
