"""``agentguard policy suggest``: better labels from what was recorded, as a draft to review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentguard.audit import AuditLog
from agentguard.cli.option import HomeOption, JsonOption, SinceOption, moment
from agentguard.cli.output import print_json, write_new
from agentguard.cli.policy.check import PolicyArgument
from agentguard.errors import ConfigError
from agentguard.policy import Policy
from agentguard.policy.document import read_file
from agentguard.recorded import RecordedDecision
from agentguard.store import Home
from agentguard.suggest import Evidence, suggest

__all__ = ["suggest_labels"]


def suggest_labels(
    policy: PolicyArgument = Path("agentguard.yaml"),
    since: SinceOption = None,
    home: HomeOption = Path(".agentguard"),
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the draft here, instead of printing it; never overwritten.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draft better labels from recorded calls: who really set each argument, with counts, most useful in shadow mode.

    The draft is the policy's own text with remarks. A tool joins `sources` only when values were seen from it under a
    label that vouches for them; whatever stood in untrusted text, in other records or nowhere is told and changes
    nothing. Each change and question carries a REVIEW mark: read it, decide, delete the mark.

    Example: agentguard policy suggest agentguard.yaml --since 7d --out suggested.yaml

    Then `agentguard policy replay suggested.yaml` shows what it would change.
    """
    text = read_file(str(policy), missing="no such policy file; `agentguard init` writes a starter policy")
    Policy.parse(text, path=str(policy))
    with AuditLog.open(Home.open(home)) as log:
        evidence = Evidence.of(RecordedDecision.read(log, event="tool_call", since=moment(since)))
    if not evidence.calls:
        raise ConfigError("the log holds no tool call of that time; run the agent in shadow mode first")
    if as_json:
        _print_evidence(evidence)
        return
    drafted = suggest(text, evidence, path=str(policy))
    if out is None:
        typer.echo(drafted, nl=not drafted.endswith("\n"))
        return
    write_new(out, drafted)
    typer.echo(f"wrote {out}: drafted from {evidence.calls} recorded calls")


def _print_evidence(evidence: Evidence) -> None:
    for tool in evidence.tools.values():
        for argument in tool.arguments.values():
            print_json(
                {
                    "tool": tool.tool,
                    "calls": tool.calls,
                    "argument": argument.argument,
                    "values": argument.total,
                    "user": argument.user,
                    "tools": dict(argument.vouched),
                    "other_records": dict(argument.other),
                    "untrusted": dict(argument.untrusted),
                    "nowhere": argument.nowhere,
                    "free": argument.free,
                }
            )
