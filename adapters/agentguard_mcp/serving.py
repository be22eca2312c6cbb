"""What ``agentguard mcp-proxy`` runs: which server, and where its client is."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence

from agentguard import ConfigError, Guard

from .bridge import Server, Settings, bridged, until_stopped
from .frames import MAX_FRAME
from .proxy import REQUEST_TIMEOUT
from .stdio import Child, Standard

__all__ = ["serve", "started"]


def started(
    command: Sequence[str] | None, *, url: str | None = None, bearer_env: str | None = None, limit: int = MAX_FRAME
) -> Callable[[], Awaitable[Server]]:
    """Starts one connection to the server, each time it is called.

    Raises:
        ConfigError: a setting that cannot be used.
        AdapterError: the libraries for HTTP are not installed.
    """
    if url is None:
        words = list(command or ())
        return lambda: Child.start(words, limit=limit)
    from .upstream import Upstream, checked_url

    token = None if bearer_env is None else os.environ.get(bearer_env)
    if bearer_env is not None and not token:
        raise ConfigError(f"the environment variable {bearer_env[:60]!r} of --bearer-env is not set")
    target = checked_url(url)
    return lambda: Upstream.connect(target, token=token, limit=limit)


async def serve(
    guard: Guard,
    start: Callable[[], Awaitable[Server]],
    *,
    listen: str | None = None,
    agent: str | None = None,
    prefix: str = "",
    request: str | None = None,
    timeout: float = REQUEST_TIMEOUT,  # noqa: ASYNC109  # of one answer, not of this call
    limit: int = MAX_FRAME,
) -> int:
    """Guard the server for the client at stdio, or for those that come to ``listen``. Gives the exit code.

    Raises:
        AdapterError: the server cannot be started.
        ConfigError: ``listen`` is no port of the loopback.
    """
    settings = Settings(guard, agent, prefix, request, timeout, limit)
    if listen is None:
        return await until_stopped(bridged(settings, Standard(limit=limit), start))
    from .listener import listening

    return await until_stopped(listening(settings, start, listen))
