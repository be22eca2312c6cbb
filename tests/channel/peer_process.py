"""A writer and a researcher in processes of their own, which kill themselves at a given step, once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Column, MetaData, String, Table

from agentguard import Home, open_identity
from agentguard.channel.client import AgentClient
from agentguard.channel.envelope import Message
from agentguard.channel.journal import Journal
from agentguard.channel.server import AgentServer
from agentguard.store import begin_immediate, open_state
from tests.channel.pairs import FAST, allow

METADATA = MetaData()
Journal.define(METADATA)
EFFECT = Table("effect", METADATA, Column("id", String(32), nullable=False), Column("text", String(100)))


def journal_of(home: Home, owner: str) -> Journal:
    return Journal(lambda: open_state(home, METADATA), owner=owner, path=home.state_path)


def die_at(home: Home, step: str) -> None:
    """Kill this process at the step it was told, the first time it gets there."""
    mark = home.path / f"killed-{step}"
    if os.environ.get("KILL_AT") == step and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


async def serve(home: Home, port: int, committed_together: bool) -> None:
    source = open_identity(home, "writer")
    journal = journal_of(home, str(source.current().spiffe_id))
    engine = open_state(home, METADATA)

    async def note(message: Message) -> None:
        die_at(home, "before-effect")
        with begin_immediate(engine) as connection:
            connection.execute(EFFECT.insert().values(id=message.id.hex(), text=message.payload.decode()))
            if committed_together:
                journal.record_in(connection, message)
            die_at(home, "before-commit")
        die_at(home, "after-commit")

    async with AgentServer(source, "127.0.0.1", port, authorize=allow, journal=journal, limits=FAST) as server:
        server.on("note", note)
        print("listening", flush=True)  # noqa: T201
        await server.serve_forever()


async def send(home: Home, port: int, count: int) -> None:
    """Send ``count`` durable messages, or, with none, what an earlier process left."""
    source = open_identity(home, "researcher")
    me = source.current().spiffe_id
    journal = journal_of(home, str(me))
    keep = journal.keep

    def kept(*arguments: Any) -> Any:
        done = keep(*arguments)
        done.add_done_callback(lambda _: die_at(home, "kept"))
        return done

    journal.keep = kept  # type: ignore[assignment, method-assign]  # the step itself is what is killed
    async with AgentClient(source, authorize=allow, journal=journal, limits=FAST) as client:
        link = client.peer("127.0.0.1", port, me.of_agent(me.trust_domain, "writer"))
        print("resumed", await link.resume(), flush=True)  # noqa: T201
        asyncio.get_running_loop().call_later(0.3, die_at, home, "sent")
        for number in range(count):
            await link.send("note", str(number).encode(), durable=True, ttl=60)
        while link.pending:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    role, path, port, argument = sys.argv[1:5]
    opened = Home.open(Path(path))
    if role == "serve":
        asyncio.run(serve(opened, int(port), argument == "together"))
    else:
        asyncio.run(send(opened, int(port), int(argument)))
