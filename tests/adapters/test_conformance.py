"""The conformance table, cell by cell, in the real frameworks; and the page that shows it."""

from __future__ import annotations

import pathlib

import pytest

from tests.adapters.conformance import Cell, cells, document, judged
from tests.adapters.langchain_driver import LangChainDriver

DRIVER = LangChainDriver()
POSSIBLE = [cell for cell in cells() if DRIVER.impossible(cell) is None]


@pytest.mark.parametrize("cell", [pytest.param(cell, id=str(cell)) for cell in POSSIBLE])
def test_cell(cell: Cell, record_property: pytest.FixtureRequest) -> None:
    """Blocked, rewritten or recorded, as the rules that hold for every framework say."""
    record_property("cell", [DRIVER.framework, cell.surface, cell.mode, cell.action])  # type: ignore[operator]

    judged(DRIVER, cell)


def test_page_shows_the_suite() -> None:
    """docs/frameworks.md is what the cells give; write it with ``python -m tests.adapters.conformance``."""
    page = pathlib.Path(__file__).parents[2] / "docs" / "frameworks.md"

    assert page.read_text(encoding="utf-8") == document([DRIVER])
