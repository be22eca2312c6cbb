"""Values written as YAML that ``document.read`` reads back as they were, in the plain style a person would use."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable

from agentguard.policy.document import AMBIGUOUS

__all__ = ["comment", "holds", "listed", "scalar"]

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*|/[A-Za-z0-9_./-]+")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_FLOAT = re.compile(r"-?[0-9]{1,18}\.[0-9]{1,17}")
MAX_COMMENT = 100


def holds(value: object) -> bool:
    """Whether ``value`` is a text, number or yes-or-no that can be written so that it is read back the same."""
    if isinstance(value, bool):
        return True
    if isinstance(value, str):
        return not any(0xD800 <= ord(char) <= 0xDFFF for char in value)
    if isinstance(value, int):
        return _INTEGER.fullmatch(str(value)) is not None
    return isinstance(value, float) and math.isfinite(value) and _FLOAT.fullmatch(repr(value)) is not None


def scalar(value: str | int | float | bool) -> str:
    """One value; text is quoted where it could be read as something else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    if _PLAIN.fullmatch(value) and not AMBIGUOUS.fullmatch(value):
        return value
    return '"' + "".join(map(_quoted, value)) + '"'


def listed(values: Iterable[str | int | float | bool]) -> str:
    """A list on one line."""
    return "[" + ", ".join(map(scalar, values)) + "]"


def comment(text: str, limit: int = MAX_COMMENT) -> str:
    """``text`` as one comment: printable, on one line, and cut where it is longer than ``limit``."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."


def _quoted(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    return json.dumps(char)[1:-1] if ord(char) < 0x7F else f"\\U{ord(char):08X}"
