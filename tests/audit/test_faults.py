"""Every row of the fault table: no damage passes as ok, no acknowledged record is lost, no raw engine error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit import refusal
from tests.audit.faults import FAULTS, Fault
from tests.audit.ground import Ground
from tests.audit.server_faults import SERVER_FAULTS, ServerFault
from tests.servers import PostgresServer

CASES = [
    pytest.param(fault, engine, id=f"{engine}-{fault.name.replace(' ', '-')}")
    for fault in FAULTS
    for engine in (["sqlite"] if fault.file_only else ["sqlite", "postgresql"])
]


SERVER_CASES = [pytest.param(fault, id=fault.name.replace(" ", "-")) for fault in SERVER_FAULTS]


def check(fault: Fault, ground: Ground, record_property: Callable[[str, object], None], *, whole: bool) -> None:
    if fault.name.startswith("disk refuses") and not refusal.SUPPORTED:
        pytest.skip("system calls can be refused on Linux only (x86-64, arm64)")

    outcome = fault.outcome(ground, whole=whole)

    name = fault.name if ground.url is None else f"PostgreSQL: {fault.name}"
    record_property("fault", (name, outcome.trials, len(outcome.wrong), outcome.came))
    assert outcome.trials > 0
    assert outcome.wrong == ()


@pytest.mark.parametrize(("fault", "ground"), CASES, indirect=["ground"])
def test_a_sample_of_every_fault(fault: Fault, ground: Ground, record_property: Callable[[str, object], None]) -> None:
    """Each kind of fault a few times."""
    check(fault, ground, record_property, whole=False)


@pytest.mark.long
@pytest.mark.parametrize(("fault", "ground"), CASES, indirect=["ground"])
def test_every_fault_in_full(fault: Fault, ground: Ground, record_property: Callable[[str, object], None]) -> None:
    """Every byte, every row, two hundred kills, eighty thousand records."""
    check(fault, ground, record_property, whole=True)


def check_server(
    fault: ServerFault,
    server: PostgresServer,
    folder: Path,
    record_property: Callable[[str, object], None],
    *,
    whole: bool,
) -> None:
    outcome = fault.outcome(server, folder, whole=whole)

    record_property("fault", (f"PostgreSQL: {fault.name}", outcome.trials, len(outcome.wrong), outcome.came))
    assert outcome.trials > 0
    assert outcome.wrong == ()


@pytest.mark.parametrize("fault", SERVER_CASES)
def test_a_sample_of_every_fault_of_a_server(
    fault: ServerFault,
    postgres_private: PostgresServer,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Killed, cut off, silent, read-only, full, forbidden, restored."""
    check_server(fault, postgres_private, tmp_path, record_property, whole=False)


@pytest.mark.long
@pytest.mark.parametrize("fault", SERVER_CASES)
def test_every_fault_of_a_server_in_full(
    fault: ServerFault,
    postgres_private: PostgresServer,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """The same, more often."""
    check_server(fault, postgres_private, tmp_path, record_property, whole=True)
