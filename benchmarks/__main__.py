"""Print every table. ``make bench`` runs this."""

from __future__ import annotations

import tempfile
from pathlib import Path

from agentguard import Guard
from agentguard.store import Home
from benchmarks import agent, audit, detection, encryption, events, flow, requests, startup

POLICY = Path(__file__).with_name("agentguard.yaml")


def main() -> None:
    """Measure in a throw-away home folder."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        Home.create(home)
        print(startup.measure(POLICY, home))
        with Guard.from_file(POLICY, home=home) as guard:
            print(events.measure(guard))
            print(agent.measure(guard))
    print(audit.measure())
    print(flow.measure())
    encryption.main()
    print(requests.measure())
    detection.main()


if __name__ == "__main__":
    main()
