"""``agentguard policy lint-labels``: labels that look wrong beside what tools are called, say and return."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentguard.audit import AuditLog
from agentguard.cli.option import JsonOption
from agentguard.cli.output import print_line
from agentguard.cli.policy.check import PolicyArgument, StrictOption, print_remarks
from agentguard.cli.policy.tools import ToolsOption, load_tools
from agentguard.policy.document import read_file
from agentguard.policy.label_lint import Sizes, lint_labels
from agentguard.recorded import RecordedDecision, result_sizes
from agentguard.store import Home

__all__ = ["lint_policy_labels"]


def lint_policy_labels(
    policy: PolicyArgument = Path("agentguard.yaml"),
    tools: ToolsOption = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="A project's folder: its log tells how long results really were.")
    ] = None,
    strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Name labels that look wrong: one wrong label lets strangers choose where an action goes.

    Doubted are: a trusted tool that returns long or free text, an argument that looks like a recipient, path or id
    and is no sink, a sending tool without a recipient, a body of text that is an id, a fetch without egress, an inbox
    without inbound. Names speak; with --tools also descriptions and types, with --home the recorded sizes.

    Example: agentguard policy lint-labels agentguard.yaml --tools myapp.tools:TOOLS --home .agentguard

    Exit code: 0 (1 with --strict when there are remarks), 3 the policy does not load.
    """
    specs = load_tools(tools) if tools else None
    text = read_file(str(policy), missing="no such policy file; `agentguard init` writes a starter policy")
    remarks = lint_labels(text, path=str(policy), tools=specs, sizes=_sizes(home))
    print_remarks(policy, remarks, as_json)
    if not as_json:
        print_line(f"{policy}: {len(remarks)} suspicious labels")
    raise typer.Exit(1 if strict and remarks else 0)


def _sizes(home: Path | None) -> dict[str, Sizes] | None:
    if home is None:
        return None
    with AuditLog.open(Home.open(home)) as log:
        return result_sizes(RecordedDecision.read(log, event="tool_result"))
