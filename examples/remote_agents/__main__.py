"""Two agents in two processes delegate over mutual TLS, impostors are refused, and one audit trail tells all of it.

Run it in an empty folder: python examples/remote_agents
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agentguard import AuditLog, Home
from agentguard.channel import Authority

HERE = Path(__file__).resolve().parent


def run(name: str, port: str) -> str:
    """What one of the scripts prints."""
    done = subprocess.run(
        [sys.executable, HERE / name, port], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    return done.stdout


def main() -> None:
    home = Home.create(".agentguard")
    Authority.create(home, "example.org").close()
    writer = subprocess.Popen([sys.executable, HERE / "writer.py"], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        port = writer.stdout.readline().strip()
        print(run("researcher.py", port), end="")
        print(run("impostor.py", port), end="")
    finally:
        writer.terminate()
        writer.wait(30)
    print("audit trail:")
    with AuditLog.open(home) as log:
        for record in log.query(where={"type": "channel"}):
            row = record.data
            if row["event"] in ("connect", "refuse", "deny"):
                print(" ", row["event"], row["reason"] or "-", row.get("peer") or row.get("presented") or "nobody")
        for record in log.query(where={"event": "agent_message"}):
            row = record.data
            print("  message", row["decision"], f"{row['sender']} -> {row['receiver']} for {row['user.id']}")


if __name__ == "__main__":
    main()
