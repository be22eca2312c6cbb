"""How the command line prints: tables and lines for people, one JSON object per line for machines.

Texts from logs, files and models are escaped, so that none of them moves the reader's cursor or hides text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agentguard.access.approval import escaped
from agentguard.decision import Effect
from agentguard.errors import ConfigError, StoreError
from agentguard.event import Json

__all__ = [
    "coloured",
    "print_json",
    "print_line",
    "print_table",
    "shown",
    "word",
    "write_new",
]

_COLOURS = {
    "allow": "green",
    "ask": "yellow",
    "require_approval": "yellow",
    "deny": "red",
    "ok": "green",
    "FAILED": "bold red",
    "error": "bold red",
    "warning": "yellow",
    "failed": "bold red",
    "weak": "yellow",
    "not-checked": "yellow",
}
# A cell longer than this is cut: whoever wants the whole asks for --json.
MAX_CELL = 200
# Where output goes to a file or a pipe there is no width to wrap at.
_PIPE_WIDTH = 400


def print_json(value: Mapping[str, object]) -> None:
    """One object on one line."""
    typer.echo(json.dumps(value))


def print_line(*parts: str | Text) -> None:
    """One line; a known word (allow, deny, ok ...) has its colour, on a terminal only."""
    line = Text()
    for part in parts:
        line.append_text(part if isinstance(part, Text) else coloured(part))
    # Made here, not at import: it looks at the stdout of this moment, and colours only a terminal.
    Console(soft_wrap=True, highlight=False).print(line)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, indent: int = 0) -> None:
    """A table without frames; in a pipe no cell is wrapped."""
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for row in rows:
        table.add_row(*(coloured(cell) for cell in row))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        typer.echo((" " * indent + line).rstrip(), color=console.is_terminal)


def coloured(text: str) -> Text:
    """The text, in the colour that its word has."""
    return Text(text, style=_COLOURS.get(text, ""))


def shown(value: Json) -> str:
    """A value for people: escaped, and cut when it is long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    cut = text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}... ({len(text)} characters)"
    return escaped(cut)


def word(effect: Effect) -> str:
    """What cases and people call an effect: allow, ask or deny."""
    return "ask" if effect is Effect.REQUIRE_APPROVAL else str(effect.value)


def write_new(path: Path, text: str) -> None:
    """Write a file that does not exist yet.

    Raises:
        ConfigError: it exists.
        StoreError: it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{path} exists and was kept; choose another --out") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}); choose another --out") from error
