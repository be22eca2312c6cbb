"""``agentguard scan``: secrets, personal data, injection and hidden text in files. stdout is data, stderr is talk."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from agentguard.errors import ConfigError
from agentguard.scan.examiner import CLASSES, DEFAULT_CLASSES, Search
from agentguard.scan.placement import Found
from agentguard.scan.run import Format, Run
from agentguard.scan.source import Selection, Source

__all__ = ["scan"]

FOUND, UNCHECKED = 1, 3
# Files of the summary table; the lines above it name them all.
TOP_FILES = 20
_FORMATS: tuple[Format, ...] = ("auto", "text", "json", "jsonl")
_STYLES = {"secret": "red", "pii": "yellow", "injection": "bold red", "hidden-text": "magenta", "markup": "cyan"}


def scan(  # noqa: PLR0917  # typer reads options from plain parameters
    paths: Annotated[list[Path], typer.Argument(metavar="FILE|DIR|-...", help="Files, folders, or - for stdin.")],
    only: Annotated[
        str | None, typer.Option("--only", metavar="CLASSES", help=f"Comma-separated: {', '.join(CLASSES)}.")
    ] = None,
    threshold: Annotated[
        str, typer.Option("--threshold", help="For injection: strict, balanced, permissive, or a score in 0..1.")
    ] = "balanced",
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", metavar="GLOB", help="Names, or paths below a folder, to leave out; repeatable."),
    ] = None,
    redact: Annotated[
        bool, typer.Option("--redact", help="Write the text without secrets, personal data and hidden characters.")
    ] = False,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="With --redact: replace each file that held any, whole or not at all.")
    ] = False,
    format_: Annotated[
        str, typer.Option("--format", help="How to read: auto (by suffix), text, json, jsonl.")
    ] = "auto",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0: one per core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per finding, the summary last.")] = False,
) -> None:
    """Find secrets, personal data, injected instructions and hidden text in files, of any size.

    Exit code: 0 nothing found, 1 something found, 2 usage, 3 something could not be checked.
    """
    search = Search(DEFAULT_CLASSES if only is None else _classes(only), _threshold(threshold))
    _check_usage(paths, redact=redact, in_place=in_place, as_json=as_json)
    selection = Selection([path for path in paths if str(path) != "-"], exclude or ())
    sources = _sources(paths, selection)
    out = sys.stdout.buffer if redact and not in_place else None
    with _progress(sources) as advance:
        run = Run(
            search,
            jobs=jobs or len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else jobs or os.cpu_count() or 1,
            format=_format(format_),
            out=out,
            in_place=in_place,
            progress=advance,
        )
        _report(run.findings(sources), as_json=as_json, quiet=out is not None)
    if out is not None:
        out.flush()
    problems = [*selection.problems, *run.problems]
    for problem in problems:
        typer.echo(f"agentguard: scan-failed: {_shown(problem)}", err=True)
    skipped = dict(selection.skipped) | ({"binary files": run.binary} if run.binary else {})
    if as_json:
        typer.echo(json.dumps({"summary": _summary(run, skipped, problems)}))
    else:
        _show(run, skipped, err=out is not None)
    raise typer.Exit(UNCHECKED if problems else FOUND if run.types else 0)


def _check_usage(paths: list[Path], *, redact: bool, in_place: bool, as_json: bool) -> None:
    stdin = any(str(path) == "-" for path in paths)
    if in_place and not redact:
        raise ConfigError("--in-place changes files only together with --redact")
    if in_place and stdin:
        raise ConfigError("--in-place cannot replace stdin; leave it out to write to stdout")
    if redact and not in_place:
        if as_json:
            raise ConfigError("--redact writes the text to stdout; use --json together with --in-place")
        if len(paths) != 1 or (not stdin and paths[0].is_dir()):
            raise ConfigError("--redact writes one file, or -, to stdout; use --in-place for more")


def _classes(only: str) -> frozenset[str]:
    return frozenset(name.strip() for name in only.split(",") if name.strip())


def _threshold(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _format(text: str) -> Format:
    for name in _FORMATS:
        if text == name:
            return name
    raise ConfigError(f"--format {text}: use {', '.join(_FORMATS)}")


def _sources(paths: list[Path], selection: Selection) -> list[Source]:
    stdin = [Source(Path("-"), "-", 0, named=True)] if any(str(path) == "-" for path in paths) else []
    return [*stdin, *selection]


@contextmanager
def _progress(sources: list[Source]) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda size: None
        return
    columns = (TextColumn("scanning"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("scan", total=sum(source.size for source in sources) or None)
        yield lambda size: bar.advance(task, size)


def _report(found: Iterable[tuple[Source, Found]], *, as_json: bool, quiet: bool) -> None:
    console = Console(soft_wrap=True, highlight=False)
    plain = not console.is_terminal
    for source, item in found:
        if as_json:
            typer.echo(json.dumps(_object(source, item)))
        elif not quiet:
            line = _line(source, item)
            # A file of secrets has millions of lines; only a terminal needs more than their text.
            typer.echo(line.plain) if plain else console.print(line)


def _object(source: Source, item: Found) -> dict[str, object]:
    return {
        "file": source.name,
        "line": item.line,
        "column": item.column,
        "unit": item.unit,
        "span": [item.start, item.end],
        "bytes": [item.byte_start, item.byte_end],
        "class": item.class_,
        "type": item.type,
        "rule": item.rule,
        "score": item.score,
    }


def _line(source: Source, item: Found) -> Text:
    unit = "b" if item.unit == "bytes" else ""
    line = Text(f"{_shown(source.name)}:{item.line}:{item.column}{unit}: ")
    line.append(item.type, style=_STYLES.get(item.class_, ""))
    line.append(f" characters {item.start}-{item.end} by {item.rule}")
    line.append(f" score {item.score:.2f}" if item.score < 1 else "")
    line.append(f" {item.preview}" if item.preview else "", style="dim")
    return line


def _summary(run: Run, skipped: dict[str, int], problems: list[str]) -> dict[str, object]:
    return {
        "files": run.files,
        "bytes": run.bytes,
        "findings": sum(run.types.values()),
        "types": dict(sorted(run.types.items())),
        "by_file": dict(run.by_file),
        "skipped": skipped,
        "redactions": run.redactions,
        "replaced": run.replaced,
        "problems": problems,
    }


def _show(run: Run, skipped: dict[str, int], *, err: bool) -> None:
    console = Console(stderr=err, soft_wrap=True, highlight=False)
    if run.types:
        console.print(_table("type", run.types.most_common()))
        rest = len(run.by_file) - TOP_FILES
        console.print(_table("file", [(_shown(name), n) for name, n in run.by_file.most_common(TOP_FILES)]))
        if rest > 0:
            console.print(f"and {rest} more files with findings")
    talk = f"{run.files} files, {run.bytes} bytes, {sum(run.types.values())} findings"
    if run.redactions:
        talk += f", {run.redactions} redactions" + (f" in {run.replaced} files" if run.replaced else "")
    left = [f"{count} {kind}" for kind, count in sorted(skipped.items())]
    typer.echo(talk + (f"; skipped {', '.join(left)}" if left else ""), err=True)


def _table(name: str, rows: list[tuple[str, int]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(name)
    table.add_column("findings", justify="right")
    for label, count in rows:
        table.add_row(Text(label), str(count))
    return table


def _shown(name: str) -> str:
    """A file's name as one line that cannot move the reader's cursor; bytes that are no UTF-8 show as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)
