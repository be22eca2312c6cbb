"""Tools named on the command line as ``module:attribute``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from agentguard.errors import ConfigError
from agentguard.policy.toolspec import ToolSpec

__all__ = ["ToolsOption", "load_tools"]

ToolsOption: TypeAlias = Annotated[
    str | None, typer.Option("--tools", help="Where the tools are, as module:attribute; it is imported.")
]


def load_tools(place: str) -> list[ToolSpec]:
    """The tools of ``module:attribute``; the module is looked for in the current folder first.

    ``attribute`` may be dotted, and end in ``()`` for a function without parameters that returns the tools.

    Raises:
        ConfigError: it does not lead to tools.
    """
    module, colon, attribute = place.partition(":")
    if not colon or not module or not attribute:
        raise ConfigError(f"got the tools {place[:80]!r}; write module:attribute, as in myapp.tools:TOOLS")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: object = importlib.import_module(module)
        for name in attribute.removesuffix("()").split("."):
            found = getattr(found, name)
        if attribute.endswith("()") and callable(found):
            found = found()
    except (Exception, SystemExit) as error:  # whatever a module of somebody else's raises while it is imported
        raise ConfigError(f"the tools {place[:80]!r} cannot be loaded ({_said(error)})") from error
    return ToolSpec.read_all(found)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
