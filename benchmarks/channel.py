"""Messages between two processes on this machine, over mutual TLS everywhere: AgentGuard's channel next to gRPC and
bare asyncio streams, in one run. ``make bench-channel`` runs it.

Each system echoes payloads of 1 KB and 64 KB: one after the other ("round trip"), and with 64 under way ("pipelined").
The systems take turns, the best of several rounds counts, and the ratios are what to read: this machine has other work.
Identity, block list, policy and replay checks are on; the guard's check of the content is not part of any transport and
is measured by ``make bench``.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import resource
import ssl
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentguard.access.messages import MessageGrant, MessageRights
from agentguard.channel import Identity, SpiffeId, client_context, server_context
from agentguard.channel.client import AgentClient
from agentguard.channel.envelope import Message
from agentguard.channel.limits import Limits
from agentguard.channel.server import AgentServer
from agentguard.decision import Decision, Effect
from agentguard.errors import Denied
from agentguard.event import AgentMessage
from benchmarks.report import Table
from tests.channel.forge import RESEARCHER, WRITER, Forge, HeldIdentity
from tests.channel.raw import raw_peer

ROOT = Path(__file__).resolve().parent.parent
SIZES = (1024, 64 * 1024)
WINDOW = 64
IDLE = 200
# No rate limit, and room for the pipeline: every other limit and check is on.
LIMITS = Limits(
    messages_per_s=1e9, bytes_per_s=1e12, window_bytes=16 * 1024 * 1024, accepts_per_s=1e4,
    accepts_per_source_per_s=1e4, connections_per_identity=IDLE + 8,
    starts_per_identity=IDLE + 8, handshakes_per_source=64,
)  # fmt: skip
GRANT = {"writer": MessageGrant(("echo", "draft.*"))}
RIGHTS = MessageRights({"researcher": GRANT, "attacker": GRANT})
ATTACKER = "spiffe://example.org/agent/attacker"
HOST_NAME = "writer.example.org"

Echo = Callable[[bytes], Awaitable[bytes]]


def authorize(sender: SpiffeId, receiver: SpiffeId, topic: str, size: int, /) -> Denied | None:
    """What the guard asks of its policy."""
    refusal = RIGHTS.refusal(sender.agent, receiver.agent, topic or None, size)
    if refusal is None:
        return None
    event = AgentMessage(sender.agent, receiver.agent, topic, None)
    return Denied(Decision(Effect.DENY, event, "0" * 16, reason=refusal.reason, message=refusal.message))


def write_identities(folder: Path) -> None:
    """Certificates of one CA for both ends; the server's names a host too, which gRPC asks for."""
    forge = Forge.make()
    (folder / "ca.pem").write_bytes(forge.root.pem)
    for name, uri, dns in (
        ("server", WRITER, [HOST_NAME]), ("client", RESEARCHER, []), ("attacker", ATTACKER, []),
    ):  # fmt: skip
        leaf = forge.issuing.leaf([uri], dns=dns)
        (folder / f"{name}.pem").write_bytes(leaf.chain_pem)
        (folder / f"{name}.key").write_bytes(leaf.key_pem)


def identity(folder: Path, name: str) -> Identity:
    parts = (folder / f"{name}.pem", folder / f"{name}.key", folder / "ca.pem")
    return Identity.from_pem(*(part.read_bytes() for part in parts))


# -- AgentGuard ------------------------------------------------------------------------------------------------------


async def serve_agentguard(folder: Path, limits: Limits = LIMITS) -> None:
    source = HeldIdentity(identity(folder, "server"))
    server = AgentServer(source, "127.0.0.1", 0, authorize=authorize, limits=limits)

    async def echo(message: Message) -> bytes:
        return message.payload

    server.on("echo", echo, idempotent=True)
    async with server:
        print(server.address[1], flush=True)
        await server.serve_forever()


@asynccontextmanager
async def agentguard_client(folder: Path, port: int) -> AsyncIterator[Echo]:
    async with AgentClient(HeldIdentity(identity(folder, "client")), authorize=authorize, limits=LIMITS) as client:
        link = client.peer("127.0.0.1", port, WRITER)
        yield lambda payload: link.request("echo", payload)


# -- asyncio streams -------------------------------------------------------------------------------------------------


async def serve_attacked(folder: Path) -> None:
    """With the limits of a server that faces strangers; only the good peer's rate is not limited."""
    await serve_agentguard(folder, Limits(messages_per_s=1e9, bytes_per_s=1e12, window_bytes=16 * 1024 * 1024))


async def serve_streams(folder: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readexactly(12)
                body = await reader.readexactly(struct.unpack("!QI", head)[1])
                writer.write(head + body)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_context(identity(folder, "server")))
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@asynccontextmanager
async def streams_client(folder: Path, port: int) -> AsyncIterator[Echo]:
    """Numbered requests over one connection, so that many can be under way."""
    context = client_context(identity(folder, "client"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="")
    waiting: dict[int, asyncio.Future[bytes]] = {}
    loop = asyncio.get_running_loop()

    async def read() -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError, ssl.SSLError):
            while True:
                number, size = struct.unpack("!QI", await reader.readexactly(12))
                waiting.pop(number).set_result(await reader.readexactly(size))

    async def request(payload: bytes) -> bytes:
        done: asyncio.Future[bytes] = loop.create_future()
        number = request.number = request.number + 1  # type: ignore[attr-defined]  # its own counter
        waiting[number] = done
        writer.write(struct.pack("!QI", number, len(payload)) + payload)
        await writer.drain()
        return await done

    request.number = 0  # type: ignore[attr-defined]
    reading = asyncio.create_task(read())
    yield request
    reading.cancel()
    writer.close()


# -- gRPC ------------------------------------------------------------------------------------------------------------

GRPC_OPTIONS = [
    ("grpc.max_receive_message_length", 1 << 24),
    ("grpc.max_send_message_length", 1 << 24),
    ("grpc.ssl_target_name_override", HOST_NAME),
]


async def serve_grpc(folder: Path) -> None:
    import grpc

    async def unary(request: bytes, context: object) -> bytes:
        return request

    async def stream(requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    server = grpc.aio.server(options=GRPC_OPTIONS)
    handlers = {
        "unary": grpc.unary_unary_rpc_method_handler(unary),
        "stream": grpc.stream_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", handlers),))
    pair = ((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())
    credentials = grpc.ssl_server_credentials([pair], (folder / "ca.pem").read_bytes(), require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


def grpc_channel(folder: Path, port: int) -> Any:
    import grpc

    files = ("ca.pem", "client.key", "client.pem")
    credentials = grpc.ssl_channel_credentials(*((folder / name).read_bytes() for name in files))
    return grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=GRPC_OPTIONS)


@asynccontextmanager
async def grpc_unary_client(folder: Path, port: int) -> AsyncIterator[Echo]:
    async with grpc_channel(folder, port) as channel:
        yield channel.unary_unary("/echo/unary")


@asynccontextmanager
async def grpc_stream_client(folder: Path, port: int) -> AsyncIterator[Echo]:
    """One bidirectional stream, which keeps order: replies are matched by it."""
    async with grpc_channel(folder, port) as channel:
        call = channel.stream_stream("/echo/stream")()
        waiting: list[asyncio.Future[bytes]] = []
        loop = asyncio.get_running_loop()
        lock = asyncio.Lock()

        async def read() -> None:
            import grpc

            with contextlib.suppress(asyncio.CancelledError):
                while (reply := await call.read()) is not grpc.aio.EOF:
                    waiting.pop(0).set_result(reply)

        async def request(payload: bytes) -> bytes:
            done: asyncio.Future[bytes] = loop.create_future()
            async with lock:
                waiting.append(done)
                await call.write(payload)
            return await done

        reading = asyncio.create_task(read())
        yield request
        reading.cancel()
        call.cancel()


Rates = dict[str, dict[tuple[int, int], "Rate"]]

# -- measuring -------------------------------------------------------------------------------------------------------

SERVERS = {
    "agentguard": serve_agentguard,
    "agentguard-attacked": serve_attacked,
    "streams": serve_streams,
    "grpc": serve_grpc,
}
CLIENTS: dict[str, tuple[str, Any]] = {
    "AgentGuard": ("agentguard", agentguard_client),
    "asyncio TLS streams": ("streams", streams_client),
    "gRPC stream": ("grpc", grpc_stream_client),
    "gRPC unary": ("grpc", grpc_unary_client),
}


async def started(system: str, folder: Path, *, uvloop: bool) -> tuple[asyncio.subprocess.Process, int]:
    """A server in a process of its own, and its port."""
    arguments = ["-m", "benchmarks.channel", "--serve", system, "--folder", str(folder)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, *(["--uvloop"] if uvloop else []), cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    return process, int(line)


@dataclass(frozen=True)
class Rate:
    """Replies per second, and microseconds of processor time that one reply cost on each side."""

    per_s: float = 0.0
    client_us: float = math.inf
    server_us: float = math.inf

    def best(self, other: Rate) -> Rate:
        return Rate(
            max(self.per_s, other.per_s),
            min(self.client_us, other.client_us),
            min(self.server_us, other.server_us),
        )


def processor_ns(pid: int) -> int:
    """Processor time of all threads of a process."""
    spent = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            spent += int((thread / "schedstat").read_text().split()[0])
    return spent


async def rate(echo: Echo, pid: int, payload: bytes, seconds: float, window: int) -> Rate:
    """With ``window`` requests under way."""
    until = time.perf_counter() + seconds
    count = 0

    async def ask() -> None:
        nonlocal count
        while time.perf_counter() < until:
            await echo(payload)
            count += 1

    begun, own, other = time.perf_counter(), processor_ns(os.getpid()), processor_ns(pid)
    await asyncio.gather(*(ask() for _ in range(window)))
    elapsed = time.perf_counter() - begun
    own, other = processor_ns(os.getpid()) - own, processor_ns(pid) - other
    return Rate(count / elapsed, own / count / 1000, other / count / 1000)


async def measure(folder: Path, rounds: int, seconds: float, *, uvloop: bool) -> Rates:
    """The best rate of each system by (size, window). The systems take turns within a round."""
    systems = {name: each for name, each in CLIENTS.items() if not uvloop or each[0] != "grpc"}
    best: Rates = {name: {} for name in systems}
    servers = {each[0]: await started(each[0], folder, uvloop=uvloop) for each in systems.values()}
    try:
        async with contextlib.AsyncExitStack() as stack:
            echoes = {
                name: await stack.enter_async_context(client(folder, servers[system][1]))
                for name, (system, client) in systems.items()
            }
            for _ in range(rounds):
                for size in SIZES:
                    payload = os.urandom(size)
                    for window in (1, WINDOW):
                        for name, echo in echoes.items():
                            pid = servers[systems[name][0]][0].pid
                            await rate(echo, pid, payload, 0.05, window)
                            found = await rate(echo, pid, payload, seconds, window)
                            best[name][size, window] = found.best(best[name].get((size, window), Rate()))
    finally:
        for process, _ in servers.values():
            process.terminate()
            await process.wait()
    return best


KINDS = ((SIZES[0], 1), (SIZES[0], WINDOW), (SIZES[1], 1), (SIZES[1], WINDOW))


def tables(loop: str, best: Rates) -> str:
    """Rates, and processor time, with what AgentGuard's are of each."""
    own = best["AgentGuard"]
    rates, costs = [], []
    for name, found in best.items():
        shown, cost = [], []
        for kind in KINDS:
            this, mine = found[kind], own[kind]
            value = f"{this.per_s:,.0f}" if kind[0] == SIZES[0] else f"{this.per_s * kind[0] / 1e6:,.0f}"
            shown.append(value + ("" if this is mine else f" ({mine.per_s / this.per_s:.2f}x)"))
            theirs, ours = this.client_us + this.server_us, mine.client_us + mine.server_us
            cost.append(
                f"{this.client_us:,.0f} + {this.server_us:,.0f}" + ("" if this is mine else f" ({theirs / ours:.2f}x)")
            )
        rates.append((name, *shown))
        costs.append((name, *cost))
    head = ("1 KB round trip", "1 KB pipelined", "64 KB round trip", "64 KB pipelined")
    return "\n".join((
        str(Table(f"{loop}: replies per second at 1 KB, MB per second at 64 KB (AgentGuard's over it)",
                  ("system", *head), tuple(rates))),
        str(Table(f"{loop}: processor time per reply, client + server, us (its over AgentGuard's)",
                  ("system", *head), tuple(costs))),
    ))  # fmt: skip


async def attack(folder: Path, port: int) -> None:
    """Peers nobody wants: silent ones, garbage before TLS, and with a good certificate one byte a second, no reading,
    and broken frames; all come back as soon as they are cut off."""
    source = HeldIdentity(identity(folder, "attacker"))
    address = ("127.0.0.1", port)

    async def silent() -> None:
        _, writer = await asyncio.open_connection(*address)
        await asyncio.sleep(60)
        writer.close()

    async def garbage() -> None:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"\xff" * 500)
        await reader.read()
        writer.close()

    async def slow() -> None:
        async with raw_peer(address, source=source) as peer:
            for byte in b"\x00\x00\x10\x00\x01\x02\x00\x00":
                peer.writer.write(bytes([byte]))
                await asyncio.sleep(1)

    async def deaf() -> None:
        async with raw_peer(address, source=source) as peer:
            peer.writer.transport.get_extra_info("socket")
            peer.reader._transport.pause_reading()  # type: ignore[attr-defined]  # reads no more
            for number in range(60):
                peer.message(number + 1, bytes(60_000), wants=1, sender=ATTACKER)
            await asyncio.sleep(60)

    async def broken() -> None:
        async with raw_peer(address, source=source) as peer:
            peer.writer.write(b"\xff" * 64)
            await peer.ended()

    async def again(what: Callable[[], Awaitable[None]]) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError, ssl.SSLError):
                await what()
            await asyncio.sleep(0.2)

    kinds = [silent] * 200 + [garbage] * 4 + [slow] * 2 + [deaf] * 2 + [broken] * 2
    await asyncio.gather(*(again(kind) for kind in kinds))


async def under_attack(folder: Path, rounds: int, seconds: float) -> str:
    """What a good peer gets while others misbehave, of what it gets alone; the same connection, turn by turn."""
    process, port = await started("agentguard-attacked", folder, uvloop=False)
    alone, attacked = [], []
    try:
        async with agentguard_client(folder, port) as echo:
            for _ in range(rounds):
                alone.append(await rate(echo, process.pid, bytes(1024), seconds, WINDOW))
                hostile = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "benchmarks.channel", "--attack", str(port), "--folder", str(folder),
                    cwd=ROOT, stderr=asyncio.subprocess.DEVNULL,
                )  # fmt: skip
                await asyncio.sleep(3)
                attacked.append(await rate(echo, process.pid, bytes(1024), seconds, WINDOW))
                hostile.kill()
                await hostile.wait()
    finally:
        process.terminate()
        await process.wait()
    kept = statistics.median(b.per_s / a.per_s for a, b in zip(alone, attacked, strict=True))
    cost = statistics.median(b.server_us / a.server_us for a, b in zip(alone, attacked, strict=True))
    return (
        f"a good peer while 210 others misbehave: {kept:.0%} of its throughput alone (median of {rounds}); "
        f"the server spends {cost:.2f}x the processor time per reply"
    )


async def idle_memory(folder: Path) -> float:
    """KiB that one idle connection adds to the server's resident memory."""
    process, port = await started("agentguard", folder, uvloop=False)
    try:
        async with contextlib.AsyncExitStack() as stack:
            await (await stack.enter_async_context(agentguard_client(folder, port)))(b"warm")
            before = resident(process.pid)
            for _ in range(IDLE):
                await (await stack.enter_async_context(agentguard_client(folder, port)))(b"up")
            return (resident(process.pid) - before) / IDLE
    finally:
        process.terminate()
        await process.wait()


def resident(pid: int) -> float:
    """Resident memory of a process, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description="AgentGuard's channel next to gRPC and asyncio streams")
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--uvloop", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--attack", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    if options.serve:
        run(SERVERS[options.serve](options.folder), uvloop=options.uvloop)
        return
    if options.attack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        run(attack(options.folder, options.attack), uvloop=False)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_identities(folder)
        best = asyncio.run(measure(folder, options.rounds, options.seconds, uvloop=False))
        print(tables("asyncio's own loop", best))
        with contextlib.suppress(ImportError):
            best = run(measure(folder, options.rounds, options.seconds, uvloop=True), uvloop=True)
            print(tables("uvloop", best))
        print(asyncio.run(under_attack(folder, options.rounds, max(options.seconds, 1.5))))
        print(f"idle connection, server side: {asyncio.run(idle_memory(folder)):.0f} KiB")


def run(main: Any, *, uvloop: bool) -> Any:
    """On one loop or the other."""
    if not uvloop:
        return asyncio.run(main)
    import uvloop as fast

    with asyncio.Runner(loop_factory=fast.new_event_loop) as runner:
        return runner.run(main)


if __name__ == "__main__":
    main()
