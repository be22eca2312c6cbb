"""``agentguard policy check``: does it load, and does it mean what it says?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from agentguard.cli.option import JsonOption
from agentguard.cli.output import print_json, print_line
from agentguard.cli.policy.tools import ToolsOption, load_tools
from agentguard.errors import PolicyError
from agentguard.policy.check import Remark, check
from agentguard.policy.document import read_file

__all__ = ["PolicyArgument", "StrictOption", "check_policy", "print_remarks"]

PolicyArgument = Annotated[Path, typer.Argument(help="The policy file.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="Warnings fail too: for CI.")]


def check_policy(
    policy: PolicyArgument = Path("agentguard.yaml"),
    tools: ToolsOption = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Load a policy and say what its author can hardly mean: rules that never apply, names nobody uses.

    Errors have file, line and column. Warnings cover roles and tools nobody uses, permissions that are denied anyway,
    values no call can have, sinks without sources, review marks and shadow modes left on; with --tools also tools and
    arguments of the application that have no row, and rows it has no use for.

    Example: agentguard policy check agentguard.yaml --tools myapp.tools:TOOLS --strict

    Exit code: 0 it loads, 1 it does not (or, with --strict, has warnings), 3 there is no such file.
    """
    specs = load_tools(tools) if tools else None
    text = read_file(str(policy), missing="no such policy file; `agentguard init` writes a starter policy")
    try:
        remarks = check(text, path=str(policy), tools=specs)
    except PolicyError as error:
        # Here a policy that does not load is the answer, not a failure to give one.
        _print_error(policy, error, as_json)
        raise typer.Exit(1) from error
    print_remarks(policy, remarks, as_json)
    if not as_json:
        print_line(f"{policy}: it loads, {len(remarks)} warnings")
    raise typer.Exit(1 if strict and remarks else 0)


def print_remarks(path: Path, remarks: list[Remark], as_json: bool) -> None:
    """One line a remark, as compilers print them; or one object."""
    for remark in remarks:
        if as_json:
            print_json(
                {
                    "path": str(path),
                    "line": remark.line,
                    "column": remark.column,
                    "severity": "warning",
                    "code": remark.code,
                    "message": remark.message,
                }
            )
        else:
            place = ":".join(str(part) for part in (path, remark.line, remark.column) if part is not None)
            print_line(f"{place}: ", "warning", f" {remark.code}: {remark.message}")


def _print_error(path: Path, error: PolicyError, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "path": str(path),
                "line": error.line,
                "column": error.column,
                "severity": "error",
                "code": error.code,
                "message": error.message,
            }
        )
    else:
        place = ":".join(str(part) for part in (path, error.line, error.column) if part is not None)
        print_line(f"{place}: ", Text("error", style="bold red"), f" {error.code}: {error.message}")
