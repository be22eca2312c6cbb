"""What a tool writes to LangGraph's custom stream while it runs is a result like any other, and is checked as one.

A tool finds the writer in two places, ``get_stream_writer()`` and ``ToolRuntime.stream_writer``; both are replaced
while it runs. A refused piece is recorded and not written.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.runnables.config import var_child_runnable_config
from langgraph.prebuilt import ToolRuntime
from langgraph.runtime import Runtime

from agentguard import Denied

__all__ = ["guarded_writers"]

# Where LangGraph keeps a run's runtime in the configuration.
_RUNTIME = "__pregel_runtime"
Writer = Callable[[Any], None]


@contextmanager
def guarded_writers(check: Callable[[Any], Any], kwargs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Run a tool with guarded writers; gives its arguments with the runtime in them replaced.

    ``check`` gives a piece as it may be written, or raises ``Denied``.
    """
    given = {name: _with_writer(item, check) for name, item in kwargs.items()}
    config = var_child_runnable_config.get() or {}
    settings = config.get("configurable") or {}
    runtime = settings.get(_RUNTIME)
    if not isinstance(runtime, Runtime):
        yield given
        return
    changed = {**config, "configurable": {**settings, _RUNTIME: _with_writer(runtime, check)}}
    token = var_child_runnable_config.set(changed)  # type: ignore[arg-type]  # the same shape, one entry replaced
    try:
        yield given
    finally:
        var_child_runnable_config.reset(token)


def _with_writer(value: Any, check: Callable[[Any], Any]) -> Any:
    if not isinstance(value, ToolRuntime | Runtime):
        return value
    return dataclasses.replace(value, stream_writer=_guarded(value.stream_writer, check))


def _guarded(writer: Writer, check: Callable[[Any], Any]) -> Writer:
    def write(piece: Any) -> None:
        with contextlib.suppress(Denied):
            writer(check(piece))

    return write
