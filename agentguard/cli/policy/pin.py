"""``agentguard policy pin``: write down which definitions of a server's tools were reviewed."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from agentguard.cli.mcp import BearerOption, PrefixOption, ServerArgument, UrlOption
from agentguard.cli.option import JsonOption
from agentguard.cli.output import print_json, print_line, shown
from agentguard.errors import ConfigError, StoreError
from agentguard.event import Json
from agentguard.policy import Policy, pin_of
from agentguard.policy.document import read, read_file
from agentguard.policy.patch import Patch
from agentguard.policy.pins import REQUIRED, is_definition

__all__ = ["pin_tools"]


def pin_tools(
    command: ServerArgument = None,
    *,
    url: UrlOption = None,
    bearer: BearerOption = None,
    policy: Annotated[Path, typer.Option("--policy", help="The policy that gets the pins.")] = Path("agentguard.yaml"),
    prefix: PrefixOption = "",
    changed: Annotated[
        bool, typer.Option("--changed", help="Also replace pins of definitions that have changed: review them first.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Pin the tools of an MCP server: each definition's hash is written into the tool's row of the policy.

    From then on the tool is refused when its description, schema or annotations are not those of today. Tools without
    a row are told and not added. Where a pinned definition has changed, nothing is written and the exit code is 1.

    Example: agentguard policy pin -- uvx mcp-server-fetch
    """
    text = read_file(str(policy), missing="no such policy file; `agentguard init` writes a starter policy")
    rules = Policy.parse(text, path=str(policy)).tools
    patch = Patch(text, read(text, path=str(policy)))
    states: dict[str, tuple[str, str]] = {}
    for definition in _definitions(command, url, bearer):
        if not isinstance(definition, dict) or not is_definition(definition):
            continue
        name, pin = f"{prefix}{definition['name']}", pin_of(definition)
        if name in states:
            raise ConfigError(f"the server offers two tools named {name[:60]!r}; a pin could not tell which is meant")
        old = rules[name].pin if name in rules else None
        states[name] = (_state(old, pin), pin)
    refused = [name for name, (state, _) in states.items() if state == "changed" and not changed]
    if not refused:
        _write(policy, text, patch, {name: pin for name, (state, pin) in states.items() if state in ("new", "changed")})
    for name, (state, pin) in states.items():
        if as_json:
            print_json({"tool": name, "state": state, "pin": pin})
        else:
            print_line(f"{_WORDS[state]}  {shown(name)}")
    if refused:
        typer.echo("nothing was written: review what has changed, then run this with --changed", err=True)
        raise typer.Exit(1)


_WORDS = {"new": "pinned", "same": "as pinned", "changed": "CHANGED", "no row": "no row in the policy"}


def _state(old: str | None, pin: str) -> str:
    if old is None:
        return "no row"
    if old in ("", REQUIRED):
        return "new"
    return "same" if old == pin else "changed"


def _definitions(command: list[str] | None, url: str | None, bearer: str | None) -> list[Json]:
    if bool(command) == (url is not None):
        raise ConfigError("name one server: a command behind --, or --http URL")
    from agentguard_mcp.bridge import definitions
    from agentguard_mcp.serving import started

    async def asked() -> list[Json]:
        return await definitions(await started(command, url=url, bearer_env=bearer)())

    return asyncio.run(asked())


def _write(path: Path, text: str, patch: Patch, pins: dict[str, str]) -> None:
    for name, pin in pins.items():
        if not patch.set_text(("tools", name, "pin"), pin):
            raise ConfigError(
                f"the row of {name[:60]!r} is written in a way this command does not edit; put pin: {pin}"
            )
    new = patch.text()
    if new == text:
        return
    Policy.parse(new, path=str(path))  # a policy that would not load must not be written
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(new)
        Path(name).chmod(path.stat().st_mode & 0o777)
        Path(name).replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror})") from error
