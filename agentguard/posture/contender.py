"""One process of the rate limit's trial: ``python -m agentguard.posture.contender HOME KEY LIMIT ATTEMPTS``."""

from __future__ import annotations

import sys
from contextlib import closing

from agentguard.access import RateLimit, StoreCounter
from agentguard.store import Home

__all__ = ["admitted"]


def admitted(home: str, key: str, limit: int, attempts: int) -> int:
    """How many of the attempts the home's count admits."""
    # A day: nothing comes back while the processes start.
    allowed = RateLimit(count=limit, seconds=86_400.0)
    with closing(StoreCounter.of(Home.open(home))) as counter:
        return sum(counter.take(key, allowed) is None for _ in range(attempts))


if __name__ == "__main__":
    sys.stdout.write(str(admitted(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
