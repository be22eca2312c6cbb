"""``agentguard policy schema``: the policy file's JSON Schema, for editors."""

from __future__ import annotations

import json

import typer

from agentguard.policy import Policy

__all__ = ["print_schema"]


def print_schema() -> None:
    """Print the JSON Schema (2020-12) of the policy file, so that an editor completes and checks it.

    Example: agentguard policy schema > agentguard.schema.json, and as first line of the policy

        # yaml-language-server: $schema=agentguard.schema.json

    The schema knows the file's shape. `agentguard policy check` also checks names, globs, patterns and rules.
    """
    typer.echo(json.dumps(Policy.json_schema(), indent=2))
