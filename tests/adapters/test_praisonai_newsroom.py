"""The worked team: harm without the guard, none with it, and the user served both times."""

from __future__ import annotations

import pytest

from newsroom import praisonai_newsroom
from newsroom.world import World, side_by_side


def test_the_newsroom_is_attacked_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """What ``make demo-praisonai`` prints, by the exit code it stands for."""
    assert side_by_side(praisonai_newsroom.run)

    shown = capsys.readouterr().out
    assert "harm: mail to desk@rival.example; inquiry.html deleted" in shown
    assert shown.count("the user's task: done") == 2


def test_the_reasons_are_those_of_the_policy() -> None:
    """Refused are the orders of the page, and nothing the user asked for."""
    world = World()

    ended = praisonai_newsroom.run(world, True)

    assert (ended, world.harm, world.done) == ("", [], True)
