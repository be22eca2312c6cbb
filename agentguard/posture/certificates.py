"""The home's CA: how long its certificates last, and what becomes of who connects without one."""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from contextlib import closing
from datetime import timedelta

from agentguard.channel import Authority, EnrolmentServer, server_context
from agentguard.channel.authority import CaState
from agentguard.channel.protocol import ALPN_CA, MAX_REPLY_BYTES, REPLIES, News, Refused, receive, send
from agentguard.channel.register import Register
from agentguard.channel.tls import ALPN, unverified_context
from agentguard.posture.item import Item
from agentguard.posture.project import Project
from agentguard.store import Home

__all__ = ["certificates_last", "probe_without_certificate"]

TRIAL_S = 10.0
# An issuing CA is followed by a new one at half of its life: one that is older has no successor.
DUE = timedelta(days=2)


def certificates_last(project: Project) -> Item | None:
    """Root and issuing CA have time left. None without a CA."""
    if not _has_ca(project):
        return None
    with closing(Authority(project.home, clock=project.clock)) as authority:
        states = authority.schedule()
    root = _left(project, next(state for state in states if state.role == "root"))
    followed = any(state.state == "waits" for state in states)
    signing = max((_left(project, state) for state in states if state.state == "signs"), default=timedelta(0))
    told = f"root: {_told(root)}, issuing: {_told(signing)}"
    if root <= timedelta(0) or signing <= timedelta(0):
        return Item.failed(f"over: {told}", "`agentguard ca rotate`; a root that is over needs a new CA")
    if root < project.limits.certificate or (signing < DUE and not followed):
        return Item.weak(f"near the end: {told}", "`agentguard ca rotate`; plan a new CA before the root ends")
    return Item.ok(f"time left: {told}")


def probe_without_certificate(project: Project) -> Item | None:
    """A throw-away CA and an agent's listener, each asked by somebody who has no certificate. None without a CA."""
    if not _has_ca(project):
        return None
    with project.scratch() as folder:
        home = Home.create(folder / "home")
        with closing(Authority.create(home, "posture.agentguard.test")) as authority:
            with closing(EnrolmentServer(authority)) as server:
                answered = _news(server.address)
            admitted = _handshake(server_context(authority.identity(authority.agent_id("posture"))))
    if answered is not None:
        return Item.failed(f"the CA answered {answered} without a certificate", "reinstall AgentGuard")
    if admitted:
        return Item.failed("an agent's listener took a client without a certificate", "reinstall AgentGuard")
    return Item.ok("without a certificate neither the CA's news nor an agent's listener was to be had")


def _has_ca(project: Project) -> bool:
    register = Register(project.home)
    try:
        return any(row.role == "root" for row in register.authorities())
    finally:
        register.close()


def _left(project: Project, state: CaState) -> timedelta:
    return timedelta(seconds=state.until - project.clock())


def _told(left: timedelta) -> str:
    return f"{left / timedelta(days=1):.1f} days"


def _news(address: tuple[str, int]) -> str | None:
    """What the CA answered to who may not ask; None when it refused."""
    deadline = time.monotonic() + TRIAL_S
    with (
        socket.create_connection(address, timeout=TRIAL_S) as raw,
        unverified_context(ALPN_CA).wrap_socket(raw) as tls,
    ):
        send(tls, News(version=0, bundle=hashlib.sha256(b"").hexdigest()), deadline=deadline)
        reply = receive(tls, REPLIES, limit=MAX_REPLY_BYTES, deadline=deadline)
    return None if isinstance(reply, Refused) and reply.reason == "no-certificate" else type(reply).__name__


def _handshake(context: ssl.SSLContext) -> bool:
    """Whether a server takes a client without a certificate, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = unverified_context(ALPN).wrap_bio(to_client, to_server)
    # TLS 1.3: the client is done before the server has judged it, so the server's word counts.
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return False
    return True
