"""``agentguard mcp-proxy``: guard a server of the Model Context Protocol without touching it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from agentguard.cli.option import HomeOption
from agentguard.errors import ConfigError

__all__ = ["BearerOption", "PrefixOption", "ServerArgument", "UrlOption", "mcp_proxy"]

ServerArgument = Annotated[
    list[str] | None, typer.Argument(metavar="-- COMMAND...", help="What starts the server, speaking on stdio.")
]
UrlOption = Annotated[str | None, typer.Option("--http", help="A server at this URL (streamable HTTP) instead.")]
BearerOption = Annotated[
    str | None, typer.Option("--bearer-env", help="The environment variable that holds the server's bearer token.")
]
PrefixOption = Annotated[
    str, typer.Option("--prefix", help="Put before the server's tool names to make the policy's: files.")
]


def mcp_proxy(
    command: ServerArgument = None,
    *,
    url: UrlOption = None,
    bearer: BearerOption = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", help="Serve streamable HTTP on this port of the loopback, instead of stdio: 8808."),
    ] = None,
    policy: Annotated[Path, typer.Option("--policy", help="The policy.")] = Path("agentguard.yaml"),
    home: HomeOption = Path(".agentguard"),
    agent: Annotated[str | None, typer.Option("--agent", help="The agent of the policy that calls.")] = None,
    prefix: PrefixOption = "",
    request: Annotated[
        str | None, typer.Option("--request", help="What the user asked for, where whoever starts this knows it.")
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds until an answer is given up.")] = 300.0,
    max_bytes: Annotated[int, typer.Option("--max-bytes", min=1024, help="Longest message.")] = 4 * 1024 * 1024,
) -> None:
    """Guard an MCP server: every request, result and notification between it and its client passes the policy.

    Put it where the client starts the server. Tools the policy does not permit are not shown; a refused call is
    answered with an error that says why. Reading a resource is a call of `resources/read`, a prompt of `prompts/get`.

    Example: agentguard mcp-proxy --agent assistant -- uvx mcp-server-fetch
    """
    from agentguard.guard import Guard

    if bool(command) == (url is not None):
        raise ConfigError("name one server: a command behind --, or --http URL")
    from agentguard_mcp.serving import serve, started

    with Guard.from_file(policy, home=home, agent=agent) as guard:
        code = asyncio.run(
            serve(
                guard,
                started(command, url=url, bearer_env=bearer, limit=max_bytes),
                listen=listen,
                agent=agent,
                prefix=prefix,
                request=request,
                timeout=timeout,
                limit=max_bytes,
            )
        )
    raise typer.Exit(code)
