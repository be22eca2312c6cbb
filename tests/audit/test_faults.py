"""Every row of the fault table: no damage passes as ok, no acknowledged record is lost, no raw engine error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit import refusal
from tests.audit.faults import FAULTS, Fault

NAMED = [pytest.param(fault, id=fault.name.replace(" ", "-")) for fault in FAULTS]


def check(fault: Fault, folder: Path, record_property: Callable[[str, object], None], *, whole: bool) -> None:
    if fault.name.startswith("disk refuses") and not refusal.SUPPORTED:
        pytest.skip("system calls can be refused on Linux only (x86-64, arm64)")

    outcome = fault.outcome(folder, whole=whole)

    record_property("fault", (fault.name, outcome.trials, len(outcome.wrong), outcome.came))
    assert outcome.trials > 0
    assert outcome.wrong == ()


@pytest.mark.parametrize("fault", NAMED)
def test_a_sample_of_every_fault(fault: Fault, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Each kind of fault a few times."""
    check(fault, tmp_path, record_property, whole=False)


@pytest.mark.long
@pytest.mark.parametrize("fault", NAMED)
def test_every_fault_in_full(fault: Fault, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Every byte, every row, two hundred kills, eighty thousand records."""
    check(fault, tmp_path, record_property, whole=True)
