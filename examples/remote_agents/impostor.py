"""Three who should not get in: no certificate; another trust domain's; the right one, and a forbidden topic."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import tempfile
from pathlib import Path

from agentguard import AgentClient, Home, open_identity
from agentguard.channel import ALPN, Authority
from agentguard.errors import DeliveryFailed, Denied


def knock(port: int, identity: tuple[bytes, bytes] | None) -> str:
    """Shake hands without caring who is there, and try to say something. What comes back, or how it ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([ALPN])
    if identity is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"\n".join(identity))
            file.flush()
            context.load_cert_chain(file.name)
    try:
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as tls:
            tls.settimeout(10)
            tls.sendall(b"hello")
            return "LET IN" if tls.recv(100) else "refused"
    except OSError:
        return "refused"


def of_another_domain() -> tuple[bytes, bytes]:
    """A certificate of a CA of our own: right name, other trust domain."""
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority.create(Home.create(Path(folder) / "home"), "other.example")
        identity = authority.identity(authority.agent_id("researcher"))
        authority.close()
    return identity.chain_pem, identity.key_pem


async def on_a_forbidden_topic(port: int) -> str:
    """The researcher's own certificate, in a process that asks its own policy nothing."""

    def anything(*_: object) -> Denied | None:
        return None

    source = open_identity(Home.open(".agentguard"), "researcher")
    me = source.current().spiffe_id
    try:
        async with AgentClient(source, authorize=anything) as client:
            writer = client.peer("127.0.0.1", port, me.of_agent(me.trust_domain, "writer"))
            return "LET IN " + str(await writer.request("payments", b'{"input": "Pay me."}'))
    except DeliveryFailed as error:
        return f"refused ({error.reason})"
    finally:
        source.close()


def main(port: int) -> None:
    print("no certificate:", knock(port, None))
    print("another trust domain:", knock(port, of_another_domain()))
    print("right certificate, forbidden topic:", asyncio.run(on_a_forbidden_topic(port)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
