"""Managers of sessions over a home, for every file of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentguard.store import Home
from tests.access.tokens import Clock, Desk


@pytest.fixture
def clock() -> Clock:
    """A clock under control."""
    return Clock()


@pytest.fixture
def desk(state_home: Home, clock: Clock) -> Iterator[Callable[..., Desk]]:
    """Makes managers of one home, as several processes would."""
    made: list[Desk] = []

    def make(**settings: Any) -> Desk:
        made.append(Desk(state_home, clock, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def local(tmp_path: Path, clock: Clock) -> Iterator[Desk]:
    """One manager, on SQLite: for what does not depend on the database."""
    made = Desk(Home.create(tmp_path / "local"), clock)
    yield made
    made.close()
