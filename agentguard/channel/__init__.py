"""Mutual-TLS messages between agents: who speaks (SPIFFE identities, the embedded CA) and how it travels.

The channel holds no policy: whether a message is permitted is asked of callables that are handed in.
"""

from agentguard.channel.identity import Identity, IdentityRecord, IdentitySource
from agentguard.channel.spiffe import SpiffeId
from agentguard.channel.tls import ALPN, Peer, check_peer, client_context, refused_handshake, server_context

__all__ = [
    "ALPN",
    "Identity",
    "IdentityRecord",
    "IdentitySource",
    "Peer",
    "SpiffeId",
    "check_peer",
    "client_context",
    "refused_handshake",
    "server_context",
]
