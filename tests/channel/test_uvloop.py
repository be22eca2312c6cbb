"""The promises of delivery and the limits against hostile peers, once more on the faster loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from agentguard.channel.loop import loop_factory, run
from tests.channel import test_delivery, test_hostile

uvloop = pytest.importorskip("uvloop")

Scenario = Callable[[], Coroutine[Any, Any, None]]


def _scenarios() -> list[Scenario]:
    """The tests of both modules that take nothing and are no long ones."""
    return [
        found
        for module in (test_delivery, test_hostile)
        for name, found in vars(module).items()
        if name.startswith("test_")
        and inspect.iscoroutinefunction(found)
        and not inspect.signature(found).parameters
        and not any(mark.name == "long" for mark in getattr(found, "pytestmark", ()))
    ]


def test_the_faster_loop_is_used_when_it_is_installed() -> None:
    async def which() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(which()) == "uvloop"
    assert isinstance(loop_factory()(), uvloop.Loop)


@pytest.mark.parametrize("scenario", _scenarios(), ids=lambda found: found.__name__)
def test_the_same_holds_on_uvloop(scenario: Scenario) -> None:
    run(scenario())
