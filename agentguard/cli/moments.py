"""Moments named on the command line: ISO 8601, or so long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeAlias

import typer

from agentguard.errors import ConfigError

__all__ = ["SinceOption", "moment"]

SinceOption: TypeAlias = Annotated[
    str | None, typer.Option("--since", help="So long ago (30m, 2h, 7d), or ISO 8601 with zone; all when absent.")
]

_AGO = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str | None) -> datetime | None:
    """The moment that ``text`` names; None for None.

    Raises:
        ConfigError: it names none, or no zone.
    """
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{text[:60]!r} is no time; write 2h, 7d or 2026-01-31T12:00:00+00:00") from error
    if found.tzinfo is None:
        raise ConfigError(f"{text!r} names no zone; write 2026-01-31T12:00:00+00:00")
    return found
