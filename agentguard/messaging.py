"""The guard on the channel: one policy file says who may send whom what, and the content is checked like any other.

``MessageGuard`` is what ``AgentServer`` and ``AgentClient`` ask. Both sides ask their own, so each enforces alone. The
channel is closed in shadow mode too: a connection that should not be is not a decision to learn from.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from agentguard.access.messages import MessageRefusal
from agentguard.conversation import Conversation
from agentguard.decision import Decision, Effect, Finding
from agentguard.errors import ConfigError, Denied, UnsupportedValueError
from agentguard.event import AgentMessage, Json, Principal

if TYPE_CHECKING:
    from agentguard.channel.client import AgentClient
    from agentguard.channel.endpoint import Endpoint
    from agentguard.channel.envelope import Message
    from agentguard.channel.identity import IdentitySource
    from agentguard.channel.server import AgentServer
    from agentguard.channel.spiffe import SpiffeId
    from agentguard.guard import Guard

__all__ = ["MessageGuard", "decode_content", "encode_content", "user_of"]

_log = logging.getLogger("agentguard.channel")

FRAMEWORK = "agentguard.channel"
_FOREIGN = MessageRefusal("message-not-permitted", "agents", "The policy names agents of its own trust domain only.")


class MessageGuard:
    """Checks and records the messages of the agents that one guard watches. Thread-safe.

    Args:
        guard: made by ``Guard.from_file`` or ``from_policy``; its policy's ``may_message`` decides.

    Raises:
        ConfigError: the guard was made without a policy, so nothing says who may send messages.
    """

    def __init__(self, guard: Guard) -> None:
        self._lock = threading.Lock()
        self._endpoints: weakref.WeakSet[Endpoint] = weakref.WeakSet()
        self._guard = _with_rights(guard)

    @property
    def guard(self) -> Guard:
        """The guard that decides now."""
        return self._guard

    def server(self, source: IdentitySource, host: str, port: int, **settings: Any) -> AgentServer:
        """An ``AgentServer`` under this guard. Payloads are JSON; handlers get them as they may be read."""
        from agentguard.channel.server import AgentServer

        server = AgentServer(source, host, port, **self._hooks(settings))
        self._watch(server)
        return server

    def client(self, source: IdentitySource, **settings: Any) -> AgentClient:
        """An ``AgentClient`` under this guard."""
        from agentguard.channel.client import AgentClient

        client = AgentClient(source, **self._hooks(settings))
        self._watch(client)
        return client

    def replace(self, guard: Guard) -> None:
        """Let ``guard``, made from a changed policy, decide from now on; connections it does not permit are ended.

        The old guard stays open: whoever made it closes it.

        Raises:
            ConfigError: it was made without a policy; the old one stays.
        """
        found = _with_rights(guard)
        with self._lock:
            self._guard = found
            endpoints = list(self._endpoints)
        for endpoint in endpoints:
            endpoint.recheck()

    # -- what the channel asks ---------------------------------------------------------------------------------------

    def authorize(self, sender: SpiffeId, receiver: SpiffeId, topic: str, size: int, /) -> Denied | None:
        """The policy's answer, for ``Endpoint``. Agents of another trust domain are not those the policy names."""
        rights = self._guard.messages
        if rights is None or sender.trust_domain != receiver.trust_domain:
            return _denied(sender, receiver, topic, _FOREIGN)
        refusal = rights.refusal(sender.agent, receiver.agent, topic or None, size)
        return None if refusal is None else _denied(sender, receiver, topic, refusal)

    def record(self, record: Mapping[str, Json]) -> None:
        """An event of the channel, for the guard's audit log.

        Raises:
            AuditError: it was not taken.
        """
        guard = self._guard
        if not guard.congested:
            guard.note(record)
            return
        # The log makes its callers wait for room: a thread does that, not the loop that serves everybody.
        asyncio.get_running_loop().run_in_executor(None, guard.note, record).add_done_callback(_noted)

    async def inspect(self, message: Message) -> Message:
        """The message as its receiver may read it, with the run in which it was checked.

        Raises:
            Denied: the content was refused.
        """
        content, run = await self.receive(message)
        return msgspec.structs.replace(message, payload=encode_content(content), run=run)

    async def receive(self, message: Message) -> tuple[Json, Conversation]:
        """Check what came: the content as it may be read, and the run of its sender, in which it is untrusted text.

        The run's principal is the one of the sender's certificate, on behalf of the user it names. A run started for
        the message is a child of it, and so knows which values only the sender said.

        Raises:
            Denied: the content was refused, or is no JSON.
        """
        run = Conversation(
            principal=_principal(message.sender.agent, message.behalf), framework=FRAMEWORK, thread=message.id.hex()
        )
        try:
            content = decode_content(message.payload)
        except UnsupportedValueError as error:
            event = AgentMessage(message.sender.agent, message.receiver.agent, message.topic, None)
            decision = await self._guard.afailed(event, error, run=run)
            decision.raise_if_denied()
            raise Denied(decision) from error  # shadow mode does not make it readable
        event = AgentMessage(message.sender.agent, message.receiver.agent, message.topic, content)
        return await self._checked(event, run), run

    async def outgoing(self, message: AgentMessage, run: Conversation | None) -> Json:
        """Check what an agent is about to send, as itself; what it sends does not become untrusted in its own run.

        Raises:
            Denied: the content was refused.
        """
        principal = Principal(message.sender, on_behalf_of=user_of(run), session=run.principal.session if run else None)
        aside = Conversation(
            principal=principal, framework=FRAMEWORK, thread=run.thread if run else None, id=run.id if run else None
        )
        return await self._checked(message, aside)

    async def reply(self, message: AgentMessage, run: Conversation | None) -> Json:
        """Check the answer to what its receiver asked in ``run``, where it is untrusted text from now on.

        Raises:
            Denied: the content was refused.
        """
        run = run or Conversation(principal=_principal(message.receiver, None), framework=FRAMEWORK)
        if run.principal.id != message.receiver or run.principal.kind != "agent":
            # Whoever reads it, the agent whose certificate asked is the one it was sent to.
            run = run.child(Principal(message.receiver, on_behalf_of=user_of(run)), None)
        return await self._checked(replace(message, is_reply=True), run)

    async def _checked(self, event: AgentMessage, run: Conversation) -> Json:
        decision = await self._guard.acheck(event, run=run)
        decision.raise_if_denied()
        if not isinstance(decision.event, AgentMessage):
            raise Denied(decision)
        return decision.event.content

    def _hooks(self, settings: dict[str, Any]) -> dict[str, Any]:
        hooks: dict[str, Any] = {"authorize": self.authorize, "inspect": self.inspect, "record": self.record}
        if taken := sorted(set(settings) & {"authorize", "record"}):
            raise ConfigError(f"{', '.join(taken)} comes from the guard; leave it out")
        return {**hooks, **settings}

    def _watch(self, endpoint: Endpoint) -> None:
        with self._lock:
            self._endpoints.add(endpoint)


def _noted(done: asyncio.Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        _log.error("an event of the channel was not recorded: %s", error)


def encode_content(content: Json) -> bytes:
    """Content as the payload of a message: UTF-8 JSON.

    Raises:
        UnsupportedValueError: it has no such form.
    """
    try:
        return msgspec.json.encode(content)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UnsupportedValueError("the content has no UTF-8 JSON form, so it cannot be sent") from error


def decode_content(payload: bytes) -> Json:
    """Read what ``encode_content`` wrote.

    Raises:
        UnsupportedValueError: no JSON, so no check could read it.
    """
    try:
        content: Json = msgspec.json.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnsupportedValueError("a message is no JSON, so it cannot be checked; send JSON") from error
    return content


def user_of(run: Conversation | None) -> Principal | None:
    """The user for whom the agent of this run acts, if it says."""
    link = run.principal if run is not None else None
    while link is not None and link.kind != "user":
        link = link.on_behalf_of
    return link


def _with_rights(guard: Guard) -> Guard:
    if guard.messages is None:
        raise ConfigError("this guard was made without a policy; make it with Guard.from_file or Guard.from_policy")
    return guard


def _principal(agent: str, user: str | None) -> Principal:
    return Principal(agent, on_behalf_of=Principal(user, kind="user") if user else None)


def _denied(sender: SpiffeId, receiver: SpiffeId, topic: str, refusal: MessageRefusal) -> Denied:
    return Denied(
        Decision(
            Effect.DENY,
            AgentMessage(sender.agent, receiver.agent, topic, None),
            secrets.token_hex(8),
            findings=(Finding(f"access.{refusal.reason}", refusal.rule, message=refusal.message),),
            rules=(refusal.rule,),
            reason=refusal.reason,
            message=refusal.message,
            stage="channel",
        )
    )
