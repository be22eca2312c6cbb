"""Options that several commands share, and the reading of their values."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.progress import Progress

from agentguard.errors import ConfigError

__all__ = ["HomeOption", "JsonOption", "SinceOption", "duration", "moment", "progress_bar"]

HomeOption: TypeAlias = Annotated[Path, typer.Option("--home", help="The project's folder, made by `agentguard init`.")]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object per line, for machines.")]
SinceOption: TypeAlias = Annotated[
    str | None, typer.Option("--since", help="So long ago (30m, 2h, 7d), or ISO 8601 with zone; all when absent.")
]

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """``90d``, ``12h``, ``30m``.

    Raises:
        ConfigError: not in that form.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhdw])", text)
    if found is None:
        raise ConfigError(f"{text!r} is no duration; write 30m, 12h, 90d or 52w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(text: str | None) -> datetime | None:
    """An ISO 8601 time with a zone, or a duration before now (``2h``).

    Raises:
        ConfigError: neither.
    """
    if text is None:
        return None
    if re.fullmatch(r"[0-9]+[smhdw]", text):
        return datetime.now(UTC) - duration(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no ISO 8601 time; write 2026-01-31T12:00:00+00:00, or 2h for two hours ago"
        ) from error
    if found.tzinfo is None:
        raise ConfigError(f"{text!r} names no zone; write 2026-01-31T12:00:00+00:00")
    return found


def progress_bar() -> Progress:
    """A bar on stderr, shown only to a person: stdout is data."""
    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
