"""``agentguard policy init``: a first policy from real tool definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agentguard.cli.option import JsonOption
from agentguard.cli.output import print_json, print_line, write_new
from agentguard.cli.policy.tools import load_tools
from agentguard.errors import ConfigError
from agentguard.policy import Policy
from agentguard.policy.draft import can_stand, draft
from agentguard.policy.review import marks

__all__ = ["write_draft"]


def write_draft(
    tools: Annotated[str, typer.Option("--tools", help="Where the tools are, as module:attribute; it is imported.")],
    out: Annotated[Path, typer.Option("--out", help="Where the draft goes; nothing is overwritten.")] = Path(
        "agentguard.yaml"
    ),
    agent: Annotated[str, typer.Option("--agent", help="The agent that gets the tools.")] = "assistant",
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Begin in shadow mode: decide and record, change nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Draft a policy from tool definitions, every guess marked for review and made on the strict side.

    The attribute is a list or dictionary of tools: plain functions, LangChain and other frameworks' tools, pydantic
    models, JSON Schema, MCP or OpenAI tool definitions. With () at its end it is called first.

    Example: agentguard policy init --tools myapp.tools:TOOLS --agent support --shadow

    Then read every line marked REVIEW, correct it, and delete the mark; `agentguard policy check` counts those left.
    """
    if not can_stand(agent):
        raise ConfigError(f"got the agent {agent[:60]!r}; a name is printable text without * and ?")
    specs = load_tools(tools)
    text = draft(specs, agent=agent, mode="shadow" if shadow else "enforce")
    Policy.parse(text, path=str(out))  # a draft that would not load must not be written
    write_new(out, text)
    found = len(marks(text))
    if as_json:
        print_json({"path": str(out), "tools": [spec.name for spec in specs], "review_marks": found})
    else:
        print_line(f"wrote {out}: {len(specs)} tools, {found} guesses to review")
