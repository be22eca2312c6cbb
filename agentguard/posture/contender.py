"""One process of the rate limit's trial: ``python -m agentguard.posture.contender HOME KEY LIMIT TRIES [POLICY]``."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from agentguard.access import RateLimit, RedisCounter, StoreCounter
from agentguard.assembly import redis_url
from agentguard.policy import Policy
from agentguard.store import Home

__all__ = ["admitted"]


def admitted(home: str, key: str, limit: int, attempts: int, policy: str | None = None) -> int:
    """How many of the attempts the home's count admits; with a policy, the count on its Redis server."""
    # A day: nothing comes back while the processes start.
    allowed = RateLimit(count=limit, seconds=86_400.0)
    with closing(_counter(Home.open(Path(home)), policy)) as counter:
        return sum(counter.take(key, allowed) is None for _ in range(attempts))


def _counter(home: Home, policy: str | None) -> StoreCounter | RedisCounter:
    if policy is None:
        return StoreCounter.of(home)
    # Read here: a URL among a process's arguments would be everybody's to see.
    return RedisCounter(redis_url(Policy.from_file(policy), home))


if __name__ == "__main__":
    sys.stdout.write(str(admitted(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:6])))
