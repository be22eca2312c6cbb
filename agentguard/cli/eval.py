"""``agentguard eval``: how well the text engine does on labelled texts of yours. stdout is data, stderr is talk."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from agentguard.errors import ConfigError

if TYPE_CHECKING:
    from agentguard.detect.evaluation import Table

__all__ = ["evaluate_files"]


def evaluate_files(
    files: Annotated[
        list[Path], typer.Argument(help="JSON Lines: text and label, or text and spans.", metavar="FILE...")
    ],
    disguises: Annotated[
        bool, typer.Option("--disguises", help="Also judge the attacks invisible, encoded and spelt oddly.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per table, for machines.")] = False,
) -> None:
    """Measure recall and false alarms on labelled files: Markdown tables, or JSON.

    Texts that the model or the rules were made from give figures that unseen text will not reach.
    """
    from agentguard.detect.evaluation import evaluate, read_rows

    rows = list(read_rows(files))
    if not rows:
        raise ConfigError(f"no rows in {', '.join(map(str, files))}: one JSON object a line is expected")
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("judging", total=len(rows))
        tables = evaluate(
            rows, disguises=disguises, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    for table in tables:
        typer.echo(json.dumps(_as_object(table), ensure_ascii=False) if as_json else str(table))


def _as_object(table: Table) -> dict[str, object]:
    return {"title": table.title, "rows": [dict(zip(table.head, row, strict=True)) for row in table.rows]}
